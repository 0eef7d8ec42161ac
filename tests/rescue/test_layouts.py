"""Which files a save renames, and whether those that stand somewhere are a checkpoint."""

import os

import numpy as np
import pytest

import fastckpt
from fastckpt.rescue.layouts import BundleLayout, V1Layout, check_is_latest
from fastckpt.v1.writer import write_v1


@pytest.fixture(params=["bundle", "v1", "one file"])
def written(request, tmp_path):
    """A layout, and the data files and the commit file of a checkpoint in it."""
    path = str(tmp_path / "m")
    tensors = {f"t{i}": np.full(9, i) for i in range(4)}
    if request.param == "bundle":
        fastckpt.write(path, tensors, num_shards=3)
        return BundleLayout(path), [f"{path}.data-0000{i}-of-00003" for i in range(3)]
    count = 3 if request.param == "v1" else None
    write_v1(path, tensors, num_shards=count)
    return V1Layout(path, count), [f"{path}-0000{i}-of-00003" for i in range(2 if count else 0)]


def test_names_are_those_that_the_writer_used(written):
    layout, data = written

    assert list(layout.list_data(layout.commit_path)) == data
    assert all(os.path.exists(path) for path in (*data, layout.commit_path))
    assert len(fastckpt.read(layout.path)) == 4


def test_files_are_a_checkpoint_wherever_they_stand(written, tmp_path):
    layout, data = written
    moved = [f"{path}.elsewhere" for path in (*data, layout.commit_path)]
    for old, new in zip((*data, layout.commit_path), moved, strict=True):
        os.rename(old, new)

    assert list(layout.find_faults(moved[:-1], moved[-1], verify=True)) == []


@pytest.mark.parametrize("verify", [False, True])
def test_damage_is_a_fault(written, verify):
    layout, data = written
    victim = (*data, layout.commit_path)[0]
    os.truncate(victim, os.path.getsize(victim) // 2)

    with pytest.raises(fastckpt.FormatError):
        for fault in layout.find_faults(data, layout.commit_path, verify=verify):
            raise fault


def test_old_index_is_kept_while_its_data_is_whole(tmp_path):
    layout = BundleLayout(str(tmp_path / "m"))
    fastckpt.write(layout.path, {"a": np.arange(9)})

    assert layout.is_kept(layout.commit_path, is_renaming=True)
    fastckpt.write(tmp_path / "n", {"a": np.arange(1, 10)})
    os.replace(tmp_path / "n.data-00000-of-00001", tmp_path / "m.data-00000-of-00001")
    assert not layout.is_kept(layout.commit_path, is_renaming=True)
    os.unlink(tmp_path / "m.data-00000-of-00001")
    assert not layout.is_kept(layout.commit_path, is_renaming=False)


def test_old_shard_of_v1_is_kept_until_another_is_renamed(tmp_path):
    layout = V1Layout(str(tmp_path / "m"), 2)

    assert layout.is_kept("aside", is_renaming=False)
    assert not layout.is_kept("aside", is_renaming=True)


def test_number_in_a_name_costs_nothing(tmp_path):
    names = V1Layout(str(tmp_path / "m"), 2_000_000_000).list_data("unused")

    assert next(names).endswith("m-00000-of-2000000000")


def test_later_commit_is_refused(tmp_path):
    path = tmp_path / "m.index"
    check_is_latest(str(path), 0)
    path.touch()

    check_is_latest(str(path), os.stat(path).st_mtime_ns)
    with pytest.raises(ValueError, match="later one"):
        check_is_latest(str(path), os.stat(path).st_mtime_ns - 1)
