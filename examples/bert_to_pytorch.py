"""Name and lay out a BERT checkpoint's weights as PyTorch's model has them: the loading loop of the
converters that published models went through.

It was written for `tf.train`; only the import has changed.

    python bert_to_pytorch.py bert_model.ckpt OUT.npz
"""

import re
import sys

import numpy as np

from fastckpt import train  # was: import tensorflow as tf; train = tf.compat.v1.train

OF_THE_OPTIMIZER = {"adam_v", "adam_m", "global_step"}
RENAMED = {"kernel": "weight", "gamma": "weight", "beta": "bias", "output_weights": "weight"}


def load(path):
    weights = {}
    for name, shape in train.list_variables(path):
        array = train.load_variable(path, name)
        assert list(array.shape) == list(shape)
        scopes = name.split("/")
        if OF_THE_OPTIMIZER.intersection(scopes):
            continue
        if scopes[-1] == "kernel":  # PyTorch multiplies from the other side
            array = array.T
        parts = [re.sub(r"^layer_(\d+)$", r"layer.\1", RENAMED.get(part, part)) for part in scopes]
        if scopes[-1].endswith("_embeddings"):
            parts.append("weight")
        weights[".".join(parts)] = array
    return weights


if __name__ == "__main__":
    np.savez(sys.argv[2], **load(sys.argv[1]))
