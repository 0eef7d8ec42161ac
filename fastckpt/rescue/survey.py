"""Classify the files of a folder by name; sniff those without a known suffix."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Final, NamedTuple

from ..bundle.names import STATE_FILE, index_path, strip_suffix
from ..format.magic import guess_format, strip_download_suffix
from ..paths.resolve import SAVED_MODEL_FILES
from ..storage.kind import read_head
from ..storage.staged import split_staged
from ..v1.names import parse_v1

__all__ = [
    "Staged",
    "Survey",
    "subfolders_with_checkpoints",
    "temp_folder_prefix",
]

_TEMPORARY: Final = re.compile(r".*\.tempstate\d+|checkpoint\.tmp[0-9a-f]{32}", re.DOTALL)
_TEMP_FOLDER: Final = re.compile(r"(?P<prefix>.+?)(?:_temp(?:_[0-9a-f]{32})?|\.part)", re.DOTALL)
_ENTRANCES: Final = {STATE_FILE, *SAVED_MODEL_FILES}


class Staged(NamedTuple):
    """The name of a staged or replaced file, the name that it is staged for, and its token."""

    name: str
    final: str
    token: str


class Survey:
    """The names in a folder, read once and classified.

    `head` is what stands before a name in a path: "" for the working directory, else the folder
    with a slash. All fields hold names: `indexed` are the V2 prefixes with an index, `partial`
    those with other files only; `staged_folders` are those of conversions; `temporary` and
    `temp_folders` are TensorFlow's; `renamed` maps names that a browser changed to what they were;
    `folders` are all other folders. `v1` and `others`, the files whose names say nothing, are
    sniffed when first asked for.

    Raises `OSError` as `os.scandir` does.
    """

    def __init__(self, head: str) -> None:
        self.head = head
        self.indexed: set[str] = set()
        self.partial: set[str] = set()
        self.staged_folders: list[str] = []
        self.temporary: list[str] = []
        self.temp_folders: list[str] = []
        self.renamed: dict[str, str] = {}
        self.folders: list[str] = []
        self.has_state = False
        self.is_saved_model = False
        self._unknown: list[str] = []
        self._data: defaultdict[str, list[str]] = defaultdict(list)
        self._staged: defaultdict[str, list[Staged]] = defaultdict(list)
        with os.scandir(self.folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                if os.path.isdir(entry):  # unlike entry.is_dir, False for a link to itself
                    self._sort_folder(entry.name)
                else:
                    self._sort_file(entry)
        for prefix in sorted(self.indexed | self.partial):
            self._sort_numbered(prefix)
        self.partial -= self.indexed

    @classmethod
    def around(cls, path: str) -> Survey | None:
        """Look at the folder of a path; return None if there is no such folder."""
        try:
            return cls(path[: len(path) - len(os.path.basename(path))])
        except (FileNotFoundError, NotADirectoryError):
            return None

    @classmethod
    def of(cls, folder: str) -> Survey:
        """Look at a folder."""
        return cls(os.path.join(folder, "") if folder else "")

    @property
    def folder(self) -> str:
        """The path of the folder."""
        return self.head.rstrip("/") or self.head[:1] or os.curdir

    def path(self, name: str) -> str:
        """Return the path of a name."""
        return self.head + name

    def data_files(self, prefix: str) -> list[str]:
        """Return the paths of the data files of a V2 prefix, which is a name, of any count."""
        return [self.head + name for name in self._data.get(prefix, ())]

    def staged(self, owner: str) -> list[Staged]:
        """Return what is staged for a V2 prefix, a V1 file, or the shards of a V1 prefix."""
        return self._staged.get(owner, [])

    def staged_owners(self) -> list[str]:
        """Return the names that something is staged for, sorted."""
        return sorted(self._staged)

    @property
    def v1(self) -> dict[str, str]:
        """V1 files, and patterns of V1 shards, each with the last of its files."""
        return self._sniffed[0]

    @property
    def others(self) -> list[str]:
        """Files that are nothing else."""
        return self._sniffed[1]

    def checkpoints(self) -> list[str]:
        """Return the names of all checkpoints, sorted: V2 prefixes, V1 files, V1 patterns."""
        return sorted(self.indexed | self.v1.keys())

    @cached_property
    def _sniffed(self) -> tuple[dict[str, str], list[str]]:
        v1: dict[str, str] = {}
        others = []
        for name in self._unknown:
            try:
                is_v1 = guess_format(read_head(self.head + name)[0]) == "V1"
            except OSError:  # no regular file, or not to be read
                is_v1 = False
            shard = parse_v1(name)
            if is_v1:
                v1[shard.pattern if shard else name] = name
            else:
                others.append(name)
        return v1, others

    def _sort_folder(self, name: str) -> None:
        if split_staged(name) is not None:
            self.staged_folders.append(name)
        elif temp_folder_prefix(name) is not None:
            self.temp_folders.append(name)
        else:
            self.folders.append(name)

    def _sort_file(self, entry: os.DirEntry[str]) -> None:
        name = entry.name
        prefix = strip_suffix(name)
        staged = split_staged(name)
        original = strip_download_suffix(name)
        if name == STATE_FILE:
            self.has_state = True
        elif name in SAVED_MODEL_FILES:
            self.is_saved_model = True
        elif staged is not None:
            if entry.is_file(follow_symlinks=False):  # nothing else is ever staged
                self._staged[_owner_of(staged[0])].append(Staged(name, *staged))
        elif _TEMPORARY.fullmatch(name):
            self.temporary.append(name)
        elif prefix is not None:
            self._sort_part(name, prefix)
        elif original is not None and _belongs_to_a_checkpoint(original):
            self.renamed[name] = original
        else:
            self._unknown.append(name)

    def _sort_part(self, name: str, prefix: str) -> None:
        (self.indexed if name == index_path(prefix) else self.partial).add(prefix)
        if not name.endswith((".index", ".meta")):
            self._data[prefix].append(name)

    def _sort_numbered(self, prefix: str) -> None:
        """Take a lone index or data file of ``model (1)`` for one of ``model`` that was downloaded
        a second time, or after the others. With the other files it is a checkpoint of that name."""
        if strip_download_suffix(index_path(prefix)) is None:
            return
        data = self._data.get(prefix, [])
        if data and prefix in self.indexed:
            return
        ends = [prefix + end for end in (".index", ".meta")]
        for name in [*data, *(each for each in ends if os.path.lexists(self.head + each))]:
            self.renamed[name] = strip_download_suffix(name) or name
        self.indexed.discard(prefix)
        self.partial.discard(prefix)


def _belongs_to_a_checkpoint(name: str) -> bool:
    return name == STATE_FILE or strip_suffix(name) is not None


def _owner_of(final: str) -> str:
    """Return the V2 prefix, the prefix of V1 shards, or the file that a name belongs to."""
    prefix = strip_suffix(final)
    if prefix is not None:
        return prefix
    shard = parse_v1(final)
    return shard.prefix if shard else final


def temp_folder_prefix(name: str) -> str | None:
    """Return the prefix whose save made a temporary folder; None for other folders."""
    match = _TEMP_FOLDER.fullmatch(name)
    return match["prefix"] if match else None


def subfolders_with_checkpoints(here: Survey) -> Iterator[str]:
    """Yield the paths of those subfolders that have an index, a state file or a SavedModel. Looks
    at the first hundred."""
    for name in here.folders[:100]:
        path = here.path(name)
        with suppress(OSError):
            inside = os.listdir(path)
            if any(each in _ENTRANCES or each.endswith(".index") for each in inside):
                yield path
