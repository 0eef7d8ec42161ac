"""The numbers of tensors: least, largest, mean, deviation, what is no number, and histograms.

A tensor is worked through in chunks that stay in the CPU's cache, so that a view of gigabytes costs
a few megabytes. Chunks have moments of their own, which are put together as Chan, Golub and LeVeque
do: the mean of 1e9 elements is as right as that of ten.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..checkpoint import Checkpoint
from ..format._record import TensorInfo
from ..parallel import Progress, Tally, batches, ordered_map
from ..paths.read import open_source

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Histogram", "TensorStats", "stats", "summarize"]

_CHUNK: Final = 1 << 17  # elements: 1 MiB of float64
_BINS: Final = 40
_NO_NUMBERS: Final = {"variant", "resource"}


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many finite values lie in each of equal parts of the range from `low` to `high`.

    Values of `high` are in the last part. A tensor of one value has one part; one of few integers
    has a part for each integer.
    """

    counts: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TensorStats:
    """The numbers of a tensor. `dtype` is TensorFlow's name, `nbytes` the size in the data files.

    `min`, `max`, `mean` and `std` (of the population) are those of the finite values, and None
    where there is none. `min` and `max` of integers and booleans are exact `int`s, everything
    else is computed in float64. `nans`, `infs` and `zeros` are counts. Of complex numbers all
    this is of the magnitudes, of strings of the lengths in bytes. Variants and resources have
    no numbers.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    count: int
    min: int | float | None = None
    max: int | float | None = None
    mean: float | None = None
    std: float | None = None
    nans: int = 0
    infs: int = 0
    zeros: int = 0
    histogram: Histogram | None = None

    @property
    def is_finite(self) -> bool:
        """Whether there is neither a NaN nor an infinity."""
        return not (self.nans or self.infs)


def stats(
    path: str | os.PathLike[str] | Checkpoint,
    names: Iterable[str] | None = None,
    *,
    bins: int = _BINS,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, TensorStats]:
    """Return the numbers of every tensor, in key order, or of `names`.

    `path` is what `read` takes, or an open checkpoint. With `bins=0` there are no histograms,
    which saves a second look at the data. `threads` work at the same time (default: one per CPU,
    up to 8); `progress` is called with the bytes done and their total.

    A tensor that can be viewed takes no memory, any other that of its copy, one per thread. A path
    is opened with `verify`, so that every tensor is verified; an open checkpoint is taken as it was
    opened. Raises what `read` and `Checkpoint.get_tensor` raise.
    """
    if isinstance(names, str):
        raise TypeError("expected an iterable of names, got a single str")
    _check_bins(bins)
    with open_source(path, verify=True) as checkpoint:
        infos = checkpoint.infos() if names is None else [checkpoint.info(n) for n in names]
        tally = Tally(progress, (info.nbytes for info in infos))

        def summarize_each(batch: list[TensorInfo]) -> list[TensorStats]:
            return [_summarize_tensor(checkpoint, info, bins) for info in batch]

        found: dict[str, TensorStats] = {}
        groups = batches((info, info.nbytes) for info in infos)
        for group in ordered_map(summarize_each, groups, threads):
            found.update((each.name, each) for each in group)
            tally.add(sum(each.nbytes for each in group))
        return found


def summarize(
    array: npt.NDArray[Any],
    dtype: str,
    *,
    name: str = "",
    nbytes: int | None = None,
    bins: int = _BINS,
) -> TensorStats:
    """Return the numbers of an array, such as a part of a tensor.

    `dtype` is TensorFlow's name of its dtype. An array that is not contiguous is copied.
    `nbytes` is the array's own size unless it is given.
    """
    _check_bins(bins)
    moments = _Moments()
    flat = np.asarray(array).reshape(-1)
    for chunk in _numbers(flat):
        moments.add(chunk)
    histogram = None
    if bins and moments.count:
        histogram = _count_bins(flat, moments, bins)
    return TensorStats(
        name,
        dtype,
        array.shape,
        array.nbytes if nbytes is None else nbytes,
        array.size,
        moments.low,
        moments.high,
        moments.mean if moments.count else None,
        moments.std if moments.count else None,
        moments.nans,
        moments.infs,
        moments.zeros,
        histogram,
    )


def _check_bins(bins: int) -> None:
    if bins < 0:
        raise ValueError(f"bins: expected 0 or more, got {bins}")


def _summarize_tensor(checkpoint: Checkpoint, info: TensorInfo, bins: int) -> TensorStats:
    if info.tf_dtype in _NO_NUMBERS:
        count = math.prod(info.shape)
        return TensorStats(info.name, info.tf_dtype, info.shape, info.nbytes, count)
    array = checkpoint.get_tensor(info.name)
    return summarize(array, info.tf_dtype, name=info.name, nbytes=info.nbytes, bins=bins)


# ---- Values -> numbers


def _numbers(flat: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield the values of a flat array in chunks of integers, or of float64."""
    for at in range(0, len(flat), _CHUNK):
        yield _to_numbers(flat[at : at + _CHUNK])


