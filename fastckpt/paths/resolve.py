"""`resolve`: what a path means, and what is there if it means nothing.

Whatever opens or examines a checkpoint asks here, so that one path means one checkpoint.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from ..bundle.names import STATE_FILE, index_path, list_files, strip_suffix
from ..errors import FormatError, suggest
from ..storage.urls import Path, local_path
from ..v1.names import parse_v1
from .lookup import list_shards, match

__all__ = ["SAVED_MODEL_FILES", "How", "Located", "find_v1", "resolve"]

How = Literal["prefix", "file", "folder", "saved model", "pattern"]

SAVED_MODEL_FILES: Final = ("saved_model.pb", "saved_model.pbtxt")


class Located(NamedTuple):
    """The checkpoint that a path means.

    `prefix` is the path by which TensorFlow knows it: a V2 prefix, a V1 file, or the pattern of V1
    shards. `how` tells what the path was: the prefix, a file of the checkpoint, a folder or state
    file that names it, a SavedModel, or a pattern. `files` are the shards of a V1 checkpoint whose
    names are no shards' names, which only a pattern can mean; else it is empty.
    """

    kind: Literal["V2", "V1"]
    prefix: str
    how: How
    files: tuple[str, ...] = ()


def resolve(path: Path) -> Located:
    """Return the checkpoint that a path means (see `fastckpt.read` for what a path may be).

    An exact prefix wins over every other reading of the same string. A file that is no part of
    a V2 checkpoint counts as V1, even if it is broken.

    Raises `FileNotFoundError` that says what was looked for and names near misses; `ValueError` as
    `local_path`; `FormatError` for a damaged state file.
    """
    name = local_path(path)
    tried: list[str] = []
    for prefix, how in _candidates(name):
        found = _look_at(prefix, how)
        if found is not None:
            return found
        tried.append(prefix)
    if os.path.isfile(name) and len(tried) == 1:
        return Located("V1", name, "prefix")
    matched = _match(name)
    if matched is None:
        raise _not_found(name, tried)
    return matched


def _candidates(path: str) -> Iterator[tuple[str, How]]:
    """Yield the prefixes that a path may stand for, the likeliest first, and what it is then."""
    yield path, "prefix"
    stripped = strip_suffix(path)
    if stripped is not None:
        yield stripped, "file"
    folder, base = os.path.split(path)
    if base == STATE_FILE and os.path.isfile(path):
        yield from _latest(folder)
    if os.path.isdir(path):
        if any(os.path.isfile(os.path.join(path, name)) for name in SAVED_MODEL_FILES):
            yield os.path.join(path, "variables", "variables"), "saved model"
        if os.path.isfile(os.path.join(path, STATE_FILE)):
            yield from _latest(path)


def _latest(folder: str) -> Iterator[tuple[str, How]]:
    """Yield the prefix that a folder's state file calls the latest."""
    from .state import locate, read_state  # here: few paths are folders

    latest = read_state(os.path.join(folder, STATE_FILE)).model_checkpoint_path
    if latest and "\0" not in latest:
        yield locate(folder, latest), "folder"


def _look_at(prefix: str, how: How) -> Located | None:
    if os.path.isfile(index_path(prefix)):
        return Located("V2", prefix, how)
    found = find_v1(prefix)
    return None if found is None else Located("V1", found, how)


def find_v1(path: str) -> str | None:
    """Return the path of the V1 checkpoint that a path means: a file, or the pattern of shards for
    one of them, for their pattern, or for their prefix.

    None if there is no such file, or none of the files is V1: its last bytes are not a table's, or
    it is the index of a V2 checkpoint. A broken table counts as V1 if its name is a shard's.
    """
    parts = parse_v1(path)
    if parts is None and os.path.isfile(path):
        return path if _is_v1(path, if_broken=False) else None
    shards = list_shards(parts.prefix, parts.num_shards) if parts else list_shards(path)
    if not any(_is_v1(shard, if_broken=True) for shard in shards):
        return None
    first = parse_v1(shards[0])
    return None if first is None else first.pattern


def _is_v1(path: str, *, if_broken: bool) -> bool:
    from ..v1.reader import is_v1  # here: listing a V2 checkpoint does not wait for NumPy

    try:
        return os.path.isfile(path) and is_v1(path)
    except FormatError:
        return if_broken


def _match(path: str) -> Located | None:
    """Return the only V2 checkpoint, or the V1 files, that a path matches as a pattern."""
    indexes = [] if os.path.lexists(path) else match(index_path(path))
    if len(indexes) == 1:
        return Located("V2", strip_suffix(indexes[0]) or path, "pattern")
    files = [] if os.path.lexists(path) or indexes else match(path)
    if files and all(_is_v1(each, if_broken=True) for each in files):
        return Located("V1", path, "pattern", tuple(files))
    return None


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
    folder, base = (path, "") if os.path.isdir(path) else os.path.split(path)
    try:
        names = [name for name in os.listdir(folder or os.curdir) if name.endswith(".index")]
    except OSError:
        return f"; there is no folder {folder!r}"
    prefixes = sorted(strip_suffix(name) or name for name in names)
    close = suggest(base, prefixes, cutoff=0.4) or prefixes[:3]
    if not close:
        return "; there is no checkpoint in that folder"
    return "; did you mean " + " or ".join(repr(os.path.join(folder, name)) for name in close) + "?"
