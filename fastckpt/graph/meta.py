"""`MetaGraph`: the graph of a `.meta` file or of a SavedModel.

Opening finds where each node begins, in C; a node, a
collection or a constant is decoded when it is asked for. So a graph takes the memory of its file
and 16 bytes per node.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from ..errors import FormatError, UnsupportedError
from ..format._message import decode
from .constants import Shape, Source, Span, decode_shape, type_name
from .meta_writer import encode_meta
from .nodes import Attributes, Function, Node, Nodes
from .schema import (
    ASSET,
    COLLECTION,
    FUNCTION,
    GRAPH,
    LIBRARY,
    META_GRAPH,
    SAVED_MODEL,
    SIGNATURE,
    VARIABLE,
    SaverDef,
)

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "Attributes",
    "Function",
    "MetaGraph",
    "MetaVariable",
    "Node",
    "SaverDef",
    "Signature",
    "TensorSpec",
    "Versions",
    "decode_meta",
    "encode_meta",
]


class MetaVariable:
    """A variable, or one part of a partitioned one, as the graph declares it.

    `collections` are those that list it.
    """

    __slots__ = ("_found", "_nodes", "collections")

    def __init__(self, found: dict[str, Any], nodes: Nodes, collections: tuple[str, ...]) -> None:
        self._found = found
        self._nodes = nodes
        self.collections = collections

    @property
    def name(self) -> str:
        """The name of the tensor that it gives: it ends in ":0"."""
        return str(self._found["variable_name"])

    @property
    def checkpoint_name(self) -> str:
        """The name of its tensor in a checkpoint."""
        return self.full_name or self.name.removesuffix(":0")

    @property
    def initial_value_name(self) -> str:
        """The name of the tensor that it begins with."""
        return str(self._found["initial_value_name"])

    @property
    def initializer_name(self) -> str:
        """The name of the node that gives it its first value."""
        return str(self._found["initializer_name"])

    @property
    def snapshot_name(self) -> str:
        """The name of the tensor that reads it."""
        return str(self._found["snapshot_name"])

    @property
    def trainable(self) -> bool:
        """Whether it is, by its declaration or by the collection "trainable_variables"."""
        return bool(self._found["trainable"]) or _TRAINABLE in self.collections

    @property
    def is_resource(self) -> bool:
        """Whether it is a resource variable."""
        return bool(self._found["is_resource"])

    @property
    def dtype(self) -> str | None:
        """The name of its node's dtype; None if the graph has no such node."""
        return cast("str | None", self._attribute("dtype"))

    @property
    def shape(self) -> Shape | None:
        """The shape of its node; None if the graph has no such node, or for an unknown rank."""
        return cast("Shape | None", self._attribute("shape"))

    @property
    def full_name(self) -> str:
        """Of a part of a partitioned variable: the name of the whole. Else ""."""
        part = self._found["slice"]
        return str(part["full_name"]) if part else ""

    @property
    def full_shape(self) -> Shape:
        """Of a part: the shape of the whole. Else ()."""
        return self._part("full_shape")

    @property
    def var_offset(self) -> Shape:
        """Of a part: where it begins in the whole. Else ()."""
        return self._part("var_offset")

    @property
    def var_shape(self) -> Shape:
        """Of a part: its own shape. Else ()."""
        return self._part("var_shape")

    def __repr__(self) -> str:
        return (
            f"MetaVariable({self.name!r}, dtype={self.dtype}, shape={self.shape}, "
            f"checkpoint_name={self.checkpoint_name!r}, trainable={self.trainable}, "
            f"collections={self.collections})"
        )

    def _attribute(self, name: str) -> Any:
        node = self._nodes.find(self.name.removesuffix(":0"))
        return None if node is None else node.attrs.get(name)

    def _part(self, field: str) -> Shape:
        part = self._found["slice"]
        return tuple(part[field].tolist()) if part else ()


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor of the graph: its name ("" for a sparse or composite one), its dtype by name, and
    its shape, -1 for an unknown dimension and None for an unknown rank."""

    name: str
    dtype: str
    shape: Shape | None


@dataclass(frozen=True, slots=True)
class Signature:
    """How a SavedModel is called."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method_name: str


@dataclass(frozen=True, slots=True)
class Versions:
    """The version of the graph's format that wrote it, and the oldest that may read it."""

    producer: int
    min_consumer: int


