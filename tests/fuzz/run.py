"""Runs all fuzz targets for a time, and prints what they did.

    python run.py [--seconds T] [--jobs N] [--merge] [TARGET...]

The targets are those of tests/c (`c-index`, ...: libFuzzer programs) and of targets.py (libFuzzer
through atheris). T seconds are divided among them. Each goes on from its corpus and writes what it
found to found/: inputs that crashed or took too long or too much memory. `make fuzz` prepares the
interpreter that runs this: atheris, and the package built with clang for AddressSanitizer and
coverage. With --merge the corpora are replaced by minimised ones with what was found in this run.

Ends with status 1 if there was a finding, 2 if something is missing.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fuzz.corpora import pack_corpus, unpack_corpus
from places import TESTS

HERE = TESTS / "fuzz"
C = TESTS / "c"
FOUND = HERE / "found"

C_TARGETS = ["index", "entry", "strings", "build"]
# not `from targets import TARGETS`: that needs the sanitizers' runtime
PYTHON_TARGETS = re.findall(r"^def run_(\w+)", (HERE / "targets.py").read_text(), re.MULTILINE)
NEEDED = "fuzzing needs clang and its runtime: apt-get install clang libclang-rt-14-dev llvm"
SECONDS_PER_INPUT = 5
# AddressSanitizer's own memory counts, too; one allocation is limited apart
LIMITS = [
    f"-timeout={SECONDS_PER_INPUT}",
    "-rss_limit_mb=1024",
    "-malloc_limit_mb=256",
    "-print_final_stats=1",
    "-max_len=8192",
    f"-dict={HERE / 'words.dict'}",
]
MAX_CORPUS = 90_000  # bytes of one archive in the repository
MAX_C_CORPUS = 80  # files that a merge adds to a folder in the repository


class Job(NamedTuple):
    """A target: how it is started, and where what it begins with is."""

    name: str
    command: list[str]
    corpus: Path
    environment: dict[str, str]


class Result(NamedTuple):
    """What a run of a target did."""

    name: str
    runs: int
    seconds: int
    inputs: str
    edges: str
    features: str
    findings: int


def list_jobs(names):
    jobs = [c_job(name) for name in C_TARGETS] + [python_job(name) for name in PYTHON_TARGETS]
    unknown = set(names) - {job.name for job in jobs}
    if unknown:
        sys.exit(f"no target is called {', '.join(sorted(unknown))}")
    return [job for job in jobs if not names or job.name in names]


def c_job(name):
    program = C / "build" / "clang-libfuzzer" / f"fuzz_{name}"
    options = "abort_on_error=1"
    environment = {"ASAN_OPTIONS": options, "UBSAN_OPTIONS": options}
    return Job(f"c-{name}", [str(program)], C / "corpus" / name, environment)


def python_job(name):
    environment = {
        "FUZZ_TARGET": name,
        "LD_PRELOAD": find_runtime(),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=8",
        "PYTHONMALLOC": "malloc",
    }
    command = [sys.executable, str(HERE / "worker.py")]
    return Job(name, command, HERE / "corpus" / f"{name}.zip", environment)


def find_runtime():
    """The path of libFuzzer and AddressSanitizer in one library, which atheris comes with."""
    paths = [Path(path, "asan_with_fuzzer.so") for path in sys.path]
    return str(next((path for path in paths if path.exists()), "asan_with_fuzzer.so"))


def fuzz(job, seconds, scratch):
    """Run one target; return its `Result`."""
    grown = Path(scratch, job.name)
    fill_corpus(job, grown)
    log = FOUND / f"{job.name}.log"
    options = [f"-max_total_time={seconds}", f"-artifact_prefix={FOUND}/{job.name}-", *LIMITS]
    before = set(FOUND.iterdir())
    run_logged([*job.command, *options, str(grown)], job, log, seconds + 60)
    found = [path for path in set(FOUND.iterdir()) - before if is_artifact(path, job)]
    return read_log(job.name, log.read_text(errors="replace"), seconds, len(found))


def is_artifact(path, job):
    return re.match(rf"{job.name}-(crash|timeout|oom|leak|slow-unit)-", path.name)


def run_logged(command, job, log, timeout):
    with open(log, "w") as output:
        try:
            subprocess.run(
                command,
                env=os.environ | job.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            output.write("\nkilled\n")


def fill_corpus(job, folder):
    """Put the corpus of the repository into a folder that grows."""
    if job.corpus.is_dir():
        shutil.copytree(job.corpus, folder, dirs_exist_ok=True)
    else:
        unpack_corpus(job.corpus, folder)


def read_log(name, text, seconds, findings):
    """Take the numbers out of libFuzzer's lines; one that did not start has none."""
    last = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)[-1:] or [("-", "-", "-")]
    runs = re.findall(r"stat::number_of_executed_units: (\d+)", text)[-1:] or ["0"]
    failed = findings or "killed" in text[-20:] or runs == ["0"]
    edges, features, inputs = last[0]
    return Result(name, int(runs[0]), seconds, inputs, edges, features, max(findings, int(failed)))


