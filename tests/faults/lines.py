"""Saves that are interrupted: by an exception at one line after the other, by signals."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

import fastckpt

from .crash import Result
from .judge import Judge, copy
from .saves import find

PACKAGE = os.path.dirname(os.path.abspath(fastckpt.__file__)) + os.sep
FEW = 15  # lines of a save at which it is interrupted, if not at all


def interrupt_everywhere(name: str, folder: Path, *, thorough: bool) -> Result:
    """Raise `KeyboardInterrupt` at each line of the package that a save runs, or at some."""
    judge = Judge(find(name), folder)
    judge.reset()
    raise_at(judge.save.act, folder, -1)
    judge.reset()
    count = raise_at(judge.save.act, folder, -1)  # all that it needs is imported now
    result = Result()
    lines = range(count) if thorough else random.Random(1).sample(range(count), min(FEW, count))
    for at in sorted(lines):
        judge.reset()
        seen = raise_at(judge.save.act, folder, at)
        result.tried += 1
        found = judge.faults()
        result.faults += [f"{name}: line {at} of {seen}: {each}" for each in found]
    return result


def raise_at(act: Callable[[Path], object], folder: Path, at: int) -> int:
    """Run a save, and raise at its line number `at`; return how many lines there were."""
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if event == "call":
            return trace if frame.f_code.co_filename.startswith(PACKAGE) else None
        if event == "line":
            seen += 1
            if seen == at + 1:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        act(folder)
    except KeyboardInterrupt:
        if at < 0:
            raise
    finally:
        sys.settrace(None)
    return seen


# ---- Signals

SIZES = {"small": 4, "large": 4 << 20}  # elements; 32 MB


def send_signals(count: int) -> Result:
    """Interrupt saves over a checkpoint by SIGINT, each at a random moment: every tenth of one
    with 32 MB. Afterwards the old or the new one is there, or comes back by `complete` or
    `discard`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    result = Result()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        for number in range(count):
            size = SIZES["large" if number % 10 == 0 else "small"]
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir()
            fastckpt.write(folder / "m", {"a": np.zeros(size)}, threads=1)
            started = time.perf_counter()
            fastckpt.write(folder / "m", {"a": np.zeros(size)}, threads=1)
            usual = time.perf_counter() - started
            delay = random.random() * usual * 1.1
            if not _interrupt(partial(fastckpt.write, folder / "m", {"a": np.ones(size)}), delay):
                continue
            result.tried += 1
            if not (_is_whole(folder) or _is_recovered(folder)):
                result.faults.append(f"try {number}: {sorted(os.listdir(folder))}")
    return result


def _interrupt(act: Callable[[], object], delay: float) -> bool:
    """Call, with a signal after a delay; return whether it was interrupted."""
    main = threading.main_thread().ident
    assert main is not None
    go = threading.Event()

    def fire() -> None:
        go.wait()
        time.sleep(delay)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=fire)
    thread.start()
    is_cut = False
    try:
        go.set()
        act()
        thread.join()
        time.sleep(0)
    except KeyboardInterrupt:
        is_cut = True
    try:
        thread.join()
    except KeyboardInterrupt:
        thread.join()
    return is_cut


def _is_whole(folder: Path) -> bool:
    try:
        with fastckpt.read(folder / "m") as checkpoint:
            checkpoint.verify()
            return len(np.unique(checkpoint.get_tensor("a", copy=True))) == 1
    except (fastckpt.CheckpointError, OSError):
        return False


def _is_recovered(folder: Path) -> bool:
    saved = folder.with_name("saved")
    copy(folder, saved)
    for mend in (fastckpt.complete, fastckpt.discard):
        with suppress(fastckpt.CheckpointError, OSError, ValueError):  # it may refuse
            mend(folder / "m")
        if _is_whole(folder):
            return True
        copy(saved, folder)
    return False
