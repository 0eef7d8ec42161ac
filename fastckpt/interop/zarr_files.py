"""The files of a zarr group: which arrays they make, and whether their chunks are safe to unpack.

zarr opens the files by itself, and trusts them: it follows links, runs codecs such as "pickle", and
unpacks a chunk to whatever it claims. So everything is looked at here before zarr sees it.
"""

from __future__ import annotations

import json
import math
import os
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

import numpy as np

from ..errors import FormatError
from ..storage.folder import find_kind, list_tree
from ..storage.streams import open_file
from .base import Budget, as_format_error, refuse
from .unpacked import CODECS, can_exceed, fits, unpack

__all__ = ["RESERVED", "ZarrFiles", "is_zarr"]

_GROUPS: Final = (".zgroup", "zarr.json")
_ARRAYS: Final = (".zarray", "zarr.json")  # of version 2 and of version 3
RESERVED: Final = frozenset([*_GROUPS, *_ARRAYS, ".zattrs", ".zmetadata"])
_SHARDING: Final = "sharding_indexed"
_TEXT: Final = ("vlen-bytes", "vlen-utf8")
_PACKERS: Final = frozenset(CODECS) - {"lzf"}
_PLAIN: Final = frozenset(["bytes", "crc32", "crc32c", "delta", "endian", "shuffle", "transpose"])
_KNOWN: Final = _PLAIN | _PACKERS | {_SHARDING, *_TEXT}  # above all not "pickle", which runs code
_HEADS: Final = {"blosc": 16, "lz4": 4}  # bytes that say the size of a chunk
_CHUNK_OBJECT: Final = 1024  # bytes of memory that zarr takes for a chunk
_SLACK: Final = 64  # bytes, more than checksums add to a chunk
_MISSING: Final = 2**64 - 1  # the offset of a chunk that a shard does not have


class Codec(NamedTuple):
    """A step of coding a chunk, with its parameters."""

    name: str
    options: dict[str, Any]


class ChunkGrid(NamedTuple):
    """The chunks of an array: the bytes and the strings that one may have."""

    nbytes: int
    strings: int
    is_text: bool


def is_zarr(path: str) -> bool:
    """Return whether a folder is a group of zarr."""
    return any(find_kind(os.path.join(path, name)) == "file" for name in _GROUPS)


