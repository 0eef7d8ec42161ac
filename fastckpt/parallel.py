"""Work in threads, results in order: for what reads or checksums many tensors."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

__all__ = ["batches", "count_threads", "ordered_map"]

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
