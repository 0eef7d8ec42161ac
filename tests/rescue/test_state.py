"""Repair of state files: what they list, in which order, and that the latest opens."""

import os
import shutil

import numpy as np
import pytest
from places import GOLDEN

import fastckpt
from fastckpt.paths.state import read_state
from fastckpt.rescue.state import is_whole, rebuild_state, repair_state
from fastckpt.rescue.survey import Survey


def rebuild(folder):
    return rebuild_state(Survey.of(str(folder)), is_whole)


def test_folder_without_checkpoints_has_no_state(tmp_path):
    assert rebuild(tmp_path) is None
    with pytest.raises(FileNotFoundError, match="no whole checkpoint"):
        repair_state(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG", b'model_checkpoint_path: "run'])
def test_state_is_rebuilt_in_the_order_of_numbers(folder, content):
    (folder / "checkpoint").unlink()
    if content is not None:
        (folder / "checkpoint").write_bytes(content)
    for i, step in enumerate((400, 500, 300)):
        os.utime(folder / f"run-{step}.index", (i, i))

    state = repair_state(folder)

    assert state.model_checkpoint_path == "run-500"
    assert state.all_model_checkpoint_paths == ["run-300", "run-400", "run-500"]
    assert read_state(str(folder / "checkpoint")) == state
    assert fastckpt.read(folder).path == str(folder / "run-500")


def test_newest_of_several_names_is_the_one_that_was_written_last(folder):
    (folder / "checkpoint").unlink()
    fastckpt.write(folder / "best-7", {"a": np.zeros(1)})
    os.utime(folder / "run-500.index", (0, 0))

    state = rebuild(folder)

    assert state.model_checkpoint_path == "best-7"
    assert state.all_model_checkpoint_paths == ["best-7"]


def test_state_keeps_times_and_loses_what_is_gone(folder):
    before = read_state(str(folder / "checkpoint"))
    for path in [*folder.glob("run-400*"), *folder.glob("run-500*")]:
        path.unlink()

    state = repair_state(folder)

    assert state.model_checkpoint_path == "run-300"
    assert state.all_model_checkpoint_paths == ["run-300"]
    assert state.all_model_checkpoint_timestamps == before.all_model_checkpoint_timestamps[:1]
    assert state.last_preserved_timestamp == before.last_preserved_timestamp


def test_state_that_is_right_stays_as_it_is(folder):
    fastckpt.write(folder / "kept-by-hand", {"a": np.zeros(1)})
    text = (folder / "checkpoint").read_bytes()

    repair_state(folder)

    assert (folder / "checkpoint").read_bytes() == text


def test_paths_of_a_moved_folder_lead_to_it_again(folder):
    text = (folder / "checkpoint").read_text()
    (folder / "checkpoint").write_text(text.replace('"run-', '"/old/place/run-'))

    repair_state(folder)

    assert (folder / "checkpoint").read_text() == text


def test_v1_checkpoints_are_listed(tmp_path):
    for case in ("v1_plain/model.ckpt-2", "v1_plain/model.ckpt-3"):
        shutil.copy(GOLDEN / case, tmp_path)
    for path in (GOLDEN / "v1_sharded").glob("model.ckpt-5-*"):
        shutil.copy(path, tmp_path)

    state = rebuild(tmp_path)

    assert state.model_checkpoint_path == "model.ckpt-5-?????-of-00003"
    assert len(state.all_model_checkpoint_paths) == 3
