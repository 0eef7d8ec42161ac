"""What a folder has, by the names of its files and a look at the ends of those without a suffix."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from ..bundle.names import STATE_FILE, index_path, list_files, strip_suffix
from ..format.magic import HEAD_SIZE, Kind, guess_format, recognise, strip_download_suffix
from ..paths.lookup import meta_path
from ..storage.local import File
from ..storage.staged import split_staged
from ..v1.names import parse_v1

__all__ = [
    "Survey",
    "is_v1_file",
    "look_at",
    "read_head",
    "subfolders_with_checkpoints",
    "survey",
    "temp_folder_prefix",
]

_TEMPORARY: Final = re.compile(r".*\.tempstate\d+|checkpoint\.tmp[0-9a-f]{32}", re.DOTALL)
_TEMP_FOLDER: Final = re.compile(r"(?P<prefix>.+?)(?:_temp(?:_[0-9a-f]{32})?|\.part)", re.DOTALL)
_SAVED_MODEL_FILES: Final = ("saved_model.pb", "saved_model.pbtxt")
_ENTRANCES: Final = {STATE_FILE, *_SAVED_MODEL_FILES}


@dataclass(slots=True)
class Survey:
    """The contents of a folder, all as names within it.

    `indexed` are the V2 prefixes with an index, `partial` those with other files only; `v1` are
    V1 files and patterns; `staged` and `staged_folders` are of ours and not final; `temporary` and
    `temp_folders` those of TensorFlow; `renamed` maps names that a browser changed to what
    they were; `others` is everything else that is a file.
    """

    indexed: set[str] = field(default_factory=set)
    partial: set[str] = field(default_factory=set)
    v1: set[str] = field(default_factory=set)
    staged: list[str] = field(default_factory=list)
    staged_folders: list[str] = field(default_factory=list)
    temporary: list[str] = field(default_factory=list)
    temp_folders: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    has_state: bool = False
    is_saved_model: bool = False


def survey(folder: str) -> Survey:
    """Look at a folder. Raises `OSError` as `os.listdir` does."""
    here = Survey()
    for name in sorted(os.listdir(folder or os.curdir)):
        if os.path.isdir(os.path.join(folder, name)):
            _sort_folder(here, name)
        else:
            _sort_file(here, folder, name)
    here.partial -= here.indexed
    for prefix in sorted(here.indexed | here.partial):
        _sort_numbered(here, folder, prefix)
    here.partial -= {meta_path(name)[: -len(".meta")] for name in here.v1}
    return here


def _sort_folder(here: Survey, name: str) -> None:
    if split_staged(name) is not None:
        here.staged_folders.append(name)
    elif _TEMP_FOLDER.fullmatch(name):
        here.temp_folders.append(name)
    else:
        here.folders.append(name)


def _sort_file(here: Survey, folder: str, name: str) -> None:
    staged = split_staged(name)
    prefix = strip_suffix(name)
    if name == STATE_FILE:
        here.has_state = True
    elif name in _SAVED_MODEL_FILES:
        here.is_saved_model = True
    elif staged is not None:
        here.staged.append(name)
    elif _TEMPORARY.fullmatch(name):
        here.temporary.append(name)
    elif prefix is not None:
        (here.indexed if name == index_path(prefix) else here.partial).add(prefix)
    else:
        _sort_unknown(here, folder, name)


def _sort_unknown(here: Survey, folder: str, name: str) -> None:
    original = strip_download_suffix(name)
    if original is not None and (strip_suffix(original) is not None or original == STATE_FILE):
        here.renamed[name] = original
        return
    with suppress(OSError):
        if is_v1_file(os.path.join(folder, name)):
            shard = parse_v1(name)
            here.v1.add(shard.pattern if shard else name)
            return
    here.others.append(name)


def _sort_numbered(here: Survey, folder: str, prefix: str) -> None:
    """Take a lone index or data file of ``model (1)`` for one of ``model`` that was downloaded a
    second time, or after the others. With the other files it is a checkpoint of that name."""
    if strip_download_suffix(index_path(prefix)) is None:
        return
    shards = [os.path.basename(path) for path in list_files(os.path.join(folder, prefix))[0]]
    if shards and prefix in here.indexed:
        return
    ends = [prefix + end for end in (".index", ".meta")]
    for name in [*shards, *(n for n in ends if os.path.lexists(os.path.join(folder, n)))]:
        here.renamed[name] = strip_download_suffix(name) or name
    here.indexed.discard(prefix)
    here.partial.discard(prefix)


def temp_folder_prefix(name: str) -> str:
    """Return the prefix whose save made a temporary folder."""
    match = _TEMP_FOLDER.fullmatch(name)
    return match["prefix"] if match else name


def read_head(path: str) -> tuple[bytes, int]:
    """Return the first bytes of a file and its size. Raises `OSError`, also for what is no file."""
    file = File(path)
    try:
        return file.read(0, min(HEAD_SIZE, file.size), "head"), file.size
    finally:
        file.close()


def look_at(path: str) -> Kind | None:
    """Return what a file is that may be no checkpoint. Raises `OSError`."""
    head, size = read_head(path)
    return recognise(head, size, os.path.basename(path))


def is_v1_file(path: str) -> bool:
    """Whether a file is a V1 checkpoint by its beginning, perhaps a broken one. Raises
    `OSError`."""
    return guess_format(read_head(path)[0]) == "V1"


def subfolders_with_checkpoints(folder: str, names: list[str], limit: int = 100) -> Iterator[str]:
    """Yield those subfolders, of the first `limit`, in which there is an index, a state
    file or a SavedModel."""
    for name in names[:limit]:
        path = os.path.join(folder, name)
        with suppress(OSError):
            inside = os.listdir(path)
            if any(each in _ENTRANCES or each.endswith(".index") for each in inside):
                yield path
