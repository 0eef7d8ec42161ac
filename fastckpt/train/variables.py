"""Variables: named values that are saved and restored through one interface."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final

import numpy as np

from ..format.dtypes import DType
from ..format.values import encode_value
from .adapters import WHAT, Adapter, Assignable, find_adapter, is_text

__all__ = ["Variable", "named_variables", "restore_all", "to_integer"]

_OUTPUT: Final = re.compile(r":\d+\Z")  # "v:0" is output 0 of the operation "v"


def named_variables(
    target: object, values: Mapping[str, object] | None = None
) -> dict[str, Variable]:
    """Return the variables of `target` by their names, in its order.

    `target` is a mapping of names to variables, an iterable of variables that have names or of
    (name, variable) pairs, or a model: what has `variables` (Keras) or `state_dict()` (PyTorch).
    A variable is a NumPy array, a PyTorch tensor, or any object with a value (`numpy()` or
    `__array__`) and `assign()`. A mapping may also hold what cannot be written in place (Python
    and NumPy scalars, `bytes`, `str`, lists, JAX arrays): restoring replaces the entry, if the
    mapping is mutable. With `values`, a `str` in place of a variable is the entry of that name.

    The name of an object is its `path` (Keras), else its `name` without the ":0".

    Raises `ValueError` for names that are empty or not unique and for entries that `values` does
    not have, `TypeError` for what is no variable or has no name.
    """
    found: dict[str, Variable] = {}
    for name, variable in _variables(_contents(target), values):
        if not name:
            raise ValueError("expected the name of a variable, got an empty one")
        if name in found:
            raise ValueError(f"At least two variables have the same name: {name}")
        found[name] = variable
    return found


def restore_all(
    pairs: Iterable[tuple[Variable, object]], *, reshape: bool = False, cast: bool = False
) -> None:
    """Assign an array to each variable: all of them or, when one does not fit, none.

    Raises the `ValueError` of `Variable.prepare` before the first value changes.
    """
    prepared = [(each, each.prepare(array, reshape=reshape, cast=cast)) for each, array in pairs]
    for variable, value in prepared:
        variable.assign(value)


def to_integer(what: str, value: Any, entries: object = None) -> int:
    """Return the integer value of a step or counter: an `int`, an array or variable of one
    element, or the name of one of `entries`, with or without the ":0" of graphs.

    Raises `ValueError` for a name that is not in `entries`, `TypeError` for anything else; the
    message begins with `what`.
    """
    if isinstance(value, str):
        name = _OUTPUT.sub("", value)
        if not isinstance(entries, Mapping) or name not in entries:
            raise ValueError(f"{what}: there is no entry {name!r}")
        value = entries[name]
    try:
        return operator.index(value)
    except TypeError:
        array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    if array.dtype.kind not in "iu" or array.size != 1:
        raise TypeError(f"{what}: expected an integer, got {value!r}")
    return int(array.reshape(())[()])


class Variable:
    """A variable: a name in a checkpoint, and an object whose value is read and assigned.

    Holds a reference to the object, or to the mapping that it is an entry of: a mapping is asked
    each time, so that an entry that somebody replaces is found.
    """

    __slots__ = ("_adapter", "_get", "_set", "_type", "name")

    def __init__(
        self, name: str, get: Callable[[], object], set_: Callable[[object], None] | None = None
    ) -> None:
        """Take functions that return the object and replace it; `set_` is None if it cannot be
        replaced. Raises `TypeError` for an object that is no variable."""
        self.name = name
        self._get = get
        self._set = set_
        item = get()
        self._type = type(item)
        self._adapter = find_adapter(name, item)

    def __repr__(self) -> str:
        return f"<Variable {self.name!r}: dtype {self.dtype.name}, shape {self.shape}>"

    def _adapted(self) -> tuple[Any, Adapter]:
        """Return the object and its adapter, a new one if an object of another type took the
        entry."""
        item = self._get()
        if type(item) is not self._type:
            self._adapter, self._type = find_adapter(self.name, item), type(item)
        return item, self._adapter

    @property
    def dtype(self) -> DType:
        """The row of the dtype that the value is saved as. Raises `TypeError` if it has none."""
        item, adapter = self._adapted()
        return adapter.dtype(self.name, item)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value; () for scalars, `bytes` and `str`."""
        item, adapter = self._adapted()
        return adapter.shape(item)

    def value(self) -> object:
        """Return what `Writer.add` takes: a view of the variable's memory where there is one."""
        item, adapter = self._adapted()
        return adapter.value(item)

    def mismatch(
        self,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        *,
        reshape: bool = False,
        cast: bool = False,
    ) -> tuple[str, str] | None:
        """Return None if a tensor of this dtype and shape fits, else what is expected and what
        was found, in words.

        Shapes must be equal; with `reshape`, the number of elements. Dtypes must be equal; with
        `cast`, NumPy's "same_kind" is enough (never strings to numbers). A Python number has no
        size of its own: an `int` takes any integer, a `float` any real floating-point number.
        """
        item, adapter = self._adapted()
        own, own_shape = adapter.dtype(self.name, item), adapter.shape(item)
        is_shape_right = own_shape == shape or (
            reshape and math.prod(own_shape) == math.prod(shape)
        )
        if is_shape_right and adapter.takes(item, own, dtype, cast):
            return None
        got = "string" if is_text(dtype) else dtype.name
        return f"dtype {own.name} and shape {own_shape}", f"dtype {got} and shape {shape}"

    def prepare(self, array: object, *, reshape: bool = False, cast: bool = False) -> object:
        """Check a new value against the variable, and return what `assign` takes.

        Changes nothing. The result may be a view of `array`. Raises `ValueError` that names the
        variable for another shape or dtype (see `mismatch`), for values that it cannot hold
        (integers out of its range, strings that would be cut) and for read-only arrays.
        """
        if not isinstance(array, np.ndarray):
            array = encode_value(self.name, array)[1]
        fault = self.mismatch(array.dtype, array.shape, reshape=reshape, cast=cast)
        if fault is not None:
            raise ValueError(f"variable {self.name!r}: expected {fault[0]}, got {fault[1]}")
        item, adapter = self._adapted()
        if self._set is None and not adapter.is_in_place(item):
            raise ValueError(
                f"variable {self.name!r}: expected one that can be written in place, got "
                f"{adapter.describe(item)}"
            )
        try:
            return adapter.convert(item, array.reshape(adapter.shape(item)))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"variable {self.name!r}: {error}") from error

    def assign(self, prepared: Any) -> None:
        """Assign a value that `prepare` returned: in place, else by replacing the entry."""
        item, adapter = self._adapted()
        if adapter.is_in_place(item):
            adapter.put(item, prepared)
        elif self._set is not None:
            self._set(adapter.make(item, prepared))


