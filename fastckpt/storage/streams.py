"""Streams for other people's libraries, which read or write a file through them."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from .local import File

__all__ = ["ReadStream", "WriteStream", "create_file", "open_file"]


def open_file(path: str) -> File:
    """Open a file to read. Raises `OSError`, at once, for anything but a regular file."""
    return File(path)


class ReadStream(io.RawIOBase):
    """The `size` bytes of a file from `start` on as a stream, for a library that parses one.

    An error is kept for `check`, and the bytes that could not be read are zeros: a library below
    Python may crash when a callback raises, or drop the error.
    """

    def __init__(self, file: File, start: int = 0, size: int | None = None) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._size = file.size - start if size is None else size
        self._position = 0
        self._error: Exception | None = None

    def check(self) -> None:
        """Raise the error of an earlier read, if there was one."""
        if self._error is not None:
            raise self._error

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self._file.path)
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        view = view[: max(0, self._size - self._position)]
        if not view:
            return 0
        try:
            self._file.read_into(view, self._start + self._position, "bytes")
        except Exception as error:
            self._error = self._error or error.with_traceback(None)
            view[:] = bytes(len(view))
        self._position += len(view)
        return len(view)


def create_file(path: str) -> BinaryIO:
    """Open a new file to write. Raises `FileExistsError` for a path at which there is anything, a
    link included."""
    return open(path, "xb")


class WriteStream:
    """A new file that a library writes, which may crash when a callback raises, or drop the error
    together with the data. So an error is kept for `check` and hidden from the library."""

    def __init__(self, path: str) -> None:
        self._file = io.FileIO(path, "x+")  # for reading, too, and without a buffer
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the error of an earlier call, if there was one."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        with self._kept():
            while left:
                left = left[self._file.write(left) :]
        return size

    def read(self, size: int = -1) -> bytes:  # by which h5py knows a file, and does not call it
        return self._file.read(size) or b""

    def readinto(self, buffer: Any) -> int:
        with self._kept():
            return self._file.readinto(buffer) or 0
        return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int) -> int:
        with self._kept():
            self._file.truncate(size)
        return size

    def flush(self) -> None: ...

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = self._error or error.with_traceback(None)

    def __enter__(self) -> WriteStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._file.close()
        if kind is None:
            self.check()
