"""The commit: its order, what is durable when, and what an older one leaves."""

import os

import numpy as np
import pytest
from writing import NEW, OLD, assert_same, file_names, linux, list_names, posix, read_all

import fastckpt
from fastckpt.bundle.names import shard_path

# ---- the commit


def test_commit_over_the_same_names_has_a_whole_checkpoint_at_every_moment(tmp_path, monkeypatch):
    fastckpt.write(tmp_path / "m", OLD, num_shards=3, sync=False)
    replaced = []
    real_replace = os.replace

    def replace(source, target):
        assert_same(read_all(tmp_path / "m"), NEW if replaced else OLD)
        replaced.append((os.path.basename(source).split("-")[0], os.path.basename(target)))
        real_replace(source, target)
        assert_same(read_all(tmp_path / "m"), NEW)

    monkeypatch.setattr(os, "replace", replace)
    fastckpt.write(tmp_path / "m", NEW, num_shards=3, sync=False)

    assert [target for _, target in replaced] == ["m.index", *file_names("m", 3)]
    assert replaced[0][0] == "m.index.via"
    assert list_names(tmp_path) == file_names("m", 3)


@pytest.mark.parametrize("is_there", [False, True])
def test_commit_under_other_names_puts_the_index_last(tmp_path, monkeypatch, is_there):
    if is_there:
        fastckpt.write(tmp_path / "m", OLD, num_shards=2, sync=False)
    targets = []
    real_replace = os.replace

    def replace(source, target):
        assert not is_there or read_all(tmp_path / "m").keys() == OLD.keys()
        targets.append(os.path.basename(target))
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    fastckpt.write(tmp_path / "m", NEW, num_shards=3, sync=False)

    assert targets == file_names("m", 3)


@pytest.mark.parametrize("in_the_way", [range(3, 4), range(3, 6), range(1, 9)])
def test_names_in_between_are_free_ones(tmp_path, in_the_way):
    fastckpt.write(tmp_path / "m", OLD, num_shards=2, sync=False)
    for count in in_the_way:
        name = shard_path(str(tmp_path / "m"), 0, count)
        if not os.path.exists(name):
            open(name, "w").close()

    fastckpt.write(tmp_path / "m", NEW, num_shards=2, sync=False)

    assert_same(read_all(tmp_path / "m"), NEW)
    assert list_names(tmp_path) == file_names("m", 2)


@pytest.mark.parametrize("content", [b"", b"no index", bytes(100)])
def test_broken_index_is_saved_over(tmp_path, content):
    fastckpt.write(tmp_path / "m", OLD, num_shards=2, sync=False)
    (tmp_path / "m.index").write_bytes(content)

    fastckpt.write(tmp_path / "m", NEW, num_shards=2, sync=False)

    assert_same(read_all(tmp_path / "m"), NEW)
    assert list_names(tmp_path) == file_names("m", 2)


@posix
def test_permissions_stay(tmp_path):
    fastckpt.write(tmp_path / "m", OLD, num_shards=2, sync=False)
    for name in list_names(tmp_path):
        (tmp_path / name).chmod(0o600)
    old = os.umask(0o022)
    try:
        for num_shards in (2, 3):
            fastckpt.write(tmp_path / "m", NEW, num_shards=num_shards, sync=False)
            modes = {os.stat(tmp_path / name).st_mode & 0o777 for name in list_names(tmp_path)}
            assert modes == {0o600}
        fastckpt.write(tmp_path / "new", NEW, sync=False)
    finally:
        os.umask(old)
    assert os.stat(tmp_path / "new.index").st_mode & 0o777 == 0o644


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
    assert len(renamed) == num_shards + 2  # an index for other names, the data files, the index
    for name in renamed:
        assert events.index(("fsync", name)) < events.index(("replace", name))
    moments = [events.index(("replace", name)) for name in renamed]
    for first, second in ((moments[0], moments[1]), (moments[-2], moments[-1])):
        assert ("fsync", "folder") in events[first:second]
    assert ("fsync", "folder") in events[moments[-1] :]


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
