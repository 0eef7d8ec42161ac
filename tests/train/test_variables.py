"""What is a variable, how its value gets out, and how a new one gets in: all or nothing."""

import types

import ml_dtypes
import numpy as np
import pytest
from stand_ins import (
    BFLOAT16,
    F32,
    NEW,
    OLD,
    Assignable,
    OnlyArray,
    TorchTensor,
    all_kinds,
    in_place,
    parameter,
    strided,
    the_variable,
)

import fastckpt
from fastckpt.train.variables import named_variables, restore_all

# ---- Stand-ins that refuse what the originals refuse


def restored(item, array, **options):
    """Return what the entry of a mapping is after a restore."""
    target = {"v": item}
    restore_all([(named_variables(target)["v"], array)], **options)
    return target["v"]


# ---- Names


def test_variables_come_in_the_order_of_the_target():
    assert list(named_variables({"b": 1, "a": 2, "c": 3})) == ["b", "a", "c"]
    assert list(named_variables([("z", 1), Assignable(0.0, "y:0")])) == ["z", "y"]


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"name": "v:0"}, "v"),
        ({"name": "scope/v:12"}, "scope/v"),
        ({"name": "a:b"}, "a:b"),
        ({"name": "kernel", "path": "dense/kernel"}, "dense/kernel"),
        ({"name": "kernel", "path": None}, "kernel"),
        ({"name": "v:0", "_shared_name": "shared"}, "shared"),
    ],
)
def test_name_of_an_object(attributes, name):
    variable = Assignable(1.0)
    vars(variable).update(attributes)

    assert list(named_variables([variable])) == [name]


def test_name_in_a_mapping_wins_over_the_object_s_own():
    assert list(named_variables({"mine": Assignable(1.0, "theirs:0")})) == ["mine"]


@pytest.mark.parametrize(
    "target", [["v1", "v2"], {"v1": "v1", "v2": "v2"}, [("v1", "v1"), ("v2", "v2")]]
)
def test_names_stand_for_entries_of_the_values(target):
    values = {"v1": np.zeros(3), "v2": 5, "v3": np.zeros(1)}
    variables = named_variables(target, values)

    restore_all([(variables["v1"], np.ones(3)), (variables["v2"], np.int64(6))])

    assert list(variables) == ["v1", "v2"]
    assert values["v1"].tolist() == [1, 1, 1]
    assert values["v2"] == 6


def test_entry_under_another_name_is_that_of_the_values():
    values = {"v1": np.zeros(3)}

    named_variables({"renamed": "v1"}, values)["renamed"].assign(np.ones(3))

    assert values["v1"].tolist() == [1, 1, 1]


def test_model_stands_for_its_variables():
    layer = types.SimpleNamespace(variables=[Assignable(1.0, "a:0"), OnlyArray(2.0, "m/b")])

    assert list(named_variables(layer)) == ["a", "m/b"]


def test_module_stands_for_its_state():
    class Module:
        weight = parameter(OLD)

        def named_parameters(self):
            raise AssertionError("has no buffers")

        def state_dict(self):
            return {"weight": self.weight.detach(), "running_mean": strided(OLD)}

    variables = named_variables(Module())
    restore_all([(each, NEW) for each in variables.values()])

    assert list(variables) == ["weight", "running_mean"]
    assert np.array_equal(Module.weight.detach().numpy(), NEW)


# ---- Values


@all_kinds
def test_shape_and_dtype_are_those_that_are_saved(make, tmp_path):
    variable = the_variable(make(OLD))

    fastckpt.write(tmp_path / "m", {"v": variable.value()}, sync=False)

    info = fastckpt.read(tmp_path / "m").info("v")
    assert (variable.dtype.name, variable.shape) == (info.tf_dtype, info.shape)


@pytest.mark.parametrize("item", [np.zeros(3), np.zeros((4, 4))[::2], np.broadcast_to(1.0, (3,))])
def test_value_of_an_array_is_the_array(item):
    assert the_variable(item).value() is item


@in_place
def test_object_is_written_in_place(make):
    item = make(OLD)

    after = restored(item, NEW)

    assert after is item
    assert np.array_equal(the_variable(item).value(), NEW)


@in_place
@pytest.mark.parametrize("wrap", [lambda x: [("v", x)], lambda x: types.MappingProxyType({"v": x})])
def test_object_is_written_in_place_without_a_mutable_mapping(make, wrap):
    variable = named_variables(wrap(make(OLD)))["v"]

    restore_all([(variable, NEW)])

    assert np.array_equal(variable.value(), NEW)


@pytest.mark.parametrize(
    ("item", "array", "expected"),
    [
        (5, np.int64(7), 7),
        (5, np.uint8(7), 7),
        (1.5, np.float32(0.5), 0.5),
        (1.5, ml_dtypes.bfloat16(0.5), 0.5),
        (True, np.bool_(False), False),
        (1j, np.complex64(2), 2 + 0j),
        ("text", b"\xc3\xa4\0", "ä\0"),
        (b"text", b"\xff\0", b"\xff\0"),
        ([1, 2], np.array([3, 4]), [3, 4]),
        ((1.0, 2.0), np.array([3.0, 4.0]), (3.0, 4.0)),
        (["a", "b"], np.array([b"longer", b""], object), ["longer", ""]),
    ],
)
def test_python_value_stays_a_python_value(item, array, expected):
    after = restored(item, array)

    assert after == expected
    assert type(after) is type(expected)


