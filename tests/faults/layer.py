"""The library that stands between Python and the file system, and what is done through it.

A process that runs under the library forks for each fault: in the child one call goes wrong, and
the parent, which has imported everything already, looks at what is left.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("interpose.c")
CHANGE, KEEP, READ = 1, 2, 4  # classes of calls, as interpose.c has them
NOTHING, KILL_BEFORE, KILL_AFTER, FAIL, HALF = range(5)
TIMEOUT = 30  # seconds; a child that takes longer hangs


def is_available() -> bool:
    """Whether faults can be tried on this machine."""
    return sys.platform == "linux" and shutil.which("cc") is not None


def build(folder: Path) -> Path:
    """Compile the library into a folder."""
    library = folder / "interpose.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"]
    subprocess.run(command, check=True)
    return library


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended: killed by `signal` (0: not), with an exception, or well.

    `error` is (type, errno, file name, text). `calls` is how many calls there were, -1 if it was
    killed; `struck` the one that failed. `leaked` are the paths of descriptors still open.
    """

    signal: int
    calls: int = -1
    struck: str = ""
    error: tuple[str, int | None, str | None, str] | None = None
    leaked: tuple[str, ...] = ()

    @property
    def is_well(self) -> bool:
        return self.signal == 0 and self.error is None


def strike(
    folder: Path,
    act: Callable[[Path], object],
    *,
    at: int = -1,
    action: int = NOTHING,
    code: int = 0,
    classes: int = CHANGE | KEEP,
    log: Path | None = None,
) -> Outcome:
    """Call `act(folder)` in a child whose call number `at` on that folder meets `action`."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _run(folder, act, at, action, code, classes, log, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        report = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not report:
        return Outcome(signal=-status or signal.SIGKILL)
    calls, struck, error, leaked = json.loads(report)
    return Outcome(max(0, -status), calls, struck, error and tuple(error), tuple(leaked))


def _run(folder, act, at, action, code, classes, log, writing):
    library = ctypes.CDLL(None)
    library.faults_struck.restype = ctypes.c_char_p
    library.faults_disarm.restype = ctypes.c_long
    signal.alarm(TIMEOUT)
    error = None
    before = _descriptors()
    output = -1 if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    library.faults_arm(os.fsencode(folder), classes, ctypes.c_long(at), action, code, output)
    try:
        act(folder)
    except BaseException as caught:  # whatever it is, the parent is told
        name, number = getattr(caught, "filename", None), getattr(caught, "errno", None)
        file = os.fsdecode(name) if isinstance(name, (str, bytes)) else None
        error = (type(caught).__name__, number, file, str(caught))
    calls = library.faults_disarm()
    leaked = sorted(path for path in _descriptors() - before if path.startswith(str(folder)))
    struck = library.faults_struck().decode()
    with open(writing, "w") as pipe:
        json.dump((calls, struck, error, leaked), pipe)
    os._exit(0)


def _descriptors() -> set[str]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{os.readlink(f'/proc/self/fd/{number}')}\n{number}")
        except OSError:
            continue
    return found
