"""Check for and remove the files of a checkpoint prefix.

TensorFlow takes every prefix for a glob pattern. Here a file of exactly that name comes first, and
only a path without one is matched as a pattern: a prefix with brackets in it is found, and removing
a prefix with a `*` removes nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from ..bundle.names import index_path, parse_shard, strip_suffix
from ..storage.urls import Path, local_path
from ..v1.names import find_shards, parse_v1, strip_shards, v1_shard_path

__all__ = [
    "V2",
    "checkpoint_exists",
    "checkpoint_files",
    "checkpoint_numbers",
    "get_checkpoint_mtimes",
    "is_folder",
    "is_inside",
    "is_taken",
    "is_there",
    "list_shards",
    "make_folders",
    "match",
    "meta_path",
    "real_prefix",
    "remove_checkpoint",
    "remove_files",
]

V2: Final = 2  # SaverDef.V2

_NUMBER: Final = re.compile(r"[0-9]{1,18}")


def checkpoint_exists(checkpoint_prefix: Path) -> bool:
    """Return whether there is a checkpoint: a V2 index, a V1 file, or a file that the prefix
    matches as a pattern, such as the one that a sharded V1 save returns.

    An empty path or one with a null character is no checkpoint. Raises `ValueError` for a URL.
    """
    return bool(_files_of(checkpoint_prefix))


def get_checkpoint_mtimes(checkpoint_prefixes: Iterable[Path]) -> list[float]:
    """Return when checkpoints were written, in whole seconds since 1970 as TensorFlow has them.

    A checkpoint that does not exist is left out, so the list may be shorter than the prefixes.
    Raises `ValueError` for a URL.
    """
    found = [_files_of(prefix) for prefix in checkpoint_prefixes]
    return [float(os.stat(files[0]).st_mtime_ns // 10**9) for files in found if files]


def is_there(prefix: str) -> bool:
    """Return whether there is a V2 index, a V1 file, or the first or last shard of a V1 pattern.

    Unlike `checkpoint_exists` it matches no other patterns: it takes the same few system calls
    whatever the path, and a state file can ask for thousands.
    """
    if not prefix or "\0" in prefix:
        return False
    if os.path.lexists(index_path(prefix)) or os.path.isfile(prefix):
        return True
    parts = parse_v1(prefix)
    if parts is None or parts.shard is not None:
        return False
    ends = (0, parts.num_shards - 1)
    return any(os.path.isfile(v1_shard_path(parts.prefix, n, parts.num_shards)) for n in ends)


def is_taken(path: Path, *, as_file: bool = False) -> bool:
    """Return whether there is a V2 checkpoint at a path that somebody wants to write to; with
    `as_file` also whether there is a file or a folder. Raises `ValueError` as `local_path`."""
    name = local_path(path)
    return os.path.lexists(index_path(name)) or (as_file and os.path.lexists(name))


def is_folder(path: str) -> bool:
    """Return whether there is a folder at a path; "" is the current one."""
    return os.path.isdir(path or os.curdir)


def make_folders(prefix: str) -> None:
    """Make the folder of a prefix, and those above it that are missing."""
    os.makedirs(os.path.dirname(prefix) or os.curdir, exist_ok=True)


def meta_path(checkpoint_path: str, meta_graph_suffix: str = "meta") -> str:
    """Return the path of a checkpoint's graph, named as TensorFlow names it: without the number of
    a shard at the end of the path."""
    return strip_shards(checkpoint_path) + "." + meta_graph_suffix


def remove_checkpoint(
    checkpoint_prefix: Path, checkpoint_format_version: int = V2, meta_graph_suffix: str = "meta"
) -> None:
    """Remove the files of a checkpoint; files that are not there are no error.

    The index goes first: an interruption leaves nothing that looks like a checkpoint. For a
    version other than `SaverDef.V2` the V1 file goes, or the shards of a pattern. Raises
    `ValueError` for an empty path and for a URL.
    """
    prefix = local_path(checkpoint_prefix)
    files = checkpoint_files([prefix], checkpoint_format_version)[prefix]
    remove_files([*files, meta_path(prefix, meta_graph_suffix)])


def checkpoint_files(prefixes: Sequence[str], version: int = V2) -> dict[str, list[str]]:
    """Return the files of each checkpoint, without its `.meta`; the index comes first, whether it
    is there or not. Each folder is listed once."""
    if version != V2:
        return {prefix: _v1_files(prefix) for prefix in prefixes}
    shards: dict[str, dict[str, list[str]]] = {}  # by folder, and by the name of the checkpoint
    found = {}
    for prefix in prefixes:
        folder, base = os.path.split(prefix)
        if folder not in shards:
            shards[folder] = _list_data_files(folder)
        head = prefix[: len(prefix) - len(base)]  # as it is spelled
        names = shards[folder].get(base, ())
        found[prefix] = [index_path(prefix), *(head + name for name in names)]
    return found


def remove_files(files: Iterable[str]) -> None:
    """Remove files one after the other; files that are not there are no error."""
    for path in files:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path)


def list_shards(prefix: str, count: int | None = None) -> list[str]:
    """Return the shards of a V1 checkpoint that are there: those of `count` shards, or of as many
    as the first of them says."""
    folder, base = os.path.split(prefix)
    head = prefix[: len(prefix) - len(base)]  # as it is spelled: a path must stay comparable
    return [head + name for name in find_shards(_list_folder(folder), base, count)]


def checkpoint_numbers(prefix: str) -> set[int]:
    """Return the numbers n of all checkpoints ``<prefix>-n`` of which there is a file; numbers of
    more than 18 digits, which no counter reaches, are left out."""
    folder, base = os.path.split(prefix)
    found = set()
    for name in _list_folder(folder):
        start, dash, number = (strip_suffix(name) or "").rpartition("-")
        if dash and start == base and _NUMBER.fullmatch(number):
            found.add(int(number))
    return found


def is_inside(folder: str, path: str) -> bool:
    """Return whether a checkpoint lies in a folder itself, once symbolic links are followed. A path
    with a null character lies nowhere."""
    return "\0" not in path and real_prefix(path)[0] == os.path.realpath(folder or os.curdir)


def real_prefix(path: str) -> tuple[str, str]:
    """Return the real folder of a checkpoint, and its name there: the same for all spellings."""
    folder, name = os.path.split(path)
    return os.path.realpath(folder or os.curdir), name


def _v1_files(prefix: str) -> list[str]:
    parts = parse_v1(prefix)
    is_pattern = parts is not None and prefix == parts.pattern
    return list_shards(parts.prefix, parts.num_shards) if parts and is_pattern else [prefix]


def _list_data_files(folder: str) -> dict[str, list[str]]:
    """Return the names of the data files of a folder, by the name of their checkpoint."""
    shards: dict[str, list[str]] = {}
    for name in _list_folder(folder):
        parts = parse_shard(name)
        if parts is not None:
            shards.setdefault(parts[0], []).append(name)
    return shards


def _list_folder(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder or os.curdir))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the path
        return []


def match(pattern: str) -> list[str]:
    """Return the path itself, or the files of its folder that its last part matches. Unlike for
    TensorFlow, a folder is no pattern: a path could have the whole disk searched."""
    if "\0" in pattern:
        return []
    if os.path.lexists(pattern):
        return [pattern]
    from glob import escape, glob, has_magic  # here: few paths are patterns

    folder, base = os.path.split(pattern)
    return sorted(glob(os.path.join(escape(folder), base))) if has_magic(base) else []


def _files_of(prefix: Path) -> list[str]:
    """Return the files by which a checkpoint exists, [] if it does not."""
    name = os.fsdecode(prefix)
    if not name or "\0" in name:
        return []
    path = local_path(name)
    return match(index_path(path)) or match(path)
