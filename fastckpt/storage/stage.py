"""Files that are staged, and appear together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from .locks import TIMEOUT, Living, exclusive, leftovers
from .output import OutputFile
from .staged import aside_path, split_staged, staged_path, via_path
from .system import (
    check_replaceable,
    copy_file,
    find_mode,
    is_folder,
    list_folder,
    sync_path,
    write_into_stream,
)

__all__ = ["Detour", "Stage", "replace_file"]

_MAX_OPEN: Final = 64  # files of one stage that stay open


@dataclass(frozen=True, slots=True)
class Detour:
    """Other names under which the files of a stage are whole, while the final names still belong
    to the old ones.

    `content` is that of the commit file which goes with these names, `names` are they by final
    path, and `empty` the paths of files without content that it needs besides.
    """

    content: bytes
    names: dict[str, str]
    empty: tuple[str, ...]


FindDetour = Callable[[str], Detour | None]


class Stage:
    """Files that become visible together: the last one, `commit_path`, says that all are there.

    Each file is staged beside its final place, made durable (with `sync`) and renamed, the commit
    file last. If no final name is an old file's, the old commit file is replaced at once, and
    there is a whole checkpoint at every moment. So there is if a `Detour` can be taken: the new
    files get another set of names, for which a commit file takes the old one's place; then the
    final names are free, and the last rename ends the detour.

    Without a detour, or without hard links, the old commit file is put aside before the first
    rename: whoever looks in between finds no commit file, and nobody an old one beside new data.

    What was staged is removed only while there is a commit file in its place, or nothing has been
    renamed: that is decided by what is on the disk when `discard` is called, wherever an exception
    came from. Files are replaced, never truncated, since somebody may have them mapped. They keep
    the permissions of those that they replace. With `sync` each step is durable before the next
    one begins.

    Raises `OSError` for a final path that is no regular file, and `TimeoutError` if others' commits
    into the folder take more than `timeout` seconds.
    """

    def __init__(self, commit_path: str, *, sync: bool, timeout: float = TIMEOUT) -> None:
        self._commit_path = commit_path
        self._sync = sync
        self._timeout = timeout
        self._owner = os.getpid()
        self._living = Living()
        self._token = self._living.token
        self._open: list[OutputFile] = []
        self._finals: list[str] = []
        self._detour: Detour | None = None
        self._folder = os.path.dirname(commit_path) or os.curdir
        self._made_folder = ""
        check_replaceable(commit_path)
        self._mode = find_mode(commit_path)  # of new files beside it, too
        try:
            self._made_folder = _make_folder(self._folder)
            if self._made_folder:
                self._sync_path(os.path.dirname(self._made_folder) or os.curdir)
            with exclusive(self._folder, timeout):  # until it is locked it looks like a dead one's
                self.commit_file = self._create(commit_path)
                self.commit_file.lock()
        except BaseException:
            self.discard()
            raise

    def create(self, path: str) -> OutputFile:
        """Return a staged file that `commit` will rename to `path`."""
        check_replaceable(path)
        file = self._create(path)
        self._finals.append(path)
        return file

    def link(self, source: str, path: str) -> None:
        """Stage another name of an existing file; where there are no hard links, a copy that
        shares its blocks; where there are none of those, a copy."""
        check_replaceable(path)
        staged = staged_path(path, self._token)
        try:
            os.link(os.path.realpath(source), staged)  # not a copy of a symbolic link
        except OSError:
            copy_file(source, staged)
            mode = find_mode(path) or self._mode
            if mode is not None:
                os.chmod(staged, mode)
            self._sync_path(staged)
        self._finals.append(path)

    def commit(
        self,
        find_obsolete: Callable[[], Iterable[str]],
        find_detour: FindDetour | None = None,
    ) -> None:
        """Make everything visible, and remove what it makes obsolete: paths of older commits,
        looked for when no other process can commit in that folder.

        `find_detour` is called with the path of the finished commit file if there is an old one,
        and returns None if that has nothing to do with the final names.
        """
        if os.getpid() != self._owner:
            raise ValueError(f"{self._commit_path}: the process that began to write must commit")
        for file in self._open:
            file.finish(sync=self._sync)
        if os.name != "posix":  # where open files cannot be renamed, nor locked as here
            self._close_all()
        targets = [*self._finals, self._commit_path]
        for path in targets:
            check_replaceable(path)
        with exclusive(self._folder, self._timeout):
            self._show(find_detour)
            kept = set(map(os.path.abspath, targets))
            _remove(aside_path(self._commit_path, self._token))  # complete without it
            for path in self._finals:  # renaming a link to what is there already does nothing
                _remove(staged_path(path, self._token))
            for path in find_obsolete():
                if os.path.abspath(path) not in kept:
                    _remove(path)
        self._close_all()

    def discard(self) -> None:
        """Remove everything that was staged, unless it is needed to complete a commit that was
        interrupted. In a forked child, which does not own the files, only close them."""
        for file in self._open:
            with suppress(OSError):
                file.close()
        if os.getpid() != self._owner:
            return
        self._living.end()
        with suppress(OSError):
            if os.path.lexists(aside_path(self._commit_path, self._token)):
                with exclusive(self._folder, self._timeout):
                    self._bring_back()
                    self._clean_up()
            else:
                self._clean_up()
        if self._made_folder:
            with suppress(OSError):  # no longer empty
                os.rmdir(self._made_folder)

    # ---- Renaming

    def _show(self, find_detour: FindDetour | None) -> None:
        """Rename all files to their final names."""
        if not self._finals:
            self._rename_commit_file()
            return
        if os.path.lexists(self._commit_path):
            detour = None if find_detour is None else find_detour(self.commit_file.path)
            if find_detour is None or (detour is not None and not self._take(detour)):
                os.replace(self._commit_path, aside_path(self._commit_path, self._token))
                self._sync_path(self._folder)
        for path in self._finals:
            os.replace(staged_path(path, self._token), path)
        self._sync_path(self._folder)
        self._rename_commit_file()

    def _rename_commit_file(self) -> None:
        os.replace(self.commit_file.path, self._commit_path)
        self._sync_path(self._folder)

    def _take(self, detour: Detour) -> bool:
        """Make the new files visible under other names, in the place of the old ones; False if
        they cannot have other names."""
        via = via_path(self._commit_path, self._token)
        self._detour = detour
        try:
            status = os.stat(self.commit_file.path)
            file = OutputFile(via, mode=status.st_mode & 0o777)
            self._open.append(file)
            file.append(detour.content)
            file.finish(sync=self._sync)
            file.close()
            os.utime(via, ns=(status.st_atime_ns, status.st_mtime_ns))  # one save, one time
            for final, name in detour.names.items():
                os.link(staged_path(final, self._token), name)
            for name in detour.empty:
                OutputFile(name, mode=status.st_mode & 0o777).close()
            self._sync_path(self._folder)
            os.replace(via, self._commit_path)
        except OSError:
            self._leave_detour()
            return False
        self._sync_path(self._folder)
        return True

    def _leave_detour(self) -> None:
        """Remove the other names, unless a commit file that needs them is in its place."""
        via = via_path(self._commit_path, self._token)
        if self._detour is not None and os.path.lexists(via):
            for name in (*self._detour.names.values(), *self._detour.empty, via):
                _remove(name)

    # ---- Cleaning up: everything is decided by what is on the disk

    def _bring_back(self) -> None:
        """Put the old commit file back if none of the others has been renamed."""
        is_there = os.path.lexists(self._commit_path)
        if not is_there and self._is_untouched():
            os.replace(aside_path(self._commit_path, self._token), self._commit_path)

    def _is_untouched(self) -> bool:
        return all(os.path.lexists(staged_path(path, self._token)) for path in self._finals)

    def _clean_up(self) -> None:
        is_there = os.path.lexists(self._commit_path)
        if is_there:
            _remove(aside_path(self._commit_path, self._token))
        commit_file = staged_path(self._commit_path, self._token)
        if not os.path.lexists(commit_file):
            return  # it was committed
        if not is_there and not self._is_untouched():
            return  # the old files are no longer whole, and the new ones can be completed
        self._leave_detour()
        base = os.path.basename(commit_file)
        for name in list_folder(self._folder):
            parts = split_staged(name)
            if parts is not None and parts[1] == self._token and name != base:
                _remove(os.path.join(self._folder, name))
        _remove(commit_file)  # last: it says that there is something to clean up

    def _close_all(self) -> None:
        for file in self._open:
            file.close()

    def _create(self, path: str) -> OutputFile:
        stays_open = len(self._open) < _MAX_OPEN
        mode = find_mode(path)
        staged = staged_path(path, self._token)
        file = OutputFile(staged, stays_open=stays_open, mode=self._mode if mode is None else mode)
        self._open.append(file)
        return file

    def _sync_path(self, path: str) -> None:
        if self._sync:
            sync_path(path)

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


def replace_file(
    path: str,
    data: bytes,
    *,
    sync: bool,
    may_be_stream: bool = False,
    timeout: float = TIMEOUT,
) -> None:
    """Write a file at once: whoever opens the path finds what was there before, or all of it.

    It keeps the permissions of the file that it replaces. With `sync` it survives a power loss.
    Removes what dead writers of this path left behind. With `may_be_stream` bytes for a pipe or a
    terminal go into it; else anything but a regular file, or a link to one, is an `OSError`.
    """
    if may_be_stream and write_into_stream(path, data):
        return
    check_replaceable(path)
    folder, base = os.path.split(path)
    folder = folder or os.curdir
    living = Living()
    with exclusive(folder, timeout):  # until it is locked it looks like a dead writer's
        file = OutputFile(staged_path(path, living.token), mode=find_mode(path))
        file.lock()
    try:
        file.append(data)
        file.finish(sync=sync)
        if os.name != "posix":  # where open files cannot be renamed
            file.close()
        os.replace(file.path, path)
    except BaseException:
        file.close()
        _remove(file.path)
        raise
    file.close()
    living.end()
    if sync:
        sync_path(folder)
    with suppress(TimeoutError), exclusive(folder, timeout):
        staged = [name for name in list_folder(folder) if (split_staged(name) or "")[:1] == (base,)]
        for left in leftovers(os.path.join(folder, name) for name in staged):
            _remove(left)


def _make_folder(path: str) -> str:
    """Make the folder if only its last level is missing; return it if it was made, else ""."""
    if is_folder(path):
        return ""
    path = os.path.normpath(path)  # "new/." cannot be made
    os.mkdir(path)
    return path


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # not there, or with a name too long to ever be
        return
