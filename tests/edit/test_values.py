"""Kinds of numbers, and rounding."""

import ml_dtypes
import numpy as np
import pytest

import fastckpt
from fastckpt.edit.values import kind_of, list_parts, round_once
from fastckpt.format.dtypes import by_name


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("float32", "float"),
        ("bfloat16", "float"),
        ("float8_e4m3fn", "float"),
        ("complex64", "complex"),
        ("int4", "integer"),
        ("uint64", "integer"),
        ("bool", None),
        ("string", None),
        ("qint8", None),
    ],
)
def test_kind_of_a_dtype(dtype, kind):
    assert kind_of(dtype) == kind


def test_a_tie_for_float32_is_none_for_bfloat16():
    above_a_tie = np.array([1 + 2**-8 + 2**-40])  # float32 rounds it to the tie, which goes down
    assert above_a_tie.astype(np.float32).astype(ml_dtypes.bfloat16) == 1
    assert round_once(above_a_tie, by_name("bfloat16")) == 1 + 2**-7


def test_a_tensor_of_nothing_is_one_part(tmp_path):
    fastckpt.write(tmp_path / "m", {"v": np.zeros((0, 3))}, sync=False)
    with fastckpt.read(tmp_path / "m") as checkpoint:
        (part,) = list_parts(checkpoint, "v")
    assert (part.stored, part.box) == (None, ((0, 0), (0, 3)))
