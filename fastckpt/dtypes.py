"""Element types: one table from TensorFlow's DataType to NumPy, and values to arrays.

The numbers, names and item sizes are those of docs/format.md, "DataType". `ml_dtypes` is
imported when a dtype that only it has is met.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["STRING", "DType", "by_number", "encode_value", "payload"]


class DType:
    """A row of the table.

    `item_size` is the bytes of one element in a data file, 0 for strings and for what has no
    array form. `swap_size` is the width that big-endian files swap: half an item for complex
    numbers, 0 where there is nothing to swap. `mask` has the bits that a byte of a type below
    one byte uses, and is 0 for every other type.
    """

    __slots__ = ("_numpy", "item_size", "mask", "name", "number", "numpy_name", "swap_size")

    def __init__(
        self,
        number: int,
        name: str,
        numpy_name: str,
        item_size: int,
        swap_size: int = 0,
        mask: int = 0,
    ) -> None:
        self.number = number
        self.name = name
        self.numpy_name = numpy_name
        self.item_size = item_size
        self.swap_size = swap_size
        self.mask = mask
        self._numpy: np.dtype[Any] | None = None

    @property
    def numpy(self) -> np.dtype[Any]:
        """NumPy's dtype, little-endian; object for strings, variants and resources."""
        if self._numpy is None:
            self._numpy = self._resolve()
        return self._numpy

    def _resolve(self) -> np.dtype[Any]:
        try:
            dtype = np.dtype(self.numpy_name)
        except TypeError:  # not one of NumPy's own
            import ml_dtypes

            dtype = np.dtype(getattr(ml_dtypes, self.numpy_name))
        return dtype if sys.byteorder == "little" else dtype.newbyteorder("<")

    @property
    def is_fixed(self) -> bool:
        """Whether every element takes the same number of bytes."""
        return self.item_size > 0


_TABLE: Final = (
    DType(1, "float32", "float32", 4, 4),
    DType(2, "float64", "float64", 8, 8),
    DType(3, "int32", "int32", 4, 4),
    DType(4, "uint8", "uint8", 1),
    DType(5, "int16", "int16", 2, 2),
    DType(6, "int8", "int8", 1),
    DType(7, "string", "object", 0),
    DType(8, "complex64", "complex64", 8, 4),
    DType(9, "int64", "int64", 8, 8),
    DType(10, "bool", "bool", 1),
    DType(11, "qint8", "int8", 1),
    DType(12, "quint8", "uint8", 1),
    DType(13, "qint32", "int32", 4, 4),
    DType(14, "bfloat16", "bfloat16", 2, 2),
    DType(15, "qint16", "int16", 2, 2),
    DType(16, "quint16", "uint16", 2, 2),
    DType(17, "uint16", "uint16", 2, 2),
    DType(18, "complex128", "complex128", 16, 8),
    DType(19, "float16", "float16", 2, 2),
    DType(20, "resource", "object", 0),
    DType(21, "variant", "object", 0),
    DType(22, "uint32", "uint32", 4, 4),
    DType(23, "uint64", "uint64", 8, 8),
    DType(24, "float8_e5m2", "float8_e5m2", 1),
    DType(25, "float8_e4m3fn", "float8_e4m3fn", 1),
    DType(26, "float8_e4m3fnuz", "float8_e4m3fnuz", 1),
    DType(27, "float8_e4m3b11fnuz", "float8_e4m3b11fnuz", 1),
    DType(28, "float8_e5m2fnuz", "float8_e5m2fnuz", 1),
    DType(29, "int4", "int4", 1, mask=0x0F),
    DType(30, "uint4", "uint4", 1, mask=0x0F),
    DType(31, "int2", "int2", 1, mask=0x03),
    DType(32, "uint2", "uint2", 1, mask=0x03),
    DType(33, "float4_e2m1fn", "float4_e2m1fn", 1, mask=0x0F),
)

_BY_NUMBER: Final = {dtype.number: dtype for dtype in _TABLE}
STRING: Final = _BY_NUMBER[7]
_NOT_WRITTEN: Final = {"resource", "variant"}
_QUANTIZED: Final = {"qint8", "quint8", "qint32", "qint16", "quint16"}  # plain ints in NumPy
_BY_NUMPY_NAME: Final = {
    dtype.numpy_name: dtype for dtype in _TABLE if dtype.name not in _NOT_WRITTEN | _QUANTIZED
}
_BY_NUMPY: dict[np.dtype[Any], DType] = {}  # what _BY_NUMPY_NAME gave, by dtype: the fast way

