"""A checkpoint and a state file for the tests of read."""

import numpy as np

TENSORS = {"a": np.arange(4), "b": np.ones((2, 3)), "s": np.array(b"text")}


def write_state(folder, latest):
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{latest}"\n')
