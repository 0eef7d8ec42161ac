"""`encode_meta`: a graph that does nothing but hold, save and restore some variables.

    v                 VariableV2, or VarHandleOp
    v/initial_value   Const         zeros, without the bytes of them
    v/Assign          Assign        v/initial_value -> v
    v/read            Identity      its value
    save/SaveV2       SaveV2        save/Const (the prefix), names, slices, the variables
    save/RestoreV2    RestoreV2     save/Const, names, slices
    save/Assign_i     Assign        save/RestoreV2:i -> v
    save/restore_all  NoOp          after every save/Assign_i

TensorFlow 1.15 and 2.21 take it (docs/format.md, ".meta").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ..format._message_encoder import encode
from ..format._record import encode_name
from ..format.dtypes import STRING, DType
from .schema import (
    ATTRIBUTE,
    COLLECTION,
    GRAPH,
    META_GRAPH,
    NODE,
    SHAPE,
    TENSOR,
    VARIABLE,
    SaverDef,
)

__all__ = ["encode_meta"]

Shape = tuple[int, ...]


def encode_meta(variables: Iterable[tuple[str, DType, Shape]], saver_def: SaverDef) -> bytes:
    """Return a `.meta` from which TensorFlow restores variables: `import_meta_graph(path)`, then
    `restore(session, prefix)`. It can save them again, too. The same bytes for the same input.

    `variables` are (name in the checkpoint, dtype, shape). Each is a variable of that name, in
    the collection of the global ones; which are trainable is not known, so none is. A name that
    no operation can have (letters, digits, ``_./-``, the first one a letter, a digit or a point),
    or that a node of the saver has, becomes a similar one: "a b" the variable "a_b"; in
    checkpoints it keeps its name, also in those of a saver that is built anew, unless it is a
    scalar or has no elements. What TensorFlow has no kernels for (`qint16` and the float8 types
    that end in "fnuz") is left out, since the graph would not run at all with it. Types of
    `_RESOURCES` are resource variables, any other a reference variable, whose value is what
    `session.run("v:0")` gives.

    `saver_def` gives the names of the saver's nodes, and is in the file. With `V1` the saver
    writes V1 checkpoints. With `sharded` it writes one shard: of V2 that is what it writes without.
    Without variables the file has no saver, as TensorFlow writes it.
    """
    graph = _Graph()
    names = (saver_def.filename_tensor_name, saver_def.save_tensor_name, saver_def.restore_op_name)
    saver = _SaverNodes(*(graph.take(name.partition(":")[0]) for name in names))
    declared = graph.add_variables([each for each in variables if each[1].name not in _NOT_HELD])
    if not declared:
        return encode(META_GRAPH, {"graphs": [graph.encode()]})
    _add_saver(graph, saver, declared, saver_def)
    saver_def = replace(
        saver_def,
        filename_tensor_name=f"{saver.filename}:0",
        save_tensor_name=f"{saver.save}:0",
        restore_op_name=saver.restore,
    )
    listed = [encode(VARIABLE, each.describe()) for each in declared]
    collections = {"variables": encode(COLLECTION, {"bytes_list": {"value": listed}})}
    saver_fields = {name: getattr(saver_def, name) for name in SaverDef.__dataclass_fields__}
    return encode(
        META_GRAPH,
        {"graphs": [graph.encode()], "saver": saver_fields, "collections": collections},
    )


_NOT_HELD: Final = {
    "qint16",
    "float8_e4m3fnuz",
    "float8_e4m3b11fnuz",
    "float8_e5m2fnuz",
    "resource",
    "variant",
}
_RESOURCES: Final = {  # those that one TensorFlow or the other cannot assign to a reference
    "uint32",
    "uint64",
    "float8_e5m2",
    "float8_e4m3fn",
    "int4",
    "uint4",
    "int2",
    "uint2",
    "float4_e2m1fn",
}
_PRODUCER: Final = 134  # TensorFlow 1.15's; with 0 what is built on top would be taken for ancient


class _SaverNodes(NamedTuple):
    """The nodes that a SaverDef names."""

    filename: str
    save: str
    restore: str


class _Declared(NamedTuple):
    """A variable, and the nodes that it has in the graph."""

    name: str
    dtype: DType
    shape: Shape
    is_resource: bool
    node: str
    initial_value: str
    initializer: str
    read: str

    @property
    def saved(self) -> str:
        """What is to be saved: a reference stands for its value."""
        return self.read if self.is_resource else self.node

    def describe(self) -> dict[str, object]:
        """Return the fields of its VariableDef."""
        is_renamed = self.node != self.name
        can_be_sliced = self.shape and min(self.shape) > 0 and not _BYTE.search(self.name)
        return {
            "variable_name": f"{self.node}:0",
            "initializer_name": self.initializer,
            "snapshot_name": f"{self.read}:0",
            "initial_value_name": f"{self.initial_value}:0",
            "is_resource": self.is_resource,
            "slice": self._describe_whole() if is_renamed and can_be_sliced else None,
        }

    def _describe_whole(self) -> dict[str, object]:
        """Return the slice that is all of a tensor: it tells other savers the tensor's name."""
        return {
            "full_name": self.name,
            "full_shape": self.shape,
            "var_offset": (0,) * len(self.shape),
            "var_shape": self.shape,
        }


