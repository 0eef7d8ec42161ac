"""What each format can hold: every dtype there and back, bit for bit, or an error that names it."""

import warnings

import h5py
import numpy as np
import pytest
import zarr
from fresh import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

import fastckpt
from fastckpt.bundle.writer import Writer
from fastckpt.format.dtypes import by_number
from fastckpt.interop.convert import convert

SUFFIXES = {"npz": ".npz", "safetensors": ".safetensors", "hdf5": ".h5", "zarr": ".zarr"}
FIXED = [row for number in range(64) if (row := by_number(number)) and row.is_fixed]
NUMPYS = {"bool", "complex64", "complex128", "float16", "float32", "float64"}
NUMPYS |= {f"{sign}int{count}" for sign in ("", "u") for count in (8, 16, 32, 64)}
QUANTIZED = {row.name for row in FIXED if row.name.startswith(("qint", "quint"))}
SMALL = {row.name for row in FIXED} - NUMPYS - QUANTIZED  # of ml_dtypes
FLOAT8 = {"float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2fnuz"}
HELD = {
    "npz": NUMPYS,
    "zarr": NUMPYS,
    "safetensors": NUMPYS - {"complex128"} | FLOAT8 | {"bfloat16"},
    "hdf5": NUMPYS | QUANTIZED | SMALL,
}
CASES = [(format, row) for format in SUFFIXES for row in FIXED]
SHAPES = [(), (1,), (257,), (3, 1, 5), (0,), (2, 0, 3)]
VERSIONS = [2, 3] if hasattr(zarr.Group, "create_array") else [2]  # of the format of zarr
each_format = pytest.mark.parametrize("format", SUFFIXES)


