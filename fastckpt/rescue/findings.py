"""What `doctor` says: facts about checkpoints and findings, and how they print."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from ..format.magic import Kind

__all__ = ["CheckpointSummary", "Diagnosis", "Finding", "Notes", "name_some", "quote"]

Severity = Literal["error", "warning", "note"]

_OS_ERRORS: Final = {
    errno.EACCES: (
        "You may not read it, or not enter one of the folders above it.",
        "ls -ld {path}; chmod u+r {path}  # if it is yours",
    ),
    errno.ENOENT: ("There is nothing of that name.", "ls {path}*"),
    errno.ENOTDIR: (
        "Something before the last slash is a file, not a folder.",
        "pass the path without what follows that file",
    ),
    errno.ENAMETOOLONG: ("No file can have a name of that length.", "pass the path of a file"),
    errno.ELOOP: ("A symbolic link leads back to itself.", "ls -l {path}"),
    errno.EINVAL: ("It is a pipe, a device or a socket.", "copy it into a file, and pass that"),
}
_SOME: Final = 5  # names in a sentence, before it says how many more


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know.

    An "error" keeps something from being read or makes it wrong, a "warning" is out of order and
    can be read, a "note" needs nothing to be done. `what` is the finding in a few words, `where`
    the path that it is about, `why` how it came about and what it means, `todo` what to do: a
    command or call to type where there is one.
    """

    severity: Severity
    what: str
    where: str
    why: str
    todo: str = ""

    def __str__(self) -> str:
        lines = [f"{self.severity}: {self.what}", f"  where: {self.where}", f"  why:   {self.why}"]
        first, *rest = self.todo.splitlines() or [""]
        if first:
            lines.append(f"  do:    {first}")
        return "\n".join([*lines, *(" " * 9 + line for line in rest)])


@dataclass(frozen=True, slots=True)
class CheckpointSummary:
    """A checkpoint that is there: `prefix` is what to pass to `read`.

    `format` is "V2" or "V1", `tensors` how many can be listed, `problems` what is wrong with them,
    in words; there is none if the checkpoint is whole, as far as it was looked at.
    """

    prefix: str
    format: str
    tensors: int
    problems: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing was found to be wrong."""
        return not self.problems

    def __str__(self) -> str:
        count = f"{self.tensors} tensor{'' if self.tensors == 1 else 's'}"
        state = "whole" if self.is_whole else f"broken, problems: {len(self.problems)}"
        return f"{self.prefix}: {self.format}, {count}, {state}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `doctor` found at a path: the checkpoints, and what there is to say about them.

    `is_verified` is whether every byte was read. Prints as text for people;
    `dataclasses.asdict` makes JSON of it.
    """

    path: str
    checkpoints: tuple[CheckpointSummary, ...]
    findings: tuple[Finding, ...]
    is_verified: bool = False

    @property
    def is_healthy(self) -> bool:
        """Whether there is a checkpoint, and neither an error nor a warning."""
        return bool(self.checkpoints) and all(each.severity == "note" for each in self.findings)

    def __str__(self) -> str:
        lines = [self.path, *(f"  {each}" for each in self.checkpoints)]
        for finding in self.findings:
            lines += ["", str(finding)]
        if self.is_healthy:
            read = "every byte verified" if self.is_verified else "sizes and index; data not read"
            lines += ["", f"healthy ({read})"]
        return "\n".join(lines)


@dataclass(slots=True)
class Notes:
    """Takes down what is found, in the order of severity in the end."""

    is_verifying: bool
    checkpoints: list[CheckpointSummary] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, severity: Severity, what: str, where: str, why: str, todo: str = "") -> None:
        """Take down a finding; the same one twice is one."""
        found = Finding(severity, what, where, why, todo)
        if found not in self.findings:
            self.findings.append(found)

    def add_kind(self, kind: Kind, path: str, severity: Severity = "error") -> None:
        """Take down that a file is something else than a checkpoint."""
        self.add(
            severity, f"this is {kind.name}", path, kind.why, kind.todo.format(path=quote(path))
        )

    def add_os_error(self, error: OSError, path: str) -> None:
        """Take down what the system says of a path."""
        where = os.fsdecode(error.filename) if error.filename else path
        reason, todo = _OS_ERRORS.get(error.errno or 0, ("", ""))
        self.add(
            "error",
            error.strerror or str(error),
            where,
            reason or "The system refuses to open it.",
            todo.format(path=quote(where)),
        )

    def sorted(self) -> Iterator[Finding]:
        """Yield the findings, errors first."""
        for severity in ("error", "warning", "note"):
            yield from (each for each in self.findings if each.severity == severity)


def quote(path: str) -> str:
    """Return a path as it can be typed, in a shell and in Python alike where that can be."""
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    return f"'{shown}'" if "'" not in shown else repr(shown)


def name_some(names: list[str]) -> str:
    """Return names as words: the first few, and how many more."""
    more = len(names) - _SOME
    text = ", ".join(repr(name) for name in names[:_SOME])
    return f"{text} and {more} more" if more > 0 else text
