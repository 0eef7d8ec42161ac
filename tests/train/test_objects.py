"""Object-based checkpoints: what is refused, what comes back, and that TensorFlow restores them."""

import numpy as np
import pytest
from object_trees import VALUE, Pair, make_tree

import fastckpt
from fastckpt.errors import CheckpointError
from fastckpt.graph.objects import GRAPH_KEY
from fastckpt.train.objects import restore_objects, write_objects


def zeroed(tree):
    """The same tree with other values, and the arrays of the leaves."""
    leaves = {}

    def build(item):
        if isinstance(item, dict):
            return {key: build(value) for key, value in item.items()}
        if hasattr(item, "_fields"):
            return type(item)(*map(build, item))
        if isinstance(item, (list, tuple)):
            return type(item)(map(build, item))
        array = np.asarray(item)
        fill = b"?" if array.dtype == object else 0
        return leaves.setdefault(id(item), np.full_like(array, fill))

    return build(tree)


def assert_same(a, b):
    if isinstance(a, dict):
        assert list(a) == list(b)
        a, b = a.values(), b.values()
    elif not isinstance(a, (list, tuple)):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        assert np.array_equal(a, b)
        return
    for one, other in zip(a, b, strict=True):
        assert_same(one, other)


# ---- What is written


def test_tree_comes_back_whole(path):
    tree = make_tree()
    write_objects(path, tree)
    other = zeroed(tree)

    restore_objects(other, path)

    assert_same(other, tree)
    assert other["net"]["kernel"] is other["net"]["tied"]


def test_objects_are_numbered_breadth_first_and_data_follows(path):
    tree = {"z": np.zeros(1), "d": {"z": np.zeros(2), "a": np.zeros(3)}, "b": [np.zeros(4)]}

    write_objects(path, tree, alignment=1)

    with fastckpt.read(path) as checkpoint:
        infos = sorted(checkpoint.infos(), key=lambda info: info.offset)
        paths = [node.path for node in checkpoint.object_graph.nodes]
    assert paths == ["", "b", "d", "z", "save_counter", "b/0", "d/z", "d/a"]
    keys = [info.name.removesuffix(VALUE) for info in infos]
    assert keys == ["z", "save_counter", "b/0", "d/z", "d/a", GRAPH_KEY]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a/b", "a.Sb"), ("a.b", "a..b"), (".", ".."), ("..", "...."), (".S", "..S"), ("", ""),
        ("/", ".S"), ("é", "é"), ("0", "0"), ("_x", "_x"), (".ATTRIBUTES/", "..ATTRIBUTES.S"),
    ],
)  # fmt: skip
def test_names_are_escaped_as_tensorflow_escapes_them(path, name, key):
    write_objects(path, {"d": {name: np.ones(1)}}, save_counter=None)

    checkpoint = fastckpt.read(path)

    assert set(checkpoint) == {f"d/{key}{VALUE}", GRAPH_KEY}
    assert checkpoint.variables == {f"d/{name}": f"d/{key}{VALUE}"}


def test_save_counter_is_written_counted_or_left_out(path):
    key = "save_counter" + VALUE

    write_objects(path, {"v": np.ones(1)})
    assert fastckpt.read(path)[key] == np.int64(1)

    write_objects(path, {"v": np.ones(1)}, save_counter=7)
    assert fastckpt.read(path)[key] == np.int64(7)

    write_objects(path, {"v": np.ones(1), "save_counter": 9}, save_counter=3)
    assert fastckpt.read(path)[key] == np.int64(9)

    write_objects(path, {"v": np.ones(1)}, save_counter=None)
    assert key not in fastckpt.read(path)


def test_alignment_is_that_of_the_writer(path):
    tree = {"a": np.ones(1, np.uint8), "b": np.ones(2)}

    write_objects(path, tree)
    assert all(info.offset % 64 == 0 for info in fastckpt.read(path).infos())

    write_objects(path, tree, alignment=1)
    assert fastckpt.read(path).info("b" + VALUE).offset == 1


def test_folders_are_made(tmp_path):
    write_objects(tmp_path / "a" / "b" / "c" / "m", {"v": np.ones(1)})

    assert fastckpt.read(tmp_path / "a" / "b" / "c" / "m")["v" + VALUE] == [1]


def test_same_array_or_container_is_one_object(path):
    array = np.zeros(2)
    layer = {"w": array}

    write_objects(path, {"one": layer, "two": layer, "array": array, "list": [[layer]]})

    checkpoint = fastckpt.read(path)
    root = checkpoint.object_graph.root
    assert len(checkpoint) == 3
    assert root.children["one"] is root.children["two"]
    assert root.children["one"].children["w"] is root.children["array"]


def test_equal_values_are_not_one_object(path):
    pair, number, text = (1, 2), 7, "text"

    write_objects(
        path,
        {"a": pair, "b": pair, "c": number, "d": number, "e": text, "f": text,
         "g": np.zeros(1), "h": np.zeros(1)},
        save_counter=None,
    )  # fmt: skip

    names = {"a/0", "a/1", "b/0", "b/1", "c", "d", "e", "f", "g", "h"}
    assert set(fastckpt.read(path).variables) == names


def test_containers_in_a_circle_are_written_and_restored(path):
    tree = {"v": np.ones(2), "list": []}
    tree["list"] += [tree, tree["list"], {"up": tree}]
    write_objects(path, tree)
    tree["v"][:] = 0

    restore_objects(tree, path)

    assert tree["v"].tolist() == [1, 1]
    graph = fastckpt.read(path).object_graph
    assert graph.root.children["list"].children["0"] is graph.root
    assert [node.path for node in graph.nodes] == ["", "list", "v", "save_counter", "list/2"]


