"""Every case that safetensors has an answer to, on the same tensors as one .safetensors file.

It stores no checksums: there is no `verify` here, and its other times are for unverified bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from benchmarks.fixtures import Fixtures
from benchmarks.trial import (
    Trial,
    check_big,
    check_loaded,
    check_names,
    check_shapes,
    check_small,
    expect,
)

Tensors = dict[str, NDArray[Any]]


def list_names(fixtures: Fixtures) -> Trial[list[str]]:
    path = fixtures.safetensors("small")

    def timed() -> list[str]:
        with safe_open(path, framework="numpy") as handle:
            return list(handle.keys())

    return Trial(timed, lambda names: check_names(fixtures, names))


def get_one(fixtures: Fixtures) -> Trial[Tensors]:
    path, name = fixtures.safetensors("small"), fixtures.middle_name()

    def timed() -> Tensors:
        with safe_open(path, framework="numpy") as handle:
            return {name: handle.get_tensor(name)}

    return Trial(timed, lambda tensors: check_small(fixtures, [name], tensors))


def get_random(fixtures: Fixtures) -> Trial[list[NDArray[Any]]]:
    handle: Any = safe_open(fixtures.safetensors("small"), framework="numpy")
    names = fixtures.random_names()

    def timed() -> list[NDArray[Any]]:
        return [handle.get_tensor(name) for name in names]

    return Trial(
        timed,
        lambda tensors: check_small(fixtures, names, dict(zip(names, tensors, strict=True))),
    )


def infos(fixtures: Fixtures) -> Trial[dict[str, list[int]]]:
    """Collect the shapes through lazy slices, the only public way that reads no data."""
    path = fixtures.safetensors("small")

    def timed() -> dict[str, list[int]]:
        with safe_open(path, framework="numpy") as handle:
            names = handle.keys()
            return {name: handle.get_slice(name).get_shape() for name in names}

    return Trial(timed, lambda shapes: check_shapes(fixtures, shapes))


def get_big(fixtures: Fixtures) -> Trial[Tensors]:
    handle: Any = safe_open(fixtures.safetensors("big"), framework="numpy")
    names = cycle(fixtures.big_names())

    def timed() -> Tensors:
        name = next(names)
        return {name: handle.get_tensor(name)}

    return Trial(timed, lambda tensors: check_big(fixtures, tensors, tensors))


def use_big(fixtures: Fixtures) -> Trial[float]:
    path, name = fixtures.safetensors("big"), fixtures.big_names()[-1]

    def timed() -> float:
        with safe_open(path, framework="numpy") as handle:
            return float(handle.get_tensor(name).max())

    return Trial(
        timed, lambda top: expect(top == fixtures.big_tensor(name).max(), "a wrong maximum")
    )


def load(fixtures: Fixtures) -> Trial[Tensors]:
    path = fixtures.safetensors("big")
    return Trial(lambda: load_file(path), lambda tensors: check_loaded(fixtures, tensors))


def write_big(fixtures: Fixtures) -> Trial[None]:
    tensors = {name: fixtures.big_tensor(name) for name in fixtures.big_names()}
    return write(fixtures, tensors, lambda found: check_loaded(fixtures, found))


def write_small(fixtures: Fixtures) -> Trial[None]:
    tensors = fixtures.small_tensors(fixtures.scale.write_count)
    return write(fixtures, tensors, lambda found: check_small(fixtures, tensors, found))


def write(fixtures: Fixtures, tensors: Tensors, check: Callable[[Tensors], None]) -> Trial[None]:
    path = str(fixtures.output / "model.safetensors")
    return Trial(
        lambda: save_file(tensors, path),
        lambda _: check(load_file(path)),
        before=fixtures.clear_output,
    )
