"""Small runs of load.py, and what bounds the descriptors of a checkpoint of many files."""

import os

import numpy as np
import pytest
from fresh import run
from load import long_names, many_tensors, many_threads

import fastckpt


def test_file_that_took_the_place_of_a_closed_one_is_not_read(tmp_path):
    values = {f"v{i:03d}": np.full(3, i) for i in range(100)}
    fastckpt.write(tmp_path / "m", values, num_shards=100)
    checkpoint = fastckpt.read(tmp_path / "m", backend="pread")
    assert all(checkpoint[name][0] == i for i, name in enumerate(values))

    shard = tmp_path / "m.data-00099-of-00100"
    other = tmp_path / "other"
    other.write_bytes(shard.read_bytes())
    os.replace(other, shard)

    with pytest.raises(fastckpt.CheckpointError, match="another one in its place"):
        checkpoint["v099"]
    assert checkpoint["v000"][0] == 0


def test_hundred_thousand_tensors(tmp_path):
    many_tensors(tmp_path, 100_000)


def test_more_shards_than_descriptors(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from load import many_shards
        print(many_shards(Path(sys.argv[1]), 300, 120)["descriptors at most"])
    """

    assert int(run(code, tmp_path)) < 100


def test_names_of_64_kilobytes(tmp_path):
    long_names(tmp_path, 20, 64 << 10)


def test_hundred_threads_share_a_checkpoint(tmp_path):
    many_threads(tmp_path, 100, 20)


def test_saving_restoring_and_deleting_for_long_takes_no_more_memory(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from load import soak
        print(soak(Path(sys.argv[1]), 8)["steps"])
    """

    assert int(run(code, tmp_path)) > 300
