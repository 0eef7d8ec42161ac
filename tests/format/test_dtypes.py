"""The table of element types, and values to arrays."""

import warnings

import ml_dtypes
import numpy as np
import pytest
from oracle import DTYPES

from fastckpt.format.dtypes import STRING, by_number
from fastckpt.format.values import encode_value, payload

NUMBERS = [*range(1, 20), *range(20, 34)]
TABLE = {  # docs/format.md, "DataType": number: (name, NumPy's or ml_dtypes' name, bytes, swapped)
    1: ("float32", "float32", 4, 4),
    2: ("float64", "float64", 8, 8),
    3: ("int32", "int32", 4, 4),
    4: ("uint8", "uint8", 1, 0),
    5: ("int16", "int16", 2, 2),
    6: ("int8", "int8", 1, 0),
    7: ("string", "object", 0, 0),
    8: ("complex64", "complex64", 8, 4),
    9: ("int64", "int64", 8, 8),
    10: ("bool", "bool", 1, 0),
    11: ("qint8", "int8", 1, 0),
    12: ("quint8", "uint8", 1, 0),
    13: ("qint32", "int32", 4, 4),
    14: ("bfloat16", "bfloat16", 2, 2),
    15: ("qint16", "int16", 2, 2),
    16: ("quint16", "uint16", 2, 2),
    17: ("uint16", "uint16", 2, 2),
    18: ("complex128", "complex128", 16, 8),
    19: ("float16", "float16", 2, 2),
    20: ("resource", "object", 0, 0),
    21: ("variant", "object", 0, 0),
    22: ("uint32", "uint32", 4, 4),
    23: ("uint64", "uint64", 8, 8),
    24: ("float8_e5m2", "float8_e5m2", 1, 0),
    25: ("float8_e4m3fn", "float8_e4m3fn", 1, 0),
    26: ("float8_e4m3fnuz", "float8_e4m3fnuz", 1, 0),
    27: ("float8_e4m3b11fnuz", "float8_e4m3b11fnuz", 1, 0),
    28: ("float8_e5m2fnuz", "float8_e5m2fnuz", 1, 0),
    29: ("int4", "int4", 1, 0),
    30: ("uint4", "uint4", 1, 0),
    31: ("int2", "int2", 1, 0),
    32: ("uint2", "uint2", 1, 0),
    33: ("float4_e2m1fn", "float4_e2m1fn", 1, 0),
}
MASKS = {29: 0x0F, 30: 0x0F, 31: 0x03, 32: 0x03, 33: 0x0F}
FIXED = [number for number, row in TABLE.items() if row[2]]


class Bytes(bytes):
    pass


class Text(str):
    pass


