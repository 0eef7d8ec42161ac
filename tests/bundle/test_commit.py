"""The commit: its order, what is durable when, and what an older one leaves."""

import os

import numpy as np
import pytest
from writing import NEW, OLD, assert_same, file_names, linux, list_names, read_all

import fastckpt

# ---- the commit


def test_commit_takes_the_old_index_away_first_and_puts_the_new_one_last(tmp_path, monkeypatch):
    fastckpt.write(tmp_path / "m", OLD, num_shards=3, sync=False)
    replaced = []
    real_replace = os.replace

    def replace(source, target):
        replaced.append((os.path.basename(source), os.path.basename(target)))
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    fastckpt.write(tmp_path / "m", NEW, num_shards=3, sync=False)

    assert replaced[0][0] == "m.index"
    assert [target for _, target in replaced[1:]] == file_names("m", 3)
    assert not {source for source, _ in replaced[1:]} & set(file_names("m", 3))


def test_nothing_has_its_final_name_before_the_commit(tmp_path):
    with fastckpt.Writer(tmp_path / "m", num_shards=2, sync=False) as writer:
        for i in range(10):
            writer.add(str(i), np.zeros(100_000))
            assert not set(list_names(tmp_path)) & set(file_names("m", 2))
            with pytest.raises(FileNotFoundError):
                fastckpt.read(tmp_path / "m")


@linux
@pytest.mark.parametrize("num_shards", [1, 3])
def test_every_file_is_durable_before_it_is_renamed_and_the_folder_after(
    tmp_path, monkeypatch, num_shards
):
    events = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(fd):
        events.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))))
        real_fsync(fd)

    def replace(source, target):
        events.append(("replace", os.path.basename(source)))
        real_replace(source, target)

    folder = tmp_path / "folder"
    folder.mkdir()
    fastckpt.write(folder / "m", OLD, num_shards=num_shards, sync=False)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    fastckpt.write(folder / "m", NEW, num_shards=num_shards)

    renamed = [name for kind, name in events if kind == "replace"]
    assert len(renamed) == num_shards + 2
    for name in renamed[1:]:  # the first is the old index
        assert events.index(("fsync", name)) < events.index(("replace", "m.index"))
    first, last = (events.index(("replace", name)) for name in (renamed[0], renamed[-1]))
    assert ("fsync", "folder") in events[first : events.index(("replace", renamed[1]))]
    assert ("fsync", "folder") in events[last:]


@linux
def test_new_folder_is_durable_too(tmp_path, monkeypatch):
    synced = []
    real_fsync = os.fsync

    def fsync(fd):
        synced.append(os.path.realpath(os.readlink(f"/proc/self/fd/{fd}")))
        real_fsync(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    fastckpt.write(tmp_path / "new" / "m", NEW)

    assert {os.path.realpath(tmp_path), os.path.realpath(tmp_path / "new")} <= set(synced)


@pytest.mark.parametrize("num_shards", [1, 3])
def test_nothing_is_synced_if_not_asked_for(tmp_path, monkeypatch, num_shards):
    def fsync(fd):
        raise AssertionError("synced")

    monkeypatch.setattr(os, "fsync", fsync)
    for _ in range(2):
        fastckpt.write(tmp_path / "new" / "m", NEW, num_shards=num_shards, sync=False)

    assert_same(read_all(tmp_path / "new" / "m"), NEW)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (5, 2), (2, 2)])
def test_shards_of_an_older_commit_are_removed(tmp_path, before, after):
    fastckpt.write(tmp_path / "m", OLD, num_shards=before, sync=False)
    others = ["m.data-00000-of-00001x", "m.meta", "m2.data-00000-of-00007", "m.txt", "xm.index"]
    for name in others:
        (tmp_path / name).touch()

    fastckpt.write(tmp_path / "m", NEW, num_shards=after, sync=False)

    assert list_names(tmp_path) == sorted([*file_names("m", after), *others])
    assert_same(read_all(tmp_path / "m"), NEW)


def test_saving_many_times_leaves_one_checkpoint(tmp_path):
    for i in range(10):
        fastckpt.write(tmp_path / "m", {"i": i}, num_shards=1 + i % 3, sync=False)

    assert read_all(tmp_path / "m")["i"] == 9
    assert list_names(tmp_path) == file_names("m", 1)
