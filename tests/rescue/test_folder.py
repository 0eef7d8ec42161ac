"""Examination of a folder: its state file, its subfolders, what is in it."""

import errno
import os
import shutil

import numpy as np
from diagnoses import find
from places import GOLDEN
from strangers import STRANGERS

import fastckpt
from fastckpt.rescue.doctor import doctor


def test_stranger_in_a_folder_is_recognised(tmp_path):
    (tmp_path / "weights.h5").write_bytes(STRANGERS["h5"][0])

    diagnosis = doctor(tmp_path)

    assert "h5py" in find(diagnosis, "HDF5").todo
    assert "no checkpoint" in diagnosis.findings[0].what


def test_empty_folder(tmp_path):
    assert "saved to" in find(doctor(tmp_path), "an empty folder").todo


def test_folder_of_folders_names_those_with_checkpoints(tmp_path):
    shutil.copytree(GOLDEN / "tf2_manager", tmp_path / "inside")
    (tmp_path / "not").mkdir()

    finding = find(doctor(tmp_path), "no checkpoint in this folder")

    assert finding.todo == f"pass {tmp_path}/inside"


def test_folder_that_may_not_be_listed_is_a_finding(small, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)

    assert find(doctor(small.parent), "Permission denied").where == str(small.parent)


def test_state_file_that_is_damaged_is_repaired_in_words(folder):
    (folder / "checkpoint").write_text('model_checkpoint_path: "run')

    diagnosis = doctor(folder)

    finding = find(diagnosis, "damaged state file")
    assert finding.severity == "error"
    assert f"fastckpt state {folder} --repair" in finding.todo
    assert 'model_checkpoint_path: "run-500"' in finding.todo
    assert all(checkpoint.is_whole for checkpoint in diagnosis.checkpoints)


def test_state_file_that_is_a_web_page(folder):
    (folder / "checkpoint").write_bytes(STRANGERS["html"][0])

    assert find(doctor(folder / "checkpoint"), "web page").where == str(folder / "checkpoint")


def test_state_file_whose_latest_is_gone(folder):
    for path in folder.glob("run-500*"):
        path.unlink()

    finding = find(doctor(folder), "names a checkpoint that is gone")

    assert finding.severity == "error"
    assert 'model_checkpoint_path: "run-400"' in finding.todo


def test_state_file_that_lists_what_is_gone(folder):
    for path in folder.glob("run-300*"):
        path.unlink()

    finding = find(doctor(folder), "lists 1 that are gone")

    assert finding.severity == "warning"
    assert "run-300" not in finding.todo


def test_state_file_of_a_folder_that_was_moved(folder):
    (folder / "checkpoint").write_text('model_checkpoint_path: "/old/place/run-500"\n')

    finding = find(doctor(folder), "leads to where the folder was")

    assert finding.severity == "warning"
    assert 'model_checkpoint_path: "run-500"' in finding.todo


def test_state_file_that_points_to_another_folder(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    fastckpt.write(other / "m", {"a": np.zeros(1)})
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{other}/m"\n')

    assert find(doctor(folder), "points elsewhere").severity == "warning"


def test_state_file_alone(tmp_path):
    shutil.copy(GOLDEN / "tf2_manager" / "checkpoint", tmp_path)

    diagnosis = doctor(tmp_path)

    assert "copy the checkpoints" in find(diagnosis, "gone").todo


def test_several_checkpoints_without_a_state_file(folder):
    os.unlink(folder / "checkpoint")

    finding = find(doctor(folder), "no state file")

    assert finding.severity == "warning"
    assert f"pass a prefix: {folder}/run-500" in finding.todo


def test_one_checkpoint_without_a_state_file_is_healthy(small):
    diagnosis = doctor(small.parent)

    assert diagnosis.is_healthy
    assert find(diagnosis, "no state file").todo == f"pass the prefix: {small}"


def test_graph_of_a_saved_model_alone(tmp_path):
    shutil.copy(GOLDEN / "tf2_saved_model" / "model" / "saved_model.pb", tmp_path)

    assert "variables" in find(doctor(tmp_path), "SavedModel without").todo
    assert "variables" in find(doctor(tmp_path / "saved_model.pb"), "SavedModel").why


def test_saved_model_is_healthy():
    diagnosis = doctor(GOLDEN / "tf2_saved_model" / "model", verify=True)

    assert diagnosis.is_healthy
    assert diagnosis.checkpoints[0].tensors == 3
