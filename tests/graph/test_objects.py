"""Object graphs: what is refused, what is bounded, and what TensorFlow's own parser finds, too."""

import json

import numpy as np
import pytest
from fresh import run
from object_graphs import checkpoint_of, child, field, graph_of, slot, variable
from places import GOLDEN

import fastckpt
from fastckpt.graph.objects import (
    GRAPH_KEY,
    Attribute,
    Node,
    ObjectGraph,
    encode_graph,
    read_object_graph,
    read_variables,
)

CASES = [
    "tf1_keras_weights/weights",
    "tf1_object/obj-1",
    "tf1_object/obj-2",
    "tf2_keras3/keras",
    "tf2_keras3_export/model/variables/variables",
    "tf2_manager/run-300",
    "tf2_manager/run-500",
    "tf2_max_shard_size/sharded",
    "tf2_object/obj-1",
    "tf2_object/obj-2",
    "tf2_saved_model/model/variables/variables",
    "tf2_slot_variables/obj",
]


VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


every_case = pytest.mark.parametrize("case", CASES)


# ---- Odd, but legal


def test_cycles_and_self_references_are_legal():
    graph = graph_of(child(0, "self") + child(1, "a"), child(2, "b"), child(1, "c") + child(0, "d"))

    assert graph.root.children["self"] is graph.root
    assert [node.path for node in graph.nodes] == ["", "a", "a/b"]
    assert graph.nodes[2].children["c"] is graph.nodes[1]
    assert str(graph).splitlines() == [
        "root",
        "  self -> root",
        "  a",
        "    b",
        "      c -> a",
        "      d -> root",
    ]


def test_of_two_children_of_one_name_the_first_counts():
    graph = graph_of(child(1, "a") + child(2, "a"), variable("k1"), variable("k2"))

    assert graph.root.children == {"a": graph.nodes[1]}
    assert (graph.nodes[2].path, graph.nodes[2].is_reached) == (None, False)
    assert graph.variables() == {"a": "k1", "k2": "k2"}


def test_slots_that_point_anywhere_are_no_harm():
    graph = graph_of(
        child(1, "v") + slot(0, 0, "root") + slot(1, 1, "itself") + slot(3, 2, "lost"),
        variable("v"),
        variable("s"),
        variable("w"),
    )

    assert [each.name for each in graph.root.owned_slots] == ["root", "itself", "lost"]
    assert graph.variables() == {"v": "v", "s": "s", "w": "w"}
    assert str(graph).splitlines() == [
        "root",
        "  v: variable",
        "    itself (slot of root) -> v",
        "  root (slot of root) -> root",
    ]


def test_names_that_are_not_unique_are_replaced_by_those_of_the_tensors():
    graph = graph_of(
        child(1, "a/b") + child(2, "a"),
        variable("a.Sb" + VALUE),
        child(3, "b") + child(4, "c"),
        variable("a/b" + VALUE),
        variable("a/c" + VALUE),
    )

    assert graph.variables() == {
        "a.Sb" + VALUE: "a.Sb" + VALUE,
        "a/b" + VALUE: "a/b" + VALUE,
        "a/c": "a/c" + VALUE,
    }


def test_root_that_is_a_variable_goes_by_its_tensor():
    graph = graph_of(variable(VALUE))

    assert graph.variables() == {VALUE: VALUE}
    assert str(graph) == "root: variable"


def test_other_attributes_stand_behind_a_colon():
    table = variable("t/.ATTRIBUTES/table", "table") + variable("t/.ATTRIBUTES/py", "py")

    graph = graph_of(child(1, "t"), table)

    assert graph.variables() == {"t:table": "t/.ATTRIBUTES/table", "t:py": "t/.ATTRIBUTES/py"}
    assert graph.nodes[1].key is None
    assert str(graph).splitlines() == ["root", "  t: table, py"]


def test_slots_of_two_optimizers_are_told_apart():
    graph = graph_of(
        child(1, "v") + child(2, "sgd") + child(3, "adam"),
        variable("v"),
        slot(1, 4),
        slot(1, 5),
        variable("s"),
        variable("t"),
    )

    assert [(each.optimizer.path, each.name) for each in graph.nodes[1].slots] == [
        ("sgd", "m"),
        ("adam", "m"),
    ]
    assert graph.variables() == {"v": "v", "v:sgd/m": "s", "v:adam/m": "t"}


