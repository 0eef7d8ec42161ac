"""A checkpoint that has its data files in common with another one: linked, under a new index.

The index is a file of its own, and no data file knows the name of a tensor. So an entry is carried
over as it is, unless its data file gets another number; the entries of slices move to keys that
are made of the new name. Nothing is decoded, and nothing of the data is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from ..checkpoint import Stored
from ..errors import CheckpointError, FormatError
from ..format._payload import encode_strings
from ..format._record import (
    Entry,
    decode_entry,
    encode_entry,
    encode_header,
    encode_name,
    slice_key,
)
from ..format.dtypes import STRING
from ..graph.objects import GRAPH_KEY
from ..storage.local import File
from ..storage.stage import Stage
from .commit import build_table, commit
from .names import index_path, shard_path
from .tensors import slice_parts

__all__ = ["share"]


def share(
    source: Stored,
    target: str,
    pairs: Sequence[tuple[str, str]],
    gone: Iterable[str],
    graph: bytes | None,
    link: bool,
) -> None:
    """Write a checkpoint of the tensors that `pairs`, (name in the source, new name), say.

    `gone` are the tensors of the source that are left out; a data file in which there is nothing
    else is left out, too. `graph`, if there is one, replaces the object graph. Data files are
    hard-linked with `link`, else copied.
    """
    index = _CarriedIndex(source)
    for old, new in pairs:
        if old != GRAPH_KEY or graph is None:
            index.add(old, new)
    files = index.open_files(gone if graph is None else [*gone, GRAPH_KEY])
    index.renumber(list(files))
    count = len(files) + (graph is not None)
    with Stage(index_path(target), sync=True) as stage:
        for place, file in enumerate(files.values()):
            _stage_file(stage, file, shard_path(target, place, count), link)
        if graph is not None:
            data, crc = encode_strings([graph])
            stage.create(shard_path(target, count - 1, count)).append(data)
            record = encode_entry(STRING.number, (), count - 1, 0, len(data), crc)
            index.put(encode_name(GRAPH_KEY), record)
        stage.commit_file.append(index.build(count))
        _check_current(source, files.values())
        commit(stage, target, count)


def _stage_file(stage: Stage, file: File, path: str, link: bool) -> None:
    if link:
        stage.link(file.path, path)
        return
    copy = stage.create(path)
    for chunk in file.chunks(0, file.size, "data file"):
        copy.append(chunk)


def _check_current(source: Stored, files: Iterable[File]) -> None:
    """Raise unless the paths that were linked are still those of the files that the index is of."""
    for file in files:
        if not file.is_current():
            problem = "expected the file that was opened, got another one or none: "
            problem += "the checkpoint was saved again or removed meanwhile; read it anew"
            raise CheckpointError(file.path, "data file", problem)


class _CarriedIndex:
    """Records that are carried over from an index, under other names."""

    def __init__(self, source: Stored) -> None:
        self._source = source
        self._records: dict[bytes, bytes] = {}
        self._ends: dict[int, int] = {}  # of the bytes that are used, by data file

    def add(self, old: str, new: str) -> None:
        """Carry a tensor over, with its slices."""
        source, key, new_key = self._source, encode_name(old), encode_name(new)
        entry = source.entry(old)
        self._carry(key, new_key)
        if not entry.slices:
            self._use(entry)
        for box, part in zip(entry.slices, slice_parts(source, old, entry), strict=True):
            self._carry(slice_key(key, box), slice_key(new_key, box))
            self._use(part.entry)

    def put(self, key: bytes, record: bytes) -> None:
        """Add a record of a key that is not there yet: of a slice, too, whose key may be what
        somebody calls a tensor."""
        if self._records.setdefault(key, record) is not record:
            raise ValueError(f"{self._source.path}: expected keys that differ, got {key!r} twice")

    def open_files(self, gone: Iterable[str]) -> dict[int, File]:
        """Return the data files that stay, by their numbers: those that are used, and those in
        which no tensor that is `gone` was.

        Raises `FileNotFoundError` for one that is missing, `FormatError` for one that is shorter
        than it has to be.
        """
        idle: set[int] = set()
        for name in gone:
            entry = self._source.entry(name)
            parts = [part.entry for part in slice_parts(self._source, name, entry)] or [entry]
            idle.update(part.shard_id for part in parts)
        idle -= self._ends.keys()
        files = {}
        for number in range(self._source.num_shards or 0):  # one that is missing ends this soon
            if number not in idle:
                file = files[number] = self._source.source(number, "data file")
                end = self._ends.pop(number, 0)
                if end > file.size:
                    problem = f"expected {end} bytes or more, but the file ends at {file.size}"
                    raise FormatError(file.path, "data file", problem)
        for number in self._ends:
            self._source.source(number, "data file")  # raises: there is no such number
        return files

    def renumber(self, numbers: Sequence[int]) -> None:
        """Give the data files, which had these numbers, new ones: their places."""
        places = {number: place for place, number in enumerate(numbers) if place != number}
        if not places:
            return
        for key, record in self._records.items():
            old = decode_entry(record, self._source.path, f"entry of {key!r}")
            place = places.get(old.shard_id)
            if place is not None and not old.slices:
                self._records[key] = encode_entry(
                    old.dtype, old.shape, place, old.offset, old.size, old.crc32c
                )

    def build(self, count: int) -> bytes:
        """Return the index over so many data files. If that is as before, the header is, too."""
        header = self._source.record(b"")
        if count != self._source.num_shards or header is None:
            header = encode_header(count)
        return build_table(self._records, header)

    def _carry(self, key: bytes, new_key: bytes) -> None:
        self.put(new_key, cast(bytes, self._source.record(key)))

    def _use(self, entry: Entry) -> None:
        end = entry.offset + entry.size
        self._ends[entry.shard_id] = max(end, self._ends.get(entry.shard_id, 0))
