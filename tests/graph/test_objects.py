"""Object graphs: what is refused, what is bounded, and what TensorFlow's own parser finds, too."""

import json

import numpy as np
import pytest
from fresh import run
from object_graphs import CASES, checkpoint_of, child, field, graph_of, variable
from places import GOLDEN

import fastckpt
from fastckpt.graph.object_graph import ObjectGraph
from fastckpt.graph.objects import (
    GRAPH_KEY,
    encode_graph,
    read_object_graph,
    read_variables,
)
from fastckpt.graph.tracked import Attribute, TrackedObject

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


every_case = pytest.mark.parametrize("case", CASES)


# ---- Odd, but legal


def test_registered_saver_is_read_and_written():
    saver = field(4, field(1, b"Custom.saver") + field(2, b"table"))

    graph = graph_of(child(1, "t"), saver)

    assert graph.nodes[1].registered_saver.name == "Custom.saver"
    assert graph.nodes[1].registered_saver.object_name == "table"
    assert str(graph).splitlines()[1] == "  t: saved by Custom.saver"
    assert encode_graph(graph) == field(1, child(1, "t")) + field(1, saver)


def test_variables_are_those_that_the_checkpoint_has():
    data = b"".join(
        field(1, node) for node in [child(1, "a") + child(2, "b"), variable("k"), variable("gone")]
    )
    checkpoint = checkpoint_of({GRAPH_KEY: np.array(data, object), "k": np.ones(1)})

    assert read_variables(checkpoint) == {"a": "k"}


def test_without_a_graph_names_stand_for_themselves():
    checkpoint = checkpoint_of({"a": np.ones(1), "b/c": np.ones(1)})

    assert read_object_graph(checkpoint) is None
    assert read_variables(checkpoint) == {"a": "a", "b/c": "b/c"}


def test_graph_that_is_put_together_is_encoded():
    root, leaf = TrackedObject(0), TrackedObject(1)
    root.children = {"v": leaf, "me": root}
    leaf.attributes = (Attribute("VARIABLE_VALUE", "vv", "v" + VALUE),)
    leaf.has_checkpoint_values = True

    data = encode_graph(ObjectGraph([root, leaf]))

    attribute = field(
        2, field(1, b"VARIABLE_VALUE") + field(2, b"vv") + field(3, b"v" + VALUE.encode())
    )
    references = field(1, b"\x08\x01\x12\x01v") + field(1, b"\x12\x02me")
    assert data == field(1, references) + field(1, attribute + b"\x2a\x02\x08\x01")


# ---- What TensorFlow wrote


@every_case
def test_keys_are_there_and_names_are_readable(case):
    checkpoint = fastckpt.read(GOLDEN / case)

    graph, variables = checkpoint.object_graph, checkpoint.variables

    assert variables == graph.variables()
    assert sorted([*variables.values(), GRAPH_KEY]) == sorted(checkpoint)
    for path, key in variables.items():
        assert ".ATTRIBUTES" not in path
        is_listed = "/_trainable_variables/" in key  # TensorFlow's key leads through an optimizer
        if ":" not in path and ".S" not in key and ".." not in key and not is_listed:
            assert key == path + VALUE


@every_case
def test_graph_encoded_again_is_the_same_to_the_byte(case):
    checkpoint = fastckpt.read(GOLDEN / case)

    assert encode_graph(checkpoint.object_graph) == checkpoint[GRAPH_KEY].item()


def test_checkpoint_of_a_graph_saved_by_name_has_no_object_graph():
    checkpoint = fastckpt.read(GOLDEN / "tf1_saved_model" / "model")

    assert checkpoint.object_graph is None
    assert checkpoint.variables == {name: name for name in checkpoint}


@pytest.mark.tensorflow
def test_graphs_are_what_tensorflow_parses():
    code = """
        import json, sys
        import tensorflow as tf
        from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

        def describe(node):
            has = node.HasField("has_checkpoint_values")
            return [
                [[each.local_name, each.node_id] for each in node.children],
                [[each.name, each.full_name, each.checkpoint_key] for each in node.attributes],
                [[each.original_variable_node_id, each.slot_name, each.slot_variable_node_id]
                 for each in node.slot_variables],
                node.has_checkpoint_values.value if has else None,
            ]

        graphs = []
        for path in sys.argv[1:]:
            reader = tf.train.load_checkpoint(path)
            graph = TrackableObjectGraph()
            graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
            graphs.append([describe(node) for node in graph.nodes])
        print(json.dumps(graphs))
    """
    paths = [GOLDEN / case for case in CASES]

    expected = json.loads(run(code, *paths, timeout=120))

    for path, nodes in zip(paths, expected, strict=True):
        graph = fastckpt.read(path).object_graph
        assert [describe(node) for node in graph.nodes] == nodes, path


def describe(node):
    return [
        [[name, each.id] for name, each in node.children.items()],
        [[each.name, each.full_name, each.checkpoint_key] for each in node.attributes],
        [[each.variable.id, each.name, each.node.id] for each in node.owned_slots],
        node.has_checkpoint_values,
    ]
