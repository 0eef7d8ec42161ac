"""Findings of `doctor`: their fields, how they print, and the commands that they advise."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from ..format.magic import FileKind
from ..text import count, printable, quote

__all__ = [
    "CheckpointSummary",
    "Diagnosis",
    "Finding",
    "Notes",
    "command",
    "salvage_command",
]

Severity = Literal["error", "warning", "note"]

_OS_ERRORS: Final = {
    errno.EACCES: (
        "Permission to read the file, or to enter a folder above it, is missing.",
        "ls -ld {path}; chmod u+r {path}  # if it is yours",
    ),
    errno.ENOENT: ("No file has that name.", "ls {path}*"),
    errno.ENOTDIR: (
        "A file, not a folder, stands before the last slash.",
        "pass the path without what follows that file",
    ),
    errno.ENAMETOOLONG: ("No file can have a name of that length.", "pass the path of a file"),
    errno.ELOOP: ("A symbolic link leads back to itself.", "ls -l {path}"),
    errno.EINVAL: ("It is a pipe, a device or a socket.", "copy it into a file, and pass that"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about a path, and what to do about it.

    An "error" keeps something from being read or makes it wrong, a "warning" is out of order and
    can be read, a "note" needs no action. `what` is the finding in a few words, `where` the path
    concerned, `why` the cause and the consequence, `todo` the remedy, line by line: where possible
    commands for a POSIX shell, which run as they stand.
    """

    severity: Severity
    what: str
    where: str
    why: str
    todo: str = ""

    def __str__(self) -> str:
        lines = [f"{self.severity}: {self.what}", f"  where: {self.where}", f"  why:   {self.why}"]
        first, *rest = self.todo.split("\n")
        if first:
            lines.append(f"  do:    {first}")
        return "\n".join(map(printable, [*lines, *(" " * 9 + line for line in rest)]))


@dataclass(frozen=True, slots=True)
class CheckpointSummary:
    """One checkpoint that was found: `prefix` is what to pass to `read`.

    `format` is "V2" or "V1", `tensors` the number of tensors that can be listed, `problems` their
    problems in words: none for a checkpoint that is whole, as far as it was read.
    """

    prefix: str
    format: str
    tensors: int
    problems: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def __str__(self) -> str:
        state = "whole" if self.is_whole else f"broken, problems: {len(self.problems)}"
        return printable(f"{self.prefix}: {self.format}, {count(self.tensors, 'tensor')}, {state}")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of `doctor`: the checkpoints at a path, and findings about them, errors first.

    `is_verified` tells whether every byte was read. `str` gives text for people,
    `dataclasses.asdict` what JSON can hold.
    """

    path: str
    checkpoints: tuple[CheckpointSummary, ...]
    findings: tuple[Finding, ...]
    is_verified: bool = False

    @property
    def is_healthy(self) -> bool:
        """Whether there is a checkpoint, and no error or warning."""
        return bool(self.checkpoints) and all(each.severity == "note" for each in self.findings)

    def __str__(self) -> str:
        lines = [printable(self.path), *(f"  {each}" for each in self.checkpoints)]
        for finding in self.findings:
            lines += ["", str(finding)]
        if self.is_healthy:
            read = "every byte verified" if self.is_verified else "sizes and index; data not read"
            lines += ["", f"healthy ({read})"]
        return "\n".join(lines)


@dataclass(slots=True)
class Notes:
    """Collects checkpoints by their prefix, and findings; the same finding twice is one."""

    is_verifying: bool
    checkpoints: dict[str, CheckpointSummary] = field(default_factory=dict)
    findings: dict[Finding, None] = field(default_factory=dict)

    def add(self, severity: Severity, what: str, where: str, why: str, todo: str = "") -> None:
        """Add a finding."""
        self.findings[Finding(severity, what, where, why, todo)] = None

    def add_checkpoint(
        self, prefix: str, format: str, tensors: int, problems: Iterable[str] = ()
    ) -> None:
        """Add a checkpoint and what is wrong with it, in words."""
        self.checkpoints[prefix] = CheckpointSummary(prefix, format, tensors, tuple(problems))

    def add_kind(self, kind: FileKind, path: str, severity: Severity = "error") -> None:
        """Add the finding that a file is of another format."""
        todo = kind.todo.format(path=quote(path), literal=ascii(path))
        self.add(severity, f"this is {kind.name}", path, kind.why, todo)

    def add_os_error(self, error: OSError, path: str) -> None:
        """Add what the system says of a path."""
        where = os.fsdecode(error.filename) if error.filename else path
        reason, todo = _OS_ERRORS.get(error.errno or 0, ("", ""))
        self.add(
            "error",
            error.strerror or str(error),
            where,
            reason or "The system refuses to open it.",
            todo.format(path=quote(where)),
        )

    def has_errors(self) -> bool:
        """Whether a finding is an error."""
        return any(each.severity == "error" for each in self.findings)

    def sorted(self) -> Iterator[Finding]:
        """Yield the findings, errors first."""
        for severity in ("error", "warning", "note"):
            yield from (each for each in self.findings if each.severity == severity)


def command(verb: str, path: str, *options: str) -> str:
    """Return the command line ``fastckpt VERB PATH OPTIONS``."""
    return " ".join(["fastckpt", verb, quote(path), *options])


def salvage_command(path: str) -> str:
    """Return the command that saves what verifies beside a broken checkpoint."""
    return command("salvage", path, quote(f"{path}-salvaged"))
