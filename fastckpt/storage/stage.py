"""Bytes out: files that are staged, and appear together."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final

from .local import sync_path
from .locks import exclusive, leftovers, try_lock
from .staged import aside_path, split_staged, staged_path

__all__ = ["OutputFile", "Stage", "replace_file"]

_CHUNK: Final = 256 * 1024  # bytes that are buffered before they are written
_APPEND_FLAGS: Final = (
    os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
_WRITE_FLAGS: Final = _APPEND_FLAGS | os.O_CREAT | os.O_EXCL
_SMALL_BUFFER: Final = 4 * 1024  # of each of thousands of files
_MAX_OPEN: Final = 64  # files of one stage that stay open


class OutputFile:
    """A new file that is appended to through a buffer. `position` is where the next byte goes.

    Without `stays_open` it is opened anew each time that its buffer, a small one then, is written:
    for who has thousands of files.
    """

    __slots__ = ("_buffer", "_fd", "_stays_open", "path", "position")

    def __init__(self, path: str, *, stays_open: bool = True) -> None:
        self._fd = -1
        self._fd = os.open(path, _WRITE_FLAGS, 0o666)
        self._stays_open = stays_open
        self.path = path
        self.position = 0
        self._buffer = bytearray()
        if not stays_open:
            self.close()

    def append(self, data: bytes | memoryview, alignment: int = 1) -> int:
        """Append bytes, and zeros up to a multiple of `alignment`; return where they begin.

        Many bytes are written at once, without a copy.
        """
        buffer = self._buffer
        limit = _CHUNK if self._stays_open else _SMALL_BUFFER
        offset = self.position
        end = offset + len(data)
        if len(data) < limit:
            buffer += data
        else:
            self._flush()
            self._write_all(memoryview(data))
        padding = -end % alignment
        if padding:
            buffer += bytes(padding)
        self.position = end + padding
        if len(buffer) >= limit:
            self._flush()
        return offset

    def finish(self, *, sync: bool) -> None:
        """Write what is buffered, and make it durable if asked to. The file stays open, so that
        a lock on it stays, too."""
        self._flush()
        if sync:
            with self._opened() as fd:
                os.fsync(fd)

    def close(self) -> None:
        """Give the descriptor back; what is still buffered is lost."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as error:
                error.filename = self.path  # which the system's do not have
                raise

    __del__ = close

    def lock(self) -> None:
        """Mark the file as somebody's, for as long as it is open."""
        try_lock(self._fd)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor for a while. Errors get the path, which the system's do not have."""
        try:
            if self._stays_open:
                yield self._fd
                return
            fd = os.open(self.path, _APPEND_FLAGS)
            try:
                yield fd
            finally:
                os.close(fd)
        except OSError as error:
            error.filename = self.path
            raise

    def _flush(self) -> None:
        if self._buffer:
            with memoryview(self._buffer) as view:
                self._write_all(view)
            self._buffer.clear()

    def _write_all(self, view: memoryview) -> None:
        written = 0
        with self._opened() as fd:
            while written < len(view):
                written += os.write(fd, view[written:])


