"""Tensors for variables: compared with them before any is read, then read in threads, verified."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..checkpoint import Checkpoint
from ..parallel import batches, ordered_map
from .variables import Variable

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["check_tensors", "read_tensors"]


def check_tensors(
    checkpoint: Checkpoint, wanted: Iterable[tuple[Variable, str]], *, reshape: bool = False
) -> None:
    """Raise `ValueError` for the first tensor whose dtype or shape its variable cannot take, and
    `TensorNotFoundError` for a key that is not there. Reads the index only."""
    for variable, key in wanted:
        info = checkpoint.info(key)
        fault = variable.mismatch(info.dtype, info.shape, reshape=reshape)
        if fault is not None:
            problem = f"expected {fault[0]}, the variable's, got {fault[1]}"
            raise ValueError(f"{checkpoint.path}: tensor {key!r}: {problem}")


def read_tensors(
    checkpoint: Checkpoint,
    keys: Iterable[str],
    *,
    copy: bool | None = True,
    threads: int | None = None,
) -> list[npt.NDArray[Any]]:
    """Read tensors from an open checkpoint, in the order of `keys`; `copy` is as for
    `Checkpoint.get_tensor`: copies are private, writable and verified."""

    def read_each(batch: list[str]) -> list[npt.NDArray[Any]]:
        return [checkpoint.get_tensor(key, copy=copy) for key in batch]

    groups = batches((key, checkpoint.info(key).nbytes) for key in keys)
    return [array for arrays in ordered_map(read_each, groups, threads) for array in arrays]
