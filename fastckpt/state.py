"""The `checkpoint` file of a folder: which checkpoints there are, and which is the latest.

A `CheckpointState` message in protobuf's text format (docs/format.md, "State file").
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from .errors import FormatError

__all__ = ["CheckpointState", "read_state"]

_Value = TypeVar("_Value", str, float)
_MAX_SIZE: Final = 64 << 20  # bytes; a hundred thousand paths have a tenth of this


@dataclass(frozen=True, slots=True)
class CheckpointState:
    """What a state file says. Paths are as written: relative ones to the file's folder."""

    model_checkpoint_path: str = ""
    all_model_checkpoint_paths: tuple[str, ...] = ()
    all_model_checkpoint_timestamps: tuple[float, ...] = ()
    last_preserved_timestamp: float = 0.0


_TOKEN: Final = re.compile(
    rb"""(?:[ \t\r\n\f\v]|\#[^\n]*)*        # white space and comments
    (?: (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<mark>[-:,;\[\]])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_SIMPLE_ESCAPES: Final = {
    b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v",
    b"\\": b"\\", b"'": b"'", b'"': b'"', b"?": b"?",
}  # fmt: skip
_STRINGS: Final = ("model_checkpoint_path", "all_model_checkpoint_paths")
_DOUBLES: Final = ("all_model_checkpoint_timestamps", "last_preserved_timestamp")
_REPEATED: Final = ("all_model_checkpoint_paths", "all_model_checkpoint_timestamps")


def read_state(path: str) -> CheckpointState:
    """Read a state file. Raises `FormatError` for one that is damaged, `OSError` as `open` does."""
    if os.path.getsize(path) > _MAX_SIZE:
        raise FormatError(path, "state file", f"expected at most {_MAX_SIZE} bytes, got more")
    with open(path, "rb") as file:
        return _Parser(path, file.read()).parse()


class _Parser:
    """Reads `name: value` fields; a value may be a list, a string several literals."""

    def __init__(self, path: str, text: bytes) -> None:
        self._path = path
        self._tokens = self._split(text)
        self._kind, self._text, self._at = next(self._tokens)

    def parse(self) -> CheckpointState:
        strings: dict[str, list[str]] = {name: [] for name in _STRINGS}
        doubles: dict[str, list[float]] = {name: [] for name in _DOUBLES}
        while self._kind != "end":
            name = self._take("name").decode()
            self._take_mark(b":")
            if name in strings:
                self._take_values(name, strings[name], self._take_string)
            elif name in doubles:
                self._take_values(name, doubles[name], self._take_double)
            else:
                raise self._error(f"expected a field of CheckpointState, got {name!r}")
            if self._text in (b",", b";"):
                self._advance()
        return CheckpointState(
            (strings["model_checkpoint_path"] or [""])[-1],
            tuple(strings["all_model_checkpoint_paths"]),
            tuple(doubles["all_model_checkpoint_timestamps"]),
            (doubles["last_preserved_timestamp"] or [0.0])[-1],
        )

    def _split(self, text: bytes) -> Iterator[tuple[str, bytes, int]]:
        at = 0
        while True:
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                problem = f"at {at}: expected protobuf text, got {text[at : at + 20]!r}"
                raise FormatError(self._path, "state file", problem)
            yield match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)
            at = match.end()

    def _advance(self) -> bytes:
        text = self._text
        self._kind, self._text, self._at = next(self._tokens)
        return text

    def _error(self, problem: str) -> FormatError:
        return FormatError(self._path, "state file", f"at {self._at}: {problem}")

    def _take(self, kind: str) -> bytes:
        if self._kind != kind:
            raise self._error(f"expected a {kind}, got {self._text[:40]!r}")
        return self._advance()

    def _take_mark(self, mark: bytes) -> None:
        if self._kind != "mark" or self._text != mark:
            raise self._error(f"expected {mark!r}, got {self._text[:40]!r}")
        self._advance()

    def _take_values(self, name: str, values: list[_Value], take: Callable[[], _Value]) -> None:
        if self._text != b"[" or name not in _REPEATED:
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
        literals = [self._take("string")]
        while self._kind == "string":
            literals.append(self._advance())
        content = b"".join(_ESCAPE.sub(self._unescape, literal[1:-1]) for literal in literals)
        return os.fsdecode(content)

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
