"""Editing without the data: which tensors stay, under which names, in how many files.

Renaming, leaving out and naming again take a new index and hard links (relink.py). Where the bytes
of a source cannot be linked, they are written anew, with the same result.

One tensor is not only data: the object graph of an object-based checkpoint names all others.
Where names change, or tensors go, it is written anew, into a small data file of its own.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Final

from ..bundle.relink import share
from ..bundle.writer import Writer
from ..checkpoint import Checkpoint
from ..format._record import encode_name
from ..graph.objects import GRAPH_KEY, encode_graph, read_object_graph
from ..parallel import Tally
from ..paths.read import open_source
from ..rules import make_renamer, match_globs
from ..storage.urls import local_path

if TYPE_CHECKING:
    from ..parallel import Progress
    from ..rules import Rename

__all__ = [
    "align",
    "alias",
    "in_data_order",
    "rename",
    "reshard",
    "subset",
]

Path = str | os.PathLike[str]
_Pairs = Sequence[tuple[str, str]]  # (name in the source, name in the result)


def rename(src: Path | Checkpoint, dst: Path, rules: Rename, *, link: bool = True) -> None:
    """Make a checkpoint of the same tensors under other names, without touching their data.

    `src` is what `read` takes, or an open checkpoint; `dst` is a prefix, and may be that of `src`.
    `rules` are those of `restore`: a dict {name: new name}, a list of (regex, replacement) that
    `re.sub` applies one after the other, or a function of the name. None in place of a name leaves
    the tensor out. Slices of partitioned tensors go along. The object graph of an object-based
    checkpoint keeps its name, and gets to know the new ones of the others.

    With `link` the data files of the result are those of the source, by hard link (copied where
    there are no links); one none of whose tensors stays is left out. So whoever later changes
    the source's files in place, which no writer of checkpoints does, changes the result's, too.
    Without it the result has files of its own: copies or, where tensors are left out, new files
    with the bytes of those that stay. A version 1 or big-endian source is always rewritten. A
    `.meta` and a state file are neither read nor made.

    Nothing is verified where nothing is read. Raises `ValueError` for two tensors with one name
    and if no tensor would be left, `TensorNotFoundError` for a name in a dict that no tensor has,
    `CheckpointError` for an open checkpoint that was saved again since, and what `read` raises.
    An error leaves what was at `dst`.
    """
    if rules is None:
        raise TypeError("rules: expected a dict, a list of (regex, replacement) or a function")
    new_name = make_renamer(rules)
    with open_source(src) as checkpoint:
        if isinstance(rules, Mapping):
            _check_there(checkpoint, rules)
        _edit(checkpoint, dst, list(_renamed(checkpoint, new_name)), link)


def subset(
    src: Path | Checkpoint,
    dst: Path,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    *,
    link: bool = True,
) -> None:
    """Make a checkpoint of some of the tensors: those that match `include`, and not `exclude`.

    Both are globs, one or several, over the names of tensors; "*" also crosses "/". One that
    matches no tensor is a `ValueError`. The object graph of an object-based checkpoint goes along
    without what is left out, so that TensorFlow restores the objects that are still there; only a
    glob of `exclude` drops it.

    Linked data files keep the bytes that no tensor needs any more; `link=False` writes new files
    without them, and verifies what it copies. Everything else is as for `rename`.
    """
    with open_source(src) as checkpoint:
        names = list(checkpoint)
        wanted = set(names) if include is None else match_globs("include", include, names)
        wanted |= {GRAPH_KEY}
        if exclude is not None:
            wanted -= match_globs("exclude", exclude, names)
        _edit(checkpoint, dst, [(name, name) for name in names if name in wanted], link)


def alias(
    src: Path | Checkpoint, dst: Path, names: Mapping[str, str], *, link: bool = True
) -> None:
    """Make a checkpoint in which some tensors have further names: {new name: name}.

    Both names lead to the same bytes, which are stored once; only a version 1 or big-endian source,
    which is rewritten, has them twice. Everything else is as for `rename`. Raises
    `TensorNotFoundError` for a tensor that is not there, `ValueError` for a new name that is.
    """
    if not hasattr(names, "items"):
        raise TypeError(f"expected a mapping of new names to names, got {type(names).__name__}")
    with open_source(src) as checkpoint:
        _check_there(checkpoint, names.values())
        pairs = [(name, name) for name in checkpoint]
        pairs.extend((old, new) for new, old in names.items())
        _edit(checkpoint, dst, pairs, link)


def reshard(
    src: Path | Checkpoint,
    dst: Path,
    num_shards: int,
    *,
    alignment: int = 64,
    progress: Progress | None = None,
) -> None:
    """Write a checkpoint anew with another number of data files or another alignment.

    A tensor goes to the file with the fewest bytes so far; `alignment` is that of `Writer`. Bytes
    are copied in the memory of one chunk, and verified; only of a version 1 or big-endian source
    tensors are decoded, one slice at a time. `progress` is called with the bytes done and their
    total. `src`, `dst` and errors are as for `rename`.
    """
    writer = Writer(dst, num_shards=num_shards, alignment=alignment)
    with open_source(src) as checkpoint, writer:
        sizes = in_data_order(checkpoint)
        tally = Tally(progress, sizes.values())
        for name, size in sizes.items():
            writer.add_from(checkpoint, name)
            tally.add(size)


def align(
    src: Path | Checkpoint,
    dst: Path,
    alignment: int = 64,
    *,
    link: bool = True,
    progress: Progress | None = None,
) -> None:
    """Make a checkpoint each of whose tensors begins at a multiple of `alignment` bytes.

    TensorFlow packs tensors without padding, so that most views on its files are unaligned, which
    some libraries refuse and some CPUs are slow with. `alignment` is that of `Writer`, and 1 takes
    padding away again. Where every tensor begins as it should already, nothing moves: the result
    shares the data files as that of `rename` does, unless `link` is False. Otherwise they are
    written anew, as many as before, as `reshard` does.
    """
    with open_source(src) as checkpoint:
        if alignment > 1 and _is_aligned(checkpoint, alignment):
            _edit(checkpoint, dst, [(name, name) for name in checkpoint], link)
        else:
            num_shards = max(1, min(checkpoint.num_shards, len(checkpoint)))
            reshard(checkpoint, dst, num_shards, alignment=alignment, progress=progress)


def _is_aligned(checkpoint: Checkpoint, alignment: int) -> bool:
    stored = checkpoint.stored
    if stored.byteorder != "little":
        return False
    parts = chain.from_iterable(stored.parts(name) for name in checkpoint)
    return all(part.checksum is not None and part.entry.offset % alignment == 0 for part in parts)


def in_data_order(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the names and their tensors' bytes, in the order in which the data lie, in which they
    are read fastest."""
    infos = sorted(checkpoint.infos(), key=lambda info: _place(checkpoint, info.name))
    return {info.name: info.nbytes for info in infos}


