"""Read and write TensorFlow checkpoints without TensorFlow: exact, zero-copy, never crashing.

>>> import fastckpt, numpy
>>> fastckpt.write("model.ckpt", {"v1": numpy.zeros(3)})
>>> fastckpt.read("model.ckpt")["v1"]
array([0., 0., 0.])
"""

from typing import TYPE_CHECKING, Any

from ._reader import Checkpoint, TensorInfo, TensorSlice
from .api import load, read
from .errors import (
    CheckpointError,
    ChecksumError,
    FormatError,
    TensorNotFoundError,
    UnsupportedError,
)
from .writer import Writer, merge, write

if TYPE_CHECKING:
    from . import train
    from .arithmetic import average, cast
    from .compare import Change, Diff, Renamed, diff
    from .diagnosis import Diagnosis, doctor
    from .edit import alias, rename, reshard, subset
    from .metagraph import MetaGraph, read_meta
    from .objects import write_objects
    from .repair import complete, discard, repair_state
    from .restoring import RestoreReport, restore
    from .salvaging import SalvageReport, salvage

__version__ = "0.1.0"

# What `from fastckpt import *` gives, and what documentation tools list.
__all__ = [
    "Change",
    "Checkpoint",
    "CheckpointError",
    "ChecksumError",
    "Diagnosis",
    "Diff",
    "FormatError",
    "MetaGraph",
    "Renamed",
    "RestoreReport",
    "SalvageReport",
    "TensorInfo",
    "TensorNotFoundError",
    "TensorSlice",
    "UnsupportedError",
    "Writer",
    "__version__",
    "alias",
    "average",
    "cast",
    "complete",
    "diff",
    "discard",
    "doctor",
    "load",
    "merge",
    "read",
    "read_meta",
    "rename",
    "repair_state",
    "reshard",
    "restore",
    "salvage",
    "subset",
    "train",
    "write",
    "write_objects",
]

# Where the names are that most programs do not need. They are imported when first asked for:
# reading a tensor should not wait for what saves a model.
_LATER = {
    "Change": "compare",
    "Diagnosis": "diagnosis",
    "Diff": "compare",
    "MetaGraph": "metagraph",
    "Renamed": "compare",
    "RestoreReport": "restoring",
    "SalvageReport": "salvaging",
    "alias": "edit",
    "average": "arithmetic",
    "cast": "arithmetic",
    "complete": "repair",
    "diff": "compare",
    "discard": "repair",
    "doctor": "diagnosis",
    "read_meta": "metagraph",
    "rename": "edit",
    "repair_state": "repair",
    "reshard": "edit",
    "restore": "restoring",
    "salvage": "salvaging",
    "subset": "edit",
    "write_objects": "objects",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "train":
        return import_module(".train", __name__)
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
