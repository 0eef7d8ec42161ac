"""What is a variable, how its value gets out, and how a new one gets in: all or nothing."""

import sys
import types

import ml_dtypes
import numpy as np
import pytest
from fresh import run

import fastckpt
from fastckpt.train.variables import named_variables, restore_all

F32 = np.float32


# ---- Stand-ins that refuse what the originals refuse


class TorchDtype:
    """Like torch.dtype: its text has the module's name, and its class says where that is."""

    __module__ = "duck_torch"

    def __init__(self, name):
        self._name = name

    def __str__(self):
        return f"torch.{self._name}"


class TorchTensor:
    """PyTorch's tensor, as far as it can be seen through detach, cpu, numpy, view and copy_."""

    def __init__(self, bits, dtype, *, requires_grad=False, device="cpu", is_meta=False):
        self._bits = bits  # of bfloat16 the int16
        self.dtype = dtype
        self.requires_grad = requires_grad
        self.device = device
        self.is_meta = is_meta
        self.name = None

    @property
    def shape(self):
        return self._bits.shape

    def detach(self):
        return TorchTensor(self._bits, self.dtype, device=self.device, is_meta=self.is_meta)

    def cpu(self):
        bits = self._bits if self.device == "cpu" else self._bits.copy()
        return TorchTensor(bits, self.dtype, requires_grad=self.requires_grad)

    def resolve_conj(self):
        return self

    resolve_neg = resolve_conj

    def view(self, dtype):
        return TorchTensor(self._bits, dtype, requires_grad=self.requires_grad, device=self.device)

    def numpy(self):
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.device != "cpu":
            raise TypeError(f"can't convert {self.device} device type tensor to numpy.")
        if "bfloat16" in str(self.dtype):
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self._bits

    def new_empty(self, shape, device):
        return TorchTensor(np.empty(shape, self._bits.dtype), self.dtype, device=device)

    def copy_(self, other):
        if self.requires_grad:
            raise RuntimeError("a leaf Variable that requires grad is used in-place")
        if not isinstance(other, TorchTensor):
            raise TypeError("copy_(): argument 'other' must be Tensor")
        np.copyto(self._bits, other._bits)

    def __len__(self):
        return len(self._bits)

    def __array__(self, dtype=None, copy=None):
        return self.numpy()


INT16, BFLOAT16, FLOAT32 = map(TorchDtype, ("int16", "bfloat16", "float32"))


@pytest.fixture(autouse=True)
def duck_torch(monkeypatch):
    module = types.ModuleType("duck_torch")
    module.int16 = INT16
    monkeypatch.setitem(sys.modules, "duck_torch", module)


class Assignable:
    """Like tf.Variable: numpy() is a copy, assign() refuses another shape or dtype."""

    def __init__(self, array, name="v:0"):
        self._array = np.array(array)
        self.name = name
        self.shape = self._array.shape
        self.dtype = types.SimpleNamespace(name=self._array.dtype.name)

    def numpy(self):
        return self._array.copy()

    def assign(self, array):
        assert (array.shape, array.dtype) == (self._array.shape, self._array.dtype)
        self._array = array  # keeps the memory that it is given, as frameworks do


class OnlyArray:
    """A value through __array__ alone; neither dtype nor shape is said."""

    def __init__(self, array, path="layer/v"):
        self._array = np.array(array)
        self.path = path
        self.name = "v"

    def __array__(self, dtype=None, copy=None):
        return self._array

    def assign(self, array):
        self._array = np.array(array)


def parameter(array):
    return TorchTensor(np.array(array, F32), FLOAT32, requires_grad=True)


def on_another_device(array):
    return TorchTensor(np.array(array, F32), FLOAT32, device="cuda:0")


def strided(array):
    return TorchTensor(np.array(array, F32).T.copy().T, FLOAT32)


IN_PLACE = {
    "array": lambda array: np.array(array, F32),
    "strided array": lambda array: np.zeros((9, 9), F32)[: len(array) * 2 : 2, : len(array[0])],
    "big-endian array": lambda array: np.array(array, ">f4"),
    "assignable": lambda array: Assignable(np.array(array, F32)),
    "only array": lambda array: OnlyArray(np.array(array, F32)),
    "parameter": parameter,
    "another device": on_another_device,
    "strided tensor": strided,
}
REPLACED = {
    "list": lambda array: np.array(array).tolist(),
    "tuple": lambda array: tuple(np.array(array).tolist()),
    "read-only array": lambda array: np.broadcast_to(F32(0), np.shape(array)),
}
in_place = pytest.mark.parametrize("make", IN_PLACE.values(), ids=IN_PLACE)
all_kinds = pytest.mark.parametrize(
    "make", [*IN_PLACE.values(), *REPLACED.values()], ids=[*IN_PLACE, *REPLACED]
)
OLD = np.zeros((2, 3), F32)
NEW = np.arange(6, dtype=F32).reshape(2, 3)