def _place(checkpoint: Checkpoint, name: str) -> tuple[int, int]:
    """Return the number of a tensor's first data file, and where it begins there: in a version 1
    checkpoint at 0."""
    parts = checkpoint.stored.parts(name)
    return min((part.entry.shard_id, part.entry.offset) for part in parts)


def _check_there(checkpoint: Checkpoint, names: Iterable[str]) -> None:
    for name in names:
        checkpoint.stored.entry(name)


def _renamed(
    checkpoint: Checkpoint, new_name: Callable[[str], str | None]
) -> Iterator[tuple[str, str]]:
    for name in checkpoint:
        new = new_name(name)
        if new is not None:
            yield name, name if name == GRAPH_KEY else new


# ---- Making the result


def _edit(checkpoint: Checkpoint, dst: Path, pairs: _Pairs, link: bool) -> None:
    """Write what `pairs` say, in the way that the source allows."""
    _check_pairs(checkpoint, pairs)
    graph = _edit_graph(checkpoint, pairs)
    kept = {old for old, _ in pairs}
    if checkpoint.format == "V2" and checkpoint.byteorder == "little":
        gone = [name for name in checkpoint if name not in kept]
        if link or not gone:
            share(checkpoint.stored, local_path(dst), pairs, gone, graph, link)
            return
    _rewrite(checkpoint, dst, pairs, graph)


