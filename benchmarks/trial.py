"""A contender that is set up and ready to be timed, and the checks that its results must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.fixtures import Fixtures

T = TypeVar("T")


class WrongResultError(Exception):
    """A contender was timed doing something else than what its case asks for."""


def nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True)
class Trial(Generic[T]):
    """What is timed, how its result is judged, and what has to happen before each repetition.

    Whatever a contender does before it returns a Trial is set-up and costs it nothing.
    """

    timed: Callable[[], T]
    check: Callable[[T], None]
    before: Callable[[], None] = nothing


def expect(is_right: bool, what: str) -> None:
    """Raise WrongResultError unless `is_right`. Unlike `assert`, it stays under ``python -O``."""
    if not is_right:
        raise WrongResultError(what)


def check_names(fixtures: Fixtures, names: Iterable[str]) -> None:
    """`names` are those of `small`; in any order, since not every contender promises one."""
    expect(sorted(names) == fixtures.small_names(), "the names are not those that were written")


def check_shapes(fixtures: Fixtures, shapes: Mapping[str, Iterable[int]]) -> None:
    """`shapes` are those of all of `small`."""
    expected = {name: tensor.shape for name, tensor in fixtures.small_tensors().items()}
    actual = {name: tuple(shape) for name, shape in shapes.items()}
    expect(actual == expected, "the shapes are not those that were written")


def check_small(
    fixtures: Fixtures, names: Iterable[str], tensors: Mapping[str, NDArray[Any]]
) -> None:
    """`tensors` are those of `small` with the given names, and no others."""
    source = fixtures.small_tensors()
    expected = {name: source[name] for name in names}
    expect(tensors.keys() == expected.keys(), "the names are not those that were asked for")
    for name, tensor in expected.items():
        check_equal(name, tensors[name], tensor)


def check_big(
    fixtures: Fixtures, names: Iterable[str], tensors: Mapping[str, NDArray[Any]]
) -> None:
    """`tensors` are those of `big` with the given names, and no others."""
    expected = list(names)
    expect(sorted(tensors) == sorted(expected), "the names are not those that were asked for")
    for name in expected:
        check_equal(name, tensors[name], fixtures.big_tensor(name))


def check_loaded(fixtures: Fixtures, tensors: Mapping[str, NDArray[Any]]) -> None:
    """`tensors` are all of `big`, in memory that may be written to."""
    check_big(fixtures, fixtures.big_names(), tensors)
    for name, tensor in tensors.items():
        expect(tensor.flags.writeable, f"{name} is read-only")


def check_equal(name: str, actual: NDArray[Any], expected: NDArray[Any]) -> None:
    expect(actual.dtype == expected.dtype, f"{name} is {actual.dtype}, not {expected.dtype}")
    expect(actual.shape == expected.shape, f"{name} is {actual.shape}, not {expected.shape}")
    expect(np.array_equal(actual, expected), f"{name} has other values than were written")
