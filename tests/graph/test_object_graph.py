"""Names, slots and the printed tree of the objects of a checkpoint."""

import pytest
from object_graphs import CASES, child, field, graph_of, slot, variable
from places import GOLDEN

import fastckpt

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"

every_case = pytest.mark.parametrize("case", CASES)


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


def test_save_counter_is_that_of_the_root():
    assert graph_of(child(1, "save_counter"), variable("n")).save_counter == "n"
    assert graph_of(child(1, "save_counter"), b"").save_counter is None
    assert graph_of(child(1, "a"), child(2, "save_counter"), variable("n")).save_counter is None


def test_of_two_variables_of_one_full_name_the_last_counts():
    def named(key):
        return field(2, field(1, b"VARIABLE_VALUE") + field(2, b"Variable") + field(3, key))

    graph = graph_of(child(1, "a") + child(2, "b"), named(b"k1"), named(b"k2") + variable("k3"))

    assert graph.full_names() == {"Variable": "k2"}


def test_way_through_an_optimizer_counts_only_if_there_is_no_other():
    graph = graph_of(
        child(1, "optimizer") + child(2, "model"),
        child(4, "_variables") + child(5, "iterations") + child(6, "learning_rate"),
        child(3, "layer") + child(1, "opt"),
        child(4, "kernel"),
        variable("k"),
        variable("i"),
        variable("r"),
    )

    assert graph.variables() == {
        "model/layer/kernel": "k",
        "optimizer/iterations": "i",
        "optimizer/learning_rate": "r",
    }


def test_way_through_two_optimizers_is_found():
    graph = graph_of(
        child(1, "optimizer"), child(2, "inner") + slot(3, 4), child(3, "v") + slot(3, 4),
        variable("v"), variable("m"),
    )  # fmt: skip

    assert graph.variables() == {"optimizer/inner/v": "v", "optimizer/inner/v:optimizer/m": "m"}


# ---- What TensorFlow wrote


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


@every_case
def test_every_object_stands_in_the_tree_once(case):
    graph = fastckpt.read(GOLDEN / case).object_graph

    lines = str(graph).splitlines()

    assert sum(" -> " not in line for line in lines) == len(graph.nodes)


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


def test_weights_of_a_compiled_model_are_named_by_their_layers():
    variables = fastckpt.read(GOLDEN / "tf2_keras3" / "keras").variables

    assert variables["model/_functional/_operations/1/_kernel"] == (
        "optimizer/_trainable_variables/0" + VALUE
    )
