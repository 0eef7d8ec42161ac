"""Tensors of a V2 checkpoint: from entries to arrays, regions and slices put together.

The functions work on a `Stored` of the V2 format. Every array is private memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..checkpoint import Stored, StoredPart
from ..errors import CheckpointError, ChecksumError, Fault, FormatError, UnsupportedError
from ..format._payload import decode_strings, verify_variants
from ..format._record import Entry, decode_entry, encode_name, slice_key
from ..format.dtypes import STRING, DType, dtype_of
from ..format.shapes import MAX_SIZE, check_rank, check_size
from ..format.slices import (
    Region,
    byte_runs,
    find_tiling_fault,
    overlap,
    resolve,
    spell,
)
from ..format.values import to_native
from ..storage.kind import explain_data
from ..storage.local import File, empty_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "list_parts",
    "locate",
    "read_parts",
    "read_region",
    "read_tensor",
    "slice_parts",
    "stored_size",
    "verify_tensor",
]

_VARIANT: Final = 21


def locate(stored: Stored, entry: Entry, what: str) -> File:
    """Return the file that holds an entry's bytes, after a check that they lie within it.

    The entry is of a tensor or a slice that is stored in one piece.
    """
    _count_items(stored, entry, what)
    file = stored.source(entry.shard_id, what)
    if not 0 <= entry.offset <= file.size or not 0 <= entry.size <= file.size - entry.offset:
        problem = f"expected {entry.size} bytes, but the file ends at {file.size}"
        raise FormatError(file.path, what, problem, offset=entry.offset, fault=Fault.TRUNCATED)
    return file


def _count_items(stored: Stored, entry: Entry, what: str) -> int:
    """Return the number of elements, after a check that the entry's size is what they need."""
    where = f"entry of {what}"
    dtype = dtype_of(entry.dtype, stored.path, where)
    count = check_size(entry.shape, dtype.numpy.itemsize, stored.path, where)
    if dtype.is_fixed and count * dtype.item_size != entry.size:
        problem = (
            f"expected {count * dtype.item_size} bytes for dtype {dtype.name} and shape "
            f"{entry.shape}, got {entry.size}"
        )
        raise FormatError(stored.path, f"entry of {what}", problem, fault=Fault.MISMATCH)
    return count


def list_parts(stored: Stored, name: str, entry: Entry) -> list[StoredPart]:
    """Return the parts of a tensor; see `Stored.parts`."""
    if entry.slices:
        return list(slice_parts(stored, name, entry))
    whole = tuple((0, dim) for dim in entry.shape)
    return [StoredPart(None, whole, entry, f"tensor {name!r}", entry.crc32c)]


def slice_parts(stored: Stored, name: str, whole: Entry) -> Iterator[StoredPart]:
    """Yield the slices of a partitioned tensor, in the order in which its entry lists them.

    Raises `FormatError` for a slice without an entry of its own or outside of the tensor, and for
    an empty one that is listed twice.
    """
    key = encode_name(name)
    empty = set()
    for slice_ in whole.slices:
        what = f"slice {spell(slice_)} of tensor {name!r}"
        box = resolve(slice_, whole.shape)
        if box is None:
            problem = f"expected a part of the shape {whole.shape}, got one beyond it"
            raise _fault_of_slice(stored, name, what, problem, Fault.MISMATCH)
        shape = tuple(length for _, length in box)
        if 0 in shape:
            if box in empty:  # others overlap, which is found where they are read
                problem = "expected each slice once, got an empty one twice"
                raise _fault_of_slice(stored, name, what, problem, Fault.MISMATCH)
            empty.add(box)
        record = stored.record(slice_key(key, slice_))
        if record is None:
            problem = "expected an entry of its own, got none"
            raise _fault_of_slice(stored, name, what, problem, Fault.MISSING)
        entry = decode_entry(record, stored.path, what)
        if (entry.dtype, entry.shape, entry.slices) != (whole.dtype, shape, ()):
            problem = (
                f"expected dtype {whole.dtype} and shape {shape}, as the tensor has it, "
                f"got dtype {entry.dtype} and shape {entry.shape}"
            )
            raise _fault_of_slice(stored, name, what, problem, Fault.MISMATCH)
        yield StoredPart(slice_, box, entry, what, entry.crc32c)


def _fault_of_slice(
    stored: Stored, name: str, what: str, problem: str, fault: Fault
) -> FormatError:
    return FormatError(stored.path, what, problem, tensor=name, fault=fault)


