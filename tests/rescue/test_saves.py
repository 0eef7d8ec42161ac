"""Findings about saves that did not end: leftovers, temporary files, living writers."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from diagnoses import TOKEN, data_of, find, type_in

import fastckpt
from fastckpt.rescue.doctor import doctor
from fastckpt.storage.folder import Staging
from fastckpt.storage.output import OutputFile


@pytest.mark.parametrize(
    "name",
    [
        "small.index.tempstate123",
        "x.data-00000-of-00001.tempstate9",
        "checkpoint.tmp" + "a" * 32,
    ],
)
def test_temporary_file_of_tensorflow(small, name):
    (small.parent / name).touch()

    finding = find(doctor(small.parent), "temporary files of TensorFlow")

    assert finding.severity == "warning"
    assert name in finding.todo


@pytest.mark.parametrize("suffix", ["_temp", "_temp_" + "0a" * 16, ".part"])
def test_temporary_folder_with_all_parts_can_be_merged(tmp_path, suffix):
    temp = tmp_path / f"ck-1{suffix}"
    temp.mkdir()
    for shard in range(2):
        fastckpt.write(temp / f"part-{shard:05d}-of-00002", {f"t{shard}": np.arange(3)})

    finding = find(doctor(tmp_path), "before its parts were merged")

    type_in(finding.todo)
    assert not temp.exists()
    assert sorted(fastckpt.read(tmp_path / "ck-1")) == ["t0", "t1"]


def test_temporary_folder_without_all_parts(tmp_path):
    temp = tmp_path / "ck-1_temp"
    temp.mkdir()
    fastckpt.write(temp / "part-00000-of-00002", {"t": np.arange(3)})

    assert find(doctor(tmp_path), "temporary folder").todo.startswith(f"rm -r {temp}")


def test_leftover_that_nobody_writes(tmp_path):
    (tmp_path / f"checkpoint.tmp-{TOKEN}").touch()

    assert find(doctor(tmp_path), "leftover of a dead writer").todo.startswith("rm ")


def test_leftover_of_a_killed_conversion(small):
    (small.parent / f"m.npz.tmp-{TOKEN}").mkdir()

    finding = find(doctor(small.parent), "leftover of a conversion to 'm.npz'")

    assert finding.severity == "warning"
    assert finding.todo.startswith(f"rm -r {small.parent}/m.npz.tmp-{TOKEN}")


def test_folder_that_a_killed_conversion_took_away_can_be_had_back(small):
    staged = small.parent / f"m.zarr.tmp-{TOKEN}"
    (staged / "old").mkdir(parents=True)
    (staged / "old" / "zarr.json").write_text("{}")

    finding = find(doctor(small.parent), "leftover of a conversion to 'm.zarr'")

    assert finding.severity == "error"
    subprocess.run(finding.todo.splitlines()[0], shell=True, check=True)
    assert (small.parent / "m.zarr" / "zarr.json").exists() and not staged.exists()


def test_conversion_that_goes_on_is_no_leftover(small):
    with Staging(str(small.parent / "m.npz")) as staging:
        diagnosis = doctor(small.parent)
        Path(staging.new).touch()

    assert not [each for each in diagnosis.findings if "leftover" in each.what]


def test_save_that_goes_on_is_a_note(small):
    writer = fastckpt.Writer(small)
    writer.add("new", np.zeros(3))

    diagnosis = doctor(small)

    assert find(diagnosis, "saving here now").severity == "note"
    assert diagnosis.is_healthy
    writer.abort()


def test_leftover_of_a_dead_save_can_be_discarded(small):
    OutputFile(f"{small}.index.tmp-{TOKEN}").close()

    diagnosis = doctor(small)

    finding = find(diagnosis, "leftovers of an interrupted save")
    assert finding.severity == "warning"
    assert finding.todo.startswith(f"fastckpt discard {small}")
    assert diagnosis.checkpoints[0].is_whole


def test_dead_save_with_all_files_can_be_completed(small):
    for path in (f"{small}.index", data_of(small)):
        os.rename(path, f"{path}.tmp-{TOKEN}")

    for path in (small, small.parent):
        finding = find(doctor(path), "can be completed")
        assert finding.severity == "error"
        assert finding.todo.startswith(f"fastckpt complete {small}")
