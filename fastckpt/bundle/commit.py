"""What every commit of a V2 checkpoint needs: the bytes of its index, and the files it replaces."""

from __future__ import annotations

from collections.abc import Mapping

from ..format._table import TableBuilder
from ..storage.locks import leftovers
from .names import list_files

__all__ = ["build_table", "find_obsolete"]


def find_obsolete(prefix: str) -> list[str]:
    """Return the data files of a prefix, and what dead writers left there."""
    shards, staged = list_files(prefix)
    return [*shards, *leftovers(staged)]


def build_table(records: Mapping[bytes, bytes], header: bytes) -> bytes:
    """Return an index of these records."""
    builder = TableBuilder()
    builder.add(b"", header)
    for key in sorted(records):
        builder.add(key, records[key])
    return builder.finish()
