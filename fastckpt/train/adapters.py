"""Variable adapters: how to read and assign each supported type of object.

No framework is imported: the attributes of an object say which adapter of the table (`_ADAPTERS`)
it has.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..format.dtypes import STRING, DType, by_name
from ..format.values import encode_value

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["WHAT", "Adapter", "Assignable", "find_adapter", "is_text"]

WHAT: Final = (
    "a NumPy array, a PyTorch tensor, or an object with a value (numpy() or __array__) and assign()"
)

# The order in which a dtype may become another, by the beginnings of their names.
_LADDER: Final = (("bool",), ("uint",), ("int",), ("float", "bfloat"), ("complex",))
_PYTHON_NUMBERS: Final = {bool: (0,), int: (1, 2), float: (3,), complex: (4,)}  # steps of each


class Adapter:
    """How objects of one type are read and assigned; this class is that of NumPy arrays.

    `convert` returns what `put` writes into the object, or `make` turns into a new object: an
    array of the object's shape, whose dtype `takes` allows.
    """

    def matches(self, item: Any) -> bool:
        return isinstance(item, np.ndarray)

    def is_in_place(self, item: Any) -> bool:
        return bool(item.flags.writeable)

    def describe(self, item: Any) -> str:
        return "a read-only array"

    def value(self, item: Any) -> Any:
        return item

    def dtype(self, name: str, item: Any) -> DType:
        return encode_value(name, np.empty(0, item.dtype))[0]

    def shape(self, item: Any) -> tuple[int, ...]:
        return tuple(item.shape)

    def takes(self, item: Any, own: DType, dtype: np.dtype[Any], cast: bool) -> bool:
        if own is STRING or is_text(dtype):
            return own is STRING and is_text(dtype)
        return own.numpy_name == dtype.name or (cast and _is_same_kind(dtype, own.numpy))

    def convert(self, item: Any, array: Array) -> Any:
        if is_text(array.dtype):
            return _convert_text(item, array)
        return _convert_numbers(array, item.dtype)

    def put(self, item: Any, prepared: Any) -> None:
        np.copyto(item, prepared, casting="unsafe")  # `takes` has checked it

    def make(self, item: Any, prepared: Any) -> object:
        return np.array(prepared)


class _Described(Adapter):
    """Objects with a shape, and a dtype whose name is TensorFlow's, in whatever form."""

    def is_in_place(self, item: Any) -> bool:
        return True

    def dtype(self, name: str, item: Any) -> DType:
        own = str(getattr(item.dtype, "name", item.dtype)).rsplit(".", 1)[-1]
        dtype = by_name(own)
        if dtype is None:
            raise TypeError(f"tensor {name!r}: a checkpoint cannot hold the dtype {item.dtype}")
        return dtype

    def convert(self, item: Any, array: Array) -> Any:
        if is_text(array.dtype):
            return encode_value("", array)[1]
        return _convert_numbers(array, self.dtype("", item).numpy)


class _Torch(_Described):
    """PyTorch tensors and parameters, on any device."""

    def matches(self, item: Any) -> bool:
        return all(hasattr(item, name) for name in ("detach", "cpu", "numpy", "copy_"))

    def convert(self, item: Any, array: Array) -> Any:
        if getattr(item, "is_meta", False):  # copy_ would do nothing
            raise ValueError("expected a tensor with memory, got one on the meta device")
        return super().convert(item, array)

    def value(self, item: Any) -> Any:
        tensor = item.detach().cpu().resolve_conj().resolve_neg()
        own = self.dtype("", item)
        plain = _plain_dtype(tensor, own)
        return tensor.numpy() if plain is None else tensor.view(plain).numpy().view(own.numpy)

    def put(self, item: Any, prepared: Any) -> None:
        # a tensor of the same dtype in the CPU's memory, made without naming PyTorch
        staged = item.detach().new_empty(tuple(item.shape), device="cpu")
        np.copyto(self.value(staged), prepared)
        item.detach().copy_(staged)


def _plain_dtype(tensor: Any, own: DType) -> Any:
    """Return the integer dtype by which PyTorch exports a dtype that NumPy lacks, else None."""
    if own.numpy.type.__module__ == "numpy":
        return None
    library = sys.modules[type(tensor.dtype).__module__]
    return library.int16 if own.item_size == 2 else library.uint8


class Assignable(_Described):
    """Objects with a value and `assign()`: tf.Variable, Keras variables on any backend."""

    def matches(self, item: Any) -> bool:
        has_value = hasattr(item, "numpy") or hasattr(item, "__array__")
        return has_value and callable(getattr(item, "assign", None))

    def value(self, item: Any) -> Any:
        return item.numpy() if hasattr(item, "numpy") else np.asarray(item)

    def dtype(self, name: str, item: Any) -> DType:
        if hasattr(item, "dtype"):
            return super().dtype(name, item)
        return encode_value(name, self.value(item))[0]

    def shape(self, item: Any) -> tuple[int, ...]:
        try:
            return tuple(int(dim) for dim in item.shape)
        except (AttributeError, TypeError, ValueError):  # no shape, or none before the first value
            return np.shape(self.value(item))

    def put(self, item: Any, prepared: Any) -> None:
        # frameworks may keep the memory they are given, which must not be a view of a file
        is_private = prepared.flags.writeable and prepared.flags.owndata
        item.assign(prepared if is_private else np.array(prepared))


