"""Examination of a folder: its checkpoints, its state file, and what was left over."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final

from ..bundle.names import STATE_FILE
from ..errors import FormatError
from ..paths.lookup import is_there, meta_path
from ..paths.state import CheckpointState, encode_state, last_part, read_state
from ..storage.kind import find_kind
from ..text import name_some, quote
from .examine import examine_v1, examine_v2, report_renamed
from .findings import Notes, command
from .saves import report_conversion, report_leftovers, report_temporary
from .state import is_whole, rebuild_state
from .survey import Survey, subfolders_with_checkpoints

__all__ = ["examine_folder", "report_strangers"]

_OTHERS: Final = 20  # files that are sniffed where there is no checkpoint
_LISTED: Final = 20


def examine_folder(notes: Notes, here: Survey) -> None:
    """Examine all that a folder has."""
    graphs_of_v1 = {meta_path(name)[: -len(".meta")] for name in here.v1}
    prefixes = here.indexed | (here.partial - graphs_of_v1)
    if here.is_saved_model:
        _examine_saved_model(notes, here)
    for name in sorted(prefixes):
        examine_v2(notes, here, name)
    for name in sorted(here.v1):
        examine_v1(notes, here.path(name))
    report_renamed(notes, here, here.renamed)
    for owner in here.staged_owners():
        if owner not in prefixes:
            examine_v2(notes, here, owner)
            report_leftovers(notes, here, owner)
    for name in here.staged_folders:
        report_conversion(notes, here, name)
    report_temporary(notes, here)
    if here.has_state:
        _examine_state(notes, here)
    elif not here.is_saved_model:
        _report_no_state(notes, here)
    if not notes.checkpoints and not notes.has_errors():
        _report_no_checkpoint(notes, here)


def _examine_saved_model(notes: Notes, here: Survey) -> None:
    variables = here.path("variables")
    inside = Survey.of(variables) if os.path.isdir(variables) else None
    if inside is not None and "variables" in inside.indexed | inside.partial:
        examine_v2(notes, inside, "variables")
        return
    notes.add(
        "error",
        "a SavedModel without its variables",
        here.folder,
        "saved_model.pb is the graph. The weights are in the folder `variables` beside it, which "
        "is not there or has no checkpoint in it.",
        f"copy the folder {quote(variables)} from where the graph is from",
    )


# ---- The state file


def _examine_state(notes: Notes, here: Survey) -> None:
    path = here.path(STATE_FILE)
    try:
        state = read_state(path)
    except FormatError as error:
        kind = find_kind(path)
        if kind is not None:
            notes.add_kind(kind, path)
        _report_state(notes, here, f"damaged state file: {error.problem}", "It cannot be read.")
        return
    except OSError as error:
        notes.add_os_error(error, path)
        return
    _check_state(notes, here, state)


def _check_state(notes: Notes, here: Survey, state: CheckpointState) -> None:
    latest = state.model_checkpoint_path
    if not latest:
        _report_state(notes, here, "the state file names no checkpoint", "It has no latest one.")
        return
    target = os.path.join(here.head, latest)
    base = last_part(latest)
    why = f"It says that the latest checkpoint is {quote(latest)}"
    if not is_there(target):
        moved = base in here.indexed or base in here.v1
        what = "leads to where the folder was" if moved else "names a checkpoint that is gone"
        why += ", which is not there. "
        why += (
            "The one of that name is in this folder: it was moved. fastckpt takes that one, "
            "TensorFlow finds none."
            if moved
            else "It was removed, not copied, or lies somewhere else."
        )
        _report_state(notes, here, f"the state file {what}", why, is_error=not moved)
        return
    if not _is_same_folder(os.path.dirname(target), here.head):
        why += ", which is in another folder. Whoever opens this folder gets that one."
        _report_state(notes, here, "the state file points elsewhere", why, is_error=False)
        return
    if not _is_whole(notes, target):
        why += ", which is broken. An older one may be whole."
        _report_state(notes, here, "the state file names a broken checkpoint", why)
        return
    gone = [
        each
        for each in state.all_model_checkpoint_paths
        if not is_there(os.path.join(here.head, each))
    ]
    if gone:
        why = f"Of the older checkpoints that it lists, {name_some(gone)} are not there."
        what = f"the state file lists {len(gone)} that are gone"
        _report_state(notes, here, what, why, is_error=False)


def _is_same_folder(one: str, other: str) -> bool:
    return os.path.realpath(one or os.curdir) == os.path.realpath(other or os.curdir)


def _is_whole(notes: Notes, path: str) -> bool:
    """Return whether a checkpoint is whole; one that was examined is not read again."""
    found = notes.checkpoints.get(path)
    return found.is_whole if found is not None else is_whole(path)


def _rebuild(notes: Notes, here: Survey) -> CheckpointState | None:
    return rebuild_state(here, lambda path: _is_whole(notes, path))


def _report_state(
    notes: Notes, here: Survey, what: str, why: str, *, is_error: bool = True
) -> None:
    """Report a wrong state file, and how it would be right."""
    repaired = _rebuild(notes, here)
    todo = "remove it, or copy the checkpoints that it names"
    if repaired is not None:
        shown = replace(repaired, all_model_checkpoint_timestamps=[], last_preserved_timestamp=0.0)
        text = encode_state(shown).decode("utf-8", "surrogateescape")
        repair = command("state", here.folder, "--repair")
        todo = f"{repair}  # which writes:\n{text}".rstrip("\n")
    notes.add("error" if is_error else "warning", what, here.path(STATE_FILE), why, todo)


def _report_no_state(notes: Notes, here: Survey) -> None:
    names = here.checkpoints()
    if not names:
        return
    state = _rebuild(notes, here)
    newest = here.path(state.model_checkpoint_path if state else names[-1])
    if len(names) == 1:
        notes.add(
            "note",
            "no state file",
            here.folder,
            "Only a folder with a file `checkpoint` can be passed for its latest checkpoint.",
            f"pass the prefix: {quote(newest)}",
        )
        return
    repair = command("state", here.folder, "--repair")
    notes.add(
        "warning",
        f"{len(names)} checkpoints, and no state file that says which is the latest",
        here.folder,
        f"There are {name_some(names)}. By its number, or else by its time, the latest is "
        f"{quote(os.path.basename(newest))}.",
        f"pass a prefix: {quote(newest)}\n{repair}  # writes a state file",
    )


# ---- No checkpoint at all


def _report_no_checkpoint(notes: Notes, here: Survey) -> None:
    report_strangers(notes, here, here.others)
    inside = list(subfolders_with_checkpoints(here))
    names = here.others + here.folders
    left = [*here.staged_owners(), *here.staged_folders, *here.temporary, *here.temp_folders]
    is_empty = not names and not left
    why = "It is empty." if is_empty else f"It has {name_some(names)}." if names else ""
    notes.add(
        "error",
        "an empty folder" if is_empty else "no checkpoint in this folder",
        here.folder,
        why or "It has only what was left over.",
        "\n".join(f"pass {quote(path)}" for path in inside[:_LISTED])
        or "pass the folder or the prefix that training saved to",
    )


def report_strangers(notes: Notes, here: Survey, names: list[str]) -> None:
    """Report files that are of another format, where their first bytes tell."""
    for name in names[:_OTHERS]:
        path = here.path(name)
        try:
            kind = find_kind(path)
        except OSError as error:
            notes.add_os_error(error, path)
            continue
        if kind is not None:
            notes.add_kind(kind, path, "note")
