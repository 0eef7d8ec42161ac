"""The names of `tf.train`: replacing `tf.train.` by `fastckpt.train.` is enough for a script that
runs no graph."""

import typing as _typing

from ..lazy import find as _find

if _typing.TYPE_CHECKING:
    from ..graph.schema import SaverDef
    from ..paths.lookup import checkpoint_exists, get_checkpoint_mtimes, remove_checkpoint
    from ..paths.state import (
        CheckpointState,
        get_checkpoint_state,
        latest_checkpoint,
        update_checkpoint_state,
    )
    from .manager import CheckpointManager
    from .reader import (
        CheckpointReader,
        NewCheckpointReader,
        checkpoints_iterator,
        list_variables,
        load_checkpoint,
        load_variable,
    )
    from .saver import Saver

__all__ = [
    "CheckpointManager",
    "CheckpointReader",
    "CheckpointState",
    "NewCheckpointReader",
    "Saver",
    "SaverDef",
    "checkpoint_exists",
    "checkpoints_iterator",
    "get_checkpoint_mtimes",
    "get_checkpoint_state",
    "latest_checkpoint",
    "list_variables",
    "load_checkpoint",
    "load_variable",
    "remove_checkpoint",
    "update_checkpoint_state",
]

# The module of each name, which is imported when the name is first used (lazy.py).
_MODULES = {
    "graph.schema": ["SaverDef"],
    "paths.lookup": ["checkpoint_exists", "get_checkpoint_mtimes", "remove_checkpoint"],
    "paths.state": [
        "CheckpointState",
        "get_checkpoint_state",
        "latest_checkpoint",
        "update_checkpoint_state",
    ],
    "train.manager": ["CheckpointManager"],
    "train.reader": [
        "CheckpointReader",
        "NewCheckpointReader",
        "checkpoints_iterator",
        "list_variables",
        "load_checkpoint",
        "load_variable",
    ],
    "train.saver": ["Saver"],
}


def __getattr__(name: str) -> _typing.Any:
    return _find(globals(), _MODULES, name)


def __dir__() -> list[str]:
    return __all__
