"""Recovery of interrupted saves: find them, complete them or discard what they left.

A save stages its files as ``<name>.tmp-<token>``, moves the old commit file to ``.old-<token>``,
renames the data files and then the commit file (`storage.stage`, `Layout`). Wherever that was
interrupted, the staged commit file and the data files, each staged still or renamed already, are
the new checkpoint if every checksum says so. A shard of V1, which has none over all shards, counts
as renamed only while there is no last shard, or the old one is aside. To complete a save its files
are staged again as links and committed as by any save, so that a second interruption loses nothing
either.
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass

from ..bundle.names import strip_suffix
from ..errors import CheckpointError, Fault
from ..storage.local import File
from ..storage.locks import exclusive, leftovers
from ..storage.stage import Stage
from ..storage.staged import aside_path, staged_path
from ..storage.system import sync_path
from ..storage.urls import local_path
from ..v1.names import parse_v1
from .layouts import BundleLayout, Layout, Problem, V1Layout, check_is_latest
from .parts import complete_parts
from .survey import Survey

__all__ = ["Interrupted", "complete", "discard", "find_interrupted"]

Path = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An interrupted save: the files that its dead writer left.

    `files` are the paths that have its `token`. `saved` is when its commit file was staged, in
    nanoseconds since 1970; 0 if there is none.
    """

    layout: Layout
    token: str
    files: tuple[str, ...]
    saved: int

    @property
    def path(self) -> str:
        """What to pass to `complete`, `discard` and `read`."""
        return self.layout.path

    @property
    def commit(self) -> str:
        """Where the new commit file was staged."""
        return staged_path(self.layout.commit_path, self.token)

    @property
    def aside(self) -> str | None:
        """Where the old commit file is, if it was moved away."""
        path = aside_path(self.layout.commit_path, self.token)
        return path if path in self.files else None

    def find_problem(self, *, verify: bool = True) -> Problem | None:
        """Return the fault that keeps the save from being completed, or None. With `verify` all of
        its data is read; without it only sizes are compared."""
        try:
            data = [source for source, _ in self.find_data()]
            with closing(self.layout.find_faults(data, self.commit, verify=verify)) as faults:
                return next(faults, None)
        except (CheckpointError, OSError) as error:
            return error.with_traceback(None)  # whose frames would keep files open

    def find_data(self) -> Iterator[tuple[str, str]]:
        """Yield (path now, final path) of the new data files. Raises `FileNotFoundError`."""
        staged = set(self.files)
        is_renaming = self.layout.has_checksums or bool(self.aside)
        is_renaming = is_renaming or not os.path.lexists(self.layout.commit_path)
        for number, final in enumerate(self.layout.list_data(self.commit)):
            source = staged_path(final, self.token)
            if source in staged:
                yield source, final
            elif is_renaming and os.path.lexists(final):
                yield final, final
            else:
                problem = f"data file {number + 1} of the interrupted save is missing"
                raise FileNotFoundError(errno.ENOENT, problem, final)

    def has_renamed(self) -> bool:
        """Return whether the save may have replaced files of the old checkpoint. Its data files are
        renamed in their order, after the commit file was written."""
        try:
            first = next(self.layout.list_data(self.commit), None)
            is_written = os.stat(self.commit).st_size > 0
        except (CheckpointError, OSError):  # not written, or not to be read
            return False
        return is_written and first is not None and staged_path(first, self.token) not in self.files


def find_interrupted(path: Path, here: Survey | None = None) -> list[Interrupted]:
    """Return the interrupted saves to a path, the latest last; saves that go on are not among them.

    The path is a V2 prefix, a V1 file, or the prefix, the pattern or a file of V1 shards. `here`
    is the survey of its folder, if there is one already.
    """
    name = os.fsdecode(path)
    here = here or Survey.around(name)
    if here is None:
        return []
    head, base = here.head, os.path.basename(name)
    groups: defaultdict[tuple[Layout, str], list[str]] = defaultdict(list)
    for staged in here.staged(base):
        if strip_suffix(staged.final) == base:
            groups[BundleLayout(head + base), staged.token].append(here.path(staged.name))
        elif staged.final == base:
            groups[V1Layout(head + base, None), staged.token].append(here.path(staged.name))
    asked = parse_v1(base)
    stem = asked.prefix if asked else base
    for staged in here.staged(stem):
        shard = parse_v1(staged.final)
        if shard is not None and shard.prefix == stem:
            layout = V1Layout(head + stem, shard.num_shards)
            groups[layout, staged.token].append(here.path(staged.name))
    dead = set(leftovers([path for files in groups.values() for path in files]))
    found = [
        Interrupted(layout, token, tuple(files), _time_of(layout, token))
        for (layout, token), files in groups.items()
        if dead.issuperset(files)
    ]
    return sorted(found, key=lambda each: each.saved)


