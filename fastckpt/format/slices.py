"""Regions of arrays: what an index asks for, where its bytes lie, and whether parts tile a whole.

A *box* is one (start, length) pair per dimension. A stored slice of a partitioned tensor is a
box in which a length of `WHOLE` stands for the whole dimension (docs/format.md, "Slices").
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = [
    "WHOLE",
    "Box",
    "Region",
    "Runs",
    "Selection",
    "byte_runs",
    "compare_pairs",
    "find_tiling_fault",
    "is_empty",
    "overlap",
    "parse_index",
    "resolve",
    "spell",
    "to_slices",
]

WHOLE: Final = -1
_MAX_CELLS: Final = 1 << 20  # of a grid that borders draw; a byte each
_GAP: Final = 4096  # bytes; storage reads whole pages, so a smaller gap is read through

Shape = tuple[int, ...]
Box = tuple[tuple[int, int], ...]


def resolve(box: Box, shape: Shape) -> Box | None:
    """Return a stored slice with its whole dimensions spelt out; None if it does not fit."""
    if len(box) != len(shape):
        return None
    resolved = tuple(
        (0, dim) if (start, length) == (0, WHOLE) else (start, length)
        for (start, length), dim in zip(box, shape, strict=True)
    )
    fits = all(
        start >= 0 and length >= 0 and start <= dim and length <= dim - start
        for (start, length), dim in zip(resolved, shape, strict=True)
    )
    return resolved if fits else None


def to_slices(box: Box) -> tuple[slice, ...]:
    """Return a resolved box as an index of the whole array."""
    return tuple(slice(start, start + length) for start, length in box)


def find_tiling_fault(shape: Shape, boxes: Sequence[Box]) -> str | None:
    """Return how resolved boxes fail to cover a shape exactly once, or None if they do.

    Parts that are cut along axes are checked on the grid that their borders draw, which has as many
    cells as there are parts. Where the grid would be much finer, the boxes are compared in pairs.
    An empty box covers nothing, but must not be there twice: it has one record.
    """
    empty = [box for box in boxes if is_empty(box)]
    if len(set(empty)) < len(empty):
        return "an empty slice is listed twice"
    if 0 in shape:
        return None
    borders = [
        np.unique([0, dim, *(edge for box in boxes for edge in (box[axis][0], sum(box[axis])))])
        for axis, dim in enumerate(shape)
    ]
    cells = math.prod(len(edges) - 1 for edges in borders)
    if cells > max(_MAX_CELLS, 8 * len(boxes)):
        return compare_pairs(shape, boxes)
    taken = np.zeros([len(edges) - 1 for edges in borders], dtype=bool)
    for box in boxes:
        place = tuple(
            slice(*np.searchsorted(edges, (start, start + length)))
            for edges, (start, length) in zip(borders, box, strict=True)
        )
        if taken[place].any():
            return f"the slice {spell(box)} overlaps another one"
        taken[place] = True
    if taken.all():
        return None
    hole = np.unravel_index(int(taken.argmin()), taken.shape)
    at = [int(edges[i]) for edges, i in zip(borders, hole, strict=True)]
    return f"no slice holds the element at {at}"


def is_empty(box: Box) -> bool:
    """Return whether a resolved box has no element."""
    return any(length == 0 for _, length in box)


def compare_pairs(shape: Shape, boxes: Sequence[Box]) -> str | None:
    """Do what `find_tiling_fault` does, but for empty boxes, in the memory of the boxes.

    Boxes without a common element cover a shape if they have as many elements.
    """
    boxes = [box for box in boxes if not is_empty(box)]
    starts = np.array([[start for start, _ in box] for box in boxes], np.int64)
    ends = starts + np.array([[length for _, length in box] for box in boxes], np.int64)
    for i, box in enumerate(boxes):
        shared = (starts[:i] < ends[i]) & (starts[i] < ends[:i])
        if shared.all(axis=1).any():
            return f"the slice {spell(box)} overlaps another one"
    left = math.prod(shape) - sum(math.prod(length for _, length in box) for box in boxes)
    return f"no slice holds {left} of the elements" if left else None


def spell(box: Box) -> str:
    """Return a slice as TensorFlow's `shape_and_slices` spells it."""
    return ":".join("-" if length == WHOLE else f"{start},{length}" for start, length in box)


