"""The names of `tf.train` that read: compared with what TensorFlow itself said of the corpus."""

import base64
import hashlib
import inspect
import json
import time
from pathlib import Path

import numpy as np
import pytest
from corpus import numpy_name, sha256_of, values_digest
from places import GOLDEN

import fastckpt
from fastckpt import train
from fastckpt.bundle.names import index_path

CASES = [
    (path.parent, prefix, expected)
    for path in sorted(GOLDEN.glob("*/expected.json"))
    for prefix, expected in json.loads(path.read_text("utf-8"))["checkpoints"].items()
]
assert len(CASES) >= 50, "the golden corpus is not there"

every_case = pytest.mark.parametrize(
    ("folder", "prefix", "expected"), CASES, ids=[f"{f.name}:{p}" for f, p, _ in CASES]
)


def name_of(record):
    key = record["key"].encode() if "key" in record else base64.b64decode(record["key_b64"])
    return key.decode("utf-8", "surrogateescape")


# ---- What is not there


@pytest.mark.parametrize(
    "function", [train.NewCheckpointReader, train.load_checkpoint, train.list_variables]
)
def test_path_without_a_checkpoint_is_an_os_error(tmp_path, function):
    with pytest.raises(FileNotFoundError, match="no checkpoint: looked for"):
        function(tmp_path / "m")


@pytest.mark.parametrize("text", [None, 'model_checkpoint_path: "gone"'])
def test_folder_without_a_checkpoint_is_a_value_error(tmp_path, text):
    if text:
        (tmp_path / "checkpoint").write_text(text)

    with pytest.raises(ValueError, match="Couldn't find 'checkpoint' file or checkpoints in given"):
        train.load_checkpoint(tmp_path)


def test_tensor_that_is_not_there_is_a_key_error(golden):
    with pytest.raises(fastckpt.TensorNotFoundError, match="did you mean 'w'"):
        train.load_variable(golden / "tf1_saver", "ww")


# ---- What TensorFlow said


@every_case
def test_maps_are_tensorflows(folder, prefix, expected):
    reader = train.NewCheckpointReader(folder / prefix)
    shapes = reader.get_variable_to_shape_map()
    dtypes = reader.get_variable_to_dtype_map()

    assert len(shapes) == len(dtypes) == expected["tensor_count"]
    for record in expected["tensors"]:
        name = name_of(record)
        assert shapes[name] == record["shape"]
        assert dtypes[name] == np.dtype(numpy_name(record["dtype"]))
        assert reader.has_tensor(name)


@every_case
def test_tensors_are_tensorflows(folder, prefix, expected):
    reader = train.NewCheckpointReader(folder / prefix)
    for record in expected["tensors"]:
        if sha256_of(record):
            value = reader.get_tensor(name_of(record))
            is_text = record["dtype"] == "string"
            assert values_digest(np.asarray(value, object if is_text else None)) == sha256_of(
                record
            )


@every_case
def test_debug_string_is_tensorflows(folder, prefix, expected):
    text = train.NewCheckpointReader(folder / prefix).debug_string()

    lines = text.removesuffix(b"\n").split(b"\n")
    if "debug_string_sorted_sha256" in expected:
        digest = hashlib.sha256(b"\n".join(sorted(text.split(b"\n")))).hexdigest()
        alternative = hashlib.sha256(b"\n".join(sorted(lines))).hexdigest()
        assert expected["debug_string_sorted_sha256"] in (digest, alternative)
    elif "debug_string" in expected or "debug_string_b64" in expected:
        theirs = base64.b64decode(expected.get("debug_string_b64", ""))
        theirs = theirs or expected["debug_string"].encode()
        assert sorted(lines) == sorted(theirs.removesuffix(b"\n").split(b"\n"))
    else:
        assert "names_given" in expected


def test_most_of_the_corpus_has_a_debug_string():
    assert sum("names_given" not in expected for _, _, expected in CASES) > 40


@pytest.mark.parametrize(
    "path", sorted(GOLDEN.glob("*/expected.json")), ids=lambda p: p.parent.name
)
def test_state_is_tensorflows(path):
    for latest, expected in json.loads(path.read_text("utf-8")).get("states", {}).items():
        folder = (path.parent / latest).parent
        name = Path(latest).name
        state = train.get_checkpoint_state(folder, name)

        assert state.model_checkpoint_path == str(folder / expected["model_checkpoint_path"])
        assert list(state.all_model_checkpoint_paths) == [
            str(folder / each) for each in expected["all_model_checkpoint_paths"]
        ]
        times = expected.get("all_model_checkpoint_timestamps", [])
        assert list(state.all_model_checkpoint_timestamps) == times
        assert state.last_preserved_timestamp == expected.get("last_preserved_timestamp", 0)
        assert train.latest_checkpoint(folder, name) == str(folder / expected["latest_checkpoint"])


# ---- What a reader returns


