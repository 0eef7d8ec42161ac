"""Writing V2 checkpoints: one tensor after the other into staged files, then one commit.

With an alignment of 1 both files are, byte for byte, what TensorFlow writes for the same
tensors in the same order. docs/format.md says what that takes.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping, Sequence
from heapq import heapreplace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, SupportsIndex

from ..checkpoint import Stored
from ..format._payload import encode_strings
from ..format._record import (
    Entry,
    decode_name,
    encode_entry,
    encode_header,
    encode_name,
    slice_key,
)
from ..format.checksum import crc32c
from ..format.dtypes import STRING, DType, dtype_of
from ..format.slices import WHOLE, Box, find_tiling_fault, resolve
from ..format.values import encode_value, payload
from ..parallel import Progress, Tally, helper_thread
from ..storage.local import File
from ..storage.locks import TIMEOUT
from ..storage.output import OutputFile
from ..storage.stage import Stage
from ..storage.urls import local_path
from .commit import build_table, commit
from .names import index_path, shard_path
from .tensors import locate

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import numpy.typing as npt

__all__ = ["Writer", "write"]

_LARGE: Final = 1 << 20  # bytes; below this a thread costs more than the checksum

Value = Any  # what numpy.asarray takes, bytes and str


class Writer:
    """Write a checkpoint tensor by tensor, in the memory of one tensor.

    `path` is the prefix. A tensor goes to the shard with the fewest bytes so far. `alignment`
    pads every tensor with zeros to a multiple of that many bytes, so that views of the file are
    aligned; 1 packs them as TensorFlow does. With `sync` the checkpoint survives a power loss
    once it is closed. One missing level of folders is made, as TensorFlow makes it.

    Use it as a context manager: leaving the block commits, and an exception discards all.
    Nothing appears under the final names before the commit. A checkpoint that stood there is
    replaced, and its permissions stay. Whoever reads the prefix finds the old one or the new one at
    every moment, if the file system has hard links; without them there is none for an instant.
    Others that save into the folder are waited for, at most `timeout` seconds.

    Raises `TimeoutError` then, `OSError` if there is something else than files under the names, and
    `ValueError` for an empty or duplicate name and for slices that do not tile their
    tensor, `TypeError` for a value that has no DataType.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        num_shards: int = 1,
        alignment: int = 64,
        sync: bool = True,
        timeout: float = TIMEOUT,
    ) -> None:
        self.path = local_path(path)
        self._num_shards = _integer("num_shards", num_shards)
        self._alignment = _integer("alignment", alignment)
        if num_shards < 1:
            raise ValueError(f"num_shards: expected 1 or more, got {num_shards}")
        if alignment < 1:
            raise ValueError(f"alignment: expected 1 or more, got {alignment}")
        self._sync = sync
        self._timeout = timeout
        self._records: dict[bytes, bytes] = {}  # key -> entry, as the index will have them
        self._partitioned: dict[bytes, _Partitioned] = {}
        self._stage: Stage | None = None
        self._shards: list[OutputFile] = []
        self._lightest: list[tuple[int, int]] = []  # a heap of (bytes, shard)
        self._pool: Executor | None = None  # computes checksums of large tensors
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the checkpoint was committed or discarded."""
        return self._is_closed

    def add(self, name: str, value: Value, *, tf_dtype: str | None = None) -> None:
        """Write a tensor: an array, a scalar, a list, `bytes`, `str`, or anything that has
        `__array__` or DLPack. Strings become DT_STRING, `str` as UTF-8.

        `tf_dtype` is the name of TensorFlow's dtype to store, as `tf.DType.name` gives it, for
        those that NumPy cannot tell from others: qint8, quint8, qint16, quint16 and qint32 are
        arrays of plain integers. Values are not converted: another dtype than that of the array in
        memory is a `TypeError`. Arrays of TensorFlow's own `tf.qint8.as_numpy_dtype` need no name.
        """
        key = self._new_key(name)
        dtype, array = encode_value(name, value, tf_dtype)
        self._records[key] = self._write_array(dtype, array)

    def add_all(
        self,
        tensors: Mapping[str, Value],
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write a mapping of names to values, in its order, as `add` does. Every name and value is
        looked at before the first byte is written. The options are those of `fastckpt.write`."""
        if not hasattr(tensors, "items"):
            raise TypeError(f"expected a mapping of names to values, got {type(tensors).__name__}")
        encoded: dict[bytes, tuple[DType, npt.NDArray[Any]]] = {}
        for name, value in tensors.items():
            key = self._new_key(name)
            if key in encoded:  # two spellings of one name: as text, and as escaped bytes
                raise ValueError(f"tensor {name!r}: there is one of this name already")
            encoded[key] = encode_value(name, value)
        sizes = [array.nbytes for _, array in encoded.values()]
        tally = Tally(progress, sizes)
        self._open_stage()
        with helper_thread(threads, pays=max(sizes, default=0) >= _LARGE) as pool:
            self._pool = pool
            try:
                for key, (dtype, array) in encoded.items():
                    self._records[key] = self._write_array(dtype, array)
                    if progress is not None:  # here, for tensors of a few bytes
                        tally.add(array.nbytes)
            finally:
                self._pool = None

    def add_slice(
        self,
        name: str,
        value: Value,
        *,
        full_shape: Sequence[int],
        start: Sequence[int | None],
        tf_dtype: str | None = None,
    ) -> None:
        """Write one part of a partitioned tensor: the box at `start` with the value's shape.

        The parts may come in any order, between other tensors; on commit they must cover
        `full_shape` exactly once. A part that is the whole makes a plain tensor, as TensorFlow
        does. A `start` of None stands for a whole dimension and is stored as such, like "-" in
        TensorFlow's `shape_and_slices`; partitioned variables spell every dimension with 0.
        `tf_dtype` is that of `add`.
        """
        dtype, array = encode_value(name, value, tf_dtype)
        shape = tuple(_integer(f"tensor {name!r}, full_shape", dim) for dim in full_shape)
        if len(start) != array.ndim:
            raise ValueError(f"tensor {name!r}: {len(start)} starts for {array.ndim} dimensions")
        box = tuple(
            (0, WHOLE) if at is None else (_integer(f"tensor {name!r}, start", at), dim)
            for at, dim in zip(start, array.shape, strict=True)
        )
        resolved = resolve(box, shape)
        if resolved is None or tuple(length for _, length in resolved) != array.shape:
            raise ValueError(
                f"tensor {name!r}: a slice of shape {array.shape} at {tuple(start)} is not within "
                f"{shape}"
            )
        if array.shape == shape:
            self.add(name, array, tf_dtype=tf_dtype)
            return
        if 0 in array.shape:
            raise ValueError(f"tensor {name!r}: a slice of shape {array.shape} holds nothing")
        key = self._new_slice_key(name, dtype.number, shape, box)
        self._records[key] = self._write_array(dtype, array)

    def add_from(self, checkpoint: Any, tensor: str, *, name: str | None = None) -> None:
        """Carry a tensor over from an open checkpoint, under another name if one is given.

        Bytes and checksum are taken as they are and nothing is decoded, so that this also works
        for variants. The bytes are verified on the way. Only what is stored in another byte
        order is read and written anew; its dtype and its slices stay, too.
        """
        stored = getattr(checkpoint, "stored", None)
        if stored is None:
            raise TypeError(f"expected an open checkpoint, got {type(checkpoint).__name__}")
        self.add_stored(stored, tensor, name=name)

    def add_stored(self, stored: Stored, tensor: str, *, name: str | None = None) -> None:
        """Carry a tensor over from what a checkpoint has stored; see `add_from`."""
        name = tensor if name is None else name
        whole = stored.entry(tensor)
        parts = stored.parts(tensor)
        if stored.byteorder == "little" and all(part.checksum is not None for part in parts):
            stored.verify(tensor)
            for part in parts:
                key = self._key_of_part(name, whole, part.stored)
                file = locate(stored, part.entry, part.what)
                self._records[key] = self._copy(part.entry, file, f"tensor {tensor!r}")
            return
        dtype = dtype_of(whole.dtype, stored.path, f"entry of tensor {tensor!r}")
        for part, array in stored.read_parts(tensor):
            key = self._key_of_part(name, whole, part.stored)
            self._records[key] = self._write_array(dtype, array)

    def close(self) -> None:
        """Commit: make the checkpoint durable and visible. Does nothing when closed already."""
        if self._is_closed:
            return
        try:
            index = self._build_index()
            stage = self._open_stage()
            stage.commit_file.append(index)
            commit(stage, self.path, self._num_shards)
        finally:
            self.abort()

    def abort(self) -> None:
        """Discard everything that was not committed, and close."""
        self._is_closed = True
        self._shards = []
        if self._stage is not None:
            stage, self._stage = self._stage, None
            stage.discard()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        if not getattr(self, "_is_closed", True):
            self.abort()

    def _key_of_part(self, name: str, whole: Entry, box: Box | None) -> bytes:
        if box is None:
            return self._new_key(name)
        return self._new_slice_key(name, whole.dtype, whole.shape, box)

    def _new_key(self, name: str) -> bytes:
        key = encode_name(name)
        if not key:
            raise ValueError("a tensor's name must not be empty")
        if key in self._records or key in self._partitioned:
            raise ValueError(f"tensor {name!r}: there is one of this name already")
        return key

    def _new_slice_key(self, name: str, dtype: int, shape: tuple[int, ...], box: Box) -> bytes:
        key = encode_name(name)
        whole = self._partitioned.get(key)
        if whole is None:
            self._new_key(name)
            whole = self._partitioned[key] = _Partitioned(dtype, shape, [])
        if (whole.dtype, whole.shape) != (dtype, shape):
            raise ValueError(
                f"tensor {name!r}: a slice of dtype {dtype} and full shape {shape} beside one of "
                f"{whole.dtype} and {whole.shape}"
            )
        part = slice_key(key, box)
        if part in self._records:
            raise ValueError(f"tensor {name!r}: there is a slice at {box} already")
        whole.boxes.append(box)
        return part

    def _open_stage(self) -> Stage:
        if self._is_closed:
            raise ValueError(f"{self.path}: the writer is closed")
        if self._stage is None:
            try:
                stage = self._stage = Stage(
                    index_path(self.path), sync=self._sync, timeout=self._timeout
                )
                self._shards = [
                    stage.create(shard_path(self.path, shard, self._num_shards))
                    for shard in range(self._num_shards)
                ]
                self._lightest = [(0, shard) for shard in range(self._num_shards)]
            except BaseException:
                self.abort()
                raise
        return self._stage

    def _next_shard(self) -> int:
        """Return the shard with the fewest bytes."""
        if not self._shards:
            self._open_stage()
        return self._lightest[0][1]

    def _write_array(self, dtype: DType, array: npt.NDArray[Any]) -> bytes:
        """Append a tensor to a shard and return its record."""
        if dtype is STRING:
            data, crc = encode_strings(array.reshape(-1).tolist())
            return self._append(dtype.number, array.shape, data, crc)
        content = payload(dtype, array)
        if self._pool is None or len(content) < _LARGE:
            return self._append(dtype.number, array.shape, content, crc32c(content))
        checksum = self._pool.submit(crc32c, content)
        return self._append(dtype.number, array.shape, content, checksum.result)

    def _append(
        self,
        dtype: int,
        shape: tuple[int, ...],
        data: bytes | memoryview,
        checksum: int | Callable[[], int],
    ) -> bytes:
        """Append bytes to a shard. A `checksum` that can be called is, once they are written."""
        number = self._next_shard()
        try:
            offset = self._shards[number].append(data, self._alignment)
            crc = checksum() if callable(checksum) else checksum
        except BaseException:  # the shard may hold a part of the tensor: nothing can follow it
            self.abort()
            raise
        heapreplace(self._lightest, (self._shards[number].position, number))
        return encode_entry(dtype, shape, number, offset, len(data), crc)

    def _copy(self, entry: Entry, file: File, what: str) -> bytes:
        """Append the bytes of another checkpoint's entry, in the memory of one chunk."""
        number = self._next_shard()
        shard = self._shards[number]
        offset = shard.position
        try:
            for chunk in file.chunks(entry.offset, entry.size, what):
                shard.append(chunk)
            shard.append(b"", self._alignment)
        except BaseException:
            self.abort()
            raise
        heapreplace(self._lightest, (shard.position, number))
        return encode_entry(entry.dtype, entry.shape, number, offset, entry.size, entry.crc32c)

    def _build_index(self) -> bytes:
        records = self._records
        for key, whole in self._partitioned.items():
            boxes = [resolve(box, whole.shape) or () for box in whole.boxes]
            fault = find_tiling_fault(whole.shape, boxes)
            if fault is not None:
                raise ValueError(f"tensor {decode_name(key)!r}: {fault}")
            records[key] = encode_entry(whole.dtype, whole.shape, 0, 0, 0, 0, whole.boxes)
        return build_table(records, encode_header(self._num_shards))


class _Partitioned:
    """A partitioned tensor whose slices are being written; their boxes in that order."""

    __slots__ = ("boxes", "dtype", "shape")

    def __init__(self, dtype: int, shape: tuple[int, ...], boxes: list[Box]) -> None:
        self.dtype = dtype
        self.shape = shape
        self.boxes = boxes


def _integer(what: str, value: SupportsIndex) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{what}: expected an int, got {type(value).__name__}") from None


def write(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Value],
    *,
    num_shards: int = 1,
    alignment: int = 64,
    sync: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
) -> None:
    """Write a mapping of names to values as a checkpoint, in the mapping's order.

    Every name and value is looked at before the first byte is written. `num_shards`,
    `alignment`, `sync`, `timeout` and what is raised are as for `Writer`. With more than one of
    `threads` (default: one per CPU, up to 8), checksums are computed beside the writing; an array
    must not change meanwhile. `progress` is called with the bytes done and their total.
    """
    writer = Writer(path, num_shards=num_shards, alignment=alignment, sync=sync, timeout=timeout)
    with writer:
        writer.add_all(tensors, threads=threads, progress=progress)
