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
    from .analysis.diff import Change, Diff, Renamed, diff
    from .analysis.optimizer import list_optimizer_names
    from .analysis.report import report
    from .analysis.stats import Histogram, TensorStats, stats, summarize
    from .bundle._index import TensorInfo
    from .bundle._reader import Checkpoint, TensorSlice
    from .bundle.writer import Writer, merge, write
    from .edit.average import average, cast
    from .edit.rename import alias, align, rename, reshard, subset
    from .graph.meta import MetaGraph, read_meta
    from .interop.convert import convert
    from .name_tree import TensorTree
    from .paths.listing import list_tensors, tree
    from .paths.read import load, read
    from .rescue.complete import complete, discard, repair_state
    from .rescue.doctor import Diagnosis, doctor
    from .rescue.salvage import SalvageReport, salvage
    from .train.objects import write_objects
    from .train.restore import RestoreReport, restore

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
    "analysis.diff": ["Change", "Diff", "Renamed", "diff"],
    "analysis.optimizer": ["list_optimizer_names"],
    "analysis.report": ["report"],
    "analysis.stats": ["Histogram", "TensorStats", "stats", "summarize"],
    "bundle._index": ["TensorInfo"],
    "bundle._reader": ["Checkpoint", "TensorSlice"],
    "bundle.writer": ["Writer", "merge", "write"],
    "edit.average": ["average", "cast"],
    "edit.rename": ["align", "alias", "rename", "reshard", "subset"],
    "graph.meta": ["MetaGraph", "read_meta"],
    "interop.convert": ["convert"],
    "name_tree": ["TensorTree"],
    "paths.listing": ["list_tensors", "tree"],
    "paths.read": ["load", "read"],
    "rescue.complete": ["complete", "discard", "repair_state"],
    "rescue.doctor": ["Diagnosis", "doctor"],
    "rescue.salvage": ["SalvageReport", "salvage"],
    "train.objects": ["write_objects"],
    "train.restore": ["RestoreReport", "restore"],
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
