"""TensorFlow restores the trees that are written, and writes the same bytes."""

import os
import pickle
import subprocess
import textwrap

import numpy as np
import pytest
from fresh import run
from object_trees import make_tree
from oracle import to_tensor

import fastckpt
from fastckpt.train.objects import write_objects


def without_names(tree):
    """The tree with a plain tuple for the named one."""
    return {**tree, "net": {**tree["net"], "pair": tuple(tree["net"]["pair"])}}


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
