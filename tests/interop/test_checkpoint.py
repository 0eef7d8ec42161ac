"""Checkpoints as source and target: which names their tensors get."""

import numpy as np
import pytest
from formats import VALUES, lists, load_back, names_in

import fastckpt
from fastckpt.interop.checkpoint import CheckpointSource
from fastckpt.interop.convert import convert


@pytest.mark.parametrize("path", ["v1_plain", "tf1_partitioned", "crafted_big_endian"])
def test_checkpoint_of_another_sort_is_converted_whole(golden, tmp_path, path):
    index = next((golden / path).glob("*.index"), None) or next((golden / path).glob("*.ckpt*"))
    with fastckpt.read(index) as checkpoint:
        expected = {name: checkpoint.get_tensor(name, copy=True).tolist() for name in checkpoint}

    convert(index, tmp_path / "a.ckpt", format="checkpoint")
    convert(index, tmp_path / "a.h5", names="keys")

    assert lists(fastckpt.load(tmp_path / "a.ckpt")) == expected
    assert load_back(tmp_path / "a.h5") == expected


def test_object_based_checkpoint_gives_readable_names_and_no_bookkeeping(tmp_path):
    tree = {"model": {"kernel": VALUES["dense/kernel"]}}
    fastckpt.write_objects(tmp_path / "a.ckpt", tree)

    convert(tmp_path / "a.ckpt", tmp_path / "a.npz")

    assert names_in(tmp_path / "a.npz") == ["model/kernel"]


def test_slot_variables_come_along_under_readable_names(golden, tmp_path):
    path = next((golden / "tf2_slot_variables").glob("*.index"))
    with fastckpt.read(path) as checkpoint:
        variables = checkpoint.variables
        slots = [name for name in variables if ":" in name]

    convert(path, tmp_path / "a.npz")

    assert slots
    assert set(names_in(tmp_path / "a.npz")) == set(variables) - {
        name for name in variables if name in ("save_counter", "_CHECKPOINTABLE_OBJECT_GRAPH")
    }


def test_keys_are_the_choice_of_who_wants_them(tmp_path):
    fastckpt.write_objects(tmp_path / "a.ckpt", {"w": np.zeros(2)})
    with fastckpt.read(tmp_path / "a.ckpt") as checkpoint:
        keys = [name for name in checkpoint if name.endswith("VARIABLE_VALUE")]

    convert(tmp_path / "a.ckpt", tmp_path / "a.npz", names="keys", exclude="_CHECKPOINTABLE*")

    assert names_in(tmp_path / "a.npz") == keys


def test_between_checkpoints_the_object_graph_goes_along_unless_readable_is_asked_for(tmp_path):
    fastckpt.write_objects(tmp_path / "a.ckpt", {"w": np.zeros(2)})

    convert(tmp_path / "a.ckpt", tmp_path / "b.ckpt", format="checkpoint")
    convert(tmp_path / "a.ckpt", tmp_path / "c.ckpt", format="checkpoint", names="readable")

    assert fastckpt.read(tmp_path / "b.ckpt").object_graph is not None
    assert list(fastckpt.read(tmp_path / "c.ckpt")) == ["w"]


def test_checkpoint_is_converted_into_itself(source):
    convert(source, source, format="checkpoint", rename={"step": "global_step"})

    expected = {"global_step" if name == "step" else name: v for name, v in VALUES.items()}
    assert lists(fastckpt.load(source)) == lists(expected)


# ---- Which files are its own


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("m.index", True),
        ("m.data-00000-of-00002", True),
        ("alias/m.data-00001-of-00002", True),
        ("m.data-00002-of-00003", False),
        ("m", False),
        ("m.npz", False),
        ("other/m.index", False),
    ],
)
def test_checkpoint_owns_its_index_and_data_files(tmp_path, path, own):
    with fastckpt.Writer(tmp_path / "m", num_shards=2) as writer:
        writer.add("a", np.zeros(2))
        writer.add("b", np.zeros(2))
    (tmp_path / "alias").symlink_to(tmp_path)
    (tmp_path / "other").mkdir()

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert CheckpointSource(checkpoint, is_readable=False).owns(str(tmp_path / path)) is own
