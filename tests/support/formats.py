"""Files of other formats for the tests of conversion: sound ones, and ones made by hand."""

import json
import warnings
import zipfile
from io import BytesIO

import h5py
import numpy as np
import pytest
import zarr

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
VERSIONS = [2, 3] if hasattr(zarr.Group, "create_array") else [2]  # of the format of zarr
each_format = pytest.mark.parametrize("format", SUFFIXES)
IS_ZARR_3 = hasattr(zarr.Group, "create_array")  # zarr 2 needs other words
VALUES = {
    "dense/bias": np.arange(3, dtype=np.float32),
    "dense/kernel": np.arange(6, dtype=np.float64).reshape(2, 3),
    "step": np.int64(7),
}
MANY = {
    "dense/bias": np.arange(3, dtype=np.float32),
    "dense/kernel": np.arange(6, dtype=np.float64).reshape(2, 3),
    "flag": np.array([True, False]),
    "half": np.float16(0.5),
    "long name é": np.array([[1, -2]], np.int64),
    "z": np.array([1 + 2j], np.complex64),
    "none": np.zeros((0, 2), np.uint8),
}
MIXED = {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3), "s": np.int64(1), "t": [True, False]}


# ---- Sound ones


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


def keras_file(path, layers, top=""):
    """Write what Keras 2 writes: {layer: {weight: value}}."""
    with h5py.File(path, "a") as file:
        group = file.require_group(top) if top else file
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, weights in layers.items():
            group.create_group(layer).attrs["weight_names"] = [name.encode() for name in weights]
            for name, value in weights.items():
                group[layer][name] = value


def is_same(array, expected):
    return (array.dtype, array.shape) == (expected.dtype, expected.shape) and np.array_equal(
        array, expected
    )


def names_in(path):
    """The names of the tensors in a file of any format."""
    back = path.with_name("names.ckpt")
    convert(path, back)
    with fastckpt.read(back) as checkpoint:
        return list(checkpoint)


def load_back(path):
    """{name: list of the values} of a file of any format."""
    back = path.with_name("back.ckpt")
    convert(path, back)
    return {name: array.tolist() for name, array in fastckpt.load(back).items()}


def lists(values):
    return {name: np.asarray(value).tolist() for name, value in values.items()}


# ---- Ones that no library writes


def npy(value, **options):
    stream = BytesIO()
    np.save(stream, value, **options)
    return stream.getvalue()


def write_zip(path, members, **options):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", **options) as archive:
        warnings.simplefilter("ignore")  # of two members with one name
        for name, data in members:
            archive.writestr(name, data)


def safetensors(header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def outcome(path, target):
    """Convert, and say how it ended; anything but an error of ours is raised."""
    try:
        convert(path, target)
    except (fastckpt.CheckpointError, OSError) as error:
        return type(error)
    return None


def write_h5(path, make):
    with h5py.File(path, "w") as file:
        file["fine"] = np.zeros(2)
        make(file)


def write_zarr(path, **changes):
    """A group of version 2 with one array, whose metadata are changed."""
    options = {"zarr_format": 2} if IS_ZARR_3 else {}
    group = zarr.open_group(str(path), mode="w", **options)
    create = group.create_array if IS_ZARR_3 else group.create_dataset
    create("x", data=np.arange(4.0))
    file = path / "x" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
