"""Graphs put together by hand, and all that a graph says."""

import numpy as np
from oracle import to_tensor

from fastckpt import read_meta
from fastckpt.format._message_encoder import encode
from fastckpt.format.dtypes import by_number
from fastckpt.graph.meta import SaverDef
from fastckpt.graph.nodes import Function
from fastckpt.graph.schema import ATTRIBUTE, GRAPH, META_GRAPH, NODE, SHAPE, TENSOR, TENSOR_HEADER

DTYPES = {by_number(number).name: by_number(number) for number in range(1, 34)}


def describe(meta):
    """Everything that a graph says, in the form of `GraphOracle.facts`: decodes all of it."""
    saver = meta.saver_def
    return {
        "nodes": [
            (node.name, node.op, node.inputs, node.device, describe_attributes(node.attrs))
            for node in meta.nodes
        ],
        "collections": dict(meta.collections),
        "variables": {
            each.name: (
                {
                    name: getattr(each, name)
                    for name in (
                        *("initial_value_name", "initializer_name", "snapshot_name", "trainable"),
                        *("is_resource", "full_name", "full_shape", "var_offset", "var_shape"),
                    )
                },
                list(each.collections),
            )
            for each in meta.variables
        },
        "signatures": {
            name: (describe_specs(each.inputs), describe_specs(each.outputs), each.method_name)
            for name, each in meta.signatures.items()
        },
        "saver_def": saver is not None
        and {name: getattr(saver, name) for name in SaverDef.__dataclass_fields__},
        "versions": (meta.versions.producer, meta.versions.min_consumer),
        "tags": list(meta.tags),
        "tensorflow_version": meta.tensorflow_version,
        "functions": list(meta.functions),
        "assets": dict(meta.assets),
    }


def describe_attributes(attributes):
    return {name: describe_value(value) for name, value in attributes.items()}


def describe_value(value):
    if isinstance(value, list):
        return [describe_value(item) for item in value]
    if isinstance(value, np.ndarray):  # of one value there may be more than memory can hold
        return ("tensor", *to_tensor(value if value.size < 2**20 else value[:0]))
    if isinstance(value, Function):
        return ("func", value.name, describe_attributes(value.attrs))
    return value


def describe_specs(specs):
    return {key: (spec.name, spec.dtype, spec.shape) for key, spec in specs.items()}


def write_graph(path, nodes, **fields):
    """Write a `.meta` of encoded nodes."""
    graph = encode(GRAPH, {"nodes": nodes})
    path.write_bytes(encode(META_GRAPH, {"graphs": [graph], **fields}))
    return path


def read_attribute(path, value, message=ATTRIBUTE):
    """Read an attribute back that was written alone into a graph."""
    node = encode(NODE, {"name": "n", "attributes": {"value": encode(message, value)}})
    return read_meta(write_graph(path / "g.meta", [node])).node("n").attrs["value"]


def encode_tensor(dtype, dims, **fields):
    shape = encode(SHAPE, {"dims": [{"size": size} for size in dims]})
    message = TENSOR_HEADER if "content" in fields else TENSOR
    return {"tensor": encode(message, {"dtype": dtype, "shape": shape, **fields})}
