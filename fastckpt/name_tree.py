"""Tensors as a tree of their names, which are split at "/". Does not import NumPy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .listing import list_tensors

if TYPE_CHECKING:
    from ._catalog import TensorInfo

__all__ = ["TensorTree", "tree"]

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_MAX_DEPTH: Final = 100  # a name may have any number of "/"; what is deeper stays in one piece


class TensorTree:
    """A part of the names. `children` is a dict of names to trees, in key order; `tensor` the
    `TensorInfo` of the tensor of exactly this name, None if there is none; `count` and `nbytes` are
    of all tensors here and below. Prints as an indented list."""

    __slots__ = ("children", "count", "name", "nbytes", "tensor")

    def __init__(self, name: str) -> None:
        self.name = name
        self.children: dict[str, TensorTree] = {}
        self.tensor: TensorInfo | None = None
        self.count = 0
        self.nbytes = 0

    def lines(self, depth: int | None = None) -> Iterator[str]:
        """Yield the lines of text, of so many levels (default: all)."""
        yield f"{self.name}  {_describe(self)}"
        yield from self._lines_below("", depth)

    def _lines_below(self, indent: str, depth: int | None) -> Iterator[str]:
        if depth is not None and depth < 1:
            return
        for name, child in self.children.items():
            yield f"{indent}  {name}  {_describe(child)}"
            yield from child._lines_below(indent + "  ", None if depth is None else depth - 1)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return f"<TensorTree {self.name!r}: tensors: {self.count}, bytes: {self.nbytes}>"


def tree(path: str | os.PathLike[str]) -> TensorTree:
    """Return the tensors of a checkpoint as a tree, whose root has the path as its name.

    `path` is what `read` takes; no tensor is read. Raises what `read` raises.
    """
    root = TensorTree(os.fsdecode(path))
    for info in list_tensors(path):
        node = root
        node.count += 1
        node.nbytes += info.nbytes
        for part in info.name.split("/", _MAX_DEPTH):
            node = node.children.setdefault(part, TensorTree(part))
            node.count += 1
            node.nbytes += info.nbytes
        node.tensor = info
    return root


def _describe(node: TensorTree) -> str:
    told = []
    if node.tensor is not None:
        shape = ",".join(map(str, node.tensor.shape))
        told.append(f"{node.tensor.tf_dtype} ({shape})")
    if node.children:
        told.append(f"{node.count:,} tensor{'' if node.count == 1 else 's'}")
    return "  ".join([*told, _spell(node.nbytes)])


def _spell(size: float) -> str:
    for unit in _UNITS:
        if size < 1023.95 or unit == _UNITS[-1]:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")
