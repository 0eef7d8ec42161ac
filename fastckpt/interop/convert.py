"""`convert`: tensors from one format to another, one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ..bundle.names import index_path
from ..checkpoint import Checkpoint
from ..errors import FormatError, TensorNotFoundError
from ..format.magic import HEAD_SIZE, recognise
from ..parallel import Tally
from ..paths.read import open_source
from ..rules import make_renamer, match_globs
from ..storage.local import File
from ..storage.urls import local_path
from .checkpoint import CheckpointSource, CheckpointTarget
from .hdf5 import Hdf5Source, Hdf5Target
from .npz import NpzSource, NpzTarget
from .safetensors import SafetensorsSource, SafetensorsTarget
from .zarr import ZarrSource, ZarrTarget, is_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..parallel import Progress
    from ..rules import Rename
    from .base import Source, Target, Tensor

__all__ = ["FORMATS", "convert"]

Path = str | os.PathLike[str]


class Format(NamedTuple):
    """What a format is known by, and who reads and writes it."""

    suffixes: tuple[str, ...]  # of files and folders
    kind: str  # what `recognise` calls it, "" for what it does not
    source: Callable[[str], Source] | None  # None for checkpoints, which may be open already
    target: Callable[[str, Sequence[Tensor]], Target]


FORMATS: Final = {
    "npz": Format((".npz",), "a NumPy archive (.npz)", NpzSource, NpzTarget),
    "safetensors": Format(
        (".safetensors",), "a safetensors file", SafetensorsSource, SafetensorsTarget
    ),
    "hdf5": Format((".h5", ".hdf5"), "an HDF5 file", Hdf5Source, Hdf5Target),
    "zarr": Format((".zarr",), "", ZarrSource, ZarrTarget),
    "checkpoint": Format((), "", None, CheckpointTarget),
}
_CHECKPOINT: Final = "checkpoint"
_ZIP: Final = "a zip archive"  # one whose first members have other names than those of arrays


def convert(
    src: Path | Checkpoint,
    dst: Path,
    *,
    rename: Rename | None = None,
    format: str | None = None,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    names: Literal["readable", "keys"] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the tensors of a checkpoint in another format, or those of another format as one.

    The formats are "npz", "safetensors", "hdf5" (as Keras lays it out), "zarr" and "checkpoint".
    `src` is what `read` takes, an open checkpoint, or a file or folder of another format, told by
    its content. `format` is that of `dst`; by default its suffix tells, and what has none of a
    format is the prefix of a checkpoint, if `src` is none. Both may also be other formats than
    checkpoints, and the same file: it is replaced when all is written.

    An object-based checkpoint gives other formats the readable names of its `variables`, and
    keeps the object graph, the counter of saves and Keras's descriptions to itself. "keys" for
    `names` takes the names of the tensors as they are, and all tensors; between checkpoints that is
    the default, and "readable" the choice. `include` and `exclude` are globs over these names,
    `rename` has rules for what is left, as those of the function `rename`: None drops a tensor.

    Values and dtypes stay as they are, bit for bit; what a format cannot hold is an error. Slices
    of partitioned tensors are put together. One tensor is in memory at a time. What is read from a
    checkpoint is verified. `progress` is called with the bytes done and their total.

    Raises `UnsupportedError` that names the tensor for a dtype, a name or strings that `dst` cannot
    hold, or `src` not give; `FormatError` for a broken `src`; `ValueError` for two tensors with one
    name, a glob that matches none, and if none is left; `TensorNotFoundError` for a name in a dict
    that no tensor has; `ImportError` where h5py or zarr is missing; `OSError`. Whatever ends it, a
    killed process too, leaves what was at `dst`. (Only while a zarr group is replaced, by two
    renames, it is for a moment in ``<dst>.tmp-*/old``, whence the next conversion brings it back.)
    """
    path = local_path(dst)
    source_format = _CHECKPOINT if isinstance(src, Checkpoint) else _recognise(local_path(src))
    target_format = _format_of(path, source_format) if format is None else format
    if target_format not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {format!r}")
    if names not in (None, "readable", "keys"):
        raise ValueError(f"names: expected 'readable' or 'keys', got {names!r}")
    is_readable = names == "readable" if names else target_format != _CHECKPOINT
    with _open(src, source_format, is_readable) as source:
        if target_format == "zarr":
            _check_outside(source.path, path)
        chosen = _choose(source, include, exclude, rename)
        target = FORMATS[target_format].target(path, list(chosen))
        with target:
            _copy(source, target, chosen, progress)


