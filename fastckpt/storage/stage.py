"""Bytes in and bytes out: files that are read or mapped, and files that appear together.

Knows nothing of checkpoints. The only user of `mmap`.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final

from ..bundle.names import aside_path, split_staged, staged_path
from ..errors import CheckpointError, FormatError
from ..format.checksum import crc32c

if sys.platform != "win32":
    from ._map import Map

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "File",
    "OutputFile",
    "Stage",
    "empty_bytes",
    "is_network",
    "leftovers",
    "replace_file",
]

_CHUNK: Final = 256 * 1024  # read or written and checksummed while it is in the CPU's cache
_READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a FIFO must not wait for its writer
)
_APPEND_FLAGS: Final = (
    os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
_WRITE_FLAGS: Final = _APPEND_FLAGS | os.O_CREAT | os.O_EXCL
_SMALL_BUFFER: Final = 4 * 1024  # of each of thousands of files
_MAX_OPEN: Final = 64  # files of one stage that stay open


class File:
    """A regular file that is read by position: safe to share between threads and after fork.

    `size` is what it was when it was opened. `identity` changes when another file takes the
    path. Without `stays_open` it is opened anew for each read, for who has thousands of files.
    Raises `OSError` as `open` does.
    """

    __slots__ = ("_fd", "_stays_open", "identity", "path", "size")

    def __init__(self, path: str, *, stays_open: bool = True) -> None:
        self._fd = -1
        self._stays_open = stays_open
        self._fd = os.open(path, _READ_FLAGS)
        try:
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
                raise OSError(code, os.strerror(code))
        except OSError as error:
            self._park()
            error.filename = path
            raise
        self.path = path
        self.size = status.st_size
        self.identity = _identity(status)
        if not stays_open:
            self._park()

    def close(self) -> None:
        """Give the descriptor back. Maps stay valid."""
        self._stays_open = True  # nothing opens it anew
        self._park()

    __del__ = close

    def _park(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):  # nothing is lost by it
                os.close(fd)

    def read(self, offset: int, size: int, what: str) -> bytes:
        """Return `size` bytes; `what` names them in the error if they are not there."""
        self._check(offset, size, what)
        if _HAS_PREAD and self._stays_open:
            try:
                data = os.pread(self._fd, size, offset)
            except OSError as error:
                error.filename = self.path  # which the system's do not have
                raise
            if len(data) == size:
                return data
        buffer = bytearray(size)
        self._fill(memoryview(buffer), offset, what)
        return bytes(buffer)

    def read_into(self, view: memoryview, offset: int, what: str) -> int:
        """Fill a buffer of bytes and return their CRC-32C."""
        self._check(offset, len(view), what)
        crc = 0
        for start in range(0, len(view), _CHUNK):
            chunk = view[start : start + _CHUNK]
            self._fill(chunk, offset + start, what)
            crc = crc32c(chunk, crc)
        return crc

    def checksum(self, offset: int, size: int, what: str) -> int:
        """Return the CRC-32C of a range, in the memory of one chunk."""
        self._check(offset, size, what)
        buffer = empty_bytes(min(size, _CHUNK)).data
        crc = 0
        for start in range(0, size, _CHUNK):
            chunk = buffer[: size - start]
            self._fill(chunk, offset + start, what)
            crc = crc32c(chunk, crc)
        return crc

    def chunks(self, offset: int, size: int, what: str) -> Iterator[bytes]:
        """Yield a range piece by piece."""
        self._check(offset, size, what)
        for start in range(0, size, _CHUNK):
            yield self.read(offset + start, min(_CHUNK, size - start), what)

    def map(self, *, writable: bool) -> npt.NDArray[np.uint8]:
        """Map the whole file; a writable map is private, and never changes the file.

        The array pins the map: it is unmapped when the last array that views it is gone.
        """
        import numpy as np

        if self.size == 0:  # what mmap refuses
            return np.empty(0, np.uint8)
        with self._opened() as fd:
            try:
                return np.frombuffer(_map(fd, self.size, writable=writable), np.uint8)
            except OSError as error:
                error.filename = self.path  # which the system's do not have
                raise

    def fileno(self) -> int:
        """Return the descriptor, -1 if the file does not stay open."""
        return self._fd

    def check_current_size(self, offset: int, size: int, what: str) -> None:
        """Compare with the size that the file has now: it may have been cut short in place."""
        with self._opened() as fd:
            now = os.fstat(fd).st_size
        if size > now - offset:
            problem = f"expected {size} bytes at {offset}, but the file ends at {now} now: it was "
            raise FormatError(self.path, what, problem + "cut short since it was opened")

    def is_current(self) -> bool:
        """Whether the path still leads to this very file."""
        try:
            return _identity(os.stat(self.path)) == self.identity
        except OSError:
            return False

    def is_network(self) -> bool:
        """Whether the file lies on a network file system."""
        return is_network(self.identity[0])

    def _check(self, offset: int, size: int, what: str) -> None:
        """Compare with the file's size before anything is allocated."""
        if offset < 0 or offset > self.size or size > self.size - offset:
            problem = f"expected {size} bytes at {offset}, but the file ends at {self.size}"
            raise FormatError(self.path, what, problem)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor for a while."""
        if self._stays_open:
            yield self._fd
            return
        again = File(self.path)
        try:
            if again.identity != self.identity:
                problem = "expected the file that was opened, got another one in its place"
                raise CheckpointError(self.path, "file", problem)
            yield again._fd
        finally:
            again.close()

    def _fill(self, view: memoryview, offset: int, what: str) -> None:
        if self._stays_open:
            self._fill_from(self._fd, view, offset, what)
        else:
            with self._opened() as fd:
                self._fill_from(fd, view, offset, what)

    def _fill_from(self, fd: int, view: memoryview, offset: int, what: str) -> None:
        filled = 0
        while filled < len(view):
            try:
                count = _read_at(fd, view[filled:], offset + filled)
            except OSError as error:
                error.filename = self.path  # which the system's do not have
                raise
            if count == 0:
                problem = f"expected {len(view)} bytes at {offset}, got {filled}: the file shrank"
                raise FormatError(self.path, what, problem)
            filled += count


def _map(fd: int, size: int, *, writable: bool) -> memoryview:
    """Return a map that keeps no descriptor, where that is possible."""
    if sys.platform != "win32":
        return memoryview(Map(fd, size, writable=writable))
    import mmap

    access = mmap.ACCESS_COPY if writable else mmap.ACCESS_READ
    return memoryview(mmap.mmap(fd, size, access=access))


def empty_bytes(size: int) -> npt.NDArray[np.uint8]:
    """Return bytes to be filled, at an address that is a multiple of 64.

    NumPy aligns to 16, and there are CPUs on which the kernel then copies a file's bytes at a
    quarter of its speed.
    """
    import numpy as np  # here: what only reads an index need not wait for it

    if size < _ALIGNMENT_PAYS:
        return np.empty(size, np.uint8)
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % _ALIGNMENT
    return memory[start : start + size]


_ALIGNMENT: Final = 64
_ALIGNMENT_PAYS: Final = 64 * 1024
_HAS_PREAD: Final = hasattr(os, "pread")


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


if hasattr(os, "preadv"):

    def _read_at(fd: int, view: memoryview, offset: int) -> int:
        return os.preadv(fd, [view], offset)

else:
    import threading

    _SEEK_LOCK = threading.Lock()

    def _read_at(fd: int, view: memoryview, offset: int) -> int:
        with _SEEK_LOCK:
            os.lseek(fd, offset, os.SEEK_SET)
            data = os.read(fd, len(view))
        view[: len(data)] = data
        return len(data)


_NETWORK_FILE_SYSTEMS: Final = frozenset(
    ("9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4")
    + ("orangefs", "smb3", "smbfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs")
    + ("fuse.rclone", "fuse.s3fs", "fuse.sshfs")
)
_network_devices: dict[int, bool] = {}


def is_network(device: int) -> bool:
    """Whether a device number is a network file system's. Known on Linux; elsewhere False."""
    if device not in _network_devices:
        _network_devices[device] = _find_file_system(device) in _NETWORK_FILE_SYSTEMS
    return _network_devices[device]


