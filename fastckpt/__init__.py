"""Read and write TensorFlow checkpoints without TensorFlow: exact, zero-copy, never crashing.

>>> import fastckpt, numpy
>>> fastckpt.write("model.ckpt", {"v1": numpy.zeros(3)})
>>> fastckpt.read("model.ckpt")["v1"]
array([0., 0., 0.])
"""

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

__version__ = "0.1.0"

# What `from fastckpt import *` gives, and what documentation tools list.
__all__ = [
    "Checkpoint",
    "CheckpointError",
    "ChecksumError",
    "FormatError",
    "TensorInfo",
    "TensorNotFoundError",
    "TensorSlice",
    "UnsupportedError",
    "Writer",
    "__version__",
    "load",
    "merge",
    "read",
    "write",
]
