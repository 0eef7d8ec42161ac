"""A folder examined: its checkpoints, what its state file says of them, what was left over."""

from __future__ import annotations

import os
from typing import Final

from ..bundle.names import STATE_FILE, index_path, list_files, strip_suffix
from ..errors import FormatError
from ..paths.lookup import checkpoint_exists
from ..paths.state import CheckpointState, read_state
from ..storage.folder import find_replaced, is_abandoned
from ..storage.locks import leftovers
from ..storage.staged import split_staged
from ..v1.names import parse_v1
from .complete import rebuild_state, spell_state
from .complete_v1 import find_interrupted_v1
from .examine import examine_v1, examine_v2, report_renamed
from .findings import Notes, name_some, quote
from .survey import Survey, look_at, subfolders_with_checkpoints, survey, temp_folder_prefix

__all__ = ["examine_folder", "report_strangers"]

_OTHERS: Final = 20  # files that are looked into where there is no checkpoint
_LISTED: Final = 20


def examine_folder(notes: Notes, folder: str) -> None:
    """Look at all that a folder has."""
    here = survey(folder)
    if here.is_saved_model:
        _examine_saved_model(notes, folder)
    for name in sorted(here.indexed | here.partial):
        examine_v2(notes, os.path.join(folder, name))
    for name in sorted(here.v1):
        examine_v1(notes, os.path.join(folder, name))
    report_renamed(notes, folder, here.renamed)
    _report_staged_alone(notes, folder, here)
    for name in here.staged_folders:
        _report_staged_folder(notes, folder, name)
    _report_temporary(notes, folder, here)
    if here.has_state:
        _examine_state(notes, folder)
    elif not here.is_saved_model:
        _report_no_state(notes, folder, sorted(here.indexed | here.v1))
    if not notes.checkpoints and not any(each.severity == "error" for each in notes.findings):
        _report_no_checkpoint(notes, folder, here)


def _examine_saved_model(notes: Notes, folder: str) -> None:
    prefix = os.path.join(folder, "variables", "variables")
    if os.path.isfile(index_path(prefix)) or any(list_files(prefix)):
        examine_v2(notes, prefix)
        return
    notes.add(
        "error",
        "a SavedModel without its variables",
        folder,
        "saved_model.pb is the graph. The weights are in the folder `variables` beside it, which "
        "is not there or has no checkpoint in it.",
        f"copy the folder {quote(os.path.join(folder, 'variables'))} from where the graph is from",
    )


# ---- What was left over


def _report_staged_alone(notes: Notes, folder: str, here: Survey) -> None:
    """Say which staged files belong to no checkpoint that is there: those were told with it."""
    known = here.indexed | here.partial
    paths = [os.path.join(folder, name) for name in here.staged]
    alone: dict[str, list[str]] = {}
    for path in paths:
        parts = split_staged(os.path.basename(path))
        final = parts[0] if parts else ""
        alone.setdefault(strip_suffix(final) or final, []).append(path)
    for final, files in sorted(alone.items()):
        if final in known:
            continue
        if any(list_files(os.path.join(folder, final))):
            examine_v2(notes, os.path.join(folder, final))
        elif leftovers(files) and not _report_v1_shards(notes, os.path.join(folder, final)):
            names = name_some([os.path.basename(path) for path in files])
            notes.add(
                "warning",
                f"leftover of a dead writer: {names}",
                files[0],
                f"Staged to become {final!r}, which never happened. No reader takes it for that.",
                "rm " + " ".join(quote(path) for path in files[:_LISTED]),
            )


