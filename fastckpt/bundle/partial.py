"""A V2 index of which parts may be broken: whatever blocks of it still verify.

`Bundle` refuses what is not right. Here each block stands for itself, the header may be missing,
and without a footer the blocks are found by their checksums. Nothing comes out that no checksum
vouches for: of a block that fails, nothing is used, since a single bit may be another name or
dtype.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from ..errors import AboutTensor, CheckpointError, Fault, FormatError
from ..format._record import Entry, decode_entry, decode_header, decode_name, encode_name, slice_key
from ..format._table import Table
from ..format.checksum import crc32c, mask, unmask
from ..format.slices import Box
from ..storage.local import File, empty_bytes
from .names import list_files, parse_shard, shard_path
from .tensors import Source, locate, read_parts, slice_parts, verify_tensor

__all__ = ["Remains", "check_entry", "find_shard_beside", "open_table"]

Item = tuple[bytes, bytes]
FindShard = Callable[[int, int | None], str]

_FOOTER_SIZE: Final = 48
_TRAILER_SIZE: Final = 5
_TABLE_MAGIC: Final = bytes.fromhex("57fb808b247547db")
_EMPTY_BLOCK_SIZE: Final = 8  # one restart and their number; what follows the data blocks
_AFTER_ALL: Final = b"\xff" * 64  # behind every key that is UTF-8
_SEARCHED: Final = 1 << 30  # bytes of a file that are searched for blocks
_WINDOW: Final = 1 << 20


class Remains:
    """What is left of a V2 checkpoint. Offers what `find_problems` and `Writer.add_from` need.

    `index` is the file with the index or its path, `find_shard` gives the path of a data file from
    its number and the count of the header, None if there is no header. Raises `OSError` as `open`
    does. Everything else that is wrong is in `problems`: of the table, the header, the blocks.
    """

    byteorder: str
    num_shards: int | None

    def __init__(self, index: str | File, find_shard: FindShard) -> None:
        file = File(index) if isinstance(index, str) else index
        self.index_path = self.path = file.path
        self.problems: list[CheckpointError] = []
        self._find_shard = find_shard
        self._files: dict[str, File] = {}
        table, problem = open_table(file)
        if problem is not None:
            self.problems.append(problem)
        self._found: list[list[Item] | CheckpointError] = list(_walk(table)) if table else []
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
            num_shards, is_big_endian, self.version = decode_header(first, self.index_path)
        except CheckpointError as error:
            if not self._is_first_block_lost():
                self.problems.append(error)
            return
        self.num_shards = num_shards
        self.byteorder = "big" if is_big_endian else "little"

    def _is_first_block_lost(self) -> bool:
        """Whether the header is, too, and need not be told by itself."""
        return isinstance(self._found[0], CheckpointError) if self._found else bool(self.problems)

    @property
    def names(self) -> list[str]:
        """The names of the tensors that have a readable record, in key order."""
        hidden = self._hidden()
        return [decode_name(key) for key in sorted(self._records) if key and key not in hidden]

    def close(self) -> None:
        """Give the files back."""
        for file in self._files.values():
            file.close()
        self._files = {}

    # ---- What tensors.py, verify.py and writer.py ask for ----

    def _record(self, key: bytes) -> bytes | None:
        return self._records.get(key)

    def _blocks(self) -> Iterator[list[Item] | CheckpointError]:
        yield from self._found

    def _shard_file(self, number: int, what: str) -> File:
        if self.num_shards is not None and not 0 <= number < self.num_shards:
            problem = f"expected a shard below {self.num_shards}, got {number}"
            raise FormatError(self.index_path, f"entry of {what}", problem, fault=Fault.MISMATCH)
        path = self._find_shard(number, self.num_shards)
        if path not in self._files:
            try:
                self._files[path] = File(path)
            except FileNotFoundError:
                problem = f"data file {number + 1} of {self.num_shards or 'some'} is missing"
                raise FileNotFoundError(errno.ENOENT, problem, path) from None
        return self._files[path]

    def _hidden(self) -> frozenset[bytes]:
        """Return the keys of slices that some readable entry lists."""
        listed: set[bytes] = set()
        for key, record in self._records.items():
            if key and b"\x3a" in record:  # the tag of the field `slices`
                try:
                    entry = decode_entry(record, self.index_path, "entry")
                except CheckpointError:  # told where the tensor is looked at
                    continue
                listed.update(slice_key(key, box) for box in entry.slices)
        return frozenset(listed & self._records.keys())

    def _entry(self, name: str) -> Entry:
        record = self._records[encode_name(name)]
        with AboutTensor(name):
            return decode_entry(record, self.index_path, f"entry of tensor {name!r}")

    def _parts(self, name: str) -> list[tuple[Box | None, Entry, File]] | None:
        if self.byteorder == "big":
            return None
        entry = self._entry(name)
        if not entry.slices:
            return [(None, entry, locate(self, entry, f"tensor {name!r}"))]
        parts = slice_parts(self, name, entry)
        return [(part.stored, part.entry, locate(self, part.entry, part.what)) for part in parts]

    def _read_parts(self, name: str) -> Iterator[tuple[Box | None, Any]]:
        return read_parts(self, name, self._entry(name))

    def _verify_data(self, name: str) -> None:
        verify_tensor(self, name, self._entry(name))


def check_entry(source: Source, name: str, entry: Entry) -> None:
    """Raise unless an entry's dtype, shape and size agree and its bytes lie within their files.

    Reads none of them. Of a partitioned tensor every slice is looked at.
    """
    with AboutTensor(name):
        if not entry.slices:
            locate(source, entry, f"tensor {name!r}")
        for part in slice_parts(source, name, entry):
            locate(source, part.entry, part.what)


def open_table(file: File) -> tuple[Table | None, CheckpointError | None]:
    """Return a file's table, mended where it has to be, and what is wrong with it.

    None instead of a table if not even one block is found.
    """
    try:
        return Table(file), None
    except CheckpointError as error:
        return _mend(file), error


def _walk(table: Table) -> Iterator[list[Item] | CheckpointError]:
    """Yield the items of each block, or what is wrong with it."""
    i = 0
    while True:
        try:
            yield table.block_items(i)
        except CheckpointError as error:
            yield error
        except IndexError:
            return
        i += 1


# ---- Blocks without a footer


class _Block(NamedTuple):
    """Where a block is in its file, without the trailer, and a key that is no smaller than its
    last one and smaller than the first of the next."""

    offset: int
    size: int
    up_to: bytes


class _Mended:
    """The first `end` bytes of a file, with another end."""

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
    """Return a table of these blocks: an index over them, and a footer, are put behind the data."""
    end = blocks[-1].offset + blocks[-1].size + _TRAILER_SIZE
    index = b"".join(_encode_index_entry(block) for block in blocks) + _U32_0 + _U32_1
    handles = _varint(end) + _varint(0) + _varint(end) + _varint(len(index))
    footer = handles.ljust(_FOOTER_SIZE - len(_TABLE_MAGIC), b"\0") + _TABLE_MAGIC
    trailer = b"\0" + mask(crc32c(index + b"\0")).to_bytes(4, "little")
    return Table(_Mended(path, data[:end], index + trailer + footer))


_U32_0: Final = bytes(4)
_U32_1: Final = b"\x01\0\0\0"


def _encode_index_entry(block: _Block) -> bytes:
    handle = _varint(block.offset) + _varint(block.size)
    return b"\0" + _varint(len(block.up_to)) + _varint(len(handle)) + block.up_to + handle


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


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
        stored = int.from_bytes(view[end + 1 : end + _TRAILER_SIZE], "little")
        if crc32c(view[end : end + 1], crc) != unmask(stored):
            continue
        if end - start == _EMPTY_BLOCK_SIZE:
            return
        yield start, end - start
        start = at = end + _TRAILER_SIZE
        crc = 0


def _find_ends(data: np.ndarray[Any, np.dtype[np.uint8]]) -> Iterator[tuple[int, int]]:
    """Yield (end, number of restarts) of each place that may end a block which is not compressed:
    a number of restarts, of which the first is 0, and compression 0 behind it."""
    last = len(data) - _TRAILER_SIZE
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
        if count is not None and os.path.lexists(path):
            return path
        found = [each for each in others if (parse_shard(each) or ("", -1))[1] == number]
        return found[0] if len(found) == 1 else path

    return find
