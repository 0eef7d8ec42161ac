"""Object-based checkpoints: what is refused, what comes back, and that TensorFlow restores them."""

import collections
import os
import pickle
import subprocess
import textwrap

import numpy as np
import pytest
from fresh import run
from oracle import to_tensor

import fastckpt
from fastckpt.errors import CheckpointError, ChecksumError, TensorNotFoundError
from fastckpt.graph.objects import GRAPH_KEY
from fastckpt.train.objects import restore_objects, write_objects

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
Pair = collections.namedtuple("Pair", "first second")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m"


def make_tree():
    shared = np.arange(6, dtype=np.float32).reshape(2, 3)
    return {
        "z": np.int64(5),
        "net": {
            "kernel": shared,
            "tied": shared,
            "list": [np.ones(2), np.zeros((0, 3), np.int32)],
            "b/c": np.array(True),
            "p.q": (np.arange(3, dtype=np.uint8),),
            "strings": np.array([b"a", b"", b"\xff\0"], object),
            "empty": {},
            "pair": Pair(np.arange(2), np.float64(2.5)),
        },
        "a": [[np.array(1 + 2j)]],
    }


def without_names(tree):
    """The tree with a plain tuple for the named one."""
    return {**tree, "net": {**tree["net"], "pair": tuple(tree["net"]["pair"])}}


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


# ---- Bad input


@pytest.mark.parametrize("tree", [5, "tree", np.zeros(3), None, {1, 2}, iter([])])
def test_what_is_no_tree_is_a_type_error(path, tree):
    with pytest.raises(TypeError, match="expected a tree of dicts and lists"):
        write_objects(path, tree)


@pytest.mark.parametrize("key", [0, None, b"a", ("a",)])
@pytest.mark.parametrize("nest", [lambda tree: tree, lambda tree: {"d": tree}])
def test_key_that_is_no_str_is_a_type_error(path, key, nest):
    with pytest.raises(TypeError, match=r"(the tree|object 'd'): expected keys of type str, got"):
        write_objects(path, nest({key: np.zeros(1)}))


@pytest.mark.parametrize("name", [".ATTRIBUTES", "x.ATTRIBUTES", "a/.ATTRIBUTES"])
def test_name_that_tensorflow_cannot_restore_is_a_value_error(path, name):
    with pytest.raises(ValueError, match=r"object 'd': TensorFlow could not restore"):
        write_objects(path, {"d": {name: np.zeros(1)}})


def test_name_that_is_not_utf8_is_a_value_error(path):
    with pytest.raises(ValueError, match="the key .* is not UTF-8"):
        write_objects(path, {"\udcff": np.zeros(1)})


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, TypeError),
        (object(), TypeError),
        ({1, 2}, TypeError),
        (np.datetime64("2020-01-01"), TypeError),
        (np.array([1, None], object), TypeError),
        (np.zeros(2, [("a", "i4")]), TypeError),
        ("\udcff", ValueError),
    ],
)
def test_value_that_no_checkpoint_holds_is_named_and_leaves_nothing(path, value, error):
    with pytest.raises(error, match="'net/0/bad['/]"):
        write_objects(path, {"good": np.zeros(3), "net": [{"bad": value}]})

    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(
    ("number", "error"),
    [(-1, ValueError), (1 << 63, ValueError), (1.5, TypeError), ("1", TypeError)],
)
def test_save_counter_is_a_number_of_saves(path, number, error):
    with pytest.raises(error):
        write_objects(path, {"v": np.zeros(1)}, save_counter=number)

    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("counter", [np.int32(1), np.zeros(2, np.int64), 1.0, {}, "1"])
def test_entry_that_cannot_be_a_save_counter_is_a_value_error(path, counter):
    with pytest.raises(ValueError, match="save_counter: expected dtype int64 and shape"):
        write_objects(path, {"v": np.zeros(1), "save_counter": counter})


def test_restoring_what_is_no_tree_is_a_type_error(path):
    write_objects(path, make_tree())

    with pytest.raises(TypeError, match="expected a tree"):
        restore_objects(np.zeros(3), path)