def _report_v1_shards(notes: Notes, path: str) -> bool:
    """Say that a save of V1 shards was interrupted, once for all of them; return whether one was
    that leaves no checkpoint there."""
    saves = find_interrupted_v1(path)
    if not saves or len(saves[-1].paths) == 1 or os.path.lexists(saves[-1].paths[-1]):
        return False
    if path == saves[-1].paths[-1]:
        names = name_some([os.path.basename(each) for each in saves[-1].files])
        notes.add(
            "error",
            "an interrupted save of a V1 checkpoint in shards",
            path,
            f"A writer died and left {names}. Until that is ended the last shard is missing.",
            ("" if saves[-1].find_problem() else f"fastckpt.complete({quote(path)})\n")
            + f"fastckpt.discard({quote(path)})  # brings the old one back, if there was one",
        )
    return True


def _report_staged_folder(notes: Notes, folder: str, name: str) -> None:
    """Say what a conversion left that was killed."""
    path = os.path.join(folder, name)
    parts = split_staged(path)
    if parts is None or not is_abandoned(path):
        return
    replaced = find_replaced(path, parts[0])
    if replaced is None:
        why = "It was killed. What stands at its target is what was there before."
        todo = f"rm -r {quote(path)}  # the next conversion to that target does it, too"
    else:
        why = "It was killed while it replaced its target, which is in there, and whole."
        todo = f"mv {quote(replaced)} {quote(parts[0])} && rm -r {quote(path)}"
        todo += "\nor convert again: the old one comes back first, and is then replaced"
    what = f"leftover of a conversion to {os.path.basename(parts[0])!r}"
    notes.add("warning" if replaced is None else "error", what, path, why, todo)


def _report_temporary(notes: Notes, folder: str, here: Survey) -> None:
    """Say what TensorFlow left."""
    if here.temporary:
        paths = [os.path.join(folder, name) for name in here.temporary]
        notes.add(
            "warning",
            f"temporary files of TensorFlow: {name_some(here.temporary)}",
            paths[0],
            "TensorFlow writes under such a name and then renames. Either it is saving now, or it "
            "was killed while it did. They are not complete, and of no use.",
            "if no process is saving there: rm " + " ".join(map(quote, paths[:_LISTED])),
        )
    for name in here.temp_folders:
        _report_temp_folder(notes, os.path.join(folder, name))


def _report_temp_folder(notes: Notes, path: str) -> None:
    inside = survey(path)
    prefix = os.path.join(os.path.dirname(path), temp_folder_prefix(os.path.basename(path)))
    parts = sorted(inside.indexed)
    numbers = [parse_v1(name) for name in parts]  # each part has the name of a V1 shard
    is_whole = bool(parts) and all(each and each.num_shards == len(parts) for each in numbers)
    remove = f"rm -r {quote(path)}"
    if is_whole and not os.path.lexists(index_path(prefix)):
        sources = ", ".join(quote(os.path.join(path, name)) for name in parts[:_LISTED])
        notes.add(
            "error",
            "a save of TensorFlow, interrupted before its parts were merged",
            path,
            f"All {len(parts)} parts of {quote(prefix)} are there, each a checkpoint of its own.",
            f"fastckpt.merge([{sources}], {quote(prefix)})\n{remove}",
        )
        return
    notes.add(
        "warning",
        "a temporary folder of TensorFlow",
        path,
        f"TensorFlow writes the parts of {quote(prefix)} there and merges them. Either it is "
        "saving now, or it was killed while it did; the parts that are there are not all.",
        f"if no process is saving there: {remove}",
    )


# ---- The state file


def _examine_state(notes: Notes, folder: str) -> None:
    path = os.path.join(folder, STATE_FILE)
    try:
        state = read_state(path)
    except FormatError as error:
        kind = look_at(path)
        if kind is not None:
            notes.add_kind(kind, path)
        _report_state(notes, folder, f"damaged state file: {error.problem}", "It cannot be read.")
        return
    except OSError as error:
        notes.add_os_error(error, path)
        return
    _check_state(notes, folder, state)