def bits(row, shape):
    """An array of every sort of bits: NaNs with payloads, -0.0, infinities, subnormals."""
    count = int(np.prod(shape))
    raw = np.random.default_rng(row.number).integers(0, 256, (count, row.item_size), np.uint8)
    special = [
        b"\0" * row.item_size,
        b"\0" * (row.item_size - 1) + b"\x80",
        b"\xff" * row.item_size,
    ]
    special += [b"\1" + b"\0" * (row.item_size - 1), b"\1" + b"\0" * (row.item_size - 1)]
    for i, item in enumerate(special[: count // 2]):
        raw[i] = list(item)
    raw &= 1 if row.name == "bool" else row.mask or 0xFF
    return raw.reshape(-1).view(row.numpy).reshape(shape)


def write_raw(path, row, arrays):
    """Write arrays as a dtype that may be a quantized one."""
    with Writer(path) as writer:
        for name, array in arrays.items():
            writer.add(name, array, tf_dtype=row.name)


def describe(path):
    """{name: (dtype, shape, bytes or strings)} of a checkpoint."""
    with fastckpt.read(path) as checkpoint:
        arrays = {info: checkpoint.get_tensor(info.name, copy=True) for info in checkpoint.infos()}
    return {
        info.name: (
            info.tf_dtype,
            info.shape,
            array.tolist() if array.dtype == object else array.tobytes(),
        )
        for info, array in arrays.items()
    }


def round_trip(folder, values, format):
    """Write values as a checkpoint, convert it and back, and describe both."""
    fastckpt.write(folder / "a.ckpt", values)
    convert(folder / "a.ckpt", folder / f"a{SUFFIXES[format]}")
    convert(folder / f"a{SUFFIXES[format]}", folder / "b.ckpt")
    return describe(folder / "a.ckpt"), describe(folder / "b.ckpt")


def make_group(path, version=2):
    """An empty group of zarr, with the method of zarr 3 also where there is zarr 2."""
    if VERSIONS == [2]:
        group = zarr.open_group(str(path), mode="w")
        group.__dict__["create_array"] = group.create_dataset
        return group
    return zarr.open_group(path, mode="w", zarr_format=version)


def strings(*values, shape=None):
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(len(values) if shape is None else shape)


# ---- Dtypes


def test_tables_of_this_file_have_every_dtype():
    assert len(NUMPYS) == 14 and len(QUANTIZED) == 5 and len(SMALL) == 11


@pytest.mark.parametrize(("format", "row"), CASES, ids=lambda each: getattr(each, "name", each))
def test_dtype_comes_back_bit_for_bit_or_is_refused_by_name(tmp_path, format, row):
    arrays = {f"t/{i}": bits(row, shape) for i, shape in enumerate(SHAPES)}
    write_raw(tmp_path / "a.ckpt", row, arrays)
    target = tmp_path / f"a{SUFFIXES[format]}"

    if row.name not in HELD[format]:
        with pytest.raises(
            fastckpt.UnsupportedError, match=f"tensor 't/0': .* no dtype {row.name}"
        ):
            convert(tmp_path / "a.ckpt", target)
        assert not target.exists()
        return
    convert(tmp_path / "a.ckpt", target)
    convert(target, tmp_path / "b.ckpt")

    assert describe(tmp_path / "b.ckpt") == describe(tmp_path / "a.ckpt")


@each_format
def test_variant_is_refused_by_name(golden, tmp_path, format):
    path = next((golden / "tf2_variant").glob("*.index"))
    with fastckpt.read(path) as checkpoint:
        name = next(info.name for info in checkpoint.infos() if info.tf_dtype == "variant")

    with pytest.raises(fastckpt.UnsupportedError, match=f"tensor '{name}'.*variant"):
        convert(path, tmp_path / f"a{SUFFIXES[format]}", names="keys", include=name)


@pytest.mark.parametrize("format", ["npz", "hdf5", "zarr"])
def test_strings_come_back(tmp_path, format):
    values = {
        "scalar": b"caf\xc3\xa9",
        "empty": b"",
        "bytes": strings(b"\xff\xfe", b"", b"long" * 9, b" ", shape=(2, 2)),
        "none": strings(shape=(0, 3)),
    }

    before, after = round_trip(tmp_path, values, format)

    assert after == before


def test_zarr_keeps_the_nuls_of_strings(tmp_path):
    before, after = round_trip(tmp_path, {"s": strings(b"\0", b"", b"a\0b\0\0")}, "zarr")

    assert after == before


@pytest.mark.parametrize(
    ("format", "value", "problem"),
    [
        ("npz", strings(b"a", b"b\0"), "loses the NULs at the end"),
        ("hdf5", strings(b"a", b"b\0c"), "ends at its first NUL"),
        ("zarr", b"a\0", "loses the NULs at the end"),
        ("safetensors", b"a", "no dtype string; leave the tensor out with exclude$"),
        ("npz", strings(b"a" * (1 << 20), *[b""] * 99), "all its 100 strings would take"),
    ],
)
def test_strings_that_would_not_come_back_are_refused(tmp_path, format, value, problem):
    with pytest.raises(fastckpt.UnsupportedError, match=f"tensor 's': .*{problem}"):
        round_trip(tmp_path, {"s": value}, format)


@pytest.mark.parametrize("format", ["npz", "hdf5", "zarr"])
def test_text_that_others_wrote_becomes_strings(tmp_path, format):
    path = tmp_path / f"a{SUFFIXES[format]}"
    text = np.array(["é", "longer"])
    if format == "npz":
        np.savez(path, s=text)
    elif format == "zarr":
        make_group(path).create_array("s", data=text)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("s", data=np.char.encode(text, "utf-8"))

    convert(path, tmp_path / "a.ckpt")

    assert fastckpt.load(tmp_path / "a.ckpt")["s"].tolist() == ["é".encode(), b"longer"]


@pytest.mark.parametrize("format", ["npz", "hdf5", "zarr"])
def test_big_endian_and_fortran_order_arrays_are_read_as_values(tmp_path, format):
    path = tmp_path / f"a{SUFFIXES[format]}"
    value = np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))
    if format == "npz":
        np.savez_compressed(path, x=value)
    elif format == "zarr":
        make_group(path).create_array("x", data=value)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=value, compression="gzip")

    convert(path, tmp_path / "a.ckpt")

    assert fastckpt.load(tmp_path / "a.ckpt")["x"].tolist() == [[0, 1, 2], [3, 4, 5]]


# ---- Names

ODD = ["é/ü", "a b", "x:0", "😀", "..c", "a.b/c-d_e", "model/w/.ATTRIBUTES/VARIABLE_VALUE", "~"]


