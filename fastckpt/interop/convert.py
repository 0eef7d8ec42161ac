"""`convert`: copy tensors from one format to another, one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ..bundle.names import index_path, shard_path
from ..checkpoint import Checkpoint
from ..errors import FormatError, TensorNotFoundError
from ..format.magic import HEAD_SIZE, recognise
from ..parallel import Tally
from ..paths.read import open_source
from ..rules import make_renamer, match_globs
from ..storage.folder import find_kind, is_inside, is_same_place
from ..storage.streams import open_file
from ..storage.urls import Path, local_path
from .checkpoint import CheckpointSource, CheckpointTarget
from .hdf5 import Hdf5Source, Hdf5Target, KerasSource
from .npz import NpzSource, NpzTarget
from .safetensors import SafetensorsSource, SafetensorsTarget
from .zarr import ZarrSource, ZarrTarget, is_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..parallel import Progress
    from ..rules import Rename
    from .base import TensorHeader, TensorSource, TensorTarget

__all__ = ["FORMATS", "convert"]


class Format(NamedTuple):
    """A format: how it is recognised, and the classes that read and write it."""

    suffixes: tuple[str, ...]  # of files and folders
    kind: str  # its name in format/magic.py, "" if it has none
    source: Callable[[str, int | None], TensorSource] | None  # None for checkpoints
    target: Callable[[str, Sequence[TensorHeader]], TensorTarget] | None  # None: it is only read


FORMATS: Final = {
    "npz": Format((".npz",), "a NumPy archive (.npz)", NpzSource, NpzTarget),
    "safetensors": Format(
        (".safetensors",), "a safetensors file", SafetensorsSource, SafetensorsTarget
    ),
    "hdf5": Format((".h5", ".hdf5"), "an HDF5 file", Hdf5Source, Hdf5Target),
    "zarr": Format((".zarr",), "", ZarrSource, ZarrTarget),
    "keras": Format((".keras",), "a Keras 3 model", KerasSource, None),
    "checkpoint": Format((), "", None, CheckpointTarget),
}
_CHECKPOINT: Final = "checkpoint"
_ZIP: Final = "a zip archive"  # one whose first members do not have names of arrays


def convert(
    src: Path | Checkpoint,
    dst: Path,
    *,
    rename: Rename | None = None,
    format: str | None = None,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    names: Literal["readable", "keys"] | None = None,
    max_memory: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the tensors of a checkpoint in another format, or those of another format as one.

    The formats are "npz", "safetensors", "hdf5" (as Keras lays it out), "zarr" and "checkpoint";
    "keras", the archive of a Keras 3 model, is only read. `src` is what `read` takes, an open
    checkpoint, or a file or folder of another format, which is recognised by its content. `format`
    is that of `dst`; by default its suffix tells. Without the suffix of a format, `dst` is the
    prefix of a checkpoint if `src` is none. `src` and `dst` may be the same file, which is replaced
    when all is written.

    An object-based checkpoint gives other formats the readable names of its `variables`; the object
    graph, the counter of saves and Keras's descriptions stay behind. With `names="keys"` tensors
    keep their names, and none stays behind; between checkpoints that is the default, and "readable"
    the choice. `include` and `exclude` are globs over these names. `rename` has rules for the names
    that are left, as those of the function `rename`: None drops a tensor.

    Values and dtypes stay as they are, bit for bit; what a format cannot hold is an error. Slices
    of partitioned tensors are put together. One tensor is in memory at a time. What is read from a
    checkpoint is verified. `progress` is called with the bytes done and their total.

    A tensor of another format may take 8 times the bytes of `src`, and 64 MB, so that a small file
    cannot fill the memory. `max_memory`, in bytes, is the bound for a source that is to be trusted.

    Raises `UnsupportedError` that names the tensor for a dtype, a name or strings that `dst` cannot
    hold, or `src` not give; `FormatError` for a broken `src`; `ValueError` for two tensors with one
    name, a glob that matches none, if none is left, and if `dst` would replace one of the files
    that `src` consists of; `TensorNotFoundError` for a name in a dict that no tensor has;
    `ImportError` if h5py or zarr is missing; `OSError`, also for a pipe, a device or a socket as
    `src` or `dst`. Whatever ends it, a killed process too, leaves what was at `dst`. (A zarr group
    is replaced by two renames. Between them it is in ``<dst>.tmp-*/old``, whence the next
    conversion brings it back.)
    """
    path = local_path(dst)
    source_format = _CHECKPOINT if isinstance(src, Checkpoint) else _recognise(local_path(src))
    target_format = _format_of(path, source_format) if format is None else format
    make_target = FORMATS[target_format].target if target_format in FORMATS else None
    if make_target is None:
        known = ", ".join(name for name, each in FORMATS.items() if each.target)
        raise ValueError(f"format: expected one of {known}, got {target_format!r}")
    if names not in (None, "readable", "keys"):
        raise ValueError(f"names: expected 'readable' or 'keys', got {names!r}")
    is_readable = names == "readable" if names else target_format != _CHECKPOINT
    with _open(src, source_format, is_readable, max_memory) as source:
        _check_apart(source, source_format, path, target_format)
        chosen = _choose(source, include, exclude, rename)
        target = make_target(path, list(chosen))
        with target:
            _copy(source, target, chosen, progress)


