"""Which checkpoints of a saver stay, and deleting those that go.

The rules are those of `tf.train.Saver` (docs/other-formats.md, "Retention").
"""

from __future__ import annotations

import logging
import os
import time

from ..paths.lookup import remove_checkpoint

__all__ = ["Retention"]

_log = logging.getLogger(__name__)


class Retention:
    """The latest checkpoints of a saver, as (path, when) with the oldest first.

    With a `max_to_keep` of 0 none is listed, and none is ever deleted. Times are seconds since
    1970; of the checkpoints that go, one is kept for good every `hours`, counted from `begin`.
    """

    def __init__(self, max_to_keep: int, hours: float, version: int) -> None:
        self.entries: list[tuple[str, float]] = []
        self._max_to_keep = max_to_keep
        self._interval = hours * 3600
        self._version = version
        self._to_delete: list[tuple[str, float]] = []
        self.begin()

    def begin(self) -> None:
        """Count the hours from now."""
        self._next_keep = time.time() + self._interval

    @property
    def paths(self) -> list[str]:
        """The paths that are listed, the oldest first."""
        return [path for path, _ in self.entries]

    def record(self, path: str) -> None:
        """Put a checkpoint at the end of the list; the one that is too many is to be deleted."""
        if not self._max_to_keep:
            return
        self.entries = [each for each in self.entries if each[0] != path]
        self.entries.append((path, time.time()))
        if len(self.entries) > self._max_to_keep:
            self._to_delete.append(self.entries.pop(0))

    def delete_one(self, meta_graph_suffix: str) -> None:
        """Delete the checkpoint that is too many, unless it is the one to keep of its hours.

        Call it when the newer ones and the state file are safely there. Files that cannot be
        deleted are no reason to fail.
        """
        if not self._to_delete:
            return
        path, when = self._to_delete.pop(0)
        if when > self._next_keep:
            self._next_keep += self._interval
            return
        if os.path.abspath(path) in map(os.path.abspath, self.paths):
            return  # the same files by another spelling
        try:
            remove_checkpoint(path, self._version, meta_graph_suffix)
        except OSError as error:
            _log.warning("Ignoring: %s", error)
