"""Listing tensors without importing NumPy, for commands that only print names."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..bundle._index import StoredBundle
from ..format._record import TensorInfo
from ..storage.urls import Path, local_path
from .resolve import resolve

if TYPE_CHECKING:
    from ..name_tree import TensorTree

__all__ = ["list_tensors", "tree"]


def list_tensors(path: Path) -> list[TensorInfo]:
    """Return the `TensorInfo` of every tensor, in key order: `read(path).infos()`, but without
    importing NumPy, which takes longer than listing a hundred thousand tensors.

    NumPy is imported for version 1 and for partitioned tensors, and when the NumPy dtype of a
    `TensorInfo` is asked for. Raises what `read` raises.
    """
    name = local_path(path)
    with suppress(FileNotFoundError, NotADirectoryError):  # most paths are prefixes
        return StoredBundle(name, backend="pread").infos()
    found = resolve(name)
    if found.kind == "V2":
        return StoredBundle(found.prefix, backend="pread").infos()
    from .read import read  # here: V1 needs NumPy

    with read(path) as checkpoint:
        return checkpoint.infos()


def tree(path: Path) -> TensorTree:
    """Return the tensors of a checkpoint as a tree, whose root has the path as its name.

    `path` is what `read` takes; no tensor is read, and NumPy is not imported, as for
    `list_tensors`. Raises what `read` raises.
    """
    from ..name_tree import grow_tree  # here: listing needs nothing of what it imports

    return grow_tree(local_path(path), list_tensors(path))
