"""The nodes of a graph, and their attributes: strings, numbers, dtypes, shapes, tensors, lists.

Each is decoded when it is asked for, from the bytes of the file that it lies in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np

from ..format._message import Message, hash_field
from .constants import Source, Span, decode_shape, decode_tensor, type_name
from .schema import ATTRIBUTE, ATTRIBUTES, CALL, HEADER

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "Attributes",
    "Function",
    "Node",
    "Nodes",
]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """An operation. `inputs` are "n", "n:1" for another output than the first, "^n" for one that
    only has to run before. `attrs` is decoded when it is asked for: see `Attributes`."""

    name: str
    op: str
    inputs: tuple[str, ...]
    device: str
    attrs: Attributes


class Nodes(Sequence[Node]):
    """The nodes of a graph in the order of the file, each decoded when it is asked for."""

    def __init__(self, source: Source, spans: npt.NDArray[np.int64]) -> None:
        self._source = source
        self._spans = spans
        self._index: tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]] | None = None

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, index: int) -> Node: ...
    @overload
    def __getitem__(self, index: slice) -> Nodes: ...
    def __getitem__(self, index: int | slice) -> Node | Nodes:
        if isinstance(index, slice):
            return Nodes(self._source, self._spans[index])
        start, end = self._spans[index].tolist()
        return self._decode((start, end), f"node {index}")

    def __iter__(self) -> Iterator[Node]:
        for number, span in enumerate(self._each_span()):
            yield self._decode(span, f"node {number}")

    def __repr__(self) -> str:
        return f"<{len(self)} nodes>"

    def find(self, name: str) -> Node | None:
        """Return the node of a name, or None. The first call goes through all nodes."""
        if self._index is None:
            # the hashes of the names: names themselves would take ten times the memory
            source = self._source
            hashes = hash_field(1, source.data.data, self._spans, source.path, "node")
            order = np.argsort(hashes, kind="stable")
            self._index = hashes[order], order
        hashes, order = self._index
        wanted = hash(name.encode("utf-8", "surrogateescape"))
        first = hashes.searchsorted(wanted, "left")
        last = hashes.searchsorted(wanted, "right")
        candidates = (self[int(number)] for number in order[first:last])
        return next((node for node in candidates if node.name == name), None)

    def _each_span(self) -> Iterator[Span]:
        for begin in range(0, len(self), _BATCH):
            yield from self._spans[begin : begin + _BATCH].tolist()

    def _decode(self, span: Span, what: str) -> Node:
        found = self._source.decode(HEADER, span, what)
        what = f"node {found['name']!r}"
        attributes = Attributes(self._source, ATTRIBUTES, span, what)
        return Node(found["name"], found["op"], tuple(found["inputs"]), found["device"], attributes)


_BATCH: Final = 4096  # of spans that are Python objects at the same time


class Attributes(Mapping[str, Any]):
    """The attributes of a node or function, by name. A value is decoded each time it is asked for.

    A string is `bytes`; a dtype its name ("float32", "float32_ref"); a shape a tuple, with -1 for
    an unknown dimension, or None if not even the rank is known; a function a `Function`; a list a
    list of any of these. A tensor is a read-only array: a view of the file's bytes where it has
    them, and one element seen many times where it is the same value throughout, so that asking
    for a constant takes no memory.

    Raises `FormatError` for broken bytes, and `UnsupportedError` for a tensor that has no array
    form, or that has few values of which the last is to be repeated very often.
    """

    __slots__ = ("_message", "_source", "_span", "_spans", "_what")

    def __init__(self, source: Source, message: Message, span: Span, what: str) -> None:
        self._source = source
        self._message = message
        self._span = span
        self._what = what
        self._spans: dict[str, Span | None] | None = None

    def __getitem__(self, name: str) -> Any:
        span = self._find()[name] or (0, 0)
        what = f"attribute {name!r} of {self._what}"
        found = self._source.decode(ATTRIBUTE, span, what)
        if not found:
            return None
        kind, value = found.popitem()
        if kind != "list":
            return _VALUES[kind](self._source, value, what)
        kind, items = next(((k, v) for k, v in value.items() if len(v)), ("i", []))
        if isinstance(items, np.ndarray):  # numbers and spans
            items = items.tolist()
        return [_VALUES[kind](self._source, item, what) for item in items]

    def __iter__(self) -> Iterator[str]:
        return iter(self._find())

    def __len__(self) -> int:
        return len(self._find())

    def __repr__(self) -> str:
        return f"<attributes {', '.join(self)} of {self._what}>"

    def _find(self) -> dict[str, Span | None]:
        if self._spans is None:
            found = self._source.decode(self._message, self._span, self._what)
            self._spans = found["attributes"]
        return self._spans


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function that an attribute names, with the attributes to call it with."""

    name: str
    attrs: Attributes


def _decode_function(source: Source, span: Span, what: str) -> Function:
    name = source.decode(CALL, span, what)["name"]
    return Function(name, Attributes(source, CALL, span, f"function {name!r}"))


def _keep(source: Source, value: Any, what: str) -> Any:
    return value


_VALUES: Final[Mapping[str, Callable[[Source, Any, str], Any]]] = {
    "s": _keep,
    "i": _keep,
    "f": _keep,
    "b": _keep,
    "placeholder": _keep,
    "type": lambda source, number, what: type_name(number),
    "shape": decode_shape,
    "tensor": decode_tensor,
    "func": _decode_function,
}
