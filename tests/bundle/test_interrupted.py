"""Saves that are interrupted: errors, full disks, kills, other writers."""

import errno
import gc
import os

import numpy as np
import pytest
from fresh import run
from interrupting import FAILING, Faults, can_fork, count_steps
from writing import (
    NEW,
    OLD,
    add_part,
    assert_same,
    file_names,
    list_names,
    posix,
    read_all,
    snapshot,
)

import fastckpt

# ---- interrupted: by an exception


class Interruption(BaseException):
    pass


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit, Interruption])
def test_exception_in_the_block_leaves_what_was_there(folder, error):
    before = snapshot(folder)

    with pytest.raises(error), fastckpt.Writer(folder / "m", num_shards=3) as writer:
        writer.add("a", np.zeros(1_000_000))
        add_part(writer, 0, 2)
        raise error

    assert snapshot(folder) == before


def test_value_that_fails_when_it_is_asked_leaves_what_was_there(folder):
    class Failing:
        def __array__(self, dtype=None, copy=None):
            raise ZeroDivisionError("no value")

    before = snapshot(folder)

    with pytest.raises(ZeroDivisionError):
        fastckpt.write(folder / "m", {"good": 1, "bad": Failing()})

    assert snapshot(folder) == before


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_that_fails_leaves_what_was_there(folder, threads):
    def progress(done, total):
        raise Interruption

    before = snapshot(folder)

    with pytest.raises(Interruption):
        fastckpt.write(
            folder / "m", {"a": np.zeros(300_000), "b": 1}, threads=threads, progress=progress
        )

    assert snapshot(folder) == before


def test_aborted_writer_leaves_what_was_there(folder):
    before = snapshot(folder)
    writer = fastckpt.Writer(folder / "m")
    writer.add("a", np.zeros(100))

    writer.abort()
    writer.abort()
    writer.close()

    assert snapshot(folder) == before
    with pytest.raises(ValueError, match="closed"):
        writer.add("b", 1)


def test_writer_that_is_forgotten_leaves_what_was_there(folder):
    before = snapshot(folder)
    writer = fastckpt.Writer(folder / "m")
    writer.add("a", np.zeros(100))

    del writer
    gc.collect()

    assert snapshot(folder) == before


def test_writer_that_refused_a_tensor_goes_on(tmp_path):
    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        writer.add("a", 1)
        for name, value in (("b", None), ("", 1), ("a", 2), ("c", np.zeros(2, "M8[s]"))):
            with pytest.raises((TypeError, ValueError)):
                writer.add(name, value)
        with pytest.raises(ValueError, match="not within"):
            add_part(writer, 3, 2)
        writer.add("b", 3)

    assert_same(read_all(tmp_path / "m"), {"a": 1, "b": 3})


# ---- interrupted: by the system


def fill_disk():
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("num_shards", [1, 2])
def test_error_at_any_step_never_leaves_a_mixture(tmp_path, monkeypatch, num_shards):
    (tmp_path / "count").mkdir()
    fastckpt.write(tmp_path / "count" / "m", OLD, num_shards=2, sync=False)
    steps = count_steps(monkeypatch, tmp_path / "count", num_shards=num_shards)
    outcomes = set()

    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        fastckpt.write(folder / "m", OLD, num_shards=2, sync=False)
        before = snapshot(folder)
        with monkeypatch.context() as patch:
            faults = Faults(patch, FAILING, step, fill_disk)
            error = None
            try:
                fastckpt.write(folder / "m", NEW, num_shards=num_shards)
            except OSError as caught:
                error = caught
                assert "No space left" in str(error)
        replaced = [args[1] for name, args in faults.log[: step - 1] if name == "replace"]

        found = read_all(folder / "m")
        is_new = error is None or any(path.endswith("m.index") for path in replaced)
        assert_same(found, NEW if is_new else OLD)
        if not replaced and error is not None:
            assert snapshot(folder) == before, faults.log[step - 1]
        outcomes.add((is_new, error is None))
        fastckpt.write(folder / "m", NEW, sync=False)
        assert list_names(folder) == file_names("m", 1)
    assert {(False, False), (True, True)} <= outcomes


@pytest.mark.parametrize(("num_shards", "renames"), [(1, 2), (2, 4), (3, 4)])
def test_interrupt_behind_any_rename_leaves_a_whole_checkpoint(
    tmp_path, monkeypatch, num_shards, renames
):
    real_replace = os.replace
    for at in range(1, renames + 1):
        fastckpt.write(tmp_path / "m", OLD, num_shards=2, sync=False)
        renamed = []

        def replace(source, target, at=at, renamed=renamed):
            real_replace(source, target)
            renamed.append(target)
            if len(renamed) == at:  # as if the signal came while the system call ran
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace)
            with pytest.raises(KeyboardInterrupt):
                fastckpt.write(tmp_path / "m", NEW, num_shards=num_shards, sync=False)

        is_new = any(path.endswith("m.index") for path in renamed)
        assert_same(read_all(tmp_path / "m"), NEW if is_new else OLD)
        fastckpt.write(tmp_path / "m", NEW, sync=False)
        assert list_names(tmp_path) == file_names("m", 1)


