"""Protobuf's text format, as far as the `checkpoint` file uses it: strings and doubles.

What is accepted is what protobuf's parser accepts (docs/format.md, "State file"); what is written
is, byte for byte, what it writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..errors import FormatError

__all__ = ["Field", "encode", "parse"]


class Field(NamedTuple):
    """What a field holds: `kind` is `str` or `float`."""

    kind: type[str] | type[float]
    is_repeated: bool


# The text may be a stranger's: no pattern matches the same bytes in two ways, so that none
# backtracks, and each takes time in proportion to what it matches.
_SPACE: Final = re.compile(rb"[ \t\r\n\f\v]*")
_TOKEN: Final = re.compile(
    rb"""(?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?)
      | (?P<string>"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\\\n]*(?:\\.[^'\\\n]*)*')
      | (?P<mark>[-:,;\[\]])
      | (?P<end>\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_SIMPLE_ESCAPES: Final = {
    b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v",
    b"\\": b"\\", b"'": b"'", b'"': b'"', b"?": b"?",
}  # fmt: skip


def parse(fields: Mapping[str, Field], text: bytes, path: str, what: str) -> dict[str, list[Any]]:
    """Return the values of each field, in the order of the text. Raises `FormatError`."""
    return _Parser(fields, text, path, what).parse()


def encode(fields: Mapping[str, Field], values: Mapping[str, Sequence[Any]]) -> bytes:
    """Return the text: a line for each value, in the order of the fields."""
    lines = [
        f"{name}: {_quote(value) if field.kind is str else repr(float(value))}\n"
        for name, field in fields.items()
        for value in values[name]
    ]
    return "".join(lines).encode("ascii")


_WRITTEN_ESCAPES: Final = {
    **{byte: f"\\{byte:03o}" for byte in [*range(0x20), *range(0x7F, 0x100)]},
    **{ord(char): "\\" + char for char in "\"'\\"},
    **{ord(char): escape for char, escape in zip("\t\n\r", ("\\t", "\\n", "\\r"), strict=True)},
}


def _quote(text: str) -> str:
    # as latin-1 it has one character per byte: what is not ASCII is written byte by byte
    return '"' + os.fsencode(text).decode("latin-1").translate(_WRITTEN_ESCAPES) + '"'


def _skip_blank(text: bytes, at: int) -> int:
    """Return where the white space and the comments that begin at `at` end."""
    while True:
        space = _SPACE.match(text, at)
        assert space is not None
        at = space.end()
        if text[at : at + 1] != b"#":
            return at
        at = text.find(b"\n", at)
        if at < 0:
            return len(text)


class _Parser:
    """Reads `name: value` fields; a value may be a list, a string several literals."""

    def __init__(self, fields: Mapping[str, Field], text: bytes, path: str, what: str) -> None:
        self._fields = fields
        self._path = path
        self._what = what
        self._tokens = self._split(text)
        self._kind, self._text, self._at = next(self._tokens)

    def parse(self) -> dict[str, list[Any]]:
        values: dict[str, list[Any]] = {name: [] for name in self._fields}
        while self._kind != "end":
            name = self._take("name").decode()
            self._take_mark(b":")
            if name not in values:
                raise self._error(f"expected a known field, got {name!r}")
            take = self._take_string if self._fields[name].kind is str else self._take_double
            self._take_values(name, values[name], take)
            if self._text in (b",", b";"):
                self._advance()
        return values

    def _split(self, text: bytes) -> Iterator[tuple[str, bytes, int]]:
        at = 0
        while True:
            at = _skip_blank(text, at)
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                problem = f"expected protobuf text, got {text[at : at + 20]!r}"
                raise FormatError(self._path, self._what, problem, offset=at)
            yield match.lastgroup, match[0], at
            at = match.end()

    def _advance(self) -> bytes:
        text = self._text
        self._kind, self._text, self._at = next(self._tokens)
        return text

    def _error(self, problem: str) -> FormatError:
        return FormatError(self._path, self._what, problem, offset=self._at)

    def _take(self, kind: str) -> bytes:
        if self._kind != kind:
            raise self._error(f"expected a {kind}, got {self._text[:40]!r}")
        return self._advance()

    def _take_mark(self, mark: bytes) -> None:
        if self._kind != "mark" or self._text != mark:
            raise self._error(f"expected {mark!r}, got {self._text[:40]!r}")
        self._advance()

    def _take_values(self, name: str, values: list[Any], take: Callable[[], str | float]) -> None:
        if self._text != b"[" or not self._fields[name].is_repeated:
            values.append(take())
            return
        is_due = False  # behind a comma
        self._advance()
        while self._text != b"]" or is_due:
            values.append(take())
            is_due = self._text == b","
            if is_due:
                self._advance()
            elif self._text != b"]":
                raise self._error(f"expected b',' or b']', got {self._text[:40]!r}")
        self._advance()

    def _take_string(self) -> str:
        parts: list[bytes] = []
        while self._kind == "string" or not parts:
            parts.append(_ESCAPE.sub(self._unescape, self._text[1:-1]))
            self._take("string")
        return os.fsdecode(b"".join(parts))

    def _unescape(self, match: re.Match[bytes]) -> bytes:
        octal, hexadecimal, simple = match.groups()
        if octal is not None:
            return bytes([int(octal, 8) & 0xFF])
        if hexadecimal is not None:
            return bytes([int(hexadecimal, 16)])
        if simple not in _SIMPLE_ESCAPES:
            raise self._error(f"expected an escape, got {match[0]!r}")
        return _SIMPLE_ESCAPES[simple]

    def _take_double(self) -> float:
        sign = -1.0 if self._text == b"-" else 1.0
        if sign < 0:
            self._advance()
        if self._kind == "name" and self._text.lower() in (b"inf", b"infinity", b"nan"):
            return sign * float(self._advance())
        return sign * float(self._take("number").rstrip(b"fF"))
