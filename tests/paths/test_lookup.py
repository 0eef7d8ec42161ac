"""Which checkpoints there are, and how one is removed."""

import os

import numpy as np
import pytest

import fastckpt
from fastckpt.paths.lookup import (
    V2,
    checkpoint_exists,
    checkpoint_files,
    checkpoint_numbers,
    get_checkpoint_mtimes,
    is_folder,
    is_inside,
    is_taken,
    is_there,
    make_folders,
    meta_path,
    real_prefix,
    remove_checkpoint,
)

PREFIXES = ["m", "m-1", "we[ird]", "a*b", "q?", "d/", "back\\slash"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    return tmp_path


def files():
    return sorted(
        os.path.relpath(os.path.join(root, name))
        for root, _, names in os.walk(".")
        for name in names
    )


def write(*prefixes):
    for prefix in prefixes:
        fastckpt.write(prefix, {"v": np.zeros(2)})
        with open(meta_path(prefix), "wb"):
            pass


def test_nothing_exists_in_an_empty_folder(folder):
    assert not checkpoint_exists("m")
    assert get_checkpoint_mtimes(["m", "missing/m"]) == []
    remove_checkpoint("m")
    remove_checkpoint("missing/m")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_checkpoint_of_any_name_exists(folder, prefix):
    write(prefix)

    assert checkpoint_exists(prefix)
    assert not checkpoint_exists(prefix + "x")


def test_data_without_an_index_does_not_exist(folder):
    write("m")
    os.unlink("m.index")

    assert not checkpoint_exists("m")


@pytest.mark.parametrize("pattern", ["m-?????-of-00002", "m-00000-of-0000*", "m-*"])
def test_pattern_matches_the_shards_of_a_v1_checkpoint(folder, pattern):
    for shard in range(2):
        (folder / f"m-0000{shard}-of-00002").touch()

    assert checkpoint_exists(pattern)
    assert len(get_checkpoint_mtimes([pattern])) == 1


def test_times_are_whole_seconds_of_those_that_exist(folder):
    write("a", "b")
    os.utime("a.index", (1000, 1000.75))
    os.utime("b.index", (1000, 2000))

    assert get_checkpoint_mtimes(["b", "missing", "a"]) == [2000.0, 1000.0]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_removing_takes_all_files_of_the_prefix_and_no_other(folder, prefix):
    others = [each for each in [*PREFIXES, "mm", "m-11", "weird", "axb", "qx"] if each != prefix]
    write(*others)
    before = files()
    write(prefix)

    remove_checkpoint(prefix)

    assert files() == before


def test_removing_keeps_a_file_of_the_prefixs_own_name_in_v2(folder):
    write("m")
    (folder / "m").touch()

    remove_checkpoint("m")

    assert files() == ["m"]


def test_removing_a_v1_checkpoint_takes_its_file_and_graph_only(folder):
    write("m")
    (folder / "m").touch()

    remove_checkpoint("m", 1)

    assert files() == ["m.data-00000-of-00001", "m.index"]


def test_removing_a_sharded_v1_checkpoint_takes_the_shards_of_its_count(folder):
    for name in ["m-00000-of-00002", "m-00001-of-00002", "m-00000-of-00003", "m.meta", "m.graph"]:
        (folder / name).touch()

    remove_checkpoint("m-?????-of-00002", 1, "graph")

    assert files() == ["m-00000-of-00003", "m.meta"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("m", "m.meta"),
        ("d/m-5", "d/m-5.meta"),
        ("m-1-?????-of-00002", "m-1.meta"),
        ("m-1-00000-of-00002", "m-1.meta"),
        ("run-3-of-5", "run.meta"),
        ("run-3-of-5-7", "run-3-of-5-7.meta"),
        ("d/", "d/.meta"),
    ],
)
def test_graph_is_named_as_tensorflow_names_it(path, expected):
    assert meta_path(path) == expected


# ---- what a state file may ask for