class Stage:
    """Files that become visible together: the last one, `commit_path`, says that all are there.

    Each file is staged beside its final place. `commit` makes them durable (with `sync`), takes
    away the old commit file, renames the others and then the new commit file. Whoever looks in
    between finds no commit file; nobody finds an old one beside new data. With `sync` each of these
    steps is durable before the next one begins, so a power loss leaves nothing else, either. A
    stage of one file replaces the old one at once. Files are replaced, never truncated, since
    somebody may have them mapped.
    """

    def __init__(self, commit_path: str, *, sync: bool) -> None:
        self._commit_path = commit_path
        self._sync = sync
        self._owner = os.getpid()
        self._token = os.urandom(8).hex()
        self._open: list[OutputFile] = []
        self._finals: list[str] = []
        self._is_half_done = False
        self._folder = os.path.dirname(commit_path) or os.curdir
        self._made_folder = _make_folder(self._folder)
        try:
            if self._made_folder:
                self._sync_path(os.path.dirname(self._made_folder) or os.curdir)
            with exclusive(self._folder):  # until it is locked it looks like a dead writer's
                self.commit_file = self._create(commit_path)
                self.commit_file.lock()
        except BaseException:
            self.discard()
            raise

    def create(self, path: str) -> OutputFile:
        """Return a staged file that `commit` will rename to `path`."""
        file = self._create(path)
        self._finals.append(path)
        return file

    def link(self, source: str, path: str) -> None:
        """Stage another name of an existing file; where there are no hard links, a copy that
        shares its blocks; where there are none of those, a copy."""
        staged = staged_path(path, self._token)
        self._finals.append(path)
        try:
            os.link(os.path.realpath(source), staged)  # not a copy of a symbolic link
        except OSError:
            if not _clone(source, staged):
                import shutil

                shutil.copyfile(source, staged)
            self._sync_path(staged)

    def commit(self, find_obsolete: Callable[[], Iterable[str]]) -> None:
        """Make everything visible, and remove what it makes obsolete: paths of older commits,
        looked for when no other process can commit in that folder."""
        if os.getpid() != self._owner:
            raise ValueError(f"{self._commit_path}: the process that began to write must commit")
        for file in self._open:
            file.finish(sync=self._sync)
        if os.name != "posix":  # where open files cannot be renamed, nor locked as here
            self._close_all()
        targets = [*self._finals, self._commit_path]
        for path in targets:
            if os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        with exclusive(self._folder):
            self._rename_all()
            kept = set(map(os.path.abspath, targets))
            with suppress(OSError):  # the commit is complete without it
                os.unlink(aside_path(self._commit_path, self._token))
            for path in find_obsolete():
                if os.path.abspath(path) not in kept:
                    with suppress(OSError):
                        os.unlink(path)
        self._close_all()

    def _close_all(self) -> None:
        for file in self._open:
            file.close()

    def discard(self) -> None:
        """Remove everything that was staged. Only close the files in a forked child, which has a
        copy of this object but does not own them, and where files of the old commit have been
        replaced already: what is staged is needed to complete it."""
        self._close_all()
        if os.getpid() != self._owner or self._is_half_done:
            return
        for path in [*self._finals, self._commit_path]:
            with suppress(OSError):  # not there, or with a name too long to ever be
                os.unlink(staged_path(path, self._token))
        if self._made_folder:
            with suppress(OSError):  # no longer empty
                os.rmdir(self._made_folder)

    def _create(self, path: str) -> OutputFile:
        stays_open = len(self._open) < _MAX_OPEN
        file = OutputFile(staged_path(path, self._token), stays_open=stays_open)
        self._open.append(file)
        return file

    def _rename_all(self) -> None:
        if self._finals:
            self._take_old_away()
            for path in self._finals[1:]:
                self._rename(path)
            self._sync_path(self._folder)
        self._rename(self._commit_path)
        self._is_half_done = False
        self._sync_path(self._folder)

    def _take_old_away(self) -> None:
        """Put the old commit file aside. It comes back if not even the first file can be renamed:
        on Windows, say, somebody has the old one open."""
        aside = aside_path(self._commit_path, self._token)
        try:
            with suppress(FileNotFoundError):
                os.replace(self._commit_path, aside)
            self._sync_path(self._folder)
            self._rename(self._finals[0])
            self._is_half_done = True
        except BaseException:
            if os.path.lexists(staged_path(self._finals[0], self._token)):
                with suppress(FileNotFoundError):
                    os.replace(aside, self._commit_path)
            raise

    def _rename(self, path: str) -> None:
        os.replace(staged_path(path, self._token), path)

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


def replace_file(path: str, data: bytes, *, sync: bool) -> None:
    """Write a file at once: whoever opens the path finds what was there before, or all of it.

    With `sync` it survives a power loss. Removes what dead writers of this path left behind.
    """
    folder, base = os.path.split(path)
    folder = folder or os.curdir
    with exclusive(folder):  # until it is locked it looks like a dead writer's
        file = OutputFile(staged_path(path, os.urandom(8).hex()))
        file.lock()
    try:
        file.append(data)
        file.finish(sync=sync)
        if os.name != "posix":  # where open files cannot be renamed
            file.close()
        os.replace(file.path, path)
    except BaseException:
        file.close()
        with suppress(OSError):
            os.unlink(file.path)
        raise
    file.close()
    if sync:
        sync_path(folder)
    with exclusive(folder):
        staged = [name for name in os.listdir(folder) if (split_staged(name) or "")[:1] == (base,)]
        for left in leftovers(os.path.join(folder, name) for name in staged):
            with suppress(OSError):
                os.unlink(left)


_FICLONE: Final = 0x40049409  # of Linux; Btrfs, XFS, bcachefs, OCFS2 and some NFS servers know it


def _clone(source: str, target: str) -> bool:
    """Make a copy that shares the file's blocks, if the file system can; else leave nothing."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        with open(source, "rb") as old, open(target, "xb") as new:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
    except OSError:
        with suppress(OSError):
            os.unlink(target)
        return False
    return True


def _make_folder(path: str) -> str:
    """Make the folder if only its last level is missing; return it if it was made, else ""."""
    if os.path.isdir(path):
        return ""
    path = os.path.normpath(path)  # "new/." cannot be made
    os.mkdir(path)
    return path