def values_of(variables):
    return {name: np.array(each.value()).tolist() for name, each in variables.items()}


def the_variable(item, **entries):
    return named_variables({"v": item, **entries})["v"]


def restored(item, array, **options):
    """Return what the entry of a mapping is after a restore."""
    target = {"v": item}
    restore_all([(named_variables(target)["v"], array)], **options)
    return target["v"]


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


# ---- The originals


@pytest.mark.tensorflow
def test_tensorflow_variables_go_both_ways(tmp_path):
    code = """
        import sys
        import numpy as np, tensorflow as tf, fastckpt
        from fastckpt.train.variables import named_variables, restore_all

        def make(fill):
            return [
                tf.Variable(np.full((2, 3), fill, np.float32), name="f32"),
                tf.Variable(tf.cast(tf.fill([4], fill), tf.bfloat16), name="bf16"),
                tf.Variable(np.int64(fill), name="step"),
                tf.Variable(bytes([65 + fill]), name="scalar_string"),
                tf.Variable([str(fill), "z"], name="scope/strings"),
                tf.Variable(np.full(2, fill, np.complex64), name="c64"),
                tf.Variable(tf.fill([2, 2], fill), shape=tf.TensorShape(None), name="any_shape"),
                tf.Variable(bool(fill), name="flag"),
            ]

        old, new = named_variables(make(0)), named_variables(make(1))
        tf.raw_ops.SaveV2(
            prefix=sys.argv[1], tensor_names=list(new), shape_and_slices=[""] * len(new),
            tensors=[variable.read_value() for variable in make(1)],
        )
        with fastckpt.read(sys.argv[1], verify=True) as ckpt:
            for name, variable in old.items():
                info = ckpt.info(name)
                assert (variable.dtype.name, variable.shape) == (info.tf_dtype, info.shape), name
            restore_all((variable, ckpt[name]) for name, variable in old.items())
        assert list(old) == ["f32", "bf16", "step", "scalar_string", "scope/strings", "c64",
                             "any_shape", "flag"]
        for name in old:
            assert np.array_equal(old[name].value(), new[name].value()), name
        before = [variable.value() for variable in old.values()]
        wrong = [(old["f32"], np.zeros((2, 3), np.float32)), (old["step"], np.zeros(2, np.int64))]
        try:
            restore_all(wrong)
        except ValueError as error:
            assert "'step'" in str(error)
        assert all(np.array_equal(a, v.value()) for a, v in zip(before, old.values()))
        print("done")
    """

    assert run(code, tmp_path / "m", timeout=120) == "done\n"


@pytest.mark.tensorflow
@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_keras_without_tensorflow_is_restored(tmp_path, backend):
    code = """
        import os, sys
        os.environ.update(KERAS_BACKEND=sys.argv[2], KERAS_HOME=sys.argv[1])
        import keras, numpy as np
        from fastckpt.train.variables import named_variables, restore_all

        model = keras.Sequential([
            keras.layers.Input((3,)),
            keras.layers.Dense(2, name="a"),
            keras.layers.Dense(2, name="b", dtype="bfloat16"),
        ], name="net")
        model.compile("adam")
        variables = named_variables(model)
        assert list(variables) == ["net/a/kernel", "net/a/bias", "net/b/kernel", "net/b/bias"]
        assert list(named_variables(model.optimizer))[0] == "adam/iteration"
        values = {n: np.full(v.shape, 3, v.dtype.numpy) for n, v in variables.items()}
        restore_all((variables[name], value) for name, value in values.items())
        assert all((np.asarray(variable) == 3).all() for variable in model.variables)
        wrong = {**values, "net/a/kernel": values["net/a/kernel"] * 2, "net/b/bias": np.zeros(7)}
        try:
            restore_all((variables[name], value) for name, value in wrong.items())
        except ValueError as error:
            assert "'net/b/bias'" in str(error)
        assert all((np.asarray(variable) == 3).all() for variable in model.variables)
        assert "tensorflow" not in sys.modules and "torch" not in sys.modules
        print("done")
    """

    assert run(code, tmp_path, backend, timeout=120) == "done\n"


@pytest.mark.tensorflow
def test_keras_under_tensorflow_is_restored(tmp_path):
    code = """
        import os, sys
        os.environ.update(KERAS_BACKEND="tensorflow", KERAS_HOME=sys.argv[1])
        import keras, numpy as np
        from fastckpt.train.variables import named_variables, restore_all

        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name="a")],
                                 name="net")
        variables = named_variables(model)
        assert list(variables) == ["net/a/kernel", "net/a/bias"]
        restore_all((v, np.full(v.shape, 3, np.float32)) for v in variables.values())
        assert all((variable.numpy() == 3).all() for variable in model.variables)
        print("done")
    """

    assert run(code, tmp_path, timeout=120) == "done\n"