def _recognise(path: str) -> str:
    """Return the format of a source; that of a checkpoint if it is no other."""
    if os.path.isfile(index_path(path)):  # an exact prefix wins
        return _CHECKPOINT
    if os.path.isdir(path):
        return "zarr" if is_zarr(path) else _CHECKPOINT
    if not os.path.exists(path):
        return _CHECKPOINT  # or the error that says what there is
    with closing(File(path)) as file:
        head = file.read(0, min(HEAD_SIZE, file.size), "first bytes")
        kind = recognise(head, file.size, os.path.basename(path))
    for name, format in FORMATS.items():
        if kind is not None and kind.name == format.kind:
            return name
    name = _by_suffix(path) or _CHECKPOINT
    if name != _CHECKPOINT and kind is not None and kind.name != _ZIP:
        todo = kind.todo.format(path=repr(path))
        raise FormatError(path, "file", f"expected {name}, got {kind.name}; {todo}")
    return name


def _by_suffix(path: str) -> str | None:
    found = (name for name, each in FORMATS.items() if path.lower().endswith(each.suffixes))
    return next(found, None)


def _format_of(path: str, source_format: str) -> str:
    """Return the format of a target by its suffix."""
    name = _by_suffix(os.path.normpath(path))
    if name is None and source_format == _CHECKPOINT:
        suffixes = ", ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)
        raise ValueError(
            f"{path}: expected a suffix that tells the format ({suffixes}), or the format: one of "
            f"{', '.join(FORMATS)}"
        )
    return name or _CHECKPOINT


@contextmanager
def _open(src: Path | Checkpoint, format: str, is_readable: bool) -> Iterator[Source]:
    make = FORMATS[format].source
    if make is not None and not isinstance(src, Checkpoint):
        with closing(make(local_path(src))) as source:
            yield source
        return
    with open_source(src, backend="pread") as checkpoint:
        yield CheckpointSource(checkpoint, is_readable)


def _check_outside(source: str, target: str) -> None:
    """Raise `ValueError` for a source in the folder that would be replaced."""
    inner, outer = os.path.realpath(source), os.path.realpath(target)
    if inner.startswith(outer + os.sep):
        raise ValueError(f"{target}: would be replaced, and {source} is in it")


def _choose(source: Source, include: Any, exclude: Any, rename: Rename | None) -> dict[Tensor, str]:
    """Return the tensors that are to be written, by their new names, with their old ones."""
    tensors = source.tensors()
    names = [tensor.name for tensor in tensors]
    wanted = set(names) if include is None else match_globs("include", include, names)
    if exclude is not None:
        wanted -= match_globs("exclude", exclude, names)
    if isinstance(rename, Mapping):
        for name in rename.keys() - set(names):
            raise TensorNotFoundError(source.path, name, lambda: sorted(names))
    new_name = make_renamer(rename)
    chosen: dict[Tensor, str] = {}
    olds: dict[str, str] = {}
    for tensor in tensors:
        old = tensor.name
        new = new_name(old) if old in wanted else None
        if new is None:
            continue
        if new in olds:
            both = f"{olds[new]!r} and {old!r}"
            raise ValueError(f"{source.path}: tensors {both} would both be called {new!r}")
        olds[new] = chosen[tensor._replace(name=new)] = old
    if tensors and not chosen:
        raise ValueError(f"{source.path}: no tensor would be left")
    return chosen


def _copy(
    source: Source, target: Target, chosen: Mapping[Tensor, str], progress: Progress | None
) -> None:
    tally = Tally(progress, (tensor.nbytes for tensor in target.order))
    for tensor in target.order:
        array = source.read(chosen[tensor])
        if array.shape != tensor.shape:
            problem = f"changed while it was read: from {tensor.shape} to {array.shape}"
            raise FormatError(source.path, f"tensor {chosen[tensor]!r}", problem)
        target.add(tensor, array)
        del array  # before the next one is read
        tally.add(tensor.nbytes)
