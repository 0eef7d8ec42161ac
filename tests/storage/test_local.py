"""Files that are read by position or mapped."""

import errno
import gc
import os
import sys

import numpy as np
import pytest

from fastckpt.errors import FormatError
from fastckpt.format.checksum import crc32c
from fastckpt.storage.local import File, empty_bytes

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
    message = f"thing at {offset}: expected {size} bytes, but the file ends at {len(CONTENT)}"

    for read in (file.read, file.checksum, lambda *args: list(file.chunks(*args))):
        with pytest.raises(FormatError, match=message):
            read(offset, size, "thing")


def test_buffer_larger_than_what_is_left_is_a_format_error(path):
    buffer = bytearray(10)

    with pytest.raises(FormatError, match="thing at 767991: expected 10 bytes"):
        File(path).read_into(memoryview(buffer), len(CONTENT) - 9, "thing")

    assert buffer == bytes(10)


@posix
def test_file_that_shrank_is_a_format_error(path):
    file = File(path)
    os.truncate(path, 1000)

    for read in (file.read, file.checksum, lambda *args: list(file.chunks(*args))):
        with pytest.raises(FormatError, match="thing at 0: expected .* got .*: the file shrank"):
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


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 1_000_003])
def test_empty_bytes_have_their_size(size):
    array = empty_bytes(size)

    assert (array.size, array.dtype, array.flags.writeable) == (size, np.uint8, True)
    if size >= 65536:
        assert array.__array_interface__["data"][0] % 64 == 0
