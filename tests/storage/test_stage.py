"""Files that are staged and appear together."""

import errno
import os
import shutil

import pytest

from fastckpt.storage.stage import Stage

CONTENT = bytes(range(256)) * 3000


def list_names(folder):
    return sorted(os.listdir(folder))


def test_stage_in_a_folder_of_a_missing_folder_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        Stage(str(tmp_path / "a" / "b" / "m.index"), sync=False)

    assert list_names(tmp_path) == []


@pytest.mark.parametrize("length", [235, 250, 255])
def test_stage_that_cannot_begin_leaves_no_folder(tmp_path, length):
    with pytest.raises(OSError, match="too long"):
        Stage(str(tmp_path / "new" / ("x" * length)), sync=False)

    assert list_names(tmp_path) == []


def test_commit_over_a_folder_is_refused_and_leaves_everything(tmp_path):
    (tmp_path / "m.index").write_text("old")
    (tmp_path / "m.data").mkdir()

    with pytest.raises(IsADirectoryError), Stage(str(tmp_path / "m.index"), sync=False) as stage:
        stage.create(str(tmp_path / "m.data")).append(b"new")
        stage.commit(list)

    assert list_names(tmp_path) == ["m.data", "m.index"]
    assert (tmp_path / "m.index").read_text() == "old"


def test_first_rename_that_fails_brings_the_old_commit_file_back(tmp_path, monkeypatch):
    (tmp_path / "m.index").write_text("old")
    (tmp_path / "m.data").write_text("old data")
    real_replace = os.replace

    def replace(source, target):
        if target.endswith("m.data"):
            raise PermissionError(errno.EACCES, "somebody has it open", target)
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(PermissionError), Stage(str(tmp_path / "m.index"), sync=False) as stage:
        stage.create(str(tmp_path / "m.data")).append(b"new")
        stage.commit(list)

    assert list_names(tmp_path) == ["m.data", "m.index"]
    assert (tmp_path / "m.index").read_text() == "old"


def test_source_that_cannot_be_linked_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError), Stage(str(tmp_path / "m.index"), sync=False) as stage:
        stage.link(str(tmp_path / "none"), str(tmp_path / "m.data"))

    assert list_names(tmp_path) == []


def test_stage_shows_nothing_before_its_commit(tmp_path):
    with Stage(str(tmp_path / "m.index"), sync=False) as stage:
        stage.create(str(tmp_path / "m.data")).append(b"data")
        stage.commit_file.append(b"index")
        assert not {"m.index", "m.data"} & set(list_names(tmp_path))
        stage.commit(list)

    assert list_names(tmp_path) == ["m.data", "m.index"]
    assert (tmp_path / "m.data").read_bytes() == b"data"
    assert (tmp_path / "m.index").read_bytes() == b"index"


def test_stage_that_is_discarded_leaves_nothing_not_even_the_folder_it_made(tmp_path):
    with Stage(str(tmp_path / "new" / "m.index"), sync=False) as stage:
        stage.create(str(tmp_path / "new" / "m.data")).append(b"data")
        assert len(list_names(tmp_path / "new")) == 2

    assert list_names(tmp_path) == []


def test_discarding_keeps_a_folder_that_somebody_else_uses(tmp_path):
    with Stage(str(tmp_path / "new" / "m.index"), sync=False):
        (tmp_path / "new" / "other").touch()

    assert list_names(tmp_path / "new") == ["other"]


@pytest.mark.skipif(os.name != "posix", reason="blocks are shared through ioctl")
def test_file_that_cannot_be_linked_shares_its_blocks_where_it_can(tmp_path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError(errno.EPERM, "no hard links here")

    def clone(target, command, source):  # what a file system with shared blocks does
        assert command == 0x40049409
        os.pwrite(target, os.pread(source, 100, 0), 0)
        return 0

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(shutil, "copyfileobj", refuse)
    monkeypatch.setattr(fcntl, "ioctl", clone)
    (tmp_path / "source").write_bytes(b"content")
    with Stage(str(tmp_path / "m.index"), sync=False) as stage:
        stage.link(str(tmp_path / "source"), str(tmp_path / "m.data"))
        stage.commit(tuple)

    assert (tmp_path / "m.data").read_bytes() == b"content"


@pytest.mark.parametrize("can_link", [True, False])
def test_linked_file_has_the_content_and_the_source_stays(tmp_path, monkeypatch, can_link):
    def refuse(*args, **options):
        raise OSError(errno.EPERM, "no hard links here")

    if not can_link:
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "source").write_bytes(CONTENT)

    with Stage(str(tmp_path / "m.index"), sync=False) as stage:
        stage.link(str(tmp_path / "source"), str(tmp_path / "m.data"))
        stage.commit(list)

    assert (tmp_path / "m.data").read_bytes() == (tmp_path / "source").read_bytes() == CONTENT
    assert os.path.samefile(tmp_path / "m.data", tmp_path / "source") == can_link


def test_obsolete_files_go_last_and_may_be_gone_already(tmp_path):
    (tmp_path / "old").touch()

    with Stage(str(tmp_path / "m.index"), sync=False) as stage:
        stage.commit(lambda: [str(tmp_path / name) for name in ("old", "gone", "m.index")])

    assert list_names(tmp_path) == ["m.index"]
