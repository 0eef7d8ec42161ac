"""The numbers of tensors: least, largest, mean, spread, NaNs, and how the values are spread out."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._catalog import TensorInfo
from ._reader import Checkpoint
from .edit import open_source
from .parallel import batches, ordered_map
from .progress import Tally

if TYPE_CHECKING:
    import numpy.typing as npt

    from .progress import Progress

    Array = npt.NDArray[Any]

__all__ = ["Histogram", "TensorStats", "stats", "summarize"]

_CHUNK: Final = 1 << 17  # elements that are computed with at a time
_BINS: Final = 32
_NO_NUMBERS: Final = ("variant", "resource")


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many finite values lie in each of equally wide bins between `low` and `high`."""

    counts: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TensorStats:
    """The numbers of a tensor. `dtype` is TensorFlow's name, `count` the number of elements.

    `min`, `max`, `mean`, `std` (of the whole, not of a sample) and `histogram` are those of the
    finite values, computed in float64; `nans` and `infs` are counted apart. Of complex numbers they
    are those of the magnitudes, of strings those of the lengths in bytes. They are None where there
    is no such value, and for variants and resources. `min` and `max` of integers are exact.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    count: int
    min: float | int | None = None
    max: float | int | None = None
    mean: float | None = None
    std: float | None = None
    nans: int = 0
    infs: int = 0
    zeros: int = 0
    histogram: Histogram | None = None


def stats(
    path: str | os.PathLike[str] | Checkpoint,
    names: Iterable[str] | None = None,
    *,
    histograms: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, TensorStats]:
    """Return the numbers of every tensor, in key order, or of those named.

    `path` is what `read` takes or an open checkpoint. `threads` work at the same time (default: one
    per CPU, up to 8). `progress` is called with the bytes done and their total. What is a view is
    not copied, and not verified. Raises what `read` and `Checkpoint.get_tensor` raise.
    """
    if isinstance(names, str):
        raise TypeError("expected an iterable of names, got a single str")
    with open_source(path) as checkpoint:
        wanted = checkpoint.infos() if names is None else [checkpoint.info(n) for n in names]
        tally = Tally(progress, (info.nbytes for info in wanted))

        def compute(batch: list[TensorInfo]) -> list[TensorStats]:
            return [_compute(checkpoint, info, histograms) for info in batch]

        groups = batches((info, info.nbytes) for info in wanted)
        found: dict[str, TensorStats] = {}
        for results in ordered_map(compute, groups, threads):
            found.update((each.name, each) for each in results)
            tally.add(sum(each.nbytes for each in results))
        return found


def _compute(checkpoint: Checkpoint, info: TensorInfo, histograms: bool) -> TensorStats:
    if info.tf_dtype in _NO_NUMBERS:
        count = math.prod(info.shape)
        return TensorStats(info.name, info.tf_dtype, info.shape, info.nbytes, count)
    array = checkpoint.get_tensor(info.name)
    found = summarize(array, info.tf_dtype, histogram=histograms)
    return replace(found, name=info.name, nbytes=info.nbytes)


def summarize(array: Array, dtype: str, *, histogram: bool = True) -> TensorStats:
    """Return the numbers of an array, which may be part of a tensor; `dtype` is TensorFlow's name.

    Works in the memory of one chunk. `name` is "", `nbytes` what the array takes.
    """
    whole = TensorStats("", dtype, array.shape, array.nbytes, array.size)
    flat = array.reshape(-1)
    count = nans = infs = zeros = 0
    total = 0.0
    lows: list[Any] = []
    highs: list[Any] = []
    for chunk in _chunks(flat):
        wide = _widen(chunk)
        is_finite = np.isfinite(wide)
        finite = wide[is_finite]
        nans += int(np.isnan(wide).sum())
        infs += len(wide) - len(finite)
        zeros += int((finite == 0).sum())
        count += len(finite)
        if len(finite):
            exact = chunk if chunk.dtype.kind in "iu" else finite
            lows.append(exact.min().item())
            highs.append(exact.max().item())
            total += math.fsum(finite) if len(finite) < 64 else float(_sum(finite))
    whole = replace(whole, nans=nans, infs=infs - nans, zeros=zeros)
    if not count:
        return whole
    mean = total / count
    low, high = min(lows), max(highs)
    std = _spread(flat, mean, count) if math.isfinite(mean) else None
    bars = _count_bins(flat, float(low), float(high)) if histogram else None
    return replace(whole, min=low, max=high, mean=mean, std=std, histogram=bars)


def _chunks(flat: Array) -> Iterator[Array]:
    return (flat[at : at + _CHUNK] for at in range(0, len(flat), _CHUNK))


def _widen(chunk: Array) -> npt.NDArray[np.float64]:
    """Return the numbers that statistics are made of."""
    if chunk.dtype == object:
        return np.array([len(each) for each in chunk.tolist()], np.float64)
    if chunk.dtype.kind == "c":
        with np.errstate(over="ignore", invalid="ignore"):
            return np.abs(chunk.astype(np.complex128))
    return chunk.astype(np.float64)


def _sum(finite: npt.NDArray[np.float64]) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(finite.sum())


def _finite(flat: Array) -> Iterator[npt.NDArray[np.float64]]:
    for chunk in _chunks(flat):
        wide = _widen(chunk)
        yield wide[np.isfinite(wide)]


def _spread(flat: Array, mean: float, count: int) -> float | None:
    """Return the standard deviation, from a second pass, so that nothing cancels out."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = sum(float(np.square(finite - mean).sum()) for finite in _finite(flat))
    return math.sqrt(squares / count) if math.isfinite(squares) else None


def _count_bins(flat: Array, low: float, high: float) -> Histogram | None:
    """Return a histogram; None where the bounds are too far apart for their difference."""
    if low == high:
        return Histogram((sum(len(finite) for finite in _finite(flat)),), low, high)
    if not math.isfinite(high - low) or (high - low) / _BINS == 0:
        return None
    counts = np.zeros(_BINS, np.int64)
    for finite in _finite(flat):
        place = (finite - low) * (_BINS / (high - low))
        counts += np.bincount(np.clip(place, 0, _BINS - 1).astype(np.int64), minlength=_BINS)
    return Histogram(tuple(counts.tolist()), low, high)