def _check_state(notes: Notes, folder: str, state: CheckpointState) -> None:
    latest = state.model_checkpoint_path
    if not latest:
        _report_state(notes, folder, "the state file names no checkpoint", "It has no latest one.")
        return
    target = os.path.join(folder, latest)
    beside = os.path.join(folder, os.path.basename(latest))
    why = f"It says that the latest checkpoint is {quote(latest)}"
    if not checkpoint_exists(target):
        moved = checkpoint_exists(beside) and bool(os.path.basename(latest))
        what = "leads to where the folder was" if moved else "names a checkpoint that is gone"
        why += ", which is not there. "
        why += (
            "The one of that name is in this folder: it was moved. fastckpt takes that one, "
            "TensorFlow finds none."
            if moved
            else "It was removed, not copied, or lies somewhere else."
        )
        _report_state(notes, folder, f"the state file {what}", why, is_error=not moved)
        return
    if not _is_same_folder(os.path.dirname(target), folder):
        why += ", which is in another folder. Whoever opens this folder gets that one."
        _report_state(notes, folder, "the state file points elsewhere", why, is_error=False)
        return
    gone = [
        each
        for each in state.all_model_checkpoint_paths
        if not checkpoint_exists(os.path.join(folder, each))
    ]
    if gone:
        why = f"Of the older ones that it lists, {name_some(gone)} are not there."
        what = f"the state file lists {len(gone)} that are gone"
        _report_state(notes, folder, what, why, is_error=False)


def _is_same_folder(one: str, other: str) -> bool:
    return os.path.realpath(one or os.curdir) == os.path.realpath(other or os.curdir)


def _report_state(notes: Notes, folder: str, what: str, why: str, *, is_error: bool = True) -> None:
    """Say what is wrong with a state file, and how it would be right."""
    repaired = rebuild_state(folder)
    todo = "remove it, or copy the checkpoints that it names"
    if repaired is not None:
        todo = f"fastckpt.repair_state({quote(folder)})  # which writes:\n{spell_state(repaired)}"
    path = os.path.join(folder, STATE_FILE)
    notes.add("error" if is_error else "warning", what, path, why, todo.rstrip("\n"))


def _report_no_state(notes: Notes, folder: str, names: list[str]) -> None:
    if not names:
        return
    state = rebuild_state(folder)
    newest = os.path.join(folder, state.model_checkpoint_path if state else names[0])
    if len(names) == 1:
        notes.add(
            "note",
            "no state file",
            folder,
            "Only a folder with a file `checkpoint` can be passed for its latest checkpoint.",
            f"pass the prefix: {quote(newest)}",
        )
        return
    notes.add(
        "warning",
        f"{len(names)} checkpoints, and no state file that says which is the latest",
        folder,
        f"There are {name_some(names)}. By its number, or else by its time, the latest is "
        f"{quote(os.path.basename(newest))}.",
        f"pass a prefix: {quote(newest)}\nor fastckpt.repair_state({quote(folder)})",
    )


# ---- No checkpoint at all


def _report_no_checkpoint(notes: Notes, folder: str, here: Survey) -> None:
    report_strangers(notes, folder, here.others)
    inside = list(subfolders_with_checkpoints(folder, here.folders))
    names = here.others + here.folders
    left = [*here.staged, *here.staged_folders, *here.temporary, *here.temp_folders]
    is_empty = not names and not left
    why = "It is empty." if is_empty else f"It has {name_some(names)}." if names else ""
    notes.add(
        "error",
        "an empty folder" if is_empty else "no checkpoint in this folder",
        folder,
        why or "It has only what was left over.",
        "\n".join(f"pass {quote(path)}" for path in inside[:_LISTED])
        or "pass the folder or the prefix that training saved to",
    )


def report_strangers(notes: Notes, folder: str, names: list[str]) -> None:
    """Say what files are that have nothing to do with a checkpoint, where that can be told."""
    for name in names[:_OTHERS]:
        path = os.path.join(folder, name)
        try:
            kind = look_at(path)
        except OSError as error:
            notes.add_os_error(error, path)
            continue
        if kind is not None:
            notes.add_kind(kind, path, "note")
