"""The hot paths, each as a small program whose instructions `benchmarks.instructions` counts.

python -m benchmarks.hot_paths FOLDER NAME...

runs them in FOLDER, on the files that `make_files` wrote there, and checks their results. Under
callgrind, libc's ``getppid`` marks the sections: callgrind dumps its counters, and begins again
from 0, whenever it is called.

Each path runs three times: to warm up, with `count` repetitions, and with twice as many. The
difference of the last two is the cost of `count` repetitions, without anything done only once.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastckpt
from benchmarks.fixtures import SEED, Fixtures, Scale
from benchmarks.trial import Trial, check_equal, expect

SCALE = Scale("counted", small_count=1000, get_count=0, write_count=0, big_count=1, big_items=0)
BIG_SHAPE = (4096, 1024)  # 16 MiB of float32
KIBIBYTES = BIG_SHAPE[0] * BIG_SHAPE[1] * 4 >> 10
PART_COUNT = 4
STRINGS_COUNT = 100
REGION = (slice(1000, 1100), slice(10, 74))  # crosses from the first part into the second

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class HotPath:
    """A row of the table: `set_up(n)` returns a program of n repetitions, each of `units` units."""

    set_up: Callable[[int], Trial[Any]]
    count: int
    unit: str
    units: int = 1

    @property
    def name(self) -> str:
        return self.set_up.__name__


@cache
def small() -> Tensors:
    """1,000 tensors of 8 to 128 bytes with the names of a BERT trained with Adam."""
    return Fixtures(Path(), SCALE).small_tensors()


@cache
def big() -> Tensors:
    """One tensor of 16 MiB."""
    return {"kernel": np.random.default_rng(SEED).standard_normal(BIG_SHAPE, np.float32)}


@cache
def strings() -> Tensors:
    """100 tensors of 20 strings of 0 to 19 bytes."""
    values = np.array([b"x" * length for length in range(20)], object)
    return {f"vocabulary_{number:02d}": values for number in range(STRINGS_COUNT)}


def make_files(folder: Path) -> None:
    """Write the checkpoints that the hot paths read, packed as TensorFlow packs them."""
    fastckpt.write(folder / "small", small(), alignment=1, sync=False)
    fastckpt.write(folder / "big", big(), alignment=1, sync=False)
    fastckpt.write(folder / "strings", strings(), alignment=1, sync=False)
    kernel = big()["kernel"]
    with fastckpt.Writer(folder / "parts", alignment=1, sync=False) as writer:
        for number, part in enumerate(np.split(kernel, PART_COUNT)):
            start = (number * len(part), 0)
            writer.add_slice("kernel", part, full_shape=kernel.shape, start=start)
    saver = fastckpt.train.Saver(small(), write_version=fastckpt.train.SaverDef.V1)
    saver.save(None, folder / "v1", write_meta_graph=False, write_state=False)


# --- The interpreter and NumPy without fastckpt: tells one build of them from another ---


def reference(count: int) -> Trial[Tensors]:
    data = b"".join(tensor.tobytes() for tensor in small().values())

    def timed() -> Tensors:
        for _ in range(count):
            offset, arrays = 0, {}
            for name, tensor in small().items():
                flat = np.frombuffer(data, tensor.dtype, tensor.size, offset)
                arrays[name], offset = flat.reshape(tensor.shape), offset + tensor.nbytes
        return arrays

    return Trial(timed, lambda arrays: check_tensors(arrays, small()))


# --- One tensor ---


def get(count: int) -> Trial[list[NDArray[Any]]]:
    return get_each("small", shuffled_names(), count)


def get_v1(count: int) -> Trial[list[NDArray[Any]]]:
    return get_each("v1", shuffled_names()[:100], count)


def get_each(path: str, names: list[str], count: int) -> Trial[list[NDArray[Any]]]:
    """Get tensors of an open checkpoint that were all read before."""
    ckpt = fastckpt.read(path)
    for name in names:
        ckpt[name]

    def timed() -> list[NDArray[Any]]:
        for _ in range(count):
            arrays = [ckpt[name] for name in names]
        return arrays

    def check(arrays: list[NDArray[Any]]) -> None:
        check_tensors(dict(zip(names, arrays, strict=True)), {n: small()[n] for n in names})

    return Trial(timed, check)


def get_first(count: int) -> Trial[list[NDArray[Any]]]:
    """Get one tensor, from the middle, of each of `count` freshly opened checkpoints."""
    ckpts = [fastckpt.read("small") for _ in range(count)]
    name = sorted(small())[len(small()) // 2]

    def check(arrays: list[NDArray[Any]]) -> None:
        expect(len(arrays) == count, f"{len(arrays)} tensors, not {count}")
        for array in arrays:
            check_equal(name, array, small()[name])

    return Trial(lambda: [ckpt[name] for ckpt in ckpts], check)


def get_slice(count: int) -> Trial[NDArray[Any]]:
    return get_region("big", count)


def get_slice_of_parts(count: int) -> Trial[NDArray[Any]]:
    return get_region("parts", count)


def get_region(path: str, count: int) -> Trial[NDArray[Any]]:
    ckpt = fastckpt.read(path)

    def timed() -> NDArray[Any]:
        for _ in range(count):
            array = ckpt.get_slice("kernel")[REGION]
        return array

    return Trial(timed, lambda array: check_equal("kernel", array, big()["kernel"][REGION]))


# --- The index ---


def open_close(count: int) -> Trial[int]:
    def timed() -> int:
        for _ in range(count):
            with fastckpt.read("small") as ckpt:
                num_shards = ckpt.num_shards
        return num_shards

    return Trial(timed, lambda num_shards: expect(num_shards == 1, f"{num_shards} shards, not 1"))


def contains(count: int) -> Trial[list[bool]]:
    ckpt, names = fastckpt.read("small"), shuffled_names()

    def timed() -> list[bool]:
        for _ in range(count):
            found = [name in ckpt for name in names]
        return found

    return Trial(timed, lambda found: expect(all(found), "a name that is there was not found"))


def info(count: int) -> Trial[list[fastckpt.TensorInfo]]:
    ckpt, names = fastckpt.read("small"), shuffled_names()

    def timed() -> list[fastckpt.TensorInfo]:
        for _ in range(count):
            found = [ckpt.info(name) for name in names]
        return found

    return Trial(timed, lambda found: check_infos(found, names))


def infos(count: int) -> Trial[list[fastckpt.TensorInfo]]:
    def timed() -> list[fastckpt.TensorInfo]:
        for _ in range(count):
            with fastckpt.read("small") as ckpt:
                found = list(ckpt.infos())
        return found

    return Trial(timed, lambda found: check_infos(found, sorted(small())))


def list_names(count: int) -> Trial[list[str]]:
    def timed() -> list[str]:
        for _ in range(count):
            with fastckpt.read("small") as ckpt:
                names = list(ckpt)
        return names

    return Trial(timed, lambda names: expect(names == sorted(small()), "other names"))


# --- Whole checkpoints ---


def load_small(count: int) -> Trial[Tensors]:
    return load("small", small(), count)


def load_strings(count: int) -> Trial[Tensors]:
    return load("strings", strings(), count)


def load_big(count: int) -> Trial[Tensors]:
    return load("big", big(), count)


def load(path: str, tensors: Tensors, count: int) -> Trial[Tensors]:
    def timed() -> Tensors:
        for _ in range(count):
            loaded = fastckpt.load(path, threads=1)
        return loaded

    return Trial(timed, lambda loaded: check_tensors(loaded, tensors))


def restore_small(count: int) -> Trial[Tensors]:
    target = {name: np.zeros_like(tensor) for name, tensor in small().items()}

    def timed() -> Tensors:
        for _ in range(count):
            fastckpt.restore(target, "small")
        return target

    return Trial(timed, lambda restored: check_tensors(restored, small()))


def verify_small(count: int) -> Trial[None]:
    return verify("small", count)


def verify_big(count: int) -> Trial[None]:
    return verify("big", count)


def verify(path: str, count: int) -> Trial[None]:
    ckpt = fastckpt.read(path)

    def timed() -> None:
        for _ in range(count):
            ckpt.verify()

    return Trial(timed, lambda _: check_verifies(path))


def write_small(count: int) -> Trial[list[str]]:
    return write(small(), count)


def write_big(count: int) -> Trial[list[str]]:
    return write(big(), count)


def write(tensors: Tensors, count: int) -> Trial[list[str]]:
    """Write `count` checkpoints, each in a folder of its own."""
    folders = [f"output/{number}" for number in range(count)]
    paths = [f"{folder}/model.ckpt" for folder in folders]

    def before() -> None:
        shutil.rmtree("output", ignore_errors=True)
        for folder in folders:
            os.makedirs(folder)

    def timed() -> list[str]:
        for path in paths:
            fastckpt.write(path, tensors, sync=False, threads=1)
        return paths

    return Trial(timed, lambda _: check_tensors(fastckpt.load(paths[-1]), tensors), before)


# --- Checks ---


def check_tensors(actual: Mapping[str, NDArray[Any]], expected: Tensors) -> None:
    expect(actual.keys() == expected.keys(), "the names are not those that were asked for")
    for name, tensor in expected.items():
        check_equal(name, actual[name], tensor)


def check_infos(found: list[fastckpt.TensorInfo], names: Iterable[str]) -> None:
    expected = [(name, small()[name].dtype, small()[name].shape) for name in names]
    expect([(i.name, i.dtype, i.shape) for i in found] == expected, "other names, dtypes or shapes")


def check_verifies(path: str) -> None:
    """`verify` refuses a copy with one bit of its last byte flipped."""
    data = bytearray(Path(f"{path}.data-00000-of-00001").read_bytes())
    data[-1] ^= 0x80
    Path("damaged.data-00000-of-00001").write_bytes(data)
    shutil.copy(f"{path}.index", "damaged.index")
    with fastckpt.read("damaged") as ckpt:
        try:
            ckpt.verify()
        except fastckpt.ChecksumError:
            return
    expect(False, "a damaged checkpoint was verified")


def shuffled_names() -> list[str]:
    """The names of `small` in random order."""
    return random.Random(SEED).sample(sorted(small()), len(small()))


# --- The table ---

HOT_PATHS = (
    HotPath(reference, 2, "tensor", SCALE.small_count),
    HotPath(get, 2, "get", SCALE.small_count),
    HotPath(get_first, 10, "get"),
    HotPath(get_v1, 1, "get", 100),
    HotPath(get_slice, 20, "region"),
    HotPath(get_slice_of_parts, 20, "region"),
    HotPath(open_close, 20, "open"),
    HotPath(contains, 2, "look-up", SCALE.small_count),
    HotPath(info, 2, "info", SCALE.small_count),
    HotPath(infos, 2, "tensor", SCALE.small_count),
    HotPath(list_names, 2, "tensor", SCALE.small_count),
    HotPath(load_small, 1, "tensor", SCALE.small_count),
    HotPath(load_strings, 1, "tensor", STRINGS_COUNT),
    HotPath(load_big, 1, "KiB", KIBIBYTES),
    HotPath(restore_small, 1, "tensor", SCALE.small_count),
    HotPath(verify_small, 1, "tensor", SCALE.small_count),
    HotPath(verify_big, 1, "KiB", KIBIBYTES),
    HotPath(write_small, 1, "tensor", SCALE.small_count),
    HotPath(write_big, 1, "KiB", KIBIBYTES),
)


def run(path: HotPath) -> None:
    """Warm up, then mark the begin and the end of `count` and of 2 * `count` repetitions."""
    warm_up = path.set_up(path.count)
    warm_up.before()
    warm_up.timed()
    for count in (path.count, 2 * path.count):
        trial = path.set_up(count)
        trial.before()
        gc.collect()
        os.getppid()
        result = trial.timed()
        os.getppid()
    trial.check(result)


def main() -> None:
    folder, *names = sys.argv[1:]
    os.chdir(folder)  # relative paths: the counts do not depend on where the folder is
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one thread is the default then
    gc.disable()  # its runs depend on all that was allocated before
    for path in HOT_PATHS:
        if path.name in names:
            run(path)


if __name__ == "__main__":
    main()
