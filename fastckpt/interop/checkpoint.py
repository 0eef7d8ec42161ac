"""Checkpoints themselves, as the source or the target of a conversion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from ..bundle.names import index_path, list_files
from ..bundle.writer import Writer
from ..checkpoint import Checkpoint
from ..format._record import encode_name
from ..format.dtypes import by_name
from ..graph.objects import GRAPH_KEY, read_object_graph
from ..storage.folder import is_same_place
from ..v1.names import parse_v1
from .base import TensorHeader, refuse

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["CheckpointSource", "CheckpointTarget"]

_CONFIG: Final = "/.ATTRIBUTES/OBJECT_CONFIG_JSON"  # Keras's description of an object, no value


class CheckpointSource:
    """The tensors of an open checkpoint, in key order. All that is read is verified.

    With `is_readable` the tensors of an object-based checkpoint have the names of
    `Checkpoint.variables`. The object graph, the counter of saves and Keras's descriptions of
    objects, which only TensorFlow needs, are left out. Tensors that are not the value of an object,
    such as those of lookup tables, keep their names.
    """

    def __init__(self, checkpoint: Checkpoint, is_readable: bool) -> None:
        self.path = checkpoint.path
        self._checkpoint = checkpoint
        infos = {info.name: info for info in checkpoint.infos()}
        self._keys = _readable_names(checkpoint, infos) if is_readable else {n: n for n in infos}
        self._infos = infos

    def tensors(self) -> list[TensorHeader]:
        return [self._describe(name, key) for name, key in self._keys.items()]

    def read(self, name: str) -> Array:
        return self._checkpoint.get_tensor(self._keys[name], copy=True)

    def owns(self, path: str) -> bool:
        if self._checkpoint.format == "V2":
            files = [index_path(self.path), *list_files(self.path)[0]]
            return any(is_same_place(path, each) for each in files)
        shard = parse_v1(path)
        is_shard = shard is not None and is_same_place(shard.pattern, self.path)
        return is_shard or is_same_place(path, self.path)

    def close(self) -> None:
        """Do nothing: the checkpoint may be the caller's."""

    def _describe(self, name: str, key: str) -> TensorHeader:
        info = self._infos[key]
        dtype = by_name(info.tf_dtype)
        if dtype is None:
            raise refuse(self.path, name, f"expected a known dtype, got {info.tf_dtype}")
        return TensorHeader(name, dtype, info.shape, info.nbytes)


def _readable_names(checkpoint: Checkpoint, keys: Iterable[str]) -> dict[str, str]:
    """Return {readable name: name of the tensor}."""
    graph = read_object_graph(checkpoint)
    if graph is None:
        return {key: key for key in keys}
    paths = {key: path for path, key in graph.variables().items()}
    names: dict[str, str] = {}
    for key in keys:
        if key in (GRAPH_KEY, graph.save_counter) or key.endswith(_CONFIG):
            continue
        name = paths.get(key, key)
        if name in names:
            raise ValueError(
                f"{checkpoint.path}: tensors {names[name]!r} and {key!r} would both be called "
                f"{name!r}; convert with names='keys'"
            )
        names[name] = key
    return names


class CheckpointTarget:
    """A checkpoint that is being written. It holds every tensor that has an array form."""

    def __init__(self, path: str, tensors: Sequence[TensorHeader]) -> None:
        for tensor in tensors:
            if not encode_name(tensor.name):
                raise ValueError("a tensor's name must not be empty")
            if tensor.dtype.name in ("resource", "variant"):
                why = f"expected a dtype that an array can hold, got {tensor.dtype.name}"
                raise refuse(path, tensor.name, why)
        self.path = path
        self.order = tensors

    def add(self, tensor: TensorHeader, array: Array) -> None:
        self._writer.add(tensor.name, array, tf_dtype=tensor.dtype.name)

    def __enter__(self) -> CheckpointTarget:
        self._writer = Writer(self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, trace)