@each_format
@pytest.mark.parametrize("name", ODD)
def test_name_comes_back(tmp_path, format, name):
    before, after = round_trip(tmp_path, {name: np.zeros(2)}, format)

    assert after == before


@each_format
def test_name_that_is_no_text_is_refused(tmp_path, format):
    with pytest.raises(fastckpt.UnsupportedError, match=r"tensor 'x\\udcff': a name in .* UTF-8"):
        round_trip(tmp_path, {"x\udcff": np.zeros(2)}, format)


@pytest.mark.parametrize("format", ["npz", "safetensors"])
@pytest.mark.parametrize("name", ["a//b", "/a", "a/", ".", "a/../b", "zarr.json"])
def test_name_that_is_no_path_is_kept_where_names_are_no_paths(tmp_path, format, name):
    before, after = round_trip(tmp_path, {name: np.zeros(2), "a": np.ones(1)}, format)

    assert after == before


@pytest.mark.parametrize("format", ["hdf5", "zarr"])
@pytest.mark.parametrize("name", ["a//b", "/a", "a/", ".", "a/../b"])
def test_name_that_is_no_path_is_refused_where_names_are_paths(tmp_path, format, name):
    with pytest.raises(fastckpt.UnsupportedError, match="cannot have .* in a path.*rename"):
        round_trip(tmp_path, {name: np.zeros(2)}, format)


@pytest.mark.parametrize("format", ["hdf5", "zarr"])
def test_tensor_inside_of_another_one_is_refused(tmp_path, format):
    values = {"a/w": np.zeros(2), "a/w/Adam": np.zeros(2)}

    with pytest.raises(fastckpt.UnsupportedError, match="tensor 'a/w/Adam': .* inside of .*'a/w'"):
        round_trip(tmp_path, values, format)


@pytest.mark.parametrize(
    ("format", "name"), [("safetensors", "__metadata__"), ("zarr", "a/.zarray")]
)
def test_reserved_name_is_refused(tmp_path, format, name):
    with pytest.raises(fastckpt.UnsupportedError, match=name):
        round_trip(tmp_path, {name: np.zeros(2)}, format)


def test_more_dimensions_than_hdf5_has_are_refused(tmp_path):
    fastckpt.write(tmp_path / "a.ckpt", {"x": np.zeros((1,) * 32)})
    convert(tmp_path / "a.ckpt", tmp_path / "a.h5")
    with fastckpt.Writer(tmp_path / "b.ckpt") as writer:
        writer._records[b"x"] = writer._append(1, (1,) * 33, bytes(4), 0)

    with pytest.raises(fastckpt.UnsupportedError, match="tensor 'x': HDF5 has at most 32"):
        convert(tmp_path / "b.ckpt", tmp_path / "b.h5")


