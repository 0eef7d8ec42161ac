"""The verbs that look: ls, tree, show, stats, state, meta, objects."""

import os
import re
import time

import numpy as np
import pytest
from command_line import TENSORS, call_json

import fastckpt

# ---- Looking


def test_ls_aligns_names_dtypes_shapes_and_sizes(call, source):
    status, out, err = call("ls", source)

    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "name               dtype      shape     size",
        "model/bias         float32      (3)     12 B",
        "model/kernel       float32  (20,30)  2.3 KiB",
        "model/kernel/Adam  float32  (20,30)  2.3 KiB",
        "step               int64         ()      8 B",
        "text               string       (3)     18 B",
        "5 tensors, 4.7 KiB",
    ]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["model/*"], ["model/bias", "model/kernel", "model/kernel/Adam"]),
        (["step", "text"], ["step", "text"]),
        (["--sort", "size", "-r", "s*", "model/k*"], ["step", "model/kernel/Adam", "model/kernel"]),
        (["--sort", "dtype", "step", "model/bias"], ["model/bias", "step"]),
    ],
)
def test_ls_chooses_and_sorts(call, source, options, names):
    found = call_json(call, "ls", source, *options)

    assert [each["name"] for each in found["tensors"]] == names
    assert found["count"] == len(names)
    assert found["nbytes"] == sum(each["nbytes"] for each in found["tensors"])


def test_ls_takes_a_name_with_brackets_for_itself(call, out):
    fastckpt.write(out, {"a[0]": np.zeros(1), "a0": np.zeros(1)}, sync=False)

    found = call_json(call, "ls", out, "a[0]")

    assert [each["name"] for each in found["tensors"]] == ["a0", "a[0]"]


def test_ls_totals_by_dtype_and_prefix(call, source):
    by_dtype = call_json(call, "ls", source, "--by", "dtype")["totals"]
    by_prefix = call_json(call, "ls", source, "--by", "prefix", "--depth", "2")["totals"]

    assert by_dtype[0] == {"dtype": "float32", "tensors": 3, "nbytes": 4812}
    assert by_prefix[0] == {"prefix": "model/kernel", "tensors": 2, "nbytes": 4800}
    assert call("ls", source, "--by", "dtype")[1].splitlines()[-1] == "5 tensors, 4.7 KiB"


def test_ls_of_nothing_that_matches_is_a_mistake(call, source):
    assert call("ls", source, "nothing*")[0] == 2


def test_show_prints_values_and_statistics(call, source):
    status, out, _ = call("show", source, "model/bias")

    assert status == 0
    assert "model/bias: float32 (3), 12 B" in out
    assert "nan" in out and "-inf" in out
    assert "NaN 1  Inf 1  zeros 0  of 3" in out


def test_show_of_a_part_reads_only_that(call, source):
    found = call_json(call, "show", source, "model/kernel[0:2, -1]")

    assert found["values"] == [29.0, 59.0]
    assert found["index"] == "[0:2, -1]"
    assert (found["stats"]["min"], found["stats"]["max"]) == (29.0, 59.0)


@pytest.mark.parametrize("index", ["[x]", "[1:2:3:4]", "[0,0,0]", "[99]", "[]"])
def test_show_of_a_part_that_cannot_be_is_a_mistake(call, source, index):
    assert call("show", source, f"model/kernel{index}")[0] == 2


def test_show_of_many_values_gives_json_none_unless_all_are_asked_for(call, out):
    fastckpt.write(out, {"a": np.arange(5000)}, sync=False)

    some = call_json(call, "show", out, "a")
    everything = call_json(call, "show", out, "a", "--all")

    assert some["values"] is None
    assert everything["values"] == list(range(5000))


@pytest.mark.parametrize("case", ["tf2_dtypes", "tf1_dtypes", "tf1_shapes", "tf1_strings"])
def test_show_takes_every_dtype_of_tensorflow(call, golden, case):
    (index,) = sorted((golden / case).glob("*.index"))[:1]
    tensors = [
        info.name
        for info in fastckpt.list_tensors(index)
        if info.tf_dtype not in ("variant", "resource")
    ]

    statuses = {name: call("show", index, name)[0] for name in tensors}
    documents = [call_json(call, "show", index, name) for name in tensors]

    assert set(statuses.values()) == {0}
    assert [each["name"] for each in documents] == tensors


def test_stats_has_a_row_for_each_tensor(call, source):
    found = call_json(call, "stats", source)["tensors"]
    lines = call("stats", source)[1].splitlines()

    assert [each["name"] for each in found] == sorted(TENSORS)
    assert {each["nans"] for each in found} == {0, 1}
    assert len(lines) == 6


