"""The meta records of a V1 checkpoint: its tensors, and which slice is in which shard."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..errors import CheckpointError, Fault, FormatError, UnsupportedError, name_tensor
from ..format._message import decode
from ..format._record import decode_name
from ..format._table import Table
from ..format.slices import Box, resolve, spell
from .records import META_RECORD, META_TAG, TENSOR, VERSION, read_box, read_shape

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["V1Slice", "V1Tensor", "read_meta"]


class V1Slice(NamedTuple):
    """A slice of a tensor: as it is stored, in numbers, and the shard that has its record."""

    stored: Box
    box: Box
    shard: int


class V1Tensor(NamedTuple):
    """A tensor that the meta records list. It has one slice or more."""

    key: bytes
    dtype: int
    shape: tuple[int, ...]
    slices: list[V1Slice]

    @property
    def is_partitioned(self) -> bool:
        """True unless the tensor is one slice with all of it."""
        return len(self.slices) != 1 or self.slices[0].box != _whole(self.shape)

    @property
    def name(self) -> str:
        return decode_name(self.key)

    @property
    def what(self) -> str:
        return f"tensor {self.name!r}"


def _whole(shape: tuple[int, ...]) -> Box:
    return tuple((0, dim) for dim in shape)


def read_meta(table: Table, shard: int, tensors: dict[bytes, V1Tensor]) -> int:
    """Add the tensors of a shard's meta record to `tensors`; return the version that wrote it."""
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


def _read_tensor(record: bytes, start: int, end: int, path: str, shard: int) -> V1Tensor:
    """Return a tensor of a meta record, after a check that there can be such a one."""
    meta = decode(TENSOR, record, path, "meta record", start, end)
    key, dtype = meta["name"], meta["dtype"]
    name = decode_name(key)
    what = f"tensor {name!r} in the meta record"
    try:
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
            slices.append(V1Slice(stored, whole if box == whole else box, shard))
    except CheckpointError as error:
        name_tensor(error, name)
        raise
    return V1Tensor(key, dtype, shape, slices)


def _pairs(spans: npt.NDArray[np.int64]) -> Iterator[list[int]]:
    """Yield [start, end] of spans. Only a few at a time become lists: all of them would take ten
    times the memory."""
    for i in range(0, len(spans), 1024):
        yield from spans[i : i + 1024].tolist()
