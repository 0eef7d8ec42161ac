"""What a notebook shows: lines and lists that fold, without a script, in light and in dark.

Names come from files of strangers: they are escaped, and spelt as the command line spells them.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from .text import printable

__all__ = ["fold", "line", "list_items", "text"]

_LISTED: Final = 200
_NOTE: Final = '<span style="opacity:.65;margin-left:.8em">{}</span>'


def line(title: str, note: str = "") -> str:
    """Return a line; the note behind it is fainter."""
    return f"<div style='margin-left:1.1em'>{_spell(title, note)}</div>"


def fold(title: str, note: str, body: str, *, is_open: bool = False) -> str:
    """Return HTML that shows its body when the title is clicked."""
    state = " open" if is_open else ""
    return (
        f"<details{state}><summary style='cursor:pointer'>{_spell(title, note)}</summary>"
        f"<div style='margin-left:1.1em'>{body}</div></details>"
    )


def list_items(title: str, items: Iterable[object], *, is_open: bool = False) -> str:
    """Return a list that folds, of the first 200; "" for no items."""
    all_items = list(items)
    if not all_items:
        return ""
    lines = [line(str(each)) for each in all_items[:_LISTED]]
    if len(all_items) > _LISTED:
        lines.append(line("", f"and {len(all_items) - _LISTED:,} more"))
    return fold(title, f"{len(all_items):,}", "".join(lines), is_open=is_open)


def text(lines: Iterable[str]) -> str:
    """Return lines in which blanks count."""
    return f"<pre style='margin:0'>{escape(chr(10).join(map(printable, lines)))}</pre>"


def _spell(title: str, note: str) -> str:
    name = escape(printable(title))
    return name + (_NOTE.format(escape(printable(note))) if note else "")
