"""Protobuf's text format: what is written is read, and no text takes long."""

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastckpt.errors import FormatError
from fastckpt.paths import textproto

FIELDS = {
    "name": textproto.Field(str, is_repeated=False),
    "names": textproto.Field(str, is_repeated=True),
    "times": textproto.Field(float, is_repeated=True),
}


def parse(text):
    return textproto.parse(FIELDS, text, "checkpoint", "state file")


strings = st.binary(max_size=20).map(os.fsdecode)
blanks = st.lists(st.sampled_from([" ", "\t", "\r\n", "# a \" comment [ ' \\\n", "#\n", "##\n"]))
numbers = st.floats(allow_nan=False)


@given(strings, st.lists(strings, max_size=5), st.lists(numbers, max_size=5))
def test_values_that_are_written_are_read(name, names, times):
    values = {"name": [name], "names": names, "times": times}

    assert parse(textproto.encode(FIELDS, values)) == values


@given(
    st.lists(strings, max_size=5), st.lists(st.lists(blanks, min_size=6, max_size=6), min_size=5)
)
def test_blanks_and_comments_change_nothing(names, between):
    lines = []
    for name, gaps in zip(names, between, strict=False):
        literal = textproto.encode(FIELDS, {"name": [name], "names": (), "times": ()})[6:-1]
        tokens = [b"names", b":", b"[", literal, b"]", b";"]
        blank = ["".join(each).encode() for each in gaps]
        lines += [part for pair in zip(blank, tokens, strict=True) for part in pair]

    assert parse(b"".join(lines) + b"# the end")["names"] == names


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (rb'"\1\12\101\1234"', "\x01\nAS4"),
        (rb'"\x1\x41g\X7a"', "\x01Agz"),
        (rb'"\303\274"', "ü"),
        (rb'"\"\'\\\?\a\b\f\n\r\t\v"', "\"'\\?\a\b\f\n\r\t\v"),
        (b"'a' \"b\" # c\n 'd'", "abd"),
        (b'"# no comment"', "# no comment"),
    ],
)
def test_escapes_of_a_string(literal, value):
    assert parse(b"name: " + literal)["name"] == [value]


@pytest.mark.parametrize("literal", [rb'"\8"', rb'"\q"', rb'"\x"', rb'"\xg"', b'"\\\n"', b'"a\n"'])
def test_escape_that_protobuf_refuses_is_a_format_error(literal):
    with pytest.raises(FormatError):
        parse(b"name: " + literal)


SIZE = 300_000
LONG = {
    "number signs": b"#" * SIZE + b"\n@",
    "comments": b"#\n" * SIZE + b"@",
    "blanks": b" " * SIZE + b"@",
    "blanks and comments": b" # \t" * SIZE + b"\n\x01",
    "a string that does not end": b'name: "' + b"a" * SIZE,
    "escapes that do not end": b'name: "' + b"\\a" * SIZE,
    "backslashes": b'name: "' + b"\\" * (SIZE + 1),
    "digits": b"times: " + b"1" * SIZE + b"@",
    "a name": b"a" * SIZE + b"@",
    "lists": b"names: " + b"[" * SIZE,
    "strings": b"name:" + b'"a"' * SIZE + b"@",
    "marks": b"names: 'a' " + b"," * SIZE,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_hostile_text_is_an_error_at_once(text):
    start = time.process_time()

    with pytest.raises(FormatError):
        parse(text)

    assert time.process_time() - start < 10  # quadratic time would be minutes


def test_many_lines_take_no_longer_each():
    text = b'names: "a/path/to/a/checkpoint/of/a/model-1000000"\n' * 100_000
    start = time.process_time()

    assert len(parse(text)["names"]) == 100_000

    assert time.process_time() - start < 20


@given(st.binary(max_size=60) | st.text("nametis: \"'#\\\n[],;-.0123", max_size=60).map(str.encode))
def test_any_text_is_read_or_refused(text):
    try:
        values = parse(text)
    except FormatError as error:
        assert error.path == "checkpoint"
    else:
        assert values.keys() == FIELDS.keys()