WRONG = {
    "another shape": ("last", np.zeros(4), ValueError, "shape"),
    "another dtype": ("last", np.zeros(3, np.float32), ValueError, "float32"),
    "not there": ("lasst", np.zeros(3), TensorNotFoundError, "did you mean 'last'"),
    "a container there": ("list", np.zeros(3), TensorNotFoundError, "'list'"),
    "a variable there": ("last", {"x": np.zeros(3)}, TensorNotFoundError, "'last/x'"),
}


@pytest.mark.parametrize(("name", "value", "error", "message"), WRONG.values(), ids=list(WRONG))
def test_nothing_changes_when_one_value_does_not_fit(path, name, value, error, message):
    write_objects(path, {"a": np.ones(3), "n": 5, "list": [np.ones(2)], "last": np.ones(3)})
    tree = {"a": np.zeros(3), "n": 0, name: value}

    with pytest.raises(error, match=message):
        restore_objects(tree, path)

    assert not tree["a"].any()
    assert tree["n"] == 0


def test_nothing_changes_when_the_last_tensor_is_damaged(path):
    write_objects(path, {"a": np.ones(3), "last": np.ones(3)}, save_counter=None, alignment=1)
    data = path.with_name("m.data-00000-of-00001")
    raw = bytearray(data.read_bytes())
    raw[30] ^= 1
    data.write_bytes(raw)
    tree = {"a": np.zeros(3), "last": np.zeros(3)}

    with pytest.raises(ChecksumError):
        restore_objects(tree, path)

    assert not tree["a"].any()


def test_nothing_changes_when_a_tuple_holds_a_number(path):
    write_objects(path, {"a": np.ones(3), "t": (1,)})
    tree = {"a": np.zeros(3), "t": (0,)}

    with pytest.raises(ValueError, match="'t/0'.* in place"):
        restore_objects(tree, path)

    assert not tree["a"].any()


def test_nothing_changes_when_an_array_in_a_tuple_is_read_only(path):
    write_objects(path, {"a": np.ones(3), "t": (np.ones(1),)})
    frozen = np.zeros(1)
    frozen.flags.writeable = False
    tree = {"a": np.zeros(3), "t": (frozen,)}

    with pytest.raises(ValueError, match="'t/0'.*read-only"):
        restore_objects(tree, path)

    assert not tree["a"].any()


def test_existing_checkpoint_stays_when_the_new_one_fails(path):
    write_objects(path, {"v": np.ones(3)})

    class Broken:
        dtype, shape = np.dtype("f4"), (3,)

        def assign(self, value):
            raise AssertionError

        def numpy(self):
            raise RuntimeError("lost device")

    with pytest.raises(RuntimeError, match="lost device"):
        write_objects(path, {"v": np.zeros(3), "w": Broken()})

    assert fastckpt.read(path)["v" + VALUE].tolist() == [1, 1, 1]
    assert len(os.listdir(path.parent)) == 2


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


# ---- TensorFlow

TREES = {
    "arrays": without_names(make_tree()),
    "names": {
        name: {name: np.float32(number)}
        for number, name in enumerate(
            ["a/b", "a.b", "a.Sb", ".", "..", ".S", "é", "0", "_x", "", " ", "\t", "/", "a//b",
             "keys", "layers", "name", "VARIABLE_VALUE", ".ATTRIBUTES/VARIABLE_VALUE", "a:0",
             ".OPTIMIZER_SLOT", "-non_string_key", "💾"]
        )
    },
    "deep": {"a": {"b": {"c": {"d": [[[[np.arange(3)]]]]}}}},
    "wide": {"l": [np.array([i]) for i in range(120)]},
    "scalars": {"i": 1, "f": 2.5, "b": True, "c": 1j, "s": "é", "y": b"\0\xff", "l": [1, 2.0]},
    "shared": (lambda w: {"a": w, "b": {"w": w}, "c": [w, w]})(np.arange(4.0)),
    "empty containers": {"a": [], "b": {}, "c": {"d": []}, "v": np.ones(1)},
    "dtypes": {
        name: np.ones(2, name)
        for name in ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8",
                     "uint16", "bool", "complex64", "complex128"]
    },
}  # fmt: skip

