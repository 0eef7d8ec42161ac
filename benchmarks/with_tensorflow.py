"""Every case with TensorFlow: `tf.train.load_checkpoint` to read, the SaveV2 op to write."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import tensorflow as tf  # type: ignore[import-untyped]
from numpy.typing import NDArray

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
    """List the keys of the shape map, the least TensorFlow offers: `list_variables` sorts too."""
    path = fixtures.prefix("small")

    def timed() -> list[str]:
        return list(tf.train.load_checkpoint(path).get_variable_to_shape_map())

    return Trial(timed, lambda names: check_names(fixtures, names))


def get_one(fixtures: Fixtures) -> Trial[Tensors]:
    path, name = fixtures.prefix("small"), fixtures.middle_name()

    def timed() -> Tensors:
        return {name: tf.train.load_checkpoint(path).get_tensor(name)}

    return Trial(timed, lambda tensors: check_small(fixtures, [name], tensors))


def get_random(fixtures: Fixtures) -> Trial[list[NDArray[Any]]]:
    reader, names = tf.train.load_checkpoint(fixtures.prefix("small")), fixtures.random_names()

    def timed() -> list[NDArray[Any]]:
        return [reader.get_tensor(name) for name in names]

    def check(tensors: list[Any]) -> None:
        # TensorFlow hands out a scalar as a NumPy scalar, which `check_small` takes as well.
        check_small(fixtures, names, dict(zip(names, tensors, strict=True)))

    return Trial(timed, check)


def infos(fixtures: Fixtures) -> Trial[dict[str, list[int]]]:
    path = fixtures.prefix("small")

    def timed() -> dict[str, list[int]]:
        shapes: dict[str, list[int]] = tf.train.load_checkpoint(path).get_variable_to_shape_map()
        return shapes

    return Trial(timed, lambda shapes: check_shapes(fixtures, shapes))


def get_big(fixtures: Fixtures) -> Trial[Tensors]:
    reader = tf.train.load_checkpoint(fixtures.prefix("big"))
    names = cycle(fixtures.big_names())

    def timed() -> Tensors:
        name = next(names)
        return {name: reader.get_tensor(name)}

    return Trial(timed, lambda tensors: check_big(fixtures, tensors, tensors))


def use_big(fixtures: Fixtures) -> Trial[float]:
    path, name = fixtures.prefix("big"), fixtures.big_names()[-1]

    def timed() -> float:
        return float(tf.train.load_checkpoint(path).get_tensor(name).max())

    return Trial(
        timed, lambda top: expect(top == fixtures.big_tensor(name).max(), "a wrong maximum")
    )


def load(fixtures: Fixtures) -> Trial[Tensors]:
    path = fixtures.prefix("big")
    return Trial(lambda: read_all(path), lambda tensors: check_loaded(fixtures, tensors))


def verify(fixtures: Fixtures) -> Trial[None]:
    """Read and drop one tensor after the other: TensorFlow verifies only what it reads."""

    def timed() -> None:
        read_and_drop(fixtures.prefix("big"))

    def check(_: None) -> None:
        try:
            read_and_drop(fixtures.prefix("damaged"))
        except tf.errors.OpError as error:
            expect("Checksum does not match" in str(error), str(error))
            return
        expect(False, "a damaged checkpoint was verified")

    return Trial(timed, check)


def write_big(fixtures: Fixtures) -> Trial[None]:
    tensors = {name: tf.constant(fixtures.big_tensor(name)) for name in fixtures.big_names()}
    return write(fixtures, tensors, lambda found: check_loaded(fixtures, found))


def write_small(fixtures: Fixtures) -> Trial[None]:
    source = fixtures.small_tensors(fixtures.scale.write_count)
    tensors = {name: tf.constant(tensor) for name, tensor in source.items()}
    return write(fixtures, tensors, lambda found: check_small(fixtures, source, found))


def write(
    fixtures: Fixtures, tensors: dict[str, Any], check: Callable[[Tensors], None]
) -> Trial[None]:
    """Write what are tensors already, so that the conversion from NumPy is not counted."""
    path = str(fixtures.output / "model.ckpt")
    names, values, slices = list(tensors), list(tensors.values()), [""] * len(tensors)

    def timed() -> None:
        tf.raw_ops.SaveV2(prefix=path, tensor_names=names, shape_and_slices=slices, tensors=values)

    return Trial(timed, lambda _: check(read_all(path)), before=fixtures.clear_output)


def read_all(path: str) -> Tensors:
    """Every tensor of a checkpoint."""
    reader = tf.train.load_checkpoint(path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def read_and_drop(path: str) -> None:
    """Read every tensor of a checkpoint and keep none."""
    reader = tf.train.load_checkpoint(path)
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)


def graph_nodes(fixtures: Fixtures) -> Trial[list[str]]:
    """Parse the graph and its declarations; importing it would take minutes."""
    from tensorflow.core.framework.variable_pb2 import (  # type: ignore[import-untyped]
        VariableDef,
    )

    def timed() -> list[str]:
        declared = read_graph(fixtures, "nodes").collection_def["variables"].bytes_list.value
        names = (VariableDef.FromString(each).variable_name for each in declared)
        return [name.removesuffix(":0") for name in names]

    return Trial(timed, lambda names: check_names(fixtures, names))


def graph_constants(fixtures: Fixtures) -> Trial[Tensors]:
    name = fixtures.big_names()[-1]

    def timed() -> Tensors:
        nodes = read_graph(fixtures, "constants").graph_def.node
        node = next(node for node in nodes if node.name == name)
        return {name: tf.make_ndarray(node.attr["value"].tensor)}

    return Trial(timed, lambda tensors: check_big(fixtures, [name], tensors))


def read_graph(fixtures: Fixtures, name: str) -> Any:
    from tensorflow.core.protobuf.meta_graph_pb2 import (  # type: ignore[import-untyped]
        MetaGraphDef,
    )

    with open(fixtures.graph(name), "rb") as file:
        return MetaGraphDef.FromString(file.read())
