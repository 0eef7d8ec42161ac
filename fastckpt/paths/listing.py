"""Listing tensors without importing NumPy, for commands that only print names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from ..bundle._index import StoredBundle
from ..bundle.names import index_path, shard_path
from ..errors import CheckpointError
from ..format._record import TensorInfo
from ..storage.kind import explain
from ..storage.urls import Path, local_path
from ..v1.names import parse_v1
from .lookup import list_shards
from .resolve import resolve

if TYPE_CHECKING:
    from ..name_tree import TensorTree

__all__ = ["has_its_files", "list_tensors", "tree"]


def list_tensors(path: Path) -> list[TensorInfo]:
    """Return the `TensorInfo` of every tensor, in key order: `read(path).infos()`, but without
    importing NumPy, which takes longer than listing a hundred thousand tensors.

    NumPy is imported for version 1 and for partitioned tensors, and when the NumPy dtype of a
    `TensorInfo` is asked for. Raises what `read` raises.
    """
    name = local_path(path)
    try:
        return _list(name)
    except CheckpointError as error:
        explain(error)
        raise


def _list(name: str) -> list[TensorInfo]:
    with suppress(FileNotFoundError, NotADirectoryError):  # most paths are prefixes
        return StoredBundle(name, backend="pread").infos()
    found = resolve(name)
    if found.kind == "V2":
        return StoredBundle(found.prefix, backend="pread").infos()
    from .read import read  # here: V1 needs NumPy

    with read(name) as checkpoint:
        return checkpoint.infos()


def tree(path: Path) -> TensorTree:
    """Return the tensors of a checkpoint as a tree, whose root has the path as its name.

    `path` is what `read` takes; no tensor is read, and NumPy is not imported, as for
    `list_tensors`. Raises what `read` raises.
    """
    from ..name_tree import grow_tree  # here: listing needs nothing of what it imports

    return grow_tree(local_path(path), list_tensors(path))


def has_its_files(prefix: str) -> bool:
    """Return whether the data files of a checkpoint are there and reach to the end of their
    tensors; for a V1 checkpoint, whether its files are there.

    It looks at no slices of partitioned tensors and, unlike `rescue.state.is_whole`, needs no NumPy
    for others.
    """
    if not os.path.isfile(index_path(prefix)):
        parts = None if os.path.isfile(prefix) else parse_v1(prefix)
        if parts is None:
            return os.path.isfile(prefix)
        return len(list_shards(parts.prefix, parts.num_shards)) == parts.num_shards
    try:
        index = StoredBundle(prefix, backend="pread")
        count = index.num_shards
        paths = (shard_path(prefix, number, count) for number in range(count))
        sizes = [os.stat(path).st_size for path in paths]  # ends at the first that is missing
        return all(map(partial(_fits, sizes), index.infos()))
    except (CheckpointError, OSError):
        return False


def _fits(sizes: Sequence[int], info: TensorInfo) -> bool:
    if info.slices or info.shard is None or info.offset is None:
        return True
    return info.shard < len(sizes) and info.offset + info.nbytes <= sizes[info.shard]
