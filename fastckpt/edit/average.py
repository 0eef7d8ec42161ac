"""New values from old ones: the average of checkpoints, and tensors of another precision.

A value is computed in float64 (complex128) and rounded once. What is not computed is carried
over, bytes and checksum as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ..bundle.reader import Bundle
from ..bundle.tensors import slice_parts
from ..bundle.writer import Writer
from ..checkpoint import Checkpoint
from ..errors import ChecksumError
from ..format._record import Entry, TensorInfo
from ..format.checksum import crc32c
from ..format.dtypes import DType, by_name, dtype_of
from ..format.slices import WHOLE, Box, resolve, to_slices
from ..parallel import Tally
from ..paths.read import open_source
from ..rules import match_globs
from ..storage.local import File
from .rename import in_data_order

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..parallel import Progress

    Array = npt.NDArray[Any]

__all__ = ["average", "cast"]

Path = str | os.PathLike[str]

_CHUNK: Final = 1 << 20  # bytes of each source that are summed up at a time
_KINDS: Final = {
    "float": "float",
    "bfloat": "float",
    "complex": "complex",
    "int": "integer",
    "uint": "integer",
}
_WIDE: Final = {"float": np.float64, "complex": np.complex128}  # what sums are computed in
_NUMPYS_OWN: Final = {"float16", "float32", "float64", "complex64", "complex128"}
_NEVER_CAST_TO: Final = {"float4_e2m1fn"}  # neither infinity nor NaN would tell an overflow


def average(
    srcs: Iterable[Path | Checkpoint],
    dst: Path,
    *,
    weights: Iterable[float] | None = None,
    progress: Progress | None = None,
) -> None:
    """Average checkpoints, tensor by tensor: sums in float64, rounded once to the tensor's dtype.

    `srcs` is one source or more, each what `read` takes or an open checkpoint; `dst` is a prefix,
    and may be that of one of them. `weights` are numbers of 0 or more, one per source, and are
    divided by their sum; a source of weight 0 counts for nothing, its NaNs included. Floating-point
    and complex numbers are averaged. Integers, bools, strings and variants are those of the last
    source, and so are the order of the tensors, their slices and the number of data files.

    Takes the memory of the largest tensor, or largest slice, and a few megabytes. For a source
    that is version 1, big-endian or in other slices than the last one that much comes on top.
    What is read is verified. `progress` is called with the bytes of the result that are done, and
    their total.

    Raises `TensorNotFoundError` for a tensor that one source has and another has not,
    `ValueError` for one whose dtype or shape differs, and what `read` raises. An error leaves what
    was at `dst`.
    """
    if isinstance(srcs, (str, bytes, os.PathLike, Checkpoint)):
        raise TypeError("expected a sequence of checkpoints, got a single one")
    sources = list(srcs)
    shares = _check_weights(weights, len(sources))
    with ExitStack() as stack:
        checkpoints = [stack.enter_context(open_source(src, backend="pread")) for src in sources]
        last = checkpoints[-1]
        for other in checkpoints[:-1]:
            _check_alike(other, last)
        used = [pair for pair in zip(checkpoints, shares, strict=True) if pair[1]]
        writer = stack.enter_context(_writer_like(last, dst))
        sizes = in_data_order(last)
        tally = Tally(progress, sizes.values())
        for name, size in sizes.items():
            if _kind(last.info(name).tf_dtype) in _WIDE:
                _add_average(writer, name, last, used)
            else:
                writer.add_from(last, name)
            tally.add(size)


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
        with _writer_like(checkpoint, dst) as writer:
            sizes = in_data_order(checkpoint)
            tally = Tally(progress, sizes.values())
            for name, size in sizes.items():
                if name in targets:
                    _add_cast(writer, name, checkpoint, targets[name])
                else:
                    writer.add_from(checkpoint, name)
                tally.add(size)


# ---- Parts: of a partitioned tensor its slices, of another all of it


class _Part(NamedTuple):
    """The box as it is stored, None for a tensor that is no partitioned one, and spelt out."""

    stored: Box | None
    box: Box


def _list_parts(checkpoint: Checkpoint, name: str) -> list[_Part]:
    entry = checkpoint._entry(name)
    if not entry.slices or 0 in entry.shape:
        return [_Part(None, tuple((0, dim) for dim in entry.shape))]
    if isinstance(checkpoint, Bundle):
        return [_Part(each.stored, each.box) for each in slice_parts(checkpoint, name, entry)]
    return [_Part(each, resolve(each, entry.shape) or ()) for each in entry.slices]


def _add_part(writer: Writer, name: str, whole: Entry, stored: Box | None, array: Array) -> None:
    if stored is None:
        writer.add(name, array)
        return
    start = [None if (at, length) == (0, WHOLE) else at for at, length in stored]
    writer.add_slice(name, array, full_shape=whole.shape, start=start)


def _writer_like(checkpoint: Checkpoint, dst: Path) -> Writer:
    """Return a writer of as many data files, if that is not more than there are tensors: a header
    may say any number."""
    return Writer(dst, num_shards=max(1, min(checkpoint.num_shards, len(checkpoint))))


def _kind(dtype: str) -> str | None:
    """Return the kind of number of TensorFlow's dtypes; None for what is not computed with."""
    return _KINDS.get(re.split(r"\d", dtype, maxsplit=1)[0])


