"""The records of V1 checkpoints: one table per shard, which hold the tensors themselves.

    key ""      SavedTensorSlices {1: meta {1: tensor*, 2: versions}}
                tensor {1: name, 2: shape, 3: dtype, 4: slice*}
    other keys  SavedTensorSlices {2: data {1: name, 2: slice, 3: TensorProto {5..13: value*}}}

The key of a record is that of a V2 slice; a tensor in one piece is a slice of whole dimensions.
Values are the numbers of a protocol buffer, most integers as varints, so that no array can be a
view of them. Written files are, byte for byte, TensorFlow's (docs/format.md, "V1 files").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ..errors import Fault, FormatError
from ..format._message import BOOL, BYTES, DOUBLE, FLOAT, INT, SPAN, Message, decode
from ..format._message_encoder import encode
from ..format.dtypes import STRING, DType, by_number
from ..format.shapes import MAX_STORED_RANK, check_size
from ..format.slices import WHOLE, Box

if TYPE_CHECKING:
    import numpy.typing as npt

_DIM: Final = Message("Dim", {1: ("size", INT)})
SHAPE: Final = Message("TensorShapeProto", {2: ("dims", [_DIM]), 3: ("unknown_rank", BOOL)})
# a whole dimension is an extent without a length, which is not the same as a length of 0
_EXTENT: Final = Message("Extent", {1: ("start", INT), 2: ("length", INT)}, is_oneof=True)
_SLICE: Final = Message("TensorSliceProto", {1: ("extents", [_EXTENT])})
TENSOR: Final = Message(
    "SavedSliceMeta",
    {1: ("name", BYTES), 2: ("shape", SPAN), 3: ("dtype", INT), 4: ("slices", [SPAN])},
)
_VERSIONS: Final = Message(
    "VersionDef", {1: ("producer", INT), 2: ("min_consumer", INT), 3: ("bad_consumers", [INT])}
)
HEADER: Final = Message("SavedSlice", {1: ("name", BYTES), 2: ("slice", SPAN)})
_META: Final = Message("SavedTensorSliceMeta", {1: ("tensors", [SPAN]), 2: ("versions", _VERSIONS)})
META_RECORD: Final = Message("SavedTensorSlices", {1: ("meta", _META)})


class _Wire(NamedTuple):
    """How a dtype stands in a record: the schema, the bytes that TensorFlow reckons with for an
    element, and the dtype of its numbers where that is another one."""

    record: Message
    max_size: int
    numbers: str


def _wire(field: int, kind: int, max_size: int, numbers: str = "") -> _Wire:
    values = Message("TensorProto", {field: ("values", [kind])})
    data = Message("SavedSlice", {1: ("name", BYTES), 2: ("slice", SPAN), 3: ("tensor", values)})
    return _Wire(Message("SavedTensorSlices", {2: ("data", data)}), max_size, numbers)


WIRES: Final = {
    "float32": _wire(5, FLOAT, 4),
    "float64": _wire(6, DOUBLE, 8),
    "int32": _wire(7, INT, 10),
    "uint8": _wire(7, INT, 2),
    "int16": _wire(7, INT, 10),
    "int8": _wire(7, INT, 10),
    "string": _wire(8, BYTES, 10),
    "complex64": _wire(9, FLOAT, 8, "f4"),
    "int64": _wire(10, INT, 10),
    "bool": _wire(11, BOOL, 1),
    "qint8": _wire(7, INT, 10),
    "quint8": _wire(7, INT, 2),
    "qint32": _wire(7, INT, 10),
    "uint16": _wire(7, INT, 3),
    "complex128": _wire(12, DOUBLE, 16, "f8"),
    "float16": _wire(13, INT, 3, "u2"),
}

VERSION: Final = 1
META_TAG: Final = b"\x0a"  # what the record of "" begins with; the header of a V2 index does not
_MAX_MESSAGE: Final = 1 << 16  # bytes of a shape or a slice: 254 dimensions take a tenth of that
MAX_RECORD: Final = 1 << 31  # by TensorFlow's estimate, which counts this much beside the values:
RECORD_HEADER: Final = 1 << 10


def read_shape(
    record: bytes, span: Sequence[int], dtype: int, path: str, what: str
) -> tuple[int, ...]:
    """Return the shape of a tensor. `dtype` is its DataType number, perhaps an unknown one.

    Raises `FormatError` for an unknown rank, for more than 254 dimensions, and for a shape that
    `shapes.check_size` refuses.
    """
    _check_length(span, path, what)
    message = decode(SHAPE, record, path, what, *span)
    shape = tuple(dim["size"] for dim in message["dims"])
    if message["unknown_rank"] or len(shape) > MAX_STORED_RANK:
        rank = "an unknown rank" if message["unknown_rank"] else len(shape)
        problem = f"expected at most {MAX_STORED_RANK} dimensions, got {rank}"
        raise FormatError(path, what, problem, offset=span[0], fault=Fault.TOO_LARGE)
    row = by_number(dtype)
    check_size(shape, row.numpy.itemsize if row else 1, path, what)
    return shape


def read_box(record: bytes, span: Sequence[int], path: str, what: str) -> Box:
    """Return a slice as it is stored."""
    _check_length(span, path, what)
    extents = decode(_SLICE, record, path, what, *span)["extents"]
    return tuple(
        (extent.get("start", 0), extent.get("length", WHOLE)) if extent else (0, WHOLE)
        for extent in extents
    )


def _check_length(span: Sequence[int], path: str, what: str) -> None:
    """Refuse a shape or slice of so many bytes that its dimensions would take much memory."""
    size = span[1] - span[0]
    if size > _MAX_MESSAGE:
        problem = f"expected a shape or slice of at most {_MAX_MESSAGE} bytes, got {size}"
        raise FormatError(path, what, problem, offset=span[0], fault=Fault.TOO_LARGE)


def decode_values(
    dtype: DType, shape: tuple[int, ...], record: bytes, path: str, what: str
) -> npt.NDArray[Any]:
    """Return what the record of a slice holds, as an array of its shape."""
    data = decode(WIRES[dtype.name].record, record, path, what)["data"]
    values = data["tensor"]["values"] if data is not None and data["tensor"] is not None else []
    count = math.prod(shape) * (2 if dtype.name.startswith("complex") else 1)
    if len(values) != count:
        problem = f"expected {count} numbers for {dtype.name} of shape {shape}, got {len(values)}"
        raise FormatError(path, what, problem, fault=Fault.MISMATCH)
    return _to_array(dtype, values).reshape(shape)


def _to_array(dtype: DType, values: Any) -> npt.NDArray[Any]:
    """Return the elements that numbers stand for. Of an integer that is too large for its type
    the low bits count, as for protocol buffers."""
    if dtype is STRING:
        strings = np.empty(len(values), object)
        strings[:] = values
        return strings
    numbers = WIRES[dtype.name].numbers or dtype.numpy
    return np.asarray(values).astype(numbers, copy=False).view(dtype.numpy)


def encode_box(box: Box) -> bytes:
    """Return the message of a slice, of which a whole dimension is an extent without a field."""
    extents = []
    for start, length in box:
        extent = {"start": start} if start else {}
        extents.append(extent if length == WHOLE else {**extent, "length": length})
    return encode(_SLICE, {"extents": extents})


def encode_record(key: bytes, box: Box, dtype: DType, array: npt.NDArray[Any]) -> bytes:
    """Return the record of a slice."""
    tensor = {"values": _to_numbers(dtype, array)}
    data = {"name": key, "slice": encode_box(box), "tensor": tensor}
    return encode(WIRES[dtype.name].record, {"data": data})


def _to_numbers(dtype: DType, array: npt.NDArray[Any]) -> Any:
    """Return the numbers that a record has for an array's elements, or the strings."""
    flat = array.reshape(-1)
    if dtype is STRING:
        return flat.tolist()
    return np.ascontiguousarray(flat).view(WIRES[dtype.name].numbers or flat.dtype)
