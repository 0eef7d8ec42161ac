"""Locks: whose commit goes on in a folder, and which staged files a living process writes.

Whoever may only read a folder can block nobody: a commit is locked by a file that is made in the
folder and that others cannot open, and staged files are marked while others cannot read them.

Advisory locks (flock) end with their process, but there are file systems without them, and others
on which they hold for one machine only. There the token of a staged file says which process made
it. A process of another machine counts as alive until its files have not changed for a day.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from threading import RLock
from types import TracebackType
from typing import Final
from weakref import WeakValueDictionary

from .staged import machine, make_token, split_staged, split_token
from .system import APPEND, CREATE, READ, TIMEOUT, close, locks_reach_others, open_regular

__all__ = ["LOCK_NAME", "TIMEOUT", "Exclusive", "Living", "exclusive", "is_alive", "leftovers"]

LOCK_NAME: Final = ".fastckpt.lock"  # in a folder, while a commit goes on there
_SHORTEST_PAUSE: Final = 0.0005  # seconds between two tries
_LONGEST_PAUSE: Final = 0.02
_LONGEST_COMMIT: Final = 300  # seconds; an unknown process that commits for longer is dead
_LONGEST_SILENCE: Final = 24 * 3600  # seconds; an unknown process that writes nothing is dead


class Living:
    """The token of files that this process is staging, alive until `end` or until it is gone."""

    __slots__ = ("__weakref__", "token")

    def __init__(self) -> None:
        self.token = make_token()
        _living[self.token] = self

    def end(self) -> None:
        """Give the files up: they are left over from now on."""
        _living.pop(self.token, None)


_living: WeakValueDictionary[str, Living] = WeakValueDictionary()


# ---- Commits in a folder


def exclusive(folder: str, timeout: float = TIMEOUT) -> Exclusive:
    """Return a context that keeps other commits out of a folder, of this process's threads too.

    Waits for another commit for at most `timeout` seconds; then entering it raises `TimeoutError`,
    which names the lock's file and its holder.
    """
    return Exclusive(folder or os.curdir, timeout)


class Exclusive:
    """See `exclusive`. An object, not a generator: if an exception falls between two of its steps,
    the descriptor and the place among the owners end with the object."""

    __slots__ = ("__weakref__", "_fd", "_key", "_path", "_process", "_timeout")

    def __init__(self, folder: str, timeout: float) -> None:
        self._fd = -1
        self._process = os.getpid()
        self._path = os.path.join(folder, LOCK_NAME)
        self._timeout = timeout
        status = os.stat(folder)
        self._key = (status.st_dev, status.st_ino)

    def __enter__(self) -> None:
        deadline = time.monotonic() + self._timeout
        pause = _SHORTEST_PAUSE
        try:
            while not (self._own() and self._lock()):
                if time.monotonic() >= deadline:
                    raise TimeoutError(errno.ETIMEDOUT, self._explain(), self._path)
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        except BaseException:
            self._release()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0 and self._process == os.getpid():
            self._release()

    def _own(self) -> bool:
        """Keep other threads out."""
        with _guard:
            return _owners.setdefault(self._key, self) is self

    def _disown(self) -> None:
        with _guard:
            if _owners.get(self._key) is self:
                del _owners[self._key]

    def _lock(self) -> bool:
        """Keep other processes out: make the file, or take it over from a dead process."""
        is_new = True
        try:
            fd, status = open_regular(self._path, CREATE, 0o600)
        except FileExistsError:
            is_new = False
            try:
                fd, status = open_regular(self._path, APPEND)
            except FileNotFoundError:
                return False  # it was given back
            except PermissionError:
                self._remove_if_old(None)
                return False
        try:
            if self._is_mine(fd, status, is_new):
                self._fd, fd = fd, -1
                return True
            return False
        finally:
            if fd >= 0:
                close(fd)

    def _is_mine(self, fd: int, status: os.stat_result, is_new: bool) -> bool:
        """Return whether an opened lock file is this process's now."""
        is_locked = try_lock(fd)
        if is_locked is False:
            return False
        if is_new:
            with suppress(OSError):  # a full disk: the holder is unknown then
                os.write(fd, f"{machine()} {os.getpid()}\n".encode())
        elif is_locked is None or not locks_reach_others(status.st_dev):
            holder = self._holder()
            if is_locked is None or holder is None or holder[0] != machine():
                self._remove_if_old(holder)
                return False
        try:
            now = os.lstat(self._path)
        except OSError:
            return False
        return (now.st_dev, now.st_ino) == (status.st_dev, status.st_ino)

    def _remove_if_old(self, holder: tuple[int, int] | None) -> None:
        """Remove the file of a process that is dead, for all that can be known."""
        with suppress(OSError):
            if holder is not None and holder[0] == machine():
                is_dead = holder[1] == os.getpid() or process_exists(holder[1]) is False
            else:
                is_dead = os.lstat(self._path).st_mtime < time.time() - _LONGEST_COMMIT
            if is_dead:
                os.unlink(self._path)

    def _holder(self) -> tuple[int, int] | None:
        """Return the machine and the process that the file tells of."""
        try:
            fd, _ = open_regular(self._path, READ)
            try:
                host, process = os.read(fd, 64).split()
            finally:
                close(fd)
            return int(host), int(process)
        except (OSError, ValueError):
            return None

    def _explain(self) -> str:
        holder = self._holder()
        who = "another process"
        if holder is not None:
            here = "" if holder[0] == machine() else " of another machine"
            who = f"process {holder[1]}{here}"
        return (
            f"{who} has been saving into this folder for {self._timeout:g} s and more: "
            "wait for it, or remove this file if no such process is there"
        )

    def _release(self) -> None:
        fd, self._fd = self._fd, -1
        try:
            if fd >= 0:
                with suppress(OSError):
                    mine, now = os.fstat(fd), os.lstat(self._path)
                    if (mine.st_dev, mine.st_ino) == (now.st_dev, now.st_ino):
                        if os.name != "posix":  # where open files cannot be removed
                            close(fd)
                            fd = -1
                        os.unlink(self._path)
        finally:
            if fd >= 0:
                close(fd)
            self._disown()


