"""Which checkpoints leave the list, which of them stay on disk, and which files are removed."""

import math
import os

import numpy as np
import pytest

import fastckpt
from fastckpt.train.retention import KeepHourly, KeepSpaced, Retention
from fastckpt.train.saver import Saver, SaverDef

HOUR = 3600.0
VALUES = {"v": np.zeros(2, np.float32)}


class KeepNone:
    def keeps(self, when):
        return False


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test turns: `clock[0]`, in seconds since 1970."""
    now = [1_000_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def names_in(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("limit", [0, None])
def test_without_a_limit_none_is_dropped(limit):
    retention = Retention(limit, KeepNone())
    retention.entries = [("a", 1.0), ("b", 2.0)]

    assert not retention.drop_oldest()
    assert retention.paths == ["a", "b"]


def test_recorded_path_moves_to_the_end(clock):
    retention = Retention(3, KeepNone())
    for path in ("a", "b", "a"):
        clock[0] += 1
        retention.record(path)

    assert retention.entries == [("b", 1_000_002.0), ("a", 1_000_003.0)]


def test_as_many_are_dropped_as_are_too_many_or_are_asked_for():
    retention = Retention(2, KeepNone())
    retention.entries = [(name, 0.0) for name in "abcdef"]

    assert retention.drop_oldest(1)
    assert retention.paths == [*"bcdef"]
    assert retention.drop_oldest()
    assert retention.paths == [*"ef"]
    assert not retention.drop_oldest()


def test_dropped_files_stay_until_they_are_removed(run):
    retention = Retention(1, KeepNone())
    for name in ("a", "b"):
        fastckpt.write(f"run/{name}", VALUES)
        retention.record(f"run/{name}")

    retention.drop_oldest()
    before = names_in(run)
    retention.remove_dropped("run")

    assert before == [f"{name}.{end}" for name in "ab" for end in ("data-00000-of-00001", "index")]
    assert names_in(run) == ["b.data-00000-of-00001", "b.index"]


@pytest.mark.parametrize(("suffix", "is_gone"), [(None, False), ("meta", True), ("txt", False)])
def test_graph_goes_with_its_suffix(run, suffix, is_gone):
    retention = Retention(1, KeepNone())
    for name in ("a", "b"):
        (run / f"{name}.meta").touch()
        retention.record(f"run/{name}")

    retention.drop_oldest()
    retention.remove_dropped("run", meta_graph_suffix=suffix)

    assert names_in(run) == (["b.meta"] if is_gone else ["a.meta", "b.meta"])


def test_hourly_rule_keeps_one_of_each_interval(clock):
    rule = KeepHourly(1)
    clock[0] += HOUR
    ages = [0, 1, 2, 3600, 3601, 9000, 9001]

    assert [rule.keeps(clock[0] + age) for age in ages] == [
        False, True, False, False, True, True, False,
    ]  # fmt: skip
    rule.begin()
    assert not rule.keeps(clock[0] + HOUR)
    assert rule.keeps(clock[0] + HOUR + 1)


@pytest.mark.parametrize("hours", [None, 0])
def test_spaced_rule_without_hours_keeps_none(hours):
    assert not KeepSpaced(hours, 0.0).keeps(1e12)


def test_spaced_rule_counts_from_the_last_one_kept():
    rule = KeepSpaced(1, 100.0)

    assert [rule.keeps(100 + each * HOUR) for each in (0.9, 1.5, 2.4, 2.5)] == [
        False, True, False, True,
    ]  # fmt: skip
    assert rule.last_preserved == 100 + 2.5 * HOUR


def test_checkpoint_in_the_folder_of_another_save_is_removed_if_it_was_recorded(run, tmp_path):
    saver = Saver(max_to_keep=1)
    os.mkdir("other")
    saver.save(VALUES, "other/m", global_step=1)

    saver.save(VALUES, "run/m", global_step=2)

    assert names_in(tmp_path / "other") == ["checkpoint"]


@pytest.mark.parametrize("version", [SaverDef.V1, SaverDef.V2])
@pytest.mark.parametrize("path", ["other/best", "run/../other/best", "run/link/best"])
def test_saver_removes_nothing_of_another_folder(run, tmp_path, caplog, version, path):
    """The list of a state file, which `recover_last_checkpoints` takes, may be a stranger's."""
    os.mkdir("other")
    Saver(write_version=version).save(VALUES, "other/best")
    (run / "link").symlink_to(tmp_path / "other")
    before = names_in(tmp_path / "other")
    saver = Saver(max_to_keep=1, write_version=version)
    saver.recover_last_checkpoints([path])
    assert saver.last_checkpoints == [path]

    saver.save(VALUES, "run/m", global_step=1)

    assert saver.last_checkpoints == ["run/m-1"]
    assert names_in(tmp_path / "other") == before
    assert "outside of run" in caplog.text


def test_saver_removes_a_v1_checkpoint_of_another_process_but_no_other_file(run, caplog):
    Saver(write_version=SaverDef.V1).save(VALUES, "run/m", global_step=1)
    (run / "notes.txt").write_text("mine")
    (run / "empty").touch()
    (run / "folder").mkdir()
    saver = Saver(max_to_keep=1, write_version=SaverDef.V1)
    saver.set_last_checkpoints_with_time(
        [(f"run/{name}", 1.0) for name in ("m-1", "notes.txt", "empty", "folder", "missing")]
    )

    for step in range(2, 8):
        saver.save(VALUES, "run/m", global_step=step)

    kept = [f"m-{step}{end}" for step in range(3, 8) for end in ("", ".meta")]
    assert names_in(run) == ["checkpoint", "empty", "folder", *kept, "notes.txt"]
    assert caplog.text.count("no checkpoint") == 4


def test_checkpoint_without_a_time_is_never_removed(run):
    saver = Saver(max_to_keep=1)
    first = saver.save(VALUES, "run/m", global_step=1)
    again = Saver(max_to_keep=1)
    again.set_last_checkpoints([first])
    assert again._retention.entries == [(first, math.inf)]

    again.save(VALUES, "run/m", global_step=2)

    assert "m-1.index" in names_in(run)
