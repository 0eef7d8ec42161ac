"""The table of cases: what is asked, who answers, how often, and how fast fastckpt has to be.

A case is a function of its name in each of its contenders' modules (`with_fastckpt`,
`with_tensorflow`, `with_safetensors`); its limits are functions in `limits`. The case `process` is
in `process`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from benchmarks.fixtures import Fixtures, Scale

LIMIT = "limit:"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table of results.

    `repeat` is how often a process does it; the least time counts. `floors` are the least ratios,
    of the other's time to fastckpt's, that the project asks of itself.
    """

    name: str
    what: str
    repeat: int
    floors: Mapping[str, float] = field(default_factory=dict)
    contenders: tuple[str, ...] = ("fastckpt", "tensorflow", "safetensors")
    limits: Mapping[str, str] = field(default_factory=dict)

    def runs(self) -> tuple[str, ...]:
        """Everything to be run for this case, limits included."""
        return (*self.contenders, *(LIMIT + function for function in self.limits.values()))

    def describe(self, scale: Scale) -> str:
        """The case in words, with the sizes of `scale`."""
        megabytes = scale.big_items * 4 >> 20
        return self.what.format(
            small=scale.small_count,
            get=scale.get_count,
            write=scale.write_count,
            one=megabytes,
            big=megabytes * scale.big_count,
        )


CASES = (
    Case(
        "list_names",
        "open, list {small:,} names",
        repeat=1,
        floors={"tensorflow": 15, "safetensors": 8},
    ),
    Case(
        "get_one",
        "open a checkpoint of {small:,}, get one tensor",
        repeat=10,
        floors={"tensorflow": 300, "safetensors": 150},
    ),
    Case(
        "get_random",
        "{get:,} `ckpt[name]` in random order, of {small:,}, open",
        repeat=1,
        floors={"tensorflow": 60, "safetensors": 2},
    ),
    Case(
        "infos",
        "open, `infos()` of {small:,}; the others: shapes only",
        repeat=1,
        floors={"tensorflow": 5},
    ),
    Case("get_big", "`ckpt[name]`, {one} MB, open", repeat=64, floors={"tensorflow": 1000}),
    Case("use_big", "open, get {one} MB and take its maximum", repeat=10),
    Case(
        "load",
        "`load()` {big} MB, writable",
        repeat=1,
        floors={"tensorflow": 1.2, "safetensors": 1.5},
        limits={
            "pread, 1 thread": "pread_one_thread",
            "pread, all cores": "pread_all_threads",
            "memcpy": "memcpy",
        },
    ),
    Case(
        "verify",
        "`verify()` {big} MB",
        repeat=1,
        floors={"tensorflow": 2},
        contenders=("fastckpt", "tensorflow"),
        limits={"crc32c": "crc32c_memory", "pread + crc32c": "crc32c_pread"},
    ),
    Case(
        "write_big",
        "`write()` {big} MB, `sync=False`",
        repeat=1,
        floors={"tensorflow": 1.5, "safetensors": 0.8},
        limits={"write": "write_file"},
    ),
    Case(
        "write_small",
        "`write()` {write:,} tiny tensors, `sync=False`",
        repeat=1,
        floors={"tensorflow": 2, "safetensors": 2},
    ),
    Case(
        "graph_nodes",
        "open a `.meta` of {small:,} variables, list their names",
        repeat=1,
        contenders=("fastckpt", "tensorflow"),
    ),
    Case(
        "graph_constants",
        "open a `.meta` of {big} MB, get the last constant",
        repeat=1,
        contenders=("fastckpt", "tensorflow"),
    ),
)


def find(name: str) -> Case:
    """The case of that name."""
    return next(case for case in CASES if case.name == name)


def contender(case: Case, run: str) -> Callable[[Fixtures], Any]:
    """Import and return the function that sets up one of `case.runs()`; for a fresh process."""
    if run.startswith(LIMIT):
        module, function = "benchmarks.limits", run.removeprefix(LIMIT)
    else:
        module, function = f"benchmarks.with_{run}", case.name
    found: Callable[[Fixtures], Any] = getattr(import_module(module), function)
    return found
