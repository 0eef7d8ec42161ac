"""What is done to a folder: how it comes to be, and the calls that are interrupted."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import fastckpt
from fastckpt import train

OLD, NEW = 1, 2  # the value of all tensors before and after


def values(value: int) -> dict[str, Any]:
    """Tensors all of whose bytes tell whether they are of the old or the new checkpoint."""
    return {
        "a": np.full(700, value, np.float32),
        "b": np.full((3, 5), value, np.int64),
        "c/d": np.full((20, 10), value, np.float64),
        "text": [str(value) * 30, str(value)],
        "step": np.int64(value),
    }


def numbers(value: int) -> dict[str, Any]:
    """The same without strings: what every format holds."""
    return {name: each for name, each in values(value).items() if name != "text"}


def write(name: str, value: int, **options: Any) -> Callable[[Path], object]:
    return lambda folder: fastckpt.write(folder / name, values(value), **options)


def both(*acts: Callable[[Path], object]) -> Callable[[Path], object]:
    def act(folder: Path) -> None:
        for each in acts:
            each(folder)

    return act


beside = write("other", 7)  # another checkpoint, in the same folder
over = both(beside, write("m", OLD))
sources = both(beside, write("s", NEW, num_shards=2))
sources_over = both(sources, write("m", OLD, num_shards=2))


def write_slices(folder: Path) -> None:
    with fastckpt.Writer(folder / "m", num_shards=2) as writer:
        for row in range(4):
            part = np.full((1, 50), NEW, np.float32)
            writer.add_slice("table", part, full_shape=(4, 50), start=(row, 0))
            writer.add(f"t{row}", np.full(30 + row, NEW))


def write_parts(folder: Path) -> None:
    beside(folder)
    fastckpt.write(folder / "s1", {"a": np.full(60, NEW)})
    fastckpt.write(folder / "s2", {"b": np.full(70, NEW)}, num_shards=2)


def merge(folder: Path) -> None:
    fastckpt.merge([folder / "s1", folder / "s2"], folder / "m")


def train_to(last: int, **options: Any) -> Callable[[Path], object]:
    """Save the steps up to one with a `Saver` that keeps two and goes on where one ended."""

    def act(folder: Path) -> None:
        for step in range(1, last + 1) if last < 3 else [last]:
            saver = train.Saver(max_to_keep=2, **options)
            state = train.get_checkpoint_state(folder)
            if state is not None:
                saver.recover_last_checkpoints(list(state.all_model_checkpoint_paths))
            saver.save(values(step), folder / "v1-m" if options else folder / "m", step)

    return act


def save_in_place(value: int, **options: Any) -> Callable[[Path], object]:
    def act(folder: Path) -> None:
        name = "v1-m" if "write_version" in options else "m"
        train.Saver(**options).save(values(value), folder / name)

    return act


def manage(last: int) -> Callable[[Path], object]:
    """Save the steps up to one with a manager that keeps two."""

    def act(folder: Path) -> None:
        for step in range(1, last + 1) if last < 3 else [last]:
            tree = {"net": {"w": np.full(90, step), "b": np.full(9, step)}, "save_counter": step}
            train.CheckpointManager(tree, folder, max_to_keep=2).save(checkpoint_number=step)

    return act


def manage_again(last: int) -> Callable[[Path], object]:
    """What a person does who wants that number, which a manager does not write over."""

    def act(folder: Path) -> None:
        train.remove_checkpoint(folder / f"ckpt-{last}")
        manage(last)(folder)

    return act


def objects(value: int) -> Callable[[Path], object]:
    tree = {"net": {"w": np.full(90, value), "b": np.full(9, value)}}
    return lambda folder: fastckpt.write_objects(folder / "m", tree)


def edit(verb: str, *arguments: Any, **options: Any) -> Callable[[Path], object]:
    """Call ``verb(s, m, ...)``, both in the folder."""

    def act(folder: Path) -> None:
        getattr(fastckpt, verb)(folder / "s", folder / "m", *arguments, **options)

    return act


def in_place(verb: str, *arguments: Any) -> Callable[[Path], object]:
    def act(folder: Path) -> None:
        getattr(fastckpt, verb)(folder / "m", folder / "m", *arguments)

    return act


def align(folder: Path) -> None:
    fastckpt.align(folder / "s", folder / "m")


def unaligned(folder: Path) -> None:
    both(over, write("s", NEW, alignment=1))(folder)


def average(folder: Path) -> None:
    fastckpt.average([folder / "s", folder / "s"], folder / "m")


def convert(suffix: str) -> Callable[[Path], object]:
    return lambda folder: fastckpt.convert(folder / "s", folder / f"m{suffix}")


def numeric(folder: Path) -> None:
    beside(folder)
    fastckpt.write(folder / "s", numbers(NEW))


def converted(suffix: str) -> Callable[[Path], object]:
    """A source, and an older result of converting it."""

    def prepare(folder: Path) -> None:
        fastckpt.write(folder / "s", numbers(OLD))
        convert(suffix)(folder)
        numeric(folder)

    return prepare


def foreign_source(folder: Path) -> None:
    numeric(folder)
    fastckpt.convert(folder / "s", folder / "f.npz")
    write("m", OLD)(folder)


def convert_back(folder: Path) -> None:
    fastckpt.convert(folder / "f.npz", folder / "m")


def interrupted(renames: int) -> Callable[[Path], object]:
    """A save over a checkpoint where there are no hard links, of a process that ends before that
    rename: of the old index, of a data file, of the other one, of the new index."""

    def prepare(folder: Path) -> None:
        both(beside, write("m", OLD, num_shards=2))(folder)
        left = renames
        replace = os.replace

        def die(*arguments: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(0)
            replace(*arguments)

        def refuse(*arguments: Any) -> None:
            raise OSError(errno.EPERM, "no hard links here")

        os.replace, os.link = die, refuse
        fastckpt.write(folder / "m", values(NEW), num_shards=2)

    return prepare


def complete(folder: Path) -> None:
    fastckpt.complete(folder / "m")


def discard(folder: Path) -> None:
    with suppress(ValueError):  # there is nothing to go back to
        fastckpt.discard(folder / "m")


def complete_or_discard(folder: Path) -> None:
    """What doctor says: what is left once it was committed is of no use."""
    with suppress(ValueError):
        if fastckpt.complete(folder / "m"):
            return
    discard(folder)


def finish_or(act: Callable[[Path], object]) -> Callable[[Path], object]:
    """What a person does whose source was its own target: complete, else discard and edit."""

    def again(folder: Path) -> None:
        with suppress(fastckpt.CheckpointError, OSError):
            if fastckpt.complete(folder / "m"):
                return
        discard(folder)
        if "a" in fastckpt.read(folder / "m"):
            act(folder)

    return again


def lose_state(folder: Path) -> None:
    train_to(2)(folder)
    (folder / "checkpoint").write_text('model_checkpoint_path: "gone"\n')


def damaged(folder: Path) -> None:
    both(over, write("s", NEW, num_shards=2))(folder)
    data = folder / "s.data-00001-of-00002"
    os.truncate(data, data.stat().st_size - 10)


def careless(folder: Path) -> None:
    """Save as nobody should: the old files are cut short, and written again."""
    fastckpt.write(folder / "new", values(NEW))
    for path in sorted(folder.glob("new.*")):
        final = path.with_name(path.name.replace("new", "m"))
        with open(final, "r+b") as file:
            file.truncate()
            file.write(path.read_bytes())
        path.unlink()
