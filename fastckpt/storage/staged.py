"""The names of files that are being saved: ``<name>.tmp-<token>``, and of those that they replace,
``<name>.old-<token>``, until their checkpoint is complete."""

from __future__ import annotations

import re

__all__ = ["aside_path", "split_staged", "staged_path"]

_STAGED = re.compile(r"(?P<final>.*)\.(?:tmp|old)-(?P<token>[0-9a-f]{16})", re.DOTALL)


def staged_path(path: str, token: str) -> str:
    """Return where a file stands until its checkpoint is complete. No reader takes it for one."""
    return f"{path}.tmp-{token}"


def aside_path(path: str, token: str) -> str:
    """Return where the file that a commit replaces stands until the commit is done."""
    return f"{path}.old-{token}"


def split_staged(path: str) -> tuple[str, str] | None:
    """Return the final path and the token of a staged or replaced file's path, or None."""
    match = _STAGED.fullmatch(path)
    return (match["final"], match["token"]) if match else None
