"""Folders and files that other people's libraries write, and what is at a path.

A library that wants a path gets that of a folder of its own beside the final place,
``<name>.tmp-<token>``. A lock in it tells a living process's work from what a killed one left; the
next one to write to the same place removes that.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from types import TracebackType
from typing import Final

from ..errors import UnsupportedError
from .locks import TIMEOUT, Living, exclusive, is_alive
from .output import OutputFile
from .staged import split_staged, staged_path
from .system import sync_path

__all__ = [
    "Staging",
    "find_kind",
    "find_replaced",
    "is_abandoned",
    "is_inside",
    "is_same_place",
    "list_tree",
]

_LOCK: Final = "lock"
_NEW: Final = "new"
_OLD: Final = "old"  # a folder that is being replaced
_PRIVATE: Final = 0o700
_PUBLIC: Final = 0o777  # without what the umask takes away
_ODD: Final = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a symbolic link"),
)


# ---- What is there


def find_kind(path: str) -> str:
    """Return "file", "folder", or "" if nothing is there. Links are followed.

    Raises `OSError` for anything else: a pipe, a device, a socket, a link that leads nowhere.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise
        return ""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return "folder" if stat.S_ISDIR(mode) else "file"
    problem = f"expected a regular file or a folder, got {_describe(mode)}"
    raise OSError(errno.EINVAL, problem, path)


def is_inside(path: str, folder: str) -> bool:
    """Return whether a path leads into a folder, with all links followed."""
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ""))


def is_same_place(path: str, other: str) -> bool:
    """Return whether two paths are the same name in the same folder, or lead to the same file."""
    if _place(path) == _place(other):
        return True
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def _place(path: str) -> str:
    folder, name = os.path.split(os.path.normpath(path))
    return os.path.join(os.path.realpath(folder), name)


def list_tree(folder: str) -> dict[str, int]:
    """Return {relative path: bytes} of all files below a folder, "/" between its parts, sorted.

    Raises `UnsupportedError` for anything that is no regular file or folder. Links are refused,
    too: a folder that was unpacked from an archive must not pull in other files of this machine.
    """
    found: dict[str, int] = {}
    folders = [""]
    while folders:
        at = folders.pop()
        with os.scandir(os.path.join(folder, at)) as entries:
            for entry in entries:
                name, status = at + entry.name, entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(name + "/")
                elif stat.S_ISREG(status.st_mode):
                    found[name] = status.st_size
                else:
                    problem = f"expected a regular file, got {_describe(status.st_mode)}; "
                    problem += "a copy of the folder without links can be read (cp -rL)"
                    raise UnsupportedError(folder, f"entry {name!r}", problem)
    return dict(sorted(found.items()))


def _describe(mode: int) -> str:
    return next((name for is_odd, name in _ODD if is_odd(mode)), "something else")


# ---- Writing


class Staging:
    """Where `path` is made: `new` is the path to write to, for a file or for a folder.

    Leaving the block makes it durable and renames it to `path`; an exception removes it. A file
    that stood at `path` is replaced at once. A folder takes two renames: a process killed between
    them leaves the old one in the staging folder, and `Staging` puts it back before anything else.
    The result has the permissions of what it replaces; until then only its owner can read it.

    Raises `OSError`, before anything is made, if the folder to write in does not exist, if there is
    a folder at `path`, unless `replaces_folder`, or something else that is no regular file.
    """

    def __init__(
        self, path: str, *, replaces_folder: bool = False, timeout: float = TIMEOUT
    ) -> None:
        self._path = os.path.normpath(path)  # "a.zarr/" is renamed to "a.zarr"
        self._parent = os.path.dirname(self._path) or os.curdir
        self._timeout = timeout
        self._living = Living()
        self._lock: OutputFile | None = None
        with exclusive(self._parent, timeout):  # until it is locked it looks like a dead one's
            _clean(self._path)
            kind = find_kind(path)
            if kind == "folder" and not replaces_folder:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            self._mode = stat.S_IMODE(os.stat(path).st_mode) if kind else None
            self._folder = staged_path(self._path, self._living.token)
            os.mkdir(self._folder, _PRIVATE if kind else _PUBLIC)
            try:
                self._lock = OutputFile(os.path.join(self._folder, _LOCK))
                self._lock.lock()
            except BaseException:
                self._discard()
                raise
        self.new = os.path.join(self._folder, _NEW)

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._commit()
        except OSError as caught:
            error = caught
            raise
        finally:
            if isinstance(error, OSError) and error.filename is None:
                error.filename = self._path
            self._discard()

    def _commit(self) -> None:
        _sync(self.new, self._mode)
        with exclusive(self._parent, self._timeout):
            if os.path.isdir(self._path) and os.path.isdir(self.new):
                os.replace(self._path, os.path.join(self._folder, _OLD))
            os.replace(self.new, self._path)
        sync_path(self._parent)

    def _discard(self) -> None:
        self._living.end()
        if self._lock is not None:
            self._lock.close()
        _restore(self._folder, self._path)
        with suppress(OSError):  # a fstat that fails is not ignored
            shutil.rmtree(self._folder, ignore_errors=True)


def _clean(path: str) -> None:
    """Remove what killed processes left of `path`; what one took away comes back."""
    folder, base = os.path.split(path)
    for name in os.listdir(folder or os.curdir):
        left = os.path.join(folder, name)
        if (split_staged(name) or "")[:1] != (base,) or not _is_own_folder(left):
            continue
        if is_abandoned(left):
            doomed = staged_path(path, Living().token)
            with suppress(OSError):  # on Windows, where a living one's cannot be renamed
                os.replace(left, doomed)
                _restore(doomed, path)
                shutil.rmtree(doomed, ignore_errors=True)


def is_abandoned(folder: str) -> bool:
    """Return whether a path is a staging folder in which no living process works."""
    parts = split_staged(folder)
    token = parts[1] if parts else ""
    return _is_own_folder(folder) and not is_alive(token, [os.path.join(folder, _LOCK)])


def find_replaced(folder: str, path: str) -> str | None:
    """Return the old folder that was taken from `path` into a staging folder, None if there is none
    or if it has a successor at `path`."""
    old = os.path.join(folder, _OLD)
    is_there = _is_own_folder(folder) and os.path.isdir(old)
    return old if is_there and not os.path.lexists(path) else None


def _is_own_folder(path: str) -> bool:
    """Return whether there is a folder, not a link to one: a link that somebody planted under the
    name of a staging folder leads to what is not ours."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _restore(folder: str, path: str) -> None:
    """Bring the old folder back if there is no new one."""
    old = find_replaced(folder, path)
    if old is not None:
        os.replace(old, path)


def _sync(path: str, mode: int | None) -> None:
    """Make a file durable, or a folder with all that is in it, after it got the permissions `mode`.

    A folder is synced by one call, where the system has it: there may be a hundred thousand small
    files in it.
    """
    if os.path.isfile(path):
        _sync_file(path, mode)
        return
    if mode is not None:
        os.chmod(path, mode | _PRIVATE)  # whoever may not write in a folder cannot rename it
    if hasattr(os, "sync"):
        os.sync()
        return
    for at, _, names in os.walk(path):
        for name in names:
            _sync_file(os.path.join(at, name), None)


def _sync_file(path: str, mode: int | None) -> None:
    fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)
