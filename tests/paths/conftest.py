"""A checkpoint that is read by its path."""

import pytest
from read_cases import TENSORS

import fastckpt


@pytest.fixture
def prefix(tmp_path):
    fastckpt.write(tmp_path / "model.ckpt-1000", TENSORS, num_shards=2, sync=False)
    (tmp_path / "model.ckpt-1000.meta").touch()
    return tmp_path / "model.ckpt-1000"
