"""Object graphs: which objects a checkpoint was made of, by what names they hold each other, and
which tensor has the value of each (docs/other-formats.md, "Object graphs").

A graph, not a tree: objects may be shared, and may hold each other in circles. Nothing here follows
it by recursion, and every object is visited once. Knows no file, only the message.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..errors import FormatError
from ..format._message import BOOL, INT, SPAN, TEXT, Message, decode, encode
from ..text import count, html_fold, html_lines

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "GRAPH_KEY",
    "SAVE_COUNTER",
    "VARIABLE_VALUE",
    "Attribute",
    "Node",
    "ObjectGraph",
    "RegisteredSaver",
    "Slot",
    "decode_graph",
    "encode_graph",
    "read_object_graph",
    "read_variables",
]

GRAPH_KEY: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"  # the tensor that holds the graph
VARIABLE_VALUE: Final = "VARIABLE_VALUE"  # the attribute of every variable
SAVE_COUNTER: Final = "save_counter"  # what the root calls the number of saves

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


@dataclass(frozen=True, slots=True)
class Attribute:
    """A value that an object saved.

    `name` is "VARIABLE_VALUE" for variables. `full_name` is what the variable was called in a
    graph, "" for other objects. `checkpoint_key` is the name of the tensor; of lookup tables and
    iterators it is only the beginning of it.
    """

    name: str
    full_name: str
    checkpoint_key: str


@dataclass(frozen=True, slots=True)
class RegisteredSaver:
    """The function that saved an object which saves itself in files of its own."""

    name: str
    object_name: str


@dataclass(frozen=True, slots=True)
class Slot:
    """What `optimizer` keeps under `name` for `variable`: another variable, `node`."""

    name: str
    optimizer: Node
    variable: Node
    node: Node


class Node:
    """One object.

    `children` is a dict of local names to nodes, in the order of the file; of two children with
    one name the first is there. `slots` are those that optimizers keep for this variable,
    `owned_slots` those that this optimizer keeps. `has_checkpoint_values` is None where it was
    not written (TensorFlow 1.15).
    """

    __slots__ = (
        "_name",
        "_parent",
        "_size",
        "_slot",
        "attributes",
        "children",
        "has_checkpoint_values",
        "id",
        "owned_slots",
        "registered_saver",
        "slots",
    )

    def __init__(self, number: int) -> None:
        self.id = number
        self.children: Mapping[str, Node] = _NONE
        self.attributes: tuple[Attribute, ...] = ()
        self.slots: tuple[Slot, ...] = ()
        self.owned_slots: tuple[Slot, ...] = ()
        self.registered_saver: RegisteredSaver | None = None
        self.has_checkpoint_values: bool | None = None
        self._parent: Node | None = None  # the first that leads here from the root
        self._name = ""  # what the parent calls it
        self._size = 0  # of the path, in characters
        self._slot: Slot | None = None  # the one that this node is

    def __repr__(self) -> str:
        return f"<Node {self.id}: {_spell_path(self)}>"

    @property
    def is_reached(self) -> bool:
        """Whether the root leads here. It does not to slots: they are found by their variable."""
        return self._parent is not None or self.id == 0

    @property
    def path(self) -> str | None:
        """The local names on the first breadth-first way from the root, joined with "/".

        "" for the root, None for what it does not lead to.
        """
        if not self.is_reached:
            return None
        names, node = [], self
        while node._parent is not None:
            names.append(node._name)
            node = node._parent
        return "/".join(reversed(names))

    @property
    def key(self) -> str | None:
        """The tensor's name, if this is a variable."""
        return next((a.checkpoint_key for a in self.attributes if a.name == VARIABLE_VALUE), None)


_NONE: Final[Mapping[str, Node]] = MappingProxyType({})


