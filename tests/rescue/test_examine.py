"""Examination of one checkpoint whose files are missing, renamed or of another format."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from diagnoses import data_of, find, type_in
from places import GOLDEN
from strangers import STRANGERS

import fastckpt
from fastckpt.rescue.doctor import doctor
from fastckpt.text import quote


@pytest.mark.parametrize("count", [1, 3])
def test_missing_shards_are_named(prefix, count):
    for shard in range(count):
        os.unlink(f"{prefix}.data-{shard:05d}-of-00004")

    finding = find(doctor(prefix), "missing")

    assert finding.severity == "error"
    assert "model.ckpt-7.data-00000-of-00004" in finding.why
    assert ("-00002-of-" in finding.why) == (count == 3)
    assert finding.todo.startswith("copy")


def test_header_that_asks_for_billions_of_shards_takes_no_time():
    diagnosis = doctor(GOLDEN / "corrupt" / "num_shards_too_large" / "ckpt")

    assert "different saves" in find(diagnosis, "missing").why


def test_empty_index_is_called_empty(small):
    os.truncate(f"{small}.index", 0)

    assert find(doctor(small), "empty file").where == f"{small}.index"


def test_shards_of_another_count_are_stale(small):
    stale = f"{small}.data-00000-of-00002"
    shutil.copy(data_of(small), stale)

    diagnosis = doctor(small)

    finding = find(diagnosis, "another save")
    assert finding.severity == "warning"
    assert finding.todo == f"rm {stale}"
    assert diagnosis.checkpoints[0].is_whole


def test_index_missing_beside_shards(prefix):
    os.unlink(f"{prefix}.index")

    for path in (prefix, f"{prefix}.index", f"{prefix}.data-00000-of-00004"):
        finding = find(doctor(path), "index missing")
        assert finding.severity == "error"
        assert "copy model.ckpt-7.index" in finding.todo


def test_only_the_index(prefix):
    for path in prefix.parent.glob("*.data-*"):
        path.unlink()

    assert find(doctor(prefix.parent), "4 data files missing").severity == "error"


@pytest.mark.parametrize("asked", ["model.ckpt-40", "model.ckpt-40.meta", ""])
def test_only_the_graph(tmp_path, asked):
    shutil.copy(GOLDEN / "tf1_saver" / "model.ckpt-40.meta", tmp_path)

    finding = find(doctor(tmp_path / asked), "only the graph")

    assert finding.todo.startswith("copy model.ckpt-40.index and 'model.ckpt-40.data-*'")
    assert "fastckpt meta " in finding.todo


def test_v1_file_with_the_name_of_an_index(tmp_path):
    shutil.copy(GOLDEN / "v1_plain" / "model.ckpt-2", tmp_path / "m.index")

    finding = find(doctor(tmp_path / "m"), "V1 checkpoint with the name of a V2 index")

    assert finding.todo.startswith(f"mv {tmp_path}/m.index {tmp_path}/m")


def test_v1_shard_missing(tmp_path):
    for path in (GOLDEN / "v1_sharded").glob("model.ckpt-5-*"):
        shutil.copy(path, tmp_path)
    os.unlink(tmp_path / "model.ckpt-5-00001-of-00003")

    for asked in ("model.ckpt-5", "model.ckpt-5-?????-of-00003", "model.ckpt-5-00000-of-00003", ""):
        diagnosis = doctor(tmp_path / asked)
        assert find(diagnosis, "shard 2 of 3 is missing").severity == "error"


@pytest.mark.parametrize("name", ["lfs", "html", "json", "gzip", "empty"])
@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_stranger_under_the_name_of_a_checkpoints_file(small, name, suffix):
    content, words, _ = STRANGERS[name]
    Path(f"{small}{suffix}").write_bytes(content)

    diagnosis = doctor(small)

    assert find(diagnosis, words).where == f"{small}{suffix}"
    assert not diagnosis.checkpoints[0].is_whole


@pytest.mark.parametrize("new", ["small.index.txt", "small.index.download", "small (1).index"])
def test_index_that_a_browser_renamed_is_given_its_name_back(small, new):
    changed = small.parent / new
    os.rename(f"{small}.index", changed)

    for path in (changed, small, small.parent):
        finding = find(doctor(path), "renamed by a download")
        assert finding.severity == "error"
        assert finding.todo == f"mv {quote(str(changed))} {small}.index"


def test_data_file_that_a_browser_renamed_is_given_its_name_back(small):
    os.rename(data_of(small), f"{data_of(small)}.txt")

    for path in (f"{data_of(small)}.txt", small, small.parent):
        finding = find(doctor(path), "renamed by a download")
        assert finding.todo == f"mv {data_of(small)}.txt {data_of(small)}"


def test_file_that_was_downloaded_twice_takes_nothings_place(small):
    shutil.copy(f"{small}.index", f"{small} (1).index")

    diagnosis = doctor(small.parent)

    assert find(diagnosis, "downloaded twice").todo == f"rm '{small} (1).index'"
    assert diagnosis.is_healthy
    assert find(doctor(f"{small} (1).index"), "downloaded twice").severity == "note"


@pytest.mark.parametrize("alignment", [1, 64])
def test_data_file_with_the_name_of_the_prefix_is_given_its_name_back(tmp_path, alignment):
    prefix = tmp_path / "model.ckpt-200"
    fastckpt.write(prefix, {"w": np.arange(9, dtype=np.float32)}, alignment=alignment)
    os.rename(data_of(prefix), prefix)

    finding = find(doctor(prefix), "under another name")

    assert finding.todo == f"mv {prefix} {data_of(prefix)}"
    type_in(finding.todo)
    assert doctor(prefix, verify=True).is_healthy


def test_other_file_with_the_name_of_the_prefix_is_no_data_file(small):
    os.unlink(data_of(small))
    small.write_bytes(bytes(10))

    assert find(doctor(small), "data file missing").severity == "error"
