"""Object-based checkpoints: trees of containers and variables, written so that TensorFlow's
`Checkpoint` restores them, and restored in place (docs/other-formats.md, "Object graphs").

Order of objects, keys and data are those of TensorFlow 2.21 for ``tf.train.Checkpoint(**tree)``.
"""

from __future__ import annotations

import operator
import os
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import nullcontext
from typing import Any, Final

import numpy as np

from ..bundle.writer import Writer
from ..checkpoint import Checkpoint
from ..errors import TensorNotFoundError
from ..graph.object_graph import SAVE_COUNTER, ObjectGraph
from ..graph.objects import GRAPH_KEY, encode_graph
from ..graph.tracked import VARIABLE_VALUE, Attribute, TrackedObject
from ..paths.lookup import make_folders
from ..paths.read import read
from ..storage.urls import local_path
from .fetch import check_tensors, read_tensors
from .variables import Variable, restore_all

_Place = tuple[Any, Any]  # a container, and the key or number by which it holds an item
_Entry = tuple[str, _Place]

__all__ = ["restore_objects", "write_objects"]

_VALUES: Final = (bool, int, float, complex, str, bytes, tuple, np.generic)


def write_objects(
    path: str | os.PathLike[str],
    tree: object,
    *,
    save_counter: int | None = 1,
    alignment: int = 64,
    sync: bool = True,
) -> None:
    """Write nested dicts, lists and tuples of arrays as an object-based checkpoint.

    ``write_objects(path, {"net": net, "step": step})`` writes what
    ``tf.train.Checkpoint(net=net, step=step).restore(path).assert_consumed()`` accepts, where the
    dicts here are dicts, modules or layers there. For ``tf.train.Checkpoint(model)`` the tree is
    that of the model itself. A list is always a container: values are whatever else
    `Writer.add` takes, and variables (see `fastckpt.train.variables`). A container, array or
    variable that stands in several places is one object with several names, and containers may
    hold each other in circles; tuples and scalars are written in each place.

    `save_counter` is how often the objects were saved: `tf.train.Checkpoint.restore` wants it, and
    `read` wants it left out, with None. An entry "save_counter" of the tree counts instead.
    `alignment` and `sync` are as for `Writer`; with an alignment of 1 the files are those that
    TensorFlow writes. Folders that are missing are made, as TensorFlow makes them.

    Raises `TypeError` for what is no tree, no value, or a key that is no `str`; `ValueError` for
    names that TensorFlow cannot restore (they end with ".ATTRIBUTES", or are not UTF-8).
    """
    objects = _Objects(tree, save_counter)
    _check_counter(objects)
    prefix = local_path(path)
    make_folders(prefix)
    with Writer(prefix, alignment=alignment, sync=sync) as writer:
        for node, variable in objects.variables:
            writer.add(node.attributes[0].checkpoint_key, variable.value())
        writer.add(GRAPH_KEY, encode_graph(objects.graph))


def restore_objects(tree: object, path: str | os.PathLike[str] | Checkpoint) -> None:
    """Restore the values of a tree, as `write_objects` takes it, in place: all of them or none.

    `path` is what `read` takes, or an open checkpoint. Objects are found as TensorFlow finds
    them, by the names on the way from the root; in a checkpoint without an object graph, a value
    is the tensor of its readable path. Arrays and variables are written in place, other entries
    of dicts and lists are replaced. What the checkpoint has beyond the tree is left alone.

    Raises, before the first value changes, `TensorNotFoundError` for one that is not in the
    checkpoint, `ValueError` for one of another dtype or shape, and what `read` raises.
    """
    objects = _Objects(tree)
    owner = nullcontext(path) if isinstance(path, Checkpoint) else read(path, backend="pread")
    with owner as checkpoint:
        keys = objects.find_keys(checkpoint)
        variables = [variable for _, variable in objects.variables]
        check_tensors(checkpoint, zip(variables, keys, strict=True))
        arrays = read_tensors(checkpoint, keys)
    restore_all(zip(variables, arrays, strict=True))