class ObjectGraph:
    """The objects of a checkpoint: `nodes` in the order of their ids, the first is the `root`.

    `str()` gives the tree, in which an object that stands in a second place refers to the first.
    """

    __slots__ = ("nodes",)

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = tuple(nodes)
        _find_paths(self.root)

    @property
    def root(self) -> Node:
        """The object that was saved."""
        return self.nodes[0]

    @property
    def save_counter(self) -> str | None:
        """The name of the tensor that counts the saves, if there is one."""
        counter = self.root.children.get(SAVE_COUNTER)
        return None if counter is None else counter.key

    def variables(self) -> dict[str, str]:
        """Return a dict of readable paths to tensor names, in the order of the objects.

        A variable is known by the names on the first breadth-first way from the root, as its
        objects have them, joined with "/": ``model/dense/kernel``. What an optimizer keeps for it
        is ``model/dense/kernel:optimizer/m``, another attribute than a variable's value
        ``path:ATTRIBUTE``. Where that is not unique, since names may have a "/" in them, and
        where there is no such path, the name of the tensor stands in its place.
        """
        pairs = list(self._readable())
        counts = Counter(name for name, _ in pairs)
        return {name if name and counts[name] == 1 else key: key for name, key in pairs}

    def full_names(self) -> dict[str, str]:
        """Return a dict of the names that variables had in a graph to tensor names. Of several
        variables of one name, the last counts, as it does for TensorFlow's `Saver`."""
        attributes = (each for node in self.nodes for each in node.attributes)
        return {each.full_name: each.checkpoint_key for each in attributes if each.full_name}

    def _readable(self) -> Iterator[tuple[str | None, str]]:
        for node in self.nodes:
            path = _name_of(node) if node.attributes else None
            for each in node.attributes:
                is_plain = path is None or each.name == VARIABLE_VALUE
                yield (path if is_plain else f"{path}:{each.name}"), each.checkpoint_key

    def __repr__(self) -> str:
        return f"<ObjectGraph of {len(self.nodes)} objects>"

    def __str__(self) -> str:
        lines = _tree(self.root)
        shown = list(islice(lines, _MAX_LINES))
        if next(lines, None) is not None:
            shown.append(f"... {len(self.nodes)} objects in all")
        return "\n".join(shown)

    def _repr_html_(self) -> str:
        lines = str(self).split("\n")
        return html_fold(
            "root", count(len(self.nodes), "object"), html_lines(lines[1:]), is_open=True
        )


def _name_of(node: Node) -> str | None:
    """Return the readable path of an object; of what is only a slot, by its variable."""
    if node.is_reached or node._slot is None:
        return node.path
    variable, optimizer = node._slot.variable, node._slot.optimizer
    return f"{variable.path}:{optimizer.path}/{node._slot.name}" if variable.is_reached else None


def _size_of_names(node: Node) -> int:
    """Return how many characters `variables` makes of a node, about."""
    size, slot = node._size, node._slot
    if slot is not None and not node.is_reached:
        size = slot.variable._size + slot.optimizer._size + len(slot.name)
    return size * len(node.attributes)


def _find_paths(root: Node) -> None:
    """Note the first breadth-first way to each node."""
    queue = deque([root])
    while queue:
        node = queue.popleft()
        for name, child in node.children.items():
            if child._parent is None and child is not root:
                child._parent, child._name = node, name
                child._size = node._size + 1 + len(name)
                queue.append(child)


def read_object_graph(checkpoint: _Tensors) -> ObjectGraph | None:
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


def read_variables(checkpoint: _Tensors) -> dict[str, str]:
    """Return a dict of readable paths to names of tensors that are there; for a checkpoint
    without an object graph of each name to itself.

    What has several tensors under one key, a lookup table or a dataset's iterator, is left out: no
    one tensor is its value."""
    graph = read_object_graph(checkpoint)
    if graph is None:
        return {name: name for name in checkpoint}
    return {path: key for path, key in graph.variables().items() if key in checkpoint}


class _Tensors(Protocol):
    """What is needed of a checkpoint."""

    @property
    def path(self) -> str: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def get_tensor(self, name: str, *, copy: bool | None = None) -> npt.NDArray[Any]: ...


# ---- The message


def decode_graph(data: bytes, path: str) -> ObjectGraph:
    """Return the graph that a serialized `TrackableObjectGraph` describes; `path` is for errors.

    Raises `FormatError` for bytes that are no such message, an id without an object, and paths
    that are together much longer than the keys that TensorFlow makes of them.
    """
    spans = decode(_GRAPH, data, path, _WHAT)["nodes"]
    if not len(spans):
        raise FormatError(path, _WHAT, "expected a root object, got no object at all", offset=0)
    graph = _Decoder(data, path, len(spans)).decode(spans)
    # in TensorFlow's own graphs every path is the beginning of a key
    limit = 4 * len(data) + 65536
    size = sum(_size_of_names(node) for node in graph.nodes)
    if size > limit:
        problem = f"expected paths of at most {limit} characters in all, got {size}"
        raise FormatError(path, _WHAT, problem, offset=0)
    return graph


