"""How names, sizes, shapes and numbers of things are spelt for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["count", "printable", "spell_shape", "spell_size"]

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def printable(text: str) -> str:
    """Return text with its control characters, and what is no character at all, spelt out: a name
    in a file from a stranger must not drive the terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode()


def spell_size(size: float) -> str:
    """Return a number of bytes as people read it."""
    if size < 1024:
        return f"{size:.0f} B"
    for unit in _UNITS:
        size /= 1024
        if size < 1023.95 or unit == _UNITS[-1]:
            return f"{size:.1f} {unit}"
    raise AssertionError("unreachable")


def spell_shape(shape: Sequence[int | None]) -> str:
    """Return a shape without blanks; "()" for a scalar's."""
    return "(" + ",".join("?" if dim is None else str(dim) for dim in shape) + ")"


def count(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
