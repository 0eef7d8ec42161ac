"""Writing V1 checkpoints, byte for byte as TensorFlow does. The records are in records.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..format._message_encoder import encode
from ..format._record import encode_name, slice_key
from ..format._table_builder import TableBuilder
from ..format.dtypes import STRING, DType
from ..format.shapes import MAX_STORED_RANK
from ..format.slices import WHOLE, Box, find_tiling_fault, resolve, spell
from ..format.values import encode_value
from ..storage.local import LOCAL
from ..storage.locks import leftovers
from ..storage.stage import Stage
from ..storage.staged import split_staged
from ..storage.urls import local_path
from .names import v1_pattern, v1_shard_path
from .records import (
    HEADER,
    MAX_RECORD,
    META_RECORD,
    RECORD_HEADER,
    SHAPE,
    TENSOR,
    VERSION,
    WIRES,
    encode_box,
    encode_record,
)

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Part", "write_parts", "write_v1"]


class Part(NamedTuple):
    """A tensor that is to be written, or a slice of one. `shape` is the whole tensor's; `box` is
    the slice as it is stored, with a length of `WHOLE` for a whole dimension."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    box: Box
    array: npt.NDArray[Any]


def write_v1(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    *,
    num_shards: int | None = None,
    sync: bool = True,
) -> str:
    """Write a mapping of names to values as a V1 checkpoint; return the checkpoint's path.

    That is `path`, the only file; or, with `num_shards`, the pattern of the files
    ``path-00000-of-0000n``. Neighbours in the mapping's order go to the same shard, so that all
    shards have about as many bytes. What becomes of values, and what `sync` means, is as for
    `Writer`. A whole shard stands in memory as it is written.

    Raises `TypeError` for a dtype that V1 does not have; `ValueError` for an empty or duplicate
    name, one that is not UTF-8, or a tensor of more than about 2**31 bytes. Nothing is visible
    until all is written.
    """
    if not hasattr(tensors, "items"):
        raise TypeError(f"expected a mapping of names to values, got {type(tensors).__name__}")
    parts = []
    for name, value in tensors.items():
        dtype, array = encode_value(name, value)
        parts.append(Part(name, dtype, array.shape, ((0, WHOLE),) * array.ndim, array))
    return write_parts(path, parts, num_shards=num_shards, sync=sync)


def write_parts(
    path: str | os.PathLike[str],
    parts: Sequence[Part],
    *,
    num_shards: int | None = None,
    sync: bool = True,
) -> str:
    """Write tensors and slices, as `write_v1` does. The slices of a tensor may lie in several
    shards. Raises `ValueError` for slices that do not cover their tensor exactly once, too."""
    if num_shards is not None and num_shards < 1:
        raise ValueError(f"num_shards: expected 1 or more, got {num_shards}")
    _check_parts(parts)
    target = local_path(path)
    paths = [target]
    if num_shards is not None:
        paths = [v1_shard_path(target, shard, num_shards) for shard in range(num_shards)]
    groups = _distribute(parts, len(paths))
    with Stage(paths[-1], sync=sync) as stage:
        for shard, group in zip(paths[:-1], groups, strict=False):
            stage.create(shard).append(_build_table(group))
        stage.commit_file.append(_build_table(groups[-1]))
        stage.commit(partial(_find_leftovers, paths))
    return target if num_shards is None else v1_pattern(target, num_shards)


def _check_parts(parts: Sequence[Part]) -> None:
    """Refuse what V1 cannot hold."""
    tensors: dict[bytes, tuple[Part, list[Box]]] = {}
    keys = set()
    for part in parts:
        key = encode_name(part.name)
        _check_part(part, key)
        first, boxes = tensors.setdefault(key, (part, []))
        box = resolve(part.box, part.shape)
        own = slice_key(key, part.box)
        if own in keys:
            raise ValueError(f"tensor {part.name!r}: there is one of this name already")
        if box is None or tuple(length for _, length in box) != part.array.shape:
            raise ValueError(
                f"tensor {part.name!r}: the slice {spell(part.box)} of {part.shape} is not one "
                f"of the shape {part.array.shape}"
            )
        if (part.dtype, part.shape) != (first.dtype, first.shape):
            raise ValueError(f"tensor {part.name!r}: its slices differ in dtype or full shape")
        keys.add(own)
        boxes.append(box)
    for first, boxes in tensors.values():
        if boxes == [tuple((0, dim) for dim in first.shape)]:
            continue
        fault = find_tiling_fault(first.shape, boxes)
        if fault is not None:
            raise ValueError(f"tensor {first.name!r}: {fault}")


