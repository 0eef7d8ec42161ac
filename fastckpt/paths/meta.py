"""`read_meta`: the graph beside a checkpoint, its `.meta` file, or that of a SavedModel."""

from __future__ import annotations

import errno
import os
from typing import Final

from ..bundle.names import strip_suffix
from ..errors import CheckpointError, UnsupportedError
from ..graph.meta import MetaGraph, decode_meta
from ..storage.kind import explain
from ..storage.local import File, empty_bytes
from ..storage.urls import Path, local_path
from .lookup import meta_path
from .state import latest_checkpoint

__all__ = ["read_meta"]

_SAVED_MODEL: Final = "saved_model.pb"
_OTHER_SAVED_MODELS: Final = ("saved_model.pbtxt", "saved_model.cpb")


def read_meta(path: Path) -> MetaGraph:
    """Read the graph that was saved with a checkpoint.

    `path` is a `.meta`, what it belongs to (the prefix of a checkpoint, its ``.index``, a data
    file, or the pattern of a sharded V1 checkpoint), a ``saved_model.pb`` or its folder. Of
    several graphs in a SavedModel the first is taken; `MetaGraph.tags` says which one that is.

    The file is read into private memory and closed. Raises `FileNotFoundError` that says what was
    looked for, `UnsupportedError` for a graph in protobuf's text format, `FormatError`, and
    `ValueError` for an empty path and for a URL.
    """
    file = File(_locate(local_path(path)))
    try:
        data = empty_bytes(file.size)
        file.read_into(data.data, 0, "graph")
    finally:
        file.close()
    try:
        return decode_meta(data, file.path)
    except CheckpointError as error:
        explain(error)
        raise


def _locate(path: str) -> str:
    """Return the file that a path means. A graph beside a checkpoint of this name comes first: a
    V1 checkpoint is a file itself."""
    if os.path.isdir(path):
        saved_model = _locate_saved_model(path)
        latest = None if os.path.isfile(saved_model) else latest_checkpoint(path)
        if latest is None:
            return saved_model
        path = latest
    prefix = strip_suffix(path)
    candidates = [path + ".meta", meta_path(path)]
    if prefix is not None and not path.endswith(".meta"):
        candidates += [prefix + ".meta"]
    else:
        candidates += [path]
    for candidate in candidates:
        if os.path.isfile(candidate):
            return candidate
    tried = " and ".join(map(repr, dict.fromkeys(candidates)))
    raise FileNotFoundError(errno.ENOENT, f"no graph: looked for {tried}", path)


def _locate_saved_model(folder: str) -> str:
    for name in _OTHER_SAVED_MODELS:
        other = os.path.join(folder, name)
        if os.path.isfile(other) and not os.path.isfile(os.path.join(folder, _SAVED_MODEL)):
            raise UnsupportedError(other, "SavedModel", f"expected {_SAVED_MODEL}, got {name}")
    return os.path.join(folder, _SAVED_MODEL)
