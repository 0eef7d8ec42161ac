"""The checkpoint of the tests of the command line."""

import json

import numpy as np
import pytest

TENSORS = {
    "model/kernel": np.arange(600, dtype=np.float32).reshape(20, 30),
    "model/kernel/Adam": np.full((20, 30), 0.5, np.float32),
    "model/bias": np.array([1.0, np.nan, -np.inf], np.float32),
    "step": np.int64(7),
    "text": np.array([b"one", b"", b"\x1b[31mred"], object),
}


def call_json(call, *arguments, status=0):
    found, out, err = call(*arguments, "--json")
    assert (found, err) == (status, "")
    return json.loads(out, parse_constant=pytest.fail)