class _Objects:
    """The objects of a tree: nodes in breadth-first order, and those of them that are variables."""

    def __init__(self, tree: object, save_counter: int | None = None) -> None:
        if not _is_container(tree):
            raise TypeError(f"expected a tree of dicts and lists, got {type(tree).__name__}")
        self.graph: ObjectGraph
        self.variables: list[tuple[TrackedObject, Variable]] = []
        self._nodes: list[TrackedObject] = []
        self._paths: list[str] = []  # by node
        self._keys: list[str] = []  # escaped paths, by node
        self._places: dict[int, list[_Place]] = {}  # where the values of variables are, by node
        # An object and its node. It is held: a mapping may make its items anew each time.
        self._seen: dict[object, tuple[object, TrackedObject]] = {}
        self._walk(tree, save_counter)

    def find_keys(self, checkpoint: Checkpoint) -> list[str]:
        """Return the tensor of each variable."""
        graph = checkpoint.object_graph
        if graph is None:
            return [variable.name for _, variable in self.variables]
        found = self._match(graph.root)
        for node, variable in self.variables:
            if node.id not in found:
                raise TensorNotFoundError(
                    checkpoint.path, variable.name, lambda: sorted(graph.variables())
                )
        return [found[node.id] for node, _ in self.variables]

    def _match(self, root: TrackedObject) -> dict[int, str]:
        """Return the keys of those of our nodes that a checkpoint has, too."""
        keys: dict[int, str] = {}
        seen = {0}
        queue = deque([(self.graph.root, root)])
        while queue:
            own, other = queue.popleft()
            if own.key is not None and other.key is not None:
                keys[own.id] = other.key
            for name, child in own.children.items():
                if name in other.children and child.id not in seen:
                    seen.add(child.id)
                    queue.append((child, other.children[name]))
        return keys

    def _walk(self, tree: Any, save_counter: int | None) -> None:
        root = self._add_node("", "")
        self._seen[id(tree)] = (tree, root)
        queue: deque[tuple[TrackedObject, Any]] = deque()
        self._add_children(root, _root_entries(tree, save_counter), queue)
        while queue:
            node, container = queue.popleft()
            self._add_children(node, _entries(container, self._paths[node.id]), queue)
        for item, node in self._seen.values():
            if node.id in self._places:
                path, key = self._paths[node.id], self._keys[node.id]
                key = f"{key}/.ATTRIBUTES/{VARIABLE_VALUE}"
                node.attributes = (Attribute(VARIABLE_VALUE, _full_name(item, path), key),)
                self.variables.append((node, _make_variable(path, item, self._places[node.id])))
        _mark_values(self._nodes)
        self.graph = ObjectGraph(self._nodes)

    def _add_children(
        self,
        node: TrackedObject,
        entries: Iterator[_Entry],
        queue: deque[tuple[TrackedObject, Any]],
    ) -> None:
        children: dict[str, TrackedObject] = {}
        for name, (holder, key) in entries:
            item = holder[key]
            # what has no identity of its own is the same only in the same place
            is_value = isinstance(item, _VALUES)
            identity: object = (node.id, key) if is_value else id(item)
            if identity in self._seen:
                child = self._seen[identity][1]
            else:
                child = self._add_node(*self._join(node, name))
                self._seen[identity] = (item, child)
                if _is_container(item):
                    queue.append((child, item))
            if not _is_container(item):
                self._places.setdefault(child.id, []).append((holder, key))
            children[name] = child
        node.children = children

    def _add_node(self, path: str, key: str) -> TrackedObject:
        node = TrackedObject(len(self._nodes))
        self._nodes.append(node)
        self._paths.append(path)
        self._keys.append(key)
        return node

    def _join(self, parent: TrackedObject, name: str) -> tuple[str, str]:
        """Return the path and the escaped path of a child."""
        if not parent.id:
            return name, _escape(name)
        path, key = self._paths[parent.id], self._keys[parent.id]
        return f"{path}/{name}", f"{key}/{_escape(name)}"


