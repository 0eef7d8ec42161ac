"""Run the benchmarks and print a markdown table: ``python -m benchmarks.run [--quick]``.

Every (case, contender) gets a fresh process in every round, and the contenders of a case follow
each other, in another order each round: what the machine does meanwhile hits all of them alike, and
nobody always gets the memory that the same other one has left. The least time counts, because
nothing makes a computer faster than it is.

This process imports only the standard library: on Linux a child's peak memory starts at its
parent's.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from benchmarks import cases, fixtures, machine, process, report

CHECKOUT = Path(__file__).parent.parent
TIMEOUT_SECONDS = 600
DEFAULT_ROUNDS = 5
QUICK_ROUNDS = 1


@dataclass(slots=True)
class Outcome:
    """All that was measured: a record per round for each (case, run), or why there is none."""

    records: dict[str, dict[str, list[dict[str, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    failures: dict[str, str] = field(default_factory=dict)
    modules: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)

    def best(self) -> report.Best:
        """The least of every quantity over the rounds."""
        return {
            case: {
                run: {key: min(record[key] for record in rounds) for key in rounds[0]}
                for run, rounds in runs.items()
            }
            for case, runs in self.records.items()
        }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small fixtures: it works, for CI")
    parser.add_argument("--case", metavar="GLOB", default="*", help="only cases of such a name")
    parser.add_argument("--contender", metavar="GLOB", default="*", help="only these contenders")
    parser.add_argument(
        "--rounds", type=int, help=f"default: {DEFAULT_ROUNDS}, quick {QUICK_ROUNDS}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every record there")
    parser.add_argument(
        "--cache",
        type=Path,
        default=fixtures.DEFAULT_CACHE,
        help="where the fixtures are kept: 1.1 GB, and 0.5 GB while writing (default: %(default)s)",
    )
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else DEFAULT_ROUNDS)
    scale = fixtures.QUICK if arguments.quick else fixtures.FULL
    files = fixtures.locate(arguments.cache.resolve(), scale)
    make_fixtures(files)

    outcome = Outcome()
    facts = machine.describe(files.folder)
    for number in range(rounds):
        log(f"round {number + 1} of {rounds}")
        run_round(files, number, arguments, outcome)
    if not outcome.records and not outcome.failures:
        log("no case or contender has such a name")
        return 2

    print(report.render(outcome.best(), outcome.modules, scale, facts, rounds))
    if arguments.json:
        document = {
            "machine": facts,
            "scale": asdict(scale),
            "records": outcome.records,
            "modules": outcome.modules,
            "failures": outcome.failures,
        }
        arguments.json.write_text(json.dumps(document, indent=1))
    for run, reason in outcome.failures.items():
        log(f"FAILED {run}: {reason}")
    return 1 if outcome.failures else 0


def make_fixtures(files: fixtures.Fixtures) -> None:
    """Make the fixtures if they are not there, in a process of their own: it imports TensorFlow."""
    if fixtures.is_made(files):
        return
    log(f"making fixtures in {files.folder}")
    command = [sys.executable, "-m", "benchmarks.fixtures", "--cache", str(files.folder.parent)]
    quick = ["--quick"] if files.scale is fixtures.QUICK else []
    subprocess.run([*command, *quick], cwd=CHECKOUT, check=True, env=machine.environment())


def run_round(
    files: fixtures.Fixtures, number: int, arguments: argparse.Namespace, outcome: Outcome
) -> None:
    """Run every chosen contender of every chosen case once."""
    for case in cases.CASES:
        if not fnmatch(case.name, arguments.case):
            continue
        runs = [run for run in case.runs() if fnmatch(run, arguments.contender)]
        random.Random(f"{number} {case.name}").shuffle(runs)
        for run in runs:
            run_case(files, case, run, outcome)
    if fnmatch("process", arguments.case):
        chosen = [name for name in process.PROGRAMS if fnmatch(name, arguments.contender)]
        run_processes(files, chosen, outcome)


def run_case(files: fixtures.Fixtures, case: cases.Case, run: str, outcome: Outcome) -> None:
    """Measure one contender of one case in a fresh process; one that failed is not tried again."""
    title = f"{case.name} {run}"
    if title in outcome.failures:
        return
    command = [sys.executable, "-m", "benchmarks.measure", case.name, run]
    try:
        done = subprocess.run(
            [*command, files.scale.name, str(files.folder.parent)],
            cwd=CHECKOUT,
            env=machine.environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        outcome.failures[title] = f"not done after {TIMEOUT_SECONDS} s"
        return
    finally:
        files.clear_output()
    if done.returncode:
        outcome.failures[title] = (
            done.stderr.strip().rpartition("\n")[2] or f"exit {done.returncode}"
        )
        return
    record = json.loads(done.stdout)
    outcome.records[case.name][run].append(record)
    log(
        f"  {title}: {report.seconds(record['seconds'])}, peak {report.megabytes(record['rss'])} MB"
    )


def run_processes(files: fixtures.Fixtures, chosen: list[str], outcome: Outcome) -> None:
    """Run the programs of the case `process` in turn, each as often as it needs."""
    for turn in range(process.DEFAULT_COUNT):
        for name in chosen:
            title = f"process {name}"
            if title in outcome.failures or turn >= process.count_per_round(name):
                continue
            try:
                if name not in outcome.modules:
                    outcome.modules[name] = process.extra_modules(files, name)
                outcome.records["process"][name].append(process.measure(files, name))
            except subprocess.CalledProcessError as error:
                reason = error.stderr or f"exit {error.returncode}"
                outcome.failures[title] = reason.strip().rpartition("\n")[2]


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