def mixed(*items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def encode(value):
    return encode_value("layer/bad", value)


# ---- values that a checkpoint cannot hold


def unsupported_values():
    yield "datetime64", np.array(["2020-01-01"], "M8[s]")
    yield "timedelta64", np.array([1], "m8[s]")
    yield "datetime64 scalar", np.datetime64("2020-01-01")
    yield "structured", np.zeros(2, "i4,f4")
    yield "void", np.zeros(2, "V4")
    yield "None", None
    yield "dict", {"a": 1}
    yield "set", {1, 2}
    yield "generator", (i for i in range(3))
    yield "function", len
    yield "object", object()
    yield "objects", mixed(object(), object())
    yield "int among strings", mixed(b"a", 1)
    yield "None among strings", mixed("a", None)
    yield "list among strings", mixed(b"a", [b"b"])
    yield "bytearray among strings", mixed(b"a", bytearray(b"b"))
    yield "array among strings", mixed(b"a", np.zeros(1))
    yield "numbers as objects", mixed(1, 2.5)
    yield "list with None", [1, None]
    yield "list of strings and numbers", ["a", 1]
    yield "list of dicts", [{}, {}]
    yield "integer beyond 64 bits", 1 << 70
    yield "integers beyond 64 bits", [1 << 70, 1]
    yield "ragged list", [[1], [1, 2]]
    yield "ragged strings", [["a"], ["b", "c"]]
    yield "ragged depth", [1, [2]]
    yield "lone surrogate", "a\ud800"
    yield "lone surrogate in a list", ["a", "\udfff"]
    yield "lone surrogate in an array", np.array(["\ud800"])
    if np.dtype(np.longdouble).itemsize > 8:
        yield "longdouble", np.zeros(2, np.longdouble)
        yield "longdouble scalar", np.longdouble(1)
        yield "complex of longdoubles", np.zeros(2, np.clongdouble)
    if hasattr(np.dtypes, "StringDType"):
        yield (
            "StringDType with None",
            np.array(["a", None], dtype=np.dtypes.StringDType(na_object=None)),
        )


UNSUPPORTED = dict(unsupported_values())


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_value_that_has_no_type_is_refused_by_its_tensors_name(case):
    with pytest.raises((TypeError, ValueError), match="layer/bad"):
        encode(UNSUPPORTED[case])


@pytest.mark.parametrize("number", [0, -1, 34, 64, 100, 101, 133, 1 << 31])
def test_number_that_is_not_in_the_table_is_none(number):
    assert by_number(number) is None


# ---- the table


@pytest.mark.parametrize("number", TABLE)
def test_row_of_the_table(number):
    dtype = by_number(number)
    name, numpy_name, item_size, swap_size = TABLE[number]

    assert (dtype.number, dtype.name) == (number, name)
    assert (dtype.item_size, dtype.swap_size) == (item_size, swap_size)
    assert dtype.is_fixed == (item_size > 0)
    assert dtype.mask == MASKS.get(number, 0)
    assert dtype.numpy == np.dtype(getattr(ml_dtypes, numpy_name, numpy_name))
    assert item_size in (0, dtype.numpy.itemsize)


def test_table_has_every_type_that_tensorflow_saves():
    assert {by_number(number).name for number in TABLE} == {*DTYPES, "resource", "variant"}
    assert [number for number in range(200) if by_number(number)] == sorted(TABLE)


# ---- values that it can hold


@pytest.mark.parametrize("number", [n for n in FIXED if not TABLE[n][0].startswith("q")])
def test_array_keeps_its_type_and_memory(number):
    array = np.zeros((2, 3), by_number(number).numpy)

    dtype, encoded = encode(array)

    assert dtype is by_number(number)
    assert encoded is array


@pytest.mark.parametrize(
    "numpy_dtype", ["i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
)
def test_big_endian_array_is_swapped(numpy_dtype):
    array = np.arange(6).astype(">" + numpy_dtype)

    dtype, encoded = encode(array)

    assert bytes(payload(dtype, encoded)) == array.astype("<" + numpy_dtype).tobytes()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (5, "int64"),
        (2.5, "float64"),
        (1j, "complex128"),
        (True, "bool"),
        (1 << 63, "uint64"),
        (np.float32(1), "float32"),
        (np.uint16(1), "uint16"),
        (np.bool_(True), "bool"),
        (ml_dtypes.bfloat16(1), "bfloat16"),
        ([1, 2], "int64"),
        ([[1.5], [2]], "float64"),
        ((True, False), "bool"),
        ([], "float64"),
        (range(3), "int64"),
        (memoryview(b"abc"), "uint8"),
        (bytearray(b"abc"), "uint8"),
        (np.ma.masked_array([1.0, 2.0]), "float64"),
        (np.dtype("longlong").type(1), "int64"),
    ],
)
def test_value_becomes_an_array_as_numpy_makes_it(value, name):
    dtype, encoded = encode(value)

    assert dtype.name == name
    assert encoded.shape == np.shape(value)
    np.testing.assert_array_equal(encoded, np.asarray(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"ab\0", b"ab\0"),
        ("aü", "aü".encode()),
        ("", b""),
        (Bytes(b"ab\0"), b"ab\0"),
        (Text("ab"), b"ab"),
        (np.bytes_(b"ab"), b"ab"),
        (np.str_("aü"), "aü".encode()),
        ([b"a\0", b"\0"], [b"a\0", b"\0"]),
        (["a\0", "ü"], [b"a\0", "ü".encode()]),
        ([b"a", "b"], [b"a", b"b"]),
        ([["a", "b"], ["c", "d"]], [[b"a", b"b"], [b"c", b"d"]]),
        ((b"a\0",), [b"a\0"]),
        (np.array([b"a", b"bc"]), [b"a", b"bc"]),
        (np.array([["aü"]]), [["aü".encode()]]),
        (np.array(b"abc"), b"abc"),
        (np.array("abc"), b"abc"),
        (np.array([b"a"], "S5"), [b"a"]),
        (np.array(["a", "b"])[::-1], [b"b", b"a"]),
        (np.array(["ab"], ">U2"), [b"ab"]),
        (mixed(b"a\0", "b"), [b"a\0", b"b"]),
        (mixed(np.bytes_(b"a"), np.str_("b"), Bytes(b"c\0")), [b"a", b"b", b"c\0"]),
        (np.empty((0, 2), object), np.empty((0, 2)).tolist()),
        (np.empty((2, 0), "S3"), np.empty((2, 0)).tolist()),
    ],
)
def test_strings_become_an_object_array_of_bytes(value, expected):
    dtype, encoded = encode(value)

    assert dtype is STRING
    assert encoded.dtype == object
    assert encoded.tolist() == expected
    assert all(type(item) is bytes for item in encoded.ravel())


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="needs NumPy 2")
def test_string_dtype_becomes_bytes():
    array = np.array([["a", "ü" * 50], ["", "b\0"]], dtype=np.dtypes.StringDType())

    dtype, encoded = encode(array.T)

    assert dtype is STRING
    assert encoded.tolist() == [[b"a", b""], ["ü".encode() * 50, b"b\0"]]


