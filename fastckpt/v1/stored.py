"""What a V1 checkpoint has stored: its meta records, and the records of slices.

`StoredV1` is what `Checkpoint.stored` gives. The records themselves are in records.py.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checkpoint import StoredPart
from ..errors import (
    CheckpointError,
    Fault,
    FormatError,
    TensorNotFoundError,
    UnsupportedError,
    name_tensor,
)
from ..format._record import Entry, TensorInfo, decode_name, encode_name, make_info, slice_key
from ..format._table import Table
from ..format.dtypes import DType, dtype_of
from ..format.shapes import check_rank
from ..format.slices import Region, find_tiling_fault, overlap, spell, to_slices
from .meta import V1Slice, V1Tensor, read_meta
from .records import WIRES, decode_values

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..storage.local import File

    Array = npt.NDArray[Any]

__all__ = ["StoredV1"]


class StoredV1:
    """The tensors that the meta records of some tables list, one table per shard.

    `path` is the checkpoint's. See `checkpoint.Stored`. Raises `FormatError` for meta records that
    break the format or contradict each other, `UnsupportedError` for a newer version of it.
    """

    byteorder = "little"

    def __init__(self, path: str, tables: Sequence[Table]) -> None:
        tensors: dict[bytes, V1Tensor] = {}
        versions = [read_meta(table, shard, tensors) for shard, table in enumerate(tables)]
        self.path = path
        self.num_shards = len(tables)
        self.version = versions[0]
        self._tables: list[Table] | None = list(tables)  # by shard; None when closed
        self._tensors = dict(sorted(tensors.items()))  # in key order

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._tables is None

    def close(self) -> None:
        """Drop the references to the files."""
        self._tables = None
        self._tensors = {}

    # ---- Entries ----

    def __contains__(self, name: object) -> bool:
        self.tables()
        try:
            return isinstance(name, str) and encode_name(name) in self._tensors
        except ValueError:  # no bytes decode to this name
            return False

    def __len__(self) -> int:
        self.tables()
        return len(self._tensors)

    def names(self) -> list[str]:
        """Return the names of the tensors, in key order."""
        self.tables()
        return [decode_name(key) for key in self._tensors]

    def tensors(self) -> list[V1Tensor]:
        """Return what is said of every tensor, in key order."""
        self.tables()
        return list(self._tensors.values())

    def find(self, name: str) -> V1Tensor:
        """Return what is said of a tensor. Raises `TensorNotFoundError`."""
        self.tables()
        try:
            return self._tensors[encode_name(name)]
        except (KeyError, ValueError):
            raise TensorNotFoundError(self.path, name, self.names) from None

    def entry(self, name: str) -> Entry:
        """Return the entry of a tensor: dtype, shape, slices, and the size of the array."""
        return self._entry_of(self.find(name))

    def entries(self) -> list[tuple[str, Entry]]:
        """Return (name, entry) of every tensor, in key order."""
        return [(tensor.name, self._entry_of(tensor)) for tensor in self.tensors()]

    def _entry_of(self, tensor: V1Tensor) -> Entry:
        dtype = self.dtype_of(tensor)
        slices = tuple(each.stored for each in tensor.slices) if tensor.is_partitioned else ()
        size = math.prod(tensor.shape) * dtype.numpy.itemsize
        return Entry(dtype.number, tensor.shape, tensor.slices[0].shard, 0, size, 0, slices)

    def dtype_of(self, tensor: V1Tensor) -> DType:
        """Return the dtype of a tensor. Raises `UnsupportedError` for an unknown one."""
        return dtype_of(tensor.dtype, self.path, f"entry of {tensor.what}")

    def info_of(self, tensor: V1Tensor) -> TensorInfo:
        """Return the `TensorInfo` of a tensor."""
        dtype = self.dtype_of(tensor)
        boxes = [each.box for each in tensor.slices] if tensor.is_partitioned else []
        return make_info(
            tensor.name,
            dtype.number,
            tensor.shape,
            math.prod(tensor.shape) * dtype.numpy.itemsize,
            tensor.slices[0].shard,
            None,
            None,
            tuple(to_slices(box) for box in boxes),
        )

    # ---- Parts of tensors ----

    def parts(self, name: str) -> list[StoredPart]:
        """Return the slices of a partitioned tensor, or all of a tensor as one part."""
        tensor = self.find(name)
        return [self._part_of(tensor, each) for each in tensor.slices]

    def _part_of(self, tensor: V1Tensor, part: V1Slice) -> StoredPart:
        dtype = self.dtype_of(tensor)
        shape = tuple(length for _, length in part.box)
        size = math.prod(shape) * dtype.numpy.itemsize
        entry = Entry(dtype.number, shape, part.shard, 0, size, 0)
        stored = part.stored if tensor.is_partitioned else None
        return StoredPart(stored, part.box, entry, _spell_part(tensor, part), None)

    def read(self, name: str, entry: Entry | None = None) -> Array:
        """Return a tensor, verified."""
        tensor = self.find(name)
        rank = len(tensor.shape)
        return self.read_region(tensor, Region((0,) * rank, tensor.shape, (1,) * rank))

    def read_parts(self, name: str) -> Iterator[tuple[StoredPart, Array]]:
        """Yield each part of a tensor with its values, verified."""
        tensor = self.find(name)
        tables = self.tables()
        for each in tensor.slices:
            array = _read_slice(tables[each.shard], tensor, each)
            yield self._part_of(tensor, each), array

    def verify(self, name: str) -> None:
        """Read all of a tensor, in the memory of its largest slice."""
        self.verify_tensor(self.find(name), self.tables())

    # ---- Records and files ----

    def record(self, key: bytes) -> bytes | None:
        """Return the record of a key, from the first table that has it."""
        found = (table.read_once(key) for table in self.tables())
        return next((record for record in found if record is not None), None)

    def blocks(self) -> Iterator[list[tuple[bytes, bytes]] | CheckpointError]:
        """Yield the (key, record) pairs of each block of the tables, or what is wrong with it."""
        for table in self.tables():
            yield from table.blocks()

    def hidden_keys(self) -> frozenset[bytes]:
        """Return no keys: the meta records list tensors only."""
        return frozenset()

    def source(self, number: int, what: str, /) -> File:
        """Return the open file of a shard."""
        return self.tables()[number].file  # type: ignore[return-value]

    def tables(self) -> list[Table]:
        """Return the tables, by shard. Raises `ValueError` after `close`."""
        if self._tables is None:
            raise ValueError(f"{self.path}: the checkpoint is closed")
        return self._tables

    # ---- Values ----

    def read_region(self, tensor: V1Tensor, region: Region) -> npt.NDArray[Any]:
        """Return a region of a tensor.

        The array of a partitioned tensor is made when all of its elements have been decoded, so
        that a meta record alone allocates nothing. Each part is freed once it is copied.
        """
        tables = self.tables()
        if not tensor.is_partitioned:
            only = tensor.slices[0]
            return _take(_read_slice(tables[only.shard], tensor, only), region)
        dtype = _check_readable(self.path, tensor)
        pieces = []
        left = math.prod(region.counts)
        for each in tensor.slices:
            shared = overlap(region, each.box)
            if shared is not None:
                pieces.append((each, *shared))
                left -= math.prod(shared[0].counts)
            if left < 0:
                break
        self._raise_fault(tensor, region.counts, _find_count_fault(left))
        boxes = [tuple((s.start, s.stop - s.start) for s in places) for _, _, places in pieces]
        parts = deque(
            (_take(_read_slice(tables[each.shard], tensor, each), inner), places)
            for each, inner, places in pieces
        )
        self._raise_fault(tensor, region.counts, find_tiling_fault(region.counts, boxes))
        array = np.empty(region.counts, dtype.numpy)
        while parts:
            part, places = parts.popleft()
            array[places] = part
        return array

    def _raise_fault(self, tensor: V1Tensor, shape: tuple[int, ...], fault: str | None) -> None:
        if fault is not None:
            problem = f"expected slices that cover {shape} exactly once, but {fault}"
            raise FormatError(
                self.path, tensor.what, problem, tensor=tensor.name, fault=Fault.MISMATCH
            )

    def verify_tensor(self, tensor: V1Tensor, tables: list[Table]) -> None:
        """Read all of a tensor, in the memory of its largest slice."""
        shape = tensor.shape
        boxes = [each.box for each in tensor.slices]
        left = math.prod(shape) - sum(math.prod(n for _, n in box) for box in boxes)
        self._raise_fault(tensor, shape, _find_count_fault(left))
        for each in tensor.slices:
            _read_slice(tables[each.shard], tensor, each)
        if len(boxes) > 1:
            self._raise_fault(tensor, shape, find_tiling_fault(shape, boxes))


def _find_count_fault(left: int) -> str | None:
    """Explain a surplus (< 0) or shortfall (> 0) of covered elements; None if there is neither.

    This is known at once. `find_tiling_fault` may take as much memory as there are elements, and so
    is asked when those have been read.
    """
    if left < 0:
        return "some overlap"
    return f"{left} elements are in none" if left else None


def _take(array: npt.NDArray[Any], region: Region) -> npt.NDArray[Any]:
    """Return a region of an array; a copy, unless it is all of it."""
    index: list[Any] = [slice(at, at + n * step, step) for at, n, step in zip(*region, strict=True)]
    part: npt.NDArray[Any] = array[(*index, ...)]
    return part if part.size == array.size else part.copy()


def _check_readable(path: str, tensor: V1Tensor) -> DType:
    """Return a tensor's dtype if there can be an array of the tensor."""
    what = tensor.what
    dtype = dtype_of(tensor.dtype, path, f"entry of {what}")
    if dtype.name not in WIRES:
        problem = f"expected a dtype that V1 has, got {dtype.name}"
        raise UnsupportedError(path, what, problem, fault=Fault.DTYPE)
    check_rank(tensor.shape, path, what)
    return dtype


def _read_slice(table: Table, tensor: V1Tensor, wanted: V1Slice) -> npt.NDArray[Any]:
    """Return one slice of a tensor, verified."""
    path = table.file.path
    what = _spell_part(tensor, wanted)
    try:
        dtype = _check_readable(path, tensor)
        record = table.read_once(slice_key(tensor.key, wanted.stored))
        if record is None:
            problem = "expected a record of its own, got none"
            raise FormatError(path, what, problem, fault=Fault.MISSING)
        shape = tuple(length for _, length in wanted.box)
        return decode_values(dtype, shape, record, path, f"record of {what}")
    except CheckpointError as error:
        name_tensor(error, tensor.name)
        raise


def _spell_part(tensor: V1Tensor, part: V1Slice) -> str:
    """Return the name of a part in errors."""
    return f"slice {spell(part.stored)} of {tensor.what}" if tensor.is_partitioned else tensor.what
