"""`read` and `load`: find what a path means, and open it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal

from ._reader import Bundle, Checkpoint
from .names import STATE_FILE, index_path, list_files, strip_suffix
from .parallel import batches, ordered_map

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["load", "read"]

Backend = Literal["auto", "mmap", "pread"]
Mode = Literal["r", "c"]
Progress = Callable[[int, int], object]

_SAVED_MODEL_FILES: Final = ("saved_model.pb", "saved_model.pbtxt")


def read(
    path: str | os.PathLike[str],
    *,
    verify: bool = False,
    backend: Backend = "auto",
    mode: Mode = "r",
) -> Checkpoint:
    """Open a checkpoint. Reads the index's footer and two of its blocks, and no tensor.

    `path` is the prefix (``model.ckpt-1000``), its ``.index``, any of its
    ``.data-XXXXX-of-XXXXX``, its ``.meta``, a folder with a ``checkpoint`` state file (the
    latest checkpoint is opened) or that file, a SavedModel folder, or a version 1 checkpoint: its
    file, one of its shards, or their pattern (``model.ckpt-?????-of-00003``). An exact prefix wins
    over every other reading of the same string.

    With `verify` the bytes of each tensor are verified when it is first asked for; copies always
    are, and so is every block of the index. `backend` "mmap" maps the data files; "pread" reads a
    tensor's bytes each time that it is asked for, which is faster on network file systems and
    safe when somebody truncates files in place; "auto" is "pread" on network file systems, else
    "mmap". With `mode="c"` maps are copy-on-write: views are writable, the files never change.

    Tensors of a version 1 checkpoint are decoded each time: always copies, always verified,
    whatever the options.

    Raises `FileNotFoundError` that names near misses, `FormatError` and `ChecksumError`.
    """
    name = os.fsdecode(path)
    with suppress(FileNotFoundError, NotADirectoryError):
        return Bundle(name, verify=verify, backend=backend, mode=mode)
    from .v1 import V1Checkpoint, open_v1

    tried = []
    for prefix in chain([name], _candidates(name)):
        tried.append(prefix)
        if os.path.isfile(index_path(prefix)):
            return Bundle(prefix, verify=verify, backend=backend, mode=mode)
        old = open_v1(prefix)
        if old is not None:
            return old
    if os.path.isfile(name) and len(tried) == 1:  # a file that is no part of a V2 checkpoint
        return V1Checkpoint(name)  # raises what is wrong with it
    raise _not_found(name, tried)


def load(
    path: str | os.PathLike[str],
    names: Iterable[str] | None = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Read tensors into private, writable, verified arrays: all, in key order, or `names`.

    `threads` read at the same time (default: one per CPU, up to 8). `progress` is called with
    the bytes done and their total. Raises what `read` and `Checkpoint.get_tensor` raise; a
    variant among all tensors is an `UnsupportedError`, so that none is dropped in silence.
    """
    if isinstance(names, str):
        raise TypeError("expected an iterable of names, got a single str")
    with read(path, backend="pread") as checkpoint:
        infos = checkpoint.infos() if names is None else [checkpoint.info(n) for n in names]
        sizes = {info.name: info.nbytes for info in infos}
        total = sum(sizes.values())
        done = 0
        tensors: dict[str, npt.NDArray[Any]] = {}

        def read_each(batch: list[str]) -> list[npt.NDArray[Any]]:
            return [checkpoint.get_tensor(name, copy=True) for name in batch]

        groups = list(batches(sizes.items()))
        for group, arrays in zip(groups, ordered_map(read_each, groups, threads), strict=True):
            tensors.update(zip(group, arrays, strict=True))
            done += sum(sizes[name] for name in group)
            if progress is not None:
                progress(done, total)
        return tensors


def _candidates(path: str) -> Iterator[str]:
    """Yield the prefixes that a path may stand for, the likeliest first."""
    stripped = strip_suffix(path)
    if stripped is not None:
        yield stripped
    folder, base = os.path.split(path)
    if base == STATE_FILE and os.path.isfile(path):
        yield from _latest(folder)
    if os.path.isdir(path):
        if any(os.path.isfile(os.path.join(path, name)) for name in _SAVED_MODEL_FILES):
            yield os.path.join(path, "variables", "variables")
        if os.path.isfile(os.path.join(path, STATE_FILE)):
            yield from _latest(path)


def _latest(folder: str) -> Iterator[str]:
    """Yield the prefix that a folder's state file calls the latest; then, since folders get
    moved while absolute paths stay, the one of that name beside the state file."""
    from .state import read_state

    state = read_state(os.path.join(folder, STATE_FILE))
    latest = state.model_checkpoint_path
    if latest:
        yield os.path.join(folder, latest)
        yield os.path.join(folder, os.path.basename(latest))


def _not_found(path: str, tried: list[str]) -> OSError:
    """Return the error that says what was looked for, and what there is."""
    paths = " and ".join(repr(index_path(prefix)) for prefix in dict.fromkeys(tried))
    message = f"no checkpoint: looked for {paths}"
    if os.path.isdir(path):
        message += f", and in that folder for a state file {STATE_FILE!r} and a SavedModel"
    shards, staged = list_files(tried[-1])
    if shards or staged:
        message += (
            f"; {os.path.basename((shards or staged)[0])!r} is there without an index: "
            "a save was interrupted, or the index was not copied"
        )
    else:
        message += _near_misses(path)
    return FileNotFoundError(errno.ENOENT, message, path)


def _near_misses(path: str) -> str:
    """Say which checkpoints lie in the folder, the closest names first."""
    from difflib import get_close_matches

    folder, base = (path, "") if os.path.isdir(path) else os.path.split(path)
    try:
        names = [name for name in os.listdir(folder or os.curdir) if name.endswith(".index")]
    except OSError:
        return f"; there is no folder {folder!r}"
    prefixes = sorted(strip_suffix(name) or name for name in names)
    close = get_close_matches(base, prefixes, n=3, cutoff=0.4) or prefixes[:3]
    if not close:
        return "; there is no checkpoint in that folder"
    return "; did you mean " + " or ".join(repr(os.path.join(folder, name)) for name in close) + "?"