def _find_file_system(device: int) -> str:
    """Return the type of a mounted file system, "" if it is not known."""
    if not sys.platform.startswith("linux") or os.major(device) != 0:
        return ""  # a device with a major number is a disk
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as f:
        for line in f:
            fields = line.split(" ")
            if fields[2] == number:
                return fields[fields.index("-") + 1]
    return ""


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
        _try_lock(self._fd)

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


def _try_lock(fd: int) -> bool:
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
            with _exclusive(self._folder):  # until it is locked it looks like a dead writer's
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
        with _exclusive(self._folder):
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
            _sync_path(path)

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
    with _exclusive(folder):  # until it is locked it looks like a dead writer's
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
        _sync_path(folder)
    with _exclusive(folder):
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


def _sync_path(path: str) -> None:
    if os.name != "posix":  # Windows cannot sync a folder
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        error.filename = path  # which the system's do not have
        raise
    finally:
        os.close(fd)


@contextmanager
def _exclusive(folder: str) -> Iterator[None]:
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


def _make_folder(path: str) -> str:
    """Make the folder if only its last level is missing; return it if it was made, else ""."""
    if os.path.isdir(path):
        return ""
    path = os.path.normpath(path)  # "new/." cannot be made
    os.mkdir(path)
    return path


def leftovers(staged: Iterable[str]) -> list[str]:
    """Return those of some staged files that no living process is still writing.

    A stage's commit file is there first, locked, and goes last: a token without one that is
    locked is a dead one's.
    """
    paths = list(staged)
    alive = {token for path in paths for token in [_token(path)] if _is_locked(path)}
    return [path for path in paths if _token(path) not in alive]


def _token(path: str) -> str:
    parts = split_staged(path)
    return parts[1] if parts else ""


def _is_locked(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _try_lock(fd)
    finally:
        os.close(fd)
