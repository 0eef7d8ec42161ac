"""Saves that are interrupted: by SIGKILL at one call after the other, or by a power loss."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .judge import Judge
from .layer import CHANGE, KEEP, KILL_AFTER, KILL_BEFORE, strike
from .power import Disk, all_states, build, sample
from .saves import find

LAST = 10  # calls of a long save, at its end, at all of which it is killed; before that at some
LISTED = 30  # times as many states as are tried are listed at one moment, many of them alike


@dataclass(slots=True)
class Result:
    """How much was tried, and what was found to be wrong."""

    tried: int = 0
    faults: list[str] = field(default_factory=list)


def kill_everywhere(name: str, folder: Path, *, thorough: bool) -> Result:
    """Kill a save before each call that changes something.

    Thorough is before and after each call, those that change nothing (locks, fsync, close) too.
    """
    judge = Judge(find(name), folder)
    result = Result()
    for action in (KILL_BEFORE, KILL_AFTER) if thorough else (KILL_BEFORE,):
        classes = CHANGE | KEEP if thorough else CHANGE
        for at in moments(judge, classes, thorough):
            judge.reset()
            outcome = strike(folder, judge.save.act, at=at, action=action, classes=classes)
            if outcome.is_well and outcome.calls <= at:
                continue  # threads may open a file once or twice
            if outcome.signal != signal.SIGKILL:
                result.faults.append(f"{name}: not killed at call {at}: {outcome}")
                break
            result.tried += 1
            found = judge.faults()
            result.faults += [f"{name}: killed at call {at}: {each}" for each in found]
    return result


def moments(judge: Judge, classes: int, thorough: bool, last: int = LAST) -> Iterator[int]:
    """Yield the numbers of calls: all, or some and the last ones."""
    judge.reset()
    calls = strike(judge.folder, judge.save.act, classes=classes).calls
    step = 1 if thorough else max(1, calls // last)
    yield from range(0, calls - last, step)
    yield from range(max(0, calls - last), calls)


def lose_power(name: str, folder: Path, *, limit: int) -> Result:
    """Look at the states that a power loss during a save, or after it, may leave: at most so many
    of each."""
    judge = Judge(find(name), folder)
    judge.reset()
    disk = Disk.of(folder)
    log = folder.with_name("log")
    strike(folder, judge.save.act, log=log)
    during, after = all_states(disk, log, LISTED * limit)
    result = Result()
    for states, may_be_old in ((during, True), (after, False)):
        for files in sample(list(states), limit):
            build(folder, files)
            result.tried += 1
            found = judge.faults(may_be_old=may_be_old, reorders=not states[files])
            where = "during" if may_be_old else "after"
            tree = [path for path, _, _ in files]
            order = "" if states[files] else ", out of order"
            result.faults += [f"{name}: power lost {where}{order}: {e} {tree}" for e in found]
    return result
