"""A prefix, and a stand-in for PyTorch's module."""

import sys
import types

import pytest
from stand_ins import INT16


@pytest.fixture(autouse=True)
def duck_torch(monkeypatch):
    module = types.ModuleType("duck_torch")
    module.int16 = INT16
    monkeypatch.setitem(sys.modules, "duck_torch", module)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m"
