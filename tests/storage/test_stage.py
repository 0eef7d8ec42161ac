"""Files that are read by position or mapped, and files that appear together."""

import contextlib
import errno
import gc
import os
import shutil
import sys

import numpy as np
import pytest

from fastckpt.bundle.names import list_files, staged_path
from fastckpt.errors import FormatError
from fastckpt.format.checksum import crc32c
from fastckpt.storage import stage as storage
from fastckpt.storage.stage import File, OutputFile, Stage, empty_bytes, is_network, leftovers

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")
CONTENT = bytes(range(256)) * 3000  # three chunks, the last one not full


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return str(path)


def list_fds():
    gc.collect()  # what earlier tests left
    return set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else set()


# ---- reading


def test_file_that_is_not_there_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        File(str(tmp_path / "none"))

    assert caught.value.filename == str(tmp_path / "none")


def test_folder_is_not_read(tmp_path):
    before = list_fds()

    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        File(str(tmp_path))

    assert list_fds() == before


@posix
def test_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="pipe") as caught:
        File(str(tmp_path / "pipe"))

    assert caught.value.errno == errno.EINVAL


OUTSIDE = [
    (0, len(CONTENT) + 1),
    (len(CONTENT), 1),
    (len(CONTENT) + 1, 0),
    (1, len(CONTENT)),
    (-1, 1),
    (-1, 0),
    (1 << 62, 1 << 62),
    ((1 << 63) - 1, 1),
    (0, 1 << 63),
    (1 << 64, 5),
]


@pytest.mark.parametrize(("offset", "size"), OUTSIDE)
def test_range_outside_of_the_file_is_a_format_error(path, offset, size):
    file = File(path)
    message = f"thing: expected {size} bytes at {offset}, but the file ends at {len(CONTENT)}"

    for read in (file.read, file.checksum, lambda *args: list(file.chunks(*args))):
        with pytest.raises(FormatError, match=message):
            read(offset, size, "thing")


def test_buffer_larger_than_what_is_left_is_a_format_error(path):
    buffer = bytearray(10)

    with pytest.raises(FormatError, match="expected 10 bytes at 767991"):
        File(path).read_into(memoryview(buffer), len(CONTENT) - 9, "thing")

    assert buffer == bytes(10)


@posix
def test_file_that_shrank_is_a_format_error(path):
    file = File(path)
    os.truncate(path, 1000)

    for read in (file.read, file.checksum, lambda *args: list(file.chunks(*args))):
        with pytest.raises(FormatError, match="thing: expected .* got .*: the file shrank"):
            read(0, len(CONTENT), "thing")
    with pytest.raises(FormatError, match="the file shrank"):
        file.read_into(memoryview(bytearray(2000)), 0, "thing")


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 0), (0, 1), (5, 10), (0, len(CONTENT)), (len(CONTENT), 0), (262143, 2), (1, 700_000)],
)
def test_range_is_read_and_checksummed(path, offset, size):
    file = File(path)
    expected = CONTENT[offset : offset + size]
    buffer = bytearray(size)

    assert file.read(offset, size, "thing") == expected
    assert file.checksum(offset, size, "thing") == crc32c(expected)
    assert b"".join(file.chunks(offset, size, "thing")) == expected
    assert file.read_into(memoryview(buffer), offset, "thing") == crc32c(expected)
    assert bytes(buffer) == expected


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="needs preadv")
def test_short_reads_are_continued(path, monkeypatch):
    real_preadv, real_pread = os.preadv, os.pread
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: real_preadv(fd, [views[0][:1000]], at))
    monkeypatch.setattr(os, "pread", lambda fd, size, at: real_pread(fd, min(size, 1000), at))
    file = File(path)
    buffer = bytearray(len(CONTENT))

    assert file.read(3, 5000, "thing") == CONTENT[3:5003]
    assert file.read_into(memoryview(buffer), 0, "thing") == crc32c(CONTENT)
    assert bytes(buffer) == CONTENT


def test_descriptor_is_given_back(path):
    before = list_fds()
    file = File(path)

    file.close()
    file.close()

    assert list_fds() == before


