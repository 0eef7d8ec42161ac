"""Which tensors are an optimizer's: what a checkpoint can do without unless training goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from ..checkpoint import Checkpoint
from ..graph.object_graph import ObjectGraph
from ..graph.tracked import TrackedObject, is_optimizer
from ..paths.read import open_source

__all__ = ["list_optimizer_names"]

# What the optimizers of TensorFlow 1, and BERT's and LAMB's own, add to a variable's name.
_SLOTS: Final = frozenset(
    ["Adadelta", "Adadelta_1", "Adagrad", "AdagradDA", "Adam", "Adam_1", "AdamW", "AdamW_1"]
    + ["AdaMax", "AdaMax_1", "Ftrl", "Ftrl_1", "Momentum", "ProximalAdagrad", "RMSProp"]
    + ["RMSProp_1", "RMSProp_2", "adam_m", "adam_v", "lamb_m", "lamb_v"]
)
_POWERS: Final = frozenset(["beta1_power", "beta2_power"])  # Adam's, one for each graph


def list_optimizer_names(path: str | os.PathLike[str] | Checkpoint) -> list[str]:
    """Return the names of the tensors that only an optimizer needs, in key order.

    With an object graph (`tf.train.Checkpoint`, Keras) an optimizer is an object that keeps slots,
    is called ``optimizer``, or has both iterations and a learning rate. Its are the variables to
    which only it leads: Keras 3 stores a model's weights under the name that its optimizer has for
    them, and they are not among them. The save counter stays.

    Without one it goes by name and shape, as `tf.train.Optimizer` made them: ``kernel/Adam`` is an
    optimizer's where there is a ``kernel`` of the same shape, and so are the scalars
    ``beta1_power`` and ``beta2_power``. Moving averages of weights stay.

    ``rename(src, dst, lambda name: None if name in dropped else name)`` leaves them out.
    """
    with open_source(path) as checkpoint:
        graph = checkpoint.object_graph
        found = set(_by_name(checkpoint) if graph is None else _by_graph(checkpoint, graph))
        return [name for name in checkpoint if name in found]


def _by_name(checkpoint: Checkpoint) -> Iterator[str]:
    shapes = {info.name: info.shape for info in checkpoint.infos()}
    for name, shape in shapes.items():
        variable, _, last = name.rpartition("/")
        if (last in _SLOTS and shapes.get(variable) == shape) or (last in _POWERS and not shape):
            yield name


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
