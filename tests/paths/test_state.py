"""The `checkpoint` file of a folder."""

import errno
import math
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastckpt
from fastckpt.errors import FormatError
from fastckpt.paths.state import (
    CheckpointState,
    get_checkpoint_state,
    latest_checkpoint,
    make_state,
    read_state,
    update_checkpoint_state,
    write_state,
)


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
    with pytest.raises(FormatError, match="checkpoint: state file at [0-9]+: expected .*, got "):
        state(text)


@pytest.mark.parametrize("data", [b"\0", b"\xff\xfe", bytes(range(256)), b"a" * 100_000])
def test_bytes_that_are_no_text_are_a_format_error(state, data):
    with pytest.raises(FormatError, match="state file at [0-9]+: "):
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

    with pytest.raises(FormatError, match="state file: expected at most 67108864 bytes, got "):
        read_state(str(path))


def test_empty_file_is_an_empty_state(state):
    assert state("") == CheckpointState()
    assert state(" \n# nothing\n") == CheckpointState("", [], [], 0.0)


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
    assert state(text).all_model_checkpoint_paths == ["a", "b"]


def test_last_of_a_repeated_single_field_counts(state):
    assert state('model_checkpoint_path: "a" model_checkpoint_path: "b"') == CheckpointState("b")


def test_state_compares_and_changes_as_tensorflows_message():
    paths = ["a"]
    state = CheckpointState("a", paths)
    assert state == CheckpointState("a", ["a"]) != CheckpointState("b", ["a"])

    state.model_checkpoint_path = "b"
    state.all_model_checkpoint_paths.append("b")

    assert state == CheckpointState("b", ["a", "b"])
    assert state.all_model_checkpoint_paths == ["a", "b"]
    assert state.all_model_checkpoint_timestamps == []
    assert paths == ["a"] and CheckpointState().all_model_checkpoint_paths == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("ckpt-1", "ckpt-1"),
        ("a'b\"c\\d", "a\\'b\\\"c\\\\d"),
        ("tab\tline\nreturn\r", "tab\\tline\\nreturn\\r"),
        ("\x01\x1f\x7f", "\\001\\037\\177"),
        ("é", "\\303\\251"),
        ("\udcff", "\\377"),
    ],
)
def test_path_is_escaped_as_tensorflow_does(tmp_path, path, text):
    write_state(str(tmp_path / "checkpoint"), CheckpointState(path, (path,)))

    written = (tmp_path / "checkpoint").read_text("ascii")
    assert written == (f'model_checkpoint_path: "{text}"\nall_model_checkpoint_paths: "{text}"\n')


def test_times_are_written_as_their_shortest_decimals(tmp_path):
    times = (1795395482.9561229, 0.0, 1e16, 1e-05, math.inf, 3)
    state = CheckpointState("b", ("a",) * 5 + ("b",), times, 1795395481.920036)

    write_state(str(tmp_path / "checkpoint"), state)

    lines = (tmp_path / "checkpoint").read_text().splitlines()
    assert lines[7:] == [
        "all_model_checkpoint_timestamps: 1795395482.9561229",
        "all_model_checkpoint_timestamps: 0.0",
        "all_model_checkpoint_timestamps: 1e+16",
        "all_model_checkpoint_timestamps: 1e-05",
        "all_model_checkpoint_timestamps: inf",
        "all_model_checkpoint_timestamps: 3.0",
        "last_preserved_timestamp: 1795395481.920036",
    ]


paths = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(
    paths,
    st.lists(paths).map(tuple),
    st.lists(st.floats(allow_nan=False)).map(tuple),
    st.floats(allow_nan=False),
)
def test_what_was_written_is_read(tmp_path_factory, path, every, times, last):
    file = str(tmp_path_factory.getbasetemp() / "checkpoint")
    state = CheckpointState(path, every, times, last)

    write_state(file, state)

    assert read_state(file) == state


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "checkpoint"
    write_state(str(path), CheckpointState("a", ("a",)))
    with open(path, "rb") as before:
        write_state(str(path), CheckpointState("b", ("b",)), sync=False)

        assert b'"a"' in before.read()  # the file that was open is as it was
    assert read_state(str(path)).model_checkpoint_path == "b"
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_writing_removes_what_a_dead_writer_left(tmp_path):
    dead = tmp_path / "checkpoint.tmp-0123456789abcdef"
    dead.touch()
    other = tmp_path / "other.tmp-0123456789abcdef"
    other.touch()

    write_state(str(tmp_path / "checkpoint"), CheckpointState("a", ("a",)))

    assert sorted(os.listdir(tmp_path)) == ["checkpoint", other.name]


def test_failing_to_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = str(tmp_path / "checkpoint")
    write_state(path, CheckpointState("a", ("a",)))

    def fail(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="broken"):
        write_state(path, CheckpointState("b", ("b",)))

    assert read_state(path).model_checkpoint_path == "a"
    assert os.listdir(tmp_path) == ["checkpoint"]


@pytest.mark.parametrize(
    ("folder", "path", "relative", "stored"),
    [
        ("d", "d/m-1", False, "m-1"),
        ("d", "other/m-1", False, "../other/m-1"),
        ("d", "/abs/m-1", False, "/abs/m-1"),
        ("/abs", "/abs/m-1", False, "/abs/m-1"),
        ("/abs", "/abs/m-1", True, "m-1"),
        ("/abs", "m-1", False, "m-1"),
        ("", "m-1", False, "m-1"),
    ],
)
def test_paths_are_stored_as_tensorflow_stores_them(folder, path, relative, stored):
    state = make_state(folder, path, (), save_relative_paths=relative)

    assert state == CheckpointState(stored, (stored,))


