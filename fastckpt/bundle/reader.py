"""V2 checkpoints, as `fastckpt.read` gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..checkpoint import Checkpoint
from ._reader import BundleReader
from .verify import find_problems

if TYPE_CHECKING:
    from ..errors import CheckpointError
    from ..format._record import TensorInfo
    from ..parallel import Progress

__all__ = ["Bundle"]


class Bundle(BundleReader, Checkpoint):
    """A V2 checkpoint. See `fastckpt.read` for the options."""

    __slots__ = ("__weakref__",)

    @property
    def path(self) -> str:
        """The prefix that was opened."""
        return self.stored.prefix

    @property
    def format(self) -> str:
        """The format: "V2"."""
        return "V2"

    @property
    def num_shards(self) -> int:
        """The number of data files."""
        return self.stored.num_shards

    @property
    def version(self) -> int:
        """The version of the format that wrote it."""
        return self.stored.version

    @property
    def byteorder(self) -> str:
        """The byte order of the data files: "little" or "big"."""
        return self.stored.byteorder

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored.names())

    def __len__(self) -> int:
        return len(self.stored)

    def __repr__(self) -> str:
        if self.stored.is_closed:
            return f"<closed checkpoint {self.path!r}>"
        return f"<checkpoint {self.path!r}: format V2, shards: {self.num_shards}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.path, self.verify_on_access, self.backend, self.mode)

    def infos(self) -> list[TensorInfo]:
        """Return the `TensorInfo` of every tensor, in key order, without touching data."""
        return self.stored.infos()

    def problems(
        self, *, threads: int | None = None, progress: Progress | None = None
    ) -> Iterator[CheckpointError | OSError]:
        """Yield every problem in key order; see `Checkpoint.problems`."""
        return find_problems(self.stored, threads=threads, progress=progress)

    def close(self) -> None:
        """Drop the checkpoint's own references. Arrays that were handed out stay valid."""
        self.stored.close()


def _reopen(path: str, verify: bool, backend: str, mode: str) -> Bundle:
    return Bundle(path, verify=verify, backend=backend, mode=mode)
