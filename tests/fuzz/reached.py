"""Which lines the corpora reach: of csrc/, of the compiled modules and of the plain ones.

    python reached.py [--missed]

Builds the package with gcc's coverage in a temporary folder, replays the corpora through the Python
targets, and those of tests/c through the C targets. A line of a .pyx file is reached if any C is
that Cython made of it. Needs gcc with gcov, Cython and coverage. --missed lists the lines.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
C = HERE.parent / "c"
PARTS = ["csrc", "fastckpt", "setup.py", "pyproject.toml", "README.md", "LICENSE"]


def build(scratch):
    """Build a copy of the package whose extension modules count their lines."""
    for part in PARTS:
        source, copy = ROOT / part, Path(scratch, part)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(source, copy)
    settings = {"FASTCKPT_DEBUG": "1", "CFLAGS": "--coverage", "LDFLAGS": "--coverage"}
    run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], scratch, settings)


def run(command, folder, environment=()):
    subprocess.run(
        command, cwd=folder, env=os.environ | dict(environment), check=True, stdout=sys.stderr
    )


def replay_python(scratch):
    """Replay under coverage; return {module: {line: is reached}} of the plain modules."""
    coverage = [sys.executable, "-m", "coverage"]
    environment = {"PYTHONPATH": str(scratch)}
    run([*coverage, "run", "--source=fastckpt", str(HERE / "replay.py")], scratch, environment)
    run([*coverage, "json", "-q", "-o", "lines.json"], scratch, environment)
    found = json.loads(Path(scratch, "lines.json").read_text())["files"]
    return {
        f"fastckpt/{Path(name).name}": dict.fromkeys(each["missing_lines"], False)
        | dict.fromkeys(each["executed_lines"], True)
        for name, each in found.items()
        if name.endswith(".py")
    }


def replay_c():
    """Replay the corpora of the C targets in programs that count their lines."""
    for counts in C.glob("build/gcc-covered/**/*.gcda"):
        counts.unlink()
    run(["make", "--no-print-directory", "covered"], C)
    for corpus in sorted((C / "corpus").iterdir()):
        inputs = [str(path) for path in corpus.iterdir()]
        run([str(C / "build" / "gcc-covered" / f"fuzz_{corpus.name}"), *inputs], C)


def collect(folder, pattern, base):
    """Return {file: {line: is reached}} of what was counted, in files below a folder."""
    lines = defaultdict(dict)
    with tempfile.TemporaryDirectory() as reports:
        counts = [str(path.resolve()) for path in Path(folder).rglob(pattern)]
        for each in counts:  # one at a time: several objects have one name
            run(["gcov", "--json-format", each], reports)
            for report in Path(reports).glob("*.gz"):
                add_report(json.loads(gzip.decompress(report.read_bytes())), base, lines)
                report.unlink()
    return lines


def add_report(report, base, lines):
    for file in report["files"]:
        path = os.path.normpath(os.path.join(report["current_working_directory"], file["file"]))
        name = os.path.relpath(path, base)
        if name.startswith("csrc/") and name.endswith(".c"):
            places = None
        elif name.startswith("build/cython-"):
            places = map_lines(Path(path).read_text())
        else:
            continue
        for line in file["lines"]:
            number, is_reached = line["line_number"], line["count"] > 0
            where = (name, number) if places is None else places.get(number)
            if where is not None:
                lines[where[0]][where[1]] = lines[where[0]].get(where[1], False) or is_reached


def map_lines(text):
    """Return {line of C: (file, line)} by the comments that Cython puts in front of statements."""
    places, place = {}, None
    for number, line in enumerate(text.split("\n"), start=1):
        comment = re.match(r' */\* "(fastckpt/[\w/]+\.pyx)":(\d+)$', line)
        if comment:
            place = comment[1], int(comment[2])
        elif "/* function exit code */" in line or line == "}":
            place = None
        elif place is not None:
            places[number] = place
    return places


def print_lines(title, lines, lists_missed):
    print(f"\n{title}")
    for name, found in sorted(lines.items()):
        print(f"  {name:32} {spell(found.values())}")
        missed = [str(number) for number, is_reached in sorted(found.items()) if not is_reached]
        if lists_missed and missed:
            print(f"    {' '.join(missed)}")
    every = [is_reached for found in lines.values() for is_reached in found.values()]
    print(f"  {'all':32} {spell(every)}")


def spell(lines):
    return f"{sum(lines):5} of {len(lines):5} lines, {100 * sum(lines) / max(1, len(lines)):5.1f} %"


def main():
    parser = argparse.ArgumentParser(description="say which lines the corpora reach")
    parser.add_argument("--missed", action="store_true", help="list the lines that are not")
    missed = parser.parse_args().missed
    with tempfile.TemporaryDirectory() as scratch:
        build(scratch)
        plain = replay_python(scratch)
        # the core is counted by the C targets, below
        compiled = collect(scratch, "_*.gcda", os.path.realpath(scratch))
        compiled = {name: found for name, found in compiled.items() if name.endswith(".pyx")}
        plain = {name: found for name, found in plain.items() if any(found.values())}
    replay_c()
    core = collect(C / "build" / "gcc-covered", "*.gcda", ROOT)
    print_lines("csrc/, by the C targets", core, missed)
    print_lines("compiled modules", compiled, missed)
    print_lines("plain modules that the targets import", plain, missed)


if __name__ == "__main__":
    main()
