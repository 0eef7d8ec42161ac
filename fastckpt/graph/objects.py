"""The message of an object graph, decoded and encoded, and where a checkpoint has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..errors import FormatError
from ..format._message import BOOL, INT, SPAN, TEXT, Message, decode
from ..format._message_encoder import encode
from .object_graph import ObjectGraph
from .tracked import Attribute, RegisteredSaver, Slot, TrackedObject

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "GRAPH_KEY",
    "decode_graph",
    "encode_graph",
    "read_object_graph",
    "read_variables",
]

GRAPH_KEY: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"  # the tensor that holds the graph

_WHAT: Final = "object graph"
_REFERENCE: Final = Message("ObjectReference", {1: ("node_id", INT), 2: ("local_name", TEXT)})
_ATTRIBUTE: Final = Message(
    "SerializedTensor", {1: ("name", TEXT), 2: ("full_name", TEXT), 3: ("checkpoint_key", TEXT)}
)
_SLOT: Final = Message(
    "SlotVariableReference",
    {
        1: ("original_variable_node_id", INT),
        2: ("slot_name", TEXT),
        3: ("slot_variable_node_id", INT),
    },
)
_SAVER: Final = Message("RegisteredSaver", {1: ("name", TEXT), 2: ("object_name", TEXT)})
_BOOL_VALUE: Final = Message("BoolValue", {1: ("value", BOOL)})
# What repeats is decoded one by one: a list of dicts would take a hundred times the bytes.
_NODE: Final = Message(
    "TrackableObject",
    {
        1: ("children", [SPAN]),
        2: ("attributes", [SPAN]),
        3: ("slot_variables", [SPAN]),
        4: ("registered_saver", _SAVER),
        5: ("has_checkpoint_values", _BOOL_VALUE),
    },
)
_GRAPH: Final = Message("TrackableObjectGraph", {1: ("nodes", [SPAN])})


def read_object_graph(checkpoint: _TensorMapping) -> ObjectGraph | None:
    """Return the object graph of an open checkpoint; None if it has none.

    Raises `FormatError` for a graph that is broken, and what `get_tensor` raises.
    """
    if GRAPH_KEY not in checkpoint:
        return None
    array = checkpoint.get_tensor(GRAPH_KEY, copy=True)
    if array.dtype != object or array.shape != ():
        problem = f"expected a string scalar, got dtype {array.dtype} and shape {array.shape}"
        raise FormatError(checkpoint.path, f"tensor {GRAPH_KEY!r}", problem, tensor=GRAPH_KEY)
    return decode_graph(array.item(), checkpoint.path)


def read_variables(checkpoint: _TensorMapping) -> dict[str, str]:
    """Return a dict of readable paths to the names of tensors; without an object graph, of each
    name to itself.

    Lookup tables and dataset iterators, which have several tensors under one key, are left out: no
    single tensor is their value.
    """
    graph = read_object_graph(checkpoint)
    if graph is None:
        return {name: name for name in checkpoint}
    return {path: key for path, key in graph.variables().items() if key in checkpoint}


class _TensorMapping(Protocol):
    """The part of a `Checkpoint` that reading its object graph needs."""

    @property
    def path(self) -> str: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def get_tensor(self, name: str, *, copy: bool | None = None) -> npt.NDArray[Any]: ...


# ---- The message


def decode_graph(data: bytes, path: str) -> ObjectGraph:
    """Return the graph that a serialized `TrackableObjectGraph` describes; `path` is for errors.

    Raises `FormatError` for bytes that are no such message, an id without an object, and paths
    whose total length is far beyond that of the keys that TensorFlow makes of them.
    """
    spans = decode(_GRAPH, data, path, _WHAT)["nodes"]
    if not len(spans):
        raise FormatError(path, _WHAT, "expected a root object, got none", offset=0)
    graph = _GraphDecoder(data, path, len(spans)).decode(spans)
    # in TensorFlow's own graphs every path is the beginning of a key
    limit = 4 * len(data) + 65536
    if graph.size_of_paths > limit:
        problem = f"expected paths of at most {limit} characters in all, got {graph.size_of_paths}"
        raise FormatError(path, _WHAT, problem, offset=0)
    return graph


class _GraphDecoder:
    """Turns the messages of objects into objects that refer to each other."""

    def __init__(self, data: bytes, path: str, count: int) -> None:
        self._data = data
        self._path = path
        self._nodes = [TrackedObject(number) for number in range(count)]

    def decode(self, spans: npt.NDArray[Any]) -> ObjectGraph:
        slots: dict[int, list[Slot]] = {}  # by variable
        for node, (start, end) in zip(self._nodes, _rows(spans), strict=True):
            fields = decode(_NODE, self._data, self._path, _WHAT, start, end)
            self._fill(node, fields)
            for slot in node.owned_slots:
                slots.setdefault(slot.variable.id, []).append(slot)
        for number, found in slots.items():
            self._nodes[number].slots = tuple(found)
        return ObjectGraph(self._nodes)

    def _fill(self, node: TrackedObject, fields: Mapping[str, Any]) -> None:
        children: dict[str, TrackedObject] = {}
        for at, child in self._each(_REFERENCE, fields["children"]):
            children.setdefault(child["local_name"], self._node(child["node_id"], at))
        if children:
            node.children = children
        attributes = self._each(_ATTRIBUTE, fields["attributes"])
        node.attributes = tuple(Attribute(**each) for _, each in attributes)
        node.owned_slots = tuple(self._slots(node, fields["slot_variables"]))
        if fields["registered_saver"] is not None:
            node.registered_saver = RegisteredSaver(**fields["registered_saver"])
        if fields["has_checkpoint_values"] is not None:
            node.has_checkpoint_values = fields["has_checkpoint_values"]["value"]

    def _slots(self, optimizer: TrackedObject, spans: npt.NDArray[Any]) -> Iterator[Slot]:
        for at, each in self._each(_SLOT, spans):
            variable = self._node(each["original_variable_node_id"], at)
            node = self._node(each["slot_variable_node_id"], at)
            slot = Slot(each["slot_name"], optimizer, variable, node)
            node.slot = node.slot or slot
            yield slot

    def _each(
        self, message: Message, spans: npt.NDArray[Any]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield where each submessage begins, and its fields."""
        for start, end in _rows(spans):
            yield start, decode(message, self._data, self._path, _WHAT, start, end)

    def _node(self, number: int, at: int) -> TrackedObject:
        if not 0 <= number < len(self._nodes):
            problem = f"expected the id of one of {len(self._nodes)} objects, got {number}"
            raise FormatError(self._path, _WHAT, problem, offset=at)
        return self._nodes[number]


