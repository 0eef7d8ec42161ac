"""Text for people: printable names, sizes, shapes, counts, shortened lists, and HTML that folds.

Names, paths and messages come from files of strangers. `printable` is the one gate that they pass
before they reach a terminal, a notebook or a report: what it returns is one line without control
characters, marks of writing direction or halves of surrogate pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

__all__ = [
    "count",
    "count_more",
    "cut",
    "html_fold",
    "html_line",
    "html_lines",
    "html_list",
    "name_some",
    "printable",
    "quote",
    "section",
    "spell_shape",
    "spell_size",
]

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_LISTED: Final = 200  # items of a list in a notebook
_INDENT: Final = "<div style='margin-left:1.1em'>{}</div>"
_NOTE: Final = '<span style="opacity:.65;margin-left:.8em">{}</span>'


def printable(text: str) -> str:
    """Return text as one line, with an escape for each character that does not print."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode()


def cut(text: str, width: int) -> str:
    """Return text of at most `width` characters: of a longer one the begin, "..." and the end."""
    if len(text) <= width:
        return text
    end = (width - 3) // 2
    return f"{text[: width - 3 - end]}...{text[len(text) - end :]}"


def quote(path: str) -> str:
    """Return a path as one word of a POSIX shell, which prints and is no option."""
    import shlex

    if path.startswith("-"):
        path = f"./{path}"
    if path.isprintable():
        return shlex.quote(path)
    escaped = [
        f"\\{each}" if each in "\\'" else each if each.isprintable() else _escape_bytes(each)
        for each in path
    ]
    return f"$'{''.join(escaped)}'"


def _escape_bytes(character: str) -> str:
    is_byte = "\udc80" <= character <= "\udcff"
    data = character.encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")
    return "".join(f"\\{byte:03o}" for byte in data)  # unlike \x, never longer than three digits


# ---- Numbers


def spell_size(size: float) -> str:
    """Return a number of bytes in the unit that suits it, such as "1.1 MiB"."""
    if size < 1024:
        return f"{size:.0f} B"
    for unit in _UNITS:
        size /= 1024
        if size < 1023.95 or unit == _UNITS[-1]:
            return f"{size:.1f} {unit}"
    raise AssertionError("unreachable")


def spell_shape(shape: Sequence[int | None]) -> str:
    """Return a shape without blanks: "(2,?)" for an unknown dimension, "()" for a scalar."""
    return "(" + ",".join("?" if dim is None else str(dim) for dim in shape) + ")"


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number of things, such as "1 tensor" and "2,000 tensors"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def count_more(number: int) -> str:
    """Return the last line of a list that was cut."""
    return f"and {number:,} more"


# ---- Lists


def name_some(
    names: Sequence[Any],
    limit: int = 5,
    *,
    spell: Callable[[Any], str] = repr,
    separator: str = ", ",
) -> str:
    """Return the first names as words, and how many more there are."""
    text = separator.join(printable(spell(name)) for name in names[:limit])
    more = len(names) - limit
    return f"{text} {count_more(more)}" if more > 0 else text


def section(
    heading: str, entries: Sequence[Any], limit: int, spell: Callable[[Any], str] = str
) -> Iterator[str]:
    """Yield a heading and the first entries, a line each, and how many more there are."""
    yield heading
    for entry in entries[:limit]:
        yield f"    {printable(spell(entry))}"
    if len(entries) > limit:
        yield f"    ... {count_more(len(entries) - limit)}"


# ---- HTML for notebooks: without a script, in light and in dark


def html_line(title: str, note: str = "") -> str:
    """Return a line; the note after it is fainter."""
    return _INDENT.format(_html_title(title, note))


def html_fold(title: str, note: str, body: str, *, is_open: bool = False) -> str:
    """Return HTML that shows its body when the title is clicked."""
    state = " open" if is_open else ""
    summary = f"<summary style='cursor:pointer'>{_html_title(title, note)}</summary>"
    return f"<details{state}>{summary}{_INDENT.format(body)}</details>"


def html_list(title: str, items: Iterable[object], *, is_open: bool = False) -> str:
    """Return a list of the first 200 items that folds; "" if there are none."""
    all_items = list(items)
    if not all_items:
        return ""
    lines = [html_line(str(each)) for each in all_items[:_LISTED]]
    if len(all_items) > _LISTED:
        lines.append(html_line("", count_more(len(all_items) - _LISTED)))
    return html_fold(title, f"{len(all_items):,}", "".join(lines), is_open=is_open)


def html_lines(lines: Iterable[str]) -> str:
    """Return lines whose blanks are kept."""
    text = "\n".join(map(printable, lines))
    return f"<pre style='margin:0'>{_html(text)}</pre>"


def _html_title(title: str, note: str) -> str:
    faint = _NOTE.format(_html(printable(note))) if note else ""
    return _html(printable(title)) + faint


def _html(text: str) -> str:
    from html import escape  # its table of entities takes longer than the rest of this module

    return escape(text)
