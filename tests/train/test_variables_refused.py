"""What is no variable, and arrays that do not fit one."""

import types

import ml_dtypes
import numpy as np
import pytest
from stand_ins import (
    F32,
    FLOAT32,
    NEW,
    OLD,
    Assignable,
    TorchDtype,
    TorchTensor,
    all_kinds,
    in_place,
    parameter,
    the_variable,
)

from fastckpt.train.variables import named_variables, restore_all

# ---- Stand-ins that refuse what the originals refuse


def values_of(variables):
    return {name: np.array(each.value()).tolist() for name, each in variables.items()}


# ---- What is no target


@pytest.mark.parametrize(
    "target", [None, 5, "v", b"v", np.zeros(3), Assignable([1.0]), parameter([1.0]), object()]
)
def test_target_that_holds_no_variables_is_a_type_error(target):
    with pytest.raises(TypeError, match="expected a mapping of names to variables"):
        named_variables(target)


@pytest.mark.parametrize("item", [None, object(), {}, {"a": 1}, len, int, np.ndarray, set()])
def test_entry_that_is_no_variable_is_a_type_error_that_says_what_one_is(item):
    with pytest.raises(TypeError, match=r"variable 'v': expected a NumPy array, .* assign\(\)"):
        named_variables({"v": item})


@pytest.mark.parametrize(
    "item", [None, 5, "v", np.zeros(3), [1.0], ("v",), (1, np.zeros(3)), parameter([1.0])]
)
def test_list_item_without_a_name_is_a_type_error_that_says_what_to_pass(item):
    with pytest.raises(TypeError, match="has a name .* or .name, variable. pairs"):
        named_variables([item])


def test_object_with_a_name_that_is_no_variable_is_a_type_error():
    with pytest.raises(TypeError, match="variable 'x': expected a NumPy array"):
        named_variables([types.SimpleNamespace(name="x")])


@pytest.mark.parametrize("key", [5, None, b"v", ("a", "b")])
def test_mapping_whose_keys_are_no_names_is_a_type_error(key):
    with pytest.raises(TypeError, match="expected the name of a variable"):
        named_variables({key: np.zeros(3)})


@pytest.mark.parametrize("target", [{"": np.zeros(1)}, [("", np.zeros(1))]])
def test_empty_name_is_a_value_error(target):
    with pytest.raises(ValueError, match="empty"):
        named_variables(target)


@pytest.mark.parametrize(
    "target",
    [
        [Assignable(1.0, "x:0"), Assignable(2.0, "x:0")],
        [("x", np.zeros(1)), Assignable(1.0, "x:0")],
        [("x", np.zeros(1)), ("x", np.zeros(1))],
    ],
)
def test_two_variables_of_one_name_are_the_error_that_tensorflow_raises(target):
    with pytest.raises(ValueError, match="^At least two variables have the same name: x$"):
        named_variables(target)


@pytest.mark.parametrize("target", [["v1", "w"], {"v1": "v1", "x": "w"}, [("x", "w")]])
def test_name_that_the_values_do_not_have_is_a_value_error(target):
    with pytest.raises(ValueError, match="no value called 'w'"):
        named_variables(target, {"v1": np.zeros(3)})


@pytest.mark.parametrize(
    "item", [np.zeros(2, "M8[s]"), np.zeros(2, [("a", "i4")]), np.zeros(2, np.longdouble)]
)
def test_dtype_that_a_checkpoint_cannot_hold_is_a_type_error(item):
    with pytest.raises(TypeError, match="tensor 'v': a checkpoint cannot hold the dtype"):
        _ = the_variable(item).dtype


def test_dtype_of_an_object_that_a_checkpoint_cannot_hold_is_a_type_error():
    tensor = TorchTensor(np.zeros(2), TorchDtype("complex32"))

    with pytest.raises(TypeError, match="cannot hold the dtype torch.complex32"):
        _ = the_variable(tensor).dtype


# ---- Arrays that do not fit


@all_kinds
@pytest.mark.parametrize(
    "array", [NEW[:1], NEW.T, NEW.ravel(), NEW[None], F32(1), NEW[:0]], ids=lambda a: str(a.shape)
)
def test_another_shape_is_a_value_error_that_names_the_variable(make, array):
    variable = the_variable(make(OLD))

    with pytest.raises(ValueError, match=r"variable 'v': .*shape \(2, 3\), got .*shape \("):
        variable.prepare(array)


