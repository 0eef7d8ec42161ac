"""TensorProto and TensorShapeProto: constants of a graph, as arrays.

    TensorProto  {1: dtype, 2: shape, 4: the bytes, or in a field for the dtype: value*}

There may be fewer values than elements: the last one goes on. No values are zeros.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import FormatError, UnsupportedError
from ..format._message import BOOL, BYTES, DOUBLE, FLOAT, INT, Message, decode
from ..format.dtypes import STRING, DType, by_number
from ..format.shapes import check
from .schema import SHAPE, TENSOR_HEADER

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Shape", "Source", "Span", "decode_shape", "decode_tensor", "type_name"]

Span = tuple[int, int]
Shape = tuple[int, ...]


class Source:
    """The bytes of a file, and its path for the errors. `data` is never written to."""

    __slots__ = ("_view", "data", "path")

    def __init__(self, data: npt.NDArray[np.uint8], path: str) -> None:
        data.flags.writeable = False  # tensors are views of it
        self.data = data
        self._view = data.data
        self.path = path

    def decode(self, message: Message, span: Span, what: str) -> dict[str, Any]:
        """Decode one message. Raises `FormatError`."""
        return decode(message, self._view, self.path, what, *span)


def type_name(number: int) -> str:
    """Return the name of a DataType, "float32_ref" for a reference to a float32."""
    dtype = by_number(number % _REF)
    if dtype is None or not 0 < number < 2 * _REF:
        return f"unknown({number})"
    return dtype.name if number < _REF else dtype.name + "_ref"


_REF: Final = 100
_MAX_SHAPE: Final = 1 << 16  # bytes; a shape of TensorFlow's 254 dimensions takes a tenth of it


def decode_shape(source: Source, span: Span | None, what: str) -> Shape | None:
    """Return a shape: None for an unknown rank, -1 for an unknown dimension."""
    start, end = span or (0, 0)
    if end - start > _MAX_SHAPE:  # before there are as many objects as dimensions
        problem = f"expected a shape of at most {_MAX_SHAPE} bytes, got {end - start}"
        raise FormatError(source.path, what, problem, offset=start)
    found = source.decode(SHAPE, (start, end), what)
    return None if found["unknown_rank"] else tuple(dim["size"] for dim in found["dims"])


def _field(number: int, kind: Any) -> Message:
    return Message("TensorProto", {number: ("values", kind)})


_INTS: Final = _field(7, [INT])
_HALVES: Final = _field(13, [INT])  # the 16 bits of each
_BYTES: Final = _field(18, BYTES)
_FIELDS: Final[Mapping[str, Message]] = {  # where the values are; of other dtypes among `_INTS`
    "float32": _field(5, [FLOAT]),
    "float64": _field(6, [DOUBLE]),
    "string": _field(8, [BYTES]),
    "complex64": _field(9, [FLOAT]),  # the real and the imaginary part of each
    "int64": _field(10, [INT]),
    "bool": _field(11, [BOOL]),
    "complex128": _field(12, [DOUBLE]),
    "float16": _HALVES,
    "bfloat16": _HALVES,
    "uint32": _field(16, [INT]),
    "uint64": _field(17, [INT]),
    "float8_e5m2": _BYTES,
    "float8_e4m3fn": _BYTES,
    "float8_e4m3fnuz": _BYTES,
    "float8_e4m3b11fnuz": _BYTES,
    "float8_e5m2fnuz": _BYTES,
    "float4_e2m1fn": _BYTES,
}
_MAX_FILLED: Final = 64 << 20  # bytes of a tensor of which the file has only the beginning


def decode_tensor(source: Source, span: Span, what: str) -> npt.NDArray[Any]:
    """Return a TensorProto as a read-only array; see `Attributes`."""
    found = source.decode(TENSOR_HEADER, span, what)
    dtype = by_number(found["dtype"])
    start, end = found["content"] or (0, 0)
    if dtype is None or not (dtype.is_fixed or dtype is STRING and start == end):
        problem = f"expected a tensor that has an array form, got {type_name(found['dtype'])}"
        raise UnsupportedError(source.path, what, problem)
    shape = _check_shape(source, decode_shape(source, found["shape"], what), dtype, what)
    count = math.prod(shape)
    if start < end:
        if end - start != count * dtype.item_size:
            problem = f"expected {count * dtype.item_size} bytes for {shape}, got {end - start}"
            raise FormatError(source.path, what, problem, offset=start)
        values = _from_bytes(dtype, source.data[start:end], dtype.stored)
    else:
        values = _decode_values(source, span, dtype, what)
    array = _fill(source, values, shape, what)
    array.flags.writeable = False
    return array


def _check_shape(source: Source, shape: Shape | None, dtype: DType, what: str) -> Shape:
    """Return the shape of a tensor, after a check that an array can have it."""
    if shape is None or min(shape, default=0) < 0:
        raise FormatError(source.path, what, f"expected a known shape, got {shape}")
    check(shape, dtype, source.path, what)
    return shape


def _decode_values(source: Source, span: Span, dtype: DType, what: str) -> npt.NDArray[Any]:
    """Return the values of the field that a dtype has; one zero or b"" if there are none."""
    found = source.decode(_FIELDS.get(dtype.name, _INTS), span, what)["values"]
    if not len(found):
        return np.full(1, b"", object) if dtype is STRING else np.zeros(1, dtype.numpy)
    if dtype is STRING:
        strings = np.empty(len(found), object)
        strings[:] = found
        return strings
    if isinstance(found, bytes):
        return _from_bytes(dtype, np.frombuffer(found, np.uint8), dtype.stored)
    if found.dtype == np.int64:  # cut down to the width of an element, as C does it
        found = found.astype(f"u{dtype.item_size}")
    raw = found.view(np.uint8)
    if raw.size % dtype.item_size:
        raise FormatError(source.path, what, "expected complex numbers, got an odd number of parts")
    return _from_bytes(dtype, raw, dtype.numpy)


def _from_bytes(dtype: DType, raw: npt.NDArray[Any], form: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the elements whose bytes are given; `form` is their dtype with its byte order."""
    if dtype.name == "bool":
        return raw.astype(np.bool_)  # others than 0 and 1 are undefined behaviour
    if dtype.mask:
        raw = raw & np.uint8(dtype.mask)
    return raw.view(form)


def _fill(source: Source, values: npt.NDArray[Any], shape: Shape, what: str) -> npt.NDArray[Any]:
    """Return an array of a shape that begins with the values, and goes on with the last one."""
    count = math.prod(shape)
    if len(values) >= count:
        return values[:count].reshape(shape)
    if len(values) == 1:
        return np.broadcast_to(values.reshape(()), shape)
    size = count * values.itemsize
    if size > max(_MAX_FILLED, source.data.size):
        problem = f"expected the values of {size} bytes, got {len(values)}, the last to be repeated"
        raise UnsupportedError(source.path, what, problem)
    array = np.empty(count, values.dtype)
    array[: len(values)] = values
    array[len(values) :] = values[-1]
    return array.reshape(shape)
