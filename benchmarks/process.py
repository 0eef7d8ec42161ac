"""The case `process`: a whole Python process, from start to end, that reads one small tensor.

Here the import is what is measured, so time and memory are taken from outside, and compared with
those of a process that only does `import numpy`, as each of the contenders does as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
from time import perf_counter

from benchmarks.fixtures import Fixtures

CHECK = "assert v1[5] == 5"
PROGRAMS = {
    "numpy": "import numpy",
    "fastckpt": f'import fastckpt; v1 = fastckpt.read({{prefix!r}})["v1"]; {CHECK}',
    "safetensors": (
        "from safetensors import safe_open\n"
        f'with safe_open({{safetensors!r}}, "numpy") as f: v1 = f.get_tensor("v1"); {CHECK}'
    ),
    "tensorflow": (
        "import tensorflow as tf\n"
        f'v1 = tf.train.load_checkpoint({{prefix!r}}).get_tensor("v1"); {CHECK}'
    ),
}
# Processes per round: they are short, and their times scatter.
COUNT_PER_ROUND = {"tensorflow": 1}
DEFAULT_COUNT = 6

WHAT = "fresh process: import, read one small tensor, exit"
TIME_LIMIT = 1.5  # times the process that only imports numpy
RSS_LIMIT = 8 << 20  # bytes above it


def program(fixtures: Fixtures, contender: str) -> str:
    """The source of the process."""
    return PROGRAMS[contender].format(
        prefix=fixtures.prefix("v1"), safetensors=fixtures.safetensors("v1")
    )


def measure(fixtures: Fixtures, contender: str) -> dict[str, float]:
    """Run the program once; return its time from start to end, and its peak memory.

    The folder it runs in is not the checkout: what is installed is what is imported.
    """
    command = [sys.executable, "-c", program(fixtures, contender)]
    start = perf_counter()
    child = subprocess.Popen(command, cwd=fixtures.folder, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    rss_unit = 1 if sys.platform == "darwin" else 1024
    return {"seconds": seconds, "rss": usage.ru_maxrss * rss_unit}


def count_per_round(contender: str) -> int:
    return COUNT_PER_ROUND.get(contender, DEFAULT_COUNT)


def extra_modules(fixtures: Fixtures, contender: str) -> tuple[list[str], list[str]]:
    """Return what the program imports and `import numpy` does not: packages, and standard modules.

    A package counts once, by its name; of those that NumPy imports too, new submodules are listed.
    """
    numpy_modules = list_modules(fixtures, "numpy")
    known = {name.partition(".")[0] for name in numpy_modules}
    new = set()
    for name in list_modules(fixtures, contender) - numpy_modules:
        package = name.partition(".")[0]
        new.add(name if package in known else package)
    standard = {name for name in new if name.partition(".")[0] in sys.stdlib_module_names}
    return sorted(new - standard), sorted(standard)


def list_modules(fixtures: Fixtures, contender: str) -> set[str]:
    """Run the program once, not timed; return the names of all modules that it imported."""
    source = program(fixtures, contender) + "\nimport sys; print('\\n'.join(sys.modules))"
    command = [sys.executable, "-c", source]
    done = subprocess.run(command, cwd=fixtures.folder, check=True, capture_output=True, text=True)
    return set(done.stdout.split())
