"""Values, snapshots of folders and comparisons for the tests of the writer."""

import os
import sys

import ml_dtypes
import numpy as np
import pytest

import fastckpt

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files and locks")


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


OLD = {"a": np.arange(5, dtype=np.int32), "old": np.array([b"x" * 100], dtype=object)}


NEW = {"a": np.arange(5, dtype=np.int32) + 100, "new": np.ones((3, 4)), "s": np.array(b"text")}


def snapshot(folder):
    """Every file below a folder with its bytes, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def file_names(base, num_shards):
    return [
        *(f"{base}.data-{i:05d}-of-{num_shards:05d}" for i in range(num_shards)),
        f"{base}.index",
    ]


def read_all(prefix):
    with fastckpt.read(prefix) as checkpoint:
        return {name: checkpoint.get_tensor(name, copy=True) for name in checkpoint}


def assert_same(found, expected):
    assert list(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], np.asarray(value))


def mixed(*items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def add_part(writer, start, length, dtype="f4", full=4, name="v"):
    writer.add_slice(name, np.ones(length, dtype), full_shape=(full,), start=(start,))


class WithArray:
    def __array__(self, dtype=None, copy=None):
        return np.arange(3, dtype=np.int16)


class WithDlpack:
    def __dlpack__(self, **options):
        return np.arange(6.0).reshape(2, 3).__dlpack__(**options)

    def __dlpack_device__(self):
        return np.arange(6.0).__dlpack_device__()


def read_only(array):
    array.flags.writeable = False
    return array


BASE = np.arange(24, dtype=np.float32).reshape(4, 6)


VALUES = {
    "C order": (BASE, BASE),
    "F order": (np.asfortranarray(BASE), BASE),
    "transposed": (BASE.T, BASE.T),
    "strided": (BASE[::2, 1::2], BASE[::2, 1::2]),
    "negative strides": (BASE[::-1, ::-1], BASE[::-1, ::-1]),
    "broadcast": (np.broadcast_to(np.int8(3), (2, 2)), np.full((2, 2), 3, np.int8)),
    "big-endian": (BASE.astype(">f4"), BASE),
    "big-endian, F order": (np.asfortranarray(BASE.astype(">f4")), BASE),
    "big-endian complex": (np.array([1 + 2j], ">c16"), np.array([1 + 2j])),
    "0-d": (np.array(5, np.int16), np.array(5, np.int16)),
    "read-only": (read_only(BASE.copy()), BASE),
    "unaligned": (np.frombuffer(b"x" + BASE.tobytes(), "f4", offset=1), BASE.ravel()),
    "empty": (np.zeros((0, 3), np.uint16), np.zeros((0, 3), np.uint16)),
    "empty, F order": (np.zeros((3, 0), order="F"), np.zeros((3, 0))),
    "bool": (np.array([True, False]), np.array([True, False])),
    "int": (5, np.array(5, np.int64)),
    "float": (0.5, np.array(0.5)),
    "complex": (1j, np.array(1j)),
    "True": (True, np.array(True)),
    "NumPy scalar": (np.float16(1.5), np.array(1.5, np.float16)),
    "list": ([1, 2], np.array([1, 2])),
    "nested lists": ([[1.0], [2.0]], np.array([[1.0], [2.0]])),
    "empty list": ([], np.array([])),
    "tuple": ((1, 2), np.array([1, 2])),
    "memoryview": (memoryview(b"ab"), np.array([97, 98], np.uint8)),
    "bytearray": (bytearray(b"ab"), np.array([97, 98], np.uint8)),
    "__array__": (WithArray(), np.arange(3, dtype=np.int16)),
    "__dlpack__": (WithDlpack(), np.arange(6.0).reshape(2, 3)),
    "matrix of one row": (BASE[:1], BASE[:1]),
    "masked": (np.ma.masked_array([1, 2]), np.array([1, 2])),
    "bfloat16": (np.ones(3, ml_dtypes.bfloat16), np.ones(3, ml_dtypes.bfloat16)),
    "32 dimensions": (np.zeros((1,) * 32), np.zeros((1,) * 32)),
    "large": (np.arange(200_000), np.arange(200_000)),
    "large, negative strides": (np.arange(200_000)[::-1], np.arange(200_000)[::-1]),
    "bytes": (b"a\0b\0", mixed(b"a\0b\0").reshape(())),
    "str": ("ü", mixed("ü".encode()).reshape(())),
    "empty bytes": (b"", mixed(b"").reshape(())),
    "list of bytes": ([b"a\0\0", b"", b"\0"], mixed(b"a\0\0", b"", b"\0")),
    "list of str": (["a\0", "ü"], mixed(b"a\0", "ü".encode())),
    "S array": (np.array([b"a", b"bcd"]), mixed(b"a", b"bcd")),
    "U array": (np.array([["ü", "bcd"]]), mixed("ü".encode(), b"bcd").reshape(1, 2)),
    "NumPy bytes": (np.bytes_(b"ab"), mixed(b"ab").reshape(())),
    "NumPy str": (np.str_("ab"), mixed(b"ab").reshape(())),
    "objects": (mixed(b"a\0", "b"), mixed(b"a\0", b"b")),
    "objects, strided": (mixed(b"a", b"b", b"c")[::-2], mixed(b"c", b"a")),
    "no strings": (np.empty((0, 2), object), np.empty((0, 2), object)),
    "long strings": ([b"x" * 300_000, "y" * 200], mixed(b"x" * 300_000, b"y" * 200)),
}


if hasattr(np.dtypes, "StringDType"):
    VALUES["StringDType"] = (
        np.array(["a", "ü" * 100, ""], dtype=np.dtypes.StringDType()),
        mixed(b"a", ("ü" * 100).encode(), b""),
    )
