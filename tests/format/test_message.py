"""Messages by schema, compared with bytes that protobuf's rules give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastckpt.errors import FormatError
from fastckpt.format._message import (
    BOOL,
    BYTES,
    DOUBLE,
    FLOAT,
    INT,
    SPAN,
    TEXT,
    Message,
    decode,
    hash_field,
)
from fastckpt.format._message_encoder import encode

INNER = Message("Inner", {1: ("a", INT), 2: ("t", TEXT)})
OUTER = Message(
    "Outer",
    {
        1: ("i", INT),
        2: ("b", BOOL),
        3: ("f", FLOAT),
        4: ("d", DOUBLE),
        5: ("t", TEXT),
        6: ("y", BYTES),
        7: ("s", SPAN),
        8: ("m", INNER),
        9: ("ints", [INT]),
        10: ("floats", [FLOAT]),
        11: ("messages", [INNER]),
        12: ("map", {TEXT: INNER}),
        13: ("spans", [SPAN]),
        14: ("bools", [BOOL]),
        15: ("texts", [TEXT]),
        16: ("doubles", [DOUBLE]),
        17: ("names", {INT: TEXT}),
    },
)
ONEOF = Message(
    "Oneof", {1: ("i", INT), 2: ("b", BOOL), 3: ("t", TEXT), 4: ("m", INNER)}, is_oneof=True
)
LIST = Message("List")
LIST.define({1: ("next", LIST)})


def read(text, message=OUTER):
    return decode(message, bytes.fromhex(text), "file", "thing")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("08", "thing at 0: truncated: needs 1 more byte$"),
        ("08ff", "thing at 0: truncated: needs 1 more byte$"),
        ("0801 00", "thing at 2: expected a protocol buffer"),
        ("0801 0f", "thing at 2: expected a protocol buffer"),
        ("0801 0b", "thing at 2: expected a protocol buffer"),
        ("08ffffffffffffffffff02", "thing at 0: expected a varint"),
        ("1d000000", "thing at 0: truncated: needs 1 more byte$"),
        ("2100", "thing at 0: truncated: needs 7 more bytes$"),
        ("2a0361", "thing at 0: truncated: needs 2 more bytes$"),
        ("4202 08ff", "thing at 2: truncated: needs 1 more byte$"),
        ("4a02 01ff", "thing at 3: expected packed varints"),
        ("4a0bffffffffffffffffffff01", "thing at 2: expected packed varints"),
        ("520500000000 00", "thing at 2: expected items of 4 bytes, got 5"),
        ("82010400000000", "thing at 3: expected items of 8 bytes, got 4"),
    ],
)
def test_bytes_that_are_no_message_are_a_format_error(text, problem):
    with pytest.raises(FormatError, match=f"^file: ({problem})"):
        read(text)


def test_nesting_without_end_is_a_format_error():
    data = b""
    for _ in range(200):
        data = encode(LIST, {"next": data})

    with pytest.raises(FormatError, match="expected messages at most 100 deep, got more"):
        decode(LIST, data, "file", "thing")


@pytest.mark.parametrize(("start", "end"), [(3, 2), (0, 4), (4, None)])
def test_part_that_is_not_in_the_data_is_the_callers_mistake(start, end):
    with pytest.raises(ValueError, match="expected a part of 3 bytes"):
        decode(OUTER, b"\x08\x01\x08", "file", "thing", start, end)


def test_empty_message_has_every_field():
    found = read("")

    scalars = {name: found[name] for name in ("i", "b", "f", "d", "t", "y", "s", "m")}
    assert scalars == {"i": 0, "b": False, "f": 0, "d": 0, "t": "", "y": b"", "s": None, "m": None}
    assert [found[name] for name in ("messages", "texts", "map", "names")] == [[], [], {}, {}]
    assert [(found[name].dtype, found[name].shape) for name in ("ints", "floats", "spans")] == [
        (np.dtype("i8"), (0,)), (np.dtype("f4"), (0,)), (np.dtype("i8"), (0, 2)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("08ac02", "i", 300),
        ("08ffffffffffffffffff01", "i", -1),
        ("0802 0805", "i", 5),
        ("1007", "b", True),
        ("1d0000c03f", "f", 1.5),
        ("210000000000000440", "d", 2.5),
        ("2a02c3a9", "t", "é"),
        ("2a01ff", "t", "\udcff"),
        ("320161", "y", b"a"),
        ("0801 3a026162", "s", (4, 6)),
        ("42020807", "m", {"a": 7, "t": ""}),
        ("4200", "m", {"a": 0, "t": ""}),
        ("5a00 5a020801", "messages", [{"a": 0, "t": ""}, {"a": 1, "t": ""}]),
        ("62070a0178 1202 0803", "map", {"x": {"a": 3, "t": ""}}),
        ("62030a0178", "map", {"x": {"a": 0, "t": ""}}),
        ("6200", "map", {"": {"a": 0, "t": ""}}),
        ("8a0105 0801 120161 8a0105 0801 120162", "names", {1: "b"}),
        ("7a0161 7a00", "texts", ["a", ""]),
    ],
)
def test_field_is_read(text, name, value):
    assert read(text)[name] == value


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("4a0401ac0202", "ints", [1, 300, 2]),
        ("4801 4802", "ints", [1, 2]),
        ("4801 4a020203 4804 4a00 4a0105", "ints", [1, 2, 3, 4, 5]),
        ("4a0affffffffffffffffff01", "ints", [-1]),
        ("52080000c03f00000040 5500000040", "floats", [1.5, 2, 2]),
        ("720300 02 01", "bools", [False, True, True]),
        ("8201080000000000000440", "doubles", [2.5]),
        ("6a00 6a0161", "spans", [[2, 2], [4, 5]]),
    ],
)
def test_repeated_number_is_read_packed_and_not(text, name, values):
    found = read(text)[name]

    assert found.tolist() == values


def test_unknown_fields_and_those_of_another_wire_type_are_skipped():
    found = read(
        "a00601 a10600000000 00000000 a2060161 a50600000000 0a0161 0d00000000 4500000000 2801"
    )

    assert found["i"] == 0
    assert found["m"] is None
    assert found["t"] == ""


def test_part_of_the_data_has_offsets_of_the_whole():
    data = bytes.fromhex("ffff 3a0161 ff")

    assert decode(OUTER, data, "file", "thing", 2, 5)["s"] == (4, 5)
    with pytest.raises(FormatError, match="thing at 2"):
        decode(OUTER, data, "file", "thing", 2, 4)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, np.frombuffer])
def test_any_buffer_is_read(kind):
    data = bytes.fromhex("0805")

    assert (
        decode(OUTER, kind(data) if kind is not np.frombuffer else kind(data, np.uint8), "", "")[
            "i"
        ]
        == 5
    )


def test_oneof_tells_what_is_there():
    assert read("", ONEOF) == {}
    assert read("0800", ONEOF) == {"i": 0}


numbers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))
inner = st.fixed_dictionaries({"a": numbers, "t": texts})


@given(
    st.fixed_dictionaries(
        {
            "i": numbers,
            "b": st.booleans(),
            "f": st.floats(width=32, allow_nan=False),
            "d": st.floats(allow_nan=False),
            "t": texts,
            "y": st.binary(),
            "m": st.none() | inner,
            "ints": st.lists(numbers),
            "floats": st.lists(st.floats(width=32, allow_nan=False)),
            "doubles": st.lists(st.floats(allow_nan=False)),
            "bools": st.lists(st.booleans()),
            "messages": st.lists(inner),
            "map": st.dictionaries(texts, inner),
            "texts": st.lists(texts),
            "names": st.dictionaries(numbers, texts),
        }
    )
)
def test_what_was_written_is_read(values):
    found = decode(OUTER, encode(OUTER, values), "file", "thing")

    for name, value in values.items():
        result = found[name].tolist() if isinstance(found[name], np.ndarray) else found[name]
        assert result == value


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_a_message_or_a_format_error(data):
    try:
        found = decode(OUTER, data, "file", "thing")
    except FormatError:
        return

    assert set(found) == {row for row in read("")}


def test_hashes_of_a_field_are_those_of_its_bytes():
    names = [b"a", b"", "é".encode(), b"x" * 300]
    messages = [encode(INNER, {"a": i, "t": name.decode()}) for i, name in enumerate(names)]
    ends = np.cumsum([len(message) for message in messages])
    spans = np.stack([ends - [len(message) for message in messages], ends], axis=1)

    hashes = hash_field(2, b"".join(messages), spans, "file", "thing")

    assert hashes.tolist() == [hash(name) for name in names]


def test_hashes_of_broken_messages_are_a_format_error():
    with pytest.raises(FormatError, match="thing at 1: truncated: needs 5 more bytes"):
        hash_field(2, b"\xff\x12\x05", np.array([[1, 3]]), "file", "thing")
    for span in ([0, 4], [2, 1], [-1, 2]):
        with pytest.raises(ValueError, match="expected a part of 3 bytes"):
            hash_field(2, b"abc", np.array([span]), "file", "thing")


def test_spans_of_a_million_fields_take_sixteen_bytes_each():
    found = decode(OUTER, b"\x6a\x00" * 1_000_000, "file", "thing")["spans"]

    assert found.shape == (1_000_000, 2)
    assert found[-1].tolist() == [2_000_000, 2_000_000]
