"""zarr: a folder with a group of arrays. ``dense/kernel`` is an array in the group ``dense``.

Written in version 2 of the format, which zarr 2 and zarr 3 both read; read in either version. The
zarr package parses it, after zarr_files.py has looked at every file. Arrays are chunked along their
first dimensions and compressed as zarr does by default; strings are variable-length bytes. zarr
takes some milliseconds per array, so another format suits a checkpoint of a hundred thousand
tensors better.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..format.dtypes import STRING
from ..format.values import encode_value
from ..storage.folder import find_kind, is_inside
from .base import (
    NUMPYS_OWN,
    STRING_OBJECT,
    StagedTarget,
    TensorHeader,
    as_format_error,
    check_dtypes,
    check_no_nul,
    check_shape,
    check_tree,
    find_dtype,
    import_optional,
    refuse,
)
from .zarr_files import RESERVED, ZarrFiles, is_zarr

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["ZarrSource", "ZarrTarget", "is_zarr"]

_CHUNK: Final = 4 << 20  # bytes
_FORBIDDEN: Final = "\\:" if os.name == "nt" else ""  # what leads out of a folder in a file's name


class ZarrSource:
    """The arrays below a group. Raises `UnsupportedError` for symbolic links, and for arrays that
    need a codec which is not known to be harmless: one of zarr 2 unpickles."""

    def __init__(self, path: str, max_memory: int | None = None) -> None:
        self.path = path
        self._zarr = import_optional("zarr")
        self._files = ZarrFiles(path, max_memory)
        self._tensors = {name: self._describe(name) for name in self._files.arrays}

    def tensors(self) -> list[TensorHeader]:
        return list(self._tensors.values())

    def read(self, name: str) -> Array:
        array, tensor = self._open(name), self._tensors[name]
        self._files.check(name, array)
        what, length = f"tensor {name!r}", 0
        result = np.empty(tensor.shape, tensor.dtype.numpy)
        with as_format_error(self.path, what):
            for block in _blocks(tensor, array.chunks):
                part = encode_value(name, np.asarray(array[block]))[1]
                if tensor.dtype is STRING:
                    length += sum(map(len, part.reshape(-1).tolist()))
                    self._files.budget.check(what, length)
                # with "..." an array of no dimensions is not taken for a value itself
                result[(*block, ...)] = part
        return result

    def owns(self, path: str) -> bool:
        return is_inside(path, self.path) and find_kind(path) != ""

    def close(self) -> None:
        """Do nothing: zarr keeps no file open."""

    def _open(self, name: str) -> Any:
        """Open an array by its path: metadata that its group repeats are not asked for."""
        with as_format_error(self.path, f"tensor {name!r}"):
            return self._zarr.open_array(Path(self.path, name).absolute(), mode="r")

    def _describe(self, name: str) -> TensorHeader:
        array, what = self._open(name), f"tensor {name!r}"
        dtype = find_dtype(self.path, name, array.dtype)
        nbytes = check_shape(self.path, name, array.shape, dtype)
        self._files.budget.check(what, max(nbytes, math.prod(array.shape) * array.dtype.itemsize))
        if dtype is STRING:
            self._files.budget.check_objects(what, math.prod(array.shape), STRING_OBJECT)
        return TensorHeader(name, dtype, tuple(array.shape), nbytes)


class ZarrTarget(StagedTarget):
    """A group that is being written. It replaces a group, but no other folder.

    Raises `UnsupportedError` for dtypes that are not NumPy's own, and for names that cannot be
    paths.
    """

    _replaces_folder = True

    def __init__(self, path: str, tensors: Sequence[TensorHeader]) -> None:
        self._zarr = import_optional("zarr")
        check_tree(path, "zarr", tensors, RESERVED)
        check_dtypes(path, "zarr", tensors, NUMPYS_OWN)
        for tensor in tensors:
            if any(letter in tensor.name for letter in _FORBIDDEN):
                raise refuse(path, tensor.name, "zarr's files cannot have this name here")
        if find_kind(path) and not is_zarr(path):
            problem = "there is something else than a zarr group; remove it first"
            raise FileExistsError(errno.EEXIST, problem, path)
        super().__init__(path, tensors)

    def add(self, tensor: TensorHeader, array: Array) -> None:
        if tensor.dtype is STRING and array.ndim == 0:
            check_no_nul(self.path, "zarr", tensor.name, array)
        options: dict[str, Any] = {
            "shape": tensor.shape,
            "chunks": _chunk_shape(tensor),
            "fill_value": None,
        }
        stored = self._create(tensor, options)
        for block in _blocks(tensor, options["chunks"]):
            stored[block] = array[block]

    def _open(self, new: str, stack: ExitStack) -> None:
        options = {"zarr_format": 2} if self._is_version_3() else {}
        self._group = self._zarr.open_group(new, mode="w", **options)

    def _is_version_3(self) -> bool:
        return hasattr(self._zarr.Group, "create_array")

    def _create(self, tensor: TensorHeader, options: dict[str, Any]) -> Any:
        """Create an array by the interface of zarr 3 or of zarr 2."""
        is_string = tensor.dtype is STRING
        codec = import_optional("numcodecs").VLenBytes() if is_string else None
        if not self._is_version_3():
            dtype = object if is_string else tensor.dtype.numpy
            return self._group.create_dataset(
                tensor.name, dtype=dtype, object_codec=codec, write_empty_chunks=True, **options
            )
        if is_string:
            options |= {"dtype": self._zarr.dtype.VariableLengthBytes(), "filters": [codec]}
        else:
            options |= {"dtype": tensor.dtype.numpy}
        # a chunk of -0.0 counts as empty, and would come back as 0.0
        return self._group.create_array(tensor.name, config={"write_empty_chunks": True}, **options)


def _blocks(tensor: TensorHeader, chunks: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    """Yield regions of whole chunks that cover a tensor. zarr keeps several copies of a region in
    memory, so it gets one at a time."""
    steps = [
        -(-size // chunk) * chunk for size, chunk in zip(_chunk_shape(tensor), chunks, strict=True)
    ]
    ranges = (range(0, dim, step) for dim, step in zip(tensor.shape, steps, strict=True))
    for starts in product(*ranges):
        yield tuple(slice(at, at + step) for at, step in zip(starts, steps, strict=True))


def _chunk_shape(tensor: TensorHeader) -> tuple[int, ...]:
    """Return the shape of chunks of a few megabytes: whole rows, if they are not too large."""
    chunk = [max(1, dim) for dim in tensor.shape]
    for axis in range(len(chunk)):
        rest = math.prod(chunk[axis + 1 :]) * (tensor.dtype.item_size or 8)
        chunk[axis] = max(1, min(chunk[axis], _CHUNK // rest))
        if chunk[axis] > 1:
            break
    return tuple(chunk)
