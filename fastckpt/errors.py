"""The exceptions of the package, and `Fault`, the kinds of fault that they tell apart.

A message reads ``<path>: <what> at <offset>: expected <x>, got <y>`` and is made of the fields of
the exception; programs read the fields. `OSError` (a missing file, a full disk) is never wrapped;
misuse by the caller is `TypeError` or `ValueError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from .text import printable

__all__ = [
    "CheckpointError",
    "ChecksumError",
    "Fault",
    "FormatError",
    "TensorNotFoundError",
    "UnsupportedError",
    "name_tensor",
    "suggest",
]


class Fault(Enum):
    """The kind of fault that a `CheckpointError` reports."""

    MALFORMED = "malformed"  # bytes that break the grammar in a way that has no kind of its own
    TRUNCATED = "truncated"  # the file, record or message ends too early
    TRAILING = "trailing"  # bytes follow the end of what was read
    BAD_MAGIC = "bad magic"  # not a file of this format
    CHECKSUM = "checksum"  # bytes that are not the ones that were written
    ORDER = "order"  # keys or blocks out of order
    TOO_LARGE = "too large"  # a size, rank or count beyond what is allowed or can be true
    MISSING = "missing"  # something that another part of the checkpoint refers to
    MISMATCH = "mismatch"  # two parts of the checkpoint that contradict each other
    CHANGED = "changed"  # a file that changed while it was open
    UNSUPPORTED = "unsupported"  # legal, but not handled
    DTYPE = "dtype"  # an unknown dtype, or one that cannot be an array
    COMPRESSION = "compression"  # an unknown compression
    VERSION = "version"  # a newer version of the format
    NOT_FOUND = "not found"  # the tensor that was asked for


class CheckpointError(Exception):
    """A checkpoint that cannot be read.

    `path` is the file, `what` the thing in it, `offset` its place in bytes (None if there is
    none), `tensor` the name of the tensor that is concerned (None if it is more than one),
    `problem` what was expected and found, `fault` the kind of fault, `kind` the format that the
    file has instead (None if it is not known).
    """

    usual_fault = Fault.MALFORMED

    def __init__(
        self,
        path: str,
        what: str,
        problem: str,
        *,
        tensor: str | None = None,
        offset: int | None = None,
        fault: Fault | None = None,
    ) -> None:
        super().__init__(path, what, problem)
        self.path = path
        self.what = what
        self.problem = problem
        self.tensor = tensor
        self.offset = offset
        self.fault = fault or self.usual_fault
        self.kind: str | None = None

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at {self.offset}"
        return printable(f"{self.path}: {self.what}{place}: {self.problem}")


class FormatError(CheckpointError, ValueError):
    """The bytes break the format: magic, truncation, varints, bounds, overflow, order."""


class ChecksumError(FormatError):
    """Bytes that are not the ones that were written. `expected` and `actual` are CRC-32C."""

    usual_fault = Fault.CHECKSUM

    def __init__(
        self,
        path: str,
        what: str,
        expected: int,
        actual: int,
        *,
        tensor: str | None = None,
        offset: int | None = None,
    ) -> None:
        problem = f"expected CRC-32C {expected:#010x}, got {actual:#010x}"
        super().__init__(path, what, problem, tensor=tensor, offset=offset)
        self.args = (path, what, expected, actual)
        self.expected = expected
        self.actual = actual


class UnsupportedError(CheckpointError, NotImplementedError):
    """Legal, but not handled here: a dtype, a compression, a newer version of the format."""

    usual_fault = Fault.UNSUPPORTED


class TensorNotFoundError(CheckpointError, KeyError):
    """No tensor has this `name`. The message names the closest ones that exist.

    `names` returns the names to compare with, in order. It is called when the message is wanted,
    not before: a program that catches the error pays nothing for it.
    """

    usual_fault = Fault.NOT_FOUND

    def __init__(self, path: str, name: str, names: Callable[[], Sequence[str]]) -> None:
        super().__init__(path, f"tensor {name!r}", "not in this checkpoint", tensor=name)
        self.name = name
        self._names: Callable[[], Sequence[str]] | None = names
        self._closest: tuple[str, ...] = ()

    @property
    def closest(self) -> tuple[str, ...]:
        """Up to three existing names that resemble the missing one."""
        if self._names is not None:
            names, self._names = self._names, None
            try:
                self._closest = suggest(self.name, names())
            except (CheckpointError, ValueError):  # no names from a broken or closed checkpoint
                self._closest = ()
        return self._closest

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(map(repr, self.closest))}?" if self.closest else ""
        return super().__str__() + hint

    def __reduce__(self) -> tuple[object, ...]:
        state = {**self.__dict__, "_names": None, "_closest": self.closest}
        return TensorNotFoundError, (self.path, self.name, tuple), state


def name_tensor(error: CheckpointError, name: str) -> None:
    """Enter a tensor's name into an error that does not know it. Called where an error passes
    (`except`): a context manager would cost as much as reading a small tensor."""
    if error.tensor is None:
        error.tensor = name


_NEIGHBOURS: Final = 1000  # names to each side; comparing all of a large checkpoint takes seconds
_COMPARED: Final = 128  # characters of a name; the time grows with their square
_WORK: Final = 50_000  # characters compared in all


def suggest(
    name: str, names: Sequence[str], *, limit: int = 3, cutoff: float = 0.6
) -> tuple[str, ...]:
    """Return up to `limit` of the sorted `names` that resemble a name, the closest first;
    `cutoff` is how much they have to (0 to 1).

    The time is linear in the characters of `names`: only neighbours in the order and names with
    the same last component are compared, by their last characters, and not too many.
    """
    from bisect import bisect
    from difflib import get_close_matches

    place = bisect(names, name)
    last = name.rsplit("/", 1)[-1].split(":")[0]
    candidates = [each for each in names if each.rsplit("/", 1)[-1] == last][:_NEIGHBOURS]
    near = range(max(0, place - _NEIGHBOURS), min(len(names), place + _NEIGHBOURS))
    candidates += [names[i] for i in sorted(near, key=lambda i: abs(i - place))]
    by_end: dict[str, str] = {}
    work = 0
    for each in candidates:
        end = each[-_COMPARED:]
        work += len(end)
        if work > _WORK:
            break
        by_end.setdefault(end, each)
    close = get_close_matches(name[-_COMPARED:], by_end, limit, cutoff)
    return tuple(by_end[each] for each in close)
