"""The records of V1: shapes, slices and values, as messages and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import to_tensor
from slice_keys import slice_key
from v1_files import (
    FLOAT,
    INT32,
    STRING,
    WHOLE,
    arrays,
    data_record,
    fastckpt_number,
    floats,
    message,
    shape_message,
    slice_message,
    varints,
)

from fastckpt.errors import Fault, FormatError
from fastckpt.format.dtypes import by_number
from fastckpt.v1.records import (
    decode_values,
    encode_box,
    encode_record,
    read_box,
    read_shape,
)

boxes = st.lists(
    st.one_of(st.just(WHOLE), st.tuples(st.integers(0, 2**62), st.integers(0, 2**62))), max_size=6
).map(tuple)


def shape_of(data, dtype=FLOAT):
    return read_shape(data, (0, len(data)), dtype, "f", "tensor 'w'")


def box_of(data):
    return read_box(data, (0, len(data)), "f", "tensor 'w'")


# ---- Shapes and slices


@given(st.lists(st.integers(0, 100), max_size=9).map(tuple))
def test_shape_is_that_of_the_message(shape):
    assert shape_of(shape_message(shape)) == shape


def test_span_chooses_the_message_in_a_record():
    data = shape_message((2, 3))

    found = read_shape(b"xx" + data + b"yy", (2, 2 + len(data)), FLOAT, "f", "tensor 'w'")

    assert found == (2, 3)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (shape_message((-1,)), "-1"),
        (shape_message((2**61, 1)), "less than"),
        (shape_message((2**40, 2**40)), "less than"),
        (shape_message((0, 2**40, 2**40)), "less than"),
        (shape_message((1,) * 255), "at most 254 dimensions, got 255"),
        (message((3, 1)), "at most 254 dimensions, got an unknown rank"),
        (bytes(1 << 17), "at most 65536 bytes, got 131072"),
    ],
)
def test_shape_that_cannot_be_raises_format_error(data, problem):
    with pytest.raises(FormatError, match=f"tensor 'w'.*{problem}") as caught:
        shape_of(data)

    assert caught.value.path == "f"


def test_shape_of_254_dimensions_is_read():
    assert shape_of(shape_message((1,) * 254)) == (1,) * 254


def test_size_of_an_element_counts_for_the_largest_shape():
    data = shape_message((2**61,))

    assert shape_of(data, dtype=4) == (2**61,)  # uint8
    assert shape_of(data, dtype=99) == (2**61,)  # unknown
    with pytest.raises(FormatError):
        shape_of(data, dtype=FLOAT)


@given(boxes)
def test_slice_comes_back_as_it_was_stored(box):
    data = encode_box(box)

    assert data == slice_message(box)
    assert box_of(data) == box


def test_whole_dimension_is_not_a_length_of_zero():
    assert box_of(message((1, [message((2, 0)), b""]))) == ((0, 0), WHOLE)


def test_slice_of_many_bytes_is_too_large():
    with pytest.raises(FormatError, match="at most 65536 bytes") as caught:
        box_of(b"\x0a\x00" * 40_000)

    assert caught.value.fault is Fault.TOO_LARGE


# ---- Values


@given(arrays())
def test_values_come_back_with_every_bit(array):
    dtype = by_number(fastckpt_number(array))

    record = encode_record(b"w", (WHOLE,) * array.ndim, dtype, array)
    found = decode_values(dtype, array.shape, record, "f", "tensor 'w'")

    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert to_tensor(found) == to_tensor(array)


def test_record_has_name_slice_and_values():
    box = ((1, 2), WHOLE)
    array = np.array([[1.5], [-2.0]], np.float32)

    key, expected = data_record(b"w", box, floats(1.5, -2.0))

    assert encode_record(b"w", box, by_number(FLOAT), array) == expected
    assert key == slice_key(b"w", box)


def test_layout_of_an_array_does_not_matter():
    array = np.arange(12, dtype=np.int32).reshape(3, 4)[::2, ::-1]
    box = (WHOLE, WHOLE)

    strided = encode_record(b"w", box, by_number(INT32), array)

    assert strided == encode_record(b"w", box, by_number(INT32), array.copy())


@pytest.mark.parametrize(
    ("dtype", "shape", "value", "expected"),
    [
        (FLOAT, (3,), floats(1, 2), "3 numbers for float32 of shape (3,), got 2"),
        (FLOAT, (), floats(1, 2), "1 numbers for float32 of shape (), got 2"),
        (FLOAT, (2,), varints(1, 2), "got 0"),
        (8, (1,), (9, bytes(4)), "2 numbers for complex64 of shape (1,), got 1"),
        (STRING, (2,), (8, [b"a"]), "2 numbers for string of shape (2,), got 1"),
    ],
)
def test_another_number_of_values_is_a_mismatch(dtype, shape, value, expected):
    _, record = data_record(b"w", (WHOLE,) * len(shape), value)

    with pytest.raises(FormatError) as caught:
        decode_values(by_number(dtype), shape, record, "f", "tensor 'w'")

    assert caught.value.fault is Fault.MISMATCH
    assert expected in str(caught.value)


@pytest.mark.parametrize("record", [b"", message((2, b"")), message((2, message((3, b""))))])
def test_record_without_data_has_no_values(record):
    assert decode_values(by_number(INT32), (0,), record, "f", "w").shape == (0,)
    with pytest.raises(FormatError, match="got 0"):
        decode_values(by_number(INT32), (1,), record, "f", "w")


@pytest.mark.parametrize(("number", "expected"), [(2**32 - 1, -1), (2**32 + 5, 5)])
def test_low_bits_of_a_number_that_is_too_large_count(number, expected):
    _, record = data_record(b"w", (), varints(number))

    assert decode_values(by_number(INT32), (), record, "f", "w") == expected
