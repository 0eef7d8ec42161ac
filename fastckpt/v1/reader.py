"""V1 checkpoints: a table, or one per shard, as a mapping of names to arrays.

The records are in records.py.
"""

from __future__ import annotations

import errno
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ..checkpoint import Checkpoint, TensorSlice
from ..errors import (
    AboutTensor,
    CheckpointError,
    Fault,
    FormatError,
    TensorNotFoundError,
    UnsupportedError,
)
from ..format._message import decode
from ..format._record import Entry, TensorInfo, decode_name, encode_name, make_info, slice_key
from ..format._table import Table
from ..format.dtypes import DType, dtype_of
from ..format.shapes import check_rank
from ..format.slices import (
    Box,
    Region,
    find_tiling_fault,
    overlap,
    parse_index,
    resolve,
    spell,
    to_slices,
)
from ..parallel import Progress, Tally, batches, ordered_map
from ..storage.local import File
from ..storage.staged import split_staged
from .names import parse_v1, v1_shard_path
from .records import (
    META_RECORD,
    META_TAG,
    TENSOR,
    VERSION,
    WIRES,
    decode_values,
    read_box,
    read_shape,
)

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["V1Checkpoint", "is_v1"]

_TABLE_MAGIC: Final = bytes.fromhex("57fb808b247547db")


def _open_files(path: str) -> Iterator[File]:
    """Open a checkpoint's file, or all the shards that a pattern stands for."""
    parts = None if os.path.exists(path) else parse_v1(path)
    if parts is None:
        yield File(path)
        return
    prefix, _, count = parts
    for shard in range(count):
        try:
            yield File(v1_shard_path(prefix, shard, count))
        except FileNotFoundError as error:
            problem = f"shard {shard + 1} of {count} is missing"
            if any(_find_staged(prefix, count)):
                problem += ": a save was interrupted, see fastckpt.complete and fastckpt.discard"
            raise FileNotFoundError(errno.ENOENT, problem, error.filename) from None


def _find_staged(prefix: str, count: int) -> Iterator[str]:
    """Yield what writers, dead or alive, staged to become the last of so many shards."""
    folder, base = os.path.split(v1_shard_path(prefix, count - 1, count))
    for name in os.listdir(folder or os.curdir):
        if (split_staged(name) or "")[:1] == (base,):
            yield name


def is_v1(path: str) -> bool:
    """Return whether a file is a V1 table, by its last bytes and its first record. Raises
    `FormatError` for a table that is broken."""
    file = File(path)
    at = file.size - len(_TABLE_MAGIC)
    if at < 0 or file.read(at, len(_TABLE_MAGIC), "table magic") != _TABLE_MAGIC:
        return False
    first = Table(file).first()
    return first is not None and first[0] == b"" and first[1].startswith(META_TAG)


class _Slice(NamedTuple):
    """Where a slice of a tensor is: as it is stored, with whole dimensions spelt out, and in
    which shard."""

    stored: Box
    box: Box
    shard: int


class _Tensor(NamedTuple):
    """What the meta records say of a tensor. It has one slice or more."""

    key: bytes
    dtype: int
    shape: tuple[int, ...]
    slices: list[_Slice]

    @property
    def is_partitioned(self) -> bool:
        """Whether the tensor is anything else than one slice with all of it."""
        return len(self.slices) != 1 or self.slices[0].box != _whole(self.shape)

    @property
    def name(self) -> str:
        return decode_name(self.key)

    @property
    def what(self) -> str:
        return f"tensor {self.name!r}"


def _whole(shape: tuple[int, ...]) -> Box:
    return tuple((0, dim) for dim in shape)


