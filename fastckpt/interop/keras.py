"""The layout of weights in the HDF5 files of Keras, and the archive of a Keras 3 model.

In a legacy file the first part of a name is a layer: the file lists layers in the attribute
``layer_names``, the group of a layer its datasets in ``weight_names``, in the order in which Keras
makes a layer's weights, since it goes by that and not by the names. A Keras 3 file of weights
(``.weights.h5``) is a tree of plain datasets, ``layers/dense/vars/0``, and needs no more.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from ..errors import FormatError
from ..storage.local import File
from ..storage.streams import ReadStream
from .base import as_format_error

__all__ = ["MAX_ATTRIBUTE", "find_weights", "open_archive", "write_layers"]

MAX_ATTRIBUTE: Final = 64512  # bytes of an object's header; Keras's loader knows this figure
_PATHS: Final = "names_are_paths"  # set by fastckpt: the lists do not name the tensors
_TOP_LEVEL: Final = "top_level_model_weights"  # those of no layer
_MODEL: Final = "model_weights"  # where the file of a whole model has its weights
_OPTIMIZER: Final = "optimizer_weights"  # and those of its optimizer
_MEMBER: Final = "model.weights.h5"  # in the archive of a Keras 3 model
_WHAT: Final = "weights of the Keras model"
_LOCAL_HEADER: Final = 30  # bytes of a member's header in a zip archive, without its names
_WEIGHTS: Final = {  # the order in which Keras's layers make them
    name: rank
    for rank, name in enumerate(
        ["gamma", "beta", "moving_mean", "moving_variance", "embeddings", "depthwise_kernel"]
        + ["pointwise_kernel", "kernel", "recurrent_kernel", "bias"]
    )
}

ReadNames = Callable[[Any, str], Iterable[str]]  # of a group's attribute


def open_archive(file: File) -> ReadStream:
    """Return the weights in the archive of a Keras 3 model, which stores them uncompressed."""
    with as_format_error(file.path, _WHAT), zipfile.ZipFile(ReadStream(file)) as archive:
        info = archive.getinfo(_MEMBER)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        problem = f"expected {_MEMBER} to be stored, got it compressed; unzip it first"
        raise FormatError(file.path, _WHAT, problem)
    header = file.read(info.header_offset, _LOCAL_HEADER, _WHAT)
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    start = info.header_offset + _LOCAL_HEADER + names
    if info.file_size > file.size - start:
        problem = f"expected {info.file_size} bytes at {start}, but the file ends at {file.size}"
        raise FormatError(file.path, _WHAT, problem)
    return ReadStream(file, start, info.file_size)


def find_weights(groups: Mapping[str, Any], read: ReadNames) -> dict[str, str]:
    """Return {path of a dataset: name of the weight} for the weights that a legacy file lists."""
    found: dict[str, str] = {}
    for top in ("", _MODEL):
        if top not in groups or _PATHS in groups[top].attrs:
            continue
        layers = dict.fromkeys(_read_numbered(groups[top], "layer_names", read))
        for layer in [*layers, _TOP_LEVEL]:
            path = f"{top}/{layer}".strip("/")
            for weight in _weights_of(groups, path, read):
                found[f"{path}/{weight}"] = weight.removesuffix(":0")
    for weight in _weights_of(groups, _OPTIMIZER, read):
        path = f"{_OPTIMIZER}/{weight}"
        found[path] = path.removesuffix(":0")
    return found


def _weights_of(groups: Mapping[str, Any], path: str, read: ReadNames) -> Iterator[str]:
    if path in groups:
        yield from _read_numbered(groups[path], "weight_names", read)


def _read_numbered(group: Any, attribute: str, read: ReadNames) -> Iterator[str]:
    """Yield the names in an attribute, or in several that are numbered, if one has no room."""
    keys = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(keys)}" in group.attrs:
        keys.append(f"{attribute}{len(keys)}")
    for key in keys:
        yield from read(group, key)


def write_layers(file: Any, names: Sequence[str]) -> None:
    """Create the groups of layers in a new file, with the lists of their weights."""
    layers: dict[str, list[str]] = {}
    for name in names:
        layer, _, weight = name.partition("/")
        if weight:
            layers.setdefault(layer, []).append(weight)
    file.attrs.update({_PATHS: True, "backend": b"tensorflow", "keras_version": b"2"})
    _write_names(file, "layer_names", list(layers))
    for layer, weights in layers.items():
        _write_names(file.create_group(layer), "weight_names", sorted(weights, key=_rank))


def _rank(weight: str) -> tuple[str, int, str]:
    scope, _, name = weight.rpartition("/")
    return scope, _WEIGHTS.get(name, len(_WEIGHTS)), name


def _write_names(group: Any, attribute: str, names: Sequence[str]) -> None:
    """Write names as an attribute, or as several that are numbered, as Keras reads them."""
    chunks: list[list[bytes]] = [[]]
    longest = 1
    for name in map(str.encode, names):
        longest = max(longest, len(name))
        if longest * (len(chunks[-1]) + 1) > MAX_ATTRIBUTE:
            chunks.append([])
            longest = len(name)
        chunks[-1].append(name)
    for number, chunk in enumerate(chunks):
        key = f"{attribute}{number}" if len(chunks) > 1 else attribute
        group.attrs[key] = np.array(chunk, "S")
