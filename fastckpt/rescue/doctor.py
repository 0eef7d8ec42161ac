"""`doctor`: explain what is at a path, and what to do about it."""

from __future__ import annotations

import os
from typing import Final

from ..bundle.names import STATE_FILE, index_path, strip_suffix
from ..errors import suggest
from ..format.magic import guess_format, recognise
from ..storage.kind import read_head
from ..storage.urls import local_path
from ..text import name_some, quote
from ..v1.names import parse_v1
from .examine import examine_v1, examine_v2, report_renamed
from .findings import Diagnosis, Finding, Notes
from .folder import examine_folder, report_strangers
from .survey import Survey

__all__ = ["Diagnosis", "Finding", "doctor"]

_LISTED: Final = 3  # near misses


def doctor(path: str | os.PathLike[str], *, verify: bool = False) -> Diagnosis:
    """Explain what is at a path, file or folder: what is whole, what is wrong and why, and what to
    do.

    Reads indexes, and the first 4 KiB of other files, and compares sizes. With `verify` every byte
    of every checkpoint is read, which finds damaged tensors. Never raises for what it finds: a path
    that cannot be opened is a finding as well.
    """
    name = os.fsdecode(path)
    notes = Notes(verify)
    try:
        name = local_path(name)
        _examine(notes, name)
        if not (notes.checkpoints or notes.findings):
            _report_nothing(notes, name)
    except OSError as error:
        notes.add_os_error(error, name)
    except ValueError as error:  # an empty path, a URL, a null character
        notes.add("error", str(error), name, "No local file has such a name.", "pass another path")
    return Diagnosis(name, tuple(notes.checkpoints.values()), tuple(notes.sorted()), verify)


def _examine(notes: Notes, path: str) -> None:
    """Examine a path, in the order in which `read` tries what it may mean."""
    if os.path.isfile(index_path(path)):
        examine_v2(notes, *_place(path))
    elif os.path.isdir(path):
        examine_folder(notes, Survey.of(path))
    elif os.path.lexists(path):
        os.stat(path)  # raises for a link to nothing
        _examine_file(notes, path)
    else:
        _examine_prefix(notes, path)


def _place(path: str) -> tuple[Survey, str]:
    """Return the folder of a path, and its name in there. Raises `OSError`."""
    base = os.path.basename(path)
    return Survey(path[: len(path) - len(base)]), base


def _examine_prefix(notes: Notes, path: str) -> None:
    """Examine a path that is no file: a prefix whose index is missing, a pattern, a mistake."""
    here = Survey.around(path)
    base = os.path.basename(path)
    if here is None:
        _report_nothing(notes, path)
        return
    for name in dict.fromkeys((base, strip_suffix(base))):
        if name is None:
            continue
        if name in here.partial or here.data_files(name) or _is_staged(here, name):
            examine_v2(notes, here, name)
            return
        if os.path.lexists(index_path(here.path(name))):
            _say_what_to_pass(notes, path, here.path(name))
            examine_v2(notes, here, name)
            return
    pattern = _find_v1_pattern(here, base)
    if pattern is not None:
        examine_v1(notes, pattern)
        return
    _report_nothing(notes, path)


def _is_staged(here: Survey, name: str) -> bool:
    return any(strip_suffix(each.final) == name for each in here.staged(name))


def _find_v1_pattern(here: Survey, base: str) -> str | None:
    """Return the pattern of the V1 shards that a name stands for, if there are any."""
    asked = parse_v1(base)
    prefix, count = (asked.prefix, asked.num_shards) if asked else (base, None)
    for pattern in here.v1:
        found = parse_v1(pattern)
        if found is not None and found.prefix == prefix and count in (None, found.num_shards):
            return here.path(pattern)
    return None


def _examine_file(notes: Notes, path: str) -> None:
    here, base = _place(path)
    if base == STATE_FILE:
        examine_folder(notes, here)
        return
    prefix = strip_suffix(base)
    renamed = here.renamed.get(base)
    if renamed is not None:
        report_renamed(notes, here, {base: renamed})
    elif prefix is not None:
        _say_what_to_pass(notes, path, here.path(prefix))
        examine_v2(notes, here, prefix)
    else:
        _examine_unknown(notes, here, base)


def _examine_unknown(notes: Notes, here: Survey, base: str) -> None:
    """Examine a file whose name says nothing, by its first bytes."""
    path = here.path(base)
    head, size = read_head(path)
    kind = recognise(head, size, base)
    if kind is not None:
        notes.add_kind(kind, path)
    elif guess_format(head) == "V1":
        examine_v1(notes, (_find_v1_pattern(here, base) if parse_v1(base) else None) or path)
    elif guess_format(head) == "V2":
        _report_v2_without_suffix(notes, path)
    else:
        _report_unknown(notes, path, size)
    if notes.findings and not notes.checkpoints:
        _add_near_misses(notes, here, base)


def _say_what_to_pass(notes: Notes, path: str, prefix: str) -> None:
    notes.add(
        "note",
        "this is one file of a checkpoint",
        path,
        "A checkpoint is several files, known by what their names have in common. fastckpt takes "
        "any of them; TensorFlow takes only the prefix, and lists nothing for an .index.",
        f"pass the prefix: {quote(prefix)}",
    )


def _report_v2_without_suffix(notes: Notes, path: str) -> None:
    notes.add(
        "error",
        "the index of a V2 checkpoint, without its suffix",
        path,
        "It looks like a V1 checkpoint, which is one file, but it only lists the tensors, which "
        "are in data files.",
        f"mv {quote(path)} {quote(index_path(path))}  # then pass {quote(path)}",
    )


def _report_unknown(notes: Notes, path: str, size: int) -> None:
    notes.add(
        "error",
        "not a checkpoint",
        path,
        f"Its first bytes are those of no known format ({size} bytes). A V1 checkpoint begins with "
        "a list of its tensors; a V2 checkpoint has an .index.",
        "pass a prefix, an .index file, or a folder with a state file",
    )


def _report_nothing(notes: Notes, path: str) -> None:
    """Report that nothing is there, and the closest names."""
    folder, base = os.path.split(path)
    if folder and not os.path.isdir(folder):
        above = folder
        while above and not os.path.isdir(above) and os.path.dirname(above) != above:
            above = os.path.dirname(above)
        notes.add(
            "error",
            "there is no such folder",
            folder,
            f"The last folder on that path that exists is {quote(above or os.curdir)}.",
            f"ls {quote(above or os.curdir)}",
        )
        return
    notes.add(
        "error",
        "there is nothing of that name",
        path,
        f"Neither a file, nor {os.path.basename(index_path(path))!r}, nor any other file of a "
        "checkpoint with that prefix.",
        f"ls {quote(folder or os.curdir)}",
    )
    _add_near_misses(notes, *_place(path))


def _add_near_misses(notes: Notes, here: Survey, base: str) -> None:
    """Name the checkpoints beside a path that is none."""
    renamed = {new: old for new, old in here.renamed.items() if old.startswith(base)}
    if renamed:
        report_renamed(notes, here, renamed)
    report_strangers(notes, here, [n for n in here.others if n.startswith(base + ".")])
    names = here.checkpoints()
    close = suggest(base, names, limit=_LISTED) or names[:_LISTED]
    if close:
        notes.add(
            "note",
            "there are checkpoints beside it",
            here.folder,
            f"{name_some(list(close))}{'' if len(close) == len(names) else ', among others'}.",
            "\n".join(f"pass {quote(here.path(each))}" for each in close),
        )