@pytest.mark.parametrize("path", ["a\0/b*", "a/b\0", "\0"])
def test_path_with_a_nul_is_no_checkpoint(tmp_path, path):
    (tmp_path / "checkpoint").write_bytes(f'model_checkpoint_path: "{path}"'.encode())

    assert not checkpoint_exists(path)
    assert fastckpt.train.latest_checkpoint(tmp_path) is None
    with pytest.raises(FileNotFoundError):
        fastckpt.read(tmp_path)


def test_folder_of_a_state_file_is_no_pattern(tmp_path):
    fastckpt.write(tmp_path / "run" / "m", {"a": np.zeros(1)})
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "*/m"')

    assert checkpoint_exists(tmp_path / "run" / "*")
    assert not checkpoint_exists(tmp_path / "*" / "m")
    assert fastckpt.train.latest_checkpoint(tmp_path) is None


def test_files_of_checkpoints_are_those_of_their_names(folder):
    write("m", "d/m", "m-1")
    for name in ["m.data-00001-of-00002", "m.data", "m.index.tmp-0123456789abcdef", "mm.index"]:
        (folder / name).touch()

    assert checkpoint_files(["m", "./d/m", "gone"], V2) == {
        "m": ["m.index", "m.data-00000-of-00001", "m.data-00001-of-00002"],
        "./d/m": ["./d/m.index", "./d/m.data-00000-of-00001"],
        "gone": ["gone.index"],
    }


def test_numbers_of_checkpoints_are_those_of_any_of_their_files(folder):
    names = ["a-b-1.index", "a-b-22.data-00000-of-00001", "a-b-3.meta", "a-b-4", "a-5.index"]
    for name in [*names, "a-b-6.txt", "a-b-.index", "a-b--7.index", "a-b-\u0663.index"]:
        (folder / "d" / name).touch()

    assert checkpoint_numbers("d/a-b") == {1, 3, 22}
    assert checkpoint_numbers("missing/a-b") == set()


def test_folder_of_a_checkpoint_is_the_real_one(folder):
    (folder / "link").symlink_to("d")
    (folder / "up").symlink_to("..")

    assert real_prefix("link/../d/m") == (str(folder / "d"), "m")
    assert is_inside("d", "link/m")
    assert is_inside("", "m")
    assert is_inside("link", str(folder / "d" / "m"))
    for path in ["m", "d/x/m", "d/../m", "up/m", "/m"]:
        assert not is_inside("d", path)


# ---- what is there


@pytest.mark.parametrize("spell", [str, os.fsencode, lambda path: f"file://{os.getcwd()}/{path}"])
def test_path_is_taken_by_an_index_or_a_file(folder, spell):
    write("m")
    (folder / "file").touch()

    paths = ["m", "file", "d", "absent", "m.index"]
    assert [is_taken(spell(path)) for path in paths] == [True, False, False, False, False]
    assert [is_taken(spell(path), as_file=True) for path in paths] == [
        True,
        True,
        True,
        False,
        True,
    ]
    with pytest.raises(ValueError, match="not supported"):
        is_taken("gs://bucket/m")


def test_checkpoint_is_there_by_its_index_its_file_or_the_ends_of_its_pattern(folder):
    write("m")
    for name in ("old", "a-00000-of-00003", "b-00002-of-00003", "c-00001-of-00003"):
        (folder / name).touch()

    there = ["m", "old", "a-?????-of-00003", "b-?????-of-00003", "b-00002-of-00003"]
    absent = ["", "m*", "d", "a", "a-?????-of-00002", "c-?????-of-00003", "m\0", "x-?????-of-00001"]
    assert [path for path in there + absent if is_there(path)] == there


def test_folders_above_a_prefix_are_made(folder):
    make_folders("new/deep/m")
    make_folders("new/deep/n")
    make_folders("m")

    assert is_folder("new/deep") and is_folder("") and not is_folder("new/deep/m")
