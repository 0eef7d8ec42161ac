"""Locks: which staged files a living process writes, and whose commit goes on in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from .staged import split_staged

__all__ = ["exclusive", "is_locked", "leftovers", "try_lock"]


@contextmanager
def exclusive(folder: str) -> Iterator[None]:
    """Keep other processes' commits out of a folder, where folders can be locked."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def try_lock(fd: int) -> bool:
    """Lock an open file against other processes; False if one of them has it."""
    try:
        import fcntl
    except ImportError:  # Windows, which refuses to remove files that are open
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def leftovers(staged: Iterable[str]) -> list[str]:
    """Return those of some staged files that no living process is still writing.

    A stage's commit file is there first, locked, and goes last: a token without one that is
    locked is a dead one's.
    """
    paths = list(staged)
    alive = {token for path in paths for token in [_token(path)] if is_locked(path)}
    return [path for path in paths if _token(path) not in alive]


def _token(path: str) -> str:
    parts = split_staged(path)
    return parts[1] if parts else ""


def is_locked(path: str) -> bool:
    """Whether another process has locked a file."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not try_lock(fd)
    finally:
        os.close(fd)
