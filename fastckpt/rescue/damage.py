"""What is wrong with an index or with tensors, in words: file by file, and what that tells."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..bundle.names import index_path
from ..bundle.partial import Remains
from ..errors import CheckpointError, ChecksumError, Fault, UnsupportedError
from ..format.magic import Kind
from .findings import Notes, name_some, quote

__all__ = ["report_index", "report_tensors", "salvage_call"]

Problem = CheckpointError | OSError


def report_index(notes: Notes, prefix: str, remains: Remains, names: list[str]) -> None:
    """Say what is wrong with the table or the header."""
    for problem in remains.problems:
        if isinstance(problem, UnsupportedError):
            why = "It says so itself: it was written for a newer reader, or in another compression."
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
            + (f", or save what is whole: {salvage_call(prefix)}" if names else ""),
        )


def report_tensors(
    notes: Notes, prefix: str, problems: list[Problem], count: int, kinds: dict[str, Kind]
) -> None:
    """Say what is wrong with tensors, file by file rather than tensor by tensor."""
    by_file: dict[str, list[CheckpointError]] = {}
    entries: list[CheckpointError] = []
    for problem in problems:
        if isinstance(problem, OSError):
            if not isinstance(problem, FileNotFoundError):  # those are told already
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
        _report_data(notes, prefix, path, found, count)


def _report_entries(notes: Notes, prefix: str, entries: list[CheckpointError]) -> None:
    unknown = [each for each in entries if isinstance(each, UnsupportedError)]
    if unknown:
        notes.add(
            "error",
            f"unknown dtype: {unknown[0].problem}",
            index_path(prefix),
            f"{_count(unknown, 'tensor')} cannot be decoded ({_name_tensors(unknown)}): written "
            "by a newer TensorFlow, or the index is damaged. The others can be read.",
            "update fastckpt, or save the other tensors: " + salvage_call(prefix),
        )
    broken = [each for each in entries if each not in unknown]
    if broken:
        notes.add(
            "error",
            f"{_count(broken, 'entry', 'entries')} of the index cannot be: {broken[0].problem}",
            index_path(prefix),
            f"Of {_name_tensors(broken)}. The index is damaged, or not the one of these data "
            "files.",
            "copy the index again, or save the other tensors: " + salvage_call(prefix),
        )


def _report_data(
    notes: Notes, prefix: str, path: str, found: list[CheckpointError], count: int
) -> None:
    """Say what is wrong with the bytes in one data file."""
    changed = [each for each in found if isinstance(each, ChecksumError)]
    short = [each for each in found if each.fault is Fault.TRUNCATED]
    other = [each for each in found if each not in changed and each not in short]
    if short:
        is_empty = os.path.exists(path) and os.path.getsize(path) == 0
        notes.add(
            "error",
            "empty data file" if is_empty else "data file too short",
            path,
            f"It ends before {_count(short, 'tensor')} ({_name_tensors(short)}): "
            f"{short[-1].problem}. A download or copy that was cut off, a full disk, or the index "
            "is of another save.",
            "copy or download it again"
            + ("" if is_empty else f", or save what is whole: {salvage_call(prefix)}"),
        )
    if changed and len(changed) > max(1, count // 2):
        notes.add(
            "error",
            "index and data are of different saves",
            path,
            f"The checksums of {len(changed)} of {count} tensors are not those of the index. "
            "Damage spoils one or two: this data file was replaced without its index, or the other "
            "way round.",
            "copy the index and all data files again, together",
        )
    elif changed:
        notes.add(
            "error",
            f"{_count(changed, 'tensor')} damaged: {_name_tensors(changed)}",
            path,
            f"The checksum fails: {changed[0].problem}. The bytes are not the ones that were "
            "written.",
            f"copy the data file again, or save the other tensors: {salvage_call(prefix)}",
        )
    if other:
        notes.add(
            "error",
            f"{_count(other, 'tensor')} cannot be decoded: {_name_tensors(other)}",
            path,
            f"{other[0].what}: {other[0].problem}",
            f"copy the data file again, or save the other tensors: {salvage_call(prefix)}",
        )


def _name_tensors(problems: Sequence[CheckpointError]) -> str:
    """Return the names of the tensors that the problems concern."""
    return name_some(list(dict.fromkeys(each.tensor or each.what for each in problems)))


def _count(things: Sequence[CheckpointError], one: str, many: str = "") -> str:
    return f"{len(things)} {one if len(things) == 1 else many or one + 's'}"


def salvage_call(prefix: str) -> str:
    return f"fastckpt.salvage({quote(prefix)}, {quote(prefix + '-salvaged')})"
