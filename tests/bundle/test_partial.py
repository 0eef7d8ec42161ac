"""The readable part of a damaged index, by the protocol of a whole one."""

import numpy as np
import pytest

import fastckpt
from fastckpt.bundle.partial import Remains, check_entry, find_shard_beside, open_table
from fastckpt.errors import TensorNotFoundError
from fastckpt.storage.local import File


@pytest.fixture
def prefix(tmp_path):
    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        for i in range(20_000):  # several blocks
            writer.add(f"layer_{i:05d}/kernel/with/a/long/name", np.float32(i))
        for i in range(2):
            writer.add_slice("p", np.full((1, 4), i), full_shape=(2, 4), start=(i, 0))
    return str(tmp_path / "m")


def open_partial(prefix):
    return Remains(prefix + ".index", find_shard_beside(prefix))


def test_whole_index_is_as_the_checkpoint_has_it(prefix):
    partial = open_partial(prefix)
    assert partial.problems == []
    with fastckpt.read(prefix) as checkpoint:
        stored = checkpoint.stored
        assert partial.names == stored.names()
        assert (partial.num_shards, partial.byteorder) == (stored.num_shards, stored.byteorder)
        assert partial.hidden_keys() == stored.hidden_keys()
        for name in (partial.names[0], "p"):
            assert partial.parts(name) != []
            assert [part.box for part in partial.parts(name)] == [
                part.box for part in stored.parts(name)
            ]
            np.testing.assert_array_equal(partial.read(name), stored.read(name))
            partial.verify(name)
            check_entry(partial, name, partial.entry(name))
    partial.close()


def test_block_that_is_damaged_costs_its_own_tensors_only(prefix):
    size = File(prefix + ".index").size
    with open(prefix + ".index", "r+b") as file:
        file.seek(300_000)
        file.write(b"\xff\xff\xff\xff")
    partial = open_partial(prefix)
    assert len(partial.problems) == 1
    assert 0 < len(partial.names) < 20_001
    assert size > 2 * 262_144
    for name, entry in partial.entries():
        assert entry.shape == () or name == "p"
    with pytest.raises(TensorNotFoundError):
        partial.entry("layer_none")
    partial.close()


@pytest.mark.parametrize("cut", [1, 48, 60])
def test_index_without_an_end_gets_a_new_one(prefix, cut):
    with open(prefix + ".index", "r+b") as file:
        file.truncate(File(prefix + ".index").size - cut)
    table, problem = open_table(File(prefix + ".index"))
    assert problem is not None
    with fastckpt.read(write_again(prefix)) as checkpoint:
        found = dict(table.items())
        items = [item for block in checkpoint.stored.blocks() for item in block]
        assert set(found) <= {key for key, _ in items}
        assert len(found) > 10_000


def write_again(prefix):
    with fastckpt.Writer(prefix + "-again", sync=False) as writer:
        for i in range(20_000):
            writer.add(f"layer_{i:05d}/kernel/with/a/long/name", np.float32(i))
        for i in range(2):
            writer.add_slice("p", np.full((1, 4), i), full_shape=(2, 4), start=(i, 0))
    return prefix + "-again"
