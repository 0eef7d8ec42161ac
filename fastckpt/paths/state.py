"""The `checkpoint` file of a folder: which checkpoints there are, and which is the latest.

A `CheckpointState` message in protobuf's text format (docs/format.md, "State file").
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..bundle.names import STATE_FILE
from ..errors import FormatError
from ..format import textproto
from ..storage.local import File
from ..storage.stage import replace_file
from .lookup import checkpoint_exists

__all__ = [
    "CheckpointState",
    "encode_state",
    "get_checkpoint_state",
    "latest_checkpoint",
    "make_state",
    "read_state",
    "store_state",
    "update_checkpoint_state",
    "write_state",
]

_MAX_SIZE: Final = 64 << 20  # bytes; a hundred thousand paths have a tenth of this


@dataclass(frozen=True, slots=True)
class CheckpointState:
    """What a state file says; the names are those of the fields of the message.

    `read_state` gives paths as they are written, relative ones to the file's folder, and
    `get_checkpoint_state` joined with it. Timestamps are seconds since 1970; only
    `CheckpointManager` writes them.
    """

    model_checkpoint_path: str = ""
    all_model_checkpoint_paths: tuple[str, ...] = ()
    all_model_checkpoint_timestamps: tuple[float, ...] = ()
    last_preserved_timestamp: float = 0.0


_FIELDS: Final = {
    "model_checkpoint_path": textproto.Field(str, is_repeated=False),
    "all_model_checkpoint_paths": textproto.Field(str, is_repeated=True),
    "all_model_checkpoint_timestamps": textproto.Field(float, is_repeated=True),
    "last_preserved_timestamp": textproto.Field(float, is_repeated=False),
}


def read_state(path: str) -> CheckpointState:
    """Read a state file. Raises `FormatError` for one that is damaged, `OSError` as `open` does."""
    file = File(path)
    if file.size > _MAX_SIZE:
        problem = f"expected at most {_MAX_SIZE} bytes, got {file.size}"
        raise FormatError(path, "state file", problem)
    values = textproto.parse(_FIELDS, file.read(0, file.size, "state file"), path, "state file")
    return CheckpointState(
        (values["model_checkpoint_path"] or [""])[-1],  # of two, the last counts
        tuple(values["all_model_checkpoint_paths"]),
        tuple(values["all_model_checkpoint_timestamps"]),
        (values["last_preserved_timestamp"] or [0.0])[-1],
    )


def write_state(path: str, state: CheckpointState, *, sync: bool = True) -> None:
    """Write a state file at once, with the text that TensorFlow 1.15 writes."""
    replace_file(path, encode_state(state), sync=sync)


def encode_state(state: CheckpointState) -> bytes:
    """Return the text of a state file, as TensorFlow 1.15 writes it."""
    last = state.last_preserved_timestamp
    values = {
        "model_checkpoint_path": [state.model_checkpoint_path],
        "all_model_checkpoint_paths": state.all_model_checkpoint_paths,
        "all_model_checkpoint_timestamps": state.all_model_checkpoint_timestamps,
        "last_preserved_timestamp": [last] if last else [],  # a default is not written
    }
    return textproto.encode(_FIELDS, values)


def get_checkpoint_state(
    checkpoint_dir: str | os.PathLike[str], latest_filename: str | None = None
) -> CheckpointState | None:
    """Return what the state file of a folder says, its paths joined with the folder; None if
    there is no such file.

    Folders get moved while absolute paths stay: one that leads nowhere is replaced by the
    checkpoint of that name in the folder, where there is one. Raises `FormatError`, a
    `ValueError`, for a file that is damaged (where TensorFlow warns and returns None), or that
    names no checkpoint.
    """
    folder = os.fsdecode(checkpoint_dir)
    path = os.path.join(folder, latest_filename or STATE_FILE)
    try:
        state = read_state(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not state.model_checkpoint_path:
        problem = "expected a model_checkpoint_path, got none"
        raise FormatError(path, f"Invalid checkpoint state loaded from {folder}", problem)
    return replace(
        state,
        model_checkpoint_path=_locate(folder, state.model_checkpoint_path),
        all_model_checkpoint_paths=tuple(
            _locate(folder, each) for each in state.all_model_checkpoint_paths
        ),
    )


def _locate(folder: str, path: str) -> str:
    if not os.path.isabs(path):
        return os.path.join(folder, path)
    beside = os.path.join(folder, os.path.basename(path))
    return beside if not checkpoint_exists(path) and checkpoint_exists(beside) else path


def latest_checkpoint(
    checkpoint_dir: str | os.PathLike[str], latest_filename: str | None = None
) -> str | None:
    """Return the path of the latest checkpoint that a folder's state file names; None if there is
    no state file, or no such checkpoint. Raises `FormatError` for a damaged state file."""
    state = get_checkpoint_state(checkpoint_dir, latest_filename)
    if state is None or not checkpoint_exists(state.model_checkpoint_path):
        return None
    return state.model_checkpoint_path


def update_checkpoint_state(
    save_dir: str | os.PathLike[str],
    model_checkpoint_path: str | os.PathLike[str],
    all_model_checkpoint_paths: Sequence[str] | None = None,
    latest_filename: str | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
) -> None:
    """Write the state file of a folder, as `tf.train.update_checkpoint_state` does.

    Where `save_dir` is relative, paths that are too are stored relative to it; absolute ones
    stay as they are. The newest path is added to the list of all if it does not end it. Raises
    `ValueError` for timestamps that do not match the paths, `RuntimeError` for a checkpoint with
    the path of the state file.
    """
    state = make_state(
        os.fsdecode(save_dir),
        os.fsdecode(model_checkpoint_path),
        all_model_checkpoint_paths or (),
        all_model_checkpoint_timestamps or (),
        last_preserved_timestamp,
        save_relative_paths=False,
    )
    store_state(os.fsdecode(save_dir), state, latest_filename)


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
    """Return the state that TensorFlow would write into a folder: paths relative to it where it
    stores them so (docs/format.md, "State file"). Raises `ValueError` for timestamps that do
    not match the paths."""
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
        tuple(map(to_stored, paths)),
        tuple(timestamps),
        last_preserved or 0.0,
    )