class MetaGraph:
    """A graph and what was said about it. See `fastckpt.read_meta`.

    `nodes` is a sequence of `Node`. What is not there is empty, and `saver_def` None. Parts are
    decoded when they are asked for, so any of them can raise `FormatError`.
    """

    def __init__(self, source: Source, span: Span) -> None:
        self._source = source
        self._message = source.decode(META_GRAPH, span, "graph")
        info = self._message["info"] or {}
        self.path = source.path
        self.meta_graph_version: str = info.get("meta_graph_version", "")
        self.tensorflow_version: str = info.get("tensorflow_version", "")
        self.tensorflow_git_version: str = info.get("tensorflow_git_version", "")
        self.tags: tuple[str, ...] = tuple(info.get("tags", ()))
        saver = self._message["saver"]
        self.saver_def: SaverDef | None = saver and SaverDef(**saver)
        if not len(self._message["graphs"]):
            raise FormatError(source.path, "graph", "expected a GraphDef, got none")
        graphs = [source.decode(GRAPH, each, "graph") for each in self._message["graphs"].tolist()]
        versions = [graph["versions"] for graph in graphs if graph["versions"]] or [{}]
        self.versions = Versions(
            versions[-1].get("producer", 0), versions[-1].get("min_consumer", 0)
        )
        self.nodes = Nodes(source, _join([graph["nodes"] for graph in graphs]))
        self._libraries = [graph["library"] for graph in graphs if graph["library"]]
        self._collections: dict[str, list[Any]] | None = None
        self._variables: tuple[MetaVariable, ...] | None = None

    def __repr__(self) -> str:
        return f"<MetaGraph {self.path!r}: {len(self.nodes)} nodes>"

    def node(self, name: str) -> Node:
        """Return the node of a name. Raises `KeyError`. The first call goes through all nodes."""
        found = self.nodes.find(name)
        if found is None:
            raise KeyError(name)
        return found

    @property
    def collections(self) -> Mapping[str, list[Any]]:
        """The collections by name: lists of `str` (names of nodes and tensors), of `bytes` (any
        serialized message), of `int`, or of `float`."""
        if self._collections is None:
            self._collections = {
                name: self._decode_collection(name, span or (0, 0))
                for name, span in self._message["collections"].items()
            }
        return self._collections

    @property
    def variables(self) -> tuple[MetaVariable, ...]:
        """The variables that the collections list: the global ones in order, then the others."""
        if self._variables is None:
            self._variables = tuple(self._find_variables())
        return self._variables

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The signatures by name."""
        return {
            name: self._decode_signature(name, span or (0, 0))
            for name, span in self._message["signatures"].items()
        }

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the functions of the graph's library."""
        found = []
        for library in self._libraries:
            spans = self._source.decode(LIBRARY, library, "library")["functions"]
            for start, end in spans.tolist():
                function = self._source.decode(FUNCTION, (start, end), "function")
                found.append(function["signature"]["name"] if function["signature"] else "")
        return tuple(found)

    @property
    def assets(self) -> Mapping[str, str]:
        """The names of asset files, by the name of the tensor that is to hold their path."""
        found = {}
        for begin in range(0, len(self._message["assets"]), _BATCH):
            for start, end in self._message["assets"][begin : begin + _BATCH].tolist():
                asset = self._source.decode(ASSET, (start, end), "asset")
                found[asset["tensor"]["name"] if asset["tensor"] else ""] = asset["filename"]
        return found

    def _decode_collection(self, name: str, span: Span) -> list[Any]:
        found = self._source.decode(COLLECTION, span, f"collection {name!r}")
        for chosen in found.values():
            values = chosen["value"]
            return list(values.tolist() if isinstance(values, np.ndarray) else values)
        return []

    def _decode_signature(self, name: str, span: Span) -> Signature:
        what = f"signature {name!r}"
        found = self._source.decode(SIGNATURE, span, what)
        inputs, outputs = (
            {
                key: TensorSpec(
                    info["name"],
                    type_name(info["dtype"]),
                    decode_shape(self._source, info["shape"], what) if info["shape"] else None,
                )
                for key, info in found[side].items()
            }
            for side in ("inputs", "outputs")
        )
        return Signature(inputs, outputs, found["method_name"])

    def _find_variables(self) -> list[MetaVariable]:
        declared: dict[str, dict[str, Any]] = {}
        listed: dict[str, tuple[str, ...]] = {}  # variable: its collections
        for collection in _VARIABLE_COLLECTIONS:
            only = (collection,)  # one tuple for the many variables that are in no other
            what = f"variable of collection {collection!r}"
            for value in self.collections.get(collection, ()):
                if not isinstance(value, bytes):
                    continue
                found = decode(VARIABLE, value, self.path, what)
                name = found["variable_name"]
                if name not in declared:
                    declared[name] = found
                    listed[name] = only
                elif collection not in listed[name]:
                    listed[name] += only
        nodes = self.nodes
        return [MetaVariable(found, nodes, listed[name]) for name, found in declared.items()]


_BATCH: Final = 4096  # of spans that are Python objects at the same time
_TRAINABLE: Final = "trainable_variables"  # files before 1.9 say it only by this collection
_VARIABLE_COLLECTIONS: Final = (  # those whose bytes TensorFlow takes for a VariableDef
    "variables",
    _TRAINABLE,
    "local_variables",
    "model_variables",
    "moving_average_variables",
    "metric_variables",
    "global_step",
)


def _join(spans: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return spans[0] if len(spans) == 1 else np.concatenate(spans)


# ---- Files ----

_FIELD_NAMES: Final = (
    b"meta_info_def|graph_def|saver_def|collection_def|signature_def|asset_file_def"
    b"|object_graph_def|saved_model_schema_version|meta_graphs"
)
_TEXT: Final = re.compile(rb"(?:\s|#[^\n]*\n)*(?:" + _FIELD_NAMES + rb")\s*[:{<]")
_HEAD: Final = 4096  # bytes that are enough to tell text by


def decode_meta(data: npt.NDArray[np.uint8], path: str) -> MetaGraph:
    """Return the graph of a file's bytes, which it views; `path` is for errors.

    Of several graphs in a SavedModel the first is taken. Raises `UnsupportedError` for a graph in
    protobuf's text format, `FormatError`.
    """
    if _TEXT.match(data[:_HEAD].tobytes()):
        raise UnsupportedError(path, "graph", "expected a binary file, got text format")
    source = Source(data, path)
    model = source.decode(SAVED_MODEL, (0, len(data)), "SavedModel")
    if not model["version"]:  # every SavedModel has one; of a .meta this field is no number
        return MetaGraph(source, (0, len(data)))
    if not len(model["graphs"]):
        raise FormatError(path, "SavedModel", "expected a MetaGraphDef, got none")
    start, end = model["graphs"][0].tolist()
    return MetaGraph(source, (start, end))
