"""What a path means."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastckpt
from fastckpt import train
from fastckpt.bundle.names import shard_path
from fastckpt.paths.resolve import Located, resolve
from fastckpt.paths.state import latest_checkpoint
from fastckpt.v1.names import v1_shard_path
from fastckpt.v1.writer import write_v1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("saved/variables")
    Path("saved/saved_model.pb").touch()
    for prefix in ("m", "run/m-5", "saved/variables/variables"):
        os.makedirs(os.path.dirname(prefix) or ".", exist_ok=True)
        fastckpt.write(prefix, {"a": np.arange(3.0)}, num_shards=2)
    train.update_checkpoint_state("run", "run/m-5")
    write_v1("old", {"a": np.arange(3.0)})
    write_v1("many", {"a": np.arange(3.0)}, num_shards=3)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("m", Located("V2", "m", "prefix")),
        ("m.index", Located("V2", "m", "file")),
        ("m.meta", Located("V2", "m", "file")),
        (shard_path("m", 1, 2), Located("V2", "m", "file")),
        ("run", Located("V2", "run/m-5", "folder")),
        ("run/", Located("V2", "run/m-5", "folder")),
        ("run/checkpoint", Located("V2", "run/m-5", "folder")),
        ("saved", Located("V2", "saved/variables/variables", "saved model")),
        ("old", Located("V1", "old", "prefix")),
        ("many", Located("V1", "many-?????-of-00003", "prefix")),
        ("many-?????-of-00003", Located("V1", "many-?????-of-00003", "prefix")),
        (v1_shard_path("many", 2, 3), Located("V1", "many-?????-of-00003", "prefix")),
        ("ol*", Located("V1", "ol*", "pattern", ("old",))),
        ("m*.data-?????-of-00002", None),
        ("[m]", Located("V2", "m", "pattern")),
        ("absent", None),
        ("m.data-00000-of-00009x", None),
    ],
)
def test_path_means_a_checkpoint_or_none(folder, path, expected):
    if expected is None:
        with pytest.raises(FileNotFoundError, match="looked for"):
            resolve(path)
        return
    found = resolve(path)

    assert found == expected
    with fastckpt.read(path) as checkpoint:
        assert (checkpoint.path, checkpoint.format) == (found.prefix, found.kind)
        assert checkpoint["a"].tolist() == [0, 1, 2]


def test_exact_prefix_wins_over_every_other_reading(folder):
    for prefix in ("run", "m.index", "checkpoint", "ol*", "saved"):
        fastckpt.write(prefix, {"a": np.zeros(1)})

        assert resolve(prefix) == Located("V2", prefix, "prefix")


def test_broken_index_is_no_v1_checkpoint(folder):
    os.truncate("m.index", os.path.getsize("m.index") - 48)

    assert resolve("m.index") == Located("V2", "m", "file")


@pytest.mark.parametrize("part", [0, 10, -60, -8, -1])
def test_broken_v1_file_is_one_by_its_name_or_for_want_of_another(folder, part):
    for path in ("old", v1_shard_path("many", 0, 3)):
        data = bytearray(Path(path).read_bytes())
        data[part] ^= 0xFF
        Path(path).write_bytes(data)

    assert resolve("old").kind == resolve("many").kind == "V1"
    for path in ("old", "many"):
        with pytest.raises(fastckpt.FormatError):
            fastckpt.load(path)


def test_pattern_means_all_files_of_one_v1_checkpoint(folder):
    shutil.copy(v1_shard_path("many", 0, 3), "part-a")
    write_v1("part-b", {"b": np.ones(2)})

    with fastckpt.read("part-*") as checkpoint:
        other = pickle.loads(pickle.dumps(checkpoint))
        assert checkpoint.num_shards == other.num_shards == 2
        assert checkpoint["b"].tolist() == other["b"].tolist() == [1, 1]
    with pytest.raises(FileNotFoundError):
        resolve("[ps]a*")  # a folder, too


def test_pattern_of_several_v2_checkpoints_means_none(folder):
    fastckpt.write("m2", {"a": np.zeros(1)})

    assert resolve("m?") == Located("V2", "m2", "pattern")
    fastckpt.write("m3", {"a": np.zeros(1)})
    with pytest.raises(FileNotFoundError):
        resolve("m?")


names = st.sampled_from(["m", "m-5", "gone", "old", "many-?????-of-00003"])
folders = st.sampled_from(
    ["", "run/", "../", "/away/", "C:\\\\run\\\\", "D:/run/", "gs://bucket/run/", "file:///no/"]
)


@settings(max_examples=60, deadline=None)
@given(folder_part=folders, name=names)
def test_state_file_leads_reading_and_asking_to_the_same_checkpoint(
    tmp_path_factory, folder_part, name
):
    place = tmp_path_factory.mktemp("place")
    fastckpt.write(place / "m-5", {"a": np.arange(3.0)})
    write_v1(place / "old", {"a": np.arange(3.0)})
    write_v1(place / "many", {"a": np.arange(3.0)}, num_shards=3)
    (place / "checkpoint").write_text(f'model_checkpoint_path: "{folder_part}{name}"')

    latest = latest_checkpoint(place)

    if latest is None:
        with pytest.raises(FileNotFoundError):
            fastckpt.read(place)
    else:
        assert fastckpt.read(place).path == latest
        assert os.path.normpath(latest) == str(place / name)
    assert (latest is None) == (name in ("m", "gone"))
