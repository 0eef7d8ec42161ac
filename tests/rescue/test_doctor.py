"""What doctor takes a path for, and what it says of paths that mean nothing."""

import errno
import os

import pytest
from diagnoses import TOKEN, find
from places import GOLDEN
from strangers import STRANGERS

import fastckpt
from fastckpt.rescue.doctor import doctor


def test_index_without_its_suffix(small):
    os.rename(f"{small}.index", small)

    finding = find(doctor(small), "without its suffix")

    assert finding.todo.startswith(f"mv {small} {small}.index")


@pytest.mark.parametrize("name", STRANGERS)
def test_stranger_is_recognised(tmp_path, name):
    content, words, todo = STRANGERS[name]
    path = tmp_path / name
    path.write_bytes(content)

    diagnosis = doctor(path)

    finding = find(diagnosis, words)
    assert finding.severity == "error"
    assert todo in finding.todo + finding.why
    assert not diagnosis.is_healthy


def test_prefix_of_a_stranger_is_recognised(tmp_path):
    (tmp_path / "weights.h5").write_bytes(STRANGERS["h5"][0])

    diagnosis = doctor(tmp_path / "weights")

    assert find(diagnosis, "HDF5").where == str(tmp_path / "weights.h5")


def test_unknown_file_is_no_checkpoint(tmp_path):
    (tmp_path / "noise").write_bytes(bytes(range(1, 200)))

    assert "prefix" in find(doctor(tmp_path / "noise"), "not a checkpoint").todo


def test_nothing_there_names_what_comes_nearest(folder):
    diagnosis = doctor(folder / "run-30")

    assert find(diagnosis, "nothing of that name").severity == "error"
    assert f"{folder}/run-300" in find(diagnosis, "checkpoints beside").todo


def test_folder_that_is_not_there(tmp_path):
    finding = find(doctor(tmp_path / "none" / "deeper" / "model"), "no such folder")

    assert f"{tmp_path}" in finding.why


def test_path_below_a_file(small):
    diagnosis = doctor(f"{small}.index/model")

    assert [each.severity for each in diagnosis.findings] == ["error"]


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_path_that_cannot_be(path):
    diagnosis = doctor(path)

    assert not diagnosis.is_healthy
    assert diagnosis.findings[0].severity == "error"


def test_link_to_nothing(tmp_path):
    os.symlink(tmp_path / "gone", tmp_path / "link")

    assert doctor(tmp_path / "link").findings[0].severity == "error"


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert "pipe" in doctor(tmp_path / "pipe").findings[0].why


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_permission_denied_is_a_finding(small, monkeypatch, suffix):
    refused = f"{small}{suffix}"
    real_open = os.open

    def refuse(path, *args, **kwargs):
        if os.fspath(path) == refused:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    finding = find(doctor(small), "Permission denied")

    assert finding.where == refused
    assert "chmod u+r" in finding.todo


@pytest.mark.parametrize("suffix", [".index", ".data-00002-of-00004"])
def test_file_of_a_checkpoint_instead_of_its_prefix(prefix, suffix):
    diagnosis = doctor(f"{prefix}{suffix}")

    assert diagnosis.is_healthy
    assert find(diagnosis, "one file of a checkpoint").todo == f"pass the prefix: {prefix}"


HEALTHY = ["tf1_saver", "tf1_partitioned", "tf2_object", "v1_plain", "v1_sharded", "crafted_empty"]


@pytest.mark.parametrize("case", HEALTHY)
def test_what_tensorflow_wrote_is_healthy(case):
    diagnosis = doctor(GOLDEN / case, verify=True)

    assert diagnosis.is_healthy, str(diagnosis)
    assert all(checkpoint.is_whole for checkpoint in diagnosis.checkpoints)


def test_checkpoints_are_told_with_format_and_count():
    plain = doctor(GOLDEN / "v1_plain").checkpoints
    sharded = doctor(GOLDEN / "v1_sharded" / "model.ckpt-5").checkpoints

    assert [(each.format, each.is_whole) for each in plain] == [("V1", True)] * 2
    assert sharded[0].prefix == str(GOLDEN / "v1_sharded" / "model.ckpt-5-?????-of-00003")
    assert sharded[0].tensors == len(fastckpt.read(sharded[0].prefix))


def test_relative_paths_are_taken_as_they_are(folder, monkeypatch):
    monkeypatch.chdir(folder)

    assert doctor(".").is_healthy
    assert doctor("checkpoint").is_healthy
    assert doctor("run-300").checkpoints[0].prefix == "run-300"


def test_nothing_is_changed_by_looking(folder):
    for path in folder.glob("run-300*"):
        path.unlink()
    (folder / f"run-400.index.tmp-{TOKEN}").touch()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    doctor(folder, verify=True)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
