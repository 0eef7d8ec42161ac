"""The checkpoint of the tests of lifetimes."""

import numpy as np

import fastckpt

BACKENDS = ["mmap", "pread"]


TENSORS = {
    "a": np.arange(10_000),
    "b": np.ones((20, 30), np.float32),
    "s": np.array([b"x" * 50, b""], dtype=object),
}


def write_all(prefix, offset=0, **options):
    with fastckpt.Writer(prefix, sync=False, **options) as writer:
        writer.add("a", TENSORS["a"] + offset)
        writer.add("b", TENSORS["b"] + offset)
        writer.add("s", TENSORS["s"])
        for start in (0, 3):
            writer.add_slice("p", np.arange(3) + start + offset, full_shape=(6,), start=(start,))
