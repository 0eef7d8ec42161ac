"""What brings a folder in order: an interrupted save completed or discarded, a new state file.

A save stages its files as ``<name>.tmp-<token>``, moves the old index to ``.old-<token>``, renames
the data files and then the index (`storage.Stage`). Wherever that was interrupted, the staged index
and the data files, each staged still or renamed already, are the new checkpoint, if every checksum
says so. To complete it they are staged anew as links and committed as any save is, so that a second
interruption loses nothing, either.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from ..bundle.names import STATE_FILE, index_path, list_files, shard_path
from ..bundle.partial import Remains, check_entry
from ..bundle.verify import find_problems
from ..bundle.writer import find_obsolete
from ..errors import CheckpointError, FormatError
from ..format import textproto
from ..paths.lookup import checkpoint_exists, list_shards
from ..paths.state import _FIELDS, CheckpointState, read_state, write_state
from ..storage.local import File, sync_path
from ..storage.locks import exclusive, leftovers
from ..storage.stage import Stage
from ..storage.staged import aside_path, split_staged, staged_path
from ..v1.names import parse_v1
from .complete_v1 import complete_v1, discard_v1
from .survey import survey

__all__ = [
    "Interrupted",
    "complete",
    "discard",
    "find_interrupted",
    "rebuild_state",
    "repair_state",
    "spell_state",
]

Path = str | os.PathLike[str]

_NUMBER: Final = re.compile(r"(?P<stem>.*?)-?(?P<number>\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What a dead writer left of a save to `prefix`.

    `files` are those that are named with its token. `problem` says why the save cannot be
    completed, None if it can. `has_old_index` is whether the index that it was to replace is still
    aside. `saved` is when its index was staged, in nanoseconds since 1970.
    """

    prefix: str
    token: str
    files: tuple[str, ...]
    problem: CheckpointError | OSError | None
    has_old_index: bool
    saved: int


def find_interrupted(prefix: Path, *, verify: bool = True) -> list[Interrupted]:
    """Return the interrupted saves to a prefix, the latest last. Saves that go on are none.

    With `verify` every byte of their data is read; without it only sizes are compared.
    """
    name = os.fsdecode(prefix)
    tokens: dict[str, list[str]] = {}
    for path in leftovers(list_files(name)[1]):
        parts = split_staged(path)
        if parts is not None:
            tokens.setdefault(parts[1], []).append(path)
    found = [_look_at(name, token, files, verify) for token, files in tokens.items()]
    return sorted(found, key=lambda each: each.saved)


def _look_at(prefix: str, token: str, files: list[str], verify: bool) -> Interrupted:
    index = staged_path(index_path(prefix), token)
    problem: CheckpointError | OSError | None
    saved = 0
    try:
        saved = os.stat(index).st_mtime_ns
        with closing(_open_staged(prefix, token)) as remains:
            problem = next(_find_faults(remains, verify), None)
    except (CheckpointError, OSError) as error:
        problem = error.with_traceback(None)  # whose frames would keep files open
    has_old = aside_path(index_path(prefix), token) in files
    return Interrupted(prefix, token, tuple(files), problem, has_old, saved)


def _open_staged(prefix: str, token: str) -> Remains:
    """Open the checkpoint that a save was about to make. Data files count whether they were
    renamed already or not: whose they are is for the checksums to say."""

    def find(number: int, count: int | None) -> str:
        final = shard_path(prefix, number, count or 1)
        staged = staged_path(final, token)
        return staged if os.path.lexists(staged) else final

    return Remains(staged_path(index_path(prefix), token), find)


def _find_faults(remains: Remains, verify: bool) -> Iterator[CheckpointError | OSError]:
    """Yield what keeps the remains from being a checkpoint."""
    yield from remains.problems
    for number in range(remains.num_shards or 0):
        remains._shard_file(number, "data file")
    if verify:
        yield from find_problems(remains)
        return
    for name in remains.names:
        try:
            check_entry(remains, name, remains._entry(name))
        except (CheckpointError, OSError) as error:
            yield error


