"""Rules for names: what tensors are renamed to, and which of them are chosen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import translate
from typing import Any

__all__ = ["Filter", "Rename", "compile_globs", "make_renamer", "match_globs"]

_Rule = tuple[str | re.Pattern[str], str | Callable[[re.Match[str]], str]]
Rename = Mapping[str, str | None] | Iterable[_Rule] | Callable[[str], str | None]


def make_renamer(rename: Rename | None) -> Callable[[str], str | None]:
    """Return the function of a name that a set of rules stands for; None keeps every name."""
    if rename is None:
        return lambda name: name
    if isinstance(rename, Mapping):
        return lambda name: rename.get(name, name)
    if callable(rename):
        return rename
    rules = [_compile(rule) for rule in rename]

    def apply(name: str) -> str:
        for pattern, replacement in rules:
            name = pattern.sub(replacement, name)
        return name

    return apply


def _compile(rule: Any) -> tuple[re.Pattern[str], Any]:
    if not isinstance(rule, (tuple, list)) or len(rule) != 2:
        raise TypeError(f"rename: expected (regex, replacement), got {rule!r}")
    pattern, replacement = rule
    try:
        compiled = re.compile(pattern)
        if isinstance(replacement, str):
            compiled.sub(replacement, "")  # a wrong reference is an error now, not half-way
    except (re.error, IndexError) as error:  # the latter for names of groups
        raise ValueError(f"rename: ({pattern!r}, {replacement!r}): {error}") from error
    return compiled, replacement


class Filter:
    """Which names are chosen: those that match `include`, if it is given, and not `exclude`."""

    def __init__(
        self, include: str | Iterable[str] | None, exclude: str | Iterable[str] | None
    ) -> None:
        self._include = None if include is None else compile_globs("include", include)
        self._exclude = {} if exclude is None else compile_globs("exclude", exclude)

    def __call__(self, name: str) -> bool:
        is_wanted = self._include is None or any(p.match(name) for p in self._include.values())
        return is_wanted and not any(p.match(name) for p in self._exclude.values())

    def check_include(self, names: Iterable[str]) -> None:
        """Raise `ValueError` for a glob that chose no name: it must be a slip."""
        for glob, pattern in (self._include or {}).items():
            if not any(map(pattern.match, names)):
                raise ValueError(f"include: {glob!r} matches no variable")


def compile_globs(what: str, globs: str | Iterable[str]) -> dict[str, re.Pattern[str]]:
    """Return the globs with what they match; "*" also crosses "/"."""
    patterns = {}
    for glob in [globs] if isinstance(globs, str) else globs:
        if not isinstance(glob, str):
            raise TypeError(f"{what}: expected a glob or several, got {glob!r}")
        patterns[glob] = re.compile(translate(glob))
    return patterns


def match_globs(what: str, globs: str | Iterable[str], names: Sequence[str]) -> set[str]:
    """Return the names that match at least one glob. Raises `ValueError` for a glob that matches no
    name: it must be a slip."""
    matched: set[str] = set()
    for glob, pattern in compile_globs(what, globs).items():
        found = set(filter(pattern.match, names))
        if not found:
            raise ValueError(f"{what}: {glob!r} matches no tensor")
        matched |= found
    return matched