def _to_numbers(chunk: npt.NDArray[Any]) -> npt.NDArray[Any]:
    kind = chunk.dtype.kind
    if kind in "iu":
        return chunk
    if kind == "b":  # a byte of a file is true if it is not 0
        return np.not_equal(chunk.view(np.uint8), 0).view(np.uint8)
    if kind == "O":
        return np.fromiter(map(len, chunk), np.int64, len(chunk))
    if kind == "c":
        with np.errstate(all="ignore"):
            return np.abs(chunk.astype(np.complex128))
    if "int" in chunk.dtype.name:  # of ml_dtypes: int4 and the like
        return chunk.astype(np.int8)
    with np.errstate(all="ignore"):  # a signalling NaN is no fault of ours
        return chunk.astype(np.float64)


def _finite(chunk: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the finite numbers of a chunk: all of it, mostly."""
    if chunk.dtype.kind != "f":
        return chunk
    is_finite = np.isfinite(chunk)
    return chunk if is_finite.all() else chunk[is_finite]


# ---- Numbers -> moments


class _Moments:
    """What is known of the chunks so far."""

    __slots__ = ("count", "high", "infs", "low", "mean", "nans", "std", "zeros")

    def __init__(self) -> None:
        self.count = self.nans = self.infs = self.zeros = 0
        self.low: int | float | None = None
        self.high: int | float | None = None
        self.mean = self.std = 0.0

    def add(self, chunk: npt.NDArray[Any]) -> None:
        """Count the numbers of a chunk in."""
        finite = _finite(chunk)
        self.zeros += len(chunk) - int(np.count_nonzero(chunk))
        if len(finite) < len(chunk):
            nans = int(np.count_nonzero(np.isnan(chunk)))
            self.nans += nans
            self.infs += len(chunk) - len(finite) - nans
        if not len(finite):
            return
        low, high = finite.min().item(), finite.max().item()
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        self._merge(len(finite), *_mean_and_std(finite, low, high))

    def _merge(self, count: int, mean: float, std: float) -> None:
        """Put moments together. Nothing is squared, so that nothing overflows."""
        total = self.count + count
        old, new = self.count / total, count / total
        between = math.sqrt(old * new)
        apart = mean * between - self.mean * between
        self.std = math.hypot(self.std * math.sqrt(old), std * math.sqrt(new), apart)
        self.mean += mean * new - self.mean * new
        self.count = total


def _mean_and_std(finite: npt.NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """Return the mean and deviation of some numbers, whose squares may overflow or vanish."""
    if low == high:
        return float(low), 0.0
    top = float(max(abs(low), abs(high)))
    exponent = math.frexp(top)[1] if not 1e-100 < top < 1e100 else 0
    numbers = finite.astype(np.float64)
    if exponent:
        numbers = np.ldexp(numbers, -exponent)
    mean = float(numbers.mean())
    numbers -= mean
    np.square(numbers, out=numbers)
    return math.ldexp(mean, exponent), math.ldexp(math.sqrt(numbers.mean()), exponent)


# ---- Numbers -> histogram


def _count_bins(flat: npt.NDArray[Any], moments: _Moments, bins: int) -> Histogram:
    """Look at the numbers for a second time, now that their range is known."""
    low, high = moments.low, moments.high
    assert low is not None and high is not None
    if isinstance(low, int):
        bins = min(bins, int(high) - low + 1)
    half = float(high) / 2 - float(low) / 2  # the whole may be more than float64 can hold
    if half <= 0:
        return Histogram((moments.count,), float(low), float(high))
    counts = np.zeros(bins, np.int64)
    for chunk in _numbers(flat):
        places = _finite(chunk).astype(np.float64)
        places /= 2
        places -= float(low) / 2
        places /= half
        places *= bins
        counts += np.bincount(np.minimum(places.astype(np.intp), bins - 1), minlength=bins)
    return Histogram(tuple(counts.tolist()), float(low), float(high))
