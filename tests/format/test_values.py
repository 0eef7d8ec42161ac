"""Values to arrays: the dtypes that have to be asked for by name."""

import numpy as np
import pytest

import fastckpt
from fastckpt.format.dtypes import QUANTIZED, by_name
from fastckpt.format.values import encode_value

EVERY_QUANTIZED = sorted(QUANTIZED)


def test_quantized_dtypes_are_those_of_tensorflow():
    assert EVERY_QUANTIZED == ["qint16", "qint32", "qint8", "quint16", "quint8"]


@pytest.mark.parametrize("name", EVERY_QUANTIZED)
def test_quantized_dtype_is_written_by_its_name(tmp_path, name):
    numbers = np.array([[1, 2], [3, 4]], by_name(name).numpy)
    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        writer.add("w", numbers, tf_dtype=name)
        for i in range(2):
            writer.add_slice(
                "p", numbers[i : i + 1], full_shape=(2, 2), start=(i, 0), tf_dtype=name
            )
    with fastckpt.read(tmp_path / "m") as checkpoint:
        checkpoint.verify()
        assert {info.tf_dtype for info in checkpoint.infos()} == {name}
        np.testing.assert_array_equal(checkpoint["w"], numbers)
        np.testing.assert_array_equal(checkpoint["p"], numbers)


@pytest.mark.parametrize("name", EVERY_QUANTIZED)
def test_quantized_dtype_of_tensorflow_needs_no_name(name):
    numbers = np.array([1, 2, 3], by_name(name).numpy)
    dtype, array = encode_value("w", numbers.view([(name, numbers.dtype)]))
    assert dtype.name == name
    np.testing.assert_array_equal(array, numbers)


def test_swapped_bytes_of_a_quantized_dtype_are_swapped_back():
    numbers = np.array([1, 2, 3], np.int32)
    _, array = encode_value("w", numbers.astype(numbers.dtype.newbyteorder()), "qint32")
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, numbers)


@pytest.mark.parametrize("name", ["float32", "string", "bool"])
def test_the_usual_dtype_may_be_named(name):
    value = {"float32": np.float32([1]), "string": ["x"], "bool": [True]}[name]
    assert encode_value("w", value, name)[0] is by_name(name)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.zeros(2, np.float32), "qint8"),
        (np.zeros(2, np.int8), "quint8"),
        (np.zeros(2, np.int64), "int32"),
        (["x"], "variant"),
        (["x"], "resource"),
        (["x"], "float32"),
        (np.zeros(2, np.int8), "string"),
        (np.zeros(2, np.int8), "int7"),
        (np.zeros(2, np.int8), 11),
        (np.zeros(2, [("qint8", np.int16)]), None),
        (np.zeros(2, [("other", np.int8)]), None),
        (np.zeros(2, [("qint8", np.int8), ("b", np.int8)]), None),
    ],
)
def test_dtype_that_does_not_fit_is_a_type_error(tmp_path, value, name):
    with pytest.raises(TypeError, match="tensor 'w'"):
        encode_value("w", value, name)
    with (
        pytest.raises(TypeError, match="tensor 'w'"),
        fastckpt.Writer(tmp_path / "m", sync=False) as writer,
    ):
        writer.add("w", value, tf_dtype=name)
    assert list(tmp_path.iterdir()) == []
