"""Best-effort reader for a damaged V2 index: every block whose checksum verifies.

`Bundle` refuses a damaged index. Here each block stands for itself, the header may be missing, and
without a footer blocks are found by their checksums. No part of a block that fails is used: a
single bit may be another name or another dtype.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..checkpoint import Stored, StoredPart
from ..errors import CheckpointError, Fault, FormatError, TensorNotFoundError, name_tensor
from ..format._record import Entry, decode_entry, decode_header, decode_name, encode_name
from ..format._table import TRAILER_SIZE, Table
from ..format._table_builder import TableBuilder
from ..format.checksum import crc32c, unmask
from ..storage.local import LOCAL, File, empty_bytes
from ._index import find_slice_keys
from .names import list_files, parse_shard, shard_path
from .tensors import list_parts, locate, read_parts, read_tensor, slice_parts, verify_tensor

__all__ = ["Remains", "check_entry", "find_shard_beside", "open_table"]

Item = tuple[bytes, bytes]
FindShard = Callable[[int, int | None], str]

_EMPTY_BLOCK_SIZE: Final = 8  # one restart and their number; what follows the data blocks
_AFTER_ALL: Final = b"\xff" * 64  # after every key that is UTF-8
_SEARCHED: Final = 1 << 30  # bytes of a file that are searched for blocks
_WINDOW: Final = 1 << 20


class Remains:
    """The readable part of a V2 index, and the data files beside it. See `checkpoint.Stored`.

    `index` is the file of the index or its path; `find_shard` gives the path of a data file from
    its number and the count in the header, None if there is no header. Raises `OSError` as `open`
    does. Every other fault is in `problems`: of the table, the header, the blocks.
    """

    byteorder: str
    num_shards: int | None

    def __init__(self, index: str | File, find_shard: FindShard) -> None:
        file = LOCAL.open(index) if isinstance(index, str) else index
        self.path = file.path
        self.problems: list[CheckpointError] = []
        self._find_shard = find_shard
        self._files: dict[str, File] = {}
        table, problem = open_table(file)
        if problem is not None:
            self.problems.append(problem)
        self._found: list[list[Item] | CheckpointError] = list(table.blocks()) if table else []
        self.problems += [each for each in self._found if isinstance(each, CheckpointError)]
        self._records: dict[bytes, bytes] = {}
        for block in self._found:
            self._records.update(() if isinstance(block, CheckpointError) else block)
        self._read_header(table)

    def _read_header(self, table: Table | None) -> None:
        self.byteorder, self.num_shards, self.version = "little", None, 0
        record = self._records.get(b"")
        try:
            first = (b"", record) if record is not None else table.first() if table else None
            num_shards, is_big_endian, self.version = decode_header(first, self.path)
        except CheckpointError as error:
            if not self._is_first_block_lost():
                self.problems.append(error)
            return
        self.num_shards = num_shards
        self.byteorder = "big" if is_big_endian else "little"

    def _is_first_block_lost(self) -> bool:
        """Whether the header's block is lost, so that the header needs no mention of its own."""
        return isinstance(self._found[0], CheckpointError) if self._found else bool(self.problems)

    @property
    def names(self) -> list[str]:
        """The names of the tensors that have a readable record, in key order."""
        hidden = self.hidden_keys()
        return [decode_name(key) for key in sorted(self._records) if key and key not in hidden]

    def close(self) -> None:
        """Close the data files."""
        for file in self._files.values():
            file.close()
        self._files = {}

    # ---- See `checkpoint.Stored` ----

    def entry(self, name: str) -> Entry:
        """Return the entry of a tensor whose record is readable. Raises `TensorNotFoundError`."""
        record = self._records.get(encode_name(name))
        if record is None:
            raise TensorNotFoundError(self.path, name, lambda: self.names)
        try:
            return decode_entry(record, self.path, f"entry of tensor {name!r}")
        except CheckpointError as error:
            name_tensor(error, name)
            raise

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Yield (name, entry) of every tensor that has a readable record, in key order."""
        return ((name, self.entry(name)) for name in self.names)

    def parts(self, name: str) -> list[StoredPart]:
        """Return the slices of a tensor, or all of it as one part."""
        return list_parts(self, name, self.entry(name))

    def read(self, name: str, entry: Entry | None = None) -> npt.NDArray[Any]:
        """Return a tensor, verified."""
        return read_tensor(self, name, self.entry(name) if entry is None else entry)

    def read_parts(self, name: str) -> Iterator[tuple[StoredPart, npt.NDArray[Any]]]:
        """Yield each part of a tensor with its values, verified."""
        return read_parts(self, name, self.entry(name))

    def verify(self, name: str) -> None:
        """Verify the bytes of a tensor, in the memory of one chunk."""
        verify_tensor(self, name, self.entry(name))

    def record(self, key: bytes) -> bytes | None:
        """Return the record of a key, None if there is none or its block is broken."""
        return self._records.get(key)

    def blocks(self) -> Iterator[list[Item] | CheckpointError]:
        """Yield the (key, record) pairs of each block, or what is wrong with it."""
        yield from self._found

    def hidden_keys(self) -> frozenset[bytes]:
        """Return the keys of slices that some readable entry lists."""
        return find_slice_keys(self._records.items(), self.path)

    def source(self, number: int, what: str, /) -> File:
        """Return the open data file of a number."""
        if self.num_shards is not None and not 0 <= number < self.num_shards:
            problem = f"expected a shard below {self.num_shards}, got {number}"
            raise FormatError(self.path, f"entry of {what}", problem, fault=Fault.MISMATCH)
        path = self._find_shard(number, self.num_shards)
        if path not in self._files:
            try:
                self._files[path] = LOCAL.open(path)
            except FileNotFoundError:
                problem = f"data file {number + 1} of {self.num_shards or 'some'} is missing"
                raise FileNotFoundError(errno.ENOENT, problem, path) from None
        return self._files[path]


def check_entry(stored: Stored, name: str, entry: Entry) -> None:
    """Raise unless an entry's dtype, shape and size agree and its bytes lie within their files.

    Checks every slice of a partitioned tensor. Reads no data.
    """
    try:
        if not entry.slices:
            locate(stored, entry, f"tensor {name!r}")
        for part in slice_parts(stored, name, entry):
            locate(stored, part.entry, part.what)
    except CheckpointError as error:
        name_tensor(error, name)
        raise


def open_table(file: File) -> tuple[Table | None, CheckpointError | None]:
    """Return a file's table and what is wrong with it. A table without a valid end gets a new one
    over the blocks that are found; if none is found, None is returned in place of the table.
    """
    try:
        return Table(file), None
    except CheckpointError as error:
        return _mend(file), error


# ---- Blocks without a footer


class _Block(NamedTuple):
    """A block: its place in the file, its size without trailer, and a key that is no smaller than
    its last one and smaller than the first of the next block."""

    offset: int
    size: int
    up_to: bytes


class _Mended:
    """The data blocks of a file, followed by a new end of the table."""

    def __init__(self, path: str, data: memoryview, tail: bytes) -> None:
        self.path = path
        self._data = data
        self._tail = tail
        self.size = len(data) + len(tail)

    def read(self, offset: int, size: int, what: str) -> bytes:
        if not 0 <= offset <= self.size - size:
            problem = f"expected {size} bytes, but the file ends at {self.size}"
            raise FormatError(self.path, what, problem, offset=offset, fault=Fault.TRUNCATED)
        split = len(self._data)
        return (
            bytes(self._data[offset : offset + size])
            + self._tail[max(0, offset - split) : max(0, offset + size - split)]
        )


def _mend(file: File) -> Table | None:
    """Return a table of the blocks at the beginning of a file, found by their checksums; None if
    there is none.

    Blocks follow each other without a gap, so the search ends at the first that is broken or
    compressed. Takes the memory of the file, of one larger than a gigabyte the first one.
    """
    data = empty_bytes(min(file.size, _SEARCHED))
    file.read_into(data.data, 0, "blocks")
    blocks: list[_Block] = []
    for offset, size in _find_blocks(data):
        alone = _to_table(file.path, data.data, [_Block(offset, size, _AFTER_ALL)])
        try:
            items = alone.block_items(0)
        except CheckpointError:
            break
        if not items or (blocks and items[0][0] <= blocks[-1].up_to):
            break
        blocks.append(_Block(offset, size, items[-1][0]))
    return _to_table(file.path, data.data, blocks) if blocks else None


def _to_table(path: str, data: memoryview, blocks: list[_Block]) -> Table:
    """Return a table of these blocks: an index over them and a footer follow the data."""
    end = blocks[-1].offset + blocks[-1].size + TRAILER_SIZE
    return Table(_Mended(path, data[:end], TableBuilder().finish_over(blocks, end)))


def _find_blocks(data: np.ndarray[Any, np.dtype[np.uint8]]) -> Iterator[tuple[int, int]]:
    """Yield (offset, size) of the blocks from the beginning on, up to the empty one that follows
    the data. Goes over the data once."""
    view = data.data
    start = at = crc = 0
    for end, restarts in _find_ends(data):
        if end - start < 4 * (restarts + 1):
            continue
        crc = crc32c(view[at:end], crc)
        at = end
        stored = int.from_bytes(view[end + 1 : end + TRAILER_SIZE], "little")
        if crc32c(view[end : end + 1], crc) != unmask(stored):
            continue
        if end - start == _EMPTY_BLOCK_SIZE:
            return
        yield start, end - start
        start = at = end + TRAILER_SIZE
        crc = 0


def _find_ends(data: np.ndarray[Any, np.dtype[np.uint8]]) -> Iterator[tuple[int, int]]:
    """Yield (end, number of restarts) of each place that may end a block which is not compressed:
    a number of restarts, of which the first is 0, and compression 0 behind it."""
    last = len(data) - TRAILER_SIZE
    for low in range(_EMPTY_BLOCK_SIZE, last + 1, _WINDOW):
        high = min(low + _WINDOW, last + 1)
        ends = np.arange(low, high)
        counts = _u32_at(data, ends - 4)
        starts = ends - 4 - 4 * counts
        fits = (data[low:high] == 0) & (counts > 0) & (starts >= 0)
        ends, counts, starts = ends[fits], counts[fits], starts[fits]
        fits = _u32_at(data, starts) == 0
        yield from zip(ends[fits].tolist(), counts[fits].tolist(), strict=True)


def _u32_at(
    data: np.ndarray[Any, np.dtype[np.uint8]], places: np.ndarray[Any, np.dtype[np.int64]]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    numbers = np.zeros(len(places), np.int64)
    for i in range(4):
        numbers |= data[places + i].astype(np.int64) << 8 * i
    return numbers


def find_shard_beside(prefix: str) -> FindShard:
    """Return where the data files of a prefix are: under the count of the header, and where there
    is none of that name, under the only other count that has the number."""
    others = list_files(prefix)[0]

    def find(number: int, count: int | None) -> str:
        path = shard_path(prefix, number, count or 1)
        if count is not None and LOCAL.exists(path):
            return path
        found = [each for each in others if (parse_shard(each) or ("", -1))[1] == number]
        return found[0] if len(found) == 1 else path

    return find
