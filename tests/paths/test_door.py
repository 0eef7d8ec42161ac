"""Every function that takes a path: URLs, empty paths and null characters are refused by name, and
`file://` URLs, `bytes` and path objects mean the local path."""

import os
from pathlib import Path

import numpy as np
import pytest

import fastckpt
from fastckpt import train
from fastckpt.v1.writer import write_v1

TREE = {"a": np.arange(3.0)}


def writer(path):
    with fastckpt.Writer(path) as made:
        made.add("a", TREE["a"])


def save(path):
    train.Saver().save(TREE, path)


def manage(path):
    train.CheckpointManager(TREE, path, 3).save()


READERS = {
    "read": fastckpt.read,
    "load": fastckpt.load,
    "list_tensors": fastckpt.list_tensors,
    "tree": fastckpt.tree,
    "read_meta": fastckpt.read_meta,
    "stats": fastckpt.stats,
    "restore": lambda path: fastckpt.restore({"a": np.zeros(3)}, path),
    "restore_objects": lambda path: fastckpt.restore_objects({"a": np.zeros(3)}, path),
    "list_optimizer_names": fastckpt.list_optimizer_names,
    "diff": lambda path: fastckpt.diff("m", path),
    "report": lambda path: fastckpt.report(path, "made"),
    "rename": lambda path: fastckpt.rename(path, "made", {"a": "b"}),
    "subset": lambda path: fastckpt.subset(path, "made"),
    "alias": lambda path: fastckpt.alias(path, "made", {"b": "a"}),
    "reshard": lambda path: fastckpt.reshard(path, "made", 2),
    "align": lambda path: fastckpt.align(path, "made"),
    "average": lambda path: fastckpt.average(["m", path], "made"),
    "cast": lambda path: fastckpt.cast(path, "made", {"*": "float16"}),
    "convert": lambda path: fastckpt.convert(path, "made.npz"),
    "merge": lambda path: fastckpt.merge([path], "made"),
    "salvage": lambda path: fastckpt.salvage(path, "made"),
    "complete": fastckpt.complete,
    "discard": fastckpt.discard,
    "NewCheckpointReader": train.NewCheckpointReader,
    "load_checkpoint": train.load_checkpoint,
    "load_variable": lambda path: train.load_variable(path, "a"),
    "Saver.restore": lambda path: train.Saver().restore({"a": np.zeros(3)}, path),
    "remove_checkpoint": train.remove_checkpoint,
}
WRITERS = {
    "write": lambda path: fastckpt.write(path, TREE),
    "Writer": writer,
    "write_objects": lambda path: fastckpt.write_objects(path, TREE),
    "write_v1": lambda path: write_v1(path, TREE),
    "merge": lambda path: fastckpt.merge(["m"], path),
    "rename": lambda path: fastckpt.rename("m", path, {"a": "b"}),
    "rename without links": lambda path: fastckpt.rename("m", path, {"a": "b"}, link=False),
    "subset": lambda path: fastckpt.subset("m", path),
    "alias": lambda path: fastckpt.alias("m", path, {"b": "a"}),
    "reshard": lambda path: fastckpt.reshard("m", path, 2),
    "align": lambda path: fastckpt.align("m", path),
    "average": lambda path: fastckpt.average(["m"], path),
    "cast": lambda path: fastckpt.cast("m", path, {"*": "float16"}),
    "convert": lambda path: fastckpt.convert("m", path, format="npz"),
    "convert to a checkpoint": lambda path: fastckpt.convert("m", path, format="checkpoint"),
    "report": lambda path: fastckpt.report("m", path),
    "salvage": lambda path: fastckpt.salvage("m", path),
    "Saver.save": save,
}
FOLDERS = {
    "CheckpointManager": manage,
    "latest_checkpoint": train.latest_checkpoint,
    "get_checkpoint_state": train.get_checkpoint_state,
    "update_checkpoint_state": lambda path: train.update_checkpoint_state(path, "m"),
    "checkpoints_iterator": lambda path: next(train.checkpoints_iterator(path, timeout=0)),
    "repair_state": fastckpt.repair_state,
}
DOORS = [*READERS.items(), *WRITERS.items(), *FOLDERS.items()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("run")
    for prefix in ("m", "run/m"):
        fastckpt.write(prefix, TREE)
    train.Saver().save(TREE, "run/s")
    return tmp_path


def files():
    return sorted(str(path) for path in Path().rglob("*"))


@pytest.mark.parametrize("path", ["gs://bucket/run/m", "s3://m", "hdfs://h:1/m"])
@pytest.mark.parametrize(("name", "call"), DOORS)
def test_url_of_a_remote_store_is_refused_by_name(folder, name, call, path):
    before = files()

    with pytest.raises(ValueError, match="not supported") as caught:
        call(path)

    assert repr(path) in str(caught.value)
    assert files() == before


@pytest.mark.parametrize("path", ["a\0b", Path("a\0b"), "file:///a%00"])
@pytest.mark.parametrize(("name", "call"), DOORS)
def test_null_character_is_refused_by_name(folder, name, call, path):
    before = files()

    with pytest.raises(ValueError, match=r"null character: '.*\\x00"):
        call(path)

    assert files() == before


@pytest.mark.parametrize(("name", "call"), [*READERS.items(), *WRITERS.items()])
def test_empty_path_is_refused(folder, name, call):
    before = files()
    of_tensorflow = "The passed save_path is not a valid checkpoint: $"

    with pytest.raises(
        ValueError, match=of_tensorflow if name == "Saver.restore" else "empty one: ''"
    ):
        call("")

    assert files() == before


@pytest.mark.parametrize(("name", "call"), READERS.items())
@pytest.mark.parametrize("spell", [os.fsencode, Path, lambda path: f"file://{os.getcwd()}/{path}"])
def test_reader_takes_every_spelling_of_a_local_path(folder, name, call, spell):
    call(spell("run/s"))

    assert not os.path.lexists("file:")


@pytest.mark.parametrize(("name", "call"), WRITERS.items())
@pytest.mark.parametrize("spell", [os.fsencode, Path, lambda path: f"file://{os.getcwd()}/{path}"])
def test_writer_takes_every_spelling_of_a_local_path(folder, name, call, spell):
    before = files()

    call(spell("run/new"))

    made = set(files()) - set(before)
    assert any(each.startswith(("run/new", "run/checkpoint")) for each in made)
    assert all(each.startswith("run/") for each in made)


@pytest.mark.parametrize(("name", "call"), FOLDERS.items())
@pytest.mark.parametrize("spell", [os.fsencode, Path, lambda path: f"file://{os.getcwd()}/{path}"])
def test_folder_may_have_every_spelling(folder, name, call, spell):
    call(spell("run"))

    assert not os.path.lexists("file:")


def test_empty_folder_is_the_current_one(folder):
    assert train.latest_checkpoint("") is None
    train.update_checkpoint_state("", "m")
    assert train.latest_checkpoint("") == "m"
    assert train.latest_checkpoint(os.path.dirname("m")) == "m"


def test_question_whether_there_is_a_checkpoint_has_an_answer_for_every_local_path(folder):
    url = f"file://{os.getcwd()}/run/m"

    assert [train.checkpoint_exists(path) for path in ("", "a\0b", url, b"m")] == [
        False, False, True, True,
    ]  # fmt: skip
    assert len(train.get_checkpoint_mtimes(["", "a\0", url])) == 1
    for ask in (train.checkpoint_exists, lambda path: train.get_checkpoint_mtimes([path])):
        with pytest.raises(ValueError, match="not supported"):
            ask("gs://m")


@pytest.mark.parametrize("path", ["gs://bucket/m", "", "a\0b"])
def test_doctor_finds_that_no_file_has_such_a_path(folder, path):
    diagnosis = fastckpt.doctor(path)

    assert not diagnosis.is_healthy
    assert repr(path) in diagnosis.findings[0].what


def test_doctor_takes_file_urls(folder):
    assert fastckpt.doctor(f"file://{os.getcwd()}/m").is_healthy
