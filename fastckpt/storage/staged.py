"""The names of files that are being saved, beside their final places.

``<name>.tmp-<token>`` is a new file, ``<name>.old-<token>`` one that it replaces, and
``<name>.via-<token>`` one that stands in its place for a moment. The token tells who made it: five
hex digits of the machine, six of the process, five of a count.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cache
from itertools import count
from typing import Final

__all__ = [
    "aside_path",
    "machine",
    "make_token",
    "split_staged",
    "split_token",
    "staged_path",
    "via_path",
]

_STAGED: Final = re.compile(r"(?P<final>.*)\.(?:tmp|old|via)-(?P<token>[0-9a-f]{16})", re.DOTALL)
_MACHINE_BITS, _PROCESS_BITS, _COUNT_BITS = 20, 24, 20
_count = count(int.from_bytes(os.urandom(3), "little"))


def staged_path(path: str, token: str) -> str:
    """Return where a file stands until its checkpoint is complete. No reader takes it for one."""
    return f"{path}.tmp-{token}"


def aside_path(path: str, token: str) -> str:
    """Return where the file that a commit replaces stands until the commit is done."""
    return f"{path}.old-{token}"


def via_path(path: str, token: str) -> str:
    """Return where a file is prepared that stands in the final place for a moment of a commit."""
    return f"{path}.via-{token}"


def split_staged(path: str) -> tuple[str, str] | None:
    """Return the final path and the token of a staged or replaced file's path, or None."""
    match = _STAGED.fullmatch(path)
    return (match["final"], match["token"]) if match else None


def make_token() -> str:
    """Return a token of this process that it has not used yet."""
    number = next(_count) % (1 << _COUNT_BITS)
    process = os.getpid() % (1 << _PROCESS_BITS)
    return f"{machine():05x}{process:06x}{number:05x}"


def split_token(token: str) -> tuple[int, int]:
    """Return the machine and the process that a token tells of."""
    return int(token[:5], 16), int(token[5:11], 16)


@cache
def machine() -> int:
    """Return a number for what process numbers are counted in: a host since it was started, and
    a container on it."""
    parts = [os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")]
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        parts.append(file.read())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    from zlib import crc32  # here: reading needs no token

    return crc32("\n".join(parts).encode()) % (1 << _MACHINE_BITS)
