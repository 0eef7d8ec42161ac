"""Repair of state files: what they list, in which order, and that the latest opens."""

import os
import shutil

import numpy as np
import pytest
from diagnoses import find
from places import GOLDEN

import fastckpt
from fastckpt.paths.state import read_state
from fastckpt.rescue.doctor import doctor
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


# ---- what is repaired opens


def save(folder, step, shards=1):
    fastckpt.write(
        folder / f"m-{step}", {f"w{i}": np.full(9, step) for i in range(4)}, num_shards=shards
    )


def list_in_state(folder, *paths):
    lines = [f'model_checkpoint_path: "{paths[-1]}"']
    lines += [f'all_model_checkpoint_paths: "{path}"' for path in paths]
    (folder / "checkpoint").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("has_state", [True, False])
def test_newest_whole_checkpoint_is_the_latest(tmp_path, has_state):
    for step in (10, 20, 30):
        save(tmp_path, step, shards=2)
    if has_state:
        list_in_state(tmp_path, "m-10", "m-20", "m-30")
    os.unlink(tmp_path / "m-30.data-00001-of-00002")

    diagnosis = doctor(tmp_path)
    state = repair_state(tmp_path)

    assert state.all_model_checkpoint_paths == ["m-10", "m-20"]
    assert fastckpt.train.latest_checkpoint(tmp_path) == str(tmp_path / "m-20")
    if has_state:
        finding = find(diagnosis, "names a broken checkpoint")
        assert 'model_checkpoint_path: "m-20"' in finding.todo
        assert not [each for each in doctor(tmp_path).findings if "state" in each.what]


def test_cut_data_file_is_not_whole(tmp_path):
    for step in (1, 2):
        save(tmp_path, step)
    os.truncate(tmp_path / "m-2.data-00000-of-00001", 10)

    assert is_whole(str(tmp_path / "m-1")) and not is_whole(str(tmp_path / "m-2"))
    assert rebuild(tmp_path).all_model_checkpoint_paths == ["m-1"]


def test_folder_with_broken_checkpoints_only_has_no_state(tmp_path):
    save(tmp_path, 1)
    os.truncate(tmp_path / "m-1.index", 20)
    list_in_state(tmp_path, "m-1")
    before = (tmp_path / "checkpoint").read_bytes()

    with pytest.raises(FileNotFoundError, match="no whole checkpoint"):
        repair_state(tmp_path)

    assert (tmp_path / "checkpoint").read_bytes() == before


@pytest.mark.parametrize("path", ["/data/author/exp/", "./", "gone"])
def test_prefix_without_a_name_is_spelled_so_that_it_opens(tmp_path, path):
    fastckpt.write(tmp_path / "plain", {"w": np.arange(2)})
    folder = tmp_path / "folder"
    folder.mkdir()
    for suffix in ("index", "data-00000-of-00001"):
        os.rename(tmp_path / f"plain.{suffix}", folder / f".{suffix}")
    list_in_state(folder, path)

    assert repair_state(folder).model_checkpoint_path == "./"

    assert fastckpt.load(fastckpt.train.latest_checkpoint(folder))["w"].tolist() == [0, 1]
    assert not [each for each in doctor(folder).findings if "gone" in each.what]


@pytest.mark.parametrize(
    "path", ["C:\\\\run\\\\m-5", "D:/run/m-5", "gs://bucket/run/m-5", "/gone/m-5"]
)
def test_paths_of_other_systems_become_those_of_the_folder(tmp_path, path):
    save(tmp_path, 5)
    list_in_state(tmp_path, path)

    assert repair_state(tmp_path).all_model_checkpoint_paths == ["m-5"]


def test_folder_in_the_place_of_the_state_file_is_none(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    save(tmp_path, 5)

    assert rebuild(tmp_path).model_checkpoint_path == "m-5"
    assert not [each for each in doctor(tmp_path).findings if each.severity == "error"]
    with pytest.raises(OSError):
        repair_state(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir())[0] == "checkpoint"
    assert (tmp_path / "checkpoint").is_dir()


def test_indexes_are_read_and_no_data(tmp_path, monkeypatch):
    save(tmp_path, 1)
    monkeypatch.setattr("fastckpt.storage.local.File.checksum", None)
    monkeypatch.setattr("fastckpt.storage.local.File.read_into", None)

    assert repair_state(tmp_path).model_checkpoint_path == "m-1"


# ---- the newest checkpoint of a folder


def write_steps(folder, *steps, name="m"):
    for step in steps:
        fastckpt.write(folder / f"{name}-{step}", {"a": np.zeros(9), "b": np.ones(9)}, num_shards=2)


def test_latest_is_the_checkpoint_with_the_highest_number(tmp_path):
    write_steps(tmp_path, 100, 20, 3)

    assert fastckpt.latest(tmp_path) == f"{tmp_path}/m-100"
    assert fastckpt.latest(f"file://{tmp_path}/") == f"{tmp_path}/m-100"


@pytest.mark.parametrize("listed", [None, "m-2", "m-3", "/elsewhere/m-1", "gone", "a\\000b"])
def test_latest_passes_over_broken_checkpoints_whatever_the_state_file_says(tmp_path, listed):
    write_steps(tmp_path, 1, 2, 3, 4)
    (tmp_path / "m-4.data-00001-of-00002").unlink()
    os.truncate(tmp_path / "m-3.data-00000-of-00002", 5)
    if listed is not None:
        (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{listed}"')

    assert fastckpt.latest(tmp_path) == f"{tmp_path}/m-2"
    assert fastckpt.latest(tmp_path, whole=False) == f"{tmp_path}/m-4"


def test_latest_has_the_name_that_the_state_file_names(tmp_path):
    write_steps(tmp_path, 5, 6)
    write_steps(tmp_path, 900, name="best")

    os.utime(tmp_path / "m-6.index", (1, 1))
    assert fastckpt.latest(tmp_path) == f"{tmp_path}/best-900"
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "m-5"')
    assert fastckpt.latest(tmp_path) == f"{tmp_path}/m-6"
    for path in tmp_path.glob("m-*.data-00000-of-00002"):
        path.unlink()
    assert fastckpt.latest(tmp_path) == f"{tmp_path}/best-900"


def test_latest_of_v1_checkpoints(tmp_path):
    for path in (GOLDEN / "v1_sharded").glob("model.ckpt-5-*"):
        shutil.copy(path, tmp_path)
    shutil.copy(GOLDEN / "v1_plain/model.ckpt-3", tmp_path)

    assert fastckpt.latest(tmp_path) == f"{tmp_path}/model.ckpt-5-?????-of-00003"
    (tmp_path / "model.ckpt-5-00001-of-00003").unlink()
    assert fastckpt.latest(tmp_path) == f"{tmp_path}/model.ckpt-3"


def test_folder_without_a_whole_checkpoint_has_no_latest(tmp_path):
    assert fastckpt.latest(tmp_path) is None
    write_steps(tmp_path, 1)
    (tmp_path / "m-1.data-00000-of-00002").unlink()

    assert fastckpt.latest(tmp_path) is None
    assert fastckpt.latest(tmp_path, whole=False) == f"{tmp_path}/m-1"
    with pytest.raises(FileNotFoundError):
        fastckpt.latest(tmp_path / "absent")