def stored_size(stored: Stored, parts: Iterable[StoredPart]) -> int:
    """Return the bytes of all slices of a tensor. Raises `FormatError` if they cannot be."""
    size = 0
    for part in parts:
        size += part.entry.size
        if part.entry.size < 0 or size > MAX_SIZE:
            problem = f"expected sizes that add up, got {part.entry.size}"
            raise FormatError(stored.path, part.what, problem, fault=Fault.TOO_LARGE)
    return size


def read_tensor(stored: Stored, name: str, entry: Entry) -> npt.NDArray[Any]:
    """Return a whole tensor, verified."""
    what = f"tensor {name!r}"
    try:
        check_rank(entry.shape, stored.path, what)
        if not entry.slices:
            return _read_plain(stored, entry, what)
        pieces = _plan(stored, name, entry, _whole_region(entry))
        dtype = dtype_of(entry.dtype, stored.path, f"entry of {what}")
        array = np.empty(entry.shape, dtype.numpy)
        for part, _, places in pieces:
            array[places] = _read_plain(stored, part.entry, part.what)
        return array
    except CheckpointError as error:
        explain_data(error, name)
        raise


def _whole_region(entry: Entry) -> Region:
    rank = len(entry.shape)
    return Region((0,) * rank, entry.shape, (1,) * rank)


def read_parts(
    stored: Stored, name: str, entry: Entry
) -> Iterator[tuple[StoredPart, npt.NDArray[Any]]]:
    """Yield each part of a tensor with its values; see `Stored.read_parts`."""
    parts = slice_parts(stored, name, entry) if entry.slices else list_parts(stored, name, entry)
    for part in parts:
        try:
            check_rank(part.entry.shape, stored.path, part.what)
            array = _read_plain(stored, part.entry, part.what)
        except CheckpointError as error:
            explain_data(error, name)
            raise
        yield part, array


def read_region(stored: Stored, name: str, entry: Entry, region: Region) -> npt.NDArray[Any]:
    """Return a region of a tensor. Only the bytes that it needs are read, and not verified."""
    what = f"tensor {name!r}"
    try:
        check_rank(entry.shape, stored.path, what)
        if not entry.slices:
            return _read_runs(stored, entry, region, what)
        pieces = _plan(stored, name, entry, region)
        dtype = dtype_of(entry.dtype, stored.path, f"entry of {what}")
        array = np.empty(region.counts, dtype.numpy)
        for part, inner, places in pieces:
            array[places] = _read_runs(stored, part.entry, inner, part.what)
        return array
    except CheckpointError as error:
        explain_data(error, name)
        raise


def verify_tensor(stored: Stored, name: str, entry: Entry) -> None:
    """Verify a tensor's bytes, slice by slice if it has some, in the memory of one chunk."""
    try:
        if not entry.slices:
            _verify_plain(stored, entry, f"tensor {name!r}")
            return
        _plan(stored, name, entry, _whole_region(entry))
        for part in slice_parts(stored, name, entry):  # empty ones are in no plan
            _verify_plain(stored, part.entry, part.what)
    except CheckpointError as error:
        explain_data(error, name)
        raise


def _read_plain(stored: Stored, entry: Entry, what: str) -> npt.NDArray[Any]:
    """Return what one entry holds in one piece, verified."""
    file = locate(stored, entry, what)
    dtype = dtype_of(entry.dtype, stored.path, f"entry of {what}")
    if not dtype.is_fixed:
        return _read_strings(stored, file, entry, dtype, what)
    raw = empty_bytes(entry.size)
    _compare(file, entry, file.read_into(raw.data, entry.offset, what), what)
    to_native(dtype, raw, stored.byteorder)
    return raw.view(dtype.numpy).reshape(entry.shape)


def _compare(file: File, entry: Entry, actual: int, what: str) -> None:
    if actual != entry.crc32c:
        raise ChecksumError(file.path, what, entry.crc32c, actual, offset=entry.offset)


def _read_strings(
    stored: Stored, file: File, entry: Entry, dtype: DType, what: str
) -> npt.NDArray[Any]:
    if dtype is not STRING:
        problem = f"expected a dtype that an array can hold, got {dtype.name}"
        raise UnsupportedError(file.path, what, problem, fault=Fault.DTYPE)
    strings = _decode_strings(stored, file, entry, what)
    array = np.empty(entry.shape, object)
    array.reshape(-1)[:] = strings
    return array


