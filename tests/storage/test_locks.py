"""Which staged files are left over."""

import contextlib
import os

import pytest

from fastckpt.bundle.names import list_files
from fastckpt.storage.locks import leftovers
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
