"""The format of a file by its first bytes, and its mention in an error about that file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import CheckpointError, Fault, name_tensor
from .local import File

if TYPE_CHECKING:
    from ..format.magic import FileKind

__all__ = ["explain", "explain_data", "find_kind", "read_head"]


def read_head(path: str) -> tuple[bytes, int]:
    """Return the first bytes of a file and its size. Raises `OSError`, also for what is no regular
    file."""
    from ..format.magic import HEAD_SIZE  # here: whoever reads what is whole never needs it

    file = File(path)
    try:
        return file.read(0, min(HEAD_SIZE, file.size), "head"), file.size
    finally:
        file.close()


def find_kind(path: str) -> FileKind | None:
    """Return what a file is that may be no checkpoint. Raises `OSError`."""
    from ..format.magic import recognise

    head, size = read_head(path)
    return recognise(head, size, os.path.basename(path))


def explain(error: CheckpointError) -> None:
    """Add to an error what its file is, if the first bytes say that it is no part of a checkpoint.

    A checksum that fails, or a file that ends too early, sends people to look for a broken disk
    where a Git LFS pointer was never replaced by its file.
    """
    try:
        kind = find_kind(error.path)
    except (CheckpointError, OSError, ValueError):
        return
    if kind is not None and error.kind is None:
        error.kind = kind.name
        error.problem += f": this is {kind.name}. {kind.why}"


def explain_data(error: CheckpointError, name: str) -> None:
    """Add to an error about a tensor's bytes the tensor's name, and what the data file is if it is
    no data file."""
    name_tensor(error, name)
    if error.fault in (Fault.TRUNCATED, Fault.CHECKSUM):
        explain(error)
