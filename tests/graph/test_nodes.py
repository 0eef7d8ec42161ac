"""The nodes of a graph and their attributes."""

import numpy as np
import pytest
from graph_files import describe_attributes, encode_tensor, write_graph

from fastckpt import read_meta
from fastckpt.format._message_encoder import encode
from fastckpt.graph.schema import ATTRIBUTE, CALL, NODE, SHAPE


def test_attributes_have_python_values(tmp_path):
    attributes = {
        "string": {"s": b"\xff"},
        "number": {"i": -3},
        "real": {"f": 0.5},
        "flag": {"b": False},
        "type": {"type": 1},
        "reference": {"type": 103},
        "odd_type": {"type": 77},
        "shape": {"shape": encode(SHAPE, {"dims": [{"size": -1}, {"size": 3}]})},
        "no_rank": {"shape": encode(SHAPE, {"unknown_rank": True})},
        "strings": {"list": {"s": [b"a", b"b"]}},
        "types": {"list": {"type": [1, 107]}},
        "shapes": {"list": {"shape": [b"", encode(SHAPE, {"unknown_rank": True})]}},
        "tensors": {"list": {"tensor": [encode_tensor(3, [], ints=[5])["tensor"]]}},
        "flags": {"list": {"b": [True, False]}},
        "empty": {"list": {}},
        "nothing": {},
        "placeholder": {"placeholder": "T"},
    }
    encoded = {name: encode(ATTRIBUTE, value) for name, value in attributes.items()}
    node = encode(NODE, {"name": "n", "op": "Odd", "attributes": encoded})

    found = read_meta(write_graph(tmp_path / "g.meta", [node])).node("n").attrs

    assert describe_attributes(found) == {
        "string": b"\xff",
        "number": -3,
        "real": 0.5,
        "flag": False,
        "type": "float32",
        "reference": "int32_ref",
        "odd_type": "unknown(77)",
        "shape": (-1, 3),
        "no_rank": None,
        "strings": [b"a", b"b"],
        "types": ["float32", "string_ref"],
        "shapes": [(), None],
        "tensors": [("tensor", "int32", (), np.int32(5).tobytes())],
        "flags": [True, False],
        "empty": [],
        "nothing": None,
        "placeholder": "T",
    }
    assert len(found) == len(attributes)
    with pytest.raises(KeyError):
        found["missing"]


def test_nodes_are_a_sequence(tmp_path):
    nodes = [encode(NODE, {"name": f"n{i}", "op": "NoOp", "inputs": ["^n0"]}) for i in range(9000)]
    meta = read_meta(write_graph(tmp_path / "g.meta", nodes))

    assert len(meta.nodes) == 9000
    assert meta.nodes[-1].name == "n8999"
    assert meta.nodes[3].inputs == ("^n0",)
    assert [node.name for node in meta.nodes[2:8:3]] == ["n2", "n5"]
    assert [node.name for node in meta.nodes] == [f"n{i}" for i in range(9000)]
    assert meta.node("n4567").name == "n4567"
    with pytest.raises(IndexError):
        meta.nodes[9000]
    with pytest.raises(KeyError):
        meta.node("n9000")


def test_functions_nested_deeply_take_no_recursion(tmp_path):
    depth = 3000
    value = encode(ATTRIBUTE, {"i": 7})
    for _ in range(depth):
        value = encode(ATTRIBUTE, {"func": encode(CALL, {"name": "f", "attributes": {"g": value}})})
    node = encode(NODE, {"name": "n", "attributes": {"g": value}})

    found = read_meta(write_graph(tmp_path / "g.meta", [node])).node("n").attrs["g"]
    for _ in range(depth):
        assert found.name == "f"
        found = found.attrs["g"]

    assert found == 7