@in_place
@pytest.mark.parametrize("dtype", ["f8", "f2", "i4", "?", "c8", "bfloat16", "S1", object])
def test_another_dtype_is_a_value_error(make, dtype):
    array = np.ones((2, 3), dtype if dtype != "bfloat16" else ml_dtypes.bfloat16)
    array = array.astype("S1") if dtype is object else array
    variable = the_variable(make(OLD))

    with pytest.raises(ValueError, match="expected dtype float32 .*, got dtype"):
        variable.prepare(array)


@all_kinds
def test_wrong_last_array_changes_no_variable(make):
    target = {name: make(OLD) for name in "abc"}
    variables = named_variables(target)
    before, held = values_of(variables), dict(target)
    new = NEW.astype(variables["a"].dtype.numpy)
    pairs = [(variables["a"], new), (variables["b"], new), (variables["c"], new[:1])]

    with pytest.raises(ValueError, match="variable 'c'"):
        restore_all(pairs)

    assert values_of(variables) == before
    assert all(target[name] is held[name] for name in target)


@all_kinds
def test_preparing_changes_nothing(make):
    variable = the_variable(make(OLD))
    before = np.array(variable.value()).tolist()

    variable.prepare(NEW.astype(variable.dtype.numpy))

    assert np.array(variable.value()).tolist() == before


@pytest.mark.parametrize(
    "item", [np.broadcast_to(F32(0), (2, 3)), 5, 1.5, "text", b"text", np.int64(3), [1, 2]]
)
@pytest.mark.parametrize("wrap", [lambda x: [("v", x)], lambda x: types.MappingProxyType({"v": x})])
def test_what_cannot_be_written_outside_of_a_mutable_mapping_is_a_value_error(item, wrap):
    variable = named_variables(wrap(item))["v"]

    with pytest.raises(ValueError, match="variable 'v': expected one that can be written in place"):
        variable.prepare(np.array(variable.value(), variable.dtype.numpy))


@pytest.mark.parametrize(
    ("item", "string"),
    [
        (np.array(["ab"]), b"abc"),
        (np.array([b"ab"]), b"abc"),
        (np.array([b"ab"]), b"a\0"),
        (np.array(["ab"]), b"\xff"),
        ("text", b"\xff"),
        (np.array(["ab"], object), b"\xff"),
    ],
)
def test_string_that_would_be_cut_or_is_no_text_is_a_value_error(item, string):
    array = np.array(string if isinstance(item, str) else [string], object)

    with pytest.raises(ValueError, match="variable 'v': "):
        the_variable(item).prepare(array)


@pytest.mark.parametrize(
    ("item", "array"),
    [
        (np.zeros(1, np.int8), np.array([128])),
        (np.zeros(1, np.int32), np.array([2**31])),
        (np.zeros(1, np.int8), np.array([255], np.uint8)),
        (np.zeros(1, ml_dtypes.int4), np.array([8])),
    ],
)
def test_cast_of_an_integer_out_of_range_is_a_value_error(item, array):
    with pytest.raises(ValueError, match="variable 'v': expected integers that"):
        the_variable(item).prepare(array, cast=True)


@pytest.mark.parametrize(
    ("item", "dtype"),
    [
        (np.zeros(1, np.int64), np.float32),
        (np.zeros(1, np.uint8), np.int8),
        (np.zeros(1, np.bool_), np.uint8),
        (np.zeros(1, np.float32), np.complex64),
        (np.zeros(1, np.int32), ml_dtypes.bfloat16),
        (np.zeros(1, np.float32), object),
        (np.zeros(1, object), np.float32),
        (np.zeros(1, "S9"), np.uint8),
    ],
)
def test_cast_to_another_kind_is_a_value_error(item, dtype):
    array = np.array([b"1"], object) if dtype is object else np.ones(1, dtype)

    with pytest.raises(ValueError, match="expected dtype"):
        the_variable(item).prepare(array, cast=True)


@pytest.mark.parametrize(
    ("item", "array"), [(5, F32(1)), (True, np.int64(1)), (1.5, np.int64(1)), (1.5, b"1"), ("a", 1)]
)
def test_python_value_takes_no_other_kind(item, array):
    with pytest.raises(ValueError, match="variable 'v': expected dtype"):
        the_variable(item).prepare(array)


def test_tensor_without_memory_is_a_value_error():
    tensor = TorchTensor(np.zeros(3, F32), FLOAT32, is_meta=True)

    with pytest.raises(ValueError, match="meta device"):
        the_variable(tensor).prepare(np.ones(3, F32))
