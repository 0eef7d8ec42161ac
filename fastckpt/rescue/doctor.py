"""`doctor`: what is at a path, and what to do about it.

Not called doctor.py: a module of that name would hide the function `fastckpt.doctor`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from difflib import get_close_matches
from typing import Final

from ..bundle.names import STATE_FILE, index_path, list_files, strip_suffix
from ..format.magic import guess_format, recognise, strip_download_suffix
from ..paths.lookup import list_shards
from ..v1.names import parse_v1
from .examine import examine_v1, examine_v2, report_renamed
from .findings import Diagnosis, Finding, Notes, name_some, quote
from .folder import examine_folder, report_strangers
from .survey import read_head, survey

__all__ = ["Diagnosis", "Finding", "doctor"]

_LISTED: Final = 3  # near misses


def doctor(path: str | os.PathLike[str], *, verify: bool = False) -> Diagnosis:
    """Explain what is at a path, file or folder, in words: what is whole, what is wrong and why,
    and what to type.

    Reads indexes, and the first 4 KiB of other files. With `verify` every byte of every checkpoint
    is read, too, so that damaged tensors are found; without it only their sizes are compared.
    Never raises for what it finds: a path that cannot be opened is a finding as well.
    """
    name = os.fsdecode(path)
    notes = Notes(verify)
    try:
        _examine(notes, name)
        if not (notes.checkpoints or notes.findings):
            _report_nothing(notes, name)
    except OSError as error:
        notes.add_os_error(error, name)
    except ValueError as error:  # a NUL in the path
        notes.add("error", str(error), name, "No file can have such a name.", "pass another path")
    return Diagnosis(name, tuple(notes.checkpoints), tuple(notes.sorted()), verify)


def _examine(notes: Notes, path: str) -> None:
    """Look at a path, in the order in which `read` tries what it may mean."""
    if os.path.isfile(index_path(path)):
        examine_v2(notes, path)
    elif os.path.isdir(path):
        examine_folder(notes, path)
    elif os.path.lexists(path):
        os.stat(path)  # raises for a link to nothing
        _examine_file(notes, path)
    else:
        _examine_prefix(notes, path)


def _examine_prefix(notes: Notes, path: str) -> None:
    """Look at what is no file: a prefix whose index is missing, a pattern, a mistake."""
    for prefix in filter(None, (path, strip_suffix(path))):
        if any(list_files(prefix)) or os.path.lexists(prefix + ".meta"):
            examine_v2(notes, prefix)
            return
        if os.path.lexists(index_path(prefix)):
            _say_what_to_pass(notes, path, prefix)
            examine_v2(notes, prefix)
            return
    pattern = _find_v1_pattern(path)
    if pattern is not None:
        examine_v1(notes, pattern)
        return
    _report_nothing(notes, path)


def _find_v1_pattern(path: str) -> str | None:
    asked = parse_v1(path)
    shards = list_shards(asked.prefix, asked.num_shards) if asked else list_shards(path)
    found = parse_v1(shards[0]) if shards else None
    return found.pattern if found else None


def _examine_file(notes: Notes, path: str) -> None:
    folder, base = os.path.split(path)
    if base == STATE_FILE:
        examine_folder(notes, folder or os.curdir)
        return
    prefix = strip_suffix(path)
    renamed = survey(folder).renamed.get(base)
    if prefix is not None and renamed is not None:
        report_renamed(notes, folder, {base: renamed})
    elif prefix is not None:
        _say_what_to_pass(notes, path, prefix)
        examine_v2(notes, prefix)
    if prefix is not None:
        return
    head, size = read_head(path)
    kind = recognise(head, size, base)
    original = strip_download_suffix(base)
    if kind is not None:
        notes.add_kind(kind, path)
    elif original is not None and strip_suffix(original) is not None:
        report_renamed(notes, folder, {base: original})
    elif guess_format(head) == "V1":
        examine_v1(notes, (_find_v1_pattern(path) if parse_v1(path) else None) or path)
    elif guess_format(head) == "V2":
        _report_v2_without_suffix(notes, path)
    else:
        _report_unknown(notes, path, size)
    if notes.findings and not notes.checkpoints:
        _add_near_misses(notes, path)


def _say_what_to_pass(notes: Notes, path: str, prefix: str) -> None:
    notes.add(
        "note",
        "this is one file of a checkpoint",
        path,
        "A checkpoint is several files, and is known by what their names have in common. fastckpt "
        "takes any of them; TensorFlow takes only the prefix, and lists nothing for an .index.",
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
        f"Its first bytes are not those of any format that is known here ({size} bytes). A V1 "
        "checkpoint begins with a list of its tensors; of a V2 checkpoint there is an .index.",
        "pass a prefix, an .index file, or a folder with a state file",
    )


def _report_nothing(notes: Notes, path: str) -> None:
    """Say that nothing is there, and what comes nearest."""
    folder, base = os.path.split(path)
    if folder and not os.path.isdir(folder):
        above = folder
        while above and not os.path.isdir(above) and os.path.dirname(above) != above:
            above = os.path.dirname(above)
        notes.add(
            "error",
            "there is no such folder",
            folder,
            f"The last one on that path that is there is {quote(above or os.curdir)}.",
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
    _add_near_misses(notes, path)


def _add_near_misses(notes: Notes, path: str) -> None:
    """Name the checkpoints beside a path that is none."""
    folder, base = os.path.split(path)
    with suppress(OSError):
        here = survey(folder)
        renamed = {new: old for new, old in here.renamed.items() if old.startswith(base)}
        if renamed:
            report_renamed(notes, folder, renamed)
        report_strangers(notes, folder, [n for n in here.others if n.startswith(base + ".")])
        names = sorted(here.indexed | here.v1)
        close = get_close_matches(base, names, n=_LISTED, cutoff=0.4) or names[:_LISTED]
        if close:
            notes.add(
                "note",
                "there are checkpoints beside it",
                folder or os.curdir,
                f"{name_some(close)}{'' if len(close) == len(names) else ', among others'}.",
                "\n".join(f"pass {quote(os.path.join(folder, each))}" for each in close),
            )
