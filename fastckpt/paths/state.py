"""The state file of a folder, `checkpoint`: its checkpoints, and which is the latest.

A `CheckpointState` message in protobuf's text format (docs/format.md, "State file").
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ..bundle.names import STATE_FILE
from ..errors import FormatError
from ..storage.local import File
from ..storage.stage import replace_file
from ..storage.urls import Path, find_scheme, local_folder, local_path
from . import textproto
from .lookup import checkpoint_exists, is_there

__all__ = [
    "CheckpointState",
    "encode_state",
    "get_checkpoint_state",
    "last_part",
    "latest_checkpoint",
    "locate",
    "make_state",
    "read_state",
    "split_state_path",
    "store_state",
    "update_checkpoint_state",
    "write_state",
]

_MAX_SIZE: Final = 64 << 20  # bytes; a hundred thousand paths have a tenth of this


@dataclass(slots=True)
class CheckpointState:
    """The contents of a state file; the names are those of the fields of the message.

    Paths from `read_state` are as they are written, relative to the file's folder; those from
    `get_checkpoint_state` are joined with it. Timestamps are seconds since 1970; only
    `CheckpointManager` writes them. Fields can be assigned and lists changed, as in TensorFlow's
    message.
    """

    model_checkpoint_path: str = ""
    all_model_checkpoint_paths: list[str] = field(default_factory=list)
    all_model_checkpoint_timestamps: list[float] = field(default_factory=list)
    last_preserved_timestamp: float = 0.0

    def __post_init__(self) -> None:
        """Keep lists of its own, whatever sequences were passed."""
        self.all_model_checkpoint_paths = list(self.all_model_checkpoint_paths)
        self.all_model_checkpoint_timestamps = list(self.all_model_checkpoint_timestamps)


_FIELDS: Final = {
    "model_checkpoint_path": textproto.Field(str, is_repeated=False),
    "all_model_checkpoint_paths": textproto.Field(str, is_repeated=True),
    "all_model_checkpoint_timestamps": textproto.Field(float, is_repeated=True),
    "last_preserved_timestamp": textproto.Field(float, is_repeated=False),
}


def read_state(path: str) -> CheckpointState:
    """Read a state file. Raises `FormatError` for a damaged file, `OSError` as `open` does."""
    file = File(path)
    if file.size > _MAX_SIZE:
        problem = f"expected at most {_MAX_SIZE} bytes, got {file.size}"
        raise FormatError(path, "state file", problem)
    values = textproto.parse(_FIELDS, file.read(0, file.size, "state file"), path, "state file")
    return CheckpointState(
        (values["model_checkpoint_path"] or [""])[-1],  # of two, the last counts
        values["all_model_checkpoint_paths"],
        values["all_model_checkpoint_timestamps"],
        (values["last_preserved_timestamp"] or [0.0])[-1],
    )


def write_state(path: str, state: CheckpointState, *, sync: bool = True) -> None:
    """Write a state file at once, with the text that TensorFlow 1.15 writes."""
    replace_file(path, encode_state(state), sync=sync)


def encode_state(state: CheckpointState) -> bytes:
    """Return the text of a state file, as TensorFlow 1.15 writes it."""
    last = state.last_preserved_timestamp
    values: dict[str, list[Any]] = {
        "model_checkpoint_path": [state.model_checkpoint_path],
        "all_model_checkpoint_paths": state.all_model_checkpoint_paths,
        "all_model_checkpoint_timestamps": state.all_model_checkpoint_timestamps,
        "last_preserved_timestamp": [last] if last else [],  # a default is not written
    }
    return textproto.encode(_FIELDS, values)


def get_checkpoint_state(
    checkpoint_dir: Path, latest_filename: str | None = None
) -> CheckpointState | None:
    """Return the contents of a folder's state file, its paths joined with the folder; None if
    there is no such file, or a folder of that name.

    Folders get moved while paths stay, also from other systems: a path that leads nowhere is
    replaced by the checkpoint of that name in the folder, if there is one. Raises `FormatError`,
    a `ValueError`, for a file that is damaged (where TensorFlow warns and returns None), or that
    names no checkpoint; `ValueError` for a URL.
    """
    folder = local_folder(checkpoint_dir)
    path = os.path.join(folder, latest_filename or STATE_FILE)
    try:
        state = read_state(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    if not state.model_checkpoint_path:
        problem = "expected a model_checkpoint_path, got none"
        raise FormatError(path, f"Invalid checkpoint state loaded from {folder}", problem)
    return replace(
        state,
        model_checkpoint_path=locate(folder, state.model_checkpoint_path),
        all_model_checkpoint_paths=[locate(folder, p) for p in state.all_model_checkpoint_paths],
    )


def split_state_path(path: Path) -> tuple[str, str]:
    """Return the folder and the name of a state file for a folder, or for the file itself."""
    name = local_folder(path)
    return (name, STATE_FILE) if os.path.isdir(name or os.curdir) else os.path.split(name)


def locate(folder: str, path: str) -> str:
    """Return where the checkpoint is that a folder's state file names: at the path, or if there
    is none, under the same name in the folder, if there is one."""
    joined = os.path.join(folder, path)
    scheme = find_scheme(path)
    if scheme == "file":
        with suppress(ValueError):  # of another machine
            joined = local_path(path)
    if is_there(joined):
        return joined
    beside = os.path.join(folder, last_part(path))
    if is_there(beside):
        return beside
    return joined if scheme in (None, "file") else path


_OF_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def last_part(path: str) -> str:
    """Return the last part of a path, which may be one of Windows."""
    if _OF_WINDOWS.match(path):
        path = path.replace("\\", "/")
    return path.rpartition("/")[2] if os.name == "posix" else os.path.basename(path)


def latest_checkpoint(checkpoint_dir: Path, latest_filename: str | None = None) -> str | None:
    """Return the path of the latest checkpoint that a folder's state file names; None if there is
    no state file, or no such checkpoint. Raises `FormatError` for a damaged state file, and
    `ValueError` for a URL."""
    state = get_checkpoint_state(checkpoint_dir, latest_filename)
    if state is None:
        return None
    path = state.model_checkpoint_path
    is_local = find_scheme(path) is None  # of another system, and not found beside the file
    return path if is_local and checkpoint_exists(path) else None


def update_checkpoint_state(
    save_dir: Path,
    model_checkpoint_path: Path,
    all_model_checkpoint_paths: Sequence[str] | None = None,
    latest_filename: str | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
) -> None:
    """Write the state file of a folder, as `tf.train.update_checkpoint_state` does.

    If `save_dir` is relative, relative paths are stored relative to it; absolute paths stay as they
    are. The newest path is added to the list of all unless it ends it. Raises `ValueError` for
    timestamps that do not match the paths, for an empty path and for a URL; `RuntimeError` for a
    checkpoint with the path of the state file.
    """
    folder = local_folder(save_dir)
    state = make_state(
        folder,
        local_path(model_checkpoint_path),
        [local_path(path) for path in all_model_checkpoint_paths or ()],
        all_model_checkpoint_timestamps or (),
        last_preserved_timestamp,
        save_relative_paths=False,
    )
    store_state(folder, state, latest_filename)


def store_state(folder: str, state: CheckpointState, latest_filename: str | None = None) -> None:
    """Write the state file of a folder. Raises `RuntimeError` for a checkpoint with its path."""
    path = os.path.join(folder, latest_filename or STATE_FILE)
    if path == state.model_checkpoint_path:
        raise RuntimeError(
            f"Save path {path!r} conflicts with path used for checkpoint state.  "
            "Please use a different save path."
        )
    write_state(path, state)


def make_state(
    save_dir: str,
    model_checkpoint_path: str,
    all_paths: Sequence[str],
    timestamps: Sequence[float] = (),
    last_preserved: float | None = None,
    *,
    save_relative_paths: bool,
) -> CheckpointState:
    """Return the state that TensorFlow would write into a folder, with paths relative to it where
    TensorFlow stores them so (docs/format.md, "State file").

    Raises `ValueError` for timestamps that do not match the paths.
    """
    paths = list(all_paths)
    if not paths or paths[-1] != model_checkpoint_path:
        paths.append(model_checkpoint_path)
    if timestamps and len(timestamps) != len(paths):
        raise ValueError(
            "Checkpoint timestamps, if provided, must match checkpoint paths "
            f"(got paths {paths} and timestamps {list(timestamps)})"
        )

    def to_stored(path: str) -> str:
        if save_relative_paths and os.path.isabs(path):
            path = os.path.relpath(path, save_dir)
        if not os.path.isabs(save_dir) and not os.path.isabs(path):
            path = os.path.relpath(path, save_dir)
        return path

    return CheckpointState(
        to_stored(model_checkpoint_path),
        list(map(to_stored, paths)),
        list(timestamps),
        last_preserved or 0.0,
    )
