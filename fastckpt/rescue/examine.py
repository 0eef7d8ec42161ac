"""Examination of one checkpoint: which of its files are there, and whether they fit each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from ..bundle.names import index_path, parse_shard, shard_path, strip_suffix
from ..bundle.partial import Remains, check_entry
from ..bundle.verify import find_problems
from ..errors import CheckpointError
from ..format.magic import HEAD_SIZE, FileKind, guess_format, recognise
from ..storage.local import File
from ..text import count, name_some, quote
from ..v1.names import parse_v1
from ..v1.reader import V1Checkpoint
from .damage import report_index, report_tensors
from .findings import Notes, salvage_command
from .layouts import Problem
from .saves import report_saves
from .survey import Survey

__all__ = ["examine_v1", "examine_v2", "report_renamed"]

_LISTED: Final = 20  # missing files that are reported one by one
_PADDING: Final = 64  # bytes after the last tensor of a data file, at most


def examine_v2(notes: Notes, here: Survey, base: str) -> None:
    """Examine everything that has the name of a V2 prefix, which is `base` in the folder `here`."""
    prefix = here.path(base)
    explains_absence = report_saves(notes, here, base)
    index = index_path(prefix)
    if base not in here.indexed and not os.path.lexists(index):
        if not explains_absence:
            _report_no_index(notes, here, base)
        return
    before = len(notes.findings)
    try:
        file = File(index)
        head = file.read(0, min(HEAD_SIZE, file.size), "head")
        kind = recognise(head, file.size, os.path.basename(index))
        if kind is not None:
            notes.add_kind(kind, index)
        elif guess_format(head) == "V1":
            _report_v1_as_index(notes, index, prefix)
        else:
            _examine_index(notes, here, base, file)
            return
    except OSError as error:
        notes.add_os_error(error, index)
    notes.add_checkpoint(prefix, "V2", 0, [each.what for each in list(notes.findings)[before:]])


def _examine_index(notes: Notes, here: Survey, base: str, file: File) -> None:
    """Examine an index, its data files, and how they fit."""
    prefix = here.path(base)
    remains = Remains(file, lambda number, count: shard_path(prefix, number, count or 1))
    before = len(notes.findings)
    names = remains.names
    report_index(notes, prefix, remains, names)
    kinds = _report_data_files(notes, here, base, remains)
    known = set(map(id, remains.problems))
    problems = [
        problem
        for problem in _find_problems(remains, notes.is_verifying or bool(kinds))
        if id(problem) not in known
    ]
    report_tensors(notes, prefix, problems, remains, kinds)
    added = list(notes.findings)[before:]
    whats = [each.what for each in added if each.severity == "error"]
    words = [str(problem) for problem in [*remains.problems, *problems]] or whats
    notes.add_checkpoint(prefix, "V2", len(names), words)
    remains.close()


def _find_problems(remains: Remains, verify: bool) -> Iterator[Problem]:
    """Yield the problems of tensors, and once each file that cannot be opened."""
    if verify:
        yield from find_problems(remains)
        return
    unopened: set[object] = set()
    for name in remains.names:
        try:
            check_entry(remains, name, remains.entry(name))
        except CheckpointError as error:
            yield error
        except OSError as error:
            if error.filename not in unopened:
                unopened.add(error.filename)
                yield error


# ---- Data files


def _report_data_files(
    notes: Notes, here: Survey, base: str, remains: Remains
) -> dict[str, FileKind]:
    """Report data files that are missing or left from another save. Return the format of each file
    that is no data file."""
    total = remains.num_shards
    if total is None:
        return {}
    listed = here.data_files(base)
    num_listed = min(total, len(listed) + _LISTED)
    expected = {shard_path(here.path(base), number, total): number for number in range(num_listed)}
    missing = [path for path in expected if path not in set(listed)]
    stale = [path for path in listed if path not in expected]
    if missing and not _report_other_name(notes, here, base, remains, missing):
        _report_missing(notes, here, base, total, missing, stale)
    elif stale and not missing:
        them = name_some([os.path.basename(each) for each in stale])
        notes.add(
            "warning",
            f"{count(len(stale), 'data file')} of another save",
            stale[0],
            f"The index has {count(total, 'data file')} and does not need {them}: left by a save "
            "with another number of them.",
            "rm " + " ".join(quote(each) for each in stale[:_LISTED]),
        )
    kinds = {}
    for path in set(listed) & expected.keys():
        kind = _find_kind(remains, expected[path])
        if kind is not None:
            kinds[path] = kind
    return kinds


def _find_kind(remains: Remains, number: int) -> FileKind | None:
    """Return the format of a small file under the name of a data file; None for a data file, and
    for a file that cannot be opened, which its tensors report."""
    try:
        file = remains.source(number, "data file")
        if file.size >= 1 << 20:  # a stranger of that size is found by its checksums
            return None
        head = file.read(0, min(HEAD_SIZE, file.size), "head")
    except (OSError, CheckpointError):
        return None
    return recognise(head, file.size, os.path.basename(file.path))


def _report_other_name(
    notes: Notes, here: Survey, base: str, remains: Remains, missing: list[str]
) -> bool:
    """Report a file that has the name of the prefix and the size of the only missing data file;
    return whether there is one."""
    path = here.path(base)
    name = os.path.basename(missing[0])
    parts = parse_shard(name)
    if len(missing) != 1 or parts is None or not os.path.isfile(path):
        return False
    end = _end_of_data(remains, parts[1])
    size = os.path.getsize(path)
    if not end <= size < end + _PADDING:
        return False
    notes.add(
        "error",
        f"data file under another name: {base!r}",
        path,
        f"The file has the {count(size, 'byte')} that the index wants of {name!r}, which is "
        "missing: it was renamed.",
        f"mv {quote(path)} {quote(missing[0])}",
    )
    return True


def _end_of_data(remains: Remains, number: int) -> int:
    """Return where the last tensor of a data file ends."""
    ends = [0]
    for name in remains.names:
        try:
            entry = remains.entry(name)
        except CheckpointError:
            continue
        if entry.shard_id == number:
            ends.append(entry.offset + entry.size)
    return max(ends)


def _report_missing(
    notes: Notes, here: Survey, base: str, total: int, missing: list[str], stale: list[str]
) -> None:
    _report_renamed_of(notes, here, base)
    names = name_some([os.path.basename(path) for path in missing])
    is_one = len(missing) == 1
    why = f"The index counts {count(total, 'data file')}; without {names} the tensors in "
    why += "it cannot be read." if is_one else "them cannot be read."
    todo = (
        f"copy {'it' if is_one else 'them'} from where the checkpoint comes from, beside the index"
    )
    if stale:
        why += " There are data files of another count: index and data are of different saves, "
        why += f"or the files were renamed ({name_some([os.path.basename(s) for s in stale])})."
        todo += f"; what fits can be saved:\n{salvage_command(here.path(base))}"
    what = f"data file missing: {names}" if is_one else f"{len(missing)} data files missing"
    notes.add("error", what, missing[0], why, todo)


def _report_renamed_of(notes: Notes, here: Survey, base: str) -> None:
    """Report which files of an incomplete prefix have another name."""
    renamed = {new: old for new, old in here.renamed.items() if strip_suffix(old) == base}
    report_renamed(notes, here, renamed)


def report_renamed(notes: Notes, here: Survey, renamed: dict[str, str]) -> None:
    """Report which files have names that a browser changed, one by one: a checkpoint and its folder
    may report the same."""
    for name, original in list(renamed.items())[:_LISTED]:
        new, old = here.path(name), here.path(original)
        if os.path.lexists(old):
            notes.add(
                "note",
                f"downloaded twice: {name!r}",
                new,
                f"{original!r} is there as well, and is the one that is read.",
                f"rm {quote(new)}",
            )
            continue
        notes.add(
            "error",
            f"renamed by a download: {name!r}",
            new,
            "Browsers add .txt to what looks like text, a number to a name that exists, and "
            ".download, .crdownload or .part to a file that is not complete yet (then download it "
            "again).",
            f"mv {quote(new)} {quote(old)}",
        )


# ---- No index


def _report_no_index(notes: Notes, here: Survey, base: str) -> None:
    """Report what is there without an index."""
    prefix = here.path(base)
    index = index_path(prefix)
    data = here.data_files(base)
    _report_renamed_of(notes, here, base)
    if data:
        names = name_some([os.path.basename(each) for each in data])
        notes.add(
            "error",
            "index missing",
            index,
            f"{names} {'is' if len(data) == 1 else 'are'} there, but only the index lists the "
            "tensors and their places. It was not copied, or the save ended before it wrote it.",
            f"copy {quote(os.path.basename(index))} from where the data files come from",
        )
    elif os.path.lexists(prefix + ".meta"):
        notes.add(
            "error",
            "only the graph is there",
            prefix + ".meta",
            "A .meta file has the graph of TensorFlow 1 and no weights: those are in "
            f"{os.path.basename(index)!r} and in the data files.",
            f"copy {quote(base + '.index')} and {quote(base + '.data-*')} as well; to look at the "
            f"graph: fastckpt meta {quote(prefix + '.meta')}",
        )


def _report_v1_as_index(notes: Notes, index: str, prefix: str) -> None:
    new = prefix if not os.path.lexists(prefix) else prefix + "-v1"
    notes.add(
        "error",
        "a V1 checkpoint with the name of a V2 index",
        index,
        "A V1 checkpoint (TensorFlow before 1.0, or Saver with write_version=V1) is one file "
        "without a suffix and without data files.",
        f"mv {quote(index)} {quote(new)}",
    )


# ---- V1


def examine_v1(notes: Notes, path: str) -> None:
    """Examine a V1 checkpoint: a file, or the pattern of its shards."""
    try:
        checkpoint = V1Checkpoint(path)
    except CheckpointError as error:
        _report_v1(notes, path, [error])
        notes.add_checkpoint(path, "V1", 0, [str(error)])
        return
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            notes.add(
                "error",
                f"{error.strerror}",
                os.fsdecode(error.filename or path),
                "A sharded V1 checkpoint needs all of its files, each of which lists its tensors.",
                "copy it from where the others come from, or save what is in the others:\n"
                + _salvage_v1_command(path),
            )
        else:
            notes.add_os_error(error, path)
        notes.add_checkpoint(path, "V1", 0, [str(error)])
        return
    with checkpoint:
        problems = list(checkpoint.problems()) if notes.is_verifying else []
        _report_v1(notes, path, problems)
        notes.add_checkpoint(path, "V1", len(checkpoint), map(str, problems))


def _report_v1(notes: Notes, path: str, problems: list[Problem]) -> None:
    if problems:
        first = problems[0]
        what = first.problem if isinstance(first, CheckpointError) else str(first)
        notes.add(
            "error",
            f"broken V1 checkpoint: {what}",
            first.path if isinstance(first, CheckpointError) else path,
            f"Cut off, changed or damaged; {count(len(problems), 'problem')} in all.",
            "copy or download the file again, or save what is whole:\n" + _salvage_v1_command(path),
        )


def _salvage_v1_command(path: str) -> str:
    """Return the command that salvages a V1 checkpoint; its shards go by their prefix."""
    shards = parse_v1(path)
    return salvage_command(shards.prefix if shards and shards.shard is None else path)
