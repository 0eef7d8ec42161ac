"""Checkpoints for the tests of rescue/ to break."""

import shutil

import numpy as np
import pytest
from places import GOLDEN

import fastckpt


@pytest.fixture
def folder(tmp_path):
    """A folder with three checkpoints of TensorFlow's CheckpointManager."""
    for path in (GOLDEN / "tf2_manager").iterdir():
        if path.name != "expected.json":
            shutil.copy2(path, tmp_path / path.name)
    return tmp_path


@pytest.fixture
def prefix(tmp_path):
    """A sharded checkpoint of TensorFlow 1 without a state file."""
    for path in (GOLDEN / "tf1_sharded").glob("model*"):
        shutil.copy2(path, tmp_path / path.name)
    return tmp_path / "model.ckpt-7"


@pytest.fixture
def small(tmp_path):
    """A small checkpoint with six tensors in one data file."""
    fastckpt.write(tmp_path / "small", {f"t{i}": np.full(100, i) for i in range(6)})
    return tmp_path / "small"
