"""Values to arrays, and arrays to the bytes of a data file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .dtypes import QUANTIZED, STRING, DType, by_name, by_numpy_name

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["encode_value", "payload", "to_native"]

_BY_NUMPY: dict[np.dtype[Any], DType] = {}  # what by_numpy_name gave, by dtype: the fast way

_IS_LITTLE_ENDIAN: Final = sys.byteorder == "little"
_SWAPPED: Final = ">" if _IS_LITTLE_ENDIAN else "<"
_STRING_KINDS: Final = "SUT"  # bytes, str, and NumPy 2's StringDType
_SMALL: Final = 4096  # bytes; up to here a copy is faster than making a view


def encode_value(
    name: str, value: object, tf_dtype: str | None = None
) -> tuple[DType, npt.NDArray[Any]]:
    """Return what to write for a value: its type, and an array of it in native byte order.

    Strings come back as an object array of `bytes`, `str` encoded as UTF-8; NumPy's fixed-width
    strings have lost the NULs that they ended with, lists and object arrays keep them. Any other
    array is the value itself where that is possible, so it may be strided or read-only.

    `tf_dtype` is the name of the type to store, as `tf.DType.name` gives it, where it is another
    one than arrays of the value's dtype usually become.

    Raises `TypeError` for what has no DataType, or not that of `tf_dtype`, and `ValueError` for
    what is no array or no text; `name` is for the message.
    """
    array = value if type(value) is np.ndarray else _to_array(name, value)
    dtype = _BY_NUMPY.get(array.dtype)
    if dtype is None:
        if array.dtype.names and tf_dtype is None:
            tf_dtype, array = _take_quantized(name, array)
        dtype = _find_dtype(name, array)
    if tf_dtype is not None:
        dtype = _check_dtype(name, dtype, tf_dtype)
    if dtype is STRING:
        return dtype, _encode_strings(name, array)
    if array.dtype.byteorder in _SWAPPED:
        array = array.astype(array.dtype.newbyteorder("="))
    return dtype, array


def _take_quantized(name: str, array: npt.NDArray[Any]) -> tuple[str, npt.NDArray[Any]]:
    """Return the name of the dtype and the integers of an array of a quantized dtype of
    TensorFlow's, which has one field of the dtype's name."""
    fields = array.dtype.names or ()
    if len(fields) != 1 or fields[0] not in QUANTIZED:
        raise TypeError(f"tensor {name!r}: a checkpoint cannot hold the dtype {array.dtype}")
    return fields[0], array[fields[0]]


def _check_dtype(name: str, usual: DType, tf_dtype: str) -> DType:
    """Return the row of a dtype that was asked for, if arrays of it are those of the usual one."""
    dtype = by_name(getattr(tf_dtype, "name", tf_dtype))
    if dtype is None:
        raise TypeError(f"tensor {name!r}: tf_dtype: expected a name of a dtype, got {tf_dtype!r}")
    if dtype.numpy_name != usual.numpy_name or dtype.name in ("resource", "variant"):
        raise TypeError(
            f"tensor {name!r}: an array of {usual.name} cannot be stored as {dtype.name}"
        )
    return dtype


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
    dtype = by_numpy_name(numpy_dtype.name)
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
    """Return the little-endian bytes of a fixed-size tensor in C order: a view if possible."""
    if not _IS_LITTLE_ENDIAN:
        array = array.astype(dtype.stored, copy=False)
    if array.nbytes <= _SMALL:
        data = array.tobytes()
        return bytes(byte & dtype.mask for byte in data) if dtype.mask else data
    # not ascontiguousarray: that makes a 1-d array of a 0-d one
    raw = np.asarray(array, order="C").reshape(-1).view(np.uint8)
    if dtype.mask and (raw & ~np.uint8(dtype.mask)).any():
        raw = raw & np.uint8(dtype.mask)
    return raw.data


def to_native(dtype: DType, raw: npt.NDArray[np.uint8], byteorder: str) -> None:
    """Swap the bytes of elements in place if `byteorder`, their own, is not this machine's."""
    if byteorder != sys.byteorder and dtype.swap_size:
        raw.view(f"u{dtype.swap_size}").byteswap(inplace=True)
