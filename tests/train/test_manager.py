"""CheckpointManager: what it refuses, what it never loses, and what it does."""

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import fastckpt
from fastckpt.errors import ChecksumError, FormatError, TensorNotFoundError
from fastckpt.paths.state import read_state
from fastckpt.train import manager as manager_module
from fastckpt.train.manager import CheckpointManager

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def tree():
    return {"w": np.arange(3, dtype=np.float32), "net": [{"b": np.ones(2)}], "step": 0}


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test turns: `clock.now`, in seconds since 1970."""
    clock = SimpleNamespace(now=1_000_000.0)
    monkeypatch.setattr("time.time", lambda: clock.now)
    return clock


def names_in(folder):
    return sorted(os.listdir(folder))


def contents_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- Bad input


@pytest.mark.parametrize("tree", [5, "tree", None, np.zeros(3), object()])
def test_what_is_no_tree_is_a_type_error(tmp_path, tree):
    with pytest.raises(TypeError, match="expected a tree of dicts and lists of variables"):
        CheckpointManager(tree, tmp_path, 3)


@pytest.mark.parametrize("count", [0, -1])
def test_keeping_none_is_a_value_error(tree, tmp_path, count):
    with pytest.raises(ValueError, match=f"Expected a positive integer .* got {count}"):
        CheckpointManager(tree, tmp_path, count)


def test_interval_without_a_counter_is_a_value_error(tree, tmp_path):
    with pytest.raises(ValueError, match="`step_counter` should be passed"):
        CheckpointManager(tree, tmp_path, 3, checkpoint_interval=10)


@pytest.mark.parametrize(
    "text",
    [
        b"model_checkpoint_path",
        b'model_checkpoint_path: "a',
        b'model_checkpoint_path: "\\q"\n',
        b"\x80\x00",
        b'all_model_checkpoint_paths: "a"\n',
    ],
)
def test_damaged_state_file_is_a_format_error(tree, tmp_path, text):
    (tmp_path / "checkpoint").write_bytes(text)

    with pytest.raises(FormatError, match="checkpoint"):
        CheckpointManager(tree, tmp_path, 3)

    assert (tmp_path / "checkpoint").read_bytes() == text


@pytest.mark.parametrize(
    ("number", "error"),
    [(-1, ValueError), (np.int64(-7), ValueError), (1.5, TypeError), (np.zeros(2), TypeError),
     ("step2", ValueError), (b"7", TypeError), ("w", TypeError)],
)  # fmt: skip
def test_number_is_an_integer_of_some_kind(tree, tmp_path, number, error):
    manager = CheckpointManager(tree, tmp_path, 3)

    with pytest.raises(error, match="checkpoint_number"):
        manager.save(checkpoint_number=number)

    assert names_in(tmp_path) == []
    assert manager.save().endswith("ckpt-1")


@pytest.mark.parametrize(
    "counter", [1.5, np.float32(1), "missing", np.zeros(2, np.int64), object()]
)
def test_step_counter_that_counts_nothing_is_an_error(tree, tmp_path, counter):
    manager = CheckpointManager(tree, tmp_path, 3, step_counter=counter, checkpoint_interval=5)

    with pytest.raises((TypeError, ValueError), match="step_counter"):
        manager.save()

    assert names_in(tmp_path) == []


@pytest.mark.parametrize("counter", [1.5, np.zeros(2, np.int64), "1"])
def test_save_counter_that_counts_nothing_is_an_error(tree, tmp_path, counter):
    manager = CheckpointManager({**tree, "save_counter": counter}, tmp_path, 3)

    with pytest.raises((TypeError, ValueError), match="save_counter"):
        manager.save()

    assert names_in(tmp_path) == []


def test_folder_that_cannot_be_made_is_an_os_error(tree, tmp_path):
    (tmp_path / "file").touch()
    manager = CheckpointManager(tree, tmp_path / "file" / "folder", 3)

    with pytest.raises(OSError, match="file"):
        manager.save()

    assert names_in(tmp_path) == ["file"]


def test_value_that_no_checkpoint_holds_leaves_what_was_there(tree, tmp_path):
    manager = CheckpointManager(tree, tmp_path, 1)
    manager.save()
    before = contents_of(tmp_path)
    tree["net"].append(object())

    with pytest.raises(TypeError, match="'net/1'"):
        manager.save()

    assert contents_of(tmp_path) == before
    assert manager.checkpoints == [str(tmp_path / "ckpt-1")]
    assert manager.latest_checkpoint == str(tmp_path / "ckpt-1")


def test_nothing_is_deleted_when_the_state_cannot_be_written(tree, tmp_path, monkeypatch):
    manager = CheckpointManager(tree, tmp_path, 1)
    manager.save()

    def fail(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(manager_module, "store_state", fail)
        with pytest.raises(OSError, match="No space left"):
            manager.save()

    assert fastckpt.read(tmp_path)["save_counter" + VALUE] == 1
    assert {"ckpt-1.index", "ckpt-2.index"} < set(names_in(tmp_path))


def test_old_checkpoint_goes_after_the_new_one_and_the_state(tree, tmp_path, monkeypatch):
    manager = CheckpointManager(tree, tmp_path, 1)
    manager.save()
    seen = []
    unlink = os.unlink

    def watch(path, **keywords):
        if os.path.basename(path).startswith("ckpt-1."):
            latest = read_state(tmp_path / "checkpoint").model_checkpoint_path
            seen.append((os.path.basename(path), latest, fastckpt.read(tmp_path).problems()))
        unlink(path, **keywords)

    monkeypatch.setattr(os, "unlink", watch)
    manager.save()

    assert [(name, latest) for name, latest, _ in seen] == [
        ("ckpt-1.index", "ckpt-2"),
        ("ckpt-1.data-00000-of-00001", "ckpt-2"),
    ]
    assert all(list(problems) == [] for *_, problems in seen)


def test_file_that_cannot_be_deleted_is_no_reason_to_fail(tree, tmp_path, monkeypatch, caplog):
    manager = CheckpointManager(tree, tmp_path, 1)
    manager.save()
    unlink = os.unlink

    def refuse(path, **keywords):
        if "ckpt-1" in str(path):
            raise PermissionError(13, "Permission denied", path)
        unlink(path, **keywords)

    monkeypatch.setattr(os, "unlink", refuse)

    assert manager.save() == str(tmp_path / "ckpt-2")
    assert "Permission denied" in caplog.text
    assert manager.checkpoints == [str(tmp_path / "ckpt-2")]


def test_nothing_changes_when_a_value_does_not_fit(tree, tmp_path):
    CheckpointManager(tree, tmp_path, 3).save()
    other = {"w": np.zeros(3, np.float32), "net": [{"b": np.zeros(7)}], "step": 9}
    manager = CheckpointManager(other, tmp_path, 3)

    with pytest.raises(ValueError, match="net/0/b"):
        manager.restore_or_initialize()

    assert not other["w"].any()
    assert other["step"] == 9


def test_object_that_is_not_in_the_checkpoint_is_an_error(tree, tmp_path):
    CheckpointManager(tree, tmp_path, 3).save()
    other = {"w": np.zeros(3, np.float32), "new": np.zeros(1)}

    with pytest.raises(TensorNotFoundError, match="'new'"):
        CheckpointManager(other, tmp_path, 3).restore_or_initialize()

    assert not other["w"].any()


def test_damaged_checkpoint_is_an_error_and_changes_nothing(tree, tmp_path):
    CheckpointManager(tree, tmp_path, 3).save()
    data = tmp_path / "ckpt-1.data-00000-of-00001"
    raw = bytearray(data.read_bytes())
    raw[25] ^= 1
    data.write_bytes(raw)
    other = {"w": np.zeros(3, np.float32), "net": [{"b": np.zeros(2)}], "step": 9}

    with pytest.raises(ChecksumError):
        CheckpointManager(other, tmp_path, 3).restore_or_initialize()

    assert not other["w"].any()


def test_latest_checkpoint_that_is_gone_is_an_error(tree, tmp_path):
    CheckpointManager(tree, tmp_path, 3).save()
    (tmp_path / "ckpt-1.index").unlink()

    with pytest.raises(FileNotFoundError, match="ckpt-1"):
        CheckpointManager(tree, tmp_path, 3, init_fn=pytest.fail).restore_or_initialize()


# ---- What it does


def test_properties_are_what_was_given(tree, tmp_path):
    manager = CheckpointManager(
        tree, tmp_path, 3, step_counter=np.array(4), checkpoint_interval=10, last_checkpoint_step=1
    )

    assert manager.checkpoint is tree
    assert manager.directory == str(tmp_path)
    assert manager.checkpoint_interval == 10
    assert (manager.latest_checkpoint, manager.checkpoints) == (None, [])
    assert manager.sync() is None


def test_training_goes_on_where_it_ended(tree, tmp_path):
    manager = CheckpointManager(tree, tmp_path, 2)
    for step in range(3):
        tree["step"] = step
        tree["w"] += 1
        manager.save()
    other = {"w": np.zeros(3, np.float32), "net": [{"b": np.zeros(2)}], "step": 0}
    again = CheckpointManager(other, tmp_path, 2)

    assert again.restore_or_initialize() == str(tmp_path / "ckpt-3")
    assert other["w"].tolist() == [3, 4, 5]
    assert other["step"] == 2
    assert again.save() == str(tmp_path / "ckpt-4")
    assert again.checkpoints == [str(tmp_path / "ckpt-3"), str(tmp_path / "ckpt-4")]


def test_flat_mapping_is_a_tree_of_one_level(tmp_path):
    flat = {"dense/kernel": np.ones((2, 3)), "dense/bias": np.zeros(3)}
    CheckpointManager(flat, tmp_path, 1).save()
    flat["dense/kernel"][:] = 0

    CheckpointManager(flat, tmp_path, 1).restore_or_initialize()

    assert flat["dense/kernel"].all()
    assert set(fastckpt.read(tmp_path).variables) == {*flat, "save_counter"}


@pytest.mark.parametrize("counter", [0, np.int64(0), np.array(0)])
def test_counter_of_the_tree_is_shared_by_managers(tree, tmp_path, counter):
    tree["save_counter"] = counter
    one = CheckpointManager(tree, tmp_path / "a", 3)
    two = CheckpointManager(tree, tmp_path / "b", 3)

    paths = [one.save(), two.save(), one.save()]

    assert [os.path.relpath(path, tmp_path) for path in paths] == [
        "a/ckpt-1",
        "b/ckpt-2",
        "a/ckpt-3",
    ]
    assert tree["save_counter"] == 3
    assert fastckpt.read(tmp_path / "b")["save_counter" + VALUE] == 2


def test_counter_of_the_tree_is_restored(tree, tmp_path):
    CheckpointManager(tree, tmp_path, 3).save(checkpoint_number=40)
    tree["save_counter"] = 0
    manager = CheckpointManager(tree, tmp_path, 3)

    manager.restore_or_initialize()

    assert tree["save_counter"] == 1
    assert manager.save() == str(tmp_path / "ckpt-2")


def test_step_may_be_the_name_of_an_entry(tree, tmp_path):
    manager = CheckpointManager(tree, tmp_path, 9, step_counter="step", checkpoint_interval=10)
    saved = []

    for tree["step"] in (0, 5, 10, 19, 20):
        saved.append(manager.save(checkpoint_number="step") is not None)

    assert saved == [True, False, True, False, True]
    assert [os.path.basename(path) for path in manager.checkpoints] == [
        "ckpt-0", "ckpt-10", "ckpt-20",
    ]  # fmt: skip


def test_save_that_failed_may_be_tried_again_at_the_same_step(tree, tmp_path):
    tree["bad"] = object()
    manager = CheckpointManager(tree, tmp_path, 9, step_counter="step", checkpoint_interval=10)
    with pytest.raises(TypeError, match="'bad'"):
        manager.save()
    del tree["bad"]

    assert manager.save() is not None


def test_meta_file_of_the_same_name_stays(tree, tmp_path):
    manager = CheckpointManager(tree, tmp_path, 1)
    manager.save()
    (tmp_path / "ckpt-1.meta").touch()

    manager.save()

    assert "ckpt-1.meta" in names_in(tmp_path)
    assert "ckpt-1.index" not in names_in(tmp_path)


def test_folder_of_tensorflow_is_continued(golden, tmp_path):
    shutil.copytree(golden / "tf2_manager", tmp_path / "run")
    tree = {"step": np.array(0), "x": np.zeros(3, np.float32)}
    manager = CheckpointManager(tree, tmp_path / "run", 3, checkpoint_name="run")

    assert manager.restore_or_initialize() == str(tmp_path / "run" / "run-500")
    assert tree["step"] == 500
    assert tree["x"].tolist() == [32, 64, 96]
    assert [os.path.basename(each) for each in manager.checkpoints] == [
        "run-300", "run-400", "run-500",
    ]  # fmt: skip
    manager.save(checkpoint_number=600)
    assert fastckpt.read(tmp_path / "run")["save_counter" + VALUE] == 6
    assert not (tmp_path / "run" / "run-300.index").exists()


def test_clock_is_asked_at_each_save(tree, tmp_path, clock):
    manager = CheckpointManager(tree, tmp_path, 2)
    manager.save()
    clock.now += 60

    manager.save()

    state = read_state(tmp_path / "checkpoint")
    assert state.all_model_checkpoint_timestamps == [1_000_000.0, 1_000_060.0]
    assert state.last_preserved_timestamp == 999_999.0
