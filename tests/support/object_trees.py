"""A tree of variables for the tests of objects."""

import collections

import numpy as np

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


Pair = collections.namedtuple("Pair", "first second")


def make_tree():
    shared = np.arange(6, dtype=np.float32).reshape(2, 3)
    return {
        "z": np.int64(5),
        "net": {
            "kernel": shared,
            "tied": shared,
            "list": [np.ones(2), np.zeros((0, 3), np.int32)],
            "b/c": np.array(True),
            "p.q": (np.arange(3, dtype=np.uint8),),
            "strings": np.array([b"a", b"", b"\xff\0"], object),
            "empty": {},
            "pair": Pair(np.arange(2), np.float64(2.5)),
        },
        "a": [[np.array(1 + 2j)]],
    }