def _check_pairs(checkpoint: Checkpoint, pairs: _Pairs) -> None:
    """Raise `ValueError` for a name that is empty or that two tensors would have, `TypeError` for
    one that is none."""
    olds: dict[bytes, str] = {}
    for old, new in pairs:
        key = encode_name(new)
        if not key:
            raise ValueError(f"tensor {old!r}: a tensor's name must not be empty")
        if key in olds:
            raise ValueError(
                f"{checkpoint.path}: tensors {olds[key]!r} and {old!r} would both be called {new!r}"
            )
        olds[key] = old
    if not any(old != GRAPH_KEY for old, _ in pairs) and len(checkpoint):
        raise ValueError(f"{checkpoint.path}: no tensor would be left")


def _rewrite(checkpoint: Checkpoint, dst: Path, pairs: _Pairs, graph: bytes | None) -> None:
    """Write new data files with the bytes of the tensors that `pairs` name."""
    num_shards = max(1, min(checkpoint.num_shards, len(pairs)))  # a header may say any number
    with Writer(dst, num_shards=num_shards) as writer:
        for old, new in sorted(pairs, key=lambda pair: _place(checkpoint, pair[0])):
            if old == GRAPH_KEY and graph is not None:
                writer.add(GRAPH_KEY, graph)
            else:
                writer.add_from(checkpoint, old, name=new)


# ---- The object graph


def _edit_graph(checkpoint: Checkpoint, pairs: _Pairs) -> bytes | None:
    """Return the object graph that fits the result; None if it is the old one, or none is wanted.

    An object keeps the values whose tensors are there, by their new names. What an optimizer keeps
    for variables goes with its tensors.
    """
    names: dict[str, str] = {}
    for old, new in pairs:
        if old == new or old not in names:
            names[old] = new
    if GRAPH_KEY not in names or all(names.get(name) == name for name in checkpoint):
        return None
    graph = read_object_graph(checkpoint)
    if graph is None:
        return None
    find = _KeyFinder(names, checkpoint)
    for node in graph.nodes:
        keys = ((each, find(each.checkpoint_key)) for each in node.attributes)
        node.attributes = tuple(
            replace(each, checkpoint_key=key) for each, key in keys if key is not None
        )
    for node in graph.nodes:
        node.owned_slots = tuple(slot for slot in node.owned_slots if slot.node.attributes)
    return encode_graph(graph)


class _KeyFinder:
    """The new key of an object's value; None if it, or a part of it, is not there any more.

    Lookup tables and iterators have several tensors, whose names begin with the key.
    """

    def __init__(self, names: Mapping[str, str], known: Iterable[str]) -> None:
        self._names = names
        self._known: Final = sorted(known)
        self._found: dict[str, str | None] = {}

    def __call__(self, key: str) -> str | None:
        if key not in self._found:
            self._found[key] = self._find(key)
        return self._found[key]

    def _find(self, key: str) -> str | None:
        if key in self._names:
            return self._names[key]
        end = place = bisect_left(self._known, key)
        while end < len(self._known) and self._known[end].startswith(key):
            end += 1
        parts = self._known[place:end]
        if not parts:
            return key
        new = self._names.get(parts[0], "").removesuffix(parts[0][len(key) :])
        stay = (self._names.get(each) == new + each[len(key) :] for each in parts)
        return new if new and all(stay) else None