# ---- Average


def _check_weights(weights: Iterable[float] | None, count: int) -> list[float]:
    """Return one weight per source. Raises `ValueError` for no sources, too."""
    if count == 0:
        raise ValueError("expected one source or more, got none")
    shares = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(shares) != count:
        raise ValueError(f"weights: expected {count}, one per source, got {len(shares)}")
    if not all(share >= 0 for share in shares) or not 0 < sum(shares) < float("inf"):
        raise ValueError(f"weights: expected numbers of 0 or more, not all 0, got {shares}")
    return shares


def _check_alike(other: Checkpoint, last: Checkpoint) -> None:
    """Raise unless two sources have the same tensors."""
    for name in other:
        last.info(name)
    for info in last.infos():
        found = other.info(info.name)
        if (found.tf_dtype, found.shape) != (info.tf_dtype, info.shape):
            raise ValueError(
                f"{other.path}: tensor {info.name!r}: expected {_spell(info)} as {last.path} has "
                f"it, got {_spell(found)}"
            )


def _spell(info: TensorInfo) -> str:
    return f"dtype {info.tf_dtype} and shape {info.shape}"


def _add_average(
    writer: Writer, name: str, last: Checkpoint, used: Sequence[tuple[Checkpoint, float]]
) -> None:
    whole = last._entry(name)
    dtype = dtype_of(whole.dtype, last.path, f"entry of tensor {name!r}")
    for number, part in enumerate(_list_parts(last, name)):
        streams = [_open_part(checkpoint, name, number, part, dtype) for checkpoint, _ in used]
        array = np.empty([length for _, length in part.box], dtype.numpy)
        shares = [share for _, share in used]
        _fill(array.reshape(-1), zip(*streams, strict=True), shares, dtype)
        _add_part(writer, name, whole, part.stored, array)


def _fill(
    flat: Array, chunks: Iterator[tuple[Array, ...]], shares: Sequence[float], dtype: DType
) -> None:
    """Fill an array with the averages of what the sources give, chunk by chunk.

    Complex numbers are computed with as pairs: NumPy's product of an infinite one and a real
    number is NaN.
    """
    wide = _WIDE[str(_kind(dtype.name))]
    if len(shares) == 1:
        shares = [1.0]  # x * w / w is not always x
    scale = sum(shares)
    at = 0
    with np.errstate(over="ignore", invalid="ignore"):  # of infinities that were there before
        for each in chunks:
            total: Array = np.zeros(len(each[0]), wide)
            pairs = total.view(np.float64)
            for values, share in zip(each, shares, strict=True):
                pairs += values.astype(wide).view(np.float64) * share
            pairs /= scale
            flat[at : at + len(total)] = _round_once(total, dtype)
            at += len(total)