_BYTE: Final = re.compile("[\ud800-\udfff]")  # in a name that is no UTF-8, as a message must be


class _Graph:
    """Nodes that are being put together, each under a name that is legal and its own."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}

    def take(self, wanted: str) -> str:
        """Return the name of a new node: the wanted one or, if it cannot be, one like it."""
        legal = _ILLEGAL.sub("_", wanted)
        if _LEGAL.fullmatch(legal) is None:
            legal = "v" + legal
        name = legal
        while name in self._taken:
            self._counts[legal] = self._counts.get(legal, 0) + 1
            name = f"{legal}_{self._counts[legal]}"
        self._taken.add(name)
        return name

    def add(
        self, name: str, op: str, inputs: Sequence[str] = (), **attributes: Mapping[str, object]
    ) -> str:
        """Add a node with a name that was taken; return it."""
        encoded = {key: encode(ATTRIBUTE, value) for key, value in attributes.items()}
        fields = {"name": name, "op": op, "inputs": inputs, "attributes": encoded}
        self._nodes.append(encode(NODE, fields))
        return name

    def add_strings(self, wanted: str, strings: list[bytes], shape: Shape) -> str:
        """Add a constant of strings."""
        return self.add(
            self.take(wanted),
            "Const",
            dtype=_type(STRING),
            value=_tensor(STRING, shape, strings),
        )

    def add_number(self, wanted: str, number: int) -> str:
        """Add an int32 constant."""
        value = {"tensor": encode(TENSOR, {"dtype": _INT32, "shape": b"", "ints": [number]})}
        return self.add(self.take(wanted), "Const", dtype={"type": _INT32}, value=value)

    def add_variables(self, variables: list[tuple[str, DType, Shape]]) -> list[_Declared]:
        """Add variables, with what initializes and reads them."""
        # those that can keep their names come first, so that no other one gets there before
        is_odd = [_LEGAL.fullmatch(name) is None for name, _, _ in variables]
        order = sorted(range(len(variables)), key=is_odd.__getitem__)
        nodes = {i: self.take(variables[i][0]) for i in order}
        return [self._add_variable(nodes[i], *each) for i, each in enumerate(variables)]

    def _add_variable(self, node: str, name: str, dtype: DType, shape: Shape) -> _Declared:
        type_, size = _type(dtype), {"shape": _shape(shape)}
        is_resource = dtype.name in _RESOURCES
        if is_resource:
            shared_name = {"s": node.encode()}
            self.add(node, "VarHandleOp", dtype=type_, shape=size, shared_name=shared_name)
        else:
            self.add(node, "VariableV2", dtype=type_, shape=size)
        initial_value = self.take(f"{node}/initial_value")
        self.add(initial_value, "Const", dtype=type_, value=_tensor(dtype, shape, []))
        initializer = self.add_assign(f"{node}/Assign", node, initial_value, dtype)
        if is_resource:
            read = self.take(f"{node}/Read/ReadVariableOp")
            self.add(read, "ReadVariableOp", [node], dtype=type_)
        else:
            read = self.add(self.take(f"{node}/read"), "Identity", [node], T=type_)
        return _Declared(name, dtype, shape, is_resource, node, initial_value, initializer, read)

    def add_assign(self, wanted: str, variable: str, value: str, dtype: DType) -> str:
        """Add what assigns a value to a variable."""
        name = self.take(wanted)
        if dtype.name in _RESOURCES:
            return self.add(name, "AssignVariableOp", [variable, value], dtype=_type(dtype))
        return self.add(name, "Assign", [variable, value], T=_type(dtype))

    def encode(self) -> bytes:
        """Return the GraphDef."""
        return encode(GRAPH, {"nodes": self._nodes, "versions": {"producer": _PRODUCER}})


_LEGAL: Final = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_./-]*")
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_./-]")
_INT32: Final = 3


def _add_saver(
    graph: _Graph, saver: _SaverNodes, variables: list[_Declared], saver_def: SaverDef
) -> None:
    """Add the nodes that save and restore, beside the one that restores all."""
    scope = saver.restore.rpartition("/")[0] or "save"
    graph.add(
        saver.filename, "Const", dtype=_type(STRING), value=_tensor(STRING, (), [_DEFAULT_PREFIX])
    )
    _add_save(graph, scope, saver, variables, saver_def)
    inputs = _add_names(graph, f"{scope}/RestoreV2", saver.filename, variables)
    restored = graph.add(
        graph.take(f"{scope}/RestoreV2"), "RestoreV2", inputs, dtypes=_types(variables)
    )
    assigned = [
        graph.add_assign(f"{scope}/Assign", each.node, f"{restored}:{number}", each.dtype)
        for number, each in enumerate(variables)
    ]
    graph.add(saver.restore, "NoOp", [f"^{name}" for name in assigned])


_DEFAULT_PREFIX: Final = b"model"  # where the saver writes when it is run without a path


def _add_save(
    graph: _Graph,
    scope: str,
    saver: _SaverNodes,
    variables: list[_Declared],
    saver_def: SaverDef,
) -> None:
    """Add what saves, and then gives the path that a checkpoint is known by."""
    path, target = saver.filename, saver.filename
    is_v1 = saver_def.version == SaverDef.V1
    if is_v1 and saver_def.sharded:
        shard = graph.add_number(f"{scope}/ShardedFilename/shard", 0)
        count = graph.add_number(f"{scope}/num_shards", 1)
        target = graph.take(f"{scope}/ShardedFilename")
        graph.add(target, "ShardedFilename", [path, shard, count])
        path = graph.add(graph.take(f"{scope}/ShardedFilespec"), "ShardedFilespec", [path, count])
    op, types = ("SaveSlices", "T") if is_v1 else ("SaveV2", "dtypes")
    inputs = _add_names(graph, f"{scope}/{op}", target, variables)
    inputs += [each.saved for each in variables]
    saved = graph.add(graph.take(f"{scope}/{op}"), op, inputs, **{types: _types(variables)})
    graph.add(saver.save, "Identity", [path, f"^{saved}"], T=_type(STRING))


def _add_names(graph: _Graph, scope: str, filename: str, variables: list[_Declared]) -> list[str]:
    """Add the names in the checkpoint, of whole tensors; return the inputs of what uses them."""
    keys = [encode_name(each.name) for each in variables]
    names = graph.add_strings(f"{scope}/tensor_names", keys, (len(keys),))
    slices = graph.add_strings(f"{scope}/shape_and_slices", [b""] * len(keys), (len(keys),))
    return [filename, names, slices]


def _type(dtype: DType) -> dict[str, object]:
    return {"type": dtype.number}


def _types(variables: list[_Declared]) -> dict[str, object]:
    return {"list": {"type": [each.dtype.number for each in variables]}}


def _shape(shape: Shape) -> bytes:
    return encode(SHAPE, {"dims": [{"size": size} for size in shape]})


def _tensor(dtype: DType, shape: Shape, strings: list[bytes]) -> dict[str, object]:
    """Return the attribute of a tensor of strings or, without values, of zeros."""
    return {
        "tensor": encode(
            TENSOR, {"dtype": dtype.number, "shape": _shape(shape), "strings": strings}
        )
    }
