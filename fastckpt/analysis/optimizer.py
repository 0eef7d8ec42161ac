"""Which tensors are an optimizer's: what a checkpoint can do without unless training goes on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

from ..checkpoint import Checkpoint
from ..graph.object_graph import ObjectGraph
from ..graph.tracked import TrackedObject, is_optimizer
from ..paths.read import open_source

__all__ = ["list_optimizer_names"]

# Slots of the optimizers of TensorFlow 1 and its add-ons, by their names under the variable's; a
# second slot, or a second optimizer, adds a number.
_SLOTS: Final = frozenset(
    ["Adadelta", "Adagrad", "AdagradDA", "Adam", "AdamW", "AdaMax", "AddSignOptimizer", "Ftrl"]
    + ["LARSOptimizer", "LazyAdam", "Momentum", "PowerSignOptimizer", "ProximalAdagrad", "RMSProp"]
    + ["adam_m", "adam_v", "lamb_m", "lamb_v"]  # of BERT and LAMB
)
_KERAS_SLOTS: Final = frozenset(
    ["m", "v", "vhat", "momentum", "rms", "mg", "accumulator", "accum_grad", "accum_var", "linear"]
)
_KERAS_SETTINGS: Final = frozenset(["iter", "beta_1", "beta_2", "decay", "learning_rate", "rho"])
_NUMBER: Final = re.compile(r"_[0-9]+\Z")
_POWER: Final = re.compile(r"(?:.*/)?beta[12]_power(?:_[0-9]+)?", re.DOTALL)  # Adam's
_FACTORED: Final = re.compile(r"(.*)_slot_(?:v|m|vr|vc)", re.DOTALL)  # Adafactor's


def list_optimizer_names(path: str | os.PathLike[str] | Checkpoint) -> list[str]:
    """Return the names of the tensors that only an optimizer needs, in key order.

    With an object graph (`tf.train.Checkpoint`, Keras) an optimizer is an object that keeps slots,
    is called ``optimizer``, or has both iterations and a learning rate. Its are the variables to
    which only it leads: Keras 3 stores a model's weights under the name that its optimizer has for
    them, and they are not among them. The save counter stays.

    Without one it goes by name and shape: ``kernel/Adam``, ``scope/kernel/Adam_1`` and, of a Keras
    optimizer in a graph, ``Adam/kernel/m`` are an optimizer's if there is a ``kernel`` of the same
    shape; so are ``kernel_slot_vr`` (Adafactor) and the scalars ``beta1_power`` and
    ``beta2_power``. Moving averages of weights stay.

    ``rename(src, dst, lambda name: None if name in dropped else name)`` leaves them out.
    """
    with open_source(path) as checkpoint:
        graph = checkpoint.object_graph
        found = set(_by_name(checkpoint) if graph is None else _by_graph(checkpoint, graph))
        return [name for name in checkpoint if name in found]


def _by_name(checkpoint: Checkpoint) -> Iterator[str]:
    shapes = {info.name: info.shape for info in checkpoint.infos()}
    scopes = set()  # of Keras optimizers in a graph
    for name, shape in shapes.items():
        variable, _, last = name.rpartition("/")
        factored = _FACTORED.fullmatch(name)
        if last in _KERAS_SLOTS:
            scope, _, inner = variable.partition("/")
            if inner and shapes.get(inner) == shape:
                scopes.add(scope)
                yield name
        elif _NUMBER.sub("", last) in _SLOTS:
            if any(shapes.get(each) == shape for each in _without_scopes(variable)):
                yield name
        elif (not shape and _POWER.fullmatch(name)) or (factored and factored[1] in shapes):
            yield name
    for scope in scopes:
        yield from (
            each for each in (f"{scope}/{name}" for name in _KERAS_SETTINGS) if each in shapes
        )


def _without_scopes(name: str) -> Iterator[str]:
    """Yield a name, and what is left of it without its first scopes, eight at most."""
    for _ in range(9):
        yield name
        _, slash, name = name.partition("/")
        if not slash:
            return


def _by_graph(checkpoint: Checkpoint, graph: ObjectGraph) -> Iterator[str]:
    needed = {each.checkpoint_key for node in _walk(graph.root) for each in node.attributes}
    needed |= {graph.save_counter or ""}
    for node in graph.nodes:
        for each in node.attributes:
            if each.checkpoint_key not in needed and each.checkpoint_key in checkpoint:
                yield each.checkpoint_key


def _walk(root: TrackedObject) -> Iterator[TrackedObject]:
    """Yield the objects to which the root leads by ways that pass no optimizer."""
    seen = {root.id}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        for name, child in node.children.items():
            if child.id not in seen and not is_optimizer(name, child):
                seen.add(child.id)
                waiting.append(child)
