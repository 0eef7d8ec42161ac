"""What a power loss may leave: every state that a simple model of a POSIX file system allows.

The calls of a save are recorded, and played back against the model:

- What was written to a file is safe after an fsync of the file. Before that it may be there, or
  not, or half of it, or zeros may stand in its place.
- That a name was made, moved or removed is safe after an fsync of the folder. Before that any of
  these may have happened and any may not, in any order: journals keep the order, but POSIX does
  not ask for it, and there were file systems that did not. One rename is never half done; one
  between two folders is safe after an fsync of either.
- After `sync` all is safe.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice, product
from pathlib import Path
from typing import NamedTuple

Place = tuple[int, str]  # a folder, and a name in it
VARIANTS = ("all", "none", "half", "zeros")
MAX_FREE = 7  # operations whose every subset is tried; of more, a choice


class Call(NamedTuple):
    """A record of the log that interpose.c writes."""

    name: str
    inode: int
    offset: int
    path: str
    second: str
    data: bytes


class Operation(NamedTuple):
    """A change of names: `places` get files or folders, None for none. An fsync of the folder of
    one of them makes it safe."""

    places: tuple[tuple[Place, int | None], ...]


@dataclass(slots=True)
class Content:
    """The bytes of a file: what is safe, and what is there now."""

    safe: bytes = b""
    now: bytes = b""
    when: int = 0  # nanoseconds

    def variant(self, name: str) -> bytes:
        if name == "none" or self.now == self.safe:
            return self.safe
        if name == "half":
            return self.now[: (len(self.safe) + len(self.now) + 1) // 2]
        if name == "zeros":
            return self.safe + bytes(max(0, len(self.now) - len(self.safe)))
        return self.now


class State(NamedTuple):
    """A tree that may be found: the variant of each file by its path, "" for a folder."""

    files: tuple[tuple[str, int, str], ...]
    in_order: bool


def read_log(path: Path) -> Iterator[Call]:
    with open(path, "rb") as log:
        for line in log:
            name, inode, offset, length, first, second = line.decode().rstrip("\n").split("\t")
            data = log.read(int(length))
            yield Call(name, int(inode), int(offset), first, second, data)


@dataclass(slots=True)
class Disk:
    """The model. `names` are those that every program sees, `safe` those that cannot be lost.

    Files and folders have numbers of their own, `ids`, since inodes are used again.
    """

    root: str
    top: int
    names: dict[Place, int] = field(default_factory=dict)
    safe: dict[Place, int] = field(default_factory=dict)
    pending: list[Operation] = field(default_factory=list)
    contents: dict[int, Content] = field(default_factory=dict)
    folders: set[int] = field(default_factory=set)
    ids: dict[int, int] = field(default_factory=dict)
    next_id: int = 0
    clock: int = 0

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """A disk on which all that is in a folder is safe."""
        disk = cls(str(folder), 0)
        disk.folders.add(disk._new_id(folder.stat().st_ino))
        for path in sorted(folder.rglob("*")):
            status = path.stat()
            known = disk.ids.get(status.st_ino)  # a hard link
            number = disk._new_id(status.st_ino) if known is None else known
            disk.names[disk.ids[path.parent.stat().st_ino], path.name] = number
            disk.clock = max(disk.clock, status.st_mtime_ns)
            if path.is_dir():
                disk.folders.add(number)
            else:
                data = path.read_bytes()
                disk.contents[number] = Content(data, data, status.st_mtime_ns)
        disk.safe = dict(disk.names)
        return disk

    def _new_id(self, inode: int) -> int:
        self.ids[inode] = self.next_id
        self.next_id += 1
        return self.ids[inode]

    def apply(self, call: Call) -> bool:
        """Do what a program did; return whether there is something new that may be lost."""
        self.clock += 1_000_000
        if call.name in ("fsync", "sync"):
            self._keep(call)
            return False
        if call.name in ("data", "ftruncate", "ftruncate64"):
            content = self.contents[self.ids[call.inode]]
            content.now = self._written(content.now, call)
            content.when = self.clock
            return True
        return self._change_names(call)

    def _written(self, now: bytes, call: Call) -> bytes:
        if call.name != "data":
            return now[: call.offset].ljust(call.offset, b"\0")
        now = now.ljust(call.offset, b"\0")
        return now[: call.offset] + call.data + now[call.offset + len(call.data) :]

    def _change_names(self, call: Call) -> bool:
        place = self._find(call.path)
        if call.name == "create":
            number = self._new_id(call.inode)
            self.contents[number] = Content(when=self.clock)
            places: list[tuple[Place, int | None]] = [(place, number)]
        elif call.name.startswith("mkdir"):
            number = self._new_id(call.inode)
            self.folders.add(number)
            places = [(place, number)]
        elif call.name.startswith("link"):
            places = [(self._find(call.second), self.names[place])]
        elif call.name.startswith("rename"):
            places = [(self._find(call.second), self.names[place]), (place, None)]
        elif call.name.startswith(("unlink", "rmdir")):
            places = [(place, None)]
        else:
            return False
        self.pending.append(Operation(tuple(places)))
        _do(self.names, self.pending[-1:])
        return True

    def _keep(self, call: Call) -> None:
        """Make a file, a folder or everything safe."""
        is_all = call.name == "sync"
        number = None if is_all else self.ids[call.inode]
        for each, content in self.contents.items():
            if is_all or each == number:
                content.safe = content.now
        kept = [op for op in self.pending if is_all or number in {at for (at, _), _ in op.places}]
        _do(self.safe, kept)
        self.pending = [op for op in self.pending if op not in kept]

    def _find(self, path: str) -> Place:
        folder = self.top
        *folders, name = os.path.relpath(path, self.root).split(os.sep)
        for each in folders:
            folder = self.names[folder, each]
        return folder, name

    def states(self) -> Iterator[State]:
        """Yield what may be found if the power fails now, the newest change always there."""
        for chosen in _choose(len(self.pending)):
            names = dict(self.safe)
            _do(names, [self.pending[number] for number in chosen])
            tree = list(self._walk(names, self.top, ""))
            loose = sorted(
                {inode for _, inode in tree if inode in self.contents and self._is_loose(inode)}
            )
            for variants in _mix(len(loose)):
                variant = dict(zip(loose, variants, strict=True))
                files = ((path, inode, variant.get(inode, "all")) for path, inode in tree)
                yield State(tuple(sorted(files)), chosen == tuple(range(len(chosen))))

    def _is_loose(self, inode: int) -> bool:
        return self.contents[inode].safe != self.contents[inode].now

    def _walk(self, names: dict[Place, int], folder: int, head: str) -> Iterator[tuple[str, int]]:
        for (parent, name), inode in names.items():
            if parent == folder:
                yield head + name, inode
                if inode in self.folders:
                    yield from self._walk(names, inode, f"{head}{name}/")

    def describe(self, state: State) -> tuple[tuple[str, bytes | None, int], ...]:
        """Return a state's paths with their bytes, None for a folder, and times."""
        found = []
        for path, inode, variant in state.files:
            content = self.contents.get(inode)
            data = None if content is None else content.variant(variant)
            found.append((path, data, 0 if content is None else content.when))
        return tuple(found)


