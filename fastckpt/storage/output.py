"""Bytes out: a new file that is appended to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from .locks import try_lock
from .system import APPEND, CREATE, open_regular

__all__ = ["OutputFile"]

_CHUNK: Final = 256 * 1024  # bytes that are buffered before they are written
_SMALL_BUFFER: Final = 4 * 1024  # of each of thousands of files
_TRIES: Final = 100  # of locking a new file, which another process may be probing


class OutputFile:
    """A new file that is appended to through a buffer. `position` is where the next byte goes.

    With `stays_open=False` it is reopened each time that its buffer, a small one then, is written,
    which bounds descriptors when there are thousands of files. `mode` are the permissions that it
    has once it is finished; None are those that the umask gives.
    """

    __slots__ = ("_buffer", "_fd", "_mode", "_now", "_stays_open", "path", "position")

    def __init__(self, path: str, *, stays_open: bool = True, mode: int | None = None) -> None:
        self._fd = -1
        created = 0o666 if mode is None else mode & 0o666 | 0o600
        self._fd, status = open_regular(path, CREATE, created)
        self._now = status.st_mode & 0o777
        self._mode = self._now if mode is None else mode
        self._stays_open = stays_open
        self.path = path
        self.position = 0
        self._buffer = bytearray()
        if not stays_open:
            self.close()

    def append(self, data: bytes | memoryview, alignment: int = 1) -> int:
        """Append bytes, and zeros up to a multiple of `alignment`; return where they begin.

        Many bytes are written at once, without a copy.
        """
        buffer = self._buffer
        limit = _CHUNK if self._stays_open else _SMALL_BUFFER
        offset = self.position
        end = offset + len(data)
        if len(data) < limit:
            buffer += data
        else:
            self._flush()
            self._write_all(memoryview(data))
        padding = -end % alignment
        if padding:
            buffer += bytes(padding)
        self.position = end + padding
        if len(buffer) >= limit:
            self._flush()
        return offset

    def finish(self, *, sync: bool) -> None:
        """Write what is buffered, and make it durable if asked to. The file stays open, so that
        a lock on it stays, too."""
        self._flush()
        if sync or self._now != self._mode:
            with self._opened() as fd:
                self._set_mode(fd, self._mode)
                if sync:
                    os.fsync(fd)

    def close(self) -> None:
        """Give the descriptor back; what is still buffered is lost."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as error:
                error.filename = self.path  # which the system's do not have
                raise

    __del__ = close

    def lock(self) -> None:
        """Mark the file as somebody's, for as long as it is open. Nobody can read it then who may
        not write it, since whoever can open a file can lock it."""
        self._set_mode(self._fd, self._now & ~0o444 | (self._now & 0o222) << 1)
        for _ in range(_TRIES):
            if try_lock(self._fd) is not False:
                break

    def _set_mode(self, fd: int, mode: int) -> None:
        if mode != self._now and hasattr(os, "fchmod"):
            with suppress(OSError):  # a file system without permissions
                os.fchmod(fd, mode)
        self._now = mode

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor for a while. Errors get the path, which the system's do not have."""
        try:
            if self._stays_open:
                yield self._fd
                return
            fd, _ = open_regular(self.path, APPEND)
            try:
                yield fd
            finally:
                os.close(fd)
        except OSError as error:
            error.filename = self.path
            raise

    def _flush(self) -> None:
        if self._buffer:
            with memoryview(self._buffer) as view:
                self._write_all(view)
            self._buffer.clear()

    def _write_all(self, view: memoryview) -> None:
        written = 0
        with self._opened() as fd:
            while written < len(view):
                written += os.write(fd, view[written:])