class _Decoder:
    """Turns the messages of nodes into nodes that refer to each other."""

    def __init__(self, data: bytes, path: str, count: int) -> None:
        self._data = data
        self._path = path
        self._nodes = [Node(number) for number in range(count)]

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

    def _fill(self, node: Node, fields: Mapping[str, Any]) -> None:
        children: dict[str, Node] = {}
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

    def _slots(self, optimizer: Node, spans: npt.NDArray[Any]) -> Iterator[Slot]:
        for at, each in self._each(_SLOT, spans):
            variable = self._node(each["original_variable_node_id"], at)
            node = self._node(each["slot_variable_node_id"], at)
            slot = Slot(each["slot_name"], optimizer, variable, node)
            node._slot = node._slot or slot
            yield slot

    def _each(
        self, message: Message, spans: npt.NDArray[Any]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield where each submessage begins, and its fields."""
        for start, end in _rows(spans):
            yield start, decode(message, self._data, self._path, _WHAT, start, end)

    def _node(self, number: int, at: int) -> Node:
        if not 0 <= number < len(self._nodes):
            problem = f"expected the id of one of {len(self._nodes)} objects, got {number}"
            raise FormatError(self._path, _WHAT, problem, offset=at)
        return self._nodes[number]


def _rows(spans: npt.NDArray[Any]) -> Iterator[list[int]]:
    """Yield the pairs of an array as Python numbers, which not all of them are at once."""
    for at in range(0, len(spans), 4096):
        yield from spans[at : at + 4096].tolist()


def encode_graph(graph: ObjectGraph) -> bytes:
    """Return the serialized `TrackableObjectGraph`."""
    return encode(_GRAPH, {"nodes": [_encode_node(node) for node in graph.nodes]})


def _encode_node(node: Node) -> bytes:
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


# ---- Text

_MAX_LINES: Final = 1000  # of a tree that is printed
_MAX_NAME: Final = 100  # characters of a name there
_MAX_DEPTH: Final = 50  # names of a path there


def _tree(root: Node) -> Iterator[str]:
    """Yield the lines of the tree: what is within something is indented."""
    yield f"root{_describe(root)}"
    levels = [_branches(root)]
    while levels:
        branch = next(levels[-1], None)
        if branch is None:
            levels.pop()
            continue
        name, node, is_first = branch
        indent = "  " * len(levels)
        if not is_first:
            yield f"{indent}{name} -> {_spell_path(node)}"
            continue
        yield f"{indent}{name}{_describe(node)}"
        levels.append(_branches(node))


def _branches(node: Node) -> Iterator[tuple[str, Node, bool]]:
    """Yield what stands below a node: name, node, and whether this is its first place."""
    for name, child in node.children.items():
        yield _clip(name), child, child._parent is node and child._name == name
    for slot in node.slots:
        is_first = slot.node._slot is slot and not slot.node.is_reached
        yield f"{_clip(slot.name)} (slot of {_spell_path(slot.optimizer)})", slot.node, is_first


def _describe(node: Node) -> str:
    if not node.attributes and node.registered_saver is None:
        return ""
    names = ["variable" if each.name == VARIABLE_VALUE else each.name for each in node.attributes]
    if node.registered_saver is not None:
        names.append(f"saved by {node.registered_saver.name}")
    return f": {_clip(', '.join(names[:10]))}"


def _spell_path(node: Node) -> str:
    """Return the path of a node, or what is nearest to it of a long one."""
    if not node.is_reached:
        return f"object {node.id}"
    names: list[str] = []
    while node._parent is not None and len(names) < _MAX_DEPTH:
        names.append(_clip(node._name))
        node = node._parent
    if node._parent is not None:
        names.append("...")
    return "/".join(reversed(names)) or "root"


def _clip(text: str) -> str:
    """Return a name as it can stand in a line."""
    clipped = text if len(text) <= _MAX_NAME else f"{text[: _MAX_NAME - 3]}..."
    return clipped if clipped.isprintable() and clipped else repr(clipped)
