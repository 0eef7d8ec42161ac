"""The tree of tensor names, split at "/". Does not import NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from .text import count, count_more, html_fold, html_line, printable, spell_shape, spell_size

if TYPE_CHECKING:
    from .format._record import TensorInfo

__all__ = ["TensorTree", "grow_tree"]

_MAX_DEPTH: Final = 100  # a name may have any number of "/"; below this the rest stays in one piece
_SHOWN: Final = 100  # children of one tree in a notebook
_LEVELS: Final = 20
_ALL_SHOWN: Final = 2000


class TensorTree:
    """A node of the tree. `children` is a dict of names to trees, in key order; `tensor` is the
    `TensorInfo` of the tensor of exactly this name, None if there is none; `count` and `nbytes`
    include all tensors at this node and below. `str` gives an indented list, with escapes for
    characters that do not print; a notebook shows it collapsible."""

    __slots__ = ("children", "count", "name", "nbytes", "tensor")

    def __init__(self, name: str) -> None:
        self.name = name
        self.children: dict[str, TensorTree] = {}
        self.tensor: TensorInfo | None = None
        self.count = 0
        self.nbytes = 0

    def lines(self, depth: int | None = None) -> Iterator[str]:
        """Yield the lines of text, down to `depth` levels (default: all)."""
        yield f"{printable(self.name)}  {_describe(self)}"
        yield from _lines_below(self, "", depth)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        return _Fold()(self, _LEVELS, is_open=True)

    def __repr__(self) -> str:
        return f"<TensorTree {self.name!r}: tensors: {self.count}, bytes: {self.nbytes}>"


def grow_tree(name: str, infos: Iterable[TensorInfo]) -> TensorTree:
    """Return the tree of some tensors; `name` is that of its root."""
    root = TensorTree(name)
    for info in infos:
        node = root
        node.count += 1
        node.nbytes += info.nbytes
        for part in info.name.split("/", _MAX_DEPTH):
            node = node.children.setdefault(part, TensorTree(part))
            node.count += 1
            node.nbytes += info.nbytes
        node.tensor = info
    return root


def _lines_below(node: TensorTree, indent: str, depth: int | None) -> Iterator[str]:
    if depth is not None and depth < 1:
        return
    for name, child in node.children.items():
        yield f"{indent}  {printable(name)}  {_describe(child)}"
        yield from _lines_below(child, indent + "  ", None if depth is None else depth - 1)


def _describe(node: TensorTree) -> str:
    told = []
    if node.tensor is not None:
        told.append(f"{node.tensor.tf_dtype} {spell_shape(node.tensor.shape)}")
    if node.children:
        told.append(count(node.count, "tensor"))
    return "  ".join([*told, spell_size(node.nbytes)])


class _Fold:
    """Makes the HTML of a tree, with a limit of rows in all."""

    def __init__(self) -> None:
        self._left = _ALL_SHOWN

    def __call__(self, node: TensorTree, levels: int, *, is_open: bool) -> str:
        self._left -= 1
        if not node.children:
            return html_line(node.name, _describe(node))
        shown = []
        children = list(node.children.values())
        for child in children[:_SHOWN] if levels else []:
            if self._left <= 0:
                break
            shown.append(self(child, levels - 1, is_open=is_open and len(children) == 1))
        if len(shown) < len(children):
            shown.append(html_line("", count_more(len(children) - len(shown))))
        return html_fold(node.name, _describe(node), "".join(shown), is_open=is_open)
