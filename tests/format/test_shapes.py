"""Which shapes an array can have."""

import re

import numpy as np
import pytest

from fastckpt.errors import Fault, FormatError, UnsupportedError
from fastckpt.format.dtypes import by_name, by_number, dtype_of
from fastckpt.format.shapes import MAX_RANK, check, check_rank, check_size

FLOAT32 = by_name("float32")


@pytest.mark.parametrize(
    ("shape", "count"), [((), 1), ((3, 4), 12), ((0, 2**60), 0), ((2**61 - 1,), 2**61 - 1)]
)
def test_count_of_a_shape_that_can_be(shape, count):
    assert check(shape, FLOAT32, "f", "tensor 'w'") == count


def test_limit_of_the_rank_is_numpys():
    np.zeros((1,) * MAX_RANK)
    check_rank((1,) * MAX_RANK, "f", "tensor 'w'")
    with pytest.raises(ValueError, match="dimension"):
        np.zeros((1,) * (MAX_RANK + 1))
    with pytest.raises(UnsupportedError, match=f"dimensions, got {MAX_RANK + 1}") as caught:
        check((1,) * (MAX_RANK + 1), FLOAT32, "f", "tensor 'w'")
    assert caught.value.fault is Fault.TOO_LARGE


@pytest.mark.parametrize("shape", [(2**61,), (2**31, 2**31), (0, 2**61), (2**61, 0, 1)])
def test_limit_of_the_size_is_numpys(shape):
    with pytest.raises(ValueError, match="too big|too large|array size|negative"):
        np.empty(shape, np.float32)
    with pytest.raises(FormatError, match=re.escape(f"less than 2**63 bytes, got {shape}")):
        check_size(shape, 4, "f", "tensor 'w'")


def test_negative_dimension_is_refused():
    with pytest.raises(FormatError, match=r"f: tensor 'w': .*got \(2, -1\)"):
        check((2, -1), FLOAT32, "f", "tensor 'w'")


def test_dtype_by_name_is_the_row_of_its_number():
    rows = [row for row in map(by_number, range(64)) if row is not None]
    assert len(rows) > 30
    assert all(by_name(row.name) is row for row in rows)


@pytest.mark.parametrize("name", ["float", "FLOAT", "", None, 1, ["float32"]])
def test_what_is_no_name_of_a_dtype_has_no_row(name):
    assert by_name(name) is None


def test_unknown_dtype_is_unsupported():
    assert dtype_of(1, "f", "entry of tensor 'w'") is FLOAT32
    with pytest.raises(UnsupportedError, match="f: entry of tensor 'w': .*number 99") as caught:
        dtype_of(99, "f", "entry of tensor 'w'")
    assert caught.value.fault is Fault.DTYPE
