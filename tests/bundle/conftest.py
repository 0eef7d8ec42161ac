"""Folders that a writer finds."""

import pytest
from writing import OLD

import fastckpt


@pytest.fixture(params=["nothing", "a checkpoint"])
def folder(request, tmp_path):
    """A folder in which the prefix `m` has nothing, or a checkpoint."""
    if request.param == "a checkpoint":
        fastckpt.write(tmp_path / "m", OLD, num_shards=2, sync=False)
    return tmp_path
