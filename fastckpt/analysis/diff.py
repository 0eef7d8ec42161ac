"""What differs between two checkpoints, told by their indexes.

Every entry has a checksum of its bytes. Where dtype, shape and checksum are equal the values are
taken to be equal, so that comparing takes as long for gigabytes as for a few bytes.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ..checkpoint import Checkpoint, Stored
from ..format._record import TensorInfo
from ..format.checksum import crc32c
from ..format.dtypes import by_number
from ..format.slices import Box
from ..paths.read import open_source
from ..text import html_line, html_list, printable, section, spell_shape

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Change", "Diff", "Renamed", "diff"]

Path = str | os.PathLike[str]

_CHUNK: Final = 1 << 20  # elements that are compared at a time
_TELLING_SIZE: Final = 32  # bytes; fewer are equal by chance
_CONSTANT_SIZE: Final = 1 << 20  # bytes; of more it is not looked at whether they are all 0 or 1
_NOT_READ: Final = {"variant", "resource"}  # what no array can hold
_SHOWN: Final = 20  # lines of each sort


class Renamed(NamedTuple):
    """A tensor that has another name in the second checkpoint."""

    old: str
    new: str

    def __str__(self) -> str:
        return f"{printable(self.old)} -> {printable(self.new)}"


@dataclass(frozen=True, slots=True)
class Change:
    """A tensor that both checkpoints have, and that is not the same in both.

    `dtype`, `shape` are pairs: what the first has, and the second. `values` says whether values
    differ, None where that is not known: the shapes differ, or the dtypes do and nothing was
    read. `max_difference` is the largest absolute difference of two numbers, NaN where only one
    of them is, None where it is not known.
    """

    name: str
    dtype: tuple[str, str]
    shape: tuple[tuple[int, ...], tuple[int, ...]]
    values: bool | None
    max_difference: float | None = None

    @property
    def how(self) -> tuple[str, ...]:
        """Which of "dtype", "shape" and "values" differ."""
        differs = {
            "dtype": self.dtype[0] != self.dtype[1],
            "shape": self.shape[0] != self.shape[1],
            "values": self.values,
        }
        return tuple(name for name, each in differs.items() if each)

    def __str__(self) -> str:
        told = [f"dtype {self.dtype[0]} -> {self.dtype[1]}"] if "dtype" in self.how else []
        if "shape" in self.how:
            told.append(f"shape {spell_shape(self.shape[0])} -> {spell_shape(self.shape[1])}")
        if self.values:
            by = "" if self.max_difference is None else f" by up to {self.max_difference:.3g}"
            told.append(f"values differ{by}")
        return f"{printable(self.name)}: {', '.join(told)}"


@dataclass(frozen=True, slots=True)
class Diff:
    """What `diff` found: `added` are names that only the second checkpoint has, `removed` those
    that only the first has, `same` those of tensors that are equal in both. Everything is in the
    order of names. `by` says what is equal in those that are the same: "checksums" or "values"."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[Renamed, ...]
    changed: tuple[Change, ...]
    same: tuple[str, ...]
    by: str = "checksums"

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not (self.added or self.removed or self.renamed or self.changed)

    def __str__(self) -> str:
        lines: list[str] = []
        for title in ("added", "removed", "renamed", "changed"):
            entries = getattr(self, title)
            lines += section(f"{title:8} {len(entries):6}", entries, _SHOWN)
        by = "by checksum" if self.by == "checksums" else "by value"
        return "\n".join([*lines, f"{'same':8} {len(self.same):6}  ({by})"])

    def _repr_html_(self) -> str:
        titles = ("added", "removed", "renamed", "changed")
        differences = [html_list(title, getattr(self, title), is_open=True) for title in titles]
        return "".join([*differences, html_list("same", self.same)]) or html_line("no tensors")