def _is_container(item: object) -> bool:
    return isinstance(item, (Mapping, list, tuple))


def _root_entries(tree: Any, save_counter: int | None) -> Iterator[_Entry]:
    """Yield what `tf.train.Checkpoint` holds, in its order: by name, then the counter."""
    entries = dict(_entries(tree, ""))
    counter = entries.pop(SAVE_COUNTER, None)
    if counter is None and save_counter is not None:
        counter = ({SAVE_COUNTER: _to_counter(save_counter)}, SAVE_COUNTER)
    yield from sorted(entries.items()) if isinstance(tree, Mapping) else entries.items()
    if counter is not None:
        yield SAVE_COUNTER, counter


def _entries(container: Any, path: str) -> Iterator[_Entry]:
    """Yield the names by which a container holds its items, and their places."""
    if isinstance(container, Mapping):
        names = [(key, key) for key in container]
    else:  # a named tuple has both sorts of names
        fields = getattr(container, "_fields", ()) if isinstance(container, tuple) else ()
        names = [(name, number) for number, name in enumerate(fields)]
        names += [(str(number), number) for number in range(len(container))]
    for name, key in names:
        _check_name(name, path)
        yield name, (container, key)


def _check_name(name: object, path: str) -> None:
    where = f"object {path!r}" if path else "the tree"
    if not isinstance(name, str):
        raise TypeError(f"{where}: expected keys of type str, got {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where}: the key {name!r} is not UTF-8") from error
    if name.endswith(".ATTRIBUTES"):
        raise ValueError(
            f"{where}: TensorFlow could not restore what is below a key that ends with "
            f"'.ATTRIBUTES', got {name!r}"
        )


def _escape(name: str) -> str:
    return name.replace(".", "..").replace("/", ".S")


def _make_variable(path: str, item: object, places: Sequence[_Place]) -> Variable:
    def replace(new: object) -> None:
        for holder, key in places:
            holder[key] = new

    is_mutable = all(isinstance(holder, (MutableMapping, list)) for holder, _ in places)
    return Variable(path, lambda: item, replace if is_mutable else None)


def _full_name(item: object, path: str) -> str:
    """Return the name that a variable has in a graph; of what has none, its path.

    A name-based `tf.train.Saver` finds it by that, here and in TensorFlow.
    """
    name = getattr(item, "_shared_name", None)
    return name if isinstance(name, str) and name else path


def _mark_values(nodes: Sequence[TrackedObject]) -> None:
    """Say of each node whether there is a value in it or below. TensorFlow looks no further
    where it is said that there is none."""
    parents: dict[int, list[TrackedObject]] = {}
    for node in nodes:
        node.has_checkpoint_values = bool(node.attributes)
        for child in node.children.values():
            parents.setdefault(child.id, []).append(node)
    queue = deque(node for node in nodes if node.has_checkpoint_values)
    while queue:
        for parent in parents.get(queue.popleft().id, ()):
            if not parent.has_checkpoint_values:
                parent.has_checkpoint_values = True
                queue.append(parent)


def _to_counter(number: int) -> np.int64:
    if not 0 <= operator.index(number) < 1 << 63:
        raise ValueError(f"save_counter: expected a number of saves, got {number}")
    return np.int64(number)


def _check_counter(objects: _Objects) -> None:
    """Raise unless the counter is one that TensorFlow restores."""
    node = objects.graph.root.children.get(SAVE_COUNTER)
    if node is None:
        return
    counter = next((each for other, each in objects.variables if other is node), None)
    got = "a container"
    if counter is not None:
        got = f"dtype {counter.dtype.name} and shape {counter.shape}"
    if got != "dtype int64 and shape ()":
        raise ValueError(f"save_counter: expected dtype int64 and shape (), got {got}")
