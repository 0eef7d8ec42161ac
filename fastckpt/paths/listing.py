"""Listing without NumPy: what commands that print names have time for."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING

from ..bundle._index import find_hidden_keys, list_infos
from ..bundle.names import index_path
from ..errors import FormatError
from ..format._record import TensorInfo, decode_header
from ..format._table import Table
from ..storage.local import File
from .resolve import candidates

if TYPE_CHECKING:
    from ..name_tree import TensorTree

__all__ = ["list_tensors", "tree"]


def list_tensors(path: str | os.PathLike[str]) -> list[TensorInfo]:
    """Return the `TensorInfo` of every tensor, in key order: `read(path).infos()`, but without
    importing NumPy, which takes longer than listing a hundred thousand tensors.

    It is imported for version 1 and partitioned tensors all the same, and when the NumPy dtype of
    a `TensorInfo` is asked for. Raises what `read` raises.
    """
    name = os.fsdecode(path)
    try:
        for prefix in chain([name], candidates(name)):
            with suppress(FileNotFoundError, NotADirectoryError):
                return _Index(prefix).infos()
    except FormatError:
        pass  # a V1 file may have any name
    from .read import read  # or the error that says what there is instead

    with read(path) as checkpoint:
        return checkpoint.infos()


def tree(path: str | os.PathLike[str]) -> TensorTree:
    """Return the tensors of a checkpoint as a tree, whose root has the path as its name.

    `path` is what `read` takes; no tensor is read, and NumPy is not imported, as for
    `list_tensors`. Raises what `read` raises.
    """
    from ..name_tree import grow_tree  # here: listing needs nothing of what it imports

    return grow_tree(os.fsdecode(path), list_tensors(path))


class _Index:
    """The index of a V2 checkpoint."""

    __slots__ = ("_table", "index_path")

    def __init__(self, prefix: str) -> None:
        self.index_path = index_path(prefix)
        self._table = Table(File(self.index_path))
        decode_header(self._table.first(), self.index_path)

    def infos(self) -> list[TensorInfo]:
        return list_infos(self, self._table, find_hidden_keys(self._table))

    def _record(self, key: bytes) -> bytes | None:
        return self._table.get(key)
