"""Element types: one table from TensorFlow's DataType to NumPy.

The numbers, names and item sizes are those of docs/format.md, "DataType". NumPy is imported when
the first of its dtypes is asked for, `ml_dtypes` when one is met that only it has.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from ..errors import Fault, UnsupportedError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["QUANTIZED", "STRING", "DType", "by_name", "by_number", "by_numpy_name", "dtype_of"]


class DType:
    """A row of the table.

    `item_size` is the bytes of one element in a data file, 0 for strings and for what has no
    array form. `swap_size` is the width that big-endian files swap: half an item for complex
    numbers, 0 where there is nothing to swap. `mask` has the bits that a byte of a type below
    one byte uses, and is 0 for every other type.
    """

    __slots__ = (
        "_numpy",
        "_stored",
        "item_size",
        "mask",
        "name",
        "number",
        "numpy_name",
        "swap_size",
    )

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
        self._stored: np.dtype[Any] | None = None

    @property
    def numpy(self) -> np.dtype[Any]:
        """NumPy's dtype, in native byte order; object for strings, variants and resources."""
        if self._numpy is None:
            self._numpy = self._resolve()
        return self._numpy

    @property
    def stored(self) -> np.dtype[Any]:
        """The same dtype in the byte order of data files, little-endian."""
        if self._stored is None:
            is_native = sys.byteorder == "little" or not self.swap_size
            self._stored = self.numpy if is_native else self.numpy.newbyteorder("<")
        return self._stored

    def _resolve(self) -> np.dtype[Any]:
        import numpy as np

        try:
            return np.dtype(self.numpy_name)
        except TypeError:  # not one of NumPy's own
            import ml_dtypes

            dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, self.numpy_name))
            return dtype

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
_BY_NAME: Final = {dtype.name: dtype for dtype in _TABLE}
STRING: Final = _BY_NUMBER[7]
_NOT_WRITTEN: Final = {"resource", "variant"}
QUANTIZED: Final = frozenset(["qint8", "quint8", "qint32", "qint16", "quint16"])
_BY_NUMPY_NAME: Final = {
    dtype.numpy_name: dtype for dtype in _TABLE if dtype.name not in _NOT_WRITTEN | QUANTIZED
}


def by_number(number: int) -> DType | None:
    """Return the row of a DataType number; None for one that the table does not have."""
    return _BY_NUMBER.get(number)


def by_name(name: object) -> DType | None:
    """Return the row of a dtype by TensorFlow's name, `tf.DType.name`; None for anything else."""
    return _BY_NAME.get(name) if isinstance(name, str) else None


def dtype_of(number: int, path: str, what: str) -> DType:
    """Return the row of a DataType number. Raises `UnsupportedError` for an unknown one; `path` and
    `what` name the file and the thing in it."""
    dtype = _BY_NUMBER.get(number)
    if dtype is None:
        problem = f"expected a known dtype, got number {number}"
        raise UnsupportedError(path, what, problem, fault=Fault.DTYPE)
    return dtype


def by_numpy_name(name: str) -> DType | None:
    """Return the row that an array of a NumPy dtype is written as; None for one that has none.

    Quantized types are plain integers in NumPy, and are written as those.
    """
    return _BY_NUMPY_NAME.get(name)
