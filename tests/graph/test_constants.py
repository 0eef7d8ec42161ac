"""Constants of a graph: TensorProtos as arrays, and those that are refused."""

import numpy as np
import pytest
from graph_files import DTYPES, encode_tensor, read_attribute
from oracle import numpy_dtype, to_tensor

from fastckpt import read_meta
from fastckpt.errors import FormatError, UnsupportedError
from fastckpt.format._message_encoder import encode
from fastckpt.graph.schema import TENSOR


@pytest.mark.parametrize(
    ("dtype", "values"), [(1, {}), (3, {"ints": [7]}), (7, {"strings": [b"x"]}), (7, {})]
)
def test_constant_of_one_value_takes_no_memory(tmp_path, dtype, values):
    array = read_attribute(tmp_path, encode_tensor(dtype, [2**20, 2**20], **values))

    assert array.shape == (2**20, 2**20)
    assert array.strides == (0, 0)
    assert array[5, 5] == {1: 0.0, 3: 7, 7: b"x" if values else b""}[dtype]
    assert not array.flags.writeable


def test_constant_is_a_view_of_the_file(golden):
    meta = read_meta(golden / "v1_plain/model.ckpt-2.meta")
    node = meta.node("Const")

    first, second = node.attrs["value"], node.attrs["value"]

    assert np.shares_memory(first, second)
    assert not first.flags.writeable


def test_last_value_goes_on(tmp_path):
    array = read_attribute(tmp_path, encode_tensor(3, [2, 3], ints=[1, -2]))

    assert array.dtype == np.int32
    assert array.tolist() == [[1, -2, -2], [-2, -2, -2]]


def test_more_values_than_elements_are_cut_off(tmp_path):
    array = read_attribute(tmp_path, encode_tensor(7, [2], strings=[b"a", b"b", b"c"]))

    assert array.tolist() == [b"a", b"b"]


@pytest.mark.parametrize(
    ("dtype", "ints", "expected"),
    [(4, [300, -1], [44, 255]), (29, [7, -1], [7, -1]), (30, [15, 17], [15, 1])],
)
def test_integers_are_cut_down_to_their_width(tmp_path, dtype, ints, expected):
    array = read_attribute(tmp_path, encode_tensor(dtype, [2], ints=ints))

    assert array.astype(int).tolist() == expected


def test_bool_bytes_become_bools(tmp_path):
    array = read_attribute(tmp_path, encode_tensor(10, [3], content=b"\0\1\2"))

    assert array.view(np.uint8).tolist() == [0, 1, 1]


def test_constants_of_every_dtype_are_those_of_tensorflow(graph_oracle, oracle, tmp_path):
    # those that TensorFlow's Python makes into a TensorProto, and back
    names = [name for name in oracle.dtypes if DTYPES[name].mask == 0 and "fnuz" not in name]
    if oracle.version.startswith("1."):
        names = [name for name in names if name[0] != "q" and name not in ("uint32", "uint64")]
    raw = bytes(range(1, 129))
    cases = []
    for name in names:
        if name == "string":
            tensors = [(name, (4,), [b"a", b"", b"\0\xff", b"d"]), (name, (), [b"x"])]
        else:
            size = DTYPES[name].item_size
            tensors = [(name, (4,), raw[: 4 * size]), (name, (), raw[:size])]
            if name == "bool":
                tensors = [(name, (4,), b"\0\1\1\0"), (name, (), b"\1")]
        cases += [(tensor, False) for tensor in tensors]
        if not name.startswith("float8"):
            cases.append((tensors[0], True))

    answers = graph_oracle.tensors(cases)

    for (case, _), (data, expected) in zip(cases, answers, strict=True):
        (tmp_path / "c.meta").write_bytes(data)
        array = read_meta(tmp_path / "c.meta").node("c").attrs["value"]
        _, shape, payload = to_tensor(array)
        assert (case[0], shape, payload) == expected
        assert array.dtype == numpy_dtype(case[0])


# ---- Bad input ----


@pytest.mark.parametrize(
    ("value", "error", "problem"),
    [
        (encode_tensor(1, [-1]), FormatError, "expected a known shape"),
        (
            {"tensor": encode(TENSOR, {"dtype": 1, "shape": b"\x18\1"})},
            FormatError,
            "expected a known shape, got None",
        ),
        (encode_tensor(1, [2**62, 4]), FormatError, "less than 2\\*\\*63 bytes"),
        (encode_tensor(1, [0, 2**62, 4]), FormatError, "less than 2\\*\\*63 bytes"),
        (encode_tensor(1, [1] * 100), UnsupportedError, "dimensions, got 100"),
        (encode_tensor(1, [1] * 40_000), FormatError, "a shape of at most 65536 bytes"),
        (encode_tensor(1, [3], content=b"1234"), FormatError, "expected 12 bytes .*, got 4"),
        (encode_tensor(1, [0], content=b"1234"), FormatError, "expected 0 bytes .*, got 4"),
        (encode_tensor(7, [1], content=b"1"), UnsupportedError, "array form, got string"),
        (encode_tensor(0, []), UnsupportedError, r"got unknown\(0\)"),
        (encode_tensor(20, []), UnsupportedError, "got resource"),
        (encode_tensor(101, []), UnsupportedError, "got float32_ref"),
        (
            encode_tensor(3, [2**40], ints=[1, 2]),
            UnsupportedError,
            "got 2, the last to be",
        ),
        (encode_tensor(7, [2**40], strings=[b"a", b"b"]), UnsupportedError, "got 2, the last"),
    ],
)
def test_hostile_tensor_raises(tmp_path, value, error, problem):
    with pytest.raises(error, match=f"attribute 'value' of node 'n'.*{problem}"):
        read_attribute(tmp_path, value)


def test_complex_value_without_an_imaginary_part_raises_format_error(tmp_path):
    real = bytes.fromhex("0808 1200 4d 0000803f".replace(" ", ""))  # dtype, shape, one float

    with pytest.raises(FormatError, match="got an odd number of parts"):
        read_attribute(tmp_path, {"tensor": real})