_BIG_ENDIAN: Final = ">" if sys.byteorder == "little" else ">="
_STRING_KINDS: Final = "SUT"  # bytes, str, and NumPy 2's StringDType
_SMALL: Final = 4096  # bytes; up to here a copy is faster than making a view


def by_number(number: int) -> DType | None:
    """Return the row of a DataType number; None for one that the table does not have."""
    return _BY_NUMBER.get(number)


def encode_value(name: str, value: object) -> tuple[DType, npt.NDArray[Any]]:
    """Return what to write for a value: its type, and a little-endian array of it.

    Strings come back as an object array of `bytes`, `str` encoded as UTF-8; NumPy's fixed-width
    strings have lost the NULs that they ended with, lists and object arrays keep them. Any other
    array is the value itself where that is possible, so it may be strided or read-only.

    Raises `TypeError` for what has no DataType and `ValueError` for what is no array or no
    text; `name` is for the message.
    """
    array = value if type(value) is np.ndarray else _to_array(name, value)
    dtype = _BY_NUMPY.get(array.dtype) or _find_dtype(name, array)
    if dtype is STRING:
        return dtype, _encode_strings(name, array)
    if array.dtype.byteorder in _BIG_ENDIAN:
        array = array.astype(array.dtype.newbyteorder("<"))
    return dtype, array


def _to_array(name: str, value: object) -> npt.NDArray[Any]:
    if isinstance(value, (bytes, str)):
        return np.array(value, dtype=object)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.asarray(np.from_dlpack(value))
    try:
        if _is_list_of_text(value):
            # NumPy's fixed-width strings drop the NULs at an end, and all get the longest's size
            return np.asarray(value, dtype=object)
        array = np.asarray(value)
        if array.dtype.kind in _STRING_KINDS and isinstance(value, (list, tuple)):
            array = np.asarray(value, dtype=object)  # a number among text, which is then refused
    except ValueError as error:
        raise ValueError(f"tensor {name!r}: {error}") from error
    return array


def _is_list_of_text(value: object) -> bool:
    """Whether the first of the innermost items of a list is text."""
    is_list = isinstance(value, (list, tuple))
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return is_list and isinstance(value, (bytes, str))


def _find_dtype(name: str, array: npt.NDArray[Any]) -> DType:
    numpy_dtype = array.dtype
    if numpy_dtype.kind in _STRING_KINDS + "O":
        return STRING
    dtype = _BY_NUMPY_NAME.get(numpy_dtype.name)
    if dtype is None or numpy_dtype.itemsize != dtype.item_size or numpy_dtype.names:
        raise TypeError(f"tensor {name!r}: a checkpoint cannot hold the dtype {numpy_dtype}")
    _BY_NUMPY[numpy_dtype] = dtype
    return dtype


def _encode_strings(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    encoded = np.empty(array.shape, dtype=object)
    encoded.reshape(-1)[:] = list(_encode_each(name, array.reshape(-1).tolist()))
    return encoded


def _encode_each(name: str, values: Iterable[object]) -> Iterable[bytes]:
    for value in values:
        if isinstance(value, bytes):
            yield value if type(value) is bytes else bytes(value)
        elif isinstance(value, str):
            try:
                yield value.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"tensor {name!r}: {error}") from error
        else:
            raise TypeError(
                f"tensor {name!r}: an object array holds bytes or str, not {type(value).__name__}"
            )


def payload(dtype: DType, array: npt.NDArray[Any]) -> bytes | memoryview:
    """Return the bytes of a fixed-size tensor in C order: a view where that is possible."""
    if array.nbytes <= _SMALL:
        data = array.tobytes()
        return bytes(byte & dtype.mask for byte in data) if dtype.mask else data
    # not ascontiguousarray: that makes a 1-d array of a 0-d one
    raw = np.asarray(array, order="C").reshape(-1).view(np.uint8)
    if dtype.mask and (raw & ~np.uint8(dtype.mask)).any():
        raw = raw & np.uint8(dtype.mask)
    return raw.data
