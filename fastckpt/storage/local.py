"""Local files: read by position or mapped (the only user of `mmap`), and the store of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..errors import CheckpointError, Fault, FormatError
from ..format.checksum import crc32c
from .system import READ, TIMEOUT, is_file, is_network, list_folder, open_regular

if sys.platform != "win32":
    from ._map import Map

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .stage import Stage

__all__ = ["LOCAL", "File", "LocalStore", "empty_bytes"]

_CHUNK: Final = 256 * 1024  # read or written and checksummed while it is in the CPU's cache


class File:
    """A regular file that is read by position: safe to share between threads and after fork.

    `size` is what it was when it was opened. `identity` changes when another file takes the
    path. With `stays_open=False` it is reopened for every read, which bounds descriptors when there
    are thousands of files. Raises `OSError` as `open` does, and for what is no regular file.
    """

    __slots__ = ("_fd", "_stays_open", "identity", "path", "size")

    def __init__(self, path: str, *, stays_open: bool = True) -> None:
        self._fd = -1
        self._stays_open = stays_open
        self._fd, status = open_regular(path, READ)
        self.path = path
        self.size = status.st_size
        self.identity = _identity(status)
        if not stays_open:
            self._park()

    def close(self) -> None:
        """Give the descriptor back. Maps stay valid."""
        self._stays_open = True  # nothing opens it anew
        self._park()

    __del__ = close

    # The defaults are still there when the interpreter ends and the module's names are gone.
    def _park(
        self, close: Callable[[int], None] = os.close, failure: type[OSError] = OSError
    ) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:  # noqa: SIM105 - what suppress needs may be gone
                close(fd)
            except failure:
                pass  # nothing is lost

    def read(self, offset: int, size: int, what: str) -> bytes:
        """Return `size` bytes; `what` names them in the error if they are not there."""
        self._check(offset, size, what)
        if _HAS_PREAD and self._stays_open:
            try:
                data = os.pread(self._fd, size, offset)
            except OSError as error:
                error.filename = self.path  # which the system's do not have
                raise
            if len(data) == size:
                return data
        buffer = bytearray(size)
        self._fill(memoryview(buffer), offset, what)
        return bytes(buffer)

    def read_into(self, view: memoryview, offset: int, what: str) -> int:
        """Fill a buffer of bytes and return their CRC-32C."""
        self._check(offset, len(view), what)
        crc = 0
        for start in range(0, len(view), _CHUNK):
            chunk = view[start : start + _CHUNK]
            self._fill(chunk, offset + start, what)
            crc = crc32c(chunk, crc)
        return crc

    def checksum(self, offset: int, size: int, what: str) -> int:
        """Return the CRC-32C of a range, in the memory of one chunk."""
        self._check(offset, size, what)
        buffer = empty_bytes(min(size, _CHUNK)).data
        crc = 0
        for start in range(0, size, _CHUNK):
            chunk = buffer[: size - start]
            self._fill(chunk, offset + start, what)
            crc = crc32c(chunk, crc)
        return crc

    def chunks(self, offset: int, size: int, what: str) -> Iterator[bytes]:
        """Yield a range piece by piece."""
        self._check(offset, size, what)
        for start in range(0, size, _CHUNK):
            yield self.read(offset + start, min(_CHUNK, size - start), what)

    def map(self, *, writable: bool) -> npt.NDArray[np.uint8]:
        """Map the whole file; a writable map is private, and never changes the file.

        The array pins the map: it is unmapped when the last array that views it is gone.
        """
        import numpy as np

        if self.size == 0:  # what mmap refuses
            return np.empty(0, np.uint8)
        with self._opened() as fd:
            try:
                return np.frombuffer(_map(fd, self.size, writable=writable), np.uint8)
            except OSError as error:
                error.filename = self.path  # which the system's do not have
                raise

    def fileno(self) -> int:
        """Return the descriptor, -1 if the file does not stay open."""
        return self._fd

    def check_current_size(self, offset: int, size: int, what: str) -> None:
        """Compare with the size that the file has now: it may have been cut short in place."""
        with self._opened() as fd:
            now = os.fstat(fd).st_size
        if size > now - offset:
            problem = f"expected {size} bytes, but the file ends at {now} now: it was cut short "
            problem += "since it was opened"
            raise FormatError(self.path, what, problem, offset=offset, fault=Fault.TRUNCATED)

    def is_current(self) -> bool:
        """Whether the path still leads to this very file."""
        try:
            return _identity(os.stat(self.path)) == self.identity
        except OSError:
            return False

    def is_network(self) -> bool:
        """Whether the file lies on a network file system."""
        return is_network(self.identity[0])

    def _check(self, offset: int, size: int, what: str) -> None:
        """Compare with the file's size before anything is allocated."""
        if offset < 0 or offset > self.size or size > self.size - offset:
            problem = f"expected {size} bytes, but the file ends at {self.size}"
            raise FormatError(self.path, what, problem, offset=offset, fault=Fault.TRUNCATED)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor for a while."""
        if self._stays_open:
            yield self._fd
            return
        again = File(self.path)
        try:
            if again.identity != self.identity:
                problem = "expected the file that was opened, got another one in its place"
                raise CheckpointError(self.path, "file", problem, fault=Fault.CHANGED)
            yield again._fd
        finally:
            again.close()

    def _fill(self, view: memoryview, offset: int, what: str) -> None:
        if self._stays_open:
            self._fill_from(self._fd, view, offset, what)
        else:
            with self._opened() as fd:
                self._fill_from(fd, view, offset, what)

    def _fill_from(self, fd: int, view: memoryview, offset: int, what: str) -> None:
        filled = 0
        while filled < len(view):
            try:
                count = _read_at(fd, view[filled:], offset + filled)
            except OSError as error:
                error.filename = self.path  # which the system's do not have
                raise
            if count == 0:
                problem = f"expected {len(view)} bytes, got {filled}: the file shrank"
                raise FormatError(self.path, what, problem, offset=offset, fault=Fault.TRUNCATED)
            filled += count


def _map(fd: int, size: int, *, writable: bool) -> memoryview:
    """Return a map that keeps no descriptor, where that is possible."""
    if sys.platform != "win32":
        return memoryview(Map(fd, size, writable=writable))
    import mmap

    access = mmap.ACCESS_COPY if writable else mmap.ACCESS_READ
    return memoryview(mmap.mmap(fd, size, access=access))


def empty_bytes(size: int) -> npt.NDArray[np.uint8]:
    """Return bytes to be filled, at an address that is a multiple of 64.

    NumPy aligns to 16, and there are CPUs on which the kernel then copies a file's bytes at a
    quarter of its speed.
    """
    import numpy as np  # here: what only reads an index need not wait for it

    if size < _ALIGNMENT_PAYS:
        return np.empty(size, np.uint8)
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % _ALIGNMENT
    return memory[start : start + size]


_ALIGNMENT: Final = 64
_ALIGNMENT_PAYS: Final = 64 * 1024
_HAS_PREAD: Final = hasattr(os, "pread")


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


if hasattr(os, "preadv"):

    def _read_at(fd: int, view: memoryview, offset: int) -> int:
        return os.preadv(fd, [view], offset)

else:
    import threading

    _SEEK_LOCK = threading.Lock()

    def _read_at(fd: int, view: memoryview, offset: int) -> int:
        with _SEEK_LOCK:
            os.lseek(fd, offset, os.SEEK_SET)
            data = os.read(fd, len(view))
        view[: len(data)] = data
        return len(data)


class LocalStore:
    """The files of this machine: `storage.source.Store`."""

    def open(self, path: str, *, stays_open: bool = True) -> File:
        return File(path, stays_open=stays_open)

    def exists(self, path: str) -> bool:
        return is_file(path)

    def list(self, folder: str) -> list[str]:
        return list_folder(folder)

    def stage(self, commit_path: str, *, sync: bool, timeout: float = TIMEOUT) -> Stage:
        from .stage import Stage  # here: reading needs nothing of it

        return Stage(commit_path, sync=sync, timeout=timeout)

    def replace(self, path: str, data: bytes, *, sync: bool) -> None:
        from .stage import replace_file

        replace_file(path, data, sync=sync)


LOCAL: Final = LocalStore()