class WithArray:
    def __array__(self, dtype=None, copy=None):
        return np.arange(3, dtype=np.int16)


class WithDlpack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class WithBoth(WithDlpack):
    def __array__(self, dtype=None, copy=None):
        return self.array


def test_object_with_array_is_taken_as_that_array():
    dtype, encoded = encode(WithArray())

    assert dtype.name == "int16"
    assert encoded.tolist() == [0, 1, 2]


@pytest.mark.parametrize("numpy_dtype", ["f4", "i8", "u1", "c8", "bool"])
@pytest.mark.parametrize("kind", [WithDlpack, WithBoth])
def test_object_with_dlpack_is_taken_without_a_copy(kind, numpy_dtype):
    array = np.arange(6).astype(numpy_dtype).reshape(2, 3)

    dtype, encoded = encode(kind(array))

    assert dtype.numpy == array.dtype
    np.testing.assert_array_equal(encoded, array)
    assert np.shares_memory(encoded, array)


# ---- their bytes


def layouts():
    base = np.arange(24, dtype=np.int32).reshape(4, 6)
    yield "C", base
    yield "F", np.asfortranarray(base)
    yield "transposed", base.T
    yield "strided", base[::2, 1::3]
    yield "negative strides", base[::-1, ::-2]
    yield "broadcast", np.broadcast_to(base[0], (3, 6))
    yield "0-d", np.array(7, np.int32)
    yield "0-d from a strided array", base[1:, 1:][0, 0, ...]
    yield "empty", base[:0]
    yield "unaligned", np.frombuffer(b"x" + base.tobytes(), "i4", offset=1)
    yield "large", np.arange(100_000, dtype=np.int32)
    yield "large, strided", np.arange(100_000, dtype=np.int32)[::-3]
    yield "large, F", np.asfortranarray(np.arange(100_000, dtype=np.int32).reshape(100, 1000))


@pytest.mark.parametrize(
    ("name", "array"), list(layouts()), ids=lambda x: x if type(x) is str else ""
)
def test_payload_is_the_elements_in_c_order(name, array):
    frozen = array.copy(order="K") if array.flags.writeable else array
    view = array.view()
    view.flags.writeable = False

    assert bytes(payload(by_number(3), view)) == array.astype("<i4").tobytes("C")
    np.testing.assert_array_equal(array, frozen)


@pytest.mark.parametrize("number", MASKS)
@pytest.mark.parametrize("count", [1, 256, 10_000])
def test_unused_bits_are_written_as_zero(number, count):
    raw = np.resize(np.arange(256, dtype=np.uint8), count)
    before = raw.copy()
    array = raw.view(by_number(number).numpy)

    assert bytes(payload(by_number(number), array)) == (raw & MASKS[number]).tobytes()
    np.testing.assert_array_equal(raw, before)


@pytest.mark.parametrize("number", MASKS)
def test_clean_bits_are_written_without_a_copy(number):
    raw = np.resize(np.arange(256, dtype=np.uint8) & MASKS[number], 10_000)

    data = payload(by_number(number), raw.view(by_number(number).numpy))

    assert np.shares_memory(np.frombuffer(data, np.uint8), raw)


def test_large_contiguous_array_is_written_without_a_copy():
    array = np.arange(10_000, dtype="<f4").reshape(100, 100)

    assert np.shares_memory(np.frombuffer(payload(by_number(1), array), np.uint8), array)


def test_encoding_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in ([1, 2.5], "a", np.float16(1), np.arange(3)[::-1]):
            encode(value)
