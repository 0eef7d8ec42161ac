"""The newest whole checkpoint of a folder, and what its state file, `checkpoint`, should say."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import Final

from ..bundle.names import STATE_FILE, index_path, shard_path
from ..bundle.partial import Remains
from ..errors import CheckpointError, FormatError
from ..paths.resolve import find_v1
from ..paths.state import CheckpointState, last_part, read_state, write_state
from ..storage.urls import local_folder
from ..v1.names import parse_v1
from ..v1.reader import V1Checkpoint
from .layouts import find_faults
from .survey import Survey

__all__ = ["is_whole", "latest", "list_checkpoints", "rebuild_state", "repair_state"]

_NUMBER: Final = re.compile(r"(?P<stem>.*?)-?(?P<number>\d+)", re.DOTALL)

Path = str | os.PathLike[str]


def latest(folder: Path, *, whole: bool = True) -> str | None:
    """Return the path of the newest checkpoint in a folder, None if there is none.

    With `whole` it passes over checkpoints that lack files or whose files do not fit each other;
    indexes are read, and no tensor. The newest is the one with the highest number among those that
    have the name of the state file's latest but for the number (without a state file, the name of
    the one that was written last); then come the others, the last written first. The state file
    decides nothing else: it may not be written yet, or be a copy's.

    Raises `FileNotFoundError` if there is no such folder, `ValueError` for a URL.
    """
    here = Survey.of(local_folder(folder))
    names = here.checkpoints()
    numbered = {name: _split_number(name) for name in names}
    by_age = sorted(names, key=lambda each: (_time_of(here, each), numbered[each][1]))
    named = ""
    with suppress(FormatError, OSError):
        named = last_part(read_state(here.path(STATE_FILE)).model_checkpoint_path)
    stem = _split_number(named if named or not by_age else by_age[-1])[0]
    alike = [name for name in names if numbered[name][0] == stem]
    alike.sort(key=lambda each: numbered[each][1], reverse=True)
    for name in dict.fromkeys([*alike, *reversed(by_age)]):
        if not whole or is_whole(here.path(name)):
            return here.path(name)
    return None


def repair_state(folder: Path) -> CheckpointState:
    """Write the state file of a folder anew and return what it says.

    A state file that can be read keeps its order and times, and loses the checkpoints that are gone
    or not whole: that lack files, or whose files do not fit. Paths that lead elsewhere become those
    of the checkpoints of that name in the folder. If none of them is left, or there is no state
    file, it lists the whole checkpoints that have the name of the newest but for the number, in the
    order of their numbers; the newest of several names is the one that was written last.

    Raises `FileNotFoundError` if the folder has no whole checkpoint. Reads indexes, and no tensor.
    """
    name = local_folder(folder)
    state = rebuild_state(Survey.of(name), is_whole)
    if state is None:
        raise FileNotFoundError(2, "no whole checkpoint in that folder", name)
    write_state(os.path.join(name, STATE_FILE), state)
    return state


def rebuild_state(here: Survey, is_whole: Callable[[str], bool]) -> CheckpointState | None:
    """Return what `repair_state` writes, None if there is no whole checkpoint. `is_whole` is asked
    for paths of checkpoints that are there."""
    kept = _keep_what_is_whole(here, is_whole) if here.has_state else None
    if kept is not None:
        return kept
    names = here.checkpoints()
    numbered = {name: _split_number(name) for name in names}
    by_age = sorted(names, key=lambda each: (_time_of(here, each), numbered[each][1]))
    newest = next((each for each in reversed(by_age) if is_whole(here.path(each))), None)
    if newest is None:
        return None
    alike = [name for name in names if numbered[name][0] == numbered[newest][0]]
    whole = [name for name in alike if name == newest or is_whole(here.path(name))]
    paths = [_spell(name) for name in sorted(whole, key=lambda each: numbered[each])]
    return CheckpointState(paths[-1], list(paths))


def list_checkpoints(here: Survey) -> list[str]:
    """Return the names of the checkpoints in a folder, sorted: V2 prefixes, V1 files, patterns of
    V1 shards."""
    return sorted(here.indexed | here.v1.keys())


def is_whole(path: str) -> bool:
    """Whether all files of a checkpoint are there and fit each other. Reads its index, or the lists
    of a V1 checkpoint, and no tensor."""
    try:
        if os.path.isfile(index_path(path)):
            locate = partial(_shard_of, path)
            with closing(Remains(index_path(path), locate)) as remains:
                return next(find_faults(remains, verify=False), None) is None
        found = find_v1(path)
        if found is None:
            return False
        V1Checkpoint(found).close()
        return True
    except (CheckpointError, OSError):
        return False


def _shard_of(prefix: str, number: int, count: int | None) -> str:
    return shard_path(prefix, number, count or 1)


def _keep_what_is_whole(here: Survey, is_whole: Callable[[str], bool]) -> CheckpointState | None:
    """Return what the state file says without what is gone or broken, None if nothing is left."""
    try:
        state = read_state(here.path(STATE_FILE))
    except (FormatError, OSError):
        return None
    times = state.all_model_checkpoint_timestamps
    listed = state.all_model_checkpoint_paths or (state.model_checkpoint_path,)
    has_times = len(times) == len(state.all_model_checkpoint_paths) and bool(times)
    latest = state.model_checkpoint_path
    found = {path: _find_path(here.head, path, is_whole) for path in {*listed, latest}}
    kept = [(found[path], i) for i, path in enumerate(listed) if found[path]]
    latest = found[latest] or (kept[-1][0] if kept else "")
    if not latest:
        return None
    return replace(
        state,
        model_checkpoint_path=latest,
        all_model_checkpoint_paths=[path for path, _ in kept] or [latest],
        all_model_checkpoint_timestamps=[times[i] for _, i in kept] if has_times else [],
    )


def _find_path(head: str, path: str, is_whole: Callable[[str], bool]) -> str:
    """Return a path as it should stand in a state file, "" if no whole checkpoint is there."""
    if path and is_whole(os.path.join(head, path)):
        return path
    base = last_part(path)
    return _spell(base) if path and is_whole(head + base) else ""


def _spell(name: str) -> str:
    """Return a name as a path that a state file can hold: the nameless prefix ``folder/`` too."""
    return name or "./"


def _split_number(name: str) -> tuple[str, int]:
    """Return a checkpoint's name without its number, and the number, -1 if it has none."""
    shards = parse_v1(name)
    match = _NUMBER.fullmatch(shards.prefix if shards and shards.shard is None else name)
    return (match["stem"], int(match["number"])) if match else (name, -1)


def _time_of(here: Survey, name: str) -> int:
    """Return when a checkpoint was written, in nanoseconds since 1970."""
    file = here.v1.get(name) or index_path(name)
    with suppress(OSError):
        return os.stat(here.path(file)).st_mtime_ns
    return 0
