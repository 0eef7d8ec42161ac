"""Verification of a V2 checkpoint: every problem of its index and of its tensors' bytes."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from functools import partial

from ..checkpoint import Stored
from ..errors import CheckpointError, name_tensor
from ..format._record import Entry, decode_entry, decode_name
from ..format.dtypes import dtype_of
from ..parallel import Progress, Tally, batches, ordered_map
from .tensors import verify_tensor

__all__ = ["find_problems"]


def find_problems(
    stored: Stored, *, threads: int | None = None, progress: Progress | None = None
) -> Iterator[CheckpointError | OSError]:
    """Yield every problem in key order. A file that cannot be opened is told once."""
    unopened = set()
    tally = Tally(progress, (size for _, size in _find_tensors(stored)))
    groups = batches(_find_tensors(stored))
    for problems, size in ordered_map(partial(_verify_each, stored), groups, threads):
        for problem in problems:
            if isinstance(problem, OSError) and problem.errno != errno.EIO:  # of a bad block
                if problem.filename in unopened:
                    continue
                unopened.add(problem.filename)
            yield problem
        tally.add(size)


_Task = tuple[str, Entry, int]  # with the bytes to verify


def _find_tensors(stored: Stored) -> Iterator[tuple[_Task | CheckpointError, int]]:
    """Yield each tensor, with the bytes to verify, or what is wrong with the index there."""
    try:
        hidden = stored.hidden_keys()  # verified as parts of their tensors
    except CheckpointError:  # to be found below, at its place
        hidden = frozenset()
    for block in stored.blocks():
        if isinstance(block, CheckpointError):
            yield block, 0
            continue
        for key, record in block:
            if not key or key in hidden:
                continue
            name = decode_name(key)
            try:
                what = f"entry of tensor {name!r}"
                entry = decode_entry(record, stored.path, what)
                dtype = dtype_of(entry.dtype, stored.path, what)
                size = math.prod(entry.shape) * dtype.item_size if entry.slices else entry.size
                yield (name, entry, max(0, size)), max(0, size)
            except CheckpointError as error:
                name_tensor(error, name)
                yield error, 0


def _verify_each(
    stored: Stored, tensors: list[_Task | CheckpointError]
) -> tuple[list[CheckpointError | OSError], int]:
    """Return what is wrong with some tensors, and how many bytes they have."""
    problems: list[CheckpointError | OSError] = []
    size = 0
    for tensor in tensors:
        if isinstance(tensor, CheckpointError):
            problems.append(tensor)
            continue
        name, entry, nbytes = tensor
        size += nbytes
        try:
            verify_tensor(stored, name, entry)
        except (CheckpointError, OSError) as error:
            problems.append(error.with_traceback(None))  # whose frames have the list
    return problems, size
