"""`CheckpointManager`: object-based saving with retention, as `tf.train.CheckpointManager` does it.

What is written and deleted, when, and under which name was compared with TensorFlow 2.21 file by
file (docs/other-formats.md, "Retention").
"""

from __future__ import annotations

import errno
import logging
import operator
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..checkpoint import Checkpoint
from ..graph.object_graph import SAVE_COUNTER
from ..paths.lookup import checkpoint_numbers, is_inside
from ..paths.read import read
from ..paths.state import get_checkpoint_state, make_state, store_state
from ..storage.urls import local_folder
from .objects import restore_objects, write_objects
from .retention import KeepSpaced, Retention
from .variables import Variable, to_integer

__all__ = ["CheckpointManager"]

_log = logging.getLogger(__name__)


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
        self._directory = local_folder(directory)
        self._prefix = os.path.join(self._directory, checkpoint_name)
        self._step_counter = step_counter
        self._checkpoint_interval = checkpoint_interval
        self._last_step = last_checkpoint_step
        self._init_fn = init_fn
        self._own_counter = {SAVE_COUNTER: 0}
        self._numbers: set[int] = set()  # of the checkpoints that this manager wrote
        self._is_restored = False
        self._latest: str | None = None
        self._kept = KeepSpaced(keep_checkpoint_every_n_hours, 0.0)
        self._retention = Retention(max_to_keep, self._kept)
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
        return self._retention.paths

    def save(
        self, checkpoint_number: Any = None, check_interval: bool = True, options: object = None
    ) -> str | None:
        """Save, and return the prefix; None if the interval is not over.

        The number is `checkpoint_number`, an integer or an array or variable of one, or by
        default that of the save. A checkpoint that another manager or run wrote is never replaced:
        the count goes on after the highest number in the folder, unless the tree was restored by
        `restore_or_initialize` and the next number is free. `check_interval=False` saves before
        the interval is over, but never twice at one step. The checkpoint is written first and as
        a whole, then the state file, and only then are old checkpoints deleted. `options` concerns
        TensorFlow's devices and threads and changes nothing.

        Raises what `write_objects` raises, `TypeError` or `ValueError` for a number that is no
        integer or negative, and `FileExistsError` for the number of a checkpoint that another
        manager or run wrote.
        """
        step = None
        if self._checkpoint_interval is not None:
            step = self._step()
            if not self._is_due(step, self._checkpoint_interval if check_interval else None):
                return None
        counted, number = self._count(checkpoint_number)
        path = f"{self._prefix}-{number}"
        write_objects(path, self._checkpoint, save_counter=counted, alignment=1)
        self._numbers.add(number)
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
        self._is_restored = True
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

    def _count(self, wanted: Any) -> tuple[int, int]:
        """Count a save, as TensorFlow does before it writes: the count is saved, too. Return it,
        and the number of the checkpoint."""
        others = checkpoint_numbers(self._prefix) - self._numbers
        number = None
        if wanted is not None:
            number = to_integer("checkpoint_number", wanted, self._checkpoint)
            if number < 0:
                raise ValueError(f"checkpoint_number: expected 0 or more, got {number}")
            if number in others:
                problem = "checkpoint exists, and this manager did not write it"
                raise FileExistsError(errno.EEXIST, problem, f"{self._prefix}-{number}")
        counter = self._counter()
        counted = to_integer(SAVE_COUNTER, counter.value()) + 1
        if number is None and others and (counted in others or not self._is_restored):
            counted = max(counted, max(others) + 1)
        counter.assign(counter.prepare(np.int64(counted)))
        return counted, counted if number is None else number

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
            self._kept.last_preserved = now - 1.0  # so that what is saved at once is later
            return
        self._latest = state.model_checkpoint_path
        last = state.last_preserved_timestamp
        if now < last:
            _log.warning(
                "time.time() returned a value %f seconds behind the last preserved checkpoint "
                "timestamp.",
                last - now,
            )
            last = now
        self._kept.last_preserved = last
        paths = state.all_model_checkpoint_paths
        times = state.all_model_checkpoint_timestamps or (last,) * len(paths)
        found = {path: min(when, now) for path, when in zip(paths, times, strict=False)}
        managed = {path: when for path, when in found.items() if when > last}
        self._retention.entries = [each for each in managed.items() if self._is_own(each[0])]

    def _is_own(self, path: str) -> bool:
        """Whether a checkpoint of the state file is in the manager's folder: no other is managed,
        since what is managed gets deleted."""
        folder = os.path.dirname(self._prefix)
        if is_inside(folder, path):
            return True
        _log.warning("Not managing %s: it is outside of %s", path, folder or os.curdir)
        return False

    def _record(self, path: str) -> None:
        self._retention.record(path)
        self._latest = path
        self._store_state()
        if self._retention.drop_oldest():
            self._retention.remove_dropped(os.path.dirname(self._prefix))
            self._store_state()

    def _store_state(self) -> None:
        entries = self._retention.entries
        state = make_state(
            self._directory,
            self._latest or "",
            [path for path, _ in entries],
            [when for _, when in entries],
            self._kept.last_preserved,
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
