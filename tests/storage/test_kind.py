"""What a file is by its first bytes, said by the exceptions that users meet."""

import os
import pickle

import numpy as np
import pytest
from places import GOLDEN
from strangers import STRANGERS

import fastckpt
from fastckpt.errors import FormatError
from fastckpt.storage.kind import explain, find_kind, read_head

OF_ANOTHER_FORMAT = [name for name in STRANGERS if name not in ("my_state", "saved_model.pb")]


@pytest.mark.parametrize("name", OF_ANOTHER_FORMAT)
@pytest.mark.parametrize(
    ("suffix", "verb"),
    [
        ("", fastckpt.read),
        (".index", fastckpt.read),
        (".index", fastckpt.list_tensors),
        (".meta", fastckpt.read_meta),
    ],
)
def test_exception_says_what_the_file_is(tmp_path, name, suffix, verb):
    content, words, _ = STRANGERS[name]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)

    with pytest.raises(fastckpt.CheckpointError) as caught:
        verb(path)

    assert words in str(caught.value)
    assert str(caught.value).count("this is") == 1
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("name", ["lfs", "html", "json", "gzip", "empty", "zip"])
def test_exception_says_what_the_data_file_is(tmp_path, name):
    content, words, _ = STRANGERS[name]
    fastckpt.write(
        tmp_path / "m", {"a": np.arange(6, dtype=np.float32), "b": np.ones(300), "s": [b"text"]}
    )
    (tmp_path / "m.data-00000-of-00001").write_bytes(content)

    for name in ("a", "b"):
        with pytest.raises(fastckpt.FormatError, match=words):
            fastckpt.read(tmp_path / "m").get_tensor(name, copy=True)
    for ask in (fastckpt.load, fastckpt.stats):
        with pytest.raises(fastckpt.FormatError, match=words):
            ask(tmp_path / "m")
    assert all(words in str(each) for each in fastckpt.read(tmp_path / "m").problems())


def test_damage_of_a_checkpoint_is_no_other_format(tmp_path):
    fastckpt.write(tmp_path / "m", {"a": np.arange(600)})
    os.truncate(tmp_path / "m.data-00000-of-00001", 100)

    with pytest.raises(fastckpt.FormatError) as caught:
        fastckpt.load(tmp_path / "m")

    assert "this is" not in str(caught.value)


def test_file_that_cannot_be_looked_at_adds_nothing(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        error = FormatError(str(path), "what", "problem")
        explain(error)
        assert error.problem == "problem"


def test_head_is_the_beginning_and_the_size(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 10_000)

    assert read_head(str(tmp_path / "file")) == (b"x" * 4096, 10_000)
    assert find_kind(str(tmp_path / "file")) is None
    with pytest.raises(IsADirectoryError):
        read_head(str(tmp_path))


def test_nothing_is_looked_at_while_all_is_well(monkeypatch):
    monkeypatch.setattr("fastckpt.storage.kind.find_kind", None)

    fastckpt.load(GOLDEN / "tf1_saver" / "model.ckpt-40")
    fastckpt.read_meta(GOLDEN / "tf1_saver" / "model.ckpt-40.meta")