class Region(NamedTuple):
    """Elements of an array: per dimension the first index, how many, and the step (positive)."""

    starts: Shape
    counts: Shape
    steps: Shape


class Selection(NamedTuple):
    """A basic index: the region that it touches, and what makes the result of the region."""

    region: Region
    then: tuple[Any, ...]


def parse_index(index: object, shape: Shape) -> Selection:
    """Take a basic index (integers, slices, Ellipsis, None) apart, as NumPy does.

    Raises `IndexError` for one that does not fit the shape, `TypeError` for advanced indexing.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    used = sum(item is not None and item is not Ellipsis for item in items)
    ellipses = sum(item is Ellipsis for item in items)
    if ellipses > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if used > len(shape):
        raise IndexError(
            f"too many indices: the tensor is {len(shape)}-dimensional, but {used} were indexed"
        )
    ranges: list[range] = []
    then: list[Any] = []
    for item in items:
        if item is None:
            then.append(None)
        elif item is Ellipsis:
            rest = shape[len(ranges) : len(ranges) + len(shape) - used]
            ranges.extend(range(dim) for dim in rest)
            then.append(Ellipsis)  # which also keeps a result of rank 0 an array
        else:
            axis = len(ranges)
            picked, after = _parse_item(item, axis, shape[axis])
            ranges.append(picked)
            then.append(after)
    ranges.extend(range(dim) for dim in shape[len(ranges) :])
    region = Region(
        tuple([picked.start for picked in ranges]),
        tuple(map(len, ranges)),
        tuple([picked.step for picked in ranges]),
    )
    return Selection(region, tuple(then))


def _parse_item(item: object, axis: int, dim: int) -> tuple[range, Any]:
    """Return the indices of one dimension, rising, and the index that then makes the result."""
    if isinstance(item, slice):
        picked = range(dim)[item]
        if picked.step < 0:
            return picked[::-1], slice(None, None, -1)
        return picked, slice(None)
    if isinstance(item, (bool, np.bool_)) or not hasattr(item, "__index__"):
        raise TypeError(
            "a tensor is indexed with integers, slices, ... and None; "
            f"for {type(item).__name__}, index the array that [...] gives"
        )
    position = operator.index(item)  # type: ignore[arg-type]
    if not -dim <= position < dim:
        raise IndexError(f"index {position} is out of bounds for axis {axis} with size {dim}")
    return range(position % dim, position % dim + 1), 0


def overlap(region: Region, box: Box) -> tuple[Region, tuple[slice, ...]] | None:
    """Return what of a region a box holds: as a region of the box, and where it goes."""
    inner: list[tuple[int, int, int]] = []
    places: list[slice] = []
    for start, count, step, (box_start, length) in zip(*region, box, strict=True):
        first = max(0, -((start - box_start) // step))  # the first index at or behind the box
        last = min(count, (box_start + length - 1 - start) // step + 1)
        if first >= last:
            return None
        inner.append((start + first * step - box_start, last - first, step))
        places.append(slice(first, last))
    starts, counts, steps = zip(*inner, strict=True) if inner else ((), (), ())
    return Region(starts, counts, steps), tuple(places)


class Runs(NamedTuple):
    """How to read a region: spans of `size` bytes, each holding `shape` items at `strides`."""

    offsets: Iterator[int]
    size: int
    shape: Shape
    strides: Shape


def byte_runs(region: Region, shape: Shape, item_size: int) -> Runs:
    """Return the spans of bytes to read for a region of a C-order array, outermost first.

    Dimensions whose selected parts lie no more than a page apart are read in one span.
    """
    strides = [item_size * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    steps = [stride * step for stride, step in zip(strides, region.steps, strict=True)]
    axis = len(shape)
    span = item_size
    while axis > 0 and (region.counts[axis - 1] <= 1 or steps[axis - 1] - span <= _GAP):
        axis -= 1
        span += (region.counts[axis] - 1) * steps[axis]
    base = sum(start * stride for start, stride in zip(region.starts, strides, strict=True))
    outer = product(*(range(count) for count in region.counts[:axis]))
    offsets = (
        base + sum(i * step for i, step in zip(place, steps, strict=False)) for place in outer
    )
    return Runs(offsets, span, region.counts[axis:], tuple(steps[axis:]))
