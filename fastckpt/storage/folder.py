"""A file or folder in the making that somebody else's library writes, which wants a path.

It is made in a folder of its own beside its final place, ``<name>.tmp-<token>``, together with a
lock that tells a living process's work from what a killed one left. The next one to write to the
same place removes that.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from types import TracebackType
from typing import Final

from .local import sync_path
from .locks import exclusive, is_locked
from .stage import OutputFile
from .staged import split_staged, staged_path

__all__ = ["Staging", "find_replaced", "is_abandoned"]

_LOCK: Final = "lock"
_NEW: Final = "new"
_OLD: Final = "old"  # a folder that is being replaced


class Staging:
    """Where `path` is made: `new` is the path to write to, for a file or for a folder.

    Leaving the block makes it durable and renames it to `path`; an exception removes it. A file
    that stood at `path` is replaced at once. A folder takes two renames: a process killed between
    them leaves the old one in the staging folder, and `Staging` puts it back before anything else.

    Raises `OSError`, before anything is made, if there is no such folder to write in, or if there
    is a folder at `path`, unless `replaces_folder`.
    """

    def __init__(self, path: str, *, replaces_folder: bool = False) -> None:
        self._path = os.path.normpath(path)  # "a.zarr/" is renamed to "a.zarr"
        self._parent = os.path.dirname(self._path) or os.curdir
        self._lock: OutputFile | None = None
        with exclusive(self._parent):  # until it is locked it looks like a dead one's
            _clean(self._path)
            if os.path.isdir(path) and not replaces_folder:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            self._folder = staged_path(self._path, os.urandom(8).hex())
            os.mkdir(self._folder)
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
        _sync(self.new)
        with exclusive(self._parent):
            if os.path.isdir(self._path) and os.path.isdir(self.new):
                os.replace(self._path, os.path.join(self._folder, _OLD))
            os.replace(self.new, self._path)
        sync_path(self._parent)

    def _discard(self) -> None:
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
        if (split_staged(name) or "")[:1] != (base,) or not os.path.isdir(left):
            continue
        if is_abandoned(left):
            doomed = staged_path(path, os.urandom(8).hex())
            with suppress(OSError):  # on Windows, where a living one's cannot be renamed
                os.replace(left, doomed)
                _restore(doomed, path)
                shutil.rmtree(doomed, ignore_errors=True)


def is_abandoned(folder: str) -> bool:
    """Whether no living process works in a staging folder."""
    return not is_locked(os.path.join(folder, _LOCK))


def find_replaced(folder: str, path: str) -> str | None:
    """Return the old folder that was taken from `path` and has no successor there, if there is."""
    old = os.path.join(folder, _OLD)
    return old if os.path.isdir(old) and not os.path.lexists(path) else None


def _restore(folder: str, path: str) -> None:
    """Bring the old folder back if there is no new one."""
    old = find_replaced(folder, path)
    if old is not None:
        os.replace(old, path)


def _sync(path: str) -> None:
    """Make a file durable, or a folder with all that is in it: at once, where the system can, since
    it may be a hundred thousand small files."""
    if os.path.isdir(path) and hasattr(os, "sync"):
        os.sync()
        return
    files = [path] if os.path.isfile(path) else _files(path)
    for each in files:
        fd = os.open(each, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _files(folder: str) -> list[str]:
    return [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
