"""Read and write TensorFlow checkpoints without TensorFlow: exact, zero-copy, never crashing.

>>> import fastckpt, numpy
>>> fastckpt.write("model.ckpt", {"v1": numpy.zeros(3)})
>>> fastckpt.read("model.ckpt")["v1"]
array([0., 0., 0.])
"""

from typing import TYPE_CHECKING, Any

from .errors import (
    CheckpointError,
    ChecksumError,
    FormatError,
    TensorNotFoundError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from . import train
    from ._catalog import TensorInfo
    from ._reader import Checkpoint, TensorSlice
    from .api import load, read
    from .arithmetic import average, cast
    from .compare import Change, Diff, Renamed, diff
    from .conversion import convert
    from .diagnosis import Diagnosis, doctor
    from .edit import alias, align, rename, reshard, subset
    from .html_report import report
    from .listing import list_tensors, tree
    from .metagraph import MetaGraph, read_meta
    from .name_tree import TensorTree
    from .objects import write_objects
    from .optimizer_names import list_optimizer_names
    from .repair import complete, discard, repair_state
    from .restoring import RestoreReport, restore
    from .salvaging import SalvageReport, salvage
    from .summaries import Histogram, TensorStats, stats, summarize
    from .writer import Writer, merge, write

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
    "Histogram",
    "MetaGraph",
    "Renamed",
    "RestoreReport",
    "SalvageReport",
    "TensorInfo",
    "TensorNotFoundError",
    "TensorSlice",
    "TensorStats",
    "TensorTree",
    "UnsupportedError",
    "Writer",
    "__version__",
    "alias",
    "align",
    "average",
    "cast",
    "complete",
    "convert",
    "diff",
    "discard",
    "doctor",
    "list_optimizer_names",
    "list_tensors",
    "load",
    "merge",
    "read",
    "read_meta",
    "rename",
    "repair_state",
    "report",
    "reshard",
    "restore",
    "salvage",
    "stats",
    "subset",
    "summarize",
    "train",
    "tree",
    "write",
    "write_objects",
]

# Where the names are that are not here yet. They are imported when first asked for: what lists a
# checkpoint should not wait for NumPy, nor what reads a tensor for what saves a model.
_MODULES = {
    "_catalog": ["TensorInfo"],
    "_reader": ["Checkpoint", "TensorSlice"],
    "api": ["load", "read"],
    "arithmetic": ["average", "cast"],
    "compare": ["Change", "Diff", "Renamed", "diff"],
    "conversion": ["convert"],
    "diagnosis": ["Diagnosis", "doctor"],
    "edit": ["align", "alias", "rename", "reshard", "subset"],
    "html_report": ["report"],
    "listing": ["list_tensors", "tree"],
    "metagraph": ["MetaGraph", "read_meta"],
    "name_tree": ["TensorTree"],
    "objects": ["write_objects"],
    "optimizer_names": ["list_optimizer_names"],
    "repair": ["complete", "discard", "repair_state"],
    "restoring": ["RestoreReport", "restore"],
    "salvaging": ["SalvageReport", "salvage"],
    "summaries": ["Histogram", "TensorStats", "stats", "summarize"],
    "writer": ["Writer", "merge", "write"],
}
_LATER = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "train":
        return import_module(".train", __name__)
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value  # so that the next time it is found without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
