"""What a path may mean: the prefixes that it can stand for, and what is there if it means none."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from ..bundle.names import STATE_FILE, index_path, list_files, strip_suffix

__all__ = ["candidates", "not_found"]

_SAVED_MODEL_FILES: Final = ("saved_model.pb", "saved_model.pbtxt")


def candidates(path: str) -> Iterator[str]:
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


def not_found(path: str, tried: list[str]) -> OSError:
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
