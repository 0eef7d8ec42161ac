"""Tensors of another precision. What does not change is carried over, bytes and checksum."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..bundle.writer import Writer
from ..checkpoint import Checkpoint
from ..format.dtypes import DType, by_name
from ..parallel import Tally
from ..paths.read import open_source
from ..rules import match_globs
from .rename import in_data_order
from .values import CHUNK, add_part, kind_of, round_once, writer_like

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..parallel import Progress

    Array = npt.NDArray[Any]

__all__ = ["cast"]

Path = str | os.PathLike[str]

_NEVER_CAST_TO: Final = {"float4_e2m1fn"}  # has neither infinity nor NaN to show an overflow


def cast(
    src: Path | Checkpoint,
    dst: Path,
    dtypes: Mapping[str, Any],
    *,
    progress: Progress | None = None,
) -> None:
    """Write a checkpoint with tensors of other dtypes: {glob over names: dtype}.

    A dtype is NumPy's or ml_dtypes' or a name of it, or TensorFlow's name. A glob changes only
    tensors of the kind of its dtype, floating-point to floating-point, complex to complex, integers
    to integers, and for a tensor the first such glob counts. So ``{"*": "bfloat16"}`` leaves the
    global step as it is; strings, bools and quantized numbers never change. Values are rounded
    once, to nearest and to even. Slices stay, and the number of data files.

    Takes the memory of the largest tensor, or slice, in both dtypes. `src` and `dst` are as for
    `rename`. All bytes are verified. `progress` is called with the bytes of the source that are
    done, and their total.

    Raises `ValueError` for a number that the new dtype cannot hold, in place of an infinity or of
    other digits, and for a glob that matches no tensor of its kind; `TypeError` for what is no
    dtype of numbers. An error leaves what was at `dst`.
    """
    if not hasattr(dtypes, "items"):
        raise TypeError(f"expected a mapping of globs to dtypes, got {type(dtypes).__name__}")
    parsed = {glob: _parse_dtype(dtype) for glob, dtype in dtypes.items()}
    with open_source(src) as checkpoint:
        targets = _choose(checkpoint, parsed)
        with writer_like(checkpoint, dst) as writer:
            sizes = in_data_order(checkpoint)
            tally = Tally(progress, sizes.values())
            for name, size in sizes.items():
                if name in targets:
                    _add_cast(writer, name, checkpoint, targets[name])
                else:
                    writer.add_from(checkpoint, name)
                tally.add(size)


def _parse_dtype(spec: Any) -> DType:
    """Return the row of a dtype of numbers, given by name or as an object of somebody's."""
    name = spec if isinstance(spec, str) else getattr(spec, "name", None)
    if by_name(name) is None and spec is not None:
        try:
            name = np.dtype(spec).name
        except TypeError:
            name = None
    dtype = by_name(name)
    if dtype is None or kind_of(dtype.name) is None or dtype.name in _NEVER_CAST_TO:
        raise TypeError(f"cast: expected a dtype of numbers, got {spec!r}")
    return dtype


def _choose(checkpoint: Checkpoint, dtypes: Mapping[str, DType]) -> dict[str, DType]:
    """Return the tensors that change, and to what."""
    infos = {info.name: info for info in checkpoint.infos()}
    names = list(infos)
    targets: dict[str, DType] = {}
    seen: set[str] = set()
    for glob, dtype in dtypes.items():
        kind = kind_of(dtype.name)
        matched = match_globs("cast", glob, names)
        fitting = {name for name in matched if kind_of(infos[name].tf_dtype) == kind}
        if not fitting:
            raise ValueError(f"cast: {glob!r} matches no tensor of the kind of {dtype.name}")
        changed = (name for name in fitting - seen if infos[name].tf_dtype != dtype.name)
        targets.update((name, dtype) for name in changed)
        seen |= fitting
    return targets


def _add_cast(writer: Writer, name: str, checkpoint: Checkpoint, dtype: DType) -> None:
    whole = checkpoint.stored.entry(name)
    if 0 in whole.shape:
        writer.add(name, np.empty(whole.shape, dtype.numpy))
        return
    for part, array in checkpoint.stored.read_parts(name):
        result = np.empty(array.shape, dtype.numpy)
        where = f"{checkpoint.path}: tensor {name!r}"
        _convert(array.reshape(-1), result.reshape(-1), dtype, where)
        add_part(writer, name, whole, part.stored, result)


def _convert(source: Array, target: Array, dtype: DType, where: str) -> None:
    """Fill an array with values of another one, chunk by chunk. `where` is for the error."""
    convert = _cast_integers if kind_of(dtype.name) == "integer" else _cast_floats
    step = CHUNK // source.itemsize
    for at in range(0, len(source), step):
        target[at : at + step] = convert(source[at : at + step], dtype, where)


def _cast_integers(array: Array, dtype: DType, where: str) -> Array:
    bits = int(re.sub(r"\D", "", dtype.name))
    is_signed = dtype.name[0] != "u"
    low, high = -(1 << bits - 1) if is_signed else 0, (1 << bits - is_signed) - 1
    wide = array if array.dtype.kind in "iu" else array.astype(np.int64)
    for value in (int(wide.min()), int(wide.max())):
        if not low <= value <= high:
            raise ValueError(f"{where}: {dtype.name} cannot hold {value}")
    return array.astype(dtype.numpy)


def _cast_floats(array: Array, dtype: DType, where: str) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        result = round_once(array, dtype)
    is_lost = np.isfinite(array) != np.isfinite(result)
    is_lost |= np.isinf(array) & ~np.isinf(result)  # by a dtype without infinities
    if is_lost.any():
        value = array[is_lost][0]
        raise ValueError(f"{where}: {dtype.name} cannot hold {value}")
    return result
