"""Retention: the list of the latest checkpoints, and the removal of those that leave it.

One engine with two rules, those of `tf.train.Saver` and `tf.train.CheckpointManager`
(docs/other-formats.md, "Retention").
"""

from __future__ import annotations

import logging
import os
import time
from typing import Final, Protocol

from ..paths.lookup import (
    V2,
    checkpoint_files,
    is_inside,
    meta_path,
    real_prefix,
    remove_files,
)
from ..paths.resolve import find_v1

__all__ = ["KeepHourly", "KeepSpaced", "Retention"]

_log = logging.getLogger(__name__)
_HOUR: Final = 3600.0  # seconds


class _KeepRule(Protocol):
    """Which of the checkpoints that leave the list stay on disk for good."""

    def keeps(self, when: float) -> bool: ...


class KeepHourly:
    """The rule of `Saver`: one checkpoint of every `hours` since `begin` stays for good."""

    def __init__(self, hours: float) -> None:
        self._interval = hours * _HOUR
        self.begin()

    def begin(self) -> None:
        """Count the hours from now."""
        self._next = time.time() + self._interval

    def keeps(self, when: float) -> bool:
        """Decide on a checkpoint saved at `when`, in seconds since 1970. Counts it if it stays."""
        if when <= self._next:
            return False
        self._next += self._interval
        return True


class KeepSpaced:
    """The rule of `CheckpointManager`: a checkpoint stays for good if `hours` have passed since
    the last one that did, which was saved at `last_preserved` (seconds since 1970). Without
    `hours` none stays."""

    def __init__(self, hours: float | None, last_preserved: float) -> None:
        self._hours = hours
        self.last_preserved = last_preserved

    def keeps(self, when: float) -> bool:
        """Decide on a checkpoint saved at `when`. Counts it if it stays."""
        if not self._hours or when - self._hours * _HOUR < self.last_preserved:
            return False
        self.last_preserved = when
        return True


class Retention:
    """The latest checkpoints and when they were saved, the oldest first.

    With a `max_to_keep` of None or 0 none is ever removed. A checkpoint leaves the list with
    `drop_oldest` and its files go with `remove_dropped`: in between, the caller writes the state
    file, so that no state file names what is gone.

    A state file may come from a stranger. So files are removed only in the folder of the save, or
    if they were recorded here; and only those that are a checkpoint's by name. Anything else
    leaves the list with a warning.
    """

    def __init__(self, max_to_keep: int | None, rule: _KeepRule, version: int = V2) -> None:
        self.entries: list[tuple[str, float]] = []
        self._max_to_keep = max_to_keep
        self._rule = rule
        self._version = version
        self._recorded: set[str] = set()  # paths of this run
        self._dropped: list[tuple[str, float]] = []

    @property
    def paths(self) -> list[str]:
        """The paths that are listed, the oldest first."""
        return [path for path, _ in self.entries]

    def record(self, path: str) -> None:
        """Put a checkpoint that was just saved at the end of the list."""
        self.entries = [each for each in self.entries if each[0] != path]
        self.entries.append((path, time.time()))
        self._recorded.add(path)

    def drop_oldest(self, count: int | None = None) -> bool:
        """Take those that are too many off the list, `count` at most. Return whether any was."""
        surplus = len(self.entries) - self._max_to_keep if self._max_to_keep else 0
        if count is not None:
            surplus = min(surplus, count)
        if surplus <= 0:
            return False
        self._dropped += self.entries[:surplus]
        self.entries = self.entries[surplus:]
        return True

    def remove_dropped(
        self, folder: str, count: int | None = None, meta_graph_suffix: str | None = None
    ) -> None:
        """Remove the files of dropped checkpoints, `count` at most, unless the rule keeps them.

        `folder` is that of the save. The `.meta` goes if its suffix is given. A file that cannot
        be removed is logged: the new checkpoint is there.
        """
        leaving, self._dropped = _split(self._dropped, count)
        paths = [path for path, when in leaving if not self._rule.keeps(when)]
        paths = [path for path in paths if self._may_remove(path, folder)]
        listed = set(map(real_prefix, self.paths)) if paths else set()
        # a path that is still listed in another spelling has the same files
        paths = [path for path in paths if real_prefix(path) not in listed]
        for path, files in checkpoint_files(paths, self._version).items():
            if meta_graph_suffix is not None:
                files = [*files, meta_path(path, meta_graph_suffix)]
            try:
                remove_files(files)
            except OSError as error:
                _log.warning("Ignoring: %s", error)

    def _may_remove(self, path: str, folder: str) -> bool:
        if path in self._recorded:
            return True
        if not is_inside(folder, path):
            _log.warning("Not removing %s: it is outside of %s", path, folder or os.curdir)
            return False
        if self._version == V2 or _is_v1(path):
            return True
        _log.warning("Not removing %s: it is no checkpoint", path)
        return False


def _split(
    entries: list[tuple[str, float]], count: int | None
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    at = len(entries) if count is None else count
    return entries[:at], entries[at:]


def _is_v1(path: str) -> bool:
    try:
        return find_v1(path) is not None
    except (OSError, ValueError):
        return False
