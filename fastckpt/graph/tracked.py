"""The objects of an object graph: what each holds, saved and is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = [
    "VARIABLE_VALUE",
    "Attribute",
    "RegisteredSaver",
    "Slot",
    "TrackedObject",
    "clip_name",
    "is_optimizer",
    "spell_path",
]

VARIABLE_VALUE: Final = "VARIABLE_VALUE"  # the attribute of every variable

_MAX_NAME: Final = 100  # characters of a name in text
_MAX_DEPTH: Final = 50  # names of a path in text


@dataclass(frozen=True, slots=True)
class Attribute:
    """A value that an object saved.

    `name` is "VARIABLE_VALUE" for variables. `full_name` is the name that the variable had in a
    graph, "" for other objects. `checkpoint_key` is the name of the tensor; for lookup tables and
    iterators, only the beginning of it.
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
    """A variable, `node`, that `optimizer` keeps under `name` for another one, `variable`."""

    name: str
    optimizer: TrackedObject
    variable: TrackedObject
    node: TrackedObject


class TrackedObject:
    """One object: a node of the graph, whose message is `TrackableObject`.

    `children` is a dict of local names to objects, in the order of the file; of two children with
    one name, the first. `slots` are those that optimizers keep for this variable, `owned_slots`
    those that this optimizer keeps, and `slot` is the first one whose variable this is.
    `has_checkpoint_values` is None where it was not written (TensorFlow 1.15).

    `parent`, `name` and `path_size` (characters) describe the way from the root that gives the
    object its path; the `ObjectGraph` finds them.
    """

    __slots__ = (
        "attributes",
        "children",
        "has_checkpoint_values",
        "id",
        "name",
        "owned_slots",
        "parent",
        "path_size",
        "registered_saver",
        "slot",
        "slots",
    )

    def __init__(self, number: int) -> None:
        self.id = number
        self.children: Mapping[str, TrackedObject] = _NONE
        self.attributes: tuple[Attribute, ...] = ()
        self.slots: tuple[Slot, ...] = ()
        self.owned_slots: tuple[Slot, ...] = ()
        self.slot: Slot | None = None
        self.registered_saver: RegisteredSaver | None = None
        self.has_checkpoint_values: bool | None = None
        self.parent: TrackedObject | None = None
        self.name = ""
        self.path_size = 0

    def __repr__(self) -> str:
        return f"<TrackedObject {self.id}: {spell_path(self)}>"

    @property
    def is_reached(self) -> bool:
        """Whether the root leads here. It does not lead to slots, which belong to a variable."""
        return self.parent is not None or self.id == 0

    @property
    def path(self) -> str | None:
        """The readable path: the local names on the way from the root, joined with "/".

        "" for the root, None for an object to which the root does not lead.
        """
        if not self.is_reached:
            return None
        names, node = [], self
        while node.parent is not None:
            names.append(node.name)
            node = node.parent
        return "/".join(reversed(names))

    @property
    def key(self) -> str | None:
        """The name of the variable's tensor; None if this is no variable."""
        return next((a.checkpoint_key for a in self.attributes if a.name == VARIABLE_VALUE), None)


_NONE: Final[Mapping[str, TrackedObject]] = MappingProxyType({})

_CALLED: Final = frozenset(["optimizer", "_optimizer"])  # by tf.train.Checkpoint's users, and Keras
_ITERATIONS: Final = frozenset(["iter", "iterations", "_iterations"])
_RATES: Final = frozenset(["learning_rate", "_learning_rate"])


def is_optimizer(name: str, node: TrackedObject) -> bool:
    """Return whether an object, which its parent calls `name`, is an optimizer: it owns slots, is
    called so, or has both iterations and a learning rate. A variable is none."""
    if node.attributes:
        return False
    has_both = not (_ITERATIONS.isdisjoint(node.children) or _RATES.isdisjoint(node.children))
    return bool(node.owned_slots) or name in _CALLED or has_both


def spell_path(node: TrackedObject) -> str:
    """Return the path of an object for a line of text; a long one is cut at its beginning."""
    if not node.is_reached:
        return f"object {node.id}"
    names: list[str] = []
    while node.parent is not None and len(names) < _MAX_DEPTH:
        names.append(clip_name(node.name))
        node = node.parent
    if node.parent is not None:
        names.append("...")
    return "/".join(reversed(names)) or "root"


def clip_name(name: str) -> str:
    """Return a name for a line of text: cut, and quoted if it is empty or not printable."""
    clipped = name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 3]}..."
    return clipped if clipped.isprintable() and clipped else repr(clipped)