def diff(
    a: Path | Checkpoint,
    b: Path | Checkpoint,
    *,
    values: bool = False,
    rtol: float = 0,
    atol: float = 0,
    exhaustive: bool = False,
) -> Diff:
    """Compare two checkpoints, each what `read` takes or open already, by what their indexes say.

    Nothing is read but the indexes: tensors of equal dtype, shape and checksum are the same. Only
    where checksums cannot be compared, since a checkpoint is version 1, of another byte order,
    or partitioned in another way, the two tensors are read and compared.

    With `values` what differs by its checksum is read, too, and is the same where
    ``abs(a - b) <= atol + rtol * abs(b)`` for every element, and NaN where the other has NaN. A
    tensor with another dtype has changed, whatever its values; they are compared if the shape is
    the same. Strings are compared for equality.

    A tensor is renamed if no other than these two, in either checkpoint, has its dtype, shape and
    checksum. That says nothing of tensors below 32 bytes, or of small ones (up to 1 MiB) that are
    all 0 or all 1: those are added and removed, not renamed.

    Different bytes may have the same checksum, by chance once in four thousand million times and by
    intent whenever somebody wants it. With `exhaustive` every tensor that both have is read, and
    its values are compared whatever the checksums say; `values` is then implied.

    Raises `ValueError` for tolerances that are negative, or given without `values`, and what
    `read` raises. What is read is verified, unless it is a view of a checkpoint that was open
    already and does not verify.
    """
    if not (rtol >= 0 and atol >= 0):
        raise ValueError(f"expected tolerances of 0 or more, got rtol={rtol} and atol={atol}")
    values = values or exhaustive
    if (rtol or atol) and not values:
        raise ValueError("rtol and atol need values=True: checksums know no tolerance")
    with open_source(a, verify=True) as first, open_source(b, verify=True) as second:
        one, two = _list_tensors(first), _list_tensors(second)
        comparer = _Comparer(first, second, values, (rtol, atol), exhaustive)
        both = [name for name in one if name in two]
        found = {name: comparer.compare(one[name], two[name]) for name in both}
        removed = [each for name, each in one.items() if name not in two]
        added = [each for name, each in two.items() if name not in one]
        renamed: list[Renamed] = []
        if comparer.has_checksums and added and removed:
            counts = [Counter(each.content for each in side.values()) for side in (one, two)]
            renamed = list(_pair(removed, added, *counts))
    return Diff(
        _names(added, {each.new for each in renamed}),
        _names(removed, {each.old for each in renamed}),
        tuple(renamed),
        tuple(change for change in found.values() if change is not None),
        tuple(name for name, change in found.items() if change is None),
        "checksums" if comparer.has_checksums and not exhaustive else "values",
    )


# ---- What the indexes say

_Content = tuple[int, tuple[int, ...], tuple[tuple[Box | None, int, int], ...]]


class _ComparedTensor(NamedTuple):
    """A tensor, and by what it is known again: dtype, shape, and box, size and checksum of each
    part. In a version 1 checkpoint there are no checksums, and no parts."""

    info: TensorInfo
    content: _Content

    @property
    def boxes(self) -> list[Box | None]:
        return [box for box, _, _ in self.content[2]]

    @property
    def size(self) -> int:
        return sum(size for _, size, _ in self.content[2])


def _list_tensors(checkpoint: Checkpoint) -> dict[str, _ComparedTensor]:
    stored = checkpoint.stored
    return {info.name: _ComparedTensor(info, _content(stored, info)) for info in checkpoint.infos()}


def _content(stored: Stored, info: TensorInfo) -> _Content:
    entry = stored.entry(info.name)
    found = [
        (None if part.stored is None else part.box, part.entry.size, part.checksum)
        for part in stored.parts(info.name)
        if part.checksum is not None
    ]
    return entry.dtype, entry.shape, tuple(sorted(found))


def _pair(
    removed: Iterable[_ComparedTensor],
    added: Iterable[_ComparedTensor],
    before: Counter[_Content],
    after: Counter[_Content],
) -> Iterator[Renamed]:
    """Yield the pairs of tensors with the same content that nothing else has."""
    names = {each.content: each.info.name for each in added}
    for each in removed:
        content = each.content
        if before[content] == after[content] == 1 and content in names and _is_telling(each):
            yield Renamed(each.info.name, names[content])