def _open_part(
    checkpoint: Checkpoint, name: str, number: int, part: _Part, dtype: DType
) -> Iterator[Array]:
    """Return the elements of a part of a tensor, flat, some at a time.

    What lies in a file as it is asked for is read piece by piece, and verified behind the last.
    Anything else is read at once, which verifies it.
    """
    step = _CHUNK // dtype.item_size
    parts = checkpoint._parts(name)
    if parts is not None and number < len(parts) and parts[number][0] == part.stored:
        _, entry, file = parts[number]
        return _read_chunks(entry, file, dtype, step, f"tensor {name!r}")
    if isinstance(checkpoint, Bundle) and number == 0:
        checkpoint._verify_data(name)  # all of it, and once
    flat = checkpoint.read_part(name, (*to_slices(part.box), ...)).reshape(-1)
    return (flat[at : at + step] for at in range(0, len(flat), step))


def _read_chunks(entry: Entry, file: File, dtype: DType, step: int, what: str) -> Iterator[Array]:
    crc = 0
    step *= dtype.item_size
    for at in range(0, entry.size, step):
        chunk = file.read(entry.offset + at, min(step, entry.size - at), what)
        crc = crc32c(chunk, crc)
        yield np.frombuffer(chunk, dtype.stored)
    if crc != entry.crc32c:
        raise ChecksumError(file.path, what, entry.crc32c, crc, offset=entry.offset)


# ---- Cast


def _parse_dtype(spec: Any) -> DType:
    """Return the row of a dtype of numbers, given by name or as an object of somebody's."""
    name = spec if isinstance(spec, str) else getattr(spec, "name", None)
    if by_name(name) is None and spec is not None:
        try:
            name = np.dtype(spec).name
        except TypeError:
            name = None
    dtype = by_name(name)
    if dtype is None or _kind(dtype.name) is None or dtype.name in _NEVER_CAST_TO:
        raise TypeError(f"cast: expected a dtype of numbers, got {spec!r}")
    return dtype


def _choose(checkpoint: Checkpoint, dtypes: Mapping[str, DType]) -> dict[str, DType]:
    """Return the tensors that change, and to what."""
    infos = {info.name: info for info in checkpoint.infos()}
    names = list(infos)
    targets: dict[str, DType] = {}
    seen: set[str] = set()
    for glob, dtype in dtypes.items():
        kind = _kind(dtype.name)
        matched = match_globs("cast", glob, names)
        fitting = {name for name in matched if _kind(infos[name].tf_dtype) == kind}
        if not fitting:
            raise ValueError(f"cast: {glob!r} matches no tensor of the kind of {dtype.name}")
        changed = (name for name in fitting - seen if infos[name].tf_dtype != dtype.name)
        targets.update((name, dtype) for name in changed)
        seen |= fitting
    return targets


def _add_cast(writer: Writer, name: str, checkpoint: Checkpoint, dtype: DType) -> None:
    whole = checkpoint._entry(name)
    if 0 in whole.shape:
        writer.add(name, np.empty(whole.shape, dtype.numpy))
        return
    for stored, array in checkpoint._read_parts(name):
        result = np.empty(array.shape, dtype.numpy)
        where = f"{checkpoint.path}: tensor {name!r}"
        _convert(array.reshape(-1), result.reshape(-1), dtype, where)
        _add_part(writer, name, whole, stored, result)


def _convert(source: Array, target: Array, dtype: DType, where: str) -> None:
    """Fill an array with values of another one, chunk by chunk. `where` is for the error."""
    convert = _cast_integers if _kind(dtype.name) == "integer" else _cast_floats
    step = _CHUNK // source.itemsize
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
        result = _round_once(array, dtype)
    is_lost = np.isfinite(array) != np.isfinite(result)
    is_lost |= np.isinf(array) & ~np.isinf(result)  # by a dtype without infinities
    if is_lost.any():
        value = array[is_lost][0]
        raise ValueError(f"{where}: {dtype.name} cannot hold {value}")
    return result


# ---- Rounding


def _round_once(array: Array, dtype: DType) -> Array:
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
