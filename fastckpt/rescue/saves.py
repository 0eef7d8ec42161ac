"""Findings about saves that did not end: of fastckpt, of its conversions, and of TensorFlow."""

from __future__ import annotations

import os
from typing import Final

from ..bundle.names import index_path, strip_suffix
from ..storage.folder import find_replaced, is_abandoned
from ..storage.locks import leftovers
from ..storage.staged import split_staged
from ..text import name_some, quote
from .complete import Interrupted, find_interrupted
from .findings import Notes, Severity, command
from .parts import Parts, look_into
from .survey import Survey, temp_folder_prefix

__all__ = ["report_conversion", "report_leftovers", "report_saves", "report_temporary"]

_LISTED: Final = 20


def report_saves(notes: Notes, here: Survey, base: str) -> bool:
    """Report unfinished saves to a V2 prefix, which is `base` in the folder `here`; return whether
    they explain a missing index."""
    mine = [each for each in here.staged(base) if strip_suffix(each.final) == base]
    if not mine:
        return False
    staged = [here.path(each.name) for each in mine]
    living = set(staged).difference(leftovers(staged))
    if living:
        notes.add(
            "note",
            "a process is saving here now",
            here.path(base),
            f"{name_some(sorted(map(os.path.basename, living)))}: staged and locked by a writer "
            "that is alive. The old checkpoint stays until it is done; for a moment there is none.",
        )
    found = [
        each for each in find_interrupted(here.path(base), here) if each.path == here.path(base)
    ]
    for each in found:
        _report_interrupted(notes, each)
    return bool(living or found)


def _report_interrupted(notes: Notes, save: Interrupted) -> None:
    has_old = os.path.lexists(save.layout.commit_path)
    complete = command("complete", save.path)
    discard = command("discard", save.path)
    why = f"A writer died and left {name_some([os.path.basename(path) for path in save.files])}. "
    severity: Severity = "warning" if has_old else "error"
    if save.find_problem(verify=notes.is_verifying) is None:
        why += "All of its files are there"
        why += ". " if notes.is_verifying else ", going by their sizes. "
        why += (
            "The checkpoint from before is in place."
            if has_old
            else "Until then there is no checkpoint of this name."
        )
        todo = f"{complete}  # to have the new one; it is verified first\n"
        todo += f"{discard}  # to throw it away"
        notes.add(severity, "an interrupted save, which can be completed", save.path, why, todo)
        return
    why += "The checkpoint is in place without them." if has_old else "It is not complete."
    if save.aside is not None and not has_old:
        why += " The old checkpoint comes back if its data is still whole."
    todo = f"{discard}  # the next save to this name does it as well"
    notes.add(severity, "leftovers of an interrupted save", save.path, why, todo)


def report_leftovers(notes: Notes, here: Survey, owner: str) -> None:
    """Report what dead writers staged for a name that is no V2 prefix: a V1 checkpoint, or any
    other file."""
    told: set[str] = set()
    for save in find_interrupted(here.path(owner), here):
        if _is_v1_save(save):
            _report_interrupted(notes, save)
            told.update(save.files)
    by_final: dict[str, list[str]] = {}
    for path in leftovers([here.path(each.name) for each in here.staged(owner)]):
        if path not in told:
            final = (split_staged(os.path.basename(path)) or (path,))[0]
            by_final.setdefault(final, []).append(path)
    for final, paths in by_final.items():
        notes.add(
            "warning",
            f"leftover of a dead writer: {name_some([os.path.basename(path) for path in paths])}",
            paths[0],
            f"Staged to become {final!r}, which never happened. No reader takes it for that.",
            "rm " + " ".join(quote(path) for path in paths[:_LISTED]),
        )


def _is_v1_save(save: Interrupted) -> bool:
    """Return whether staged files are a save of V1: some of several shards, or one whole file."""
    if save.layout.commit_path != save.path:
        return bool(save.saved) or save.aside is not None
    return bool(save.saved) and save.find_problem(verify=False) is None


def report_conversion(notes: Notes, here: Survey, name: str) -> None:
    """Report a staging folder that a killed conversion left."""
    path = here.path(name)
    parts = split_staged(path)
    if parts is None or not is_abandoned(path):
        return
    replaced = find_replaced(path, parts[0])
    if replaced is None:
        why = "It was killed. Its target is as it was before."
        todo = f"rm -r {quote(path)}  # the next conversion to that target does it as well"
    else:
        why = "It was killed while it replaced its target, which is in there, and whole."
        todo = f"mv {quote(replaced)} {quote(parts[0])} && rm -r {quote(path)}"
        todo += "\nor convert again: the old one comes back first, and is then replaced"
    what = f"leftover of a conversion to {os.path.basename(parts[0])!r}"
    notes.add("warning" if replaced is None else "error", what, path, why, todo)


# ---- TensorFlow's


def report_temporary(notes: Notes, here: Survey) -> None:
    """Report temporary files and folders of TensorFlow."""
    if here.temporary:
        paths = [here.path(name) for name in here.temporary]
        notes.add(
            "warning",
            f"temporary files of TensorFlow: {name_some(here.temporary)}",
            paths[0],
            "TensorFlow writes under such a name and then renames. Either it is saving now, or it "
            "was killed. They are not complete, and of no use.",
            "rm " + " ".join(map(quote, paths[:_LISTED])) + "  # if no process is saving there",
        )
    for name in here.temp_folders:
        _report_temp_folder(notes, here.path(name))


def _report_temp_folder(notes: Notes, folder: str) -> None:
    parts = look_into(folder)
    prefix = temp_folder_prefix(folder) or folder
    remove = f"rm -r {quote(folder)}  # if no process is saving there"
    problem = parts.find_problem(verify=notes.is_verifying) if parts is not None else None
    if parts is not None and problem is None:
        _report_parts(notes, parts, remove)
        return
    why = f"TensorFlow writes the parts of {quote(prefix)} there and merges them. Either it is "
    why += "saving now, or it was killed: the parts are not all there, or not whole."
    if problem is not None:
        why += f" {problem}"
    notes.add("warning", "a temporary folder of TensorFlow", folder, why, remove)


def _report_parts(notes: Notes, parts: Parts, remove: str) -> None:
    """Report parts that are all there."""
    all_parts = f"{'The only part' if parts.count == 1 else f'All {parts.count} parts'}"
    why = f"{all_parts} of {quote(parts.prefix)} {'is' if parts.count == 1 else 'are'} there"
    why += ". " if notes.is_verifying else ", going by their indexes. "
    if not parts.is_latest():
        what = "parts of a TensorFlow save that was completed since"
        notes.add("warning", what, parts.folder, why + "The checkpoint is newer.", remove)
        return
    has_old = os.path.lexists(index_path(parts.prefix))
    notes.add(
        "warning" if has_old else "error",
        "a save of TensorFlow, interrupted before its parts were merged",
        parts.folder,
        why + ("The checkpoint from before is in place." if has_old else ""),
        f"{command('doctor', parts.prefix, '--complete')}  # merges them, if no process saves",
    )
