"""Shapes that an array can have: one limit for the rank and one for the bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from ..errors import Fault, FormatError, UnsupportedError
from ._record import MAX_STORED_RANK
from .dtypes import DType

__all__ = ["MAX_RANK", "MAX_SIZE", "MAX_STORED_RANK", "check", "check_rank", "check_size"]

MAX_RANK: Final = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32  # NumPy's
MAX_SIZE: Final = 2**63 - 1  # bytes


def check(shape: Sequence[int], dtype: DType, path: str, what: str) -> int:
    """Return the number of elements of a shape, after a check that an array can have it.

    Raises `UnsupportedError` for more dimensions than NumPy has, and `FormatError` for a shape
    that `check_size` refuses. `path` and `what` name the file and the thing in it.
    """
    check_rank(shape, path, what)
    return check_size(shape, dtype.numpy.itemsize, path, what)


def check_rank(shape: Sequence[int], path: str, what: str) -> None:
    """Raise `UnsupportedError` for more dimensions than an array can have."""
    if len(shape) > MAX_RANK:
        problem = f"expected at most NumPy's {MAX_RANK} dimensions, got {len(shape)}"
        raise UnsupportedError(path, what, problem, fault=Fault.TOO_LARGE)


def check_size(shape: Sequence[int], item_size: int, path: str, what: str) -> int:
    """Return the number of elements of a shape, after a check of its dimensions.

    Raises `FormatError` for a negative dimension, and unless the dimensions above 0 and
    `item_size`, the bytes of an element in memory, multiply to less than 2**63. Dimensions of 0 do
    not count, which is NumPy's own rule.
    """
    if min(shape, default=0) < 0:
        raise FormatError(path, what, f"expected dimensions of 0 or more, got {tuple(shape)}")
    count = math.prod(shape)
    if (count or math.prod(dim for dim in shape if dim)) * item_size > MAX_SIZE:
        problem = f"expected less than 2**63 bytes, got {tuple(shape)}"
        raise FormatError(path, what, problem, fault=Fault.TOO_LARGE)
    return count
