"""Instruction counts: what is counted gives the right results, and more of it fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import instructions
from benchmarks.hot_paths import HOT_PATHS, make_files

CHECKOUT = Path(__file__).parent.parent
NAMES = [path.name for path in HOT_PATHS]
STORED = {"reference": 1000.0, "get": 100.0}


def test_every_hot_path_gives_the_right_result(tmp_path):
    make_files(tmp_path)
    command = [sys.executable, "-m", "benchmarks.hot_paths", str(tmp_path), *NAMES]
    subprocess.run(command, cwd=CHECKOUT, check=True, timeout=120)


def test_a_wrong_result_fails(tmp_path):
    make_files(tmp_path)
    for suffix in (".index", ".data-00000-of-00001"):
        (tmp_path / f"big{suffix}").rename(tmp_path / f"small{suffix}")
    command = [sys.executable, "-m", "benchmarks.hot_paths", str(tmp_path), "load_small"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert "WrongResultError: the names are not those that were asked for" in done.stderr
    assert done.returncode == 1


def test_every_hot_path_has_a_stored_count():
    baselines = json.loads(instructions.STORED.read_text())
    assert baselines
    for counts in baselines.values():
        assert sorted(counts) == sorted(NAMES)


def test_at_most_103_percent_of_the_stored_count_passes():
    assert instructions.compare({"reference": 1000.0, "get": 103.0}, STORED) == []


def test_more_than_103_percent_of_the_stored_count_fails():
    assert instructions.compare({"reference": 1000.0, "get": 103.1}, STORED) == [
        "FAILED get: expected at most 103% of the stored count, got 103.1%"
    ]


def test_a_hot_path_without_a_stored_count_fails():
    assert instructions.compare({"reference": 1000.0, "put": 1.0}, STORED) == [
        "FAILED put: no count is stored (--update stores it)"
    ]


@pytest.mark.parametrize(
    ("stored", "reason"),
    [({}, "no counts are stored for this interpreter"), (STORED, "another build of Python")],
    ids=["another interpreter", "another build"],
)
def test_counts_of_another_interpreter_are_not_compared(capsys, stored, reason):
    assert instructions.compare({"reference": 1021.0, "get": 900.0}, stored) == []
    printed = capsys.readouterr().err
    assert printed.startswith("not compared: ")
    assert reason in printed


def test_a_count_is_the_difference_of_n_and_2n_repetitions(tmp_path):
    # set-up, n repetitions, set-up, 2n repetitions, for each of two hot paths
    totals = [10**6, 530, 10**7, 1030, 10**6, 40, 10**7, 70]
    for number, total in enumerate(totals, 1):
        (tmp_path / f"dump.{number}").write_text(f"events: Ir\nfn=(1) f\n1 2\ntotals: {total}\n")
    paths = [
        instructions.HotPath(make_files, count=5, unit="get", units=10),
        instructions.HotPath(instructions.main, count=3, unit="open"),
    ]
    assert instructions.read_counts(tmp_path, paths) == {"make_files": 10.0, "main": 10.0}


def test_a_dump_too_many_is_an_error(tmp_path):
    for number in range(1, 6):
        (tmp_path / f"dump.{number}").write_text("totals: 1\n")
    with pytest.raises(RuntimeError, match="expected 4 dumps, one per getppid, got 5"):
        instructions.read_counts(tmp_path, [HOT_PATHS[0]])
