"""What averaging and casting share: kinds of numbers, rounding, and the parts of tensors.

A value is computed in float64 (complex128) and rounded once.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..bundle.writer import Writer
from ..checkpoint import Checkpoint, StoredPart
from ..format._record import Entry
from ..format.dtypes import DType
from ..format.slices import WHOLE, Box

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["CHUNK", "WIDE", "add_part", "kind_of", "list_parts", "round_once", "writer_like"]

CHUNK: Final = 1 << 20  # bytes of each source that are computed with at a time
WIDE: Final = {"float": np.float64, "complex": np.complex128}  # what sums are computed in
_KINDS: Final = {
    "float": "float",
    "bfloat": "float",
    "complex": "complex",
    "int": "integer",
    "uint": "integer",
}
_NUMPYS_OWN: Final = {"float16", "float32", "float64", "complex64", "complex128"}


def list_parts(checkpoint: Checkpoint, name: str) -> list[StoredPart]:
    """Return the slices of a partitioned tensor, or all of it as one part, as `Writer` needs them:
    slices that hold nothing are not written."""
    entry = checkpoint.stored.entry(name)
    if 0 in entry.shape:
        whole = tuple((0, dim) for dim in entry.shape)
        return [StoredPart(None, whole, entry, f"tensor {name!r}", None)]
    return checkpoint.stored.parts(name)


def add_part(writer: Writer, name: str, whole: Entry, stored: Box | None, array: Array) -> None:
    if stored is None:
        writer.add(name, array)
        return
    start = [None if (at, length) == (0, WHOLE) else at for at, length in stored]
    writer.add_slice(name, array, full_shape=whole.shape, start=start)


def writer_like(checkpoint: Checkpoint, dst: str | os.PathLike[str]) -> Writer:
    """Return a writer of as many data files, if that is not more than there are tensors: a header
    may say any number."""
    return Writer(dst, num_shards=max(1, min(checkpoint.num_shards, len(checkpoint))))


def kind_of(dtype: str) -> str | None:
    """Return the kind of number of TensorFlow's dtypes; None for what is not computed with."""
    return _KINDS.get(re.split(r"\d", dtype, maxsplit=1)[0])


def round_once(array: Array, dtype: DType) -> Array:
    """Return a 1-d array in another dtype of its kind, each value rounded to nearest, to even.

    What ml_dtypes makes of a float64 is rounded to float32 on the way, and the second rounding may
    take a number to the wrong side. Here the first one is to odd: what is cut off leaves a last
    bit of 1, so that the second one still sees on which side of a tie it is.
    """
    if dtype.name in _NUMPYS_OWN or array.dtype != np.float64:
        return array.astype(dtype.numpy)
    bits = array.astype(np.float32).view(np.uint32)
    is_rounded = np.isfinite(array) & (bits.view(np.float32) != array)
    bits -= is_rounded & (np.abs(bits.view(np.float32)) > np.abs(array))
    bits |= is_rounded
    return bits.view(np.float32).astype(dtype.numpy)