class _Replaced(Adapter):
    """Objects that cannot be written in place: a new object replaces the entry."""

    def is_in_place(self, item: Any) -> bool:
        return False

    def describe(self, item: Any) -> str:
        return f"a value of type {type(item).__name__}, which can only be replaced in a mapping"

    def dtype(self, name: str, item: Any) -> DType:
        own = getattr(item, "dtype", None)  # spares the copy of a value on a device
        return encode_value(name, np.empty(0, own) if isinstance(own, np.dtype) else item)[0]

    def shape(self, item: Any) -> tuple[int, ...]:
        return tuple(item.shape) if hasattr(item, "shape") else encode_value("", item)[1].shape

    def convert(self, item: Any, array: Array) -> Any:
        if is_text(array.dtype):
            return _convert_text(np.asarray(item, object), array)
        return _convert_numbers(array, self.dtype("", item).numpy)


class _Text(_Replaced):
    """`bytes` and `str`."""

    def matches(self, item: Any) -> bool:
        return isinstance(item, (bytes, str))

    def convert(self, item: Any, array: Array) -> Any:
        data = encode_value("", array)[1].item()
        return data.decode() if isinstance(item, str) else data

    def make(self, item: Any, prepared: Any) -> object:
        return prepared


class _Number(_Replaced):
    """`bool`, `int`, `float` and `complex`; the new value has the same type."""

    def matches(self, item: Any) -> bool:
        return isinstance(item, (bool, int, float, complex)) and not isinstance(item, np.generic)

    def takes(self, item: Any, own: DType, dtype: np.dtype[Any], cast: bool) -> bool:
        steps = next(each for kind, each in _PYTHON_NUMBERS.items() if isinstance(item, kind))
        step = _step(dtype)
        return step in steps or (cast and step is not None and step <= steps[-1])

    def convert(self, item: Any, array: Array) -> Any:
        kind = next(kind for kind in _PYTHON_NUMBERS if isinstance(item, kind))
        return kind(array.item())

    def make(self, item: Any, prepared: Any) -> object:
        return prepared


class _Scalar(_Replaced):
    """NumPy scalars."""

    def matches(self, item: Any) -> bool:
        return isinstance(item, np.generic)

    def make(self, item: Any, prepared: Any) -> object:
        return np.array(prepared)[()]


class _List(_Replaced):
    """Lists and tuples of numbers or strings."""

    def matches(self, item: Any) -> bool:
        return isinstance(item, (list, tuple))

    def make(self, item: Any, prepared: Any) -> object:
        values = prepared.tolist()
        return tuple(values) if isinstance(item, tuple) else values


class _Jax(_Replaced):
    """JAX arrays; the new one has the sharding of the old one."""

    def matches(self, item: Any) -> bool:
        return "jax" in sys.modules and isinstance(item, sys.modules["jax"].Array)

    def make(self, item: Any, prepared: Any) -> object:
        return sys.modules["jax"].device_put(np.array(prepared), item.sharding)


class _ArrayLike(_Replaced):
    """Any other object with `__array__` or DLPack; a NumPy array replaces it."""

    def matches(self, item: Any) -> bool:
        is_instance = not isinstance(item, type)
        return is_instance and (hasattr(item, "__array__") or hasattr(item, "__dlpack__"))


_ADAPTERS: Final = (
    Adapter(), _Torch(), Assignable(), _Text(), _Number(), _Scalar(), _List(), _Jax(), _ArrayLike(),
)  # fmt: skip


def find_adapter(name: str, item: object) -> Adapter:
    """Return the adapter of an object. Raises `TypeError` that names the variable."""
    for adapter in _ADAPTERS:
        if adapter.matches(item):
            return adapter
    raise TypeError(f"variable {name!r}: expected {WHAT}, got {type(item).__name__}")


def is_text(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "OSUT"


def _step(dtype: np.dtype[Any]) -> int | None:
    """Return the position of a numeric dtype in `_LADDER`, None for other dtypes."""
    return next((i for i, names in enumerate(_LADDER) if dtype.name.startswith(names)), None)


def _is_same_kind(dtype: np.dtype[Any], other: np.dtype[Any]) -> bool:
    """NumPy's casting rule "same_kind", which some versions lack for ml_dtypes."""
    one, two = _step(dtype), _step(other)
    return one is not None and two is not None and one <= two


def _convert_numbers(array: Array, dtype: np.dtype[Any]) -> Array:
    if array.dtype == dtype:
        return array
    converted = array.astype(dtype)
    if _step(dtype) in (1, 2) and not _is_same(converted, array):
        raise ValueError(f"expected integers that {dtype.name} can hold, got others")
    return converted


def _is_same(converted: Array, array: Array) -> bool:
    """Whether integers survived a cast. Casting back alone would miss a change of sign."""
    is_back = np.array_equal(converted.astype(array.dtype), array)
    return is_back and np.array_equal(converted < 0, array < 0)


def _convert_text(item: Array, array: Array) -> Array:
    """Return strings as `item` holds them: `str` if its elements are, else `bytes`."""
    encoded = encode_value("", array)[1]
    is_str = item.dtype.kind in "UT" or (item.size and isinstance(item.flat[0], str))
    strings = encoded
    if is_str:
        strings = np.empty(encoded.shape, object)
        strings.reshape(-1)[:] = [each.decode() for each in encoded.reshape(-1).tolist()]
    if item.dtype.kind not in "SU":
        return strings
    fixed = strings.astype(item.dtype)
    if fixed.tolist() != strings.tolist():
        raise ValueError(f"expected strings that fit {item.dtype}, got longer ones")
    return fixed
