"""Checkpoints as mappings of tensor names to arrays: what every format offers, and lazy handles."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from .errors import CheckpointError
from .format._record import TensorInfo

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt

    from .format._record import Entry
    from .format.slices import Box
    from .graph.object_graph import ObjectGraph
    from .parallel import Progress
    from .storage.local import File

    Array = npt.NDArray[Any]

__all__ = ["Checkpoint", "Stored", "StoredPart", "TensorSlice"]

_Default = TypeVar("_Default")


class StoredPart(NamedTuple):
    """One slice of a partitioned tensor, or all of a tensor that is not partitioned.

    `stored` is the slice as it is stored, None for all of a tensor; `box` is the same in numbers,
    one (start, length) per dimension. `entry` says which bytes of which data file the part has, and
    `checksum` is their CRC-32C. In a V1 checkpoint, which encodes values one by one, the entry has
    a dtype, a shape and the number of the data file, and the checksum is None.
    """

    stored: Box | None
    box: Box
    entry: Entry
    what: str  # the part in errors, with the name of the tensor
    checksum: int | None


class Stored(Protocol):
    """What a checkpoint has stored, below the names and arrays of the mapping.

    `Checkpoint.stored` gives it for V1 and V2, `bundle.partial` for an index of which parts are
    broken. Whatever verifies, compares, copies or edits checkpoints needs nothing else.
    """

    @property
    def path(self) -> str:
        """The file that lists the tensors, as errors name it."""

    @property
    def num_shards(self) -> int | None:
        """The number of data files, None if it is unknown."""

    @property
    def byteorder(self) -> str:
        """The byte order of the data files: "little" or "big"."""

    def entry(self, name: str) -> Entry:
        """Return the entry of a tensor; in a V1 checkpoint it has a dtype, a shape and slices.
        Raises `TensorNotFoundError`."""

    def entries(self) -> Iterable[tuple[str, Entry]]:
        """Return (name, entry) of every tensor, in key order."""

    def parts(self, name: str) -> list[StoredPart]:
        """Return the slices of a partitioned tensor, or one part that is all of the tensor.
        Touches no data file. Raises `FormatError` for slices that do not fit the tensor."""

    def read(self, name: str, entry: Entry | None = None) -> Array:
        """Return a tensor: a private array, verified. `entry` spares looking the entry up."""

    def read_parts(self, name: str) -> Iterator[tuple[StoredPart, Array]]:
        """Yield each part of a tensor with its values: private arrays, verified."""

    def verify(self, name: str) -> None:
        """Verify the bytes of a tensor, in the memory of one chunk; in a V1 checkpoint of one
        slice. Raises what is wrong with them."""

    def record(self, key: bytes) -> bytes | None:
        """Return the record of a key of any kind, a slice's or the header's too, or None."""

    def blocks(self) -> Iterator[list[tuple[bytes, bytes]] | CheckpointError]:
        """Yield the (key, record) pairs of each block of the table, or what is wrong with it."""

    def hidden_keys(self) -> frozenset[bytes]:
        """Return the keys of slices, which are no names of tensors; a V1 checkpoint has none."""

    def source(self, number: int, what: str, /) -> File:
        """Return the open data file of a number; `what` is for the error."""


class TensorSlice:
    """A lazy handle on a tensor: `handle[10:20, :]` reads only the bytes that it needs.

    Takes basic indices: integers, slices, Ellipsis and None. The result is a view where
    `Checkpoint.get_tensor` gives one, else a private array. Bytes that are read in part cannot
    be verified; open the checkpoint with `verify=True` to have each tensor verified first.

    `np.asarray(handle)` reads the whole tensor at once. A handle is pickled with the path and the
    options of its checkpoint, which is opened again where it is unpickled.
    """

    __slots__ = ("_checkpoint", "dtype", "name", "shape")

    def __init__(
        self, checkpoint: Checkpoint, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._checkpoint = checkpoint
        self.name = name
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of the array that `handle[...]` gives; of strings, those of the pointers."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor of rank 0")
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        return self._checkpoint.read_part(self.name, index)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self._checkpoint.get_tensor(self.name, copy=copy)
        return array if dtype is None else array.astype(dtype, copy=False)

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen_slice, (self._checkpoint, self.name)

    def __repr__(self) -> str:
        return f"<slice handle of {self.name!r}: shape {self.shape}, dtype {self.dtype}>"


def _reopen_slice(checkpoint: Checkpoint, name: str) -> TensorSlice:
    return checkpoint.get_slice(name)


class Checkpoint(Mapping[str, "npt.NDArray[Any]"], ABC):
    """A mapping of tensor names, in key (byte) order, to NumPy arrays. Made by `fastckpt.read`.

    Equal only to itself, so that it can be a key of a dict.
    """

    __slots__ = ()

    def __new__(cls, *args: object, **options: object) -> Checkpoint:
        if cls is Checkpoint:
            raise TypeError("Checkpoint is abstract: open a checkpoint with fastckpt.read(path)")
        return super().__new__(cls)

    # ---- What a format provides ----

    @property
    @abstractmethod
    def path(self) -> str:
        """The prefix that was opened; of a V1 checkpoint its file, or the pattern of its shards."""

    @property
    @abstractmethod
    def format(self) -> str:
        """The format: "V2" or "V1"."""

    @property
    @abstractmethod
    def num_shards(self) -> int:
        """The number of data files."""

    @property
    @abstractmethod
    def version(self) -> int:
        """The version of the format that wrote it."""

    @property
    @abstractmethod
    def byteorder(self) -> str:
        """The byte order of the data files: "little" or "big"."""

    @property
    @abstractmethod
    def stored(self) -> Stored:
        """What the files have stored: entries, parts and records, as `Stored` says."""

    @abstractmethod
    def get_tensor(self, name: str, *, copy: bool | None = None) -> Array:
        """Return a tensor.

        `copy=None` gives a view where one can exist: of fixed-size elements, in a little-endian
        file, not partitioned, with the "mmap" backend. It is read-only, or private and writable
        with `mode="c"`, and may be unaligned. Otherwise the array is a copy: private, writable,
        verified. `copy=True` always copies; `copy=False` raises `ValueError` instead.

        Copies are in native byte order. A view is little-endian on every machine, so on a
        big-endian one its dtype is, say, `<f4`.

        Strings are object arrays of `bytes`. Raises `TensorNotFoundError`, `FormatError`,
        `ChecksumError`, and `UnsupportedError` for variants, resources and more dimensions than
        NumPy has.
        """

    @abstractmethod
    def get_slice(self, name: str) -> TensorSlice:
        """Return a lazy handle on a tensor, to be indexed. Raises `TensorNotFoundError`."""

    @abstractmethod
    def read_part(self, name: str, index: Any) -> Array:
        """Return the part of a tensor that a basic index selects: `get_slice(name)[index]`."""

    @abstractmethod
    def info(self, name: str) -> TensorInfo:
        """Return the `TensorInfo` of a tensor. Raises `TensorNotFoundError`."""

    @abstractmethod
    def infos(self) -> list[TensorInfo]:
        """Return the `TensorInfo` of every tensor, in key order, without touching data."""

    @abstractmethod
    def problems(
        self, *, threads: int | None = None, progress: Progress | None = None
    ) -> Iterator[CheckpointError | OSError]:
        """Yield every problem in key order: a `CheckpointError`, or an `OSError` for a data file
        that cannot be opened, once per file. Reads every byte, in `threads` (default: one per CPU,
        up to 8). `progress` is called with the bytes done and their total."""

    @abstractmethod
    def close(self) -> None:
        """Drop the checkpoint's own references. Arrays that were handed out stay valid."""

    # ---- What follows from it ----

    def __getitem__(self, name: str) -> Array:
        return self.get_tensor(name)

    @abstractmethod
    def __contains__(self, name: object) -> bool: ...

    def get(self, name: str, default: _Default | None = None) -> Array | _Default | None:  # type: ignore[override]
        """Return the tensor of this name, or the default if there is none."""
        if name not in self:
            return default
        return self[name]

    __eq__ = object.__eq__  # not by value, as a mapping's: that would read every tensor
    __hash__ = object.__hash__

    def verify(self, *, threads: int | None = None, progress: Progress | None = None) -> None:
        """Read and verify every byte, in threads; raise the first problem in key order. The
        options are those of `problems`."""
        for problem in self.problems(threads=threads, progress=progress):
            raise problem

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- The objects that were saved ----

    @property
    def object_graph(self) -> ObjectGraph | None:
        """The objects that `tf.train.Checkpoint` or Keras saved, as an `ObjectGraph`: a tree with
        their names. None for a checkpoint of plain names. Read anew each time that it is asked
        for; raises `FormatError` for a graph that is broken."""
        from .graph.objects import read_object_graph

        return read_object_graph(self)

    @property
    def variables(self) -> dict[str, str]:
        """A dict of readable paths (``model/dense/kernel``) to tensor names, by the object graph;
        without one, of each name to itself. Lookup tables and iterators, which have several
        tensors each, are left out."""
        from .graph.objects import read_variables

        return read_variables(self)

    # ---- For notebooks and tables ----

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with a row for each tensor: its name is the index; columns
        are dtype (TensorFlow's name), shape, count, nbytes, shard, offset, crc32c (None where it
        has none of its own) and slices, how many. Reads no tensor. Raises `ImportError` where
        there is no pandas."""
        try:
            from pandas import DataFrame, Index, array
        except ImportError as error:
            advice = "to_pandas needs pandas: python -m pip install pandas"
            raise ImportError(advice) from error
        infos = self.infos()
        columns = {
            "dtype": [info.tf_dtype for info in infos],
            "shape": [info.shape for info in infos],
            "count": [math.prod(info.shape) for info in infos],
            "nbytes": [info.nbytes for info in infos],
            "shard": array([info.shard for info in infos], dtype="Int64"),
            "offset": array([info.offset for info in infos], dtype="Int64"),
            "crc32c": array([info.crc32c for info in infos], dtype="Int64"),
            "slices": [len(info.slices) for info in infos],
        }
        index = Index([info.name for info in infos], name="name", dtype=object)
        return DataFrame(columns, index)

    def _repr_html_(self) -> str:
        from .name_tree import grow_tree
        from .text import html_line

        try:
            return grow_tree(self.path, self.infos())._repr_html_()
        except (CheckpointError, OSError, ValueError) as error:  # broken or closed
            return html_line(repr(self), str(error))

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)