def _do(names: dict[Place, int], operations: Sequence[Operation]) -> None:
    for operation in operations:
        for place, number in operation.places:
            if number is not None:
                names[place] = number
            else:
                names.pop(place, None)


def _choose(count: int) -> Iterator[tuple[int, ...]]:
    """Yield choices of operations: every one of a few; of many the beginnings, and all but one or
    two, and one or two alone."""
    if count <= MAX_FREE:
        for size in range(count + 1):
            yield from combinations(range(count), size)
        return
    yield from (tuple(range(size)) for size in range(count + 1))
    for few in (*combinations(range(count), 1), *combinations(range(count), 2)):
        yield few
        yield tuple(each for each in range(count) if each not in few)


def _mix(count: int) -> Iterator[tuple[str, ...]]:
    """Yield variants of so many files: every mixture of a few, of many all alike or one apart."""
    if count <= 2:
        yield from product(VARIANTS, repeat=count)
        return
    for common in VARIANTS:
        yield (common,) * count
        for place, other in product(range(count), VARIANTS):
            yield (*(common,) * place, other, *(common,) * (count - place - 1))


def build(folder: Path, files: Sequence[tuple[str, bytes | None, int]]) -> None:
    """Make a folder of a state."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, data, when in files:
        if data is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(data)
            os.utime(folder / path, ns=(when, when))


def all_states(disk: Disk, log: Path, most: int) -> tuple[dict, dict]:
    """Return what may be found during a save whose calls are logged, and what after its end: each
    with whether a file system that keeps the order of changes could leave it. Not more than `most`
    for one moment."""
    during: dict = {}
    for call in read_log(log):
        if disk.apply(call):
            _collect(disk, during, most)
    after: dict = {}
    _collect(disk, after, most)
    return during, after


def _collect(disk: Disk, found: dict, most: int) -> None:
    for state in islice(disk.states(), most):
        files = disk.describe(state)
        found[files] = found.get(files, False) or state.in_order


def sample(states: Sequence, count: int) -> list:
    """Return so many states, always the same ones; all if there are not more."""
    if len(states) <= count:
        return list(states)
    return random.Random(1).sample(list(states), count)