def _check_part(part: Part, key: bytes) -> None:
    """Refuse a name, a dtype or a size that a record cannot have."""
    what = f"tensor {part.name!r}"
    if not key:
        raise ValueError("a tensor's name must not be empty")
    try:
        key.decode()
    except UnicodeDecodeError as error:  # TensorFlow could not parse the meta record
        raise ValueError(f"{what}: the names of a V1 checkpoint are UTF-8: {error}") from None
    if part.dtype.name not in WIRES:
        raise TypeError(f"{what}: a V1 checkpoint cannot hold the dtype {part.dtype.name}")
    if len(part.shape) > MAX_STORED_RANK:
        raise ValueError(f"{what}: a V1 checkpoint holds at most {MAX_STORED_RANK} dimensions")
    size = _estimate_size(part, key)
    if size > MAX_RECORD:
        problem = f"expected at most {MAX_RECORD} bytes, as TensorFlow reckons, got {size}"
        raise ValueError(f"{what} is too large for a V1 checkpoint: {problem}")


def _estimate_size(part: Part, key: bytes) -> int:
    """Return what TensorFlow takes a record to have at most, before it writes it."""
    header = encode(HEADER, {"name": key, "slice": encode_box(part.box)})
    size = len(header) + RECORD_HEADER + WIRES[part.dtype.name].max_size * part.array.size
    if part.dtype is STRING:
        size += sum(map(len, part.array.reshape(-1).tolist()))
    return size


def _distribute(parts: Sequence[Part], count: int) -> list[list[Part]]:
    """Return the parts for each shard: neighbours together, about as many bytes in each."""
    total = sum(part.array.nbytes for part in parts)
    groups: list[list[Part]] = [[] for _ in range(count)]
    done = 0
    for part in parts:
        groups[min(count - 1, done * count // max(1, total))].append(part)
        done += part.array.nbytes
    return groups


def _build_table(parts: Sequence[Part]) -> bytes:
    """Return a shard: the meta record, whose tensors are sorted by name, and the values."""
    tensors: dict[bytes, list[Part]] = {}
    records: dict[bytes, Part] = {}
    for part in parts:
        key = encode_name(part.name)
        tensors.setdefault(key, []).append(part)
        records[slice_key(key, part.box)] = part
    builder = TableBuilder()
    builder.add(b"", _encode_meta(tensors))
    for key in sorted(records):
        part = records[key]
        record = encode_record(encode_name(part.name), part.box, part.dtype, part.array)
        builder.add(key, record)
    return builder.finish()


def _encode_meta(tensors: Mapping[bytes, Sequence[Part]]) -> bytes:
    listed = []
    for key in sorted(tensors):
        first = tensors[key][0]
        dims = [{"size": dim} for dim in first.shape]
        tensor = {
            "name": key,
            "shape": encode(SHAPE, {"dims": dims}),
            "dtype": first.dtype.number,
            "slices": [encode_box(part.box) for part in tensors[key]],
        }
        listed.append(encode(TENSOR, tensor))
    return encode(META_RECORD, {"meta": {"tensors": listed, "versions": {"producer": VERSION}}})


def _find_leftovers(paths: Sequence[str]) -> list[str]:
    """Return what dead writers left beside a checkpoint's files."""
    folder = os.path.dirname(paths[0])
    bases = {os.path.basename(path) for path in paths}
    staged = []
    for name in LOCAL.list(folder):
        parts = split_staged(name)
        if parts is not None and parts[0] in bases:
            staged.append(os.path.join(folder, name))
    return leftovers(staged)
