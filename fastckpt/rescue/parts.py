"""Saves of TensorFlow that were interrupted before their parts were merged.

A sharded save of TensorFlow writes each part as a checkpoint of its own,
``<prefix>_temp/part-00000-of-00002``, merges the parts and removes the folder. It locks nothing, so
a save that goes on looks the same.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from ..bundle.merge import merge
from ..bundle.names import index_path
from ..errors import CheckpointError
from ..paths.read import read
from ..v1.names import parse_v1
from .layouts import Problem, check_is_latest
from .survey import Survey, temp_folder_prefix

__all__ = ["Parts", "complete_parts", "find_parts", "look_into"]


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one save to `prefix`, in its temporary `folder`.

    `paths` are the prefixes of the parts, in order; `count` is their number by their names, None if
    the names disagree. `saved` is when the last one was written, in nanoseconds since 1970.
    """

    prefix: str
    folder: str
    paths: tuple[str, ...]
    count: int | None
    saved: int

    def is_latest(self) -> bool:
        """Return whether no checkpoint of that prefix was completed later."""
        try:
            check_is_latest(index_path(self.prefix), self.saved)
        except ValueError:
            return False
        return True

    def find_problem(self, *, verify: bool = True) -> Problem | None:
        """Return the fault that keeps the parts from being merged, or None. With `verify` all of
        their data is read; without it only their indexes."""
        if self.count != len(self.paths):
            problem = f"expected {self.count or 'numbered'} parts, got {len(self.paths)}"
            return FileNotFoundError(errno.ENOENT, problem, self.folder)
        try:
            for path in self.paths:
                with read(path, backend="pread") as checkpoint:
                    found = next(checkpoint.problems(), None) if verify else None
                    if found is not None:
                        return found
        except (CheckpointError, OSError) as error:
            return error.with_traceback(None)  # whose frames would keep files open
        return None


def look_into(folder: str) -> Parts | None:
    """Return the parts in a temporary folder of TensorFlow. None if there are none, or if that is
    another folder."""
    prefix = temp_folder_prefix(folder)
    if prefix is None:
        return None
    here = Survey.of(folder)
    names = sorted(here.indexed)
    numbers = [parse_v1(name) for name in names]  # a part has the name of a V1 shard
    counts = {(each.prefix, each.num_shards) if each else None for each in numbers}
    kind = counts.pop() if len(counts) == 1 else None
    paths = tuple(here.path(name) for name in names)
    times = [os.stat(index_path(path)).st_mtime_ns for path in paths]
    return Parts(prefix, folder, paths, kind and kind[1], max(times)) if paths else None


def find_parts(prefix: str) -> list[Parts]:
    """Return the parts of unmerged saves to a prefix, the latest last."""
    here = Survey.around(prefix)
    base = os.path.basename(prefix)
    names = here.temp_folders if here is not None else []
    folders = [prefix[: len(prefix) - len(base)] + name for name in names]
    parts = [look_into(each) for each in folders if temp_folder_prefix(each) == prefix]
    return sorted((each for each in parts if each is not None), key=lambda each: each.saved)


def complete_parts(prefix: str) -> bool:
    """Merge the parts of the latest unmerged save to a prefix, as `complete` does."""
    found = find_parts(prefix)
    if not found:
        return False
    latest = found[-1]
    check_is_latest(index_path(prefix), latest.saved)
    problem = latest.find_problem()
    if problem is not None:
        raise problem
    merge(latest.paths, prefix)
    for path in _list_files(latest):
        with suppress(FileNotFoundError):
            os.unlink(path)
    with suppress(OSError):  # something else is in there
        os.rmdir(latest.folder)
    return True


def _list_files(parts: Parts) -> Iterator[str]:
    """Yield the files of all parts, the indexes first."""
    here = Survey.of(parts.folder)
    yield from map(index_path, parts.paths)
    for path in parts.paths:
        yield from here.data_files(os.path.basename(path))
