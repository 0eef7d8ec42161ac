"""System calls on files, with the path in every error. `open_regular` is what opens files.

A name in a folder that somebody else could write to may lead to anything: a pipe that nobody
writes into, a device, a link out of the folder. So a file is opened without waiting, and looked at
before a byte is read or written.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from typing import Final

__all__ = [
    "TIMEOUT",
    "APPEND",
    "CREATE",
    "READ",
    "check_replaceable",
    "close",
    "copy_file",
    "drop_output",
    "file_size",
    "find_mode",
    "is_file",
    "is_folder",
    "is_network",
    "list_folder",
    "locks_reach_others",
    "open_regular",
    "read_text",
    "sync_path",
    "write_into_stream",
]

TIMEOUT: Final = 10.0  # seconds, for a lock that somebody else holds
_COMMON: Final = (
    getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a FIFO must not wait for its other end
)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
READ: Final = os.O_RDONLY | _COMMON  # follows links, as caches of downloads are made of them
APPEND: Final = os.O_WRONLY | os.O_APPEND | _NO_LINK | _COMMON
CREATE: Final = APPEND | os.O_CREAT | os.O_EXCL  # a name that is taken, by a link too, is an error
_FICLONE: Final = 0x40049409  # of Linux; Btrfs, XFS, bcachefs, OCFS2 and some NFS servers know it


def open_regular(path: str, flags: int, mode: int = 0o666) -> tuple[int, os.stat_result]:
    """Open a regular file; return its descriptor and status.

    `flags` are `READ`, `APPEND` or `CREATE`; `mode` is a new file's, less the umask. Raises
    `OSError`, at once, for anything that is not there or no regular file.
    """
    fd = os.open(path, flags, mode)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(status.st_mode, path)
    except BaseException as error:
        close(fd)
        if flags & os.O_CREAT:
            with suppress(OSError):
                os.unlink(path)
        if isinstance(error, OSError):
            error.filename = path
        raise
    return fd, status


def check_replaceable(path: str) -> None:
    """Raise `OSError` if there is something at a path that saving must not replace: anything but
    a regular file or a link to one."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise _refusal(mode, path)


def find_mode(path: str) -> int | None:
    """Return the permissions of the regular file at a path, None if there is none."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return None
    return mode & 0o777 if stat.S_ISREG(mode) else None


def is_file(path: str) -> bool:
    """Return whether there is a regular file, or a link to one."""
    return os.path.isfile(path)


def is_folder(path: str) -> bool:
    """Return whether there is a folder, or a link to one."""
    return os.path.isdir(path)


def list_folder(path: str) -> list[str]:
    """Return the sorted names in a folder ("" is the current one), [] if there is no folder."""
    try:
        return sorted(os.listdir(path or os.curdir))
    except (FileNotFoundError, NotADirectoryError):
        return []


def file_size(path: str) -> int:
    """Return the number of bytes of a file. Raises `OSError` if there is none."""
    return os.stat(path).st_size


def read_text(path: str) -> str:
    """Return the text, in UTF-8, of a file that a user names: a pipe is read to its end."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def drop_output(fd: int) -> None:
    """Have what is written into a descriptor go nowhere, as after the reader of a pipe has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != fd:
        os.dup2(nowhere, fd)
        close(nowhere)


def close(fd: int) -> None:
    """Close a descriptor through which nothing is written: an error then loses nothing."""
    try:
        os.close(fd)
    except OSError:  # not `suppress`: that takes as long as opening a file does
        return


def sync_path(path: str) -> None:
    """Make a file durable, or the names in a folder."""
    if os.name != "posix":  # Windows cannot sync a folder
        return
    fd = os.open(path, READ)
    try:
        os.fsync(fd)
    except OSError as error:
        error.filename = path  # which the system's do not have
        raise
    finally:
        close(fd)


def copy_file(source: str, target: str) -> None:
    """Copy a file to a path where there is none: sharing its blocks, if the file system can. Leaves
    nothing if it fails."""
    fd, _ = open_regular(source, READ)
    with open(fd, "rb") as old:
        new_fd, _ = open_regular(target, CREATE)
        try:
            with open(new_fd, "wb") as new:
                if not _share_blocks(old.fileno(), new.fileno()):
                    import shutil  # not before it is needed: it takes long

                    shutil.copyfileobj(old, new, 1 << 20)
        except BaseException as error:
            if isinstance(error, OSError) and error.filename is None:
                error.filename = target
            with suppress(OSError):
                os.unlink(target)
            raise


def _share_blocks(old: int, new: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.ioctl(new, _FICLONE, old)
    except OSError:
        return False
    return True


def write_into_stream(path: str, data: bytes) -> bool:
    """Write into the pipe or the character device at a path, or what a link in /dev or /proc
    leads to; return False if there is none. A pipe that nobody reads is an `OSError`."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    is_link = os.path.islink(path) and os.path.abspath(path).startswith(("/dev/", "/proc/"))
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or (is_link and stat.S_ISREG(mode))):
        return False
    fd = os.open(path, os.O_WRONLY | _COMMON)
    try:
        os.set_blocking(fd, True)
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)
    return True


def _refusal(mode: int, path: str) -> OSError:
    if stat.S_ISDIR(mode):
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    kind = kinds.get(stat.S_IFMT(mode), "something else")
    return OSError(errno.EINVAL, f"expected a regular file, got {kind}", path)


_NETWORK_FILE_SYSTEMS: Final = frozenset(
    ("9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4")
    + ("orangefs", "smb3", "smbfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs")
    + ("fuse.rclone", "fuse.s3fs", "fuse.sshfs")
)
_file_systems: dict[int, str] = {}


def is_network(device: int) -> bool:
    """Return whether a device number is a network file system's; False where it is not known."""
    return _find_file_system(device) in _NETWORK_FILE_SYSTEMS


def locks_reach_others(device: int) -> bool:
    """Return whether a lock on a file of a device holds for all who can write it: a network file
    system, or one in user space, may keep locks to the machine that took them."""
    kind = _find_file_system(device)
    return kind not in _NETWORK_FILE_SYSTEMS and not kind.startswith("fuse")


def _find_file_system(device: int) -> str:
    """Return the type of a mounted file system, "" if it is not known."""
    if device not in _file_systems:
        _file_systems[device] = _look_up_file_system(device)
    return _file_systems[device]


def _look_up_file_system(device: int) -> str:
    if not sys.platform.startswith("linux") or os.major(device) != 0:
        return ""  # a device with a major number is a disk
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as f:
        for line in f:
            fields = line.split(" ")
            if fields[2] == number:
                return fields[fields.index("-") + 1]
    return ""