def complete(prefix: Path) -> bool:
    """Finish the latest interrupted save to a prefix; return False if there is none.

    Reads and verifies all of its data first. Commits as a save does, and then removes what it
    replaces and what dead writers left. Raises what keeps it from being completed: `FormatError`
    or `ChecksumError` for data that is not all there, `FileNotFoundError` for a file; and
    `ValueError` if a later save to that prefix was completed already. The prefix may be a V1
    checkpoint's: its path, or its shards' prefix or pattern.
    """
    name = os.fsdecode(prefix)
    found = [each for each in find_interrupted(name, verify=False) if each.saved]
    if not found:
        return complete_v1(name)
    whole = [each for each in found if each.problem is None]
    if not whole:
        assert found[-1].problem is not None
        raise found[-1].problem
    latest = whole[-1]
    index = index_path(name)
    if os.path.exists(index) and os.stat(index).st_mtime_ns > latest.saved:
        raise ValueError(
            f"{index}: expected an index from before the interrupted save, got a later one: "
            "discard the interrupted save"
        )
    _commit_again(name, latest.token)
    return True


def _commit_again(prefix: str, token: str) -> None:
    """Commit what was staged, from links to the very files that are verified here."""
    with closing(File(staged_path(index_path(prefix), token))) as index:
        content = index.read(0, index.size, "index")
    with closing(_open_staged(prefix, token)) as remains:
        for fault in _find_faults(remains, True):
            raise fault
        count = remains.num_shards or 0
        files = [remains._shard_file(number, "data file") for number in range(count)]
        with Stage(index_path(prefix), sync=True) as stage:
            for number, file in enumerate(files):
                sync_path(file.path)  # its writer may have died before it did
                stage.link(file.path, shard_path(prefix, number, count))
            for file in files:
                if not file.is_current():
                    problem = "expected the file that was verified, got one that was saved since"
                    raise CheckpointError(file.path, "data file", problem)
            stage.commit_file.append(content)
            stage.commit(partial(find_obsolete, prefix))


def discard(prefix: Path) -> bool:
    """Remove what interrupted saves to a prefix left; return False if there is nothing.

    An index that was moved aside comes back if the old checkpoint is still whole, which takes
    reading all of it. Where it is not, because the new data files are in place already, and the
    new checkpoint is whole, `ValueError` is raised: there is nothing left to go back to, and
    `complete` saves it.
    """
    name = os.fsdecode(prefix)
    folder = os.path.dirname(name) or os.curdir
    if not os.path.isdir(folder):
        return False
    was_v1 = discard_v1(name)
    with exclusive(folder):  # nobody's commit is going on
        found = find_interrupted(name, verify=not os.path.exists(index_path(name)))
        if found and not os.path.exists(index_path(name)):
            _bring_back(name, found)
        for each in found:
            for path in each.files:
                with suppress(FileNotFoundError):  # brought back
                    os.unlink(path)
        sync_path(folder)
    return was_v1 or bool(found)


def _bring_back(prefix: str, found: list[Interrupted]) -> None:
    """Put the latest old index that still fits its data files in its place, if there is one."""
    asides = [aside_path(index_path(prefix), e.token) for e in found if e.has_old_index]
    for aside in reversed(asides):
        if _is_whole(prefix, aside):
            os.replace(aside, index_path(prefix))
            return
    if asides and any(each.problem is None for each in found):
        raise ValueError(
            f"{prefix}: the old checkpoint is no longer whole, and the interrupted save is: "
            "complete it, discarding it would lose both"
        )


def _is_whole(prefix: str, index: str) -> bool:
    """Whether an index, wherever it stands, fits the data files of a prefix."""
    try:
        with closing(Remains(index, partial(_shard_of, prefix))) as remains:
            fault = next(_find_faults(remains, True), None)
    except (CheckpointError, FileNotFoundError):
        return False
    if isinstance(fault, OSError) and not isinstance(fault, FileNotFoundError):
        raise fault  # a disk that fails now may not fail again
    return fault is None


def _shard_of(prefix: str, number: int, count: int | None) -> str:
    return shard_path(prefix, number, count or 1)


# ---- State files


