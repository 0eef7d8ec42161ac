"""`CheckpointManager`: object-based saving with retention, as `tf.train.CheckpointManager` does it.

What is written and deleted, when, and under which name was compared with TensorFlow 2.21 file by
file (docs/other-formats.md, "Retention").
"""

from __future__ import annotations

import logging
import operator
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np

from ..bundle.names import index_path, list_files
from ..checkpoint import Checkpoint
from ..graph.objects import SAVE_COUNTER
from ..paths.read import read
from ..paths.state import get_checkpoint_state, make_state, store_state
from .objects import restore_objects, write_objects
from .variables import Variable, to_integer

__all__ = ["CheckpointManager"]

_log = logging.getLogger(__name__)
_HOUR: Final = 3600.0  # seconds


class CheckpointManager:
    """Save a tree of variables again and again, and keep the latest few checkpoints.

    `checkpoint` takes the place of a `tf.train.Checkpoint`: nested dicts and lists of variables,
    as `fastckpt.write_objects` takes them, or a plain mapping of names to arrays. Checkpoints are
    called ``<directory>/<checkpoint_name>-<number>``; the number is that of the save, which an
    entry "save_counter" of the tree counts, or the manager itself if there is none.

    `max_to_keep` checkpoints are listed in the folder's state file, all with None; what is more is
    deleted, the oldest first, unless `keep_checkpoint_every_n_hours` have passed since the last
    that was kept for good. A new manager of the folder goes on where another one ended; what a
    `Saver` recorded there is never deleted.

    With a `checkpoint_interval`, `save` does nothing until `step_counter` has grown by so much
    since the last save, `last_checkpoint_step`. A counter is an array or variable of one integer,
    or the name of an entry of the tree. `init_fn` is what `restore_or_initialize` calls where there
    is nothing to restore.

    Raises `TypeError` for what is no tree, `ValueError` for a `max_to_keep` below 1 and for an
    interval without a counter, and `FormatError` for a damaged state file.
    """

    def __init__(
        self,
        checkpoint: Any,
        directory: str | os.PathLike[str],
        max_to_keep: int | None,
        keep_checkpoint_every_n_hours: float | None = None,
        checkpoint_name: str = "ckpt",
        step_counter: Any = None,
        checkpoint_interval: int | None = None,
        init_fn: Callable[[], object] | None = None,
        last_checkpoint_step: int | None = None,
    ) -> None:
        if not isinstance(checkpoint, (Mapping, list, tuple)):
            raise TypeError(
                f"expected a tree of dicts and lists of variables, got {type(checkpoint).__name__}"
            )
        if max_to_keep is not None and max_to_keep <= 0:
            raise ValueError(
                f"Expected a positive integer or `None` for `max_to_keep`, got {max_to_keep}."
            )
        if checkpoint_interval is not None and step_counter is None:
            raise ValueError(
                "`step_counter` should be passed if `checkpoint_interval` is not None."
            )
        self._checkpoint = checkpoint
        self._directory = os.fsdecode(directory)
        self._prefix = os.path.join(self._directory, checkpoint_name)
        self._max_to_keep = max_to_keep
        self._hours = keep_checkpoint_every_n_hours
        self._step_counter = step_counter
        self._checkpoint_interval = checkpoint_interval
        self._last_step = last_checkpoint_step
        self._init_fn = init_fn
        self._own_counter = {SAVE_COUNTER: 0}
        self._entries: dict[str, float] = {}  # path -> when, the oldest first
        self._latest: str | None = None
        self._recover()

    @property
    def checkpoint(self) -> Any:
        """The tree that is saved."""
        return self._checkpoint

    @property
    def directory(self) -> str:
        """The folder of the checkpoints."""
        return self._directory

    @property
    def checkpoint_interval(self) -> int | None:
        """How many steps there are from one save to the next."""
        return self._checkpoint_interval

    @property
    def latest_checkpoint(self) -> str | None:
        """The prefix of the newest checkpoint of the folder; None if there is none."""
        return self._latest

    @property
    def checkpoints(self) -> list[str]:
        """The prefixes of those checkpoints that are managed, the oldest first: without those
        that are kept for good."""
        return list(self._entries)

    def save(
        self, checkpoint_number: Any = None, check_interval: bool = True, options: object = None
    ) -> str | None:
        """Save, and return the prefix; None if the interval is not over.

        The number is `checkpoint_number`, an integer or an array or variable of one, or by
        default that of the save. `check_interval=False` saves before the interval is over, but
        never twice at one step. The checkpoint is written first and as a whole, then the state
        file, and only then are old checkpoints deleted. `options` is about devices and threads of
        TensorFlow's and changes nothing.

        Raises what `write_objects` raises, and `TypeError` or `ValueError` for a number that is
        no integer or negative.
        """
        step = None
        if self._checkpoint_interval is not None:
            step = self._step()
            if not self._is_due(step, self._checkpoint_interval if check_interval else None):
                return None
        number = None
        if checkpoint_number is not None:
            number = to_integer("checkpoint_number", checkpoint_number, self._checkpoint)
            if number < 0:
                raise ValueError(f"checkpoint_number: expected 0 or more, got {number}")
        counted = self._count()
        path = f"{self._prefix}-{counted if number is None else number}"
        write_objects(path, self._checkpoint, save_counter=counted, alignment=1)
        self._last_step = step
        self._record(path)
        return path

    def restore_or_initialize(self) -> str | None:
        """Restore the tree in place from the latest checkpoint, and return its path; where there
        is none call `init_fn` and return None.

        All or nothing: raises what `fastckpt.restore_objects` raises, before the
        first value changes.
        """
        if self._latest is None:
            if self._init_fn is not None:
                self._init_fn()
            return None
        with read(self._latest, backend="pread") as checkpoint:
            counted = _saves_of(checkpoint)
            restore_objects(self._checkpoint, checkpoint)
        if counted is not None:
            self._own_counter[SAVE_COUNTER] = counted
        if self._checkpoint_interval is not None:
            self._last_step = self._step()
        return self._latest

    def sync(self) -> None:
        """Wait for what is being written: nothing, when `save` has returned."""

    def _is_due(self, step: int, interval: int | None) -> bool:
        last = self._last_step
        return last is None or (step != last and (interval is None or step >= last + interval))

    def _step(self) -> int:
        return to_integer("step_counter", self._step_counter, self._checkpoint)

    def _count(self) -> int:
        """Count a save, as TensorFlow does before it writes: the number is saved, too."""
        counter = self._counter()
        counted = to_integer(SAVE_COUNTER, counter.value()) + 1
        counter.assign(counter.prepare(np.int64(counted)))
        return counted

    def _counter(self) -> Variable:
        has_entry = isinstance(self._checkpoint, Mapping) and SAVE_COUNTER in self._checkpoint
        holder: Any = self._checkpoint if has_entry else self._own_counter
        return Variable(
            SAVE_COUNTER,
            lambda: holder[SAVE_COUNTER],
            lambda number: operator.setitem(holder, SAVE_COUNTER, number),
        )

    def _recover(self) -> None:
        """Go on with what the folder's state file says."""
        now = time.time()
        state = get_checkpoint_state(self._directory)
        if state is None:
            self._last_preserved = now - 1.0  # so that what is saved at once is later
            return
        self._latest = state.model_checkpoint_path
        self._last_preserved = state.last_preserved_timestamp
        if now < self._last_preserved:
            _log.warning(
                "time.time() returned a value %f seconds behind the last preserved checkpoint "
                "timestamp.",
                self._last_preserved - now,
            )
            self._last_preserved = now
        paths = state.all_model_checkpoint_paths
        times = state.all_model_checkpoint_timestamps or (self._last_preserved,) * len(paths)
        for path, when in zip(paths, times, strict=False):
            if min(when, now) > self._last_preserved:
                self._entries[path] = min(when, now)

    def _record(self, path: str) -> None:
        self._entries.pop(path, None)
        self._entries[path] = time.time()
        self._latest = path
        self._store_state()
        count = len(self._entries)
        for old in list(self._leaving()):
            self._delete(old)
        if len(self._entries) < count:
            self._store_state()

    def _leaving(self) -> Iterator[str]:
        """Yield the checkpoints that are too many, and are not to be kept for good."""
        while self._max_to_keep and len(self._entries) > self._max_to_keep:
            path = next(iter(self._entries))
            when = self._entries.pop(path)
            if self._hours and when - self._hours * _HOUR >= self._last_preserved:
                self._last_preserved = when
            else:
                yield path

    def _delete(self, path: str) -> None:
        """Delete a checkpoint, its index first. Files that cannot be deleted are no reason to
        fail: the new checkpoint is there."""
        if os.path.abspath(path) in map(os.path.abspath, self._entries):
            return  # the same files by another spelling
        try:
            for file in [index_path(path), *list_files(path)[0]]:
                with suppress(FileNotFoundError, NotADirectoryError):
                    os.unlink(file)
        except OSError as error:
            _log.warning("Ignoring: %s", error)

    def _store_state(self) -> None:
        state = make_state(
            self._directory,
            self._latest or "",
            list(self._entries),
            list(self._entries.values()),
            self._last_preserved,
            save_relative_paths=True,
        )
        store_state(self._directory, state)


def _saves_of(checkpoint: Checkpoint) -> int | None:
    """Return how often the objects of a checkpoint were saved, if it says so."""
    graph = checkpoint.object_graph
    key = None if graph is None else graph.save_counter
    if key is None or key not in checkpoint:
        return None
    counter = checkpoint.get_tensor(key, copy=True)
    return int(counter) if counter.dtype.kind in "iu" and counter.shape == () else None
