"""`salvage`: write every tensor of a broken checkpoint that still verifies as a new checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from ..bundle.names import index_path
from ..bundle.partial import Remains, find_shard_beside, open_table
from ..bundle.writer import Writer
from ..checkpoint import Stored
from ..errors import CheckpointError, Fault
from ..paths.lookup import list_shards
from ..paths.resolve import Located, resolve
from ..storage.local import File
from ..storage.urls import local_path
from ..text import count, printable
from ..v1.names import parse_v1
from ..v1.reader import V1Checkpoint
from .layouts import Problem

__all__ = ["SalvageReport", "salvage"]


@dataclass(frozen=True, slots=True)
class SalvageReport:
    """The names of the tensors that were `saved`, and the reason for each that was `lost`.

    `unreadable` are the faults of the index itself: a lost block may have listed tensors that
    nobody can name.
    """

    saved: tuple[str, ...] = ()
    lost: dict[str, str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    def __str__(self) -> str:
        saved, lost = (count(len(names), "tensor") for names in (self.saved, self.lost))
        lines = [f"saved {saved}, lost {lost}"]
        lines += [f"  lost {name!r}: {why}" for name, why in self.lost.items()]
        lines += [f"  unreadable: {problem}" for problem in self.unreadable]
        return "\n".join(map(printable, lines))


def salvage(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, sync: bool = True
) -> SalvageReport:
    """Write every tensor of a checkpoint that still verifies as a new V2 checkpoint at `out`.

    `path` is a prefix or one of its files, a V1 file or the pattern of its shards, or a folder with
    a state file. Nothing is written if no tensor verifies. A tensor verifies if a block of the
    index, whose checksum is right, lists it and its bytes have the checksum of the entry; a
    partitioned tensor if all of its slices do. If the header is lost, the bytes count as
    little-endian, and the data files that exist as all. `sync` is as for `Writer`.

    Raises `FileNotFoundError` if there is neither an index nor a V1 file, `UnsupportedError` for
    what only a newer version may read, and `ValueError` if `out` is the checkpoint itself.
    """
    found = resolve(path)
    target = local_path(out)
    if os.path.realpath(target) == os.path.realpath(found.prefix):
        raise ValueError(f"{target}: expected another path than that of the checkpoint")
    copy = _Copy(target, sync)
    return _salvage_v2(found.prefix, copy) if found.kind == "V2" else _salvage_v1(found, copy)


def _salvage_v2(prefix: str, copy: _Copy) -> SalvageReport:
    with closing(Remains(index_path(prefix), find_shard_beside(prefix))) as remains:
        for problem in remains.problems:
            if problem.fault is Fault.VERSION:
                raise problem
        orphans = {}
        with copy:
            for name in remains.names:
                if name.startswith("\0") and remains.problems:
                    orphans[name] = "it is a slice, and the entry of its tensor is lost"
                else:
                    copy.add(remains, name)
    copy.lost.update(orphans)
    return copy.report(remains.problems)


def _salvage_v1(found: Located, copy: _Copy) -> SalvageReport:
    problems = []
    with copy:
        for opened in _open_v1(found):
            if isinstance(opened, V1Checkpoint):
                for name in opened:
                    copy.add(opened.stored, name)
            else:
                problems.append(opened)
    return copy.report(problems)


class _Copy:
    """The new checkpoint: takes the tensors that verify, and remembers those that do not."""

    def __init__(self, path: str, sync: bool) -> None:
        self._path = path
        self._writer = Writer(path, sync=sync)
        self._saved: dict[str, None] = {}
        self.lost: dict[str, str] = {}

    def add(self, source: Stored, name: str) -> None:
        """Carry a tensor over if it verifies, unless another shard had it."""
        if name in self._saved:
            return
        try:
            _verify(source, name)
            self._writer.add_stored(source, name)
        except (CheckpointError, OSError) as error:
            if self._writer.is_closed or self._is_about_target(error):
                raise
            self.lost.setdefault(name, str(error))
        else:
            self._saved[name] = None
            self.lost.pop(name, None)

    def _is_about_target(self, error: CheckpointError | OSError) -> bool:
        return isinstance(error, OSError) and str(error.filename).startswith(self._path + ".")

    def report(self, problems: list[Problem] | list[CheckpointError]) -> SalvageReport:
        """Return what was saved and what was not; `problems` are those of the index."""
        unreadable = tuple(dict.fromkeys(map(str, problems)))
        return SalvageReport(tuple(self._saved), self.lost, unreadable)

    def __enter__(self) -> _Copy:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None and self._saved:
            self._writer.close()
        else:
            self._writer.abort()


def _verify(source: Stored, name: str) -> None:
    """Verify a tensor whose parts `Writer` would read and write one by one. A tensor that it copies
    as bytes it verifies itself."""
    parts = source.parts(name)
    if source.byteorder == "big" or any(part.checksum is None for part in parts):
        source.verify(name)


def _open_v1(found: Located) -> Iterator[V1Checkpoint | Problem]:
    """Yield the checkpoint if all of it can be opened; else what is wrong, and each of its files
    that can be opened by itself."""
    try:
        yield V1Checkpoint(found.prefix, files=found.files or None)
        return
    except (CheckpointError, OSError) as error:
        yield error
    for each in _list_v1(found):
        try:
            table, _ = open_table(File(each))
            if table is not None:
                yield V1Checkpoint(each, tables=[table])
        except (CheckpointError, OSError) as error:
            yield error


def _list_v1(found: Located) -> list[str]:
    """Return the files of a V1 checkpoint that are there."""
    parts = None if os.path.isfile(found.prefix) else parse_v1(found.prefix)
    if parts is None:
        return list(found.files) or [found.prefix]
    shards = list_shards(parts.prefix, parts.num_shards)
    return [shard for shard in shards if os.path.isfile(shard)]
