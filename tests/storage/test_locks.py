"""Which staged files are left over."""

import contextlib
import os

import pytest

from fastckpt.bundle.names import list_files
from fastckpt.storage import locks
from fastckpt.storage.locks import LOCK_NAME, exclusive, leftovers
from fastckpt.storage.stage import Stage
from fastckpt.storage.staged import staged_path

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


@posix
def test_file_of_a_living_stage_is_no_leftover(tmp_path):
    prefix = str(tmp_path / "m")
    dead = [staged_path(f"{prefix}{end}", "0" * 16) for end in (".index", ".data-00000-of-00001")]
    for path in dead:
        open(path, "w").close()

    with Stage(f"{prefix}.index", sync=False) as stage:
        stage.create(f"{prefix}.data-00000-of-00001")
        staged = list_files(prefix)[1]
        assert len(staged) == 4
        assert sorted(leftovers(staged)) == sorted(dead)


def test_leftovers_of_files_that_vanish_do_not_fail(tmp_path):
    gone = staged_path(str(tmp_path / "m.index"), "0" * 16)

    with contextlib.suppress(FileNotFoundError):
        leftovers([gone])
    assert leftovers([]) == []


@posix
def test_lock_that_is_held_is_waited_for_and_then_named(tmp_path):
    with (
        exclusive(str(tmp_path)),
        pytest.raises(TimeoutError, match=f"process {os.getpid()}") as caught,
        exclusive(str(tmp_path), timeout=0.05),
    ):
        pass

    assert caught.value.filename == str(tmp_path / LOCK_NAME)
    with exclusive(str(tmp_path), timeout=0):
        assert os.stat(tmp_path / LOCK_NAME).st_mode & 0o077 == 0
    assert os.listdir(tmp_path) == []


@posix
@pytest.mark.parametrize("content", ["", "1 1\n", "no numbers"])
def test_lock_of_a_dead_process_is_taken_over(tmp_path, content):
    (tmp_path / LOCK_NAME).write_text(content)

    with exclusive(str(tmp_path), timeout=0.5):
        pass

    assert os.listdir(tmp_path) == []


@posix
def test_without_locks_of_the_system_an_unknown_holder_is_dead_when_the_file_is_old(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(locks, "try_lock", lambda fd, *, shared=False: None)
    (tmp_path / LOCK_NAME).write_text("1 1\n")

    with pytest.raises(TimeoutError), exclusive(str(tmp_path), timeout=0.05):
        pass
    os.utime(tmp_path / LOCK_NAME, (0, 0))

    with exclusive(str(tmp_path), timeout=0.5):
        pass


@posix
def test_locks_that_do_not_work_make_files_of_other_machines_alive_until_they_are_old(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(locks, "try_lock", lambda fd, *, shared=False: None)
    path = staged_path(str(tmp_path / "m.index"), "0" * 16)
    open(path, "w").close()

    assert leftovers([path]) == []
    os.utime(path, (0, 0))
    assert leftovers([path]) == [path]


def test_exception_before_the_lock_gives_the_folder_back(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(locks, "try_lock", fail)
        with pytest.raises(KeyboardInterrupt), exclusive(str(tmp_path)):
            pass

    with exclusive(str(tmp_path), timeout=0.5):
        pass