def _decode_strings(stored: Stored, file: File, entry: Entry, what: str) -> list[bytes]:
    return decode_strings(
        file.read(entry.offset, entry.size, what),
        _count_items(stored, entry, what),
        stored.byteorder == "big",
        entry.crc32c,
        file.path,
        what,
        entry.offset,
    )


def _read_runs(stored: Stored, entry: Entry, region: Region, what: str) -> npt.NDArray[Any]:
    """Return a region of what one entry holds. Strings are read whole to find the ones asked."""
    dtype = dtype_of(entry.dtype, stored.path, f"entry of {what}")
    file = locate(stored, entry, what)
    if not dtype.is_fixed:
        strings = _read_strings(stored, file, entry, dtype, what)
        return np.asarray(strings[_to_index(region)], object).reshape(region.counts)
    array = np.empty(region.counts, dtype.numpy)
    if array.size == 0:
        return array
    runs = byte_runs(region, entry.shape, dtype.item_size)
    targets = array.reshape((-1, *runs.shape))
    buffer = np.empty(runs.size, np.uint8)
    source_items = np.ndarray(runs.shape, dtype.numpy, buffer, 0, runs.strides)
    for i, offset in enumerate(runs.offsets):
        file.read_into(buffer.data, entry.offset + offset, what)
        targets[i] = source_items
    to_native(dtype, array.reshape(-1).view(np.uint8), stored.byteorder)
    return array


def _to_index(region: Region) -> tuple[slice, ...]:
    return tuple(
        slice(start, start + count * step, step) for start, count, step in zip(*region, strict=True)
    )


_Pieces = list[tuple[StoredPart, Region, tuple[slice, ...]]]


def _plan(stored: Stored, name: str, whole: Entry, region: Region) -> _Pieces:
    """Return what of which slice goes where in a region of a partitioned tensor.

    Each piece is a slice, the region of it that is asked for, and its place in the array. After
    this an array for them may be made: it is no larger than the files that they are in.
    """
    check_rank(whole.shape, stored.path, f"tensor {name!r}")
    pieces: _Pieces = []
    files: dict[str, int] = {}
    for part in slice_parts(stored, name, whole):
        shared = overlap(region, part.box)
        if shared is not None:
            file = locate(stored, part.entry, part.what)
            files[file.path] = file.size
            pieces.append((part, *shared))
    places = [place for _, _, place in pieces]
    _check_tiling(stored, name, whole, region.counts, places, sum(files.values()))
    return pieces


def _check_tiling(
    stored: Stored,
    name: str,
    whole: Entry,
    shape: tuple[int, ...],
    places: list[tuple[slice, ...]],
    available: int,
) -> None:
    """Raise unless places cover a shape exactly once, in no more than the `available` bytes.

    The bytes are compared first: a small file, whose slices may share their bytes, must not ask
    for a large array or for a fine grid to check it on.
    """
    dtype = dtype_of(whole.dtype, stored.path, f"entry of tensor {name!r}")
    needed = math.prod(shape) * max(1, dtype.item_size)  # of a string, the byte of its length
    if needed > available:
        fault: str | None = f"that takes {needed} bytes, and the data files have {available}"
    else:
        boxes = [tuple((s.start, s.stop - s.start) for s in place) for place in places]
        fault = find_tiling_fault(shape, boxes)
    if fault is not None:
        problem = f"expected slices that cover {shape} exactly once, but {fault}"
        raise FormatError(
            stored.path, f"tensor {name!r}", problem, tensor=name, fault=Fault.MISMATCH
        )


def _verify_plain(stored: Stored, entry: Entry, what: str) -> None:
    file = locate(stored, entry, what)
    dtype = dtype_of(entry.dtype, stored.path, f"entry of {what}")
    if dtype.is_fixed:
        _compare(file, entry, file.checksum(entry.offset, entry.size, what), what)
    elif dtype is STRING:
        _decode_strings(stored, file, entry, what)
    elif dtype.number == _VARIANT and stored.byteorder == "little":
        payload = file.read(entry.offset, entry.size, what)
        count = _count_items(stored, entry, what)
        verify_variants(payload, count, entry.crc32c, file.path, what, entry.offset)
    else:
        problem = f"expected bytes that can be verified, got {stored.byteorder}-endian {dtype.name}"
        raise UnsupportedError(file.path, what, problem, fault=Fault.DTYPE)
