"""Interrupted saves of V1 checkpoints: found, completed, discarded.

They are staged as V2 saves are (`storage.Stage`), with the last shard in the place of the index.
But shards say nothing of each other, so no checksum tells an old one from a new one. What does is
the old last shard: it is put aside when all shards are staged, before the first one is renamed.
Shards without a last one and without one aside are new: a removal takes the last one last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from errno import ENOENT

from ..errors import CheckpointError
from ..storage.local import File, sync_path
from ..storage.locks import exclusive, leftovers
from ..storage.stage import Stage
from ..storage.staged import aside_path, split_staged, staged_path
from ..v1.names import parse_v1, v1_shard_path
from ..v1.reader import V1Checkpoint

__all__ = ["InterruptedV1", "complete_v1", "discard_v1", "find_interrupted_v1"]


@dataclass(frozen=True, slots=True)
class InterruptedV1:
    """What a dead writer left of a save to the shards `paths`, or to the only file.

    `files` are those that are named with its token. `saved` is when its last shard was staged, in
    nanoseconds since 1970, 0 if it is not there.
    """

    paths: tuple[str, ...]
    token: str
    files: tuple[str, ...]
    saved: int

    @property
    def aside(self) -> str:
        """Where the old last shard is, if it was taken away."""
        return aside_path(self.paths[-1], self.token)

    def find_problem(self) -> CheckpointError | OSError | None:
        """Return what keeps the save from being completed, None for nothing. Reads all of it."""
        try:
            _verify(self.sources())
        except (CheckpointError, OSError) as error:
            return error
        return None

    def sources(self) -> list[str]:
        """Return where the new shards are now. Raises `FileNotFoundError` for one that is not."""
        is_renaming = self.aside in self.files or not os.path.lexists(self.paths[-1])
        return [self._find(path, is_renaming) for path in self.paths]

    def _find(self, path: str, is_renaming: bool) -> str:
        staged = staged_path(path, self.token)
        if staged in self.files:
            return staged
        if is_renaming and path != self.paths[-1] and os.path.lexists(path):
            return path
        raise FileNotFoundError(ENOENT, "this shard of the interrupted save is missing", path)

    def is_untouched(self) -> bool:
        """Whether no shard of the old checkpoint has been replaced yet."""
        return all(staged_path(path, self.token) in self.files for path in self.paths)


def find_interrupted_v1(prefix: str) -> list[InterruptedV1]:
    """Return the interrupted saves to a V1 path, or to the shards that a prefix, a pattern or one
    of them stands for, the latest last. Saves that go on are none."""
    asked = parse_v1(prefix)
    folder, base = os.path.split(asked.prefix if asked else prefix)
    groups: dict[tuple[str, int | None], list[str]] = {}
    for final, token, path in _list_staged(folder):
        shard = parse_v1(final)
        if final == base:
            groups.setdefault((token, None), []).append(path)
        elif shard is not None and shard.prefix == base:
            groups.setdefault((token, shard.num_shards), []).append(path)
    dead = set(leftovers([path for files in groups.values() for path in files]))
    head = os.path.join(folder, base)
    found = [
        _look_at(head, count, token, files)
        for (token, count), files in groups.items()
        if dead.issuperset(files)
    ]
    return sorted(found, key=lambda each: each.saved)


def _list_staged(folder: str) -> Iterator[tuple[str, str, str]]:
    """Yield (final name, token, path) of the staged files of a folder."""
    try:
        names = sorted(os.listdir(folder or os.curdir))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        parts = split_staged(name)
        path = os.path.join(folder, name)
        if parts is not None and not os.path.isdir(path):
            yield parts[0], parts[1], path


def _look_at(prefix: str, count: int | None, token: str, files: list[str]) -> InterruptedV1:
    paths: tuple[str, ...] = (prefix,)
    if count is not None:
        paths = tuple(v1_shard_path(prefix, shard, count) for shard in range(count))
    saved = 0
    with suppress(FileNotFoundError):
        saved = os.stat(staged_path(paths[-1], token)).st_mtime_ns
    return InterruptedV1(paths, token, tuple(files), saved)


def complete_v1(prefix: str) -> bool:
    """Finish the latest interrupted V1 save to a prefix, as `complete` does."""
    found = [each for each in find_interrupted_v1(prefix) if each.saved]
    if not found:
        return False
    latest = found[-1]
    last = latest.paths[-1]
    if os.path.exists(last) and os.stat(last).st_mtime_ns > latest.saved:
        raise ValueError(
            f"{last}: expected a file from before the interrupted save, got a later one: "
            "discard the interrupted save"
        )
    _commit_again(latest)
    return True


def _commit_again(save: InterruptedV1) -> None:
    """Commit what was staged, from links to the files that are verified here."""
    sources = save.sources()
    _verify(sources)
    with closing(File(sources[-1])) as file, Stage(save.paths[-1], sync=True) as stage:
        for source, path in zip(sources[:-1], save.paths[:-1], strict=True):
            sync_path(source)  # its writer may have died before it did
            stage.link(source, path)
        for chunk in file.chunks(0, file.size, "shard"):
            stage.commit_file.append(chunk)
        stage.commit(lambda: leftovers(save.files))


def _verify(files: list[str]) -> None:
    with V1Checkpoint(files[0], files=files) as checkpoint:
        for problem in checkpoint.problems():
            raise problem


def discard_v1(prefix: str) -> bool:
    """Remove what interrupted V1 saves to a prefix left, as `discard` does."""
    found = find_interrupted_v1(prefix)
    if not found:
        return False
    folder = os.path.dirname(prefix) or os.curdir
    with exclusive(folder):  # nobody's commit is going on
        for each in found:
            if each.aside in each.files and not os.path.lexists(each.paths[-1]):
                _bring_back(each)
            for path in each.files:
                with suppress(FileNotFoundError):  # brought back
                    os.unlink(path)
        sync_path(folder)
    return True


def _bring_back(save: InterruptedV1) -> None:
    """Put the old last shard in its place, if the others are the old ones still."""
    if save.is_untouched():
        os.replace(save.aside, save.paths[-1])
        return
    if save.find_problem() is None:
        shard = parse_v1(save.paths[-1])
        pattern = shard.pattern if shard else save.paths[-1]
        raise ValueError(
            f"{pattern}: the old checkpoint is no longer whole, and the interrupted save is: "
            "complete it, discarding it would lose both"
        )