def _is_telling(tensor: _ComparedTensor) -> bool:
    """Whether a tensor's content is known again: not a few bytes, nor all 0 or all 1."""
    if tensor.size < _TELLING_SIZE:
        return False
    dtype = by_number(tensor.content[0])
    if tensor.size > _CONSTANT_SIZE or dtype is None or not dtype.is_fixed:
        return True
    constants = (np.full(tensor.size // dtype.item_size, value, dtype.stored) for value in (0, 1))
    return not any(_holds_only(tensor, each.view(np.uint8).data) for each in constants)


def _holds_only(tensor: _ComparedTensor, constant: memoryview) -> bool:
    return all(crc32c(constant[:size]) == crc for _, size, crc in tensor.content[2])


def _names(tensors: Iterable[_ComparedTensor], but: set[str]) -> tuple[str, ...]:
    return tuple(each.info.name for each in tensors if each.info.name not in but)


# ---- What the values say


class _Comparer:
    """Compares the tensors that two checkpoints have under one name."""

    def __init__(
        self,
        first: Checkpoint,
        second: Checkpoint,
        values: bool,
        tolerance: tuple[float, float],
        exhaustive: bool,
    ) -> None:
        self.has_checksums = first.format == second.format == "V2" and (
            first.byteorder == second.byteorder
        )
        self._checkpoints = first, second
        self._values = values
        self._tolerance = tolerance
        self._trusts_checksums = not exhaustive

    def compare(self, one: _ComparedTensor, two: _ComparedTensor) -> Change | None:
        """Return how a tensor changed; None if it did not."""
        dtype = one.info.tf_dtype, two.info.tf_dtype
        shape = one.info.shape, two.info.shape
        is_alike = dtype[0] == dtype[1] and shape[0] == shape[1]
        can_read = _NOT_READ.isdisjoint(dtype)
        has_checksums = self.has_checksums and (self._trusts_checksums or not can_read)
        by_checksum = is_alike and has_checksums and one.boxes == two.boxes
        if by_checksum and one.content == two.content:
            return None
        is_asked = self._values and can_read
        if shape[0] != shape[1] or ((by_checksum or not is_alike) and not is_asked):
            return Change(one.info.name, dtype, shape, True if by_checksum else None)
        is_close, largest = self._compare_values(one.info.name)
        if is_alike and is_close:
            return None
        return Change(one.info.name, dtype, shape, not is_close, largest)

    def _compare_values(self, name: str) -> tuple[bool, float | None]:
        """Read a tensor in both; return whether all elements are close, and the largest
        difference."""
        one, two = (checkpoint.get_tensor(name).reshape(-1) for checkpoint in self._checkpoints)
        if not (_is_numeric(one) and _is_numeric(two)):
            return bool(np.array_equal(one, two)), None
        is_close, largest = True, 0.0
        for at in range(0, len(one), _CHUNK):
            close, difference = _compare_numbers(
                one[at : at + _CHUNK], two[at : at + _CHUNK], *self._tolerance
            )
            is_close &= close
            largest = max(largest, difference) if not math.isnan(largest) else largest
            largest = difference if math.isnan(difference) else largest
        return is_close, largest


def _is_numeric(array: npt.NDArray[Any]) -> bool:
    return array.dtype != object and array.dtype != bool


def _compare_numbers(
    one: npt.NDArray[Any], two: npt.NDArray[Any], rtol: float, atol: float
) -> tuple[bool, float]:
    """Return whether two arrays are close, and the largest difference, NaN for NaN and a number.

    Numbers that are equal are, whatever float64 makes of them.
    """
    wide = np.complex128 if "c" in (one.dtype.kind, two.dtype.kind) else np.float64
    x, y = one.astype(wide), two.astype(wide)
    is_equal = (x == y) | (np.isnan(x) & np.isnan(y))
    if one.dtype == two.dtype:
        is_equal &= (one == two) | np.isnan(x)
    if is_equal.all():
        return True, 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(is_equal, 0.0, np.abs(x - y))
        if one.dtype.kind in "iu" and two.dtype.kind in "iu":  # beyond 2**53 it may say 0
            difference = np.where(is_equal, 0.0, np.maximum(difference, 1.0))
        is_close = is_equal | (np.isfinite(y) & (difference <= atol + rtol * np.abs(y)))
    return bool(is_close.all()), float(difference.max())
