"""Streams for other libraries: the bytes that are there, and errors that are kept."""

import errno
import io
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastckpt.storage.streams import ReadStream, WriteStream, create_file, open_file


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("streams") / "file"
    path.write_bytes(bytes(range(200)))
    file = open_file(str(path))
    yield file
    file.close()


moves = st.lists(
    st.tuples(st.just("read"), st.integers(0, 250))
    | st.tuples(st.sampled_from(["set", "end", "here"]), st.integers(-60, 250)),
    max_size=12,
)


@settings(deadline=None)
@given(start=st.integers(0, 200), size=st.integers(0, 200), moves=moves)
def test_stream_behaves_as_bytes_do(file, start, size, moves):
    size = min(size, 200 - start)
    stream = ReadStream(file, start, size)
    expected = io.BytesIO(bytes(range(200))[start : start + size])
    whence = {"set": os.SEEK_SET, "end": os.SEEK_END, "here": os.SEEK_CUR}

    for what, number in moves:
        if what == "read":
            assert stream.read(number) == expected.read(number)
        elif what != "set" and expected.tell() * (what == "here") + number < 0 or number < 0:
            continue
        else:
            assert stream.seek(number, whence[what]) == expected.seek(number, whence[what])
        assert stream.tell() == expected.tell()
    stream.check()


def test_seek_before_the_start_is_an_error_of_the_system(file):
    with pytest.raises(OSError) as raised:
        ReadStream(file).seek(-1)
    assert raised.value.errno == errno.EINVAL


def test_failed_read_gives_zeros_and_is_told_by_check(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 100)
    file = open_file(str(tmp_path / "file"))
    stream = ReadStream(file)
    (tmp_path / "file").write_bytes(b"x" * 10)

    buffer = bytearray(b"y" * 50)
    assert stream.readinto(buffer) == 50

    assert buffer == bytes(50)
    with pytest.raises(ValueError, match="shrank"):
        stream.check()
    file.close()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_only_regular_files_are_opened(tmp_path, make):
    make(tmp_path / "odd")

    with pytest.raises(OSError):
        open_file(str(tmp_path / "odd"))


@pytest.mark.parametrize("leads_to", ["file", "nothing"])
@pytest.mark.parametrize("create", [create_file, WriteStream])
def test_nothing_that_is_there_is_written_to(tmp_path, create, leads_to):
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(leads_to)

    with pytest.raises(FileExistsError):
        create(str(tmp_path / "link"))

    assert (tmp_path / "file").read_bytes() == b"mine"
    assert not (tmp_path / "nothing").exists()


def test_what_is_written_can_be_read_back(tmp_path):
    with WriteStream(str(tmp_path / "file")) as stream:
        assert stream.write(np.arange(4, dtype=np.uint8)) == 4
        stream.seek(1)
        buffer = bytearray(2)
        assert (stream.readinto(buffer), bytes(buffer), stream.tell()) == (2, b"\1\2", 3)
        stream.truncate(3)

    assert (tmp_path / "file").read_bytes() == b"\0\1\2"


class FullDisk(io.FileIO):
    """A file on a disk that is full."""

    def write(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_failed_write_is_hidden_and_raised_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "FileIO", FullDisk)

    with pytest.raises(OSError) as raised, WriteStream(str(tmp_path / "file")) as stream:
        assert stream.write(b"data") == 4
    assert raised.value.errno == errno.ENOSPC