def merge(job, scratch):
    """Replace a corpus by the smallest set of inputs with the same coverage."""
    grown, small = Path(scratch, job.name), Path(scratch, f"{job.name}.small")
    small.mkdir()
    options = ["-merge=1", "-max_len=8192", "-rss_limit_mb=2048"]
    run_logged([*job.command, *options, str(small), str(grown)], job, FOUND / "merge.log", 600)
    if not any(small.iterdir()):
        return
    if not job.corpus.is_dir():
        job.corpus.parent.mkdir(exist_ok=True)
        pack_corpus(small, job.corpus, MAX_CORPUS)
        return
    sized = sorted(small.iterdir(), key=lambda path: path.stat().st_size)
    for path in sized[:: 1 + len(sized) // MAX_C_CORPUS]:
        if not any(path.read_bytes() == each.read_bytes() for each in job.corpus.iterdir()):
            shutil.copy(path, job.corpus / path.name[:12])


def print_table(results):
    heads = ("target", "runs", "per second", "inputs", "edges", "features", "findings")
    print("{:14}{:>11}{:>12}{:>8}{:>8}{:>10}{:>10}".format(*heads))
    for each in results:
        rate = each.runs // max(1, each.seconds)
        print(
            f"{each.name:14}{each.runs:11,}{rate:12,}{each.inputs:>8}{each.edges:>8}"
            f"{each.features:>10}{each.findings:10}"
        )
    total = sum(each.runs for each in results)
    print(f"{'':14}{total:11,} runs, {sum(each.findings for each in results)} findings")


def prepare():
    """Build the C targets; end with a message where something is missing."""
    if shutil.which("clang") is None:
        print(NEEDED, file=sys.stderr)
        sys.exit(2)
    subprocess.run(["make", "--no-print-directory", "-C", str(C), "fuzzers"], check=True)
    FOUND.mkdir(exist_ok=True)


def main():
    parser = argparse.ArgumentParser(description="run the fuzz targets")
    parser.add_argument("--seconds", type=int, default=600, help="in all (default: 600)")
    parser.add_argument("--jobs", type=int, default=2, help="at the same time (default: 2)")
    parser.add_argument("--merge", action="store_true", help="keep what was found, minimised")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    options = parser.parse_args()
    prepare()
    jobs = list_jobs(options.targets)
    seconds = max(1, options.seconds * options.jobs // len(jobs))
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda job: fuzz(job, seconds, scratch), jobs))
        if options.merge:
            list(pool.map(lambda job: merge(job, scratch), jobs))
    print_table(results)
    if any(each.findings for each in results):
        print(f"the inputs and the logs are in {FOUND}")
        sys.exit(1)


if __name__ == "__main__":
    main()