def _rows(spans: npt.NDArray[Any]) -> Iterator[list[int]]:
    """Yield the pairs of an array as Python numbers, a few thousand at a time."""
    for at in range(0, len(spans), 4096):
        yield from spans[at : at + 4096].tolist()


def encode_graph(graph: ObjectGraph) -> bytes:
    """Return the serialized `TrackableObjectGraph`."""
    return encode(_GRAPH, {"nodes": [_encode_node(node) for node in graph.nodes]})


def _encode_node(node: TrackedObject) -> bytes:
    saver, has_values = node.registered_saver, node.has_checkpoint_values
    fields = {
        "children": [
            encode(_REFERENCE, {"node_id": child.id, "local_name": name})
            for name, child in node.children.items()
        ],
        "attributes": [
            encode(_ATTRIBUTE, {name: getattr(each, name) for name in Attribute.__slots__})
            for each in node.attributes
        ],
        "slot_variables": [
            encode(
                _SLOT,
                {
                    "original_variable_node_id": slot.variable.id,
                    "slot_name": slot.name,
                    "slot_variable_node_id": slot.node.id,
                },
            )
            for slot in node.owned_slots
        ],
        "registered_saver": saver and {"name": saver.name, "object_name": saver.object_name},
        "has_checkpoint_values": None if has_values is None else {"value": has_values},
    }
    return encode(_NODE, fields)