def test_descriptor_is_given_back_without_being_closed(path):
    before = list_fds()

    for _ in range(10):
        File(path)
    gc.collect()

    assert list_fds() == before


def test_map_has_the_bytes_and_is_read_only(path):
    mapped = File(path).map(writable=False)

    assert mapped.tobytes() == CONTENT
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 1


def test_writable_map_never_changes_the_file(path):
    mapped = File(path).map(writable=True)

    mapped[:] = 7

    assert (mapped == 7).all()
    with open(path, "rb") as file:
        assert file.read() == CONTENT


def test_map_outlives_its_file(path):
    file = File(path)
    view = file.map(writable=False)[100:200]

    file.close()
    del file
    gc.collect()

    assert view.tobytes() == CONTENT[100:200]


@pytest.mark.parametrize("writable", [False, True])
def test_empty_file_maps_to_nothing(tmp_path, writable):
    (tmp_path / "empty").touch()

    assert File(str(tmp_path / "empty")).map(writable=writable).size == 0


def test_file_is_current_until_another_one_takes_its_path(path):
    file = File(path)
    assert file.is_current()

    os.rename(path, path + ".moved")
    assert not file.is_current()

    with open(path, "wb") as other:
        other.write(CONTENT)
    assert not file.is_current()


def test_local_folder_is_no_network(path):
    assert not File(path).is_network()


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
    monkeypatch.setattr(storage, "_network_devices", {})

    assert is_network(os.makedev(0, 77)) == expected
    assert is_network(os.makedev(0, 78)) is False
    assert is_network(os.makedev(8, 1)) is False


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 1_000_003])
def test_empty_bytes_have_their_size(size):
    array = empty_bytes(size)

    assert (array.size, array.dtype, array.flags.writeable) == (size, np.uint8, True)
    if size >= 65536:
        assert array.__array_interface__["data"][0] % 64 == 0


# ---- writing


def test_output_never_opens_a_file_that_is_there(path):
    with pytest.raises(FileExistsError):
        OutputFile(path)

    with open(path, "rb") as file:
        assert file.read() == CONTENT


def test_what_is_buffered_is_lost_when_closed(tmp_path):
    file = OutputFile(str(tmp_path / "new"))
    file.append(b"abc")

    file.close()
    file.close()

    assert (tmp_path / "new").read_bytes() == b""


@pytest.mark.parametrize("alignment", [1, 2, 7, 64, 4096])
def test_output_is_what_was_appended_whatever_the_sizes(tmp_path, alignment):
    file = OutputFile(str(tmp_path / "new"))
    expected = b""

    for size in (0, 1, 100, 262143, 262144, 262145, 5, 1_000_000, 3):
        chunk = (CONTENT * 2)[:size]
        offset = file.append(memoryview(chunk), alignment)
        assert offset == len(expected)
        expected += chunk + bytes(-(offset + size) % alignment)
        assert file.position == len(expected)
    file.finish(sync=False)

    assert (tmp_path / "new").read_bytes() == expected


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data[:70_000])))
    file = OutputFile(str(tmp_path / "new"))

    file.append(b"head")
    file.append(CONTENT)
    file.finish(sync=False)

    assert (tmp_path / "new").read_bytes() == b"head" + CONTENT


@pytest.mark.parametrize("sync", [False, True])
def test_output_is_made_durable_if_asked_to(tmp_path, monkeypatch, sync):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    file = OutputFile(str(tmp_path / "new"))

    file.finish(sync=sync)

    assert len(synced) == sync


# ---- stages


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
    monkeypatch.setattr(shutil, "copyfile", refuse)
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
        stage.commit_file.close()
        assert sorted(leftovers(staged)) == sorted(staged)


def test_leftovers_of_files_that_vanish_do_not_fail(tmp_path):
    gone = staged_path(str(tmp_path / "m.index"), "0" * 16)

    with contextlib.suppress(FileNotFoundError):
        leftovers([gone])
    assert leftovers([]) == []
