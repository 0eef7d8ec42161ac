"""System calls on files: what is opened, replaced and copied."""

import errno
import os
import sys

import pytest

from fastckpt.storage import system
from fastckpt.storage.system import (
    APPEND,
    CREATE,
    READ,
    check_replaceable,
    copy_file,
    drop_output,
    file_size,
    find_mode,
    is_network,
    list_folder,
    locks_reach_others,
    open_regular,
    read_text,
    write_into_stream,
)

posix = pytest.mark.skipif(os.name != "posix", reason="needs pipes and symbolic links")


def list_fds():
    return set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else set()


def make_odd(kind, path):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"null": "/dev/null", "zeros": "/dev/zero"}[kind])


@posix
@pytest.mark.parametrize("kind", ["pipe", "folder", "null", "zeros"])
@pytest.mark.parametrize("flags", [READ, APPEND])
def test_what_is_no_regular_file_is_not_opened(tmp_path, kind, flags):
    make_odd(kind, tmp_path / "odd")
    before = list_fds()

    with pytest.raises(OSError, match="odd"):
        open_regular(str(tmp_path / "odd"), flags)

    assert list_fds() == before


@posix
@pytest.mark.parametrize("kind", ["pipe", "folder", "null", "zeros"])
def test_what_is_no_regular_file_is_not_replaced(tmp_path, kind):
    make_odd(kind, tmp_path / "odd")

    with pytest.raises(OSError, match="odd"):
        check_replaceable(str(tmp_path / "odd"))


@posix
def test_what_can_be_replaced(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("gone")

    for name in ("file", "link", "nothing"):
        check_replaceable(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        check_replaceable(str(tmp_path / "dangling"))


@posix
@pytest.mark.parametrize("to", ["file", "gone"])
def test_links_under_new_names_are_not_followed(tmp_path, to):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(to)

    with pytest.raises(FileExistsError):
        open_regular(str(tmp_path / "link"), CREATE)
    with pytest.raises(OSError, match="link"):
        open_regular(str(tmp_path / "link"), APPEND)

    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "gone").exists()


@posix
def test_link_to_a_file_is_read(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("file")

    fd, status = open_regular(str(tmp_path / "link"), READ)
    os.close(fd)

    assert status.st_size == 4


def test_new_file_that_cannot_be_looked_at_is_removed(tmp_path, monkeypatch):
    def fail(fd):
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", fail)
        with pytest.raises(OSError) as caught:
            open_regular(str(tmp_path / "new"), CREATE)

    assert caught.value.filename == str(tmp_path / "new")

    assert os.listdir(tmp_path) == []


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_mode_is_that_of_the_file_behind_a_link(tmp_path, mode):
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(mode)
    (tmp_path / "link").symlink_to("file")

    assert find_mode(str(tmp_path / "link")) == mode
    assert find_mode(str(tmp_path)) is None
    assert find_mode(str(tmp_path / "gone")) is None


def test_names_in_a_folder_are_sorted(tmp_path):
    for name in ("b", "a", "c"):
        (tmp_path / name).touch()

    assert list_folder(str(tmp_path)) == ["a", "b", "c"]
    assert list_folder(str(tmp_path / "gone")) == list_folder(str(tmp_path / "a")) == []


def test_copy_is_never_over_something(tmp_path):
    (tmp_path / "source").write_bytes(bytes(3 << 20))
    (tmp_path / "there").write_text("mine")

    copy_file(str(tmp_path / "source"), str(tmp_path / "copy"))
    with pytest.raises(FileExistsError):
        copy_file(str(tmp_path / "source"), str(tmp_path / "there"))

    assert (tmp_path / "copy").read_bytes() == bytes(3 << 20)
    assert (tmp_path / "there").read_text() == "mine"


def test_copy_that_fails_leaves_nothing(tmp_path, monkeypatch):
    import shutil

    def fail(*_):
        raise OSError(errno.ENOSPC, "full")

    (tmp_path / "source").write_bytes(b"content")
    monkeypatch.setattr(shutil, "copyfileobj", fail)
    monkeypatch.setattr(system, "_share_blocks", lambda old, new: False)
    with pytest.raises(OSError, match="copy"):
        copy_file(str(tmp_path / "source"), str(tmp_path / "copy"))

    assert os.listdir(tmp_path) == ["source"]


@posix
def test_bytes_go_into_a_pipe_that_is_read_and_not_into_one_that_is_not(tmp_path):
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    with pytest.raises(OSError, match="pipe") as caught:
        write_into_stream(path, b"content")
    assert caught.value.errno == errno.ENXIO

    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert write_into_stream(path, b"content")

    assert os.read(reader, 100) == b"content"
    os.close(reader)


@posix
def test_only_streams_are_written_into(tmp_path):
    (tmp_path / "file").write_text("mine")

    assert write_into_stream("/dev/null", b"content")
    for name in ("file", "gone", "."):
        assert not write_into_stream(str(tmp_path / name), b"content")

    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("kind", "expected"), [("nfs4", True), ("ext4", False), ("9p", True)])
def test_network_file_system_is_known_by_its_type(tmp_path, monkeypatch, kind, expected):
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"36 22 0:77 / /data rw,noatime shared:1 master:2 - {kind} host:/x rw\n"
    )
    real_open = open
    monkeypatch.setattr(
        "builtins.open",
        lambda name, *a, **k: real_open(table if name == "/proc/self/mountinfo" else name, *a, **k),
    )
    monkeypatch.setattr(system, "_file_systems", {})

    assert is_network(os.makedev(0, 77)) == expected
    assert locks_reach_others(os.makedev(0, 77)) != expected
    assert is_network(os.makedev(0, 78)) is False
    assert is_network(os.makedev(8, 1)) is False


def test_size_of_a_file(tmp_path):
    (tmp_path / "f").write_bytes(b"12345")

    assert file_size(str(tmp_path / "f")) == 5
    with pytest.raises(FileNotFoundError):
        file_size(str(tmp_path / "none"))


def test_text_is_utf_8_whatever_the_locale(tmp_path):
    (tmp_path / "f").write_bytes("ä\n".encode())

    assert read_text(str(tmp_path / "f")) == "ä\n"


def test_output_that_is_dropped_goes_nowhere():
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")

    drop_output(writer)

    assert os.write(writer, b"x") == 1
    os.close(writer)
