"""Every state of the disk that a power loss may leave, played back from the calls of a save.

Here a part of the states, always the same ones; all: ``python -m tests.faults power``. The model of
the file system is in `faults.power`.
"""

import os
from pathlib import Path

import pytest
from faults.power import Call, Disk, build
from faults.saves import SAVES

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("name", [name for name, save in SAVES.items() if save.syncs])
def test_power_loss_leaves_the_old_or_the_new_and_the_new_once_saved(server, name):
    tried, faults = server.ask("power", name)

    assert tried >= 6
    assert faults == []


def test_unsynced_save_may_lose_both_so_the_model_can_tell(server):
    _, faults = server.ask("power", "write-unsynced")

    assert faults != []


# ---- the model itself


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "old").write_bytes(b"old!")
    return tmp_path / "disk"


def states_after(folder, *calls):
    """Return what a disk may hold after calls on it: {name: bytes} each."""
    disk = Disk.of(folder)
    inodes = {"old": (folder / "old").stat().st_ino, "new": 99, ".": folder.stat().st_ino}
    for name, path, *rest in calls:
        second = str(folder / rest[0]) if name == "rename" else ""
        data = rest[0] if name == "data" else b""
        disk.apply(Call(name, inodes[path], 0, str(folder / path), second, data))
    found = (disk.describe(state) for state in disk.states())
    return {tuple((path, data) for path, data, _ in files) for files in found}


def test_file_that_is_not_synced_may_be_there_or_not_or_in_part(folder):
    found = states_after(folder, ("create", "new"), ("data", "new", b"abcd"))

    kept = ("old", b"old!")
    parts = {(("new", data), kept) for data in (b"", b"ab", b"abcd", bytes(4))}
    assert found == {(kept,)} | parts


def test_synced_file_may_still_have_no_name(folder):
    found = states_after(folder, ("create", "new"), ("data", "new", b"abcd"), ("fsync", "new"))

    assert found == {(("old", b"old!"),), (("new", b"abcd"), ("old", b"old!"))}


def test_rename_without_syncing_the_file_may_leave_an_empty_one(folder):
    calls = [("create", "new"), ("data", "new", b"abcd"), ("rename", "new", "old")]

    found = states_after(folder, *calls)

    assert (("old", b""),) in found
    assert (("old", b"old!"),) in found


def test_what_is_synced_is_the_only_state(folder):
    calls = [("create", "new"), ("data", "new", b"abcd"), ("fsync", "new")]
    calls += [("rename", "new", "old"), ("fsync", ".")]

    assert states_after(folder, *calls) == {(("old", b"abcd"),)}


def test_state_is_built_as_it_is_described(tmp_path):
    build(tmp_path / "made", [("d", None, 0), ("d/f", b"x", 5_000_000_000)])

    assert Path(tmp_path / "made" / "d" / "f").read_bytes() == b"x"
    assert os.stat(tmp_path / "made" / "d" / "f").st_mtime == 5
