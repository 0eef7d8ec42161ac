"""Calls that fail, or do half of their work: of saves, and of what reads."""

from __future__ import annotations

import builtins
import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import fastckpt

from .crash import Result, moments
from .judge import Judge, leftovers
from .layer import CHANGE, FAIL, HALF, KEEP, READ, Outcome, strike
from .reads import READS, Wrong
from .saves import find

FAULTS = [
    (FAIL, errno.ENOSPC),
    (FAIL, errno.EIO),
    (FAIL, errno.EDQUOT),
    (FAIL, errno.EINTR),
    (HALF, 0),
]
READ_FAULTS = [(FAIL, errno.EIO), (FAIL, errno.EINTR), (FAIL, errno.ENOMEM), (HALF, 0)]
BEHIND = ("left open", "raised, and left")
LAST = 6  # calls at the end, and up to twice as many before, if not thorough
CLEANING = ("unlink", "unlinkat", "rmdir")  # what one of these did not remove may stay
LOOKING = ("open64", "openat64", "fstat64", "opendir")  # as well if a tree could not be walked


def fail_everywhere(name: str, folder: Path, *, thorough: bool) -> Result:
    """Let each call of a save fail: in each way if thorough, else each in another one."""
    judge = Judge(find(name), folder)
    classes = CHANGE | KEEP if judge.save.takes_what_it_can else CHANGE | KEEP | READ
    result = Result()
    for at in moments(judge, classes, thorough, LAST):
        for action, code in FAULTS if thorough else [FAULTS[at % len(FAULTS)]]:
            judge.reset()
            outcome = strike(
                folder, judge.save.act, at=at, action=action, code=code, classes=classes
            )
            result.tried += 1
            what = f"{name}: {_spell(action, code)} at call {at}, {outcome.struck}"
            found = [*find_faults(outcome, code, folder), *_find_leftovers(outcome, judge)]
            if "zarr" in judge.save.needs:  # which goes on for a moment in its own threads
                found = [
                    each for each in found if not each.startswith(("left open", "raised, and"))
                ]
            found += judge.faults(may_be_old=not outcome.is_well)
            result.faults += [f"{what}: {each} ({outcome.error})" for each in found]
    return result


def fail_reads(name: str, folder: Path, *, thorough: bool) -> Result:
    """Let each call of a way to read fail: it raises, or has the right values."""
    read = READS[name]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    strike(folder, read.prepare)
    wanted = read.act(folder)

    def act(folder: Path) -> None:
        if read.act(folder) != wanted:
            raise Wrong(f"expected {wanted}, got another")

    calls = strike(folder, act, classes=READ).calls
    result = Result()
    for at in range(calls):
        for action, code in READ_FAULTS if thorough else [READ_FAULTS[at % len(READ_FAULTS)]]:
            outcome = strike(folder, act, at=at, action=action, code=code, classes=READ)
            result.tried += 1
            what = f"{name}: {_spell(action, code)} at call {at}, {outcome.struck}"
            found = find_faults(outcome, code, folder)
            result.faults += [f"{what}: {each} ({outcome.error})" for each in found]
    return result


def find_faults(outcome: Outcome, code: int, folder: Path) -> Iterator[str]:
    """Yield what is wrong with how a call ended one of whose calls failed."""
    if outcome.signal:
        yield f"killed by signal {outcome.signal}"
    if outcome.leaked:
        yield f"left open {outcome.leaked}"
    if outcome.error is None:
        return
    kind, number, file, _ = outcome.error
    found = _find_type(kind)
    if issubclass(found, OSError):
        if number != code:
            yield f"raised errno {number}"
        if file is None or not file.startswith(str(folder)):
            yield f"names the file {file}"
    elif not issubclass(found, (fastckpt.CheckpointError, MemoryError)):
        yield f"raised {kind}"


def _find_type(name: str) -> type[BaseException]:
    found: Callable[..., object] = getattr(builtins, name, getattr(fastckpt, name, BaseException))
    return found if isinstance(found, type) else BaseException


def _find_leftovers(outcome: Outcome, judge: Judge) -> Iterator[str]:
    """Yield what should have been cleaned up. Once files have been replaced what is staged is no
    longer in the way: it may be completed, and `Judge.faults` tries that."""
    left = leftovers(judge.folder)
    if not left or outcome.struck in CLEANING:
        return
    if outcome.is_well and outcome.struck not in LOOKING:
        yield f"returned, and left {left}"
    elif not outcome.is_well and not judge.save.is_repair and judge.is_untouched():
        yield f"raised, and left {left}"


def _spell(action: int, code: int) -> str:
    return "half" if action == HALF else errno.errorcode[code]
