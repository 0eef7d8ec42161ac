"""How far something is: what is called with the bytes that are done and their total."""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["Progress", "Tally"]

Progress = Callable[[int, int], object]


class Tally:
    """Counts what is done, and tells it if somebody wants to know."""

    def __init__(self, progress: Progress | None, sizes: Iterable[int]) -> None:
        """Take what to call, or None, and the sizes of all that is to be done, which are summed up
        only if it is wanted."""
        self._progress = progress
        self._total = 0 if progress is None else sum(sizes)
        self._done = 0

    def add(self, size: int) -> None:
        """Count something that is done."""
        if self._progress is not None:
            self._done += size
            self._progress(self._done, self._total)