def _contents(target: Any) -> object:
    """Return the mapping or the iterable of a model, and any other target as it is."""
    if isinstance(target, Mapping):
        return target
    variables = getattr(target, "variables", None)
    if variables is not None and not callable(variables):
        return variables  # before state_dict: Keras' models on PyTorch have both
    if hasattr(target, "state_dict") and hasattr(target, "named_parameters"):
        return target.state_dict()  # shares the memory of the parameters
    return target


def _variables(target: Any, values: Mapping[str, object] | None) -> Iterator[tuple[str, Variable]]:
    if isinstance(target, Mapping):
        for key, item in target.items():
            if not isinstance(key, str):
                raise TypeError(f"expected the name of a variable, got {key!r}")
            holder = target if values is None or not isinstance(item, str) else values
            yield key, _entry(key, holder, key if holder is target else str(item))
        return
    is_one = isinstance(target, (str, bytes)) or Assignable().matches(target)
    if is_one or hasattr(target, "__array__") or not isinstance(target, Iterable):
        raise TypeError(
            "expected a mapping of names to variables, or a list of variables, got "
            f"{type(target).__name__}"
        )
    for item in target:
        if isinstance(item, str) and values is not None:
            yield item, _entry(item, values, item)
        elif isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
            yield item[0], _pair(*item, values)
        else:
            name = _name_of(item)
            yield name, _pair(name, item, None)


def _entry(name: str, holder: Mapping[str, object], key: str) -> Variable:
    if key not in holder:
        raise ValueError(f"variable {name!r}: there is no value called {key!r}")
    if isinstance(holder, MutableMapping):
        return Variable(name, lambda: holder[key], lambda item: holder.__setitem__(key, item))
    return Variable(name, lambda: holder[key])


def _pair(name: str, item: object, values: Mapping[str, object] | None) -> Variable:
    if isinstance(item, str) and values is not None:
        return _entry(name, values, item)
    return Variable(name, lambda: item)


def _name_of(item: Any) -> str:
    for attribute in ("path", "_shared_name", "name"):
        name = getattr(item, attribute, None)
        if isinstance(name, str) and name:
            return _OUTPUT.sub("", name)
    raise TypeError(
        f"expected a variable that has a name ({WHAT}), got {type(item).__name__}: pass a mapping "
        "of names to variables, or (name, variable) pairs"
    )