@posix
def test_interrupt_without_hard_links_leaves_what_can_be_completed(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise OSError(errno.EPERM, "no hard links here")

    real_replace = os.replace
    outcomes = []
    for at in range(1, 4):
        fastckpt.write(tmp_path / "m", OLD, sync=False)
        left = [at]

        def replace(source, target, left=left):
            real_replace(source, target)
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace)
            patch.setattr(os, "link", refuse)
            with pytest.raises(KeyboardInterrupt):
                fastckpt.write(tmp_path / "m", NEW, sync=False)

        try:
            assert_same(read_all(tmp_path / "m"), NEW if at == 3 else OLD)
            outcomes.append("whole")
        except FileNotFoundError as error:
            assert "interrupted" in str(error)
            assert fastckpt.complete(tmp_path / "m")
            assert_same(read_all(tmp_path / "m"), NEW)
            outcomes.append("completed")
    assert outcomes == ["whole", "completed", "whole"]


@posix
@pytest.mark.parametrize("limit", [1, 5_000, 400_000])
def test_full_disk_leaves_what_was_there(folder, limit):
    code = """
        import errno, resource, sys, numpy, fastckpt
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        tensors = {f"t{i}": numpy.ones(30_000) for i in range(4)}
        try:
            fastckpt.write(sys.argv[1], tensors)
        except OSError as error:
            assert error.errno == errno.EFBIG, error
            print("refused")
        writer = fastckpt.Writer(sys.argv[1], num_shards=2)
        try:
            for i in range(10):
                writer.add(f"t{i}", numpy.ones(30_000))
            writer.close()
        except OSError:
            print("refused")
    """
    before = snapshot(folder)

    assert run(code, folder / "m", str(limit)) == "refused\nrefused\n"
    assert snapshot(folder) == before


def test_writer_is_closed_by_a_failed_write(folder, monkeypatch):
    before = snapshot(folder)
    writer = fastckpt.Writer(folder / "m", sync=False)
    writer.add("a", 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: fill_disk())
        with pytest.raises(OSError, match="No space left"):
            writer.add("b", np.zeros(100_000))

    with pytest.raises(ValueError, match="closed"):
        writer.add("c", 1)
    assert snapshot(folder) == before


KILLED = """
    import os, signal, sys
    import numpy as np
    import fastckpt

    base, old_shards, new_shards, sync = sys.argv[1], *map(int, sys.argv[2:])
    OLD = {"a": np.arange(5), "b": np.array(b"old"), "c": np.zeros(3)}
    NEW = {"a": np.arange(5) + 100, "b": np.array(b"new"), "c": np.ones(3)}
    NEXT = {"a": np.arange(9)}
    CALLS = ("open", "write", "fsync", "replace", "unlink", "mkdir", "close")

    def die_at(step):
        left = [step]
        os.fsync = lambda fd: None  # only a power loss would show what it does
        def wrap(function):
            def wrapped(*args, **options):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **options)
            return wrapped
        for name in CALLS:
            setattr(os, name, wrap(getattr(os, name)))

    def is_killed(step, save):
        child = os.fork()
        if not child:
            try:
                die_at(step)
                save()
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status), "the save failed by itself"
        return os.WTERMSIG(status) == signal.SIGKILL

    def state(prefix):
        try:
            with fastckpt.read(prefix) as checkpoint:
                checkpoint.verify()
                found = {name: checkpoint.get_tensor(name, copy=True) for name in checkpoint}
        except FileNotFoundError as error:
            folder = os.path.dirname(prefix)
            left = os.listdir(folder) if os.path.isdir(folder) else []
            left = [name for name in left if name != ".fastckpt.lock"]
            assert not left or "interrupted" in str(error), (left, str(error))
            return "interrupted" if left else "nothing"
        for name, tensors in (("old", OLD), ("new", NEW)):
            if all(np.array_equal(found[key], tensors[key]) for key in tensors):
                assert list(found) == sorted(tensors)
                return name
        raise AssertionError(f"a mixture: {found}")

    outcomes = []
    for step in range(1000):
        prefix = os.path.join(base, str(step), "m")
        if old_shards:
            fastckpt.write(prefix, OLD, num_shards=old_shards, sync=False)
        killed = is_killed(
            step, lambda: fastckpt.write(prefix, NEW, num_shards=new_shards, sync=bool(sync))
        )
        outcomes.append(state(prefix))
        fastckpt.write(prefix, NEXT, sync=False)
        names = sorted(os.listdir(os.path.dirname(prefix)))
        assert names == ["m.data-00000-of-00001", "m.index"], (step, names)
        assert fastckpt.read(prefix)["a"].tolist() == list(range(9))
        if not killed:
            break
    print(*dict.fromkeys(outcomes))
"""


@can_fork
@posix
@pytest.mark.parametrize(
    ("old_shards", "new_shards", "sync", "expected"),
    [
        (0, 1, 1, "nothing interrupted new"),
        (1, 1, 1, "old new"),
        (1, 1, 0, "old new"),
        (2, 3, 1, "old new"),
        (3, 1, 0, "old new"),
    ],
)
def test_kill_at_any_step_leaves_the_old_none_or_the_new(
    tmp_path, old_shards, new_shards, sync, expected
):
    outcomes = run(KILLED, tmp_path, str(old_shards), str(new_shards), str(sync))

    assert outcomes.split() == expected.split()
