"""The average of checkpoints: what is not computed is carried over, bytes and checksum."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundle.tensors import locate
from ..bundle.writer import Writer
from ..checkpoint import Checkpoint, StoredPart
from ..errors import ChecksumError
from ..format._record import Entry, TensorInfo
from ..format.checksum import crc32c
from ..format.dtypes import DType, dtype_of
from ..format.shapes import check_rank
from ..format.slices import to_slices
from ..parallel import Tally
from ..paths.read import open_source
from ..storage.local import File
from .rename import in_data_order
from .values import CHUNK, WIDE, add_part, kind_of, list_parts, round_once, writer_like

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..parallel import Progress

    Array = npt.NDArray[Any]

__all__ = ["average"]

Path = str | os.PathLike[str]


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
        writer = stack.enter_context(writer_like(last, dst))
        sizes = in_data_order(last)
        tally = Tally(progress, sizes.values())
        for name, size in sizes.items():
            if kind_of(last.info(name).tf_dtype) in WIDE:
                _add_average(writer, name, last, used)
            else:
                writer.add_from(last, name)
            tally.add(size)


def _check_weights(weights: Iterable[float] | None, count: int) -> list[float]:
    """Return one weight per source, below 2. Raises `ValueError` for no sources, too."""
    if count == 0:
        raise ValueError("expected one source or more, got none")
    shares = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(shares) != count:
        raise ValueError(f"weights: expected {count}, one per source, got {len(shares)}")
    if not all(0 <= share < math.inf for share in shares) or not any(shares):
        raise ValueError(f"weights: expected numbers of 0 or more, not all 0, got {shares}")
    _, exponent = math.frexp(max(shares))  # only their ratio counts: powers of two are exact
    return [math.ldexp(share, 1 - exponent) for share in shares]


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
    whole = last.stored.entry(name)
    dtype = dtype_of(whole.dtype, last.path, f"entry of tensor {name!r}")
    sources = [_SourceTensor(checkpoint, name, dtype) for checkpoint, _ in used]
    shares = [share for _, share in used]
    check_rank(whole.shape, last.path, f"tensor {name!r}")
    for number, part in enumerate(list_parts(last, name)):
        array = np.empty([length for _, length in part.box], dtype.numpy)
        chunks = zip(*(source.open_part(number, part) for source in sources), strict=True)
        _fill(array.reshape(-1), chunks, shares, dtype)
        add_part(writer, name, whole, part.stored, array)


class _SourceTensor:
    """A tensor of one source, read in the parts of another one."""

    def __init__(self, checkpoint: Checkpoint, name: str, dtype: DType) -> None:
        self._checkpoint = checkpoint
        self._name = name
        self._dtype = dtype
        self._parts = checkpoint.stored.parts(name)
        raw = all(part.checksum is not None for part in self._parts)
        self._is_raw = raw and checkpoint.byteorder == "little"
        self._is_verified = False

    def open_part(self, number: int, part: StoredPart) -> Iterator[Array]:
        """Return the elements of a part, flat, some at a time.

        Bytes that lie in a file as they are asked for are read piece by piece, and verified after
        the last. Anything else is read at once, and verified before.
        """
        step = CHUNK // self._dtype.item_size
        own = self._parts[number] if number < len(self._parts) else None
        if self._is_raw and own is not None and own.stored == part.stored:
            file = locate(self._checkpoint.stored, own.entry, own.what)
            return _read_chunks(own.entry, file, self._dtype, step, own.what)
        if not self._is_verified and self._checkpoint.format == "V2":
            self._checkpoint.stored.verify(self._name)  # all of it, and once
            self._is_verified = True
        flat = self._checkpoint.read_part(self._name, (*to_slices(part.box), ...)).reshape(-1)
        return (flat[at : at + step] for at in range(0, len(flat), step))


def _fill(
    flat: Array, chunks: Iterator[tuple[Array, ...]], shares: Sequence[float], dtype: DType
) -> None:
    """Fill an array with the averages of the sources' values, chunk by chunk."""
    wide = WIDE[str(kind_of(dtype.name))]
    at = 0
    with np.errstate(over="ignore", invalid="ignore"):  # of infinities that were there before
        for each in chunks:
            if len(each) == 1:
                values = each[0]  # bit by bit: x * w / w is not always x
            else:
                pairs = (values.astype(wide, copy=False).view(np.float64) for values in each)
                compute = _average_wide if dtype.numpy == wide else _weigh
                values = round_once(compute(pairs, shares).view(wide), dtype)
            flat[at : at + len(values)] = values
            at += len(values)


def _weigh(parts: Iterable[Array], shares: Sequence[float]) -> Array:
    """Return the weighted sum of arrays over the sum of the weights. Complex numbers come as pairs:
    NumPy's product of an infinite one and a real number is NaN."""
    total: Array | None = None
    for values, share in zip(parts, shares, strict=True):
        if total is None:  # not 0 plus the first: the sum of negative zeros is one
            total = values * share
        else:
            total += values * share
    assert total is not None
    total /= sum(shares)
    return total


def _average_wide(numbers: Iterable[Array], shares: Sequence[float]) -> Array:
    """Return the averages of float64 numbers. They lie between the least and the greatest value,
    even where the sum overflows or a product vanishes."""
    parts = list(numbers)
    total = _weigh(parts, shares)
    low, high = parts[0], parts[0]
    for values in parts[1:]:
        low, high = np.minimum(low, values), np.maximum(high, values)
    is_lost = ~np.isfinite(total) & np.isfinite(low) & np.isfinite(high)
    if is_lost.any():
        down = 0.5 ** (1 + len(parts).bit_length())  # weights are below 2; exact for large numbers
        scaled = [values[is_lost] * down for values in parts]
        total[is_lost] = _weigh(scaled, shares) / down
    np.copyto(total, low, where=total < low)  # not np.clip: it may change the sign of a zero
    np.copyto(total, high, where=total > high)
    return total


def _read_chunks(entry: Entry, file: File, dtype: DType, step: int, what: str) -> Iterator[Array]:
    crc = 0
    step *= dtype.item_size
    for at in range(0, entry.size, step):
        chunk = file.read(entry.offset + at, min(step, entry.size - at), what)
        crc = crc32c(chunk, crc)
        yield np.frombuffer(chunk, dtype.stored)
    if crc != entry.crc32c:
        raise ChecksumError(file.path, what, entry.crc32c, crc, offset=entry.offset)