@pytest.mark.parametrize("item", [np.float32(1), np.int64(1), ml_dtypes.bfloat16(1), np.bool_(1)])
def test_numpy_scalar_stays_a_scalar_of_its_type(item):
    after = restored(item, np.zeros((), item.dtype))

    assert after == 0
    assert type(after) is type(item)


def test_read_only_array_in_a_mapping_is_replaced_by_a_private_one():
    source = NEW.copy()
    source.flags.writeable = False

    after = restored(np.broadcast_to(F32(0), (2, 3)), source)

    assert np.array_equal(after, NEW)
    assert after.flags.writeable
    assert not np.shares_memory(after, source)


def test_unknown_array_in_a_mapping_is_replaced_by_a_numpy_array():
    class Immutable:
        def __array__(self, dtype=None, copy=None):
            return OLD

    after = restored(Immutable(), NEW)

    assert type(after) is np.ndarray
    assert np.array_equal(after, NEW)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (np.array([b"x", b"y"], object), [b"ab", b"c"]),
        (np.array([None, None], object), [b"ab", b"c"]),
        (np.array(["x", "y"], object), ["ab", "c"]),
        (np.array([b"xx", b"yy"]), [b"ab", b"c"]),
        (np.array(["xx", "yy"]), ["ab", "c"]),
    ],
)
def test_array_of_strings_keeps_its_sort_of_strings(item, expected):
    after = restored(item, np.array([b"ab", b"c"], object))

    assert after is item
    assert after.tolist() == expected


def test_object_with_assign_gets_strings_as_bytes():
    item = Assignable(np.array([b"x"], object))
    item.dtype.name = "string"

    restored(item, np.array([b"ab"], object))

    assert item.numpy().tolist() == [b"ab"]


@pytest.mark.parametrize("mode", ["r", "c"])
def test_object_with_assign_never_gets_a_view_of_a_file(tmp_path, mode):
    fastckpt.write(tmp_path / "m", {"v": NEW}, sync=False)
    item, source = Assignable(OLD), fastckpt.read(tmp_path / "m", mode=mode)["v"]

    restored(item, source)

    assert np.array_equal(item.numpy(), NEW)
    assert item._array.flags.writeable
    assert not np.shares_memory(item._array, source)


def test_bfloat16_tensor_goes_both_ways_bit_by_bit():
    bits = np.array([0x3F80, 0x7FC1, -0x8000], np.int16)  # 1, a NaN with a payload, -0
    tensor = TorchTensor(bits.copy(), BFLOAT16, requires_grad=True)
    variable = the_variable(tensor)

    value = variable.value().copy()
    variable.assign(variable.prepare(value[::-1].copy()))

    assert value.dtype == ml_dtypes.bfloat16
    assert value[0] == 1
    assert tensor._bits.tolist() == bits[::-1].tolist()


def test_value_of_a_tensor_is_a_view_of_its_memory():
    tensor = parameter(OLD)

    assert np.shares_memory(the_variable(tensor).value(), tensor._bits)


def test_entry_that_was_replaced_is_found():
    target = {"v": np.zeros(3)}
    variable = named_variables(target)["v"]
    target["v"] = np.ones(5)

    assert variable.shape == (5,)
    assert variable.value() is target["v"]


# ---- reshape and cast


@all_kinds
@pytest.mark.parametrize("shape", [(6,), (3, 2), (1, 2, 3)])
def test_reshape_takes_another_shape_of_as_many_elements(make, shape):
    target = {"v": make(OLD)}
    variable = named_variables(target)["v"]

    restore_all([(variable, NEW.astype(variable.dtype.numpy).reshape(shape))], reshape=True)

    assert np.array_equal(np.array(variable.value()), NEW)


def test_reshape_takes_no_other_number_of_elements():
    with pytest.raises(ValueError, match="shape"):
        the_variable(OLD).prepare(np.ones(7, F32), reshape=True)


@pytest.mark.parametrize(
    ("own", "dtype"),
    [
        (np.float32, np.float64),
        (np.float64, np.float16),
        (ml_dtypes.bfloat16, np.float32),
        (np.float32, ml_dtypes.bfloat16),
        (np.float32, np.int64),
        (np.int32, np.int64),
        (np.int8, np.uint64),
        (np.int64, np.bool_),
        (np.complex64, np.float32),
        (ml_dtypes.int4, np.int64),
    ],
)
def test_cast_takes_what_is_of_the_same_kind(own, dtype):
    item = np.zeros(2, own)

    restored(item, np.array([1, 0], dtype), cast=True)

    assert item.dtype == own
    assert item.tolist() == [1, 0]


@in_place
def test_cast_gives_the_object_its_own_dtype(make):
    item = make(OLD)

    restored(item, NEW.astype(np.float64), cast=True)

    assert the_variable(item).dtype.name == "float32"
    assert np.array_equal(the_variable(item).value(), NEW)
