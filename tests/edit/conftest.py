"""Sources and targets of the edits."""

import numpy as np
import pytest
from averaging import save
from renaming import save as save_model

import fastckpt


@pytest.fixture(params=["nothing", "a checkpoint"])
def target(request, tmp_path):
    """A prefix in a folder of its own, which has nothing, or a checkpoint."""
    (tmp_path / "target").mkdir()
    if request.param == "a checkpoint":
        fastckpt.write(tmp_path / "target" / "t", {"old": 1}, num_shards=2, sync=False)
    return tmp_path / "target" / "t"


@pytest.fixture
def sources(tmp_path):
    """Three checkpoints of the same tensors."""
    (tmp_path / "sources").mkdir()
    return [
        save(
            tmp_path / "sources" / str(number),
            {"w": np.full((3, 4), number, np.float32), "step": number, "name": f"no. {number}"},
        )
        for number in (1, 2, 6)
    ]


@pytest.fixture
def source(tmp_path):
    """The prefix of a checkpoint in a folder of its own."""
    save_model(tmp_path / "source" / "s")
    return tmp_path / "source" / "s"


@pytest.fixture
def out(tmp_path):
    """A prefix in a folder that is not there yet."""
    return tmp_path / "out" / "o"
