"""`share`: a new index over the data files of another checkpoint, linked or copied."""

import os

import numpy as np
import pytest
from renaming import TENSORS, inodes, read_all, save, shards_of

import fastckpt
from fastckpt.bundle._index import StoredBundle
from fastckpt.bundle.names import index_path, shard_path
from fastckpt.bundle.relink import share
from fastckpt.errors import CheckpointError, FormatError
from fastckpt.graph.objects import GRAPH_KEY

SAME = [(name, name) for name in TENSORS]


@pytest.fixture
def source(tmp_path):
    save(tmp_path / "s")
    return str(tmp_path / "s")


@pytest.fixture
def out(tmp_path):
    """A prefix in a folder of its own, which is there."""
    (tmp_path / "out").mkdir()
    return str(tmp_path / "out" / "o")


def relink(source, out, pairs, *, gone=(), graph=None, link=True):
    share(StoredBundle(source), out, pairs, gone, graph, link)


def test_same_names_give_the_same_index(source, out):
    relink(source, out, SAME)

    with open(index_path(source), "rb") as old, open(index_path(out), "rb") as new:
        assert new.read() == old.read()
    assert inodes(out) == inodes(source)


@pytest.mark.parametrize("link", [True, False])
def test_tensors_get_their_new_names_and_keep_their_values(source, out, link):
    relink(source, out, [(name, f"new/{name}") for name in TENSORS], link=link)

    found = read_all(out)
    assert sorted(found) == sorted(f"new/{name}" for name in TENSORS)
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(found[f"new/{name}"], value)
    assert inodes(out) & inodes(source) == (inodes(source) if link else set())


def test_one_tensor_may_get_several_names(source, out):
    relink(source, out, [*SAME, ("text", "again"), ("emb", "emb2")])

    found = read_all(out)
    assert len(found) == len(TENSORS) + 2
    np.testing.assert_array_equal(found["again"], TENSORS["text"])
    np.testing.assert_array_equal(found["emb2"], TENSORS["emb"])


def test_data_file_in_which_everything_is_gone_is_left_out_and_the_others_renumbered(source, out):
    stored = StoredBundle(source)
    shard = stored.entry("model/kernel").shard_id
    gone = [
        name for name in TENSORS if shard in {part.entry.shard_id for part in stored.parts(name)}
    ]

    relink(source, out, [pair for pair in SAME if pair[0] not in gone], gone=gone)

    assert len(shards_of(out)) == len(shards_of(source)) - 1
    assert os.stat(shards_of(source)[shard]).st_ino not in inodes(out)
    found = read_all(out)
    assert sorted(found) == sorted(set(TENSORS) - set(gone))
    for name, value in found.items():
        np.testing.assert_array_equal(value, TENSORS[name])


def test_graph_is_replaced_in_a_data_file_of_its_own(source, out):
    fastckpt.write(source, {"w": np.arange(3), GRAPH_KEY: b"old"}, num_shards=1, sync=False)
    names = [("w", "v"), (GRAPH_KEY, GRAPH_KEY)]

    relink(source, out, names, graph=b"graph")
    relink(out, f"{out}2", [("v", "v"), names[1]], graph=b"another")

    assert read_all(out)[GRAPH_KEY].item() == b"graph"
    assert read_all(f"{out}2")[GRAPH_KEY].item() == b"another"
    assert read_all(f"{out}2")["v"].tolist() == [0, 1, 2]
    assert StoredBundle(out).num_shards == 2
    assert StoredBundle(f"{out}2").num_shards == 2  # the file of the first graph is gone


@pytest.mark.parametrize("pairs", [[("text", "x"), ("emb", "x")], [("text", "x"), ("text", "x")]])
def test_two_records_of_one_key_are_a_value_error(source, out, pairs):
    with pytest.raises(ValueError, match="expected keys that differ, got b'x' twice"):
        relink(source, out, pairs)

    assert os.listdir(os.path.dirname(out)) == []


def test_missing_data_file_is_file_not_found_and_leaves_nothing(source, out):
    os.unlink(shards_of(source)[1])

    with pytest.raises(FileNotFoundError):
        relink(source, out, SAME)

    assert os.listdir(os.path.dirname(out)) == []


def test_data_file_that_is_too_short_is_a_format_error(source, out):
    path = shards_of(source)[StoredBundle(source).entry("model/kernel").shard_id]
    os.truncate(path, 10)

    with pytest.raises(FormatError, match="but the file ends at 10") as caught:
        relink(source, out, SAME)

    assert caught.value.path == path
    assert os.listdir(os.path.dirname(out)) == []


def test_source_that_was_saved_again_meanwhile_is_refused(source, out):
    stored = StoredBundle(source)
    for number in range(stored.num_shards):
        stored.source(number, "data file")
    save(source)

    with pytest.raises(CheckpointError, match="read it anew"):
        share(stored, out, SAME, (), None, True)

    assert not os.path.exists(index_path(out))


def test_target_that_is_there_is_replaced(source, out):
    fastckpt.write(out, {"old": np.zeros(3)}, num_shards=5, sync=False)

    relink(source, out, SAME)

    assert sorted(read_all(out)) == sorted(TENSORS)
    assert not os.path.exists(shard_path(out, 0, 5))