RESTORE = """
    import pickle, sys
    import numpy as np, tensorflow as tf

    tf.compat.v1.enable_eager_execution()

    def build(item, made):
        kind, value = item
        if kind == "dict":
            return {key: build(each, made) for key, each in value}
        if kind == "list":
            return [build(each, made) for each in value]
        if kind == "tuple":  # which TensorFlow 1 does not look into
            return (tuple if tf.__version__ > "2" else list)([build(each, made) for each in value])
        number, dtype, shape, payload = value
        if number not in made:
            zero = np.zeros(shape, dtype) if dtype != "string" else tf.fill(shape, "")
            made[number] = tf.Variable(zero, name="v%d" % number), dtype, shape, payload
        return made[number][0]

    def check(path, tree, method):
        made = {}
        objects = build(tree, made)
        if tf.__version__ > "2":
            checkpoint = tf.train.Checkpoint(**objects)
        else:  # takes no plain containers as arguments
            checkpoint = tf.train.Checkpoint()
            for name in sorted(objects):
                setattr(checkpoint, name, objects[name])
        if method == "read" and hasattr(checkpoint, "read"):
            checkpoint.read(path).assert_consumed()
        elif method == "read":
            checkpoint.restore(path)
        else:
            checkpoint.restore(path).assert_consumed()
        for variable, dtype, shape, payload in made.values():
            value = variable.numpy()
            if dtype == "string":
                assert np.asarray(value, object).reshape(-1).tolist() == payload
            else:
                assert (value.dtype.name, value.shape, value.tobytes()) == (dtype, shape, payload)
        return len(made)

    with open(sys.argv[1], "rb") as file:
        cases = pickle.load(file)
    for name, *case in cases:
        try:
            print(name, check(*case))
        except Exception as error:
            print(name, type(error).__name__, str(error)[:300].replace(chr(10), " "))
"""


def to_plain(item, numbers):
    """A tree as Python 3.7 without our NumPy understands it; numbers of leaves by identity."""
    if isinstance(item, dict):
        return "dict", [(key, to_plain(each, numbers)) for key, each in item.items()]
    if isinstance(item, (list, tuple)):
        kind = "tuple" if isinstance(item, tuple) else "list"
        return kind, [to_plain(each, numbers) for each in item]
    number = numbers.setdefault(
        id(item) if isinstance(item, np.ndarray) else object(), len(numbers)
    )
    if isinstance(item, (str, bytes)):
        return "leaf", (number, "string", (), [item.encode() if isinstance(item, str) else item])
    return "leaf", (number, *to_tensor(np.asarray(item)))


