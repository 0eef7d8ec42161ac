"""Instruction counts of the hot paths, compared with stored ones: `make bench-instructions`.

Times on a shared machine scatter by tens of percent, instruction counts by a tenth of a percent, so
they show a slip of a few percent. They are not times: cache misses and the kernel's work are not
in them.

valgrind's callgrind counts, in one process that runs `benchmarks.hot_paths`. The counts depend on
the interpreter, NumPy, the C compiler and the processor. `instructions.json` has those of some
interpreters; with any other they are only printed. A row above 103 % of its stored count fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

from benchmarks.hot_paths import HOT_PATHS, HotPath, make_files
from benchmarks.report import table

CHECKOUT = Path(__file__).parent.parent
STORED = Path(__file__).with_suffix(".json")
TIMEOUT_SECONDS = 600
LIMIT = 1.03  # times the stored count
# The row without fastckpt: it differs with another build of the same Python and NumPy.
REFERENCE = "reference"
REFERENCE_TOLERANCE = 0.02
DUMPS_PER_PATH = 4  # before and after `count`, before and after twice as many

Counts = dict[str, float]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--path", metavar="GLOB", default="*", help="only hot paths of such a name")
    parser.add_argument("--update", action="store_true", help=f"store the counts in {STORED.name}")
    parser.add_argument("--profiles", type=Path, metavar="FOLDER", help="for callgrind_annotate")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    if shutil.which("valgrind") is None:
        log("counting instructions needs valgrind (Debian: apt-get install valgrind)")
        return 2
    paths = [p for p in HOT_PATHS if p.name == REFERENCE or fnmatch(p.name, arguments.path)]
    with tempfile.TemporaryDirectory() as folder:
        files, dumps = Path(folder, "files"), Path(folder, "dumps")
        files.mkdir()
        dumps.mkdir()
        make_files(files)
        count_instructions(files, dumps, paths)
        counts = read_counts(dumps, paths)
        if arguments.profiles:
            keep_profiles(dumps, paths, arguments.profiles)

    baselines = json.loads(STORED.read_text())
    stored = baselines.get(interpreter(), {})
    print(f"{interpreter()}\n\n{render(paths, counts, stored)}\n")
    if arguments.update:
        baselines[interpreter()] = {**stored, **counts}
        STORED.write_text(json.dumps(baselines, indent=1, sort_keys=True) + "\n")
        log(f"stored in {STORED.name}")
        return 0
    failures = compare(counts, stored)
    for failure in failures:
        log(failure)
    return 1 if failures else 0


def interpreter() -> str:
    """Name the interpreter, NumPy and the platform: the key of stored counts."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, NumPy {version('numpy')}, {platform.system()} {platform.machine()}"


def count_instructions(files: Path, dumps: Path, paths: list[HotPath]) -> None:
    """Run the hot paths under callgrind, which writes a dump at each call of ``getppid``."""
    command = [
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        "--dump-before=getppid",
        f"--callgrind-out-file={dumps / 'dump'}",
        sys.executable,
        *("-m", "benchmarks.hot_paths", str(files)),
        *(path.name for path in paths),
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    subprocess.run(
        command,
        cwd=CHECKOUT,
        env=environment,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )


def read_counts(dumps: Path, paths: list[HotPath]) -> Counts:
    """Return the instructions per unit of each hot path."""
    found = len(list(dumps.glob("dump.*")))
    if found != DUMPS_PER_PATH * len(paths):
        expected = DUMPS_PER_PATH * len(paths)
        raise RuntimeError(f"callgrind: expected {expected} dumps, one per getppid, got {found}")
    counts = {}
    for path, (once, twice) in zip(paths, locate_dumps(dumps, len(paths)), strict=True):
        difference = read_total(twice) - read_total(once)
        counts[path.name] = round(difference / (path.count * path.units), 1)
    return counts


def locate_dumps(dumps: Path, count: int) -> list[tuple[Path, Path]]:
    """Return two dumps for each hot path: after `count` repetitions, and after twice as many.

    Dumps are numbered from 1. Each covers the instructions since the one before it; the first and
    the third of a hot path cover its set-up.
    """
    last = [DUMPS_PER_PATH * number for number in range(1, count + 1)]
    return [(dumps / f"dump.{number - 2}", dumps / f"dump.{number}") for number in last]


def read_total(dump: Path) -> int:
    """Return the instructions of one dump."""
    found = re.search(r"^totals: (\d+)$", dump.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{dump.name}: expected a line of totals")
    return int(found[1])


def keep_profiles(dumps: Path, paths: list[HotPath], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path, (_, twice) in zip(paths, locate_dumps(dumps, len(paths)), strict=True):
        shutil.copy(twice, folder / f"callgrind.out.{path.name}")


def render(paths: list[HotPath], counts: Counts, stored: Counts) -> str:
    """Return a markdown table of counts beside the stored ones."""
    rows = []
    for path in paths:
        count, before = counts[path.name], stored.get(path.name)
        change = f"{count / before:.1%}" if before else "–"
        shown = f"{before:,.1f}" if before else "–"
        rows.append([f"`{path.name}`", f"{count:,.1f}", path.unit, shown, change])
    return table(["hot path", "instructions", "per", "stored", "of stored"], rows)


def compare(counts: Counts, stored: Counts) -> list[str]:
    """Return the rows that fail, in words. If the counts cannot be compared, log why."""
    if not stored:
        log("not compared: no counts are stored for this interpreter (--update stores them)")
        return []
    reference = counts[REFERENCE] / stored[REFERENCE]
    if abs(reference - 1) > REFERENCE_TOLERANCE:
        log(
            f"not compared: `{REFERENCE}`, which does not call fastckpt, is {reference:.1%} of its "
            "stored count: another build of Python or NumPy, or another processor"
        )
        return []
    return [
        f"FAILED {name}: expected at most {LIMIT:.0%} of the stored count, "
        f"got {count / stored[name]:.1%}"
        if name in stored
        else f"FAILED {name}: no count is stored (--update stores it)"
        for name, count in counts.items()
        if name not in stored or count > LIMIT * stored[name]
    ]


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