def test_names_that_cannot_be_printed_are_quoted():
    graph = graph_of(child(1, "a\nb") + child(2, "") + child(3, "x" * 1000), b"", b"", b"")

    lines = str(graph).splitlines()

    assert lines[:3] == ["root", "  'a\\nb'", "  ''"]
    assert lines[3] == "  " + "x" * 97 + "..."


def test_registered_saver_is_read_and_written():
    saver = field(4, field(1, b"Custom.saver") + field(2, b"table"))

    graph = graph_of(child(1, "t"), saver)

    assert graph.nodes[1].registered_saver.name == "Custom.saver"
    assert graph.nodes[1].registered_saver.object_name == "table"
    assert str(graph).splitlines()[1] == "  t: saved by Custom.saver"
    assert encode_graph(graph) == field(1, child(1, "t")) + field(1, saver)


def test_save_counter_is_that_of_the_root():
    assert graph_of(child(1, "save_counter"), variable("n")).save_counter == "n"
    assert graph_of(child(1, "save_counter"), b"").save_counter is None
    assert graph_of(child(1, "a"), child(2, "save_counter"), variable("n")).save_counter is None


def test_of_two_variables_of_one_full_name_the_last_counts():
    def named(key):
        return field(2, field(1, b"VARIABLE_VALUE") + field(2, b"Variable") + field(3, key))

    graph = graph_of(child(1, "a") + child(2, "b"), named(b"k1"), named(b"k2") + variable("k3"))

    assert graph.full_names() == {"Variable": "k2"}


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
    root, leaf = Node(0), Node(1)
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
        if ":" not in path and ".S" not in key and ".." not in key:
            assert key == path + VALUE


@every_case
def test_graph_encoded_again_is_the_same_to_the_byte(case):
    checkpoint = fastckpt.read(GOLDEN / case)

    assert encode_graph(checkpoint.object_graph) == checkpoint[GRAPH_KEY].item()


@every_case
def test_every_object_stands_in_the_tree_once(case):
    graph = fastckpt.read(GOLDEN / case).object_graph

    lines = str(graph).splitlines()

    assert sum(" -> " not in line for line in lines) == len(graph.nodes)


@pytest.mark.parametrize(
    ("case", "count"),
    [
        ("tf1_object/obj-1", 1),
        ("tf1_object/obj-2", 2),
        ("tf2_object/obj-1", 1),
        ("tf2_object/obj-2", 2),
        ("tf2_manager/run-500", 5),
        ("tf2_keras3/keras", None),
    ],
)
def test_save_counter_counts(case, count):
    checkpoint = fastckpt.read(GOLDEN / case)

    key = checkpoint.object_graph.save_counter

    assert (None if key is None else int(checkpoint[key])) == count


def test_slots_are_grouped_with_their_variable():
    checkpoint = fastckpt.read(GOLDEN / "tf2_slot_variables" / "obj")
    kernel = checkpoint.object_graph.root.children["v"]

    slots = {each.name: each for each in kernel.slots}

    assert list(slots) == ["m", "v"]
    assert slots["m"].variable is kernel
    assert slots["m"].optimizer.path == "opt"
    assert slots["m"].node.key == f"v/.OPTIMIZER_SLOT/opt/m{VALUE}"
    assert checkpoint.variables["v:opt/m"] == slots["m"].node.key
    assert checkpoint.object_graph.full_names()["v/Adam"] == slots["m"].node.key


def test_keras_weights_of_tensorflow_1_have_slots_in_order():
    graph = fastckpt.read(GOLDEN / "tf1_keras_weights").object_graph
    optimizer = graph.root.children["optimizer"]

    owned = [(each.variable.path, each.name) for each in optimizer.owned_slots]

    assert len(owned) == 12
    assert owned[0] == ("layer_with_weights-0/kernel", "m")
    assert "layer_with_weights-2/bias:optimizer/v" in graph.variables()
    assert graph.root.has_checkpoint_values is None


def test_shared_object_has_one_node_and_its_first_path():
    graph = fastckpt.read(GOLDEN / "tf2_object" / "obj-2").object_graph
    net = graph.root.children["net"]

    shared = net.children["child"].children["shared"]

    assert shared is net.children["w"]
    assert shared.path == "net/w"


def test_names_with_separators_are_readable():
    variables = fastckpt.read(GOLDEN / "tf2_object").variables

    assert variables["net/table/b/c"] == "net/table/b.Sc" + VALUE
    assert variables["net/table/d.e"] == "net/table/d..e" + VALUE


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