class ZarrFiles:
    """The files below a group, listed once. `sizes` has the bytes of each by its relative path,
    `arrays` the codecs of each array by its name.

    Raises `UnsupportedError` for links and for codecs that are not known to be harmless.
    """

    def __init__(self, path: str, max_memory: int | None) -> None:
        self.path = path
        self.sizes = list_tree(path)
        self.budget = Budget(path, sum(self.sizes.values()), max_memory)
        self.arrays: dict[str, list[Codec]] = {}
        self._chunks: dict[str, list[str]] = {}
        for folder in sorted({posixpath.dirname(file) for file in self.sizes}, key=_parts):
            if self._array_above(folder) is None:
                self._add_array(folder)
        for file in self.sizes:
            name = self._array_above(posixpath.dirname(file))
            if name is not None and posixpath.basename(file) not in RESERVED:
                self._chunks[name].append(file)

    def check(self, name: str, array: Any) -> None:
        """Raise `CheckpointError` if an array, opened by zarr, takes more memory than the budget
        allows: by its shape, by its chunks, or because a chunk unpacks to more than its shape."""
        what, count = f"tensor {name!r}", math.prod(array.shape)
        is_text = array.dtype.kind in "OT"
        self.budget.check(what, count * array.dtype.itemsize)
        if is_text and isinstance(array.fill_value, str | bytes):
            self.budget.check(what, count * len(array.fill_value))
        outer = getattr(array, "shards", None) or array.chunks
        self.budget.check(what, math.prod(outer) * array.dtype.itemsize)
        sides = zip(array.shape, array.chunks, strict=True)
        chunks = math.prod(-(-dim // max(1, side)) for dim, side in sides)
        self.budget.check_objects(what, chunks, _CHUNK_OBJECT)
        inner = math.prod(array.chunks)
        grid = ChunkGrid(inner * array.dtype.itemsize, inner, is_text)
        for file in self._chunks[name]:
            with as_format_error(self.path, what):
                self._check_file(
                    name, file, self.arrays[name], grid, math.prod(outer) // max(1, inner)
                )

    # ---- Arrays

    def _array_above(self, folder: str) -> str | None:
        """Return the array in whose folder a folder is, None if it is in no array's."""
        while folder not in self.arrays:
            if not folder:
                return None
            folder = posixpath.dirname(folder)
        return folder

    def _add_array(self, folder: str) -> None:
        paths = {name: posixpath.join(folder, name) for name in _ARRAYS}
        found = {
            name: self._read_metadata(path) for name, path in paths.items() if path in self.sizes
        }
        if not (".zarray" in found or found.get("zarr.json", {}).get("node_type") == "array"):
            return
        if not folder:
            raise FormatError(self.path, "group", "expected a group, got an array")
        if len(found) > 1:
            raise FormatError(self.path, f"tensor {folder!r}", "is described in two versions")
        codecs = _codecs_of(found)
        unknown = _names_of(codecs) - _KNOWN
        if unknown:
            why = f"cannot be read safely: it needs {', '.join(sorted(unknown))}"
            raise refuse(self.path, folder, why)
        self.arrays[folder], self._chunks[folder] = codecs, []

    def _read_metadata(self, file: str) -> dict[str, Any]:
        with as_format_error(self.path, file):
            found = json.loads(self._read(file))
        return found if isinstance(found, dict) else {}

    def _read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        with closing(open_file(os.path.join(self.path, name))) as file:
            return file.read(start, file.size - start if size is None else size, "chunk")

    # ---- Chunks

    def _check_file(
        self, name: str, file: str, codecs: Sequence[Codec], grid: ChunkGrid, inner: int
    ) -> None:
        if codecs and codecs[0].name == _SHARDING:
            if any(codec.name in _PACKERS for codec in codecs[1:]):
                raise refuse(self.path, name, "expected shards that are not packed")
            within = _parse_codecs(codecs[0].options.get("codecs"))
            for start, size in self._read_shard(name, file, codecs[0].options, inner):
                self._check_chunk(name, file, (start, size), within, grid)
        else:
            self._check_chunk(name, file, (0, self.sizes[file]), codecs, grid)

    def _check_chunk(
        self, name: str, file: str, place: tuple[int, int], codecs: Sequence[Codec], grid: ChunkGrid
    ) -> None:
        """Raise `CheckpointError` if a chunk at (start, size) unpacks to more than its shape."""
        start, size = place
        packers = [index for index, codec in enumerate(codecs) if codec.name in _PACKERS]
        if len(packers) > 1 or any(codec.name == _SHARDING for codec in codecs):
            raise refuse(self.path, name, "expected chunks that are packed once, got them twice")
        most = self.budget.bytes if grid.is_text else grid.nbytes // _widening(codecs)
        most += _SLACK
        if packers:
            packer, *after = codecs[packers[0] :]
            if any(codec.name != "crc32c" for codec in after):
                raise refuse(self.path, name, "expected chunks that are packed last")
            if can_exceed(packer.name, size, most):
                data = self._read(file, start, min(size, _HEADS.get(packer.name, size)))
                if not fits(packer.name, data, most):
                    problem = f"chunk {file!r} unpacks to more than {most} bytes"
                    raise FormatError(self.path, f"tensor {name!r}", problem)
        if grid.is_text:
            self._check_count(name, file, self._read(file, start, size), codecs, grid)

    def _check_count(
        self, name: str, file: str, data: bytes, codecs: Sequence[Codec], grid: ChunkGrid
    ) -> None:
        """Raise `FormatError` if a chunk of strings claims more strings than its shape has."""
        for codec in reversed(codecs):
            if codec.name in _PACKERS:
                data = unpack(codec.name, data)
        claimed = int.from_bytes(data[:4], "little")
        if claimed > grid.strings:
            problem = f"expected {grid.strings} strings in chunk {file!r}, got {claimed}"
            raise FormatError(self.path, f"tensor {name!r}", problem)

    def _read_shard(
        self, name: str, file: str, options: dict[str, Any], count: int
    ) -> Iterator[tuple[int, int]]:
        """Yield (start, size) of the chunks in a shard, by the index at its start or end."""
        coded = [codec.name for codec in _parse_codecs(options.get("index_codecs"))]
        if coded not in (["bytes"], ["bytes", "crc32c"]):
            raise refuse(self.path, name, "expected an index of shards that is not packed")
        size = 16 * count + (4 if coded[1:] else 0)
        start = 0 if options.get("index_location") == "start" else self.sizes[file] - size
        index = np.frombuffer(self._read(file, start, size)[: 16 * count], "<u8").reshape(-1, 2)
        places = [(at, length) for at, length in index.tolist() if at != _MISSING]
        if sum(length for _, length in places) > self.sizes[file]:
            problem = f"the chunks in {file!r} take more bytes than it has"
            raise FormatError(self.path, f"tensor {name!r}", problem)
        yield from places


def _parts(folder: str) -> list[str]:
    return folder.split("/")


def _codecs_of(found: dict[str, dict[str, Any]]) -> list[Codec]:
    """Return the codecs of an array in the order in which a chunk is coded."""
    if ".zarray" in found:
        metadata = found[".zarray"]
        coded = [*_as_list(metadata.get("filters")), metadata.get("compressor")]
        return [Codec(str(each.get("id")), each) for each in coded if isinstance(each, dict)]
    metadata = found["zarr.json"]
    return [
        *_parse_codecs(metadata.get("codecs")),
        *_parse_codecs(metadata.get("storage_transformers")),
    ]


def _parse_codecs(items: object) -> list[Codec]:
    """Parse a list of codecs of version 3."""
    found = []
    for item in _as_list(items):
        name = item.get("name") if isinstance(item, dict) else item
        options = item.get("configuration") if isinstance(item, dict) else None
        known = str(name).removeprefix("numcodecs.")
        found.append(Codec(known, options if isinstance(options, dict) else {}))
    return found


def _as_list(items: object) -> list[Any]:
    return items if isinstance(items, list) else []


def _names_of(codecs: Sequence[Codec]) -> set[str]:
    """Return the names of codecs, including those inside of codecs."""
    found: set[str] = set()
    rest = list(codecs)
    while rest:
        codec = rest.pop()
        found.add(codec.name)
        for key in ("codecs", "index_codecs"):
            rest.extend(_parse_codecs(codec.options.get(key)))
    return found


def _widening(codecs: Sequence[Codec]) -> int:
    """Return how much wider elements get when a chunk is unpacked: "delta" may store them small."""
    factor = 1
    for codec in codecs:
        if codec.name == "delta":
            wide = np.dtype(codec.options.get("dtype"))
            small = np.dtype(codec.options.get("astype") or wide)
            factor *= max(1, wide.itemsize // max(1, small.itemsize))
    return factor
