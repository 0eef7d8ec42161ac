"""Folders that a writer finds, and checkpoints that are read."""

import pytest
from reading import write_all
from writing import OLD

import fastckpt


@pytest.fixture(params=["nothing", "a checkpoint"])
def folder(request, tmp_path):
    """A folder in which the prefix `m` has nothing, or a checkpoint."""
    if request.param == "a checkpoint":
        fastckpt.write(tmp_path / "m", OLD, num_shards=2, sync=False)
    return tmp_path


@pytest.fixture
def prefix(tmp_path):
    write_all(tmp_path / "m", num_shards=2)
    return tmp_path / "m"


@pytest.fixture
def checkpoint(prefix):
    with fastckpt.read(prefix) as checkpoint:
        yield checkpoint