@pytest.fixture
def prefix(tmp_path):
    path = tmp_path / "m-1"
    with fastckpt.Writer(path) as writer:
        writer.add("scalar", np.float32(1.5))
        writer.add("text", b"abc")
        writer.add("texts", ["a", "b"])
        writer.add("flag", True)
        writer.add_slice("parts", np.arange(2), full_shape=[3], start=[0])
        writer.add_slice("parts", np.arange(1), full_shape=[3], start=[2])
    return path


def test_scalars_are_numpy_scalars_and_bytes(prefix):
    reader = train.NewCheckpointReader(prefix)

    assert type(reader.get_tensor("scalar")) is np.float32
    assert type(reader.get_tensor("flag")) is np.bool_
    assert reader.get_tensor("text") == b"abc"
    assert type(reader.get_tensor("text")) is bytes


def test_tensors_are_private_and_writable(prefix):
    reader = train.NewCheckpointReader(prefix)
    array = reader.get_tensor("parts")
    array[:] = 7

    assert reader.get_tensor("parts").tolist() == [0, 1, 0]


def test_changed_bytes_are_found(prefix):
    data = Path(f"{prefix}.data-00000-of-00001")
    data.write_bytes(b"\xff" + data.read_bytes()[1:])

    with pytest.raises(fastckpt.ChecksumError):
        train.load_variable(prefix, "scalar")


def test_keys_of_slices_are_tensors_of_their_own(prefix):
    reader = train.NewCheckpointReader(prefix)
    keys = [
        line.split(b" (")[0] for line in reader.debug_string().split(b"\n") if line[:1] == b"\0"
    ]
    first = keys[0].decode("utf-8", "surrogateescape")

    assert len(keys) == 2
    assert reader.has_tensor(first)
    assert reader.has_tensor("")
    assert not reader.has_tensor("parts/0")
    assert reader.get_tensor(first).tolist() == [0, 1]
    assert b"parts (" not in reader.debug_string().replace(b"\0parts", b"")
    assert set(reader.get_variable_to_shape_map()) == {"scalar", "text", "texts", "flag", "parts"}


def test_variables_are_listed_by_name(prefix):
    assert train.list_variables(prefix) == [
        ("flag", []), ("parts", [3]), ("scalar", []), ("text", []), ("texts", [2]),
    ]  # fmt: skip


def test_output_number_of_a_name_is_dropped(prefix):
    assert train.load_variable(prefix, "scalar:0") == 1.5


def test_folder_stands_for_its_latest_checkpoint(prefix):
    train.update_checkpoint_state(prefix.parent, str(prefix))

    assert train.load_variable(prefix.parent, "scalar") == 1.5
    assert train.load_variable(str(prefix.parent), "scalar") == 1.5


def test_index_as_a_path_lists_what_is_there(prefix):
    """TensorFlow opens it as an empty V1 checkpoint."""
    assert len(train.list_variables(index_path(str(prefix)))) == 5


# ---- Waiting for checkpoints


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only while somebody sleeps."""

    class Clock:
        now = 1000.0
        slept = 0.0
        at = {}  # noqa: RUF012 - what happens when

        def sleep(self, seconds):
            self.now += seconds
            self.slept += seconds
            for when in [when for when in self.at if when <= self.now]:
                self.at.pop(when)()

    clock = Clock()
    clock.at = {}
    monkeypatch.setattr(time, "time", lambda: clock.now)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    return clock


def save(folder, number):
    prefix = folder / f"m-{number}"
    fastckpt.write(prefix, {"v": number})
    train.update_checkpoint_state(folder, str(prefix))


def test_waiting_ends_when_the_time_is_over(tmp_path, clock):
    assert list(train.checkpoints_iterator(tmp_path, timeout=5)) == []
    assert clock.slept == 5


def test_waiting_for_no_time_looks_once(tmp_path, clock):
    save(tmp_path, 1)

    assert list(train.checkpoints_iterator(tmp_path, timeout=0)) == [str(tmp_path / "m-1")]
    assert clock.slept == 0


def test_waiting_goes_on_until_the_callers_function_ends_it(tmp_path, clock):
    answers = [False, False, True]

    found = train.checkpoints_iterator(tmp_path, timeout=1, timeout_fn=lambda: answers.pop(0))

    assert list(found) == []
    assert answers == []


def test_each_new_checkpoint_comes_once_and_not_too_soon(tmp_path, clock):
    save(tmp_path, 1)
    clock.at = {1003: lambda: save(tmp_path, 2), 1030: lambda: save(tmp_path, 3)}

    found = train.checkpoints_iterator(str(tmp_path), min_interval_secs=10, timeout=25)

    assert [(Path(path).name, clock.now) for path in found] == [
        ("m-1", 1000), ("m-2", 1010), ("m-3", 1030),
    ]  # fmt: skip


def test_waiting_on_a_damaged_state_file_is_an_error(tmp_path, clock):
    (tmp_path / "checkpoint").write_text("damaged")

    with pytest.raises(fastckpt.FormatError, match="state file"):
        list(train.checkpoints_iterator(tmp_path, timeout=5))


# ---- The names


def test_all_names_are_there():
    assert sorted(train.__all__) == train.__all__
    for name in train.__all__:
        assert inspect.getdoc(getattr(train, name))
