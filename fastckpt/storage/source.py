"""`ByteSource` and `Store`: what readers and writers ask for bytes.

A reader asks its store to open a path and gets a `ByteSource`; a writer gets a `Stage` or replaces
one file. `storage.local.LOCAL` is the store of local files:

    LOCAL.open(path)        a source of a regular file; anything else is an `OSError` at once
    LOCAL.exists(path)      whether there is a regular file, or a link to one
    LOCAL.list(folder)      the names in a folder, sorted; [] if there is none
    LOCAL.stage(path)       files that become visible together, `path` the last
    LOCAL.replace(path, data, sync=True)    one file that becomes visible at once

A store of remote objects implements the same two protocols: `open` is one request for the tail and
the size, `map` gives None, `fileno` -1, `identity` is the ETag, and `stage` commits by putting the
index last.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["ByteSink", "ByteSource", "Commit", "Store"]


class ByteSource(Protocol):
    """Bytes that are read by position, by any number of threads.

    `what` names the bytes in errors: a range outside of the source, or a source that is shorter
    now than when it was opened, is a `FormatError`; a read that fails is an `OSError`.
    """

    @property
    def path(self) -> str:
        """The path that it was opened by."""

    @property
    def size(self) -> int:
        """The number of bytes when it was opened."""

    @property
    def identity(self) -> Hashable:
        """A value that changes when other bytes take the path."""

    def read(self, offset: int, size: int, what: str) -> bytes:
        """Return `size` bytes."""

    def read_into(self, view: memoryview, offset: int, what: str) -> int:
        """Fill a writable buffer of bytes and return their CRC-32C."""

    def checksum(self, offset: int, size: int, what: str) -> int:
        """Return the CRC-32C of a range, in the memory of one chunk."""

    def chunks(self, offset: int, size: int, what: str) -> Iterator[bytes]:
        """Yield a range in pieces of bounded size."""

    def map(self, *, writable: bool) -> npt.NDArray[np.uint8] | None:
        """Map all bytes, None where that is impossible. Writing into a writable map changes
        nothing but the map. The array stays valid after `close`."""

    def fileno(self) -> int:
        """Return the descriptor, -1 if there is none."""

    def check_current_size(self, offset: int, size: int, what: str) -> None:
        """Raise `FormatError` if a range is no longer there."""

    def is_current(self) -> bool:
        """Return whether the path still leads to these bytes."""

    def is_network(self) -> bool:
        """Return whether reading goes over a network, so that fewer and larger reads pay."""

    def close(self) -> None:
        """Give the descriptor back. Closing twice is no error."""


class ByteSink(Protocol):
    """A new file that is appended to, invisible until its stage commits."""

    @property
    def position(self) -> int:
        """The offset of the next byte."""

    def append(self, data: bytes | memoryview, alignment: int = 1) -> int:
        """Append bytes, then zeros up to a multiple of `alignment`; return their offset."""


class Commit(Protocol):
    """Files that become visible together; `commit_file` is the one that says that all are there."""

    @property
    def commit_file(self) -> ByteSink:
        """The file that becomes visible last."""

    def create(self, path: str) -> ByteSink:
        """Return a new file that `commit` makes visible as `path`."""

    def link(self, source: str, path: str) -> None:
        """Stage another name of an existing file, or a copy of it."""

    def commit(self, find_obsolete: Callable[[], Iterable[str]]) -> None:
        """Make all files visible, then remove the paths that `find_obsolete` returns."""

    def discard(self) -> None:
        """Remove what was staged, unless it is needed to complete an interrupted commit."""

    def __enter__(self) -> Commit:
        """Return itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Discard what was not committed."""


class Store(Protocol):
    """A place where checkpoints are: local files, or objects of a remote store."""

    def open(self, path: str, *, stays_open: bool = True) -> ByteSource:
        """Open a file. Raises `FileNotFoundError`, and `OSError` for what is no regular file.

        With `stays_open=False` it is reopened for every read, which bounds descriptors when there
        are thousands of files.
        """

    def exists(self, path: str) -> bool:
        """Return whether there is a file, not a folder, at a path."""

    def list(self, folder: str) -> list[str]:
        """Return the sorted names in a folder ("" is the current one), [] if there is none."""

    def stage(self, commit_path: str, *, sync: bool) -> Commit:
        """Begin to write files that become visible together."""

    def replace(self, path: str, data: bytes, *, sync: bool) -> None:
        """Write a file that becomes visible at once, in the place of an older one."""