_guard = RLock()  # a destructor may come while it is held
_owners: WeakValueDictionary[tuple[int, int], Exclusive] = WeakValueDictionary()


def _forget_threads() -> None:
    """In a forked child: the other threads, which may hold a lock, are not there."""
    global _guard
    _guard = RLock()
    _owners.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


# ---- Locks of the system


def try_lock(fd: int, *, shared: bool = False) -> bool | None:
    """Lock an open file against other processes: False if one of them has it, None if the file
    system has no locks."""
    try:
        import fcntl
    except ImportError:  # Windows, which refuses to remove files that are open
        return True
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def process_exists(number: int) -> bool | None:
    """Return whether there is a process of that number, None if that cannot be known."""
    if os.name != "posix":
        return None
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


# ---- Staged files


def leftovers(staged: Iterable[str]) -> list[str]:
    """Return those of some staged files that no living process is still writing."""
    tokens: dict[str, list[str]] = {}
    for path in staged:
        parts = split_staged(path)
        tokens.setdefault(parts[1] if parts else "", []).append(path)
    dead = {token for token, paths in tokens.items() if not is_alive(token, paths)}
    return [path for token, paths in tokens.items() if token in dead for path in paths]


def is_alive(token: str, paths: list[str]) -> bool:
    """Return whether the process that made some files, all with one token, still writes them."""
    host, process = split_token(token) if token else (-1, -1)
    is_here = host == machine()
    if is_here and process == os.getpid():
        return token in _living
    states = {_probe(path) for path in paths}
    if True in states:
        return True
    if None not in states and (is_here or _is_decisive(paths)):
        return False
    exists = process_exists(process) if is_here else None
    return _changed_lately(paths) if exists is None else exists


def _probe(path: str) -> bool | None:
    """Return whether somebody has locked a file, None if that cannot be known."""
    for flags in (APPEND, READ):
        try:
            fd, status = open_regular(path, flags)
        except PermissionError:
            continue
        except OSError as error:
            return None if error.errno in _UNKNOWN else False
        try:
            if status.st_nlink > 1:  # a data file of another checkpoint, which anybody may lock
                return False
            is_free = try_lock(fd, shared=flags == READ)
        finally:
            close(fd)
        return None if is_free is None else not is_free
    return None


# Of a file that may well be somebody's; others say that it is gone, or no file at all.
_UNKNOWN: Final = frozenset(
    (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS, errno.EINTR)
)


def _is_decisive(paths: list[str]) -> bool:
    """Return whether the locks of other machines would have been seen."""
    for path in paths:
        with suppress(OSError):
            return locks_reach_others(os.lstat(path).st_dev)
    return True


def _changed_lately(paths: list[str]) -> bool:
    since = time.time() - _LONGEST_SILENCE
    for path in paths:
        with suppress(OSError):
            if os.lstat(path).st_mtime > since:
                return True
    return False
