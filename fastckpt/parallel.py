"""Threads and progress for operations on many tensors: ordered results, bytes done of a total."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["Progress", "Tally", "batches", "count_threads", "helper_thread", "ordered_map"]

Progress = Callable[[int, int], object]  # called with (bytes done, total bytes)

_BATCH: Final = 4 << 20  # bytes; enough that handing a batch to a thread costs nothing
_BATCH_COUNT: Final = 1024  # tasks; the same for tensors of a few bytes
_MAX_THREADS: Final = 8  # beyond, memory is the limit

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def count_threads(threads: int | None) -> int:
    """Return how many threads to use: as asked, or one per usable CPU, up to 8, for None."""
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads: expected 1 or more, got {threads}")
        return threads
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(_MAX_THREADS, cpus or 1)


def helper_thread(threads: int | None, *, pays: bool) -> AbstractContextManager[Executor | None]:
    """Return a pool of one thread beside the caller's; None in its place if `threads` allows no
    second one, or if it would not pay."""
    if count_threads(threads) == 1 or not pays:
        return nullcontext()
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1)


def batches(sized: Iterable[tuple[_Task, int]]) -> Iterator[list[_Task]]:
    """Group consecutive tasks, given with their bytes, so that each group has some megabytes."""
    batch: list[_Task] = []
    total = 0
    for task, size in sized:
        batch.append(task)
        total += size
        if total >= _BATCH or len(batch) >= _BATCH_COUNT:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def ordered_map(
    function: Callable[[_Task], _Result], tasks: Iterable[_Task], threads: int | None = None
) -> Iterator[_Result]:
    """Yield function(task) for each task, in their order, a few tasks ahead in threads.

    With one thread or one task everything runs in the caller's.
    """
    count = count_threads(threads)
    queue = iter(tasks)
    ahead = list(islice(queue, 2))
    if count == 1 or len(ahead) < 2:
        for task in ahead:
            yield function(task)
        for task in queue:
            yield function(task)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(count) as pool:
        pending = deque(pool.submit(function, task) for task in ahead)
        pending.extend(pool.submit(function, task) for task in islice(queue, 2 * count))
        try:
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(function, task) for task in islice(queue, 1))
        finally:
            for future in pending:
                future.cancel()


class Tally:
    """Accumulates completed bytes and reports them to a progress callback, if there is one."""

    def __init__(self, progress: Progress | None, sizes: Iterable[int]) -> None:
        """Take the callback and the size of each task. Without a callback `sizes` is not read."""
        self._progress = progress
        self._total = 0 if progress is None else sum(sizes)
        self._done = 0

    def add(self, size: int) -> None:
        """Report `size` more bytes as done."""
        if self._progress is not None:
            self._done += size
            self._progress(self._done, self._total)
