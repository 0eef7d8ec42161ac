"""V2 checkpoints, as `fastckpt.read` gives them."""

from __future__ import annotations

from ..checkpoint import Checkpoint
from ._reader import BundleReader

__all__ = ["Bundle"]


class Bundle(BundleReader, Checkpoint):
    """A V2 checkpoint. See `fastckpt.read` for the options."""

    __slots__ = ("__weakref__",)

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.path, self.verify_on_access, self.backend, self.mode)


def _reopen(path: str, verify: bool, backend: str, mode: str) -> Bundle:
    return Bundle(path, verify=verify, backend=backend, mode=mode)