@each_format
def test_checkpoint_of_no_tensors_comes_back(tmp_path, format):
    before, after = round_trip(tmp_path, {}, format)

    assert before == after == {}


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@pytest.mark.parametrize("format", ["npz", "safetensors", "hdf5"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names=st.lists(NAMES, min_size=1, max_size=6, unique=True))
def test_any_names_come_back_or_are_refused(tmp_path, format, names):
    values = {name: np.float32(i) for i, name in enumerate(names)}
    try:
        before, after = round_trip(tmp_path, values, format)
    except fastckpt.UnsupportedError as error:
        assert format == "hdf5" or "__metadata__" in names, error
        return

    assert after == before


# ---- What others make of it

VALUES = {
    "dense/bias": np.arange(3, dtype=np.float32),
    "dense/kernel": np.arange(6, dtype=np.float64).reshape(2, 3),
    "flag": np.array([True, False]),
    "half": np.float16(0.5),
    "long name é": np.array([[1, -2]], np.int64),
    "z": np.array([1 + 2j], np.complex64),
    "none": np.zeros((0, 2), np.uint8),
}


@pytest.fixture
def source(tmp_path):
    fastckpt.write(tmp_path / "source.ckpt", VALUES)
    return tmp_path / "source.ckpt"


def is_same(array, expected):
    return (array.dtype, array.shape) == (expected.dtype, expected.shape) and np.array_equal(
        array, expected
    )


def test_numpy_loads_what_is_written(source, tmp_path):
    convert(source, tmp_path / "a.npz")

    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert sorted(archive) == sorted(VALUES)
        assert all(is_same(archive[name], value) for name, value in VALUES.items())


def test_safetensors_file_is_the_one_that_the_library_writes(source, tmp_path):
    convert(source, tmp_path / "a.safetensors")

    save_file({name: np.asarray(v) for name, v in VALUES.items()}, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("row", [row for row in FIXED if row.name in HELD["safetensors"]])
def test_safetensors_library_accepts_every_dtype(tmp_path, row):
    fastckpt.write(tmp_path / "a.ckpt", {"odd": bits(row, (3,)), "x": np.zeros(2, np.float64)})

    convert(tmp_path / "a.ckpt", tmp_path / "a.safetensors")

    with safe_open(tmp_path / "a.safetensors", "np") as file:
        assert file.get_slice("odd").get_shape() == [3]


def test_safetensors_metadata_of_others_is_passed_over(tmp_path):
    save_file({"x": np.ones(2)}, tmp_path / "a.safetensors", metadata={"format": "pt"})

    convert(tmp_path / "a.safetensors", tmp_path / "a.ckpt")

    assert fastckpt.load(tmp_path / "a.ckpt")["x"].tolist() == [1, 1]


def test_h5py_finds_a_tensor_at_its_name(source, tmp_path):
    convert(source, tmp_path / "a.h5")

    with h5py.File(tmp_path / "a.h5") as file:
        assert all(is_same(file[name][()], np.asarray(value)) for name, value in VALUES.items())


def test_zarr_finds_a_tensor_at_its_name(source, tmp_path):
    convert(source, tmp_path / "a.zarr")

    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    assert all(
        is_same(np.asarray(group[name][...]), np.asarray(value)) for name, value in VALUES.items()
    )


def test_zarr_chunks_have_megabytes_and_whole_rows(tmp_path):
    fastckpt.write(tmp_path / "a.ckpt", {"wide": np.zeros((3, 2, 1 << 20)), "long": np.zeros(9)})

    convert(tmp_path / "a.ckpt", tmp_path / "a.zarr")

    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    assert (group["wide"].chunks, group["long"].chunks) == ((1, 1, 1 << 19), (9,))


@pytest.mark.parametrize("version", VERSIONS)
def test_zarr_of_either_version_is_read(tmp_path, version):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = make_group(tmp_path / "a.zarr", version)
        group.create_array("a/b", data=np.arange(10.0), chunks=(3,))
        group.create_array("c", data=np.int8(5) * np.ones((), np.int8))
        group.create_array("e", shape=(4,), dtype="f4", chunks=(2,), fill_value=1.5)

    convert(tmp_path / "a.zarr", tmp_path / "a.ckpt")

    found = {name: array.tolist() for name, array in fastckpt.load(tmp_path / "a.ckpt").items()}
    assert found == {"a/b": list(range(10)), "c": 5, "e": [1.5] * 4}


# ---- The .h5 of Keras


def test_h5_lists_the_weights_of_layers_in_the_order_in_which_keras_makes_them(tmp_path):
    norm = ["beta", "gamma", "moving_mean", "moving_variance"]
    names = ["conv/bias", "conv/kernel", *[f"norm/{name}" for name in norm], "step"]
    names += [f"lstm/cell/{name}" for name in ("bias", "kernel", "recurrent_kernel", "zoneout")]
    fastckpt.write(tmp_path / "a.ckpt", {name: np.zeros(2) for name in names})

    convert(tmp_path / "a.ckpt", tmp_path / "a.h5")

    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file.attrs["layer_names"]) == [b"conv", b"lstm", b"norm"]
        weights = {
            name: list(file[name].attrs["weight_names"]) for name in ("conv", "lstm", "norm")
        }
    assert weights == {
        "conv": [b"kernel", b"bias"],
        "lstm": [b"cell/kernel", b"cell/recurrent_kernel", b"cell/bias", b"cell/zoneout"],
        "norm": [b"gamma", b"beta", b"moving_mean", b"moving_variance"],
    }


def test_lists_too_long_for_one_attribute_are_cut_as_keras_cuts_them(tmp_path):
    names = [f"{'layer' * 20}_{i:04}/w" for i in range(1000)]
    fastckpt.write(tmp_path / "a.ckpt", {name: np.float32(0) for name in names})

    convert(tmp_path / "a.ckpt", tmp_path / "a.h5")

    with h5py.File(tmp_path / "a.h5") as file:
        assert "layer_names" not in file.attrs
        listed = [name.decode() for i in (0, 1) for name in file.attrs[f"layer_names{i}"]]
    assert listed == [name[:-2] for name in names]


def keras_file(path, layers, top=""):
    """Write what Keras 2 writes: {layer: {weight: value}}."""
    with h5py.File(path, "a") as file:
        group = file.require_group(top) if top else file
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, weights in layers.items():
            group.create_group(layer).attrs["weight_names"] = [name.encode() for name in weights]
            for name, value in weights.items():
                group[layer][name] = value


def test_legacy_weights_are_called_as_keras_calls_them(tmp_path):
    weights = {
        "dense": {"dense/kernel:0": np.zeros((2, 1)), "dense/bias:0": np.ones(1)},
        "relu": {},
    }
    keras_file(tmp_path / "a.h5", weights)

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    assert list(fastckpt.read(tmp_path / "a.ckpt")) == ["dense/bias", "dense/kernel"]


def test_legacy_weights_of_one_name_are_told_apart_by_their_layers(tmp_path):
    weights = {
        "a": {"d/kernel:0": np.zeros(1), "d/bias:0": np.zeros(1)},
        "b": {"d/bias:0": np.ones(1)},
    }
    keras_file(tmp_path / "a.h5", weights)

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    names = list(fastckpt.read(tmp_path / "a.ckpt"))
    assert names == ["a/d/bias:0", "b/d/bias:0", "d/kernel"]


def test_whole_model_gives_its_weights_and_those_of_its_optimizer(tmp_path):
    keras_file(tmp_path / "a.h5", {"dense": {"dense/bias:0": np.ones(1)}}, top="model_weights")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["optimizer_weights/Adam/m:0"] = np.zeros(1)
        file["optimizer_weights"].attrs["weight_names"] = [b"Adam/m:0"]

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    assert list(fastckpt.read(tmp_path / "a.ckpt")) == ["dense/bias", "optimizer_weights/Adam/m"]


def test_names_that_end_as_those_of_keras_come_back(tmp_path):
    before, after = round_trip(tmp_path, {"a/w:0": np.zeros(1), "a/a/w:0": np.ones(1)}, "hdf5")

    assert after == before


KERAS = """
    import os, sys
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    import keras
    import numpy as np
    from fastckpt.interop.convert import convert

    layers = keras.layers

    def make(seed):
        keras.utils.set_random_seed(seed)
        stack = [layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm"),
                 layers.Reshape((36, 4)), layers.GRU(3, name="gru"), layers.Dense(5, name="head")]
        model = keras.Sequential([keras.Input((8, 8, 3)), *stack], name="net")
        model.set_weights([np.random.default_rng(seed).random(w.shape) for w in model.weights])
        return model

    def is_same(one, other):
        return all(map(np.array_equal, one.get_weights(), other.get_weights()))

    os.chdir(sys.argv[1])
    model, legacy, new = make(1), make(2), make(3)
    assert not is_same(model, legacy) and not is_same(model, new)

    model.save("model.h5")
    convert("model.h5", "legacy.ckpt")
    convert("legacy.ckpt", "legacy.h5", rename=[("^net/", ""), ("gru_cell/", "")])
    legacy.load_weights("legacy.h5", by_name=True)

    model.save_weights("model.weights.h5")
    convert("model.weights.h5", "new.ckpt")
    convert("new.ckpt", "new.weights.h5")
    new.load_weights("new.weights.h5")

    print(is_same(model, legacy), is_same(model, new))
"""


@pytest.mark.tensorflow
def test_keras_loads_what_came_from_keras_through_a_checkpoint(tmp_path):
    assert run(KERAS, tmp_path, timeout=120).split() == ["True", "True"]
