"""File names of a V1 checkpoint (docs/format.md, "Files").

A V1 checkpoint is one file of any name, or several: ``model.ckpt-7-00000-of-00003`` and so on. The
path of several is their pattern, ``model.ckpt-7-?????-of-00003``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["V1Name", "find_shards", "parse_v1", "strip_shards", "v1_pattern", "v1_shard_path"]

# %05d of an int32: five digits, or more for larger numbers
_NAME = re.compile(r"(.*)-([0-9]{5,10}|\?+|\*)-of-([0-9]{5,10})", re.DOTALL)
_SHARDS = re.compile(r"-[\d\?]+-of-\d+$")


class V1Name(NamedTuple):
    """The parts of a shard's name, or of a pattern, which has no number (None)."""

    prefix: str
    shard: int | None
    num_shards: int

    @property
    def pattern(self) -> str:
        """The path of the checkpoint."""
        return v1_pattern(self.prefix, self.num_shards)


def v1_shard_path(prefix: str, shard: int, num_shards: int) -> str:
    """Return the path of one shard; numbers of more than five digits get wider."""
    return f"{prefix}-{shard:05d}-of-{num_shards:05d}"


def v1_pattern(prefix: str, num_shards: int) -> str:
    """Return the path by which TensorFlow knows a checkpoint in shards."""
    return f"{prefix}-?????-of-{num_shards:05d}"


def parse_v1(path: str) -> V1Name | None:
    """Return the parts of a shard's path or of a pattern, None for any other path. A number that
    is not below the count is no shard's."""
    match = _NAME.fullmatch(path)
    if match is None:
        return None
    prefix, shard, count = match[1], match[2], int(match[3])
    if not shard.isdigit():
        return V1Name(prefix, None, count) if count else None
    return V1Name(prefix, int(shard), count) if int(shard) < count else None


def find_shards(names: Iterable[str], base: str, count: int | None = None) -> list[str]:
    """Return those of some file names that are shards of `base`, sorted.

    They are shards of one checkpoint: of `count` shards, or of as many as the first name says.
    """
    found = []
    for name in sorted(name for name in names if name.startswith(base)):
        parts = parse_v1(name)
        if parts is None or parts.shard is None or parts.prefix != base:
            continue
        if count is None:
            count = parts.num_shards
        if parts.num_shards == count:
            found.append(name)
    return found


def strip_shards(path: str) -> str:
    """Return a path without the number of a shard at its end, as TensorFlow's Saver does it when
    it names a graph: any number of digits counts."""
    return _SHARDS.sub("", path)
