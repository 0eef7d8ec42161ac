"""Output of the command line: lines, tables and JSON, from which no terminal takes orders.

Plain text everywhere; on a terminal, with `rich` (the extra ``cli``), tables have colours and long
operations have progress bars. ``NO_COLOR`` is respected.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..text import printable

if TYPE_CHECKING:
    from ..parallel import Progress

__all__ = ["Output", "to_json"]

_MAX_STYLED: Final = 1000  # rows; more are printed plainly, in one piece
_MAX_WIDTH: Final = 120  # characters of a column; what is longer sticks out of it
_ESCAPE_LIKE: Final = re.compile(r"\\x[89a-f][0-9a-f]|[\ud800-\udfff]")


class Output:
    """The results of a verb: text for people, or one JSON document."""

    def __init__(self, is_json: bool) -> None:
        self.is_json = is_json

    def emit(self, document: Any, text: Iterable[str]) -> None:
        """Print the document, or the lines of text."""
        if self.is_json:
            print(to_json(document))
        else:
            self.lines(text)

    def lines(self, text: Iterable[str]) -> None:
        """Print lines, at once."""
        sys.stdout.write("".join(f"{printable(line)}\n" for line in text))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
        """Print aligned columns, the first `left` of them to the left."""
        rich = _rich(sys.stdout) if len(rows) <= _MAX_STYLED else None
        cells = [[printable(cell) for cell in row] for row in rows]
        if rich is None:
            sys.stdout.write(_align(header, cells, left))
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold", pad_edge=False)
        for number, title in enumerate(header):
            style = "" if number == 0 else "cyan"
            justify: Any = "left" if number < left else "right"
            table.add_column(title, justify=justify, style=style, overflow="fold")
        for row in cells:
            table.add_row(*map(Text, row))
        rich.print(table)

    @contextmanager
    def progress(self, what: str) -> Iterator[Progress | None]:
        """Give a callback that draws a bar on standard error, or None where nobody would see it."""
        rich = _rich(sys.stderr)
        if rich is None:
            yield None
            return
        from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

        columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=rich, transient=True) as bars:
            task = bars.add_task(what, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)


def _rich(stream: Any) -> Any:
    """Return a console if the stream is a terminal and rich is installed; else None."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=stream, highlight=False)


def _align(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    columns = list(zip(header, *rows, strict=True))
    widths = [min(max(map(len, column)), _MAX_WIDTH) for column in columns]
    sides = ["-" if number < left else "" for number in range(len(header))]
    form = "  ".join(f"%{side}{width}s" for side, width in zip(sides, widths, strict=True))
    return "".join([f"{form % tuple(row)}".rstrip() + "\n" for row in (header, *rows)])


def to_json(document: Any) -> str:
    """Return a document as JSON that every parser takes: ASCII, without halves of surrogate pairs,
    with NaN and infinities as text."""
    import json

    return json.dumps(_plain(document), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return a value in the types of JSON: NaN and infinities as "NaN", "Infinity", "-Infinity",
    complex numbers as pairs, bytes as text with escapes, dataclasses and named tuples as
    objects."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return _plain_text(str(value))
    if isinstance(value, float):
        return value if abs(value) < float("inf") else _spell_float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, complex):
        return [_plain(value.real), _plain(value.imag)]
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(value, "__dataclass_fields__"):
        value = {name: getattr(value, name) for name in value.__dataclass_fields__}
    if hasattr(value, "items"):
        return {_plain_text(str(key)): _plain(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Iterable):
        return [_plain(each) for each in value]
    return _plain(float(value))  # NumPy's and ml_dtypes' scalars


def _plain_text(text: str) -> str:
    r"""Return text without halves of surrogate pairs, which are bytes that are not UTF-8: those
    become ``\xff``. Backslashes are doubled where that happens, and where the text has such an
    escape of its own, so that different texts stay different. All other text stays as it is."""
    if _ESCAPE_LIKE.search(text) is None:
        return text
    return "".join(
        "\\\\" if each == "\\" else printable(each) if "\ud800" <= each <= "\udfff" else each
        for each in text
    )


def _spell_float(value: float) -> str:
    if value != value:
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
