"""Average the checkpoints that a folder's state file lists: a loop found in many training scripts.

It was written for `tf.train`; only the import has changed.

    python average_checkpoints.py FOLDER OUT.npz
"""

import sys

import numpy as np

from fastckpt import train  # was: import tensorflow as tf; train = tf.compat.v1.train


def average(folder):
    state = train.get_checkpoint_state(folder)
    if state is None:
        raise SystemExit(f"there is no state file in {folder}")
    checkpoints = list(state.all_model_checkpoint_paths)
    values = {}
    for name, shape in train.list_variables(checkpoints[0]):
        if name != "global_step":
            values[name] = np.zeros(shape)
    for checkpoint in checkpoints:
        reader = train.load_checkpoint(checkpoint)
        for name in values:
            values[name] += reader.get_tensor(name)
    for name in values:
        values[name] /= len(checkpoints)
    values["global_step"] = train.load_variable(train.latest_checkpoint(folder), "global_step")
    return values


if __name__ == "__main__":
    np.savez(sys.argv[2], **average(sys.argv[1]))