def test_stats_check_tells_nan_by_its_status(call, source):
    assert call("stats", source, "--check")[0] == 1
    assert call("stats", source, "model/kernel", "--check")[0] == 0


def test_tree_has_the_sizes_of_what_is_below(call, source):
    found = call_json(call, "tree", source)
    status, out, _ = call("tree", source)

    assert found["tensors"] == 5
    assert sum(child["nbytes"] for child in found["children"]) == found["nbytes"]
    assert status == 0
    assert "kernel" in out and "KiB" in out


def test_state_says_what_is_missing_and_repairs_it(call, golden, tmp_path):
    folder = tmp_path / "saver"
    folder.mkdir()
    for file in (golden / "tf1_saver").iterdir():
        if "ckpt-50" not in file.name:
            (folder / file.name).write_bytes(file.read_bytes())

    before = call_json(call, "state", folder, status=1)
    after = call_json(call, "state", folder, "--repair")

    assert [os.path.basename(path) for path in before["missing"]] == ["model.ckpt-50"]
    assert after["missing"] == []
    assert len(after["checkpoints"]) == len(before["checkpoints"]) - 1


def test_state_says_that_the_latest_is_broken_and_repair_names_the_newest_whole_one(call, tmp_path):
    for step in (1, 2, 3):
        fastckpt.write(tmp_path / f"m-{step}", {"a": np.zeros(9), "b": np.ones(9)}, num_shards=2)
    fastckpt.train.update_checkpoint_state(tmp_path, "m-3", ["m-1", "m-2"])
    assert call_json(call, "state", tmp_path)["latest_is_whole"]
    (tmp_path / "m-3.data-00001-of-00002").unlink()

    before = call_json(call, "state", tmp_path, status=1)
    text = call("state", tmp_path)[1]
    after = call_json(call, "state", tmp_path / "checkpoint", "--repair")

    assert not before["latest_is_whole"] and before["missing"] == []
    assert "m-3  (broken)" in text
    assert after["latest"] == f"{tmp_path}/m-2" and after["latest_is_whole"]


def test_state_of_many_missing_paths_takes_time_in_proportion(call, tmp_path):
    paths = [f"m-{number}" for number in range(20_000)]
    fastckpt.write(tmp_path / paths[-1], {"a": 1})
    fastckpt.train.update_checkpoint_state(tmp_path, paths[-1], paths)
    start = time.process_time()

    found = call_json(call, "state", tmp_path, status=1)

    assert len(found["missing"]) == 19_999
    assert time.process_time() - start < 20


def test_state_of_a_folder_without_one_is_a_mistake(call, tmp_path):
    assert call("state", tmp_path)[0] == 2


@pytest.mark.parametrize("path", ["tf1_saver", "tf1_saver/model.ckpt-80", "tf2_saved_model/model"])
def test_meta_of_any_path(call, golden, path):
    found = call_json(call, "meta", golden / path, "--nodes")

    assert len(found["nodes"]) == sum(found["ops"].values()) > 0
    assert call("meta", golden / path)[0] == 0
    assert call("meta", golden / path, "--nodes")[0] == 0


def test_objects_are_a_tree_or_none(call, golden, source):
    keras = golden / "tf2_keras3" / "keras"

    found = call_json(call, "objects", keras)

    assert "model/_functional/_operations/2/moving_mean" in found["variables"]
    assert call("objects", keras)[1].startswith("root\n")
    assert "no object graph" in call("objects", source)[1]


@pytest.mark.parametrize(
    "arguments",
    [("show", "w"), ("show", "w[0:2]"), ("stats",), ("stats", "--check"), ("stats", "w")],
    ids=" ".join,
)
def test_what_is_printed_was_verified(call, tmp_path, arguments):
    verb, *rest = arguments
    fastckpt.write(tmp_path / "m", {"w": np.arange(64, dtype=np.float32), "v": np.ones(3)})
    data = tmp_path / "m.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[100] ^= 0x40
    data.write_bytes(content)

    status, out, err = call(verb, tmp_path / "m", *rest)

    assert status == (2 if verb == "show" else 1)
    assert not re.search(r"^(\[|w\b)", out, re.MULTILINE)  # neither values nor a row of w
    assert bool(re.search(r"^v\b", out, re.MULTILINE)) == (verb == "stats" and "w" not in rest)
    assert "tensor 'w'" in err and "CRC-32C" in err
    assert call("show", tmp_path / "m", "v")[0] == 0