def test_newest_path_ends_the_list_of_all():
    assert make_state("/d", "/d/b", ["/d/a"], save_relative_paths=True) == CheckpointState(
        "b", ("a", "b")
    )
    assert make_state("/d", "/d/b", ["/d/b", "/d/a"], save_relative_paths=True) == CheckpointState(
        "b", ("b", "a", "b")
    )


def test_times_that_do_not_match_the_paths_are_refused():
    with pytest.raises(ValueError, match="Checkpoint timestamps, if provided, must match"):
        make_state("d", "d/a", ["d/a"], [1.0, 2.0], save_relative_paths=False)


def test_state_that_would_replace_the_checkpoint_is_refused(tmp_path):
    path = str(tmp_path / "checkpoint")

    with pytest.raises(RuntimeError, match="conflicts with path used for checkpoint state"):
        update_checkpoint_state(str(tmp_path), path)

    assert os.listdir(tmp_path) == []


def test_folder_without_a_state_file_has_no_state(tmp_path):
    assert get_checkpoint_state(tmp_path) is None
    assert get_checkpoint_state(tmp_path / "missing") is None
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("text", ["", 'model_checkpoint_path: ""', "# nothing"])
def test_state_without_a_path_is_an_error(tmp_path, text):
    (tmp_path / "checkpoint").write_text(text)

    with pytest.raises(FormatError, match="Invalid checkpoint state loaded from"):
        get_checkpoint_state(tmp_path)


@pytest.mark.parametrize("function", [get_checkpoint_state, latest_checkpoint])
def test_damaged_state_is_an_error(tmp_path, function):
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "\\q"')

    with pytest.raises(FormatError, match=r"checkpoint: state file at 23: expected an escape"):
        function(tmp_path)


def test_state_file_that_is_a_pipe_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "checkpoint")

    with pytest.raises(OSError, match="expected a regular file, got a pipe"):
        get_checkpoint_state(tmp_path)


def test_paths_are_joined_with_the_folder(tmp_path):
    (tmp_path / "latest").write_text(
        'model_checkpoint_path: "b" all_model_checkpoint_paths: ["/no/a", "b"]'
    )

    state = get_checkpoint_state(tmp_path, "latest")

    assert state == CheckpointState(f"{tmp_path}/b", ("/no/a", f"{tmp_path}/b"))
    assert latest_checkpoint(tmp_path, "latest") is None


def test_checkpoint_is_found_beside_a_state_file_that_was_moved(tmp_path):
    fastckpt.write(tmp_path / "m-2", {"v": 1})
    update_checkpoint_state(tmp_path, "/moved/m-2", ["/moved/m-1", "/moved/m-2"])

    assert latest_checkpoint(tmp_path) == f"{tmp_path}/m-2"
    assert get_checkpoint_state(tmp_path).all_model_checkpoint_paths == [
        "/moved/m-1", f"{tmp_path}/m-2",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["checkpoint", "latest"])
def test_folder_in_the_place_of_a_state_file_is_none(tmp_path, name):
    (tmp_path / name).mkdir()
    fastckpt.write(tmp_path / name / "m-1", {"v": 1})

    assert get_checkpoint_state(tmp_path, name) is None
    assert latest_checkpoint(tmp_path, name) is None


PLACES = [
    "/home/a/run/",
    "C:\\\\run\\\\",
    "C:/run/",
    "\\\\\\\\host\\\\run\\\\",
    "gs://b/run/",
    "run/",
]


@pytest.mark.parametrize("place", PLACES)
def test_state_file_of_another_system_names_the_checkpoints_beside_it(tmp_path, place):
    for step in (1, 2):
        fastckpt.write(tmp_path / f"m-{step}", {"v": step})
    lines = [f'all_model_checkpoint_paths: "{place}m-{step}"\n' for step in (0, 1, 2)]
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{place}m-2"\n' + "".join(lines))

    state = get_checkpoint_state(tmp_path)

    assert latest_checkpoint(tmp_path) == state.model_checkpoint_path == f"{tmp_path}/m-2"
    assert state.all_model_checkpoint_paths[1:] == [f"{tmp_path}/m-1", f"{tmp_path}/m-2"]
    assert state.all_model_checkpoint_paths[0] != f"{tmp_path}/m-0"
    assert fastckpt.read(tmp_path).path == f"{tmp_path}/m-2"


def test_checkpoint_without_a_name_is_found_beside_its_state_file(tmp_path):
    fastckpt.write(f"{tmp_path}/", {"v": 1})
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/away/"')

    assert latest_checkpoint(tmp_path) == fastckpt.read(tmp_path).path == f"{tmp_path}/"


def test_state_of_many_paths_takes_time_in_proportion(tmp_path):
    paths = [f"/away/m-{number}" for number in range(20_000)]
    update_checkpoint_state(tmp_path, paths[-1], paths)
    for number in range(0, 20_000, 100):
        (tmp_path / f"m-{number}.index").touch()
    start = time.process_time()

    state = get_checkpoint_state(tmp_path)

    assert state.all_model_checkpoint_paths[:2] == [f"{tmp_path}/m-0", "/away/m-1"]
    assert time.process_time() - start < 20
