"""What can go wrong with a checkpoint. Stands at the bottom: imports nothing of the package.

A message reads ``<path>: <what was being read> at <offset>: expected <x>, got <y>``. `OSError`
(a file that is not there, a full disk) is never wrapped; a caller's mistake is `TypeError` or
`ValueError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


class CheckpointError(Exception):
    """A checkpoint that cannot be read. `path` is the file, `what` the thing in it."""

    def __init__(self, path: str, what: str, problem: str) -> None:
        super().__init__(path, what, problem)
        self.path = path
        self.what = what
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.what}: {self.problem}"


class FormatError(CheckpointError, ValueError):
    """The bytes break the format: magic, truncation, varints, bounds, overflow, order."""


class ChecksumError(FormatError):
    """Bytes that are not the ones that were written. `expected` and `actual` are CRC-32C."""

    def __init__(self, path: str, what: str, expected: int, actual: int) -> None:
        super().__init__(path, what, f"expected CRC-32C {expected:#010x}, got {actual:#010x}")
        self.args = (path, what, expected, actual)
        self.expected = expected
        self.actual = actual


class UnsupportedError(CheckpointError, NotImplementedError):
    """Legal, but not handled here: a dtype, a compression, a newer version of the format."""


class TensorNotFoundError(CheckpointError, KeyError):
    """No tensor of this `name`. The message names the closest ones that there are.

    `names` gives the names to compare with, in order. It is called when the message is wanted,
    not before: a program that catches the error pays nothing for it.
    """

    def __init__(self, path: str, name: str, names: Callable[[], Sequence[str]]) -> None:
        super().__init__(path, f"tensor {name!r}", "not in this checkpoint")
        self.name = name
        self._names: Callable[[], Sequence[str]] | None = names
        self._closest: tuple[str, ...] = ()

    @property
    def closest(self) -> tuple[str, ...]:
        """Up to three names that the missing one may have been meant to be."""
        if self._names is not None:
            names, self._names = self._names, None
            try:
                self._closest = _closest(self.name, names())
            except (CheckpointError, ValueError):  # no names from a broken or closed checkpoint
                self._closest = ()
        return self._closest

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(map(repr, self.closest))}?" if self.closest else ""
        return super().__str__() + hint

    def __reduce__(self) -> tuple[object, ...]:
        return _restore_not_found, (self.path, self.name, self.closest)


def _restore_not_found(path: str, name: str, closest: tuple[str, ...]) -> TensorNotFoundError:
    error = TensorNotFoundError(path, name, tuple)
    error._names, error._closest = None, closest
    return error


_NEIGHBOURS = 1000  # names to each side; comparing with all of a large checkpoint takes seconds


def _closest(name: str, names: Sequence[str]) -> tuple[str, ...]:
    from bisect import bisect
    from difflib import get_close_matches

    place = bisect(names, name)
    last = name.rsplit("/", 1)[-1].split(":")[0]
    candidates = [each for each in names if each.rsplit("/", 1)[-1] == last][:_NEIGHBOURS]
    candidates += names[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS]
    return tuple(get_close_matches(name, dict.fromkeys(candidates), n=3))