def _recognise(path: str) -> str:
    """Return the format of a source; "checkpoint" if no other format is recognised."""
    kind = "" if find_kind(index_path(path)) == "file" else find_kind(path)  # a prefix wins
    if kind != "file":
        return "zarr" if kind == "folder" and is_zarr(path) else _CHECKPOINT
    with closing(open_file(path)) as file:
        head = file.read(0, min(HEAD_SIZE, file.size), "first bytes")
        found = recognise(head, file.size, os.path.basename(path))
    for name, format in FORMATS.items():
        if found is not None and found.name == format.kind:
            return name
    name = _by_suffix(path) or _CHECKPOINT
    if name != _CHECKPOINT and found is not None and found.name != _ZIP:
        todo = found.todo.format(path=repr(path), literal=ascii(path))
        raise FormatError(path, "file", f"expected {name}, got {found.name}; {todo}")
    return name


def _by_suffix(path: str) -> str | None:
    found = (name for name, each in FORMATS.items() if path.lower().endswith(each.suffixes))
    return next(found, None)


def _format_of(path: str, source_format: str) -> str:
    """Return the format of a target by its suffix."""
    name = _by_suffix(os.path.normpath(path))
    if name is None and source_format == _CHECKPOINT:
        written = {name: each for name, each in FORMATS.items() if each.target}
        suffixes = ", ".join(suffix for each in written.values() for suffix in each.suffixes)
        raise ValueError(
            f"{path}: expected a suffix that tells the format ({suffixes}), or the format: one of "
            f"{', '.join(written)}"
        )
    return name or _CHECKPOINT


@contextmanager
def _open(
    src: Path | Checkpoint, format: str, is_readable: bool, max_memory: int | None
) -> Iterator[TensorSource]:
    make = FORMATS[format].source
    if make is not None and not isinstance(src, Checkpoint):
        with closing(make(local_path(src), max_memory)) as source:
            yield source
        return
    with open_source(src, backend="pread") as checkpoint:
        yield CheckpointSource(checkpoint, is_readable)


def _check_apart(source: TensorSource, source_format: str, path: str, target_format: str) -> None:
    """Raise `ValueError` if the target would replace a part of the source, unless it replaces all
    of it by the same name."""
    written = [path]
    if target_format == _CHECKPOINT:
        written = [index_path(path), shard_path(path, 0, 1)]
        if source_format == _CHECKPOINT and is_same_place(written[0], index_path(source.path)):
            return
    for each in written:
        is_source = each != path and is_same_place(each, source.path)
        if is_source or source.owns(each):
            raise ValueError(f"{each}: would be replaced, and is a file of {source.path}")
    if target_format == "zarr" and is_inside(source.path, path):
        raise ValueError(f"{path}: would be replaced, and {source.path} is in it")


def _choose(
    source: TensorSource, include: Any, exclude: Any, rename: Rename | None
) -> dict[TensorHeader, str]:
    """Return {spec with the new name: old name} of the tensors that are to be written."""
    tensors = source.tensors()
    names = [tensor.name for tensor in tensors]
    wanted = set(names) if include is None else match_globs("include", include, names)
    if exclude is not None:
        wanted -= match_globs("exclude", exclude, names)
    if isinstance(rename, Mapping):
        for name in rename.keys() - set(names):
            raise TensorNotFoundError(source.path, name, lambda: sorted(names))
    new_name = make_renamer(rename)
    chosen: dict[TensorHeader, str] = {}
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
    source: TensorSource,
    target: TensorTarget,
    chosen: Mapping[TensorHeader, str],
    progress: Progress | None,
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
