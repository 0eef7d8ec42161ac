"""The names of a checkpoint's files: put together and taken apart (docs/format.md, "Files").

A checkpoint is known by its *prefix*, which is not a file: ``model.ckpt-7`` stands for
``model.ckpt-7.index``, ``model.ckpt-7.data-00000-of-00001`` and perhaps ``model.ckpt-7.meta``.
"""

from __future__ import annotations

import os
import re
from typing import Final

from ..storage.staged import split_staged
from ..storage.system import list_folder

__all__ = ["STATE_FILE", "index_path", "list_files", "parse_shard", "shard_path", "strip_suffix"]

STATE_FILE: Final = "checkpoint"  # one in each folder

# %05d of an int32: five digits, or more for larger numbers
_SHARD = re.compile(r"(.*)\.data-([0-9]{5,10})-of-([0-9]{5,10})", re.DOTALL)


def index_path(prefix: str) -> str:
    """Return the path of the index: the file whose presence makes a checkpoint complete."""
    return prefix + ".index"


def shard_path(prefix: str, shard: int, num_shards: int) -> str:
    """Return the path of one data file; numbers of more than five digits get wider."""
    return f"{prefix}.data-{shard:05d}-of-{num_shards:05d}"


def parse_shard(path: str) -> tuple[str, int, int] | None:
    """Return (prefix, shard, number of shards) of a data file's path, None for any other path."""
    match = _SHARD.fullmatch(path)
    return (match[1], int(match[2]), int(match[3])) if match else None


def strip_suffix(path: str) -> str | None:
    """Return the prefix that an index, data or meta file belongs to, or None."""
    for suffix in (".index", ".meta"):
        if path.endswith(suffix):
            return path[: -len(suffix)]
    parts = parse_shard(path)
    return parts[0] if parts else None


def list_files(prefix: str) -> tuple[list[str], list[str]]:
    """Return the data files, of any number of shards, and the staged files of a prefix."""
    folder, base = os.path.split(prefix)
    head = prefix[: len(prefix) - len(base)]  # as it is spelled: a path must stay comparable
    shards, staged = [], []
    for name in list_folder(folder):
        if not name.startswith(base + "."):
            continue
        parts = split_staged(name)
        if parts is not None and strip_suffix(parts[0]) == base:
            staged.append(head + name)
        elif not name.endswith((".index", ".meta")) and strip_suffix(name) == base:
            shards.append(head + name)
    return shards, staged
