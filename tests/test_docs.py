"""What the documents show is run."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import fastckpt

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder to work in, with the checkpoints that the documents name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    fastckpt.write("model.ckpt-1000", {"dense/kernel": np.ones((2, 3), np.float32)})
    return tmp_path


def test_readme_has_examples():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
@pytest.mark.usefixtures("workplace")
def test_readme_example_runs(block):
    exec(compile(block, "README.md", "exec"), {})


@pytest.mark.usefixtures("workplace")
def test_docstring_example_is_true():
    result = doctest.testmod(fastckpt)

    assert result.attempted > 0
    assert result.failed == 0