def test_deep_tree_needs_no_recursion(path):
    tree = np.ones(1)
    for _ in range(3000):
        tree = [tree]

    write_objects(path, tree, save_counter=None)

    assert len(fastckpt.read(path).object_graph.nodes) == 3001


def test_named_tuple_has_both_sorts_of_names(path):
    write_objects(path, {"p": Pair(np.ones(1), 2.5)}, save_counter=None)

    graph = fastckpt.read(path).object_graph

    children = graph.root.children["p"].children
    assert list(children) == ["first", "second", "0", "1"]
    assert children["second"] is children["1"]
    assert set(graph.variables()) == {"p/first", "p/second"}


def test_values_below_are_marked_through_circles(path):
    full, empty = {"up": []}, {"e": {}}
    full["up"].append(full)
    write_objects(path, {"empty": empty, "full": full, "v": np.ones(1)}, save_counter=None)

    nodes = fastckpt.read(path).object_graph.nodes

    marked = {node.path: node.has_checkpoint_values for node in nodes}
    assert marked == {
        "": True, "empty": False, "full": False, "v": True, "empty/e": False, "full/up": False,
    }  # fmt: skip


def test_mapping_that_makes_its_items_anew_is_written(path):
    arrays = {f"v{i}": np.full(3, i) for i in range(50)}
    fastckpt.write(path, arrays)

    write_objects(path.with_name("o"), fastckpt.read(path, backend="pread"), save_counter=None)

    checkpoint = fastckpt.read(path.with_name("o"))
    assert len(checkpoint) == 51
    assert all(np.array_equal(checkpoint[name + VALUE], arrays[name]) for name in arrays)


# ---- What is restored


def test_entries_that_cannot_be_written_in_place_are_replaced(path):
    frozen = np.ones(2)
    frozen.flags.writeable = False
    tree = {"n": 5, "x": 1.5, "s": "é", "b": b"\0", "t": True, "d": [7, np.float32(2)], "f": frozen}
    write_objects(path, tree)
    other = {"n": 0, "x": 0.0, "s": "", "b": b"", "t": False, "d": [0, np.float32(0)], "f": frozen}

    restore_objects(other, path)

    assert str(other) == str(tree)
    assert other["f"] is not frozen


def test_shared_value_is_replaced_in_every_place(path):
    frozen = np.zeros(2)
    frozen.flags.writeable = False
    write_objects(path, {"a": np.ones(2), "b": [np.ones(2)]})
    tree = {"a": frozen, "b": [frozen]}

    restore_objects(tree, path)

    assert tree["a"] is tree["b"][0]
    assert tree["a"].tolist() == [1, 1]


def test_arrays_are_written_in_place(path):
    write_objects(path, {"t": (np.ones(2),), "l": [np.ones(1)]})
    first, second = np.zeros(2), np.zeros(1)

    restore_objects({"t": (first,), "l": [second]}, path)

    assert (first.tolist(), second.tolist()) == ([1, 1], [1])


def test_part_of_a_checkpoint_is_restored_by_its_objects(golden):
    tree = {"net": {"table": {"b/c": np.zeros(2, np.int32), "d.e": b""}}, "step": 0}

    restore_objects(tree, golden / "tf2_object" / "obj-2")

    assert tree["step"] == 8
    assert tree["net"]["table"]["b/c"].any()
    assert tree["net"]["table"]["d.e"] == b"text"


def test_object_is_found_by_any_of_its_names(golden):
    with fastckpt.read(golden / "tf2_keras3" / "keras") as checkpoint:
        kernel = checkpoint["optimizer/_trainable_variables/0" + VALUE].copy()
        tree = {"model": {"_functional": {"_operations": [{}, {"_kernel": np.zeros_like(kernel)}]}}}
        restore_objects(tree, checkpoint)

        layer = tree["model"]["_functional"]["_operations"][1]
        assert np.array_equal(layer["_kernel"], kernel)
        assert checkpoint.variables  # it is still open


def test_checkpoint_of_plain_names_is_restored_by_path(path):
    fastckpt.write(path, {"net/w": np.ones(2), "net/list/0": np.ones(1), "other": 1})
    tree = {"net": {"w": np.zeros(2), "list": [np.zeros(1)]}}

    restore_objects(tree, path)

    assert_same(tree, {"net": {"w": np.ones(2), "list": [np.ones(1)]}})


def test_graph_without_the_tensor_is_an_error(path):
    write_objects(path, {"v": np.ones(1)})
    graph = fastckpt.read(path)[GRAPH_KEY]
    fastckpt.write(path.with_name("n"), {GRAPH_KEY: graph})

    with pytest.raises(CheckpointError, match="not in this checkpoint"):
        restore_objects({"v": np.zeros(1)}, path.with_name("n"))


def test_variables_of_frameworks_are_written_and_restored(path):
    class Variable:
        _shared_name = "scope/v"

        def __init__(self, value):
            self.value = value

        dtype = property(lambda self: self.value.dtype)
        shape = property(lambda self: self.value.shape)

        def numpy(self):
            return self.value

        def assign(self, value):
            self.value = value

    variable = Variable(np.ones(3, np.float32))
    write_objects(path, {"net": [variable]})
    variable.assign(np.zeros(3, np.float32))

    restore_objects({"net": [variable]}, path)

    assert variable.value.tolist() == [1, 1, 1]
    assert fastckpt.read(path).object_graph.full_names()["scope/v"] == "net/0" + VALUE
