"""Layouts of a checkpoint's files: which files a save renames, and how to verify what they hold.

A save renames its commit file last: the index of a V2 checkpoint, the last shard of a V1
checkpoint. An index names its data files, and has their checksums. The shards of V1 know nothing of
each other, so no checksum tells an old one from a new one.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ..bundle.commit import commit
from ..bundle.names import index_path, shard_path
from ..bundle.partial import Remains, check_entry
from ..bundle.verify import find_problems
from ..errors import CheckpointError
from ..format._record import decode_header
from ..format._table import Table
from ..storage.local import File
from ..storage.locks import leftovers
from ..storage.stage import Stage
from ..v1.names import v1_pattern, v1_shard_path
from ..v1.reader import V1Checkpoint

__all__ = ["BundleLayout", "Layout", "Problem", "V1Layout", "check_is_latest", "find_faults"]

Problem = CheckpointError | OSError
Faults = Generator[Problem, None, None]


class Layout(Protocol):
    """The files of one checkpoint."""

    @property
    def path(self) -> str:
        """What `read` takes."""
        ...

    @property
    def commit_path(self) -> str:
        """The file whose presence makes the checkpoint complete."""
        ...

    @property
    def has_checksums(self) -> bool:
        """Whether the commit file tells the right data files from others."""
        ...

    def list_data(self, commit: str) -> Iterator[str]:
        """Yield the final paths of all other files, by the commit file that stands at `commit`.
        A file claims their number, so list them only after a look at which exist."""
        ...

    def find_faults(self, data: Sequence[str], commit: str, *, verify: bool) -> Faults:
        """Yield or raise the faults that keep files, wherever they stand, from being a checkpoint.
        With `verify` all of their bytes are read."""
        ...

    def is_kept(self, aside: str, *, is_renaming: bool) -> bool:
        """Return whether the commit file at `aside` still fits the files in their final places.
        `is_renaming` says that a later save may have replaced some of them."""
        ...

    def finish(self, stage: Stage, num_data: int, left: Sequence[str]) -> None:
        """Commit what was staged, with so many data files. `left` are the files of dead writers
        that this makes obsolete."""
        ...


@dataclass(frozen=True, slots=True)
class BundleLayout:
    """A V2 checkpoint: an index, and the data files that it counts."""

    path: str

    @property
    def commit_path(self) -> str:
        return index_path(self.path)

    @property
    def has_checksums(self) -> bool:
        return True

    def list_data(self, commit: str) -> Iterator[str]:
        with closing(File(commit)) as file:
            count, _, _ = decode_header(Table(file).first(), commit)
        return (shard_path(self.path, number, count) for number in range(count))

    def find_faults(self, data: Sequence[str], commit: str, *, verify: bool) -> Faults:
        with closing(Remains(commit, lambda number, count: data[number])) as remains:
            yield from find_faults(remains, verify=verify)

    def is_kept(self, aside: str, *, is_renaming: bool) -> bool:
        try:
            with closing(Remains(aside, partial(_shard_of, self.path))) as remains:
                fault = next(find_faults(remains, verify=True), None)
        except (CheckpointError, FileNotFoundError):
            return False
        if isinstance(fault, OSError) and not isinstance(fault, FileNotFoundError):
            raise fault  # a disk that fails now may not fail again
        return fault is None

    def finish(self, stage: Stage, num_data: int, left: Sequence[str]) -> None:
        commit(stage, self.path, num_data)


def _shard_of(prefix: str, number: int, count: int | None) -> str:
    return shard_path(prefix, number, count or 1)


def find_faults(remains: Remains, *, verify: bool) -> Faults:
    """Yield the faults that keep the remains of a V2 checkpoint from being whole."""
    yield from remains.problems
    for number in range(remains.num_shards or 0):
        remains.source(number, "data file")
    if verify:
        yield from find_problems(remains)
        return
    for name in remains.names:
        try:
            check_entry(remains, name, remains.entry(name))
        except (CheckpointError, OSError) as error:
            yield error


@dataclass(frozen=True, slots=True)
class V1Layout:
    """A V1 checkpoint: one file, or `count` shards of a prefix."""

    prefix: str
    count: int | None

    @property
    def path(self) -> str:
        return self.prefix if self.count is None else v1_pattern(self.prefix, self.count)

    @property
    def commit_path(self) -> str:
        if self.count is None:
            return self.prefix
        return v1_shard_path(self.prefix, self.count - 1, self.count)

    @property
    def has_checksums(self) -> bool:
        return False

    def list_data(self, commit: str) -> Iterator[str]:
        count = self.count or 1
        return (v1_shard_path(self.prefix, shard, count) for shard in range(count - 1))

    def find_faults(self, data: Sequence[str], commit: str, *, verify: bool) -> Faults:
        with V1Checkpoint(self.path, files=[*data, commit]) as checkpoint:
            if verify:
                yield from checkpoint.problems()

    def is_kept(self, aside: str, *, is_renaming: bool) -> bool:
        return not is_renaming

    def finish(self, stage: Stage, num_data: int, left: Sequence[str]) -> None:
        stage.commit(lambda: leftovers(left))


def check_is_latest(commit_path: str, saved: int) -> None:
    """Raise `ValueError` if a checkpoint was committed after an interrupted save."""
    if os.path.exists(commit_path) and os.stat(commit_path).st_mtime_ns > saved:
        raise ValueError(
            f"{commit_path}: expected a file from before the interrupted save, got a later one: "
            "discard the interrupted save"
        )
