"""The ways to read: a folder, and a call that returns what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastckpt
from fastckpt import train
from fastckpt.v1.writer import write_v1

from .acts import NEW, OLD, both, train_to, values, write, write_slices


class Wrong(Exception):
    """Values that are not those of the file."""


@dataclass(frozen=True, slots=True)
class Read:
    name: str
    prepare: Callable[[Path], object]
    act: Callable[[Path], object]


def plain(value: Any) -> object:
    """Return a value that can be compared and printed."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tolist()
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return value


def views(**options: Any) -> Callable[[Path], object]:
    """Read one tensor after the other."""

    def act(folder: Path) -> object:
        with fastckpt.read(folder / "m", **options) as checkpoint:
            return {name: plain(np.array(checkpoint[name])) for name in checkpoint}

    return act


def rows(folder: Path) -> object:
    with fastckpt.read(folder / "m", backend="pread") as checkpoint:
        return plain(checkpoint.get_slice("table")[1:3])


def verify(**options: Any) -> Callable[[Path], object]:
    def act(folder: Path) -> None:
        with fastckpt.read(folder / "m", **options) as checkpoint:
            checkpoint.verify()
            for problem in checkpoint.problems():
                raise problem

    return act


def load(name: str, **options: Any) -> Callable[[Path], object]:
    return lambda folder: plain(fastckpt.load(folder / name, **options))


def stats(folder: Path) -> object:
    return {name: str(each) for name, each in fastckpt.stats(folder / "m").items()}


def diff(folder: Path) -> object:
    return str(fastckpt.diff(folder / "m", folder / "n"))


def restore(folder: Path) -> object:
    target = {"a": np.zeros(700, np.float32), "step": np.zeros((), np.int64)}
    fastckpt.restore(target, folder / "m")
    return plain(target)


def reader(folder: Path) -> object:
    found = train.load_checkpoint(folder)
    shapes = found.get_variable_to_shape_map()
    return {name: plain(found.get_tensor(name)) for name in shapes}


two = both(write("m", OLD, num_shards=2), write("n", NEW))

READS = {
    each.name: each
    for each in [
        Read("load", two, load("m")),
        Read("load-one-thread", two, load("m", threads=1)),
        Read("views", two, views()),
        Read("views-verified", two, views(verify=True)),
        Read("pread", two, views(backend="pread")),
        Read("pread-verified", two, views(backend="pread", verify=True)),
        Read("slices", write_slices, views()),
        Read("rows", write_slices, rows),
        Read("verify", two, verify()),
        Read("verify-pread", two, verify(backend="pread")),
        Read("list", two, lambda folder: str(fastckpt.list_tensors(folder / "m"))),
        Read("tree", two, lambda folder: str(fastckpt.tree(folder / "m"))),
        Read("stats", two, stats),
        Read("diff", two, diff),
        Read("restore", two, restore),
        Read("v1", lambda folder: write_v1(folder / "v1", values(NEW)), load("v1")),
        Read(
            "v1-shards",
            lambda folder: write_v1(folder / "v1", values(NEW), num_shards=2),
            load("v1"),
        ),
        Read("state", train_to(2), lambda folder: str(train.get_checkpoint_state(folder))),
        Read("latest", train_to(2), lambda folder: train.latest_checkpoint(folder)),
        Read("reader", train_to(2), reader),
    ]
}
