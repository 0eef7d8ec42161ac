"""A map of a file: its buffer, how long it lives, and what is refused."""

import os

import pytest

from fastckpt.storage._map import Map


@pytest.fixture
def path(tmp_path):
    (tmp_path / "f").write_bytes(b"abcdef")
    return tmp_path / "f"


def map_file(path, size, *, writable=False):
    """Map a file whose descriptor is closed again, as `storage.local` does."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return Map(fd, size, writable=writable)
    finally:
        os.close(fd)


@pytest.mark.parametrize("size", [1, 4, 6])
def test_buffer_has_the_first_bytes_of_the_file(path, size):
    view = memoryview(map_file(path, size))

    assert view.readonly
    assert (view.format, view.ndim, view.nbytes) == ("B", 1, size)
    assert bytes(view) == b"abcdef"[:size]
    with pytest.raises(TypeError, match="read-only"):
        view[0] = 0


def test_read_only_map_sees_what_is_written_in_place(path):
    view = memoryview(map_file(path, 6))

    with open(path, "r+b") as file:
        file.write(b"X")

    assert bytes(view) == b"Xbcdef"


def test_what_is_written_into_a_map_never_reaches_the_file(path):
    first, second = (memoryview(map_file(path, 6, writable=True)) for _ in range(2))

    first[:3] = b"XYZ"

    assert bytes(first) == b"XYZdef"
    assert bytes(second) == path.read_bytes() == b"abcdef"


def test_view_outlives_the_map_and_the_name_of_the_file(path):
    view = memoryview(map_file(path, 6))[2:4]

    os.unlink(path)

    assert bytes(view) == b"cd"


def test_map_holds_no_descriptor(path):
    before = len(os.listdir("/dev/fd"))

    maps = [map_file(path, 6) for _ in range(10)]

    assert len(os.listdir("/dev/fd")) == before
    assert all(bytes(each) == b"abcdef" for each in maps)


@pytest.mark.parametrize("size", [0, -1, -(2**62)])
def test_size_that_is_not_above_zero_is_a_value_error(path, size):
    with pytest.raises(ValueError, match=f"expected a size above 0, got {size}"):
        map_file(path, size)


def test_descriptor_that_is_not_open_is_an_os_error(path):
    fd = os.open(path, os.O_RDONLY)
    os.close(fd)

    with pytest.raises(OSError, match="descriptor"):
        Map(fd, 6, writable=False)


def test_folder_cannot_be_mapped(tmp_path):
    with pytest.raises(OSError, match="No such device|Operation not supported|Invalid argument"):
        map_file(tmp_path, 1)
