"""CheckpointManager in a folder that another run, another program or a stranger left."""

import json
import os
import time

import numpy as np
import pytest

import fastckpt
from fastckpt.paths.state import read_state
from fastckpt.train.manager import CheckpointManager
from fastckpt.train.objects import restore_objects

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def tree():
    return {"w": np.arange(3, dtype=np.float32), "net": [{"b": np.ones(2)}], "step": 0}


def names_in(folder):
    return sorted(os.listdir(folder))


def contents_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_manager_without_restoring_counts_on_from_the_highest_number(tree, tmp_path):
    first = CheckpointManager(tree, tmp_path, 2)
    for _ in range(3):
        first.save()
    before = contents_of(tmp_path)
    restore_objects(tree, first.latest_checkpoint)
    manager = CheckpointManager(tree, tmp_path, None)

    paths = [manager.save(), manager.save()]

    assert [os.path.basename(path) for path in paths] == ["ckpt-4", "ckpt-5"]
    assert fastckpt.read(tmp_path)["save_counter" + VALUE] == 5
    del before["checkpoint"]
    assert before.items() <= contents_of(tmp_path).items()


@pytest.mark.parametrize(
    ("name", "number"),
    [("ckpt-41.index", 42), ("ckpt-7.data-00000-of-00002", 8), ("ckpt-0005.index", 6),
     ("ckpt-5", 1), ("other-5.index", 1), ("ckpt-5.txt", 1), ("ckpt-x5.index", 1),
     ("ckpt-5.index.tmp-0123456789abcdef", 1), (f"ckpt-{10**30}.index", 1)],
)  # fmt: skip
def test_number_is_that_of_a_file_of_a_checkpoint(tree, tmp_path, name, number):
    (tmp_path / name).write_bytes(b"mine")

    assert CheckpointManager(tree, tmp_path, None).save() == str(tmp_path / f"ckpt-{number}")
    assert (tmp_path / name).read_bytes() == b"mine"


def test_restored_manager_passes_over_a_checkpoint_that_is_there(tree, tmp_path):
    CheckpointManager(tree, tmp_path, 3).save()
    fastckpt.write(tmp_path / "ckpt-3", {"w": np.ones(1)})
    manager = CheckpointManager(tree, tmp_path, 3)
    manager.restore_or_initialize()

    paths = [manager.save(), manager.save()]

    assert [os.path.basename(path) for path in paths] == ["ckpt-2", "ckpt-4"]
    assert list(fastckpt.read(tmp_path / "ckpt-3")) == ["w"]


@pytest.mark.parametrize("is_restored", [False, True])
def test_number_of_another_checkpoint_is_an_error(tree, tmp_path, is_restored):
    CheckpointManager(tree, tmp_path, 3).save(checkpoint_number=5)
    manager = CheckpointManager(tree, tmp_path, 3)
    if is_restored:
        manager.restore_or_initialize()
    before = contents_of(tmp_path)

    with pytest.raises(FileExistsError, match="did not write it") as caught:
        manager.save(checkpoint_number=5)

    assert caught.value.filename == str(tmp_path / "ckpt-5")
    assert contents_of(tmp_path) == before
    assert manager.save(checkpoint_number=6) == str(tmp_path / "ckpt-6")
    assert manager.save(checkpoint_number=6) == str(tmp_path / "ckpt-6")


def write_state_of_a_stranger(folder, paths):
    """List paths in a state file, as a manager does, and the folder's own ckpt-1 last."""
    fastckpt.write(folder / "ckpt-1", {"w": np.ones(3)})
    now = time.time()
    paths = [*map(str, paths), "ckpt-1"]
    lines = ['model_checkpoint_path: "ckpt-1"', "last_preserved_timestamp: 1.0"]
    lines += [f"all_model_checkpoint_paths: {json.dumps(path)}" for path in paths]
    lines += [f"all_model_checkpoint_timestamps: {now - 99 + i}" for i in range(len(paths))]
    (folder / "checkpoint").write_text("\n".join(lines) + "\n")


def test_nothing_outside_of_the_folder_is_deleted(tree, tmp_path, caplog):
    folder, other = tmp_path / "run", tmp_path / "other"
    others = ["second", "third", "fourth"]
    for name in others:
        fastckpt.write(other / name, {"w": np.ones(3)})
    write_state_of_a_stranger(
        folder, [other / "second", "../other/third", "link/fourth", "sub/best"]
    )
    fastckpt.write(folder / "sub" / "best", {"w": np.ones(3)})
    (folder / "link").symlink_to(other)
    before = contents_of(other)

    manager = CheckpointManager(tree, folder, max_to_keep=1)
    listed = manager.checkpoints
    for _ in range(3):
        manager.save()

    assert listed == [str(folder / "ckpt-1")]
    assert contents_of(other) == before
    assert (folder / "sub" / "best.index").exists()
    assert [name for name in names_in(folder) if name.endswith(".index")] == ["ckpt-4.index"]
    assert caplog.text.count("outside of") == 4
    state = read_state(folder / "checkpoint")
    assert list(state.all_model_checkpoint_paths) == ["ckpt-4"]


def test_only_files_of_a_checkpoint_are_deleted(tree, tmp_path):
    mine = ["notes", "notes.txt", "notes.meta", "ckpt-1", "notes.data", ".index"]
    for name in mine:
        (tmp_path / name).write_bytes(b"mine")
    write_state_of_a_stranger(tmp_path, ["notes", "notes.txt", "checkpoint", ".", "sub/.."])

    CheckpointManager(tree, tmp_path, max_to_keep=1).save()

    assert set(mine) < set(names_in(tmp_path))
    assert read_state(tmp_path / "checkpoint").model_checkpoint_path == "ckpt-2"


def test_checkpoint_that_is_listed_in_another_spelling_is_not_deleted(tree, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    write_state_of_a_stranger(
        folder, [tmp_path / "link" / "ckpt-1", folder / ".." / "folder" / "ckpt-1"]
    )

    manager = CheckpointManager(tree, folder, max_to_keep=2)
    manager.save()

    assert manager.checkpoints == [str(folder / "ckpt-1"), str(folder / "ckpt-2")]
    assert fastckpt.read(folder / "ckpt-1").problems() is not None
    assert "ckpt-1.data-00000-of-00001" in names_in(folder)


def test_many_old_checkpoints_are_removed_with_one_listing(tree, tmp_path, monkeypatch):
    manager = CheckpointManager(tree, tmp_path, None)
    for _ in range(30):
        manager.save()
    again = CheckpointManager(tree, tmp_path, 1)
    again.restore_or_initialize()
    calls = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: calls.append(path) or listdir(path))

    again.save()

    monkeypatch.undo()
    assert names_in(tmp_path) == [
        "checkpoint", "ckpt-31.data-00000-of-00001", "ckpt-31.index"
    ]  # fmt: skip
    assert len(calls) < 8
