"""Trees that cannot be written or restored."""

import os

import numpy as np
import pytest
from object_trees import VALUE, make_tree

import fastckpt
from fastckpt.errors import ChecksumError, TensorNotFoundError
from fastckpt.train.objects import restore_objects, write_objects

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
