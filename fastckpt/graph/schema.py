"""The messages of a MetaGraphDef, as schemas for both directions (docs/format.md, ".meta").

    MetaGraphDef  {1: info, 2: GraphDef, 3: SaverDef, 4: collections, 5: signatures, 6: assets}
    GraphDef      {1: NodeDef*, 2: library {1: FunctionDef*}, 4: versions}
    NodeDef       {1: name, 2: op, 3: input*, 4: device, 5: attribute map}
    AttrValue     one of list, s, i, f, b, type, shape, tensor, placeholder, func

Where a schema has a `SPAN`, what is there is decoded when it is asked for: a graph may have
millions of nodes, and constants of hundreds of megabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ..format._message import BOOL, BYTES, FLOAT, INT, SPAN, TEXT, Message

__all__ = [
    "ASSET",
    "ATTRIBUTE",
    "ATTRIBUTES",
    "CALL",
    "COLLECTION",
    "FUNCTION",
    "GRAPH",
    "HEADER",
    "LIBRARY",
    "META_GRAPH",
    "NODE",
    "SAVED_MODEL",
    "SAVER",
    "SHAPE",
    "SIGNATURE",
    "TENSOR",
    "TENSOR_HEADER",
    "VARIABLE",
    "SaverDef",
]

SHAPE: Final = Message(
    "TensorShapeProto",
    {2: ("dims", [Message("Dim", {1: ("size", INT)})]), 3: ("unknown_rank", BOOL)},
)
_TENSOR: Final[dict[int, Any]] = {1: ("dtype", INT), 2: ("shape", SPAN)}
TENSOR_HEADER: Final = Message("TensorProto", {**_TENSOR, 4: ("content", SPAN)})
TENSOR: Final = Message("TensorProto", {**_TENSOR, 7: ("ints", [INT]), 8: ("strings", [BYTES])})
_LIST: Final = Message(
    "ListValue",
    {
        2: ("s", [BYTES]),
        3: ("i", [INT]),
        4: ("f", [FLOAT]),
        5: ("b", [BOOL]),
        6: ("type", [INT]),
        7: ("shape", [SPAN]),
        8: ("tensor", [SPAN]),
        9: ("func", [SPAN]),
    },
)
ATTRIBUTE: Final = Message(
    "AttrValue",
    {
        1: ("list", _LIST),
        2: ("s", BYTES),
        3: ("i", INT),
        4: ("f", FLOAT),
        5: ("b", BOOL),
        6: ("type", INT),
        7: ("shape", SPAN),
        8: ("tensor", SPAN),
        9: ("placeholder", TEXT),
        10: ("func", SPAN),
    },
    is_oneof=True,
)
_ATTRIBUTES: Final[dict[int, Any]] = {TEXT: SPAN}
_HEADER: Final[dict[int, Any]] = {
    1: ("name", TEXT),
    2: ("op", TEXT),
    3: ("inputs", [TEXT]),
    4: ("device", TEXT),
}
HEADER: Final = Message("NodeDef", _HEADER)  # a node without its attributes,
ATTRIBUTES: Final = Message("NodeDef", {5: ("attributes", _ATTRIBUTES)})  # and they alone
NODE: Final = Message("NodeDef", {**_HEADER, 5: ("attributes", _ATTRIBUTES)})
CALL: Final = Message("NameAttrList", {1: ("name", TEXT), 2: ("attributes", _ATTRIBUTES)})

_VERSIONS: Final = Message(
    "VersionDef", {1: ("producer", INT), 2: ("min_consumer", INT), 3: ("bad_consumers", [INT])}
)
GRAPH: Final = Message(
    "GraphDef", {1: ("nodes", [SPAN]), 2: ("library", SPAN), 4: ("versions", _VERSIONS)}
)
LIBRARY: Final = Message("FunctionDefLibrary", {1: ("functions", [SPAN])})
FUNCTION: Final = Message("FunctionDef", {1: ("signature", Message("OpDef", {1: ("name", TEXT)}))})
SAVER: Final = Message(
    "SaverDef",
    {
        1: ("filename_tensor_name", TEXT),
        2: ("save_tensor_name", TEXT),
        3: ("restore_op_name", TEXT),
        4: ("max_to_keep", INT),
        5: ("sharded", BOOL),
        6: ("keep_checkpoint_every_n_hours", FLOAT),
        7: ("version", INT),
    },
)
COLLECTION: Final = Message(
    "CollectionDef",
    {
        1: ("node_list", Message("NodeList", {1: ("value", [TEXT])})),
        2: ("bytes_list", Message("BytesList", {1: ("value", [BYTES])})),
        3: ("int64_list", Message("Int64List", {1: ("value", [INT])})),
        4: ("float_list", Message("FloatList", {1: ("value", [FLOAT])})),
        5: ("any_list", Message("AnyList", {1: ("value", [BYTES])})),
    },
    is_oneof=True,
)
_TENSOR_INFO: Final = Message(
    "TensorInfo", {1: ("name", TEXT), 2: ("dtype", INT), 3: ("shape", SPAN)}
)
SIGNATURE: Final = Message(
    "SignatureDef",
    {
        1: ("inputs", {TEXT: _TENSOR_INFO}),
        2: ("outputs", {TEXT: _TENSOR_INFO}),
        3: ("method_name", TEXT),
    },
)
_INFO: Final = Message(
    "MetaInfoDef",
    {
        1: ("meta_graph_version", TEXT),
        4: ("tags", [TEXT]),
        5: ("tensorflow_version", TEXT),
        6: ("tensorflow_git_version", TEXT),
    },
)
ASSET: Final = Message("AssetFileDef", {1: ("tensor", _TENSOR_INFO), 2: ("filename", TEXT)})
META_GRAPH: Final = Message(
    "MetaGraphDef",
    {
        1: ("info", _INFO),
        2: ("graphs", [SPAN]),  # one; of several, the nodes are one after the other
        3: ("saver", SAVER),
        4: ("collections", {TEXT: SPAN}),
        5: ("signatures", {TEXT: SPAN}),
        6: ("assets", [SPAN]),
    },
)
SAVED_MODEL: Final = Message("SavedModel", {1: ("version", INT), 2: ("graphs", [SPAN])})
_SLICE: Final = Message(
    "SaveSliceInfoDef",
    {
        1: ("full_name", TEXT),
        2: ("full_shape", [INT]),
        3: ("var_offset", [INT]),
        4: ("var_shape", [INT]),
    },
)
VARIABLE: Final = Message(
    "VariableDef",
    {
        1: ("variable_name", TEXT),
        2: ("initializer_name", TEXT),
        3: ("snapshot_name", TEXT),
        4: ("slice", _SLICE),
        5: ("is_resource", BOOL),
        6: ("initial_value_name", TEXT),
        7: ("trainable", BOOL),
    },
)


@dataclass(frozen=True, slots=True)
class SaverDef:
    """How a saver saves: the names of its nodes, its retention, and the version of its files.

    `max_to_keep` 0 keeps all. `version` is `LEGACY` (none was given), `V1` or `V2`.
    """

    LEGACY = 0  # without annotations: no fields
    V1 = 1
    V2 = 2

    filename_tensor_name: str = "save/Const:0"
    save_tensor_name: str = "save/control_dependency:0"
    restore_op_name: str = "save/restore_all"
    max_to_keep: int = 5
    sharded: bool = False
    keep_checkpoint_every_n_hours: float = 10000.0
    version: int = 2
