"""Reading with the names of `tf.train`: `CheckpointReader`, and the functions that make one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..checkpoint import Checkpoint, Stored
from ..errors import CheckpointError, TensorNotFoundError
from ..format._record import decode_entry, decode_name, encode_name
from ..format.dtypes import dtype_of
from ..paths.lookup import is_folder
from ..paths.read import read
from ..paths.state import latest_checkpoint
from ..storage.urls import local_path

__all__ = [
    "CheckpointReader",
    "NewCheckpointReader",
    "checkpoints_iterator",
    "list_variables",
    "load_checkpoint",
    "load_variable",
]

Path = str | os.PathLike[str]


class CheckpointReader:
    """What `tf.train.NewCheckpointReader` returns: the tensors of a checkpoint, by name.

    Made from anything that `fastckpt.read` takes. dtypes are NumPy's. Raises what `read` raises.
    """

    def __init__(self, filepattern: Path) -> None:
        self._checkpoint: Checkpoint = read(filepattern, backend="pread")

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        """Return a dict of names to shapes; that of a scalar is []."""
        return {info.name: list(info.shape) for info in self._checkpoint.infos()}

    def get_variable_to_dtype_map(self) -> dict[str, np.dtype[Any]]:
        """Return a dict of names to NumPy dtypes; object for strings."""
        return {info.name: info.dtype for info in self._checkpoint.infos()}

    def has_tensor(self, tensor_str: str) -> bool:
        """Whether there is a tensor of this name, or in a V2 checkpoint any entry of this key:
        TensorFlow counts those of slices, and the header's "", too."""
        return tensor_str in self._checkpoint or self._record(tensor_str) is not None

    def get_tensor(self, tensor_str: str) -> Any:
        """Return a tensor as a writable, verified array; a NumPy scalar for one of rank 0, and
        `bytes` for a string. The key of a slice gives that slice.

        Raises `TensorNotFoundError`, and what `Checkpoint.get_tensor` raises.
        """
        array = self._get(tensor_str)
        return array if array.ndim else array[()]

    def debug_string(self) -> bytes:
        """Return TensorFlow's list of the tensors: a line ``name (DT_FLOAT) [2,3]`` for each.

        In a V2 checkpoint the slices of a partitioned tensor stand in its place, by their keys;
        in a V1 checkpoint their number follows. TensorFlow lists V1 tensors in no order.
        """
        checkpoint = self._checkpoint
        is_v2 = checkpoint.format == "V2"
        lines = _debug_v2(checkpoint.stored) if is_v2 else _debug_v1(checkpoint)
        return b"".join(lines)

    def _record(self, name: str) -> bytes | None:
        """Return the record of a key in a V2 index. The records of V1 are no tensors."""
        is_v2 = self._checkpoint.format == "V2"
        return self._checkpoint.stored.record(encode_name(name)) if is_v2 else None

    def _get(self, name: str) -> npt.NDArray[Any]:
        try:
            return self._checkpoint.get_tensor(name, copy=True)
        except TensorNotFoundError:
            record = self._record(name) if name else None
            if record is None:
                raise
        stored = self._checkpoint.stored
        entry = decode_entry(record, stored.path, f"entry of tensor {name!r}")
        return stored.read(name, entry)


def _debug_v2(stored: Stored) -> Iterator[bytes]:
    for block in stored.blocks():
        if isinstance(block, CheckpointError):
            raise block
        for key, record in block:
            if key:  # the empty one is the header's
                what = f"entry of tensor {decode_name(key)!r}"
                entry = decode_entry(record, stored.path, what)
                if not entry.slices:
                    dtype = dtype_of(entry.dtype, stored.path, what)
                    yield _debug_line(key, dtype.name, entry.shape)


def _debug_v1(checkpoint: Checkpoint) -> Iterator[bytes]:
    for info in checkpoint.infos():
        line = _debug_line(encode_name(info.name), info.tf_dtype, info.shape)
        count = len(info.slices)
        yield line if count < 2 else line[:-1] + f", {count} slices\n".encode()


# DataType's names are those of `tf.DType.name` in capitals, but for these
_DATA_TYPES: Final = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF"}


def _debug_line(key: bytes, tf_dtype: str, shape: tuple[int, ...]) -> bytes:
    data_type = _DATA_TYPES.get(tf_dtype, tf_dtype.upper())
    return key + f" (DT_{data_type}) [{','.join(map(str, shape))}]\n".encode()


def NewCheckpointReader(filepattern: Path) -> CheckpointReader:  # noqa: N802 - TensorFlow's name
    """Open a checkpoint for reading: a prefix, or anything else that `fastckpt.read` takes."""
    return CheckpointReader(filepattern)


def load_checkpoint(ckpt_dir_or_file: Path) -> CheckpointReader:
    """Open a checkpoint for reading: of a folder the latest one, otherwise that of the prefix.

    Raises `ValueError` for a folder without a state file that names an existing checkpoint.
    """
    path = local_path(ckpt_dir_or_file)
    if not is_folder(path):
        return CheckpointReader(path)
    latest = latest_checkpoint(path)
    if latest is None:
        raise ValueError(
            f"Couldn't find 'checkpoint' file or checkpoints in given directory {path}"
        )
    return CheckpointReader(latest)


def list_variables(ckpt_dir_or_file: Path) -> list[tuple[str, list[int]]]:
    """Return (name, shape) of every tensor of a checkpoint, sorted by name."""
    shapes = load_checkpoint(ckpt_dir_or_file).get_variable_to_shape_map()
    return sorted(shapes.items())


def load_variable(ckpt_dir_or_file: Path, name: str) -> Any:
    """Return a tensor of a checkpoint, as `CheckpointReader.get_tensor` does. A ":0" at the end of
    the name, as graphs have it, is dropped."""
    return load_checkpoint(ckpt_dir_or_file).get_tensor(name.removesuffix(":0"))


def checkpoints_iterator(
    checkpoint_dir: Path,
    min_interval_secs: float = 0,
    timeout: float | None = None,
    timeout_fn: Callable[[], bool] | None = None,
) -> Iterator[str]:
    """Yield the path of each checkpoint that becomes the latest of a folder, as it does.

    Between two of them `min_interval_secs` pass at least; those that come and go meanwhile are
    left out. The folder is looked at once per second. After `timeout` seconds without a new
    checkpoint, the iteration ends, unless `timeout_fn` is given and returns False; None waits
    for ever. Raises `FormatError` for a damaged state file.
    """
    latest: str | None = None
    while True:
        new = _wait_for_new(checkpoint_dir, latest, timeout)
        if new is None:
            if timeout_fn is None or timeout_fn():
                return
            continue
        start = time.time()
        latest = new
        yield latest
        time.sleep(max(0.0, start + min_interval_secs - time.time()))


_POLL: Final = 1.0  # seconds


def _wait_for_new(folder: Path, last: str | None, timeout: float | None) -> str | None:
    """Return the latest checkpoint once it is another one, or None when the time is over."""
    end = None if timeout is None else time.time() + timeout
    while True:
        latest = latest_checkpoint(folder)
        if latest is not None and latest != last:
            return latest
        if end is not None and time.time() + _POLL > end:
            return None
        time.sleep(_POLL)
