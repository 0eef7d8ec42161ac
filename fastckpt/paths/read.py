"""`read` and `load`: open what a path means."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

from ..bundle.reader import Bundle
from ..checkpoint import Checkpoint
from ..errors import CheckpointError, Fault, UnsupportedError
from ..parallel import Tally, batches, ordered_map
from ..storage.kind import explain
from ..storage.urls import Path, local_path
from .resolve import resolve

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..checkpoint import Stored
    from ..format._record import Entry
    from ..parallel import Progress

__all__ = ["load", "open_source", "read"]

Backend = Literal["auto", "mmap", "pread"]
Mode = Literal["r", "c"]


def read(
    path: Path,
    *,
    verify: bool = False,
    backend: Backend = "auto",
    mode: Mode = "r",
) -> Checkpoint:
    """Open a checkpoint. Reads the index's footer and two of its blocks, and no tensor.

    `path` is the prefix (``model.ckpt-1000``), its ``.index``, any of its
    ``.data-XXXXX-of-XXXXX``, its ``.meta``, a folder with a ``checkpoint`` state file (the
    latest checkpoint is opened) or that file, a SavedModel folder, or a version 1 checkpoint: its
    file, one of its shards, or their pattern (``model.ckpt-?????-of-00003``); or a ``file://`` URL
    of these. An exact prefix wins over every other reading of the same string.

    With `verify` the bytes of each tensor are verified when it is first asked for; copies always
    are, and so is every block of the index. `backend` "mmap" maps the data files; "pread" reads a
    tensor's bytes each time that it is asked for, which is faster on network file systems and
    safe when somebody truncates files in place; "auto" is "pread" on network file systems, else
    "mmap". With `mode="c"` maps are copy-on-write: views are writable, the files never change.

    Tensors of a version 1 checkpoint are decoded each time: always copies, always verified,
    whatever the options.

    Raises `FileNotFoundError` that names near misses; `FormatError` and `ChecksumError`, which say
    what the file is if it is of another format; `ValueError` for an empty path and for a URL of
    another scheme.
    """
    name = local_path(path)
    try:
        return _open(name, verify, backend, mode)
    except CheckpointError as error:
        explain(error)
        raise


def _open(name: str, verify: bool, backend: Backend, mode: Mode) -> Checkpoint:
    try:
        return Bundle(name, verify=verify, backend=backend, mode=mode)
    except (FileNotFoundError, NotADirectoryError):  # most paths are prefixes
        pass
    found = resolve(name)
    if found.kind == "V2":
        return Bundle(found.prefix, verify=verify, backend=backend, mode=mode)
    from ..v1.reader import V1Checkpoint  # here: few checkpoints are V1

    return V1Checkpoint(found.prefix, files=found.files or None)


def open_source(
    source: Path | Checkpoint, *, verify: bool = False, backend: Backend = "auto"
) -> AbstractContextManager[Checkpoint]:
    """Return a context manager that gives a checkpoint: a path is opened as `read` does and closed
    at the end; a checkpoint that is open already is given as it is, and stays open."""
    if isinstance(source, Checkpoint):
        return nullcontext(source)
    return read(source, verify=verify, backend=backend)


def load(
    path: Path,
    names: Iterable[str] | None = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Read tensors into private, writable, verified arrays: all, in key order, or `names`.

    `threads` read at the same time (default: one per CPU, up to 8). `progress` is called with
    the bytes done and their total. Raises what `read` and `Checkpoint.get_tensor` raise; a
    variant among all tensors is an `UnsupportedError`, so that none is dropped in silence; `names`
    loads the others.
    """
    if isinstance(names, str):
        raise TypeError("expected an iterable of names, got a single str")
    with read(path, backend="pread") as checkpoint:
        stored = checkpoint.stored
        entries = dict(stored.entries() if names is None else ((n, stored.entry(n)) for n in names))
        sizes = {name: _size_of(stored, name, entry) for name, entry in entries.items()}
        tally = Tally(progress, sizes.values())
        tensors: dict[str, npt.NDArray[Any]] = {}

        def read_each(batch: list[str]) -> list[npt.NDArray[Any]]:
            return [stored.read(name, entries[name]) for name in batch]

        groups = list(batches(sizes.items()))
        try:
            for group, arrays in zip(groups, ordered_map(read_each, groups, threads), strict=True):
                tensors.update(zip(group, arrays, strict=True))
                tally.add(sum(sizes[name] for name in group))
        except UnsupportedError as error:
            if names is None and error.fault is Fault.DTYPE:
                raise _with_advice(error) from error
            raise
        return tensors


def _with_advice(error: UnsupportedError) -> UnsupportedError:
    """Return the error for a tensor that no array can hold, with the way to load the others."""
    problem = f"{error.problem}; load the other tensors by name (names=)"
    tensor, offset = error.tensor, error.offset
    return UnsupportedError(
        error.path, error.what, problem, tensor=tensor, offset=offset, fault=error.fault
    )


def _size_of(stored: Stored, name: str, entry: Entry) -> int:
    """Return the bytes of a tensor: those in the data files; in a V1 checkpoint the array's."""
    return sum(part.entry.size for part in stored.parts(name)) if entry.slices else entry.size
