"""Read and write TensorFlow checkpoints without TensorFlow: exact, zero-copy, never crashing.

>>> import fastckpt, numpy
>>> fastckpt.write("model.ckpt", {"v1": numpy.zeros(3)})
>>> fastckpt.read("model.ckpt")["v1"]
array([0., 0., 0.])
"""

import typing as _typing

from .errors import (
    CheckpointError,
    ChecksumError,
    FormatError,
    TensorNotFoundError,
    UnsupportedError,
)
from .lazy import find as _find

if _typing.TYPE_CHECKING:
    from . import train
    from .analysis.diff import Change, Diff, Renamed, diff
    from .analysis.optimizer import list_optimizer_names
    from .analysis.report import report
    from .analysis.stats import Histogram, TensorStats, stats, summarize
    from .bundle.merge import merge
    from .bundle.writer import Writer, write
    from .checkpoint import Checkpoint, TensorSlice
    from .edit.average import average
    from .edit.cast import cast
    from .edit.rename import alias, align, rename, reshard, subset
    from .format._record import TensorInfo
    from .graph.meta import MetaGraph
    from .interop.convert import convert
    from .name_tree import TensorTree
    from .paths.listing import list_tensors, tree
    from .paths.meta import read_meta
    from .paths.read import load, read
    from .rescue.complete import complete, discard
    from .rescue.doctor import Diagnosis, doctor
    from .rescue.salvage import SalvageReport, salvage
    from .rescue.state import latest, repair_state
    from .train.objects import restore_objects, write_objects
    from .train.restore import RestoreReport, restore

__version__ = "0.1.0"

# The public names: `from fastckpt import *`, `dir(fastckpt)`, the documentation.
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
    "latest",
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
    "restore_objects",
    "salvage",
    "stats",
    "subset",
    "summarize",
    "train",
    "tree",
    "write",
    "write_objects",
]

# The module of each name that is imported when it is first used (lazy.py).
_MODULES = {
    "analysis.diff": ["Change", "Diff", "Renamed", "diff"],
    "analysis.optimizer": ["list_optimizer_names"],
    "analysis.report": ["report"],
    "analysis.stats": ["Histogram", "TensorStats", "stats", "summarize"],
    "bundle.merge": ["merge"],
    "bundle.writer": ["Writer", "write"],
    "checkpoint": ["Checkpoint", "TensorSlice"],
    "edit.average": ["average"],
    "edit.cast": ["cast"],
    "edit.rename": ["align", "alias", "rename", "reshard", "subset"],
    "format._record": ["TensorInfo"],
    "graph.meta": ["MetaGraph"],
    "interop.convert": ["convert"],
    "name_tree": ["TensorTree"],
    "paths.listing": ["list_tensors", "tree"],
    "paths.meta": ["read_meta"],
    "paths.read": ["load", "read"],
    "rescue.complete": ["complete", "discard"],
    "rescue.doctor": ["Diagnosis", "doctor"],
    "rescue.salvage": ["SalvageReport", "salvage"],
    "rescue.state": ["latest", "repair_state"],
    "train.objects": ["restore_objects", "write_objects"],
    "train.restore": ["RestoreReport", "restore"],
}


def __getattr__(name: str) -> _typing.Any:
    if name == "train":
        from importlib import import_module

        return import_module(".train", __name__)
    return _find(globals(), _MODULES, name)


def __dir__() -> list[str]:
    return __all__