class V1Checkpoint(Checkpoint):
    """A V1 checkpoint: one file, or the pattern ``prefix-?????-of-00003`` of its shards.

    Opening reads the meta records, which list every tensor. A tensor's own records are read,
    verified and decoded each time that it is asked for, and nothing of them is kept. Arrays are
    private and writable, never views. Slices that overlap or leave a gap are a `FormatError` for
    who reads that part of the tensor.

    `TensorInfo.nbytes` is what the array takes; of strings, whose lengths only their record
    has, that is the object array without them.
    """

    __slots__ = (
        "__weakref__",
        "_tables",
        "_tensors",
        "byteorder",
        "format",
        "num_shards",
        "path",
        "version",
    )

    path: str
    format: str
    num_shards: int
    version: int
    byteorder: str

    def __init__(self, path: str, *, files: Sequence[str] | None = None) -> None:
        """Open what `path` stands for; the shards are `files`, in their order, where they are not
        in their places."""
        opened = _open_files(path) if files is None else map(File, files)
        tables = [Table(file) for file in opened]
        tensors: dict[bytes, _Tensor] = {}
        versions = [_read_meta(table, shard, tensors) for shard, table in enumerate(tables)]
        self.path = path
        self.format = "V1"
        self.num_shards = len(tables)
        self.version = versions[0]
        self.byteorder = "little"
        self._tables: list[Table] | None = tables  # by shard; None when closed
        self._tensors = dict(sorted(tensors.items()))  # in key order

    # ---- Names ----

    def __contains__(self, name: object) -> bool:
        self._open_tables()
        try:
            return isinstance(name, str) and encode_name(name) in self._tensors
        except ValueError:  # no bytes decode to this name
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        self._open_tables()
        return len(self._tensors)

    def __repr__(self) -> str:
        if self._tables is None:
            return f"<closed checkpoint {self.path!r}>"
        return f"<checkpoint {self.path!r}: format V1, shards: {self.num_shards}>"

    def __reduce__(self) -> tuple[object, ...]:
        files = None
        if self._tables is not None and parse_v1(self.path) is None:
            files = [table.file.path for table in self._tables]  # the path may be any pattern
        return partial(V1Checkpoint, self.path, files=files), ()

    def close(self) -> None:
        """Drop the checkpoint's own references. Arrays that were handed out stay valid."""
        self._tables = None
        self._tensors = {}

    # ---- What there is ----

    def info(self, name: str) -> TensorInfo:
        """Return the `TensorInfo` of a tensor. Raises `TensorNotFoundError`."""
        return self._info_of(self._find(name))

    def infos(self) -> list[TensorInfo]:
        """Return the `TensorInfo` of every tensor, in key order, without touching data."""
        self._open_tables()
        return [self._info_of(tensor) for tensor in self._tensors.values()]

    # ---- Tensors ----

    def get_tensor(self, name: str, *, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return a tensor: a private, writable, verified array; of strings, one of `bytes`.

        `copy=False` raises `ValueError`, since there is nothing to view. Raises
        `TensorNotFoundError`, `FormatError`, `ChecksumError`, and `UnsupportedError` for a dtype
        that V1 does not have and for more dimensions than NumPy has.
        """
        tensor = self._find(name)
        if copy is False:
            problem = "a view cannot exist: a V1 file holds encoded values"
            raise ValueError(f"{tensor.what}: {problem}")
        rank = len(tensor.shape)
        return self._read_region(tensor, Region((0,) * rank, tensor.shape, (1,) * rank))

    def get_slice(self, name: str) -> TensorSlice:
        """Return a lazy handle on a tensor, to be indexed. Of a partitioned tensor it reads the
        parts that an index touches, each whole and verified. Raises `TensorNotFoundError`."""
        tensor = self._find(name)
        dtype = self._dtype_of(tensor)
        return TensorSlice(self, decode_name(tensor.key), tensor.shape, dtype.numpy)

    def problems(
        self, *, threads: int | None = None, progress: Progress | None = None
    ) -> Iterator[CheckpointError | OSError]:
        """Yield every problem in key order. Reads each record that the meta records list, in
        threads. `progress` counts elements: bytes are not known before."""
        self._open_tables()
        sizes = [math.prod(tensor.shape) for tensor in self._tensors.values()]
        tally = Tally(progress, sizes)
        groups = list(batches(zip(self._tensors.values(), sizes, strict=True)))
        found = ordered_map(self._verify_each, groups, threads)
        for group, problems in zip(groups, found, strict=True):
            yield from problems
            tally.add(sum(math.prod(each.shape) for each in group))

    # ---- What `TensorSlice` and `Writer.add_from` build on ----

    def _parts(self, name: str) -> None:
        return None

    def _entry(self, name: str) -> Entry:
        tensor = self._find(name)
        slices = tuple(each.stored for each in tensor.slices) if tensor.is_partitioned else ()
        return Entry(self._dtype_of(tensor).number, tensor.shape, 0, 0, 0, 0, slices)

    def read_part(self, name: str, index: Any) -> npt.NDArray[Any]:
        """Return the part of a tensor that a basic index selects: `get_slice(name)[index]`."""
        tensor = self._find(name)
        selection = parse_index(index, tensor.shape)
        array = self._read_region(tensor, selection.region)
        return array[selection.then]  # type: ignore[no-any-return]

    def _read_parts(self, name: str) -> Iterator[tuple[Box | None, npt.NDArray[Any]]]:
        tensor = self._find(name)
        tables = self._open_tables()
        for each in tensor.slices:
            array = _read_slice(tables[each.shard], tensor, each)
            yield each.stored if tensor.is_partitioned else None, array

    # ---- Private ----

    def _open_tables(self) -> list[Table]:
        if self._tables is None:
            raise ValueError(f"{self.path}: the checkpoint is closed")
        return self._tables

    def _names(self) -> list[str]:
        self._open_tables()
        return [decode_name(key) for key in self._tensors]

    def _find(self, name: str) -> _Tensor:
        self._open_tables()
        try:
            return self._tensors[encode_name(name)]
        except (KeyError, ValueError):
            raise TensorNotFoundError(self.path, name, self._names) from None

    def _dtype_of(self, tensor: _Tensor) -> DType:
        return dtype_of(tensor.dtype, self.path, f"entry of {tensor.what}")

    def _info_of(self, tensor: _Tensor) -> TensorInfo:
        dtype = self._dtype_of(tensor)
        boxes = [each.box for each in tensor.slices] if tensor.is_partitioned else []
        return make_info(
            decode_name(tensor.key),
            dtype.number,
            tensor.shape,
            math.prod(tensor.shape) * dtype.numpy.itemsize,
            tensor.slices[0].shard,
            None,
            None,
            tuple(to_slices(box) for box in boxes),
        )

    def _read_region(self, tensor: _Tensor, region: Region) -> npt.NDArray[Any]:
        """Return a region of a tensor.

        Of a partitioned one the array is made when all of its elements have been decoded, so that
        what a meta record claims allocates nothing. Each part is given back once it is copied.
        """
        tables = self._open_tables()
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

    def _raise_fault(self, tensor: _Tensor, shape: tuple[int, ...], fault: str | None) -> None:
        if fault is not None:
            problem = f"expected slices that cover {shape} exactly once, but {fault}"
            raise FormatError(
                self.path, tensor.what, problem, tensor=tensor.name, fault=Fault.MISMATCH
            )

    def _verify_each(self, tensors: list[_Tensor]) -> list[CheckpointError | OSError]:
        """Return the problems of some tensors.

        The tables are this batch's own: one that threads share would read a block of small
        records again and again, as they take turns.
        """
        tables = [Table(table.file) for table in self._open_tables()]
        problems: list[CheckpointError | OSError] = []
        for tensor in tensors:
            try:
                self._verify(tensor, tables)
            except (CheckpointError, OSError) as error:
                problems.append(error)
        return problems

    def _verify(self, tensor: _Tensor, tables: list[Table]) -> None:
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
    """Return what `left` elements say that no slice has, or less than none.

    It is what can be known at once. How the slices lie says `find_tiling_fault`, which may take
    as much memory as there are elements, and so is asked when those have been read.
    """
    if left < 0:
        return "some overlap"
    return f"{left} elements are in none" if left else None


def _take(array: npt.NDArray[Any], region: Region) -> npt.NDArray[Any]:
    """Return a region of an array; a copy, unless it is all of it."""
    index: list[Any] = [slice(at, at + n * step, step) for at, n, step in zip(*region, strict=True)]
    part: npt.NDArray[Any] = array[(*index, ...)]
    return part if part.size == array.size else part.copy()


def _read_meta(table: Table, shard: int, tensors: dict[bytes, _Tensor]) -> int:
    """Add what a shard's meta record lists to the tensors; return the version that wrote it."""
    path = table.file.path
    record = table.read_once(b"")
    if record is None or not record.startswith(META_TAG):
        problem = "expected the one of a V1 checkpoint, got " + ("another" if record else "none")
        raise FormatError(path, "meta record", problem, fault=Fault.MISSING)
    meta = decode(META_RECORD, record, path, "meta record")["meta"]
    versions = meta["versions"] or {"producer": 0, "min_consumer": 0, "bad_consumers": ()}
    if versions["min_consumer"] > VERSION or VERSION in versions["bad_consumers"]:
        problem = f"expected one that version {VERSION} may read, got {versions}"
        raise UnsupportedError(path, "meta record", problem, fault=Fault.VERSION)
    for start, end in _pairs(meta["tensors"]):
        found = _read_tensor(record, start, end, path, shard)
        known = tensors.setdefault(found.key, found)
        if (known.dtype, known.shape) != (found.dtype, found.shape):
            problem = (
                f"expected dtype {known.dtype} and shape {known.shape}, as before, "
                f"got {found.dtype} and {found.shape}"
            )
            raise FormatError(
                path,
                f"{found.what} in the meta record",
                problem,
                tensor=found.name,
                offset=start,
                fault=Fault.MISMATCH,
            )
        if known is not found:
            known.slices.extend(found.slices)
    return int(versions["producer"])


def _read_tensor(record: bytes, start: int, end: int, path: str, shard: int) -> _Tensor:
    """Return what a meta record says of a tensor, once it is sure that it can be."""
    meta = decode(TENSOR, record, path, "meta record", start, end)
    key, dtype = meta["name"], meta["dtype"]
    name = decode_name(key)
    what = f"tensor {name!r} in the meta record"
    with AboutTensor(name):
        shape = read_shape(record, meta["shape"] or (start, start), dtype, path, what)
        count = len(meta["slices"])
        if not key or count == 0 or 0 < math.prod(shape) < count:  # so many would overlap
            problem = f"expected a name and slices of the shape {shape}, got {key!r} and {count}"
            raise FormatError(path, what, problem, offset=start)
        whole = _whole(shape)
        slices = []
        for span in _pairs(meta["slices"]):
            stored = read_box(record, span, path, what)
            box = resolve(stored, shape)
            if box is None:
                problem = f"expected slices of the shape {shape}, got {spell(stored)}"
                raise FormatError(path, what, problem, offset=span[0], fault=Fault.MISMATCH)
            slices.append(_Slice(stored, whole if box == whole else box, shard))
    return _Tensor(key, dtype, shape, slices)


def _pairs(spans: npt.NDArray[np.int64]) -> Iterator[list[int]]:
    """Yield [start, end] of spans, few at a time: as lists all of them would take ten times the
    memory."""
    for i in range(0, len(spans), 1024):
        yield from spans[i : i + 1024].tolist()


def _check_readable(path: str, tensor: _Tensor) -> DType:
    """Return a tensor's dtype if there can be an array of the tensor."""
    dtype = dtype_of(tensor.dtype, path, f"entry of {tensor.what}")
    if dtype.name not in WIRES:
        problem = f"expected a dtype that V1 has, got {dtype.name}"
        raise UnsupportedError(path, tensor.what, problem, fault=Fault.DTYPE)
    check_rank(tensor.shape, path, tensor.what)
    return dtype


def _read_slice(table: Table, tensor: _Tensor, wanted: _Slice) -> npt.NDArray[Any]:
    """Return one slice of a tensor, verified."""
    path = table.file.path
    what = tensor.what
    with AboutTensor(tensor.name):
        dtype = _check_readable(path, tensor)
        if tensor.is_partitioned:
            what = f"slice {spell(wanted.stored)} of {what}"
        record = table.read_once(slice_key(tensor.key, wanted.stored))
        if record is None:
            problem = "expected a record of its own, got none"
            raise FormatError(path, what, problem, fault=Fault.MISSING)
        shape = tuple(length for _, length in wanted.box)
        return decode_values(dtype, shape, record, path, f"record of {what}")
