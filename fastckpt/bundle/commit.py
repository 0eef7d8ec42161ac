"""The commit of a V2 checkpoint over an older one, without a moment in which neither is whole.

The names of data files say how many there are. So while the old data files have the final names,
the new ones can be a checkpoint of one data file more, the last one empty: data files under those
names, then an index for them in the place of the old one, then the data files under the final
names, then the final index.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ..errors import CheckpointError
from ..format._record import decode_header, encode_header
from ..format._table import Table
from ..format._table_builder import TableBuilder
from ..storage.local import LOCAL
from ..storage.locks import leftovers
from ..storage.stage import Detour, Stage
from .names import index_path, list_files, parse_shard, shard_path

__all__ = ["build_table", "commit"]


def commit(stage: Stage, prefix: str, num_shards: int) -> None:
    """Commit the staged files of a checkpoint, then remove the data files of older ones and what
    dead writers left."""
    stage.commit(partial(_find_obsolete, prefix), partial(_find_detour, prefix, num_shards))


def build_table(records: Mapping[bytes, bytes], header: bytes) -> bytes:
    """Return an index of these records."""
    builder = TableBuilder()
    builder.add(b"", header)
    for key in sorted(records):
        builder.add(key, records[key])
    return builder.finish()


def _find_obsolete(prefix: str) -> list[str]:
    shards, staged = list_files(prefix)
    return [*shards, *leftovers(staged)]


def _find_detour(prefix: str, num_shards: int, index: str) -> Detour | None:
    """Return a number of data files that is free on the disk, as names; None if the old index is
    of another number than `num_shards`, so that there is no name that both have."""
    if _read_count(index_path(prefix)) not in (None, num_shards):
        return None
    parts = map(parse_shard, list_files(prefix)[0])
    taken = {part[2] for part in parts if part is not None}
    count = num_shards + 1
    while count in taken:
        count += 1
    names = {
        shard_path(prefix, shard, num_shards): shard_path(prefix, shard, count)
        for shard in range(num_shards)
    }
    empty = tuple(shard_path(prefix, shard, count) for shard in range(num_shards, count))
    return Detour(_with_count(index, count), names, empty)


def _read_count(path: str) -> int | None:
    """Return how many data files an index is for, None if it does not say."""
    try:
        return decode_header(Table(LOCAL.open(path)).first(), path)[0]
    except (CheckpointError, OSError):
        return None


def _with_count(path: str, count: int) -> bytes:
    """Return an index for another number of data files."""
    table = Table(LOCAL.open(path))
    is_big_endian = decode_header(table.first(), path)[1]
    builder = TableBuilder()
    for key, record in table.items():
        builder.add(key, record if key else encode_header(count, is_big_endian=is_big_endian))
    return builder.finish()
