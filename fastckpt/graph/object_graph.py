"""Object graphs: the objects of a checkpoint, the names by which they hold each other, and the
tensor that has the value of each (docs/other-formats.md, "Object graphs").

It is a graph, not a tree: objects may be shared, and may hold each other in circles. No function
here follows it by recursion, and each visits every object once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from ..text import count, html_fold, html_lines
from .tracked import VARIABLE_VALUE, TrackedObject, clip_name, is_optimizer, spell_path

__all__ = ["SAVE_COUNTER", "ObjectGraph"]

SAVE_COUNTER: Final = "save_counter"  # the root's name for the number of saves

_MAX_LINES: Final = 1000  # of a tree in text
_MAX_ATTRIBUTES: Final = 10  # of an object in text


class ObjectGraph:
    """The objects of a checkpoint: `nodes` in the order of their ids, the first is the `root`.

    `str()` gives the tree, in which an object in a second place refers to the first.
    """

    __slots__ = ("nodes",)

    def __init__(self, nodes: Sequence[TrackedObject]) -> None:
        self.nodes = tuple(nodes)
        _find_paths(self.root)

    @property
    def root(self) -> TrackedObject:
        """The object that was saved."""
        return self.nodes[0]

    @property
    def save_counter(self) -> str | None:
        """The name of the tensor that counts the saves, None if there is none."""
        counter = self.root.children.get(SAVE_COUNTER)
        return None if counter is None else counter.key

    @property
    def size_of_paths(self) -> int:
        """About how many characters the names of `variables` have in all."""
        return sum(map(_size_of_names, self.nodes))

    def variables(self) -> dict[str, str]:
        """Return a dict of readable paths to tensor names, in the order of the objects.

        The readable path of a variable is made of the names on a shortest way from the root, as
        its objects have them, joined with "/": ``model/dense/kernel``. A way that passes an
        optimizer counts only if there is no other: optimizers list the variables that they train.
        A slot is called ``model/dense/kernel:optimizer/m``, an attribute that is not a variable's
        value ``path:ATTRIBUTE``. The name of the tensor takes the place of a path that is missing
        or, since names may contain "/", not unique.
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


def _name_of(node: TrackedObject) -> str | None:
    """Return the readable path of an object; that of a mere slot is made of its variable's."""
    if node.is_reached or node.slot is None:
        return node.path
    variable, optimizer = node.slot.variable, node.slot.optimizer
    return f"{variable.path}:{optimizer.path}/{node.slot.name}" if variable.is_reached else None


def _size_of_names(node: TrackedObject) -> int:
    """Return about how many characters `variables` makes for an object."""
    size, slot = node.path_size, node.slot
    if slot is not None and not node.is_reached:
        size = slot.variable.path_size + slot.optimizer.path_size + len(slot.name)
    return size * len(node.attributes)


def _find_paths(root: TrackedObject) -> None:
    """Find the first breadth-first way to each object. Optimizers are entered last."""
    queue = deque([root])
    optimizers: deque[tuple[TrackedObject, str, TrackedObject]] = deque()
    while queue or optimizers:
        if not queue:
            _enter(*optimizers.popleft(), queue)
            continue
        node = queue.popleft()
        for name, child in node.children.items():
            if child.parent is not None or child is root:
                continue
            if is_optimizer(name, child):
                optimizers.append((node, name, child))
            else:
                _enter(node, name, child, queue)


def _enter(
    node: TrackedObject, name: str, child: TrackedObject, queue: deque[TrackedObject]
) -> None:
    if child.parent is None:
        child.parent, child.name = node, name
        child.path_size = node.path_size + 1 + len(name)
        queue.append(child)


# ---- Text


def _tree(root: TrackedObject) -> Iterator[str]:
    """Yield the lines of the tree: children are indented."""
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
            yield f"{indent}{name} -> {spell_path(node)}"
            continue
        yield f"{indent}{name}{_describe(node)}"
        levels.append(_branches(node))


def _branches(node: TrackedObject) -> Iterator[tuple[str, TrackedObject, bool]]:
    """Yield the name, the object, and whether this is its first place, of each child and slot."""
    for name, child in node.children.items():
        yield clip_name(name), child, child.parent is node and child.name == name
    for slot in node.slots:
        is_first = slot.node.slot is slot and not slot.node.is_reached
        yield f"{clip_name(slot.name)} (slot of {spell_path(slot.optimizer)})", slot.node, is_first


def _describe(node: TrackedObject) -> str:
    if not node.attributes and node.registered_saver is None:
        return ""
    shown = node.attributes[:_MAX_ATTRIBUTES]
    names = ["variable" if each.name == VARIABLE_VALUE else each.name for each in shown]
    if node.registered_saver is not None:
        names.append(f"saved by {node.registered_saver.name}")
    return f": {clip_name(', '.join(names))}"
