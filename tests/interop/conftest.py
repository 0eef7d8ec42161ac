"""Fixtures of the tests of conversion."""

import os

import pytest
from formats import MANY, VALUES

import fastckpt


@pytest.fixture
def target(tmp_path):
    """A prefix where nothing may appear."""
    yield tmp_path / "target.ckpt"
    assert not [name for name in os.listdir(tmp_path) if name.startswith("target")]


@pytest.fixture
def source(tmp_path):
    """A checkpoint of `VALUES`."""
    path = tmp_path / "source.ckpt"
    fastckpt.write(path, VALUES)
    return path


@pytest.fixture
def many(tmp_path):
    """A checkpoint of `MANY`."""
    path = tmp_path / "many.ckpt"
    fastckpt.write(path, MANY)
    return path
