"""A checkpoint as one HTML page: names, sizes, numbers, and how it differs from another one.

The page holds all it needs, so that it can be kept, sent and opened without a network, and forbids
itself everything else: its policy allows this style and this script by their hashes, no other, and
no connection. What a checkpoint says is in it as JSON that cannot end its element, and the script
makes text of it, never markup. The parts are report.html, report.css and report.js.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Iterable, Iterator
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final

from ..paths.read import open_source
from ..storage.stage import replace_file
from ..storage.urls import local_path
from .diff import diff
from .stats import stats

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint
    from ..parallel import Progress
    from .diff import Change, Diff
    from .stats import TensorStats

    Source = str | os.PathLike[str] | Checkpoint

__all__ = ["report"]

_HISTOGRAMS: Final = 5000  # of the largest tensors: all others would make the page too large
_EXACT: Final = 2**53  # integers above are text: the page's numbers are float64
_PLACE: Final = re.compile(r"\{(\w+)\}")


def report(
    path: Source,
    out: str | os.PathLike[str],
    *,
    other: Source | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write an HTML page about a checkpoint to the file `out`, which is replaced at once.

    The page shows the names as a tree, a treemap of sizes, each tensor's numbers (those of
    `stats`), which tensors have NaN or infinities, and with `other`, a second checkpoint, what
    `diff` finds when it reads what differs. Histograms are of the 5000 largest tensors. The same
    checkpoints give the same bytes. The page needs no network and no other file; it takes some 150
    bytes for a tensor, and 150 more for a histogram.

    `path` and `other` are what `read` takes, or open checkpoints. `threads` and `progress` are as
    for `stats`. Reads every tensor, and verifies it unless the checkpoint was open already. Raises
    what `read`, `stats` and `diff` raise; `doctor` tells more of a checkpoint that is damaged.
    """
    with open_source(path, verify=True) as checkpoint:
        found = stats(checkpoint, threads=threads, progress=progress)
        dtypes = _order_dtypes(found.values())
        facts: dict[str, Any] = {
            "title": os.path.basename(checkpoint.path),
            "path": checkpoint.path,
            "format": checkpoint.format,
            "shards": checkpoint.num_shards,
            "dtypes": dtypes,
            "histograms": _HISTOGRAMS,
            "tensors": list(_rows(found, dtypes)),
            "diff": None,
        }
        if other is not None:
            facts["diff"] = _compare(checkpoint, other)
    replace_file(local_path(out), _fill_in(facts).encode(), sync=True)


def _order_dtypes(found: Iterable[TensorStats]) -> list[str]:
    """Return the names of dtypes, that of the most bytes first."""
    sizes: dict[str, int] = {}
    for each in found:
        sizes[each.dtype] = sizes.get(each.dtype, 0) + each.nbytes
    return sorted(sizes, key=lambda name: (-sizes[name], name))


def _rows(found: dict[str, TensorStats], dtypes: list[str]) -> Iterator[list[Any]]:
    """Yield what the script knows of each tensor, in the order of its FIELDS."""
    largest = nlargest(_HISTOGRAMS, found.values(), key=lambda each: each.nbytes)
    has_histogram = {each.name for each in largest}
    numbers = {name: number for number, name in enumerate(dtypes)}
    for each in found.values():
        bins = None
        if each.histogram is not None and each.name in has_histogram:
            bins = [_round(each.histogram.low), _round(each.histogram.high), each.histogram.counts]
        yield [
            each.name,
            numbers[each.dtype],
            each.shape,
            each.nbytes,
            each.count,
            _exact(each.min),
            _exact(each.max),
            _round(each.mean),
            _round(each.std),
            each.nans,
            each.infs,
            each.zeros,
            bins,
        ]


def _exact(value: float | int | None) -> float | int | str | None:
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else str(value)
    return _round(value)


def _round(value: float | None) -> float | None:
    """Return what the page shows of a number, which is shorter."""
    return None if value is None else float(f"{value:.7g}")


def _compare(checkpoint: Checkpoint, other: Source) -> dict[str, Any]:
    with open_source(other, verify=True) as second:
        found = diff(checkpoint, second, values=True)
        return {
            "path": second.path,
            "same": len(found.same),
            "entries": [*_entries(found)],
        }


def _entries(found: Diff) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, name here, words). What only the other one has is found under its own name."""
    for change in found.changed:
        yield "changed", change.name, _spell(change)
    for renamed in found.renamed:
        yield "renamed", renamed.old, f"is {renamed.new} in the other one"
    for name in found.removed:
        yield "removed", name, "is not in the other one"
    for name in found.added:
        yield "added", name, "is only in the other one"


def _spell(change: Change) -> str:
    return str(change).removeprefix(f"{change.name}: ")


def _fill_in(facts: dict[str, Any]) -> str:
    """Put the page together. What is filled in is not looked at for places again."""
    style, script = _read_part("report.css"), _read_part("report.js")
    parts = {
        "title": html.escape(facts["title"].encode("utf-8", "replace").decode()),
        "style": style,
        "style_hash": _hash(style),
        "script": script,
        "script_hash": _hash(script),
        "data": _embed(facts),
    }
    return _PLACE.sub(lambda place: parts[place[1]], _read_part("report.html"))


def _embed(facts: dict[str, Any]) -> str:
    """Return JSON, in ASCII, that no parser of HTML takes for the end of its element."""
    text = json.dumps(facts, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read_part(name: str) -> str:
    from importlib.resources import files  # not before it is needed: it takes long

    return (files(__package__) / name).read_text(encoding="utf-8")
