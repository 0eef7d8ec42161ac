"""Merging V2 checkpoints: data files are linked, and one index takes the place of several."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..format._record import (
    Entry,
    decode_entry,
    decode_header,
    decode_name,
    encode_entry,
    encode_header,
)
from ..format._table import Table
from ..format.slices import Box
from ..storage.local import LOCAL
from ..storage.stage import Stage
from ..storage.urls import local_path
from .commit import build_table, commit
from .names import index_path, shard_path

__all__ = ["merge"]


def merge(prefixes: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str]) -> None:
    """Make one checkpoint of several, as TensorFlow's MergeV2Checkpoints does.

    The data files are hard-linked under their new names (copied where there are no links) and
    only the index is written; the sources stay. Slices of one partitioned tensor come together
    in the order of `prefixes`. The index is, byte for byte, TensorFlow's.

    Raises `ValueError` for a tensor that two sources have, and for sources of different byte
    order or version; `FileNotFoundError` for a source that is not there.
    """
    if isinstance(prefixes, (str, bytes, os.PathLike)):
        raise TypeError("expected a sequence of prefixes, got a single one")
    merged = _MergedIndex()
    for prefix in prefixes:
        merged.add(local_path(prefix))
    target = local_path(path)
    with Stage(index_path(target), sync=True) as stage:
        for number, source in enumerate(merged.shards):
            stage.link(source, shard_path(target, number, len(merged.shards)))
        if not merged.shards:
            stage.create(shard_path(target, 0, 1))
        stage.commit_file.append(merged.build_index())
        commit(stage, target, max(1, len(merged.shards)))


class _MergedIndex:
    """The index of several checkpoints together. `shards` has the data files of the sources with
    their new numbers, which follow the order of first use."""

    def __init__(self) -> None:
        self.shards: dict[str, int] = {}
        self._entries: dict[bytes, Entry] = {}
        self._kind: tuple[bool, int] | None = None  # byte order and version

    def add(self, prefix: str) -> None:
        file = LOCAL.open(index_path(prefix))
        table = Table(file)
        num_shards, is_big_endian, version = decode_header(table.first(), file.path)
        kind = (is_big_endian, version)
        if self._kind not in (None, kind):
            raise ValueError(f"{file.path}: byte order or version differ from the first source's")
        self._kind = kind
        for key, record in table.items():
            if key:
                name = f"tensor {decode_name(key)!r}"
                self._add_entry(key, decode_entry(record, file.path, name), prefix, num_shards)

    def _add_entry(self, key: bytes, entry: Entry, prefix: str, num_shards: int) -> None:
        old = self._entries.get(key)
        if old is None:
            shard = shard_path(prefix, entry.shard_id, num_shards)
            number = self.shards.setdefault(shard, len(self.shards))
            self._entries[key] = _replace(entry, number, entry.slices)
        elif old.slices and entry.slices and _is_alike(old, entry):
            self._entries[key] = _replace(old, old.shard_id, old.slices + entry.slices)
        else:
            raise ValueError(f"tensor {decode_name(key)!r}: {prefix} has one of this name, too")

    def build_index(self) -> bytes:
        """Return the merged index. With no tensors at all there is one empty shard."""
        is_big_endian = self._kind is not None and self._kind[0]
        records = {
            key: encode_entry(
                entry.dtype,
                entry.shape,
                entry.shard_id,
                entry.offset,
                entry.size,
                entry.crc32c,
                entry.slices,
            )
            for key, entry in self._entries.items()
        }
        header = encode_header(max(1, len(self.shards)), is_big_endian=is_big_endian)
        return build_table(records, header)


def _replace(entry: Entry, shard_id: int, slices: tuple[Box, ...]) -> Entry:
    return Entry(entry.dtype, entry.shape, shard_id, entry.offset, entry.size, entry.crc32c, slices)


def _is_alike(a: Entry, b: Entry) -> bool:
    return (a.dtype, a.shape) == (b.dtype, b.shape)
