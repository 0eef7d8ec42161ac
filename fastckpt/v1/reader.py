"""V1 checkpoints, as `fastckpt.read` gives them: a file, or one per shard."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..checkpoint import Checkpoint, TensorSlice
from ..errors import CheckpointError, name_tensor
from ..format._record import TensorInfo
from ..format._table import TABLE_MAGIC, Table
from ..format.slices import parse_index
from ..parallel import Progress, Tally, batches, ordered_map
from ..storage.local import LOCAL, File
from ..storage.staged import split_staged
from .meta import V1Tensor
from .names import parse_v1, v1_shard_path
from .records import META_TAG
from .stored import StoredV1

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["V1Checkpoint", "is_v1"]


def _open_files(path: str) -> Iterator[File]:
    """Open a checkpoint's file, or all the shards that a pattern stands for."""
    parts = None if LOCAL.exists(path) else parse_v1(path)
    if parts is None:
        yield LOCAL.open(path)
        return
    prefix, _, count = parts
    for shard in range(count):
        try:
            yield LOCAL.open(v1_shard_path(prefix, shard, count))
        except FileNotFoundError as error:
            problem = f"shard {shard + 1} of {count} is missing"
            if any(_find_staged(prefix, count)):
                problem += ": a save was interrupted, see fastckpt.complete and fastckpt.discard"
            raise FileNotFoundError(errno.ENOENT, problem, error.filename) from None


def _find_staged(prefix: str, count: int) -> Iterator[str]:
    """Yield what writers, dead or alive, staged to become the last of so many shards."""
    folder, base = os.path.split(v1_shard_path(prefix, count - 1, count))
    for name in LOCAL.list(folder):
        if (split_staged(name) or "")[:1] == (base,):
            yield name


def is_v1(path: str) -> bool:
    """Return whether a file is a V1 table, by its last bytes and its first record. Raises
    `FormatError` for a table that is broken."""
    file = LOCAL.open(path)
    at = file.size - len(TABLE_MAGIC)
    if at < 0 or file.read(at, len(TABLE_MAGIC), "table magic") != TABLE_MAGIC:
        return False
    first = Table(file).first()
    return first is not None and first[0] == b"" and first[1].startswith(META_TAG)


class V1Checkpoint(Checkpoint):
    """A V1 checkpoint: one file, or the pattern ``prefix-?????-of-00003`` of its shards.

    Opening reads the meta records, which list every tensor. The records of a tensor are read,
    verified and decoded each time that it is asked for, and none of them is kept. Arrays are
    private and writable, never views. Reading a region whose slices overlap or leave a gap raises
    `FormatError`.

    `TensorInfo.nbytes` is the size of the array; for strings, whose lengths are only in their
    record, it is the size of the object array without them.
    """

    __slots__ = ("__weakref__", "_stored")

    def __init__(
        self,
        path: str,
        *,
        files: Sequence[str] | None = None,
        tables: Sequence[Table] | None = None,
    ) -> None:
        """Open the checkpoint at `path`. `files` are its shards, in their order, if they are not in
        their places; `tables` are their tables, if they are open already."""
        if tables is None:
            opened = _open_files(path) if files is None else map(LOCAL.open, files)
            tables = [Table(file) for file in opened]
        self._stored = StoredV1(path, tables)

    @property
    def stored(self) -> StoredV1:
        """What the files have stored; see `checkpoint.Stored`."""
        return self._stored

    @property
    def path(self) -> str:
        """The path of the file, or the pattern of the shards."""
        return self._stored.path

    @property
    def format(self) -> str:
        """The format: "V1"."""
        return "V1"

    @property
    def num_shards(self) -> int:
        """The number of files."""
        return self._stored.num_shards

    @property
    def version(self) -> int:
        """The version of the format that wrote it."""
        return self._stored.version

    @property
    def byteorder(self) -> str:
        """The byte order of the files: "little", always."""
        return self._stored.byteorder

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored.names())

    def __len__(self) -> int:
        return len(self._stored)

    def __repr__(self) -> str:
        if self._stored.is_closed:
            return f"<closed checkpoint {self.path!r}>"
        return f"<checkpoint {self.path!r}: format V1, shards: {self.num_shards}>"

    def __reduce__(self) -> tuple[object, ...]:
        files = None
        if not self._stored.is_closed and parse_v1(self.path) is None:
            files = [table.file.path for table in self._stored.tables()]  # it may be any pattern
        return partial(V1Checkpoint, self.path, files=files), ()

    def close(self) -> None:
        """Drop the checkpoint's own references. Arrays that were handed out stay valid."""
        self._stored.close()

    def info(self, name: str) -> TensorInfo:
        """Return the `TensorInfo` of a tensor. Raises `TensorNotFoundError`."""
        return self._stored.info_of(self._stored.find(name))

    def infos(self) -> list[TensorInfo]:
        """Return the `TensorInfo` of every tensor, in key order, without touching data."""
        return [self._stored.info_of(tensor) for tensor in self._stored.tensors()]

    def get_tensor(self, name: str, *, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return a tensor: a private, writable, verified array; of strings, one of `bytes`.

        `copy=False` raises `ValueError`, since there is nothing to view. Raises
        `TensorNotFoundError`, `FormatError`, `ChecksumError`, and `UnsupportedError` for a dtype
        that V1 does not have and for more dimensions than NumPy has.
        """
        if copy is False:
            tensor = self._stored.find(name)
            problem = "a view cannot exist: a V1 file holds encoded values"
            raise ValueError(f"{tensor.what}: {problem}")
        return self._stored.read(name)

    def get_slice(self, name: str) -> TensorSlice:
        """Return a lazy handle on a tensor, to be indexed. Of a partitioned tensor it reads the
        parts that an index touches, each whole and verified. Raises `TensorNotFoundError`."""
        tensor = self._stored.find(name)
        return TensorSlice(self, tensor.name, tensor.shape, self._stored.dtype_of(tensor).numpy)

    def read_part(self, name: str, index: Any) -> npt.NDArray[Any]:
        """Return the part of a tensor that a basic index selects: `get_slice(name)[index]`."""
        tensor = self._stored.find(name)
        selection = parse_index(index, tensor.shape)
        array = self._stored.read_region(tensor, selection.region)
        return array[selection.then]  # type: ignore[no-any-return]

    def problems(
        self, *, threads: int | None = None, progress: Progress | None = None
    ) -> Iterator[CheckpointError | OSError]:
        """Yield every problem in key order. Reads each record that the meta records list, in
        threads. `progress` counts elements: bytes are not known before."""
        tensors = self._stored.tensors()
        sizes = [math.prod(tensor.shape) for tensor in tensors]
        tally = Tally(progress, sizes)
        groups = list(batches(zip(tensors, sizes, strict=True)))
        found = ordered_map(partial(_verify_each, self._stored), groups, threads)
        for group, problems in zip(groups, found, strict=True):
            yield from problems
            tally.add(sum(math.prod(each.shape) for each in group))


def _verify_each(stored: StoredV1, tensors: list[V1Tensor]) -> list[CheckpointError | OSError]:
    """Return the problems of some tensors.

    The tables are this batch's own: one that threads share would read a block of small records
    again and again, as they take turns.
    """
    tables = [Table(table.file) for table in stored.tables()]
    problems: list[CheckpointError | OSError] = []
    for tensor in tensors:
        try:
            stored.verify_tensor(tensor, tables)
        except CheckpointError as error:
            name_tensor(error, tensor.name)
            problems.append(error)
        except OSError as error:
            problems.append(error)
    return problems
