"""Paths as callers pass them: the one place that decides what is a local file.

Every public function that takes a path passes it through `local_path` first. A URL of another
system must never become the name of a local folder, nor an empty path that of a hidden file.
"""

from __future__ import annotations

import os
import re
from typing import Final

__all__ = ["Path", "find_scheme", "local_folder", "local_path"]

Path = str | os.PathLike[str]

# RFC 3986; one letter is the drive of Windows
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://", re.DOTALL)


def local_path(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """Return the local path that a caller means: a path as it is, a ``file://`` URL decoded.

    Raises `TypeError` for anything but `str`, `bytes` or `os.PathLike`; `ValueError` for an empty
    path, a NUL, a URL of any other scheme, and a ``file://`` URL of another machine.
    """
    name = os.fsdecode(path)
    if not name:
        raise ValueError(f"expected a path, got an empty one: {name!r}")
    if "\0" in name:
        raise ValueError(f"expected a path, got one with a null character: {name!r}")
    scheme = find_scheme(name)
    if scheme is None:
        return name
    if scheme != "file":
        problem = f"URLs of the scheme {scheme!r} are not supported"
        raise ValueError(f"expected a local path or a file:// URL, got {name!r}: {problem}")
    return _decode(name)


def local_folder(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """Return the local folder that a caller means: as `local_path`, but "" is the current folder,
    which `os.path.dirname` returns for it."""
    name = os.fsdecode(path)
    return local_path(name) if name else name


def find_scheme(path: str) -> str | None:
    """Return the scheme of a URL in lower case, None for a path."""
    match = _SCHEME.match(path) if "://" in path else None
    return match[1].lower() if match else None


def _decode(url: str) -> str:
    """Return the path of a ``file://`` URL. "?" and "#" are characters of the path: patterns of
    shards have them."""
    from urllib.parse import unquote  # here: few paths are URLs

    host, slash, path = url.partition("://")[2].partition("/")
    if host.lower() not in ("", "localhost"):
        raise ValueError(f"expected a file:// URL of this machine, got {url!r} of {host!r}")
    decoded = unquote(slash + path, errors="surrogateescape")
    if os.name == "nt" and re.match(r"/[A-Za-z]:", decoded):
        decoded = decoded[1:]  # file:///C:/run is C:/run
    return local_path(decoded)
