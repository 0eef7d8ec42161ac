"""Findings about a damaged index or tensors: verification errors, grouped by file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from ..bundle.names import index_path
from ..bundle.partial import Remains
from ..errors import CheckpointError, Fault, UnsupportedError
from ..format.magic import FileKind
from ..storage.local import File
from ..text import count, name_some
from .findings import Notes, salvage_command
from .layouts import Problem

__all__ = ["has_changed_line_ends", "report_index", "report_tensors"]

_SEARCHED: Final = 64 << 20  # bytes of a file that are searched for line ends
_CERTAIN: Final = 2  # line ends of CR LF, and none of LF alone, that are no coincidence


def report_index(notes: Notes, prefix: str, remains: Remains, names: Sequence[str]) -> None:
    """Report what is wrong with the table or the header."""
    for problem in remains.problems:
        if isinstance(problem, UnsupportedError):
            why = "The file says so itself: it was written for a newer reader, or compressed in a "
            why += "way that is not known."
            todo = "update fastckpt, or read it with the TensorFlow that wrote it"
            notes.add("error", f"unsupported index: {problem.problem}", problem.path, why, todo)
            continue
        left = f"{len(names)} of its tensors can still be listed." if names else "Nothing of it "
        left += "" if names else "can be listed."
        notes.add(
            "error",
            f"broken index: {problem.what}: {problem.problem}",
            problem.path,
            f"The file was cut off, changed or damaged on its way. {left}",
            "copy or download the index again"
            + (f", or save what is whole:\n{salvage_command(prefix)}" if names else ""),
        )
    if remains.problems and has_changed_line_ends(remains.path):
        _report_line_ends(notes, remains.path)


def report_tensors(
    notes: Notes,
    prefix: str,
    problems: Sequence[Problem],
    remains: Remains,
    kinds: dict[str, FileKind],
) -> None:
    """Report what is wrong with tensors, file by file. `kinds` are the data files that are of
    another format."""
    by_file: dict[str, list[CheckpointError]] = {}
    entries: list[CheckpointError] = []
    for problem in problems:
        if isinstance(problem, OSError):
            if not isinstance(problem, FileNotFoundError):  # reported as missing already
                notes.add_os_error(problem, os.fsdecode(problem.filename or prefix))
        elif problem.path == index_path(prefix) or (problem.offset or 0) < 0:
            entries.append(problem)
        else:
            by_file.setdefault(problem.path, []).append(problem)
    _report_entries(notes, prefix, entries)
    for path, found in by_file.items():
        if path in kinds:
            notes.add_kind(kinds[path], path)
            continue
        _report_short(notes, prefix, path, [e for e in found if e.fault is Fault.TRUNCATED])
        changed = [each for each in found if each.fault is Fault.CHECKSUM]
        _report_changed(notes, prefix, path, changed, len(remains.names))
        known = (Fault.TRUNCATED, Fault.CHECKSUM)
        _report_undecoded(notes, prefix, path, [e for e in found if e.fault not in known])


def _report_entries(notes: Notes, prefix: str, entries: list[CheckpointError]) -> None:
    unknown = [each for each in entries if isinstance(each, UnsupportedError)]
    if unknown:
        notes.add(
            "error",
            f"unknown dtype: {unknown[0].problem}",
            index_path(prefix),
            f"{count(len(unknown), 'tensor')} cannot be decoded ({_name_tensors(unknown)}): "
            "written by a newer TensorFlow, or the index is damaged. The others can be read.",
            f"update fastckpt, or save the other tensors:\n{salvage_command(prefix)}",
        )
    broken = [each for each in entries if not isinstance(each, UnsupportedError)]
    if broken:
        entry = "1 entry" if len(broken) == 1 else f"{len(broken)} entries"
        notes.add(
            "error",
            f"{entry} of the index cannot be right: {broken[0].problem}",
            index_path(prefix),
            f"Entries of {_name_tensors(broken)}. The index is damaged, or belongs to other data "
            "files.",
            f"copy the index again, or save the other tensors:\n{salvage_command(prefix)}",
        )


def _report_short(notes: Notes, prefix: str, path: str, short: list[CheckpointError]) -> None:
    if not short:
        return
    is_empty = os.path.exists(path) and os.path.getsize(path) == 0
    notes.add(
        "error",
        "empty data file" if is_empty else "data file too short",
        path,
        f"It ends before {count(len(short), 'tensor')} ({_name_tensors(short)}): "
        f"{short[-1].problem}. A download or copy that was cut off, a full disk, or the index "
        "is of another save.",
        "copy or download it again"
        + ("" if is_empty else f", or save what is whole:\n{salvage_command(prefix)}"),
    )


def _report_changed(
    notes: Notes, prefix: str, path: str, changed: list[CheckpointError], total: int
) -> None:
    """Report tensors whose bytes are not the ones that were written."""
    if changed and has_changed_line_ends(path):
        _report_line_ends(notes, path)
    elif len(changed) > max(1, total // 2):
        notes.add(
            "error",
            "index and data are of different saves",
            path,
            f"The checksums of {len(changed)} of {count(total, 'tensor')} are not those of the "
            "index. Damage spoils one or two: this data file was replaced without its index, or "
            "the other way round.",
            "copy the index and all data files again, together",
        )
    elif changed:
        notes.add(
            "error",
            f"{count(len(changed), 'tensor')} damaged: {_name_tensors(changed)}",
            path,
            f"The checksum fails: {changed[0].problem}. The bytes are not the ones that were "
            "written.",
            f"copy the data file again, or save the other tensors:\n{salvage_command(prefix)}",
        )


def _report_undecoded(notes: Notes, prefix: str, path: str, found: list[CheckpointError]) -> None:
    if found:
        notes.add(
            "error",
            f"{count(len(found), 'tensor')} cannot be decoded: {_name_tensors(found)}",
            path,
            f"{found[0].what}: {found[0].problem}",
            f"copy the data file again, or save the other tensors:\n{salvage_command(prefix)}",
        )


def _report_line_ends(notes: Notes, path: str) -> None:
    notes.add(
        "error",
        "line ends changed: CR LF for every LF",
        path,
        "Git (core.autocrlf), or a transfer in text mode, took the file for text and put a CR "
        "before every LF. The original is whole.",
        "mark checkpoints as binary in .gitattributes ('*.index binary', '*.data-* binary') and "
        "check them out again, or transfer them again in binary mode",
    )


def has_changed_line_ends(path: str) -> bool:
    """Return whether every LF of a file follows a CR, which no binary file has by chance."""
    total = alone = 0
    last = b""
    try:
        with closing(File(path)) as file:
            for chunk in file.chunks(0, min(file.size, _SEARCHED), "line ends"):
                total += chunk.count(b"\n")
                alone += chunk.count(b"\n") - chunk.count(b"\r\n")
                alone -= last == b"\r" and chunk.startswith(b"\n")
                last = chunk[-1:]
    except (OSError, CheckpointError):
        return False
    return total >= _CERTAIN and alone == 0


def _name_tensors(problems: Sequence[CheckpointError]) -> str:
    """Return the names of the tensors that the problems concern."""
    return name_some(list(dict.fromkeys(each.tensor or each.what for each in problems)))
