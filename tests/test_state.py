"""The `checkpoint` file of a folder."""

import math

import pytest

from fastckpt.errors import FormatError
from fastckpt.state import CheckpointState, read_state


@pytest.fixture
def state(tmp_path):
    """Reads a text, or bytes, as a state file."""

    def read(text):
        path = tmp_path / "checkpoint"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_state(str(path))

    return read


def test_state_file_that_is_not_there_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_state(str(tmp_path / "checkpoint"))


BROKEN = [
    "model_checkpoint_path",
    "model_checkpoint_path:",
    "model_checkpoint_path: ckpt",
    "model_checkpoint_path: 5",
    'model_checkpoint_path "a"',
    'model_checkpoint_path: "a',
    "model_checkpoint_path: \"a'",
    'model_checkpoint_path: "a\nb"',
    'model_checkpoint_path: "a\\',
    'model_checkpoint_path: ["a"]',
    'model_checkpoint_path: "a" b',
    'model_checkpoint_path: "a",,',
    'unknown_field: "a"',
    '"model_checkpoint_path": "a"',
    'all_model_checkpoint_paths: ["a"',
    'all_model_checkpoint_paths: ["a" ; "b"]',
    'all_model_checkpoint_paths: ["a", 1]',
    'all_model_checkpoint_paths: ["a",]',
    'all_model_checkpoint_timestamps: "1"',
    "all_model_checkpoint_timestamps: abc",
    "last_preserved_timestamp: - - 1",
    "last_preserved_timestamp:",
    "{}",
    "\x01",
    ":",
    "\ufeffmodel",
]


@pytest.mark.parametrize("text", BROKEN)
def test_text_that_protobuf_refuses_is_a_format_error(state, text):
    with pytest.raises(FormatError, match="checkpoint: state file: at [0-9]+: expected .*, got "):
        state(text)


@pytest.mark.parametrize("data", [b"\0", b"\xff\xfe", bytes(range(256)), b"a" * 100_000])
def test_bytes_that_are_no_text_are_a_format_error(state, data):
    with pytest.raises(FormatError, match="state file: at "):
        state(data)


def test_text_cut_at_every_byte_is_an_error_or_a_shorter_state(state):
    text = 'model_checkpoint_path: "a\\303\\274"\nall_model_checkpoint_paths: ["b", \'c\']\n'

    complete = 0
    for size in range(len(text)):
        try:
            found = state(text[:size])
        except FormatError:
            continue
        complete += 1
        assert found.model_checkpoint_path in ("", "aü")
    assert 2 <= complete < 10


def test_nested_lists_do_not_recurse(state):
    with pytest.raises(FormatError):
        state("all_model_checkpoint_paths: " + "[" * 100_000)


def test_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "checkpoint"
    with open(path, "wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(FormatError, match="state file: expected at most 67108864 bytes, got more"):
        read_state(str(path))


def test_empty_file_is_an_empty_state(state):
    assert state("") == CheckpointState()
    assert state(" \n# nothing\n") == CheckpointState("", (), (), 0.0)


def test_state_as_tensorflow_writes_it(state):
    text = (
        'model_checkpoint_path: "ckpt-3"\n'
        'all_model_checkpoint_paths: "ckpt-2"\n'
        'all_model_checkpoint_paths: "ckpt-3"\n'
        "all_model_checkpoint_timestamps: 1795395482.9561229\n"
        "all_model_checkpoint_timestamps: 1795395482.9610884\n"
        "last_preserved_timestamp: 1795395481.920036\n"
    )

    assert state(text) == CheckpointState(
        "ckpt-3",
        ("ckpt-2", "ckpt-3"),
        (1795395482.9561229, 1795395482.9610884),
        1795395481.920036,
    )


@pytest.mark.parametrize(
    ("literal", "path"),
    [
        ('"a"', "a"),
        ("'a'", "a"),
        ("""'a"b'""", 'a"b'),
        (r'"a\"b"', 'a"b'),
        (r'"it\'s"', "it's"),
        (r'"\t\n\r\\"', "\t\n\r\\"),
        (r'"\a\b\f\v"', "\a\b\f\v"),
        (r'"\x41\x4a1"', "AJ1"),
        (r'"\101\60"', "A0"),
        (r'"\1018"', "A8"),
        (r'"\303\274"', "ü"),
        ('"ü重"', "ü重"),
        (r'"\377"', "\udcff"),
        ('"a" "b"\n\'c\'', "abc"),
        ('"a" # why\n"b"', "ab"),
        ('""', ""),
    ],
)
def test_string_literal(state, literal, path):
    assert state(f"model_checkpoint_path: {literal}").model_checkpoint_path == path


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("0", 0.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e+16", 1e16),
        ("1E-05", 1e-05),
        ("1.5f", 1.5),
        ("-2", -2.0),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("INFINITY", math.inf),
    ],
)
def test_number_literal(state, literal, value):
    found = state(f"last_preserved_timestamp: {literal}")

    assert found.last_preserved_timestamp == value


def test_not_a_number_is_a_number(state):
    assert math.isnan(state("last_preserved_timestamp: nan").last_preserved_timestamp)


@pytest.mark.parametrize(
    "text",
    [
        'all_model_checkpoint_paths: "a" all_model_checkpoint_paths: "b"',
        'all_model_checkpoint_paths: ["a", "b"]',
        "all_model_checkpoint_paths:['a','b']",
        'all_model_checkpoint_paths: "a", all_model_checkpoint_paths: "b";',
        'all_model_checkpoint_paths: ["a"] all_model_checkpoint_paths: ["b"]',
        '# first\nall_model_checkpoint_paths: "a" # second\n\nall_model_checkpoint_paths: "b"#',
        'all_model_checkpoint_paths: []all_model_checkpoint_paths: ["a", "b"]',
    ],
)
def test_repeated_field_in_every_spelling(state, text):
    assert state(text).all_model_checkpoint_paths == ("a", "b")


def test_last_of_a_repeated_single_field_counts(state):
    assert state('model_checkpoint_path: "a" model_checkpoint_path: "b"') == CheckpointState("b")


def test_state_is_a_value():
    with pytest.raises(AttributeError):
        CheckpointState().model_checkpoint_path = "a"
    assert CheckpointState("a") == CheckpointState("a") != CheckpointState("b")