def ask(oracle, tmp_path, code, cases):
    """Run code in the oracle's Python, with the cases; return its lines."""
    (tmp_path / "cases").write_bytes(pickle.dumps(cases, protocol=4))
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
    environment["PYTHONIOENCODING"] = "utf-8"
    command = [oracle.python, "-c", textwrap.dedent(code), str(tmp_path / "cases")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
    return done.stdout.decode().splitlines()


def test_tensorflow_restores_every_tree(oracle, tmp_path):
    cases, expected = [], []
    for name, tree in TREES.items():
        for counter, method in [(1, "restore"), (None, "read")]:
            prefix = tmp_path / f"{name}-{method}"
            write_objects(prefix, tree, save_counter=counter)
            numbers = {}
            cases.append((f"{name}:", str(prefix), to_plain(tree, numbers), method))
            expected.append(f"{name}: {len(numbers)}")

    lines = ask(oracle, tmp_path, RESTORE, cases)

    assert "\n".join(lines) == "\n".join(expected)


def test_tensorflow_finds_our_variables_by_their_full_names(oracle, tmp_path):
    code = """
        import pickle, sys
        import tensorflow as tf

        tf.compat.v1.disable_eager_execution()
        with open(sys.argv[1], "rb") as file:
            [path] = pickle.load(file)
        v1 = tf.compat.v1
        with v1.Graph().as_default(), v1.Session() as session:
            kernel = v1.get_variable("net/0/kernel", [3])
            v1.train.Saver().restore(session, path)
            print(session.run(kernel).tolist())
    """
    write_objects(tmp_path / "m", {"net": [{"kernel": np.arange(3, dtype=np.float32)}]})

    lines = ask(oracle, tmp_path, code, [str(tmp_path / "m")])

    assert lines == ["[0.0, 1.0, 2.0]"]


@pytest.mark.tensorflow
def test_files_are_those_of_tensorflow_to_the_byte(tmp_path):
    code = """
        import pickle, sys
        import numpy as np, tensorflow as tf

        Pair = __import__("collections").namedtuple("Pair", "first second")

        def build(item, path, made):
            if isinstance(item, dict):
                return {k: build(v, path + [k], made) for k, v in item.items()}
            if isinstance(item, list):
                return [build(v, path + [str(i)], made) for i, v in enumerate(item)]
            if isinstance(item, tuple):
                return Pair(*[build(v, path + [f], made) for f, v in zip(Pair._fields, item)])
            if id(item) not in made:
                dtype = tf.as_dtype(np.asarray(item).dtype)
                made[id(item)] = tf.Variable(item, name="/".join(path), dtype=dtype)
            return made[id(item)]

        with open(sys.argv[1], "rb") as file:
            tree = pickle.load(file)
        checkpoint = tf.train.Checkpoint(**build(tree, [], {}))
        checkpoint.write("write")
        checkpoint.save("save")
        checkpoint.save("save")
    """
    tree = make_tree()
    tree["net"]["p.q"] = [tree["net"]["p.q"][0]]
    (tmp_path / "tree").write_bytes(pickle.dumps(without_names(tree)))
    run(f"import os; os.chdir({str(tmp_path)!r})\n" + textwrap.dedent(code), tmp_path / "tree",
        timeout=120)  # fmt: skip

    for name, counter in [("write", None), ("save-1", 1), ("save-2", 2)]:
        ours = tmp_path / f"ours-{name}"
        write_objects(ours, tree, save_counter=counter, alignment=1)
        for suffix in (".index", ".data-00000-of-00001"):
            theirs = tmp_path / f"{name}{suffix}"
            assert ours.with_name(ours.name + suffix).read_bytes() == theirs.read_bytes()


@pytest.mark.tensorflow
def test_keras_model_is_restored_from_a_tree_of_its_weights(tmp_path):
    rng = np.random.default_rng(7)
    weights = [rng.random(shape, np.float32) for shape in [(4, 3), (3,), (3, 1), (1,)]]
    layers = [
        {},
        *({"_kernel": k, "bias": b} for k, b in zip(weights[::2], weights[1::2], strict=True)),
    ]
    model = {"_functional": {"_operations": layers}}
    write_objects(tmp_path / "nested", {"model": model})
    write_objects(tmp_path / "root", model)
    fastckpt.write(tmp_path / "expected", {f"w{i}": each for i, each in enumerate(weights)})
    code = """
        import os, sys
        os.environ["KERAS_HOME"] = sys.argv[1]
        os.chdir(sys.argv[1])
        import keras, numpy as np, tensorflow as tf, fastckpt

        def make():
            return keras.Sequential([
                keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1)
            ])

        first, second = make(), make()
        tf.train.Checkpoint(model=first).restore("nested").assert_consumed()
        tf.train.Checkpoint(second).restore("root").assert_consumed()
        w0, w1, w2, w3 = fastckpt.load("expected").values()
        x = np.ones((5, 4), np.float32)
        for model in (first, second):
            assert np.allclose(model(x), np.maximum(x @ w0 + w1, 0) @ w2 + w3)
        print("done")
    """

    assert run(code, tmp_path, timeout=120) == "done\n"


@pytest.mark.tensorflow
def test_keras_checkpoint_of_tensorflow_is_restored_into_a_tree(tmp_path):
    code = """
        import os, sys
        os.environ["KERAS_HOME"] = sys.argv[1]
        os.chdir(sys.argv[1])
        import keras, numpy as np, tensorflow as tf
        from fastckpt.train.objects import restore_objects, write_objects

        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        tf.train.Checkpoint(model=model).save("theirs")
        kernel = model.layers[0].kernel
        mine = np.zeros((4, 3), np.float32)
        tree = {"model": {"_functional": {"_operations": [{}, {"_kernel": mine}]}}}
        restore_objects(tree, "theirs-1")
        assert np.array_equal(mine, kernel.numpy())

        variables = {"layer": {"kernel": kernel, "bias": model.layers[0].bias}}
        before = kernel.numpy().copy()
        write_objects("ours", variables)
        kernel.assign(before * 0)
        restore_objects(variables, "ours")
        assert np.array_equal(kernel.numpy(), before)
        print("done")
    """

    assert run(code, tmp_path, timeout=120) == "done\n"
