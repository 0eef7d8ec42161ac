"""zarr: a folder with a group of arrays, a tensor named ``dense/kernel`` in the group ``dense``.

Written in version 2 of the format, which zarr 2 and zarr 3 both read; read in either. The zarr
package parses it. Arrays are chunked along their first dimensions, compressed as zarr does by
default; strings are variable-length bytes. zarr takes some milliseconds per array: a checkpoint of
a hundred thousand tensors is better off in another format.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import FormatError
from ..format.dtypes import STRING
from ..format.values import encode_value
from .base import (
    NUMPYS_OWN,
    StagedTarget,
    Tensor,
    as_format_error,
    check_dtypes,
    check_no_nul,
    check_shape,
    check_tree,
    find_dtype,
    import_optional,
    refuse,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["ZarrSource", "ZarrTarget", "is_zarr"]

_GROUPS: Final = (".zgroup", "zarr.json")
_ARRAYS: Final = (".zarray", "zarr.json")
_RESERVED: Final = frozenset([*_GROUPS, *_ARRAYS, ".zattrs", ".zmetadata"])
_CODECS: Final = frozenset(  # above all not "pickle", which runs what it reads
    [
        "blosc",
        "bytes",
        "bz2",
        "crc32",
        "crc32c",
        "delta",
        "endian",
        "gzip",
        "lz4",
        "lzma",
        "shuffle",
    ]
    + ["sharding_indexed", "transpose", "vlen-bytes", "vlen-utf8", "zlib", "zstd"]
)
_CODED: Final = ("filters", "compressor", "codecs", "storage_transformers")
_CHUNK: Final = 4 << 20  # bytes
_MAX_EXPANSION: Final = 1032  # what deflate can do; zarr's other codecs do less on real data
_SMALL: Final = 1 << 20


def is_zarr(path: str) -> bool:
    """Whether a folder is a group of zarr."""
    return any(os.path.isfile(os.path.join(path, name)) for name in _GROUPS)


class ZarrSource:
    """The arrays below a group. Raises `UnsupportedError` for arrays that need a codec which is not
    known to be harmless: one of zarr 2 unpickles."""

    def __init__(self, path: str) -> None:
        self.path = path
        zarr = import_optional("zarr")
        names = list(_find_arrays(path))
        with as_format_error(path, "group"):
            self._group = zarr.open_group(path, mode="r")
        self._tensors = {name: self._describe(name, self._open(name)) for name in names}

    def tensors(self) -> list[Tensor]:
        return list(self._tensors.values())

    def read(self, name: str) -> Array:
        array = self._open(name)
        tensor = self._tensors[name]
        result = np.empty(tensor.shape, tensor.dtype.numpy)
        with as_format_error(self.path, f"tensor {name!r}"):
            for block in _blocks(tensor, array.chunks):
                # with "..." an array of no dimensions is not taken for a value itself
                result[(*block, ...)] = encode_value(name, np.asarray(array[block]))[1]
        return result

    def close(self) -> None:
        """Do nothing: zarr keeps no file open."""

    def _open(self, name: str) -> Any:
        """Return an array, once it is sure that nothing in it is run."""
        codecs = _codecs_of(_read_metadata(self.path, name))
        if not codecs <= _CODECS:
            why = f"cannot be read safely: it needs {', '.join(sorted(codecs - _CODECS))}"
            raise refuse(self.path, name, why)
        with as_format_error(self.path, f"tensor {name!r}"):
            return self._group[name]

    def _describe(self, name: str, array: Any) -> Tensor:
        dtype = find_dtype(self.path, name, array.dtype)
        nbytes = check_shape(self.path, name, array.shape, dtype)
        size = max(nbytes, nbytes // dtype.numpy.itemsize * array.dtype.itemsize)
        if size > _SMALL and size > _MAX_EXPANSION * _size_of(os.path.join(self.path, name)):
            problem = f"the files that are there cannot be {size} bytes of tensor"
            raise FormatError(self.path, f"tensor {name!r}", problem)
        return Tensor(name, dtype, tuple(array.shape), nbytes)


def _find_arrays(path: str) -> Iterator[str]:
    """Yield the paths of the arrays in a folder, sorted."""
    for at, folders, files in os.walk(path):
        name = os.path.relpath(at, path).replace(os.sep, "/")
        if ".zarray" in files or _read_metadata(path, name).get("node_type") == "array":
            folders.clear()  # chunks
            yield name
        folders.sort()


def _read_metadata(path: str, name: str) -> dict[str, Any]:
    """Return what an array's metadata say, for a group those of version 3, or nothing."""
    for file in _ARRAYS:
        with suppress(FileNotFoundError), open(os.path.join(path, name, file), "rb") as stream:
            with as_format_error(path, f"{name}/{file}"):
                found = json.load(stream)
            return found if isinstance(found, dict) else {}
    return {}


def _codecs_of(metadata: dict[str, Any]) -> set[str]:
    """Return the names of all codecs, those that codecs have inside of them included."""
    found: set[str] = set()
    rest = [
        metadata.get(key) for key in ("filters", "compressor", "codecs", "storage_transformers")
    ]
    while rest:
        item = rest.pop()
        if isinstance(item, list):
            rest.extend(item)
        elif isinstance(item, dict):
            found.add(str(item.get("id", item.get("name"))).removeprefix("numcodecs."))
            configuration = item.get("configuration")
            if isinstance(configuration, dict):
                rest.extend(configuration.get(key) for key in ("codecs", "index_codecs"))
    return found


def _size_of(folder: str) -> int:
    return sum(
        os.path.getsize(os.path.join(at, name))
        for at, _, names in os.walk(folder)
        for name in names
    )


class ZarrTarget(StagedTarget):
    """A group in the making. It replaces a group, but no other folder. Raises `UnsupportedError`
    for dtypes that are not NumPy's own, and for names that no path can be."""

    _replaces_folder = True

    def __init__(self, path: str, tensors: Sequence[Tensor]) -> None:
        self._zarr = import_optional("zarr")
        check_tree(path, "zarr", tensors, _RESERVED)
        check_dtypes(path, "zarr", tensors, NUMPYS_OWN)
        if os.path.lexists(path) and not is_zarr(path):
            problem = "there is something else than a zarr group; remove it first"
            raise FileExistsError(errno.EEXIST, problem, path)
        super().__init__(path, tensors)

    def add(self, tensor: Tensor, array: Array) -> None:
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

    def _create(self, tensor: Tensor, options: dict[str, Any]) -> Any:
        """Make an array, in the words of zarr 3 or of zarr 2."""
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


def _blocks(tensor: Tensor, chunks: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    """Yield regions of whole chunks that cover a tensor: what zarr is given at a time, since it has
    several copies of that in memory."""
    steps = [
        -(-size // chunk) * chunk for size, chunk in zip(_chunk_shape(tensor), chunks, strict=True)
    ]
    ranges = (range(0, dim, step) for dim, step in zip(tensor.shape, steps, strict=True))
    for starts in product(*ranges):
        yield tuple(slice(at, at + step) for at, step in zip(starts, steps, strict=True))


def _chunk_shape(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape of chunks of a few megabytes: whole rows, if they are not too large."""
    chunk = [max(1, dim) for dim in tensor.shape]
    for axis in range(len(chunk)):
        rest = math.prod(chunk[axis + 1 :]) * (tensor.dtype.item_size or 8)
        chunk[axis] = max(1, min(chunk[axis], _CHUNK // rest))
        if chunk[axis] > 1:
            break
    return tuple(chunk)