def repair_state(folder: Path) -> CheckpointState:
    """Write a folder's state file anew, as `rebuild_state` has it, and return it.

    Raises `FileNotFoundError` if there is no checkpoint in the folder.
    """
    name = os.fsdecode(folder)
    state = rebuild_state(name)
    if state is None:
        raise FileNotFoundError(2, "no checkpoint in that folder", name)
    write_state(os.path.join(name, STATE_FILE), state)
    return state


def rebuild_state(folder: Path) -> CheckpointState | None:
    """Return what a folder's state file should say, None if there is no checkpoint in the folder.

    A file that can be read keeps its order and its times, and loses what is gone; paths that led
    elsewhere become those of the checkpoints of that name beside it. If none of them is left, or
    there is no file, it lists the checkpoints of the folder that have the same name but for the
    number as the newest. Those are in the order of their numbers; the newest of several names is
    the one that was written last.
    """
    name = os.fsdecode(folder)
    with suppress(FormatError, OSError):
        kept = _keep_what_exists(name, read_state(os.path.join(name, STATE_FILE)))
        if kept is not None:
            return kept
    found = list_checkpoints(name)
    if not found:
        return None
    newest = max(found, key=lambda each: (_when(name, each), _split_number(each)[1]))
    stem = _split_number(newest)[0]
    alike = sorted(filter(lambda each: _split_number(each)[0] == stem, found), key=_split_number)
    return CheckpointState(alike[-1], tuple(alike))


def list_checkpoints(folder: str) -> list[str]:
    """Return the names of the checkpoints in a folder: V2 prefixes, V1 files, patterns of V1
    shards."""
    here = survey(folder)
    return sorted({*here.indexed, *here.v1})


def spell_state(state: CheckpointState) -> str:
    """Return the text of a state file, times left out."""
    values = {
        "model_checkpoint_path": [state.model_checkpoint_path],
        "all_model_checkpoint_paths": list(state.all_model_checkpoint_paths),
        "all_model_checkpoint_timestamps": [],
        "last_preserved_timestamp": [],
    }
    return textproto.encode(_FIELDS, values).decode("utf-8", "surrogateescape")


def _keep_what_exists(folder: str, state: CheckpointState) -> CheckpointState | None:
    """Return a state without what is gone, None if nothing is left."""
    times = state.all_model_checkpoint_timestamps
    paths = state.all_model_checkpoint_paths or (state.model_checkpoint_path,)
    has_times = len(times) == len(state.all_model_checkpoint_paths) and bool(times)
    found = [(_find_path(folder, each), i) for i, each in enumerate(paths)]
    kept = [(path, i) for path, i in found if path]
    latest = _find_path(folder, state.model_checkpoint_path) or (kept[-1][0] if kept else "")
    if not latest:
        return None
    return replace(
        state,
        model_checkpoint_path=latest,
        all_model_checkpoint_paths=tuple(path for path, _ in kept) or (latest,),
        all_model_checkpoint_timestamps=tuple(times[i] for _, i in kept) if has_times else (),
    )


def _find_path(folder: str, path: str) -> str:
    """Return a path as it should stand in a state file, "" for one that leads to nothing."""
    if not path:
        return ""
    if checkpoint_exists(os.path.join(folder, path)):
        return path
    base = os.path.basename(path)
    return base if base and checkpoint_exists(os.path.join(folder, base)) else ""


def _split_number(name: str) -> tuple[str, int]:
    """Return a checkpoint's name without its number, and the number, -1 if it has none."""
    shards = parse_v1(name)
    match = _NUMBER.fullmatch(shards.prefix if shards and shards.shard is None else name)
    return (match["stem"], int(match["number"])) if match else (name, -1)


def _when(folder: str, name: str) -> int:
    """Return when a checkpoint was written, in nanoseconds since 1970."""
    path = os.path.join(folder, name)
    for each in (index_path(path), path):
        if os.path.exists(each):
            return os.stat(each).st_mtime_ns
    shards = parse_v1(path)
    found = list_shards(shards.prefix, shards.num_shards) if shards else []
    return max((os.stat(each).st_mtime_ns for each in found), default=0)
