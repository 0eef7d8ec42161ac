"""What the documents show is run."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import fastckpt

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = [
    (path.name, block)
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for block in re.findall(r"^```python\n(.*?)^```$", path.read_text("utf-8"), re.M | re.S)
]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder to work in, with the checkpoints that the documents name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    fastckpt.write("model.ckpt-1000", {"dense/kernel": np.ones((2, 3), np.float32)})
    return tmp_path


def test_documents_have_examples():
    assert sum(name == "README.md" for name, _ in BLOCKS) >= 3
    assert {"train.md", "transfer-learning.md"} <= {name for name, _ in BLOCKS}


@pytest.mark.parametrize(
    ("name", "block"), BLOCKS, ids=[f"{i}-{n}" for i, (n, _) in enumerate(BLOCKS)]
)
@pytest.mark.usefixtures("workplace")
def test_example_in_a_document_runs(name, block):
    exec(compile(block, name, "exec"), {"fastckpt": fastckpt, "np": np})


@pytest.mark.usefixtures("workplace")
def test_docstring_example_is_true():
    result = doctest.testmod(fastckpt)

    assert result.attempted > 0
    assert result.failed == 0
