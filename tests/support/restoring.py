"""The checkpoint of the tests of a partial restore, and targets for it."""

import numpy as np

import fastckpt
from fastckpt.bundle.names import shard_path

F32 = np.float32
TENSORS = {
    "bert/layer/kernel": np.arange(6, dtype=F32).reshape(2, 3),
    "bert/layer/bias": np.full(3, 7, F32),
    "bert/layer/kernel/Adam": np.full((2, 3), 9, F32),
    "head/kernel": np.full((3, 10), 5, F32),
    "labels": np.array([b"cat", b"dog"], object),
    "step": np.array(1000, np.int64),
    "zz_last": np.full(4, 8, F32),
}


def make_model():
    return {
        "encoder/layer/kernel": np.zeros((2, 3), F32),
        "encoder/layer/bias": np.zeros(3, F32),
        "head/kernel": np.zeros((3, 2), F32),
    }


def zeros_like(names):
    return {name: np.zeros_like(TENSORS[name]) for name in names}


def damage_last_tensor(path):
    info = fastckpt.read(path).info("zz_last")
    with open(shard_path(str(path), 0, 1), "r+b") as file:
        file.seek(info.offset + info.nbytes - 1)
        file.write(b"\xff")


def assert_untouched(target):
    assert not any(any(np.ravel(value).tolist()) for value in target.values())
