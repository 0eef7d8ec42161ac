"""Every case as a user of fastckpt would write it."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from numpy.typing import NDArray

import fastckpt
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
    path = fixtures.prefix("small")

    def timed() -> list[str]:
        with fastckpt.read(path) as ckpt:
            return list(ckpt)

    return Trial(timed, lambda names: check_names(fixtures, names))


def get_one(fixtures: Fixtures) -> Trial[Tensors]:
    path, name = fixtures.prefix("small"), fixtures.middle_name()

    def timed() -> Tensors:
        with fastckpt.read(path) as ckpt:
            return {name: ckpt[name]}

    return Trial(timed, lambda tensors: check_small(fixtures, [name], tensors))


def get_random(fixtures: Fixtures) -> Trial[list[NDArray[Any]]]:
    ckpt, names = fastckpt.read(fixtures.prefix("small")), fixtures.random_names()

    def timed() -> list[NDArray[Any]]:
        return [ckpt[name] for name in names]

    return Trial(
        timed,
        lambda tensors: check_small(fixtures, names, dict(zip(names, tensors, strict=True))),
    )


def infos(fixtures: Fixtures) -> Trial[list[fastckpt.TensorInfo]]:
    path = fixtures.prefix("small")

    def timed() -> list[fastckpt.TensorInfo]:
        with fastckpt.read(path) as ckpt:
            return list(ckpt.infos())

    return Trial(
        timed, lambda found: check_shapes(fixtures, {info.name: info.shape for info in found})
    )


def get_big(fixtures: Fixtures) -> Trial[Tensors]:
    ckpt, names = fastckpt.read(fixtures.prefix("big")), cycle(fixtures.big_names())

    def timed() -> Tensors:
        name = next(names)
        return {name: ckpt[name]}

    return Trial(timed, lambda tensors: check_big(fixtures, tensors, tensors))


def use_big(fixtures: Fixtures) -> Trial[float]:
    path, name = fixtures.prefix("big"), fixtures.big_names()[-1]

    def timed() -> float:
        with fastckpt.read(path) as ckpt:
            return float(ckpt[name].max())

    return Trial(
        timed, lambda top: expect(top == fixtures.big_tensor(name).max(), "a wrong maximum")
    )


def load(fixtures: Fixtures) -> Trial[Tensors]:
    path = fixtures.prefix("big")
    return Trial(
        lambda: fastckpt.load(path),
        lambda tensors: check_loaded(fixtures, tensors),
    )


def verify(fixtures: Fixtures) -> Trial[None]:
    def timed() -> None:
        with fastckpt.read(fixtures.prefix("big")) as ckpt:
            ckpt.verify()

    def check(_: None) -> None:
        with fastckpt.read(fixtures.prefix("damaged")) as ckpt:
            try:
                ckpt.verify()
            except fastckpt.ChecksumError:
                return
        expect(False, "a damaged checkpoint was verified")

    return Trial(timed, check)


def write_big(fixtures: Fixtures) -> Trial[None]:
    tensors = {name: fixtures.big_tensor(name) for name in fixtures.big_names()}
    return write(fixtures, tensors, lambda found: check_loaded(fixtures, found))


def write_small(fixtures: Fixtures) -> Trial[None]:
    tensors = fixtures.small_tensors(fixtures.scale.write_count)
    return write(fixtures, tensors, lambda found: check_small(fixtures, tensors, found))


def write(fixtures: Fixtures, tensors: Tensors, check: Any) -> Trial[None]:
    """Write `tensors`; TensorFlow then reads them, checksums and all."""
    path = str(fixtures.output / "model.ckpt")

    def check_with_tensorflow(_: None) -> None:
        from benchmarks import with_tensorflow

        check(with_tensorflow.read_all(path))

    return Trial(
        lambda: fastckpt.write(path, tensors, sync=False),
        check_with_tensorflow,
        before=fixtures.clear_output,
    )


def graph_nodes(fixtures: Fixtures) -> Trial[list[str]]:
    path, read_meta = fixtures.graph("nodes"), fastckpt.read_meta

    def timed() -> list[str]:
        return [variable.checkpoint_name for variable in read_meta(path).variables]

    return Trial(timed, lambda names: check_names(fixtures, names))


def graph_constants(fixtures: Fixtures) -> Trial[Tensors]:
    path, read_meta = fixtures.graph("constants"), fastckpt.read_meta
    name = fixtures.big_names()[-1]

    def timed() -> Tensors:
        return {name: read_meta(path).node(name).attrs["value"]}

    return Trial(timed, lambda tensors: check_big(fixtures, [name], tensors))
