"""Listing a checkpoint by any path that means it."""

import os

import numpy as np
import pytest

import fastckpt
from fastckpt import train
from fastckpt.paths.listing import has_its_files
from fastckpt.v1.writer import write_v1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train.Saver().save({"a": np.arange(3.0), "b/c": np.ones((2, 2), np.int32)}, "m", global_step=5)
    write_v1("old", {"a": np.arange(3.0), "b/c": np.ones((2, 2), np.int32)})
    return tmp_path


@pytest.mark.parametrize(
    "path", ["m-5", "m-5.index", "m-5.meta", "m-5.data-00000-of-00001", ".", "checkpoint", "old"]
)
def test_list_is_that_of_the_open_checkpoint(folder, path):
    for spelled in (path, os.fsencode(path), f"file://{folder}/{path}"):
        assert fastckpt.list_tensors(spelled) == fastckpt.read(spelled).infos()
        assert [info.name for info in fastckpt.list_tensors(spelled)] == ["a", "b/c"]


def test_tree_has_the_path_as_its_name(folder):
    assert fastckpt.tree("m-5").name == fastckpt.tree(b"m-5").name == "m-5"
    assert fastckpt.tree(f"file://{folder}/m-5").name == f"{folder}/m-5"


def test_list_of_what_cannot_be_opened_raises_what_read_raises(folder):
    os.truncate("m-5.index", 30)

    for path in ("m-5", "m-5.meta", ".", "absent", "checkpoint.x"):
        with pytest.raises((fastckpt.FormatError, FileNotFoundError)) as ours:
            fastckpt.list_tensors(path)
        with pytest.raises(type(ours.value)) as theirs:
            fastckpt.read(path)
        assert str(ours.value) == str(theirs.value)


def test_checkpoint_has_its_files_until_one_is_gone_or_cut(folder):
    tensors = {"a": np.arange(9.0), "s": np.array([b"text", b""], object), "e": np.zeros(0)}
    fastckpt.write("n", tensors, num_shards=2, alignment=1)
    write_v1("many", tensors, num_shards=2)
    files = ["n.data-00000-of-00002", "n.data-00001-of-00002", "n.index", "many-00001-of-00002"]

    for file in files:
        prefix = "n" if file[0] == "n" else "many-?????-of-00002"
        assert has_its_files(prefix)
        os.rename(file, "away")
        assert not has_its_files(prefix) or file == "n.index"
        os.rename("away", file)
    for file in files[:3]:
        data = (folder / file).read_bytes()
        os.truncate(file, len(data) - 1)
        assert not has_its_files("n")
        (folder / file).write_bytes(data)
    assert has_its_files("n") and has_its_files("old")
