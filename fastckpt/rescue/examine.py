"""One checkpoint examined: which of its files are there, and whether they fit each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from ..bundle.names import index_path, list_files, shard_path, strip_suffix
from ..bundle.partial import Remains, check_entry
from ..bundle.verify import find_problems
from ..errors import CheckpointError
from ..format.magic import Kind
from ..storage.locks import leftovers
from ..v1.names import parse_v1
from ..v1.reader import V1Checkpoint
from .complete import Interrupted, find_interrupted
from .damage import report_index, report_tensors, salvage_call
from .findings import CheckpointSummary, Notes, name_some, quote
from .survey import is_v1_file, look_at, survey

__all__ = ["examine_v1", "examine_v2", "report_renamed"]

Problem = CheckpointError | OSError

_LISTED: Final = 20  # missing files that are told one by one


def examine_v2(notes: Notes, prefix: str) -> None:
    """Look at everything with the name of a V2 prefix."""
    shards, staged = list_files(prefix)
    interrupted = _report_staged(notes, prefix, staged)
    index = index_path(prefix)
    if not os.path.lexists(index):
        if not interrupted:
            _report_no_index(notes, prefix, shards)
        return
    before = len(notes.findings)
    try:
        kind = look_at(index)
        if kind is not None:
            notes.add_kind(kind, index)
        elif is_v1_file(index):
            _report_v1_as_index(notes, index, prefix)
        else:
            _examine_index(notes, prefix, shards)
            return
    except OSError as error:
        notes.add_os_error(error, index)
    problems = tuple(each.what for each in notes.findings[before:])
    notes.checkpoints.append(CheckpointSummary(prefix, "V2", 0, problems))


def _examine_index(notes: Notes, prefix: str, shards: list[str]) -> None:
    """Look at an index, at its data files, and at how they fit."""
    remains = Remains(
        index_path(prefix), lambda number, count: shard_path(prefix, number, count or 1)
    )
    before = len(notes.findings)
    names = remains.names
    report_index(notes, prefix, remains, names)
    strangers = _report_shards(notes, prefix, remains, shards)
    problems = [
        problem
        for problem in _find_problems(remains, notes.is_verifying or bool(strangers))
        if problem not in remains.problems
    ]
    report_tensors(notes, prefix, problems, len(names), strangers)
    whats = [each.what for each in notes.findings[before:] if each.severity == "error"]
    words = tuple([str(problem) for problem in [*remains.problems, *problems]] or whats)
    notes.checkpoints.append(CheckpointSummary(prefix, "V2", len(names), words))
    remains.close()


def _find_problems(remains: Remains, verify: bool) -> Iterator[Problem]:
    """Yield what is wrong with tensors; a file that cannot be opened is told once."""
    if verify:
        yield from find_problems(remains)
        return
    unopened: set[object] = set()
    for name in remains.names:
        try:
            check_entry(remains, name, remains._entry(name))
        except CheckpointError as error:
            yield error
        except OSError as error:
            if error.filename not in unopened:
                unopened.add(error.filename)
                yield error


def _report_shards(
    notes: Notes, prefix: str, remains: Remains, shards: list[str]
) -> dict[str, Kind]:
    """Say which data files are missing, not data files at all, or left from another save. Return
    those that are something else."""
    count = remains.num_shards
    if count is None:
        return {}
    listed = set(shards)
    num_listed = min(count, len(shards) + _LISTED)
    expected = [shard_path(prefix, number, count) for number in range(num_listed)]
    missing = [path for path in expected if path not in listed]
    stale = sorted(listed.difference(expected))
    if missing:
        _report_missing(notes, prefix, count, missing, stale)
    elif stale:
        notes.add(
            "warning",
            f"{len(stale)} data file{'s' if len(stale) > 1 else ''} of another save",
            stale[0],
            f"The index has {count} data file{'s' if count > 1 else ''}, and does not need "
            f"{name_some([os.path.basename(each) for each in stale])}: left by a save with "
            "another number of them.",
            "rm " + " ".join(quote(each) for each in stale[:_LISTED]),
        )
    kinds = {}
    for path in listed.intersection(expected):
        with suppress(OSError):  # told by who reads it
            kind = look_at(path)
            if kind is not None and os.path.getsize(path) < (1 << 20):
                kinds[path] = kind
    return kinds


def _report_missing(
    notes: Notes, prefix: str, count: int, missing: list[str], stale: list[str]
) -> None:
    _report_renamed_of(notes, prefix)
    names = name_some([os.path.basename(path) for path in missing])
    few = len(missing) == 1
    why = f"The index says that there are {count} data files; without {names} the tensors in "
    why += "it cannot be read." if few else "them cannot be read."
    todo = f"copy {'it' if few else 'them'} from where the checkpoint comes from, beside the index"
    if stale:
        why += " There are data files of another count: index and data are of different saves, "
        why += f"or the files were renamed ({name_some([os.path.basename(s) for s in stale])})."
        todo += f"; what fits can be saved: {salvage_call(prefix)}"
    what = f"data file missing: {names}" if few else f"{len(missing)} data files missing"
    notes.add("error", what, missing[0], why, todo)


def _report_renamed_of(notes: Notes, prefix: str) -> None:
    """Say which files of a prefix, of which some are missing, have another name."""
    folder, base = os.path.split(prefix)
    names = survey(folder).renamed
    report_renamed(notes, folder, {n: old for n, old in names.items() if strip_suffix(old) == base})


def report_renamed(notes: Notes, folder: str, renamed: dict[str, str]) -> None:
    """Say which files have names that a browser changed, one by one: the same may be told of a
    checkpoint and of its folder."""
    for name, original in list(renamed.items())[:_LISTED]:
        new, old = os.path.join(folder, name), os.path.join(folder, original)
        if os.path.lexists(old):
            notes.add(
                "note",
                f"downloaded twice: {name!r}",
                new,
                f"{original!r} is there, too, and that is what counts.",
                f"rm {quote(new)}",
            )
            continue
        notes.add(
            "error",
            f"renamed by a download: {name!r}",
            new,
            "Browsers add .txt to what looks like text, a number to what is there already, and "
            ".download, .crdownload or .part to what is not complete yet (then download it again).",
            f"mv {quote(new)} {quote(old)}",
        )


def _report_no_index(notes: Notes, prefix: str, shards: list[str]) -> None:
    """Say what is there without an index."""
    index = index_path(prefix)
    _report_renamed_of(notes, prefix)
    if shards:
        notes.add(
            "error",
            "index missing",
            index,
            f"{name_some([os.path.basename(each) for each in shards])} "
            f"{'is' if len(shards) == 1 else 'are'} there, but only the index says which tensors "
            "are in there and where. It was not copied, or the save did not get to writing it.",
            f"copy {quote(os.path.basename(index))} from where the data files come from",
        )
    elif os.path.lexists(prefix + ".meta"):
        notes.add(
            "error",
            "only the graph is there",
            prefix + ".meta",
            "A .meta file has the graph of TensorFlow 1 and not one weight: those are in "
            f"{os.path.basename(index)!r} and in the data files.",
            f"copy {quote(os.path.basename(prefix) + '.index')} and "
            f"{quote(os.path.basename(prefix) + '.data-*')}, too; to look at the graph: "
            f"fastckpt.read_meta({quote(prefix + '.meta')})",
        )


def _report_v1_as_index(notes: Notes, index: str, prefix: str) -> None:
    new = prefix if not os.path.lexists(prefix) else prefix + "-v1"
    notes.add(
        "error",
        "a V1 checkpoint with the name of a V2 index",
        index,
        "A V1 checkpoint (TensorFlow before 1.0, or Saver with write_version=V1) is one file, "
        "which has no suffix and no data files.",
        f"mv {quote(index)} {quote(new)} && then fastckpt.read({quote(new)})",
    )


def _report_staged(notes: Notes, prefix: str, staged: list[str]) -> bool:
    """Say what unfinished saves there are; return whether that explains a missing index."""
    living = set(staged).difference(leftovers(staged))
    if living:
        notes.add(
            "note",
            "a process is saving here now",
            prefix,
            f"{name_some(sorted(map(os.path.basename, living)))}: staged, and locked by their "
            "writer, which is alive. Until it is done the old checkpoint stays, or for a moment "
            "there is none.",
        )
    found = find_interrupted(prefix, verify=notes.is_verifying)
    for each in found:
        _report_interrupted(notes, each, os.path.lexists(index_path(prefix)))
    return bool(living or found)


def _report_interrupted(notes: Notes, save: Interrupted, has_index: bool) -> None:
    complete = f"fastckpt.complete({quote(save.prefix)})"
    discard = f"fastckpt.discard({quote(save.prefix)})"
    names = name_some([os.path.basename(path) for path in save.files])
    why = f"A writer died and left {names}. "
    if save.problem is None:
        notes.add(
            "warning" if has_index else "error",
            "an interrupted save, which can be completed",
            save.prefix,
            why
            + "All of its data files and its index are there"
            + ("" if notes.is_verifying else ", going by their sizes")
            + ". "
            + (
                "The checkpoint from before is in place."
                if has_index
                else "Until then there is no checkpoint of this name."
            ),
            f"{complete}  # to have the new one; it is verified first\n"
            + f"{discard}  # to throw it away",
        )
        return
    can_go_back = save.has_old_index and not has_index
    notes.add(
        "warning" if has_index else "error",
        "leftovers of an interrupted save",
        save.prefix,
        why
        + ("The checkpoint is in place without them." if has_index else "It is not complete.")
        + (
            " The index from before is aside, and comes back if its data is still whole."
            if can_go_back
            else ""
        ),
        f"{discard}  # the next save to this name does it, too",
    )


def examine_v1(notes: Notes, path: str) -> None:
    """Look at a V1 checkpoint: a file, or the pattern of its shards."""
    try:
        checkpoint = V1Checkpoint(path)
    except CheckpointError as error:
        _report_v1(notes, path, [error])
        notes.checkpoints.append(CheckpointSummary(path, "V1", 0, (str(error),)))
        return
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            notes.add(
                "error",
                f"{error.strerror}",
                os.fsdecode(error.filename or path),
                "A sharded V1 checkpoint needs all of its files, each of which lists its tensors.",
                "copy it from where the others come from, or save what is in the others: "
                + salvage_call(path),
            )
        else:
            notes.add_os_error(error, path)
        notes.checkpoints.append(CheckpointSummary(path, "V1", 0, (str(error),)))
        return
    with checkpoint:
        problems = list(checkpoint.problems()) if notes.is_verifying else []
        _report_v1(notes, path, problems)
        words = tuple(map(str, problems))
        notes.checkpoints.append(CheckpointSummary(path, "V1", len(checkpoint), words))


def _report_v1(notes: Notes, path: str, problems: list[Problem]) -> None:
    shards = parse_v1(path)
    if problems:
        first = problems[0]
        what = first.problem if isinstance(first, CheckpointError) else str(first)
        notes.add(
            "error",
            f"broken V1 checkpoint: {what}",
            first.path if isinstance(first, CheckpointError) else path,
            f"Cut off, changed or damaged; {len(problems)} problem"
            f"{'s' if len(problems) > 1 else ''} in all.",
            "copy or download the file again, or save what is whole: "
            + salvage_call(shards.prefix if shards and shards.shard is None else path),
        )