def _time_of(layout: Layout, token: str) -> int:
    try:
        return os.lstat(staged_path(layout.commit_path, token)).st_mtime_ns
    except OSError:
        return 0


def complete(prefix: Path) -> bool:
    """Finish the latest interrupted save to a prefix; return False if there is none.

    Reads and verifies all of its data first. Commits as a save does, and then removes what it
    replaces and what dead writers left. A save of TensorFlow that was killed before its parts were
    merged is merged, if every part is there and whole; no other process may be saving there, since
    TensorFlow locks nothing. The prefix may be a V1 checkpoint's: its path, or the prefix or
    pattern of its shards.

    Raises what keeps the save from being completed: `FormatError` or `ChecksumError` for data that
    is not all there, `FileNotFoundError` for a missing file; and `ValueError` if a later save to
    that prefix was completed already.
    """
    name = local_path(prefix)
    found = [each for each in find_interrupted(name) if each.saved]
    if not found:
        return complete_parts(name)
    problem: Problem | None = None
    for save in reversed(found):
        fault = save.find_problem(verify=False)
        if fault is None:
            check_is_latest(save.layout.commit_path, save.saved)
            try:
                _commit_again(save)
                return True
            except (CheckpointError, FileNotFoundError) as error:  # an earlier one may be whole
                fault = error
        problem = problem or fault
    assert problem is not None
    raise problem


def _commit_again(save: Interrupted) -> None:
    """Commit what was staged, from links to the very files that are verified here."""
    layout = save.layout
    places = list(save.find_data())
    files = [File(source, stays_open=False) for source, _ in places]
    with closing(File(save.commit)) as commit:
        data = [source for source, _ in places]
        with closing(layout.find_faults(data, save.commit, verify=True)) as faults:
            for fault in faults:
                raise fault
        with Stage(layout.commit_path, sync=True) as stage:
            for source, final in places:
                sync_path(source)  # its writer may have died before it did
                stage.link(source, final)
            for file in (*files, commit):
                if not file.is_current():
                    problem = "expected the file that was verified, got one that was saved since"
                    raise CheckpointError(file.path, "data file", problem, fault=Fault.CHANGED)
            for chunk in commit.chunks(0, commit.size, "commit file"):
                stage.commit_file.append(chunk)
            layout.finish(stage, len(places), save.files)


def discard(prefix: Path) -> bool:
    """Remove what interrupted saves to a prefix left; return False if there is nothing.

    Only staged files of that prefix are removed. A commit file that was moved aside comes back if
    the old checkpoint is still whole: for V2 that takes reading all of it. `ValueError` is raised
    if it is not, because new data files are in place already, and the new checkpoint is whole:
    discarding would lose both, and `complete` saves it. The prefix may be a V1 checkpoint's.
    """
    name = local_path(prefix)
    folder = os.path.dirname(name) or os.curdir
    if not os.path.isdir(folder):
        return False
    with exclusive(folder):  # no commit goes on
        found = find_interrupted(name)
        for layout in dict.fromkeys(each.layout for each in found):
            if not os.path.lexists(layout.commit_path):
                _bring_back(layout, [each for each in found if each.layout == layout])
        for each in found:
            for path in each.files:
                with suppress(FileNotFoundError):  # brought back
                    os.unlink(path)
        if found:
            sync_path(folder)
    return bool(found)


def _bring_back(layout: Layout, saves: list[Interrupted]) -> None:
    """Put the latest old commit file that still fits its data files in its place, if any does."""
    asides = [each.aside for each in saves if each.aside is not None]
    is_renaming = any(each.has_renamed() for each in saves)
    for aside in reversed(asides):
        if layout.is_kept(aside, is_renaming=is_renaming):
            os.replace(aside, layout.commit_path)
            return
    if asides and any(each.saved and each.find_problem() is None for each in saves):
        raise ValueError(
            f"{layout.path}: the old checkpoint is no longer whole, and the interrupted save is: "
            "complete it, discarding it would lose both"
        )
