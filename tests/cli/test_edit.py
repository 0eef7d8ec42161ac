"""The verbs that write checkpoints."""

import os

import numpy as np
import pytest
from command_line import TENSORS, call_json

import fastckpt

# ---- Writing


def test_rename_by_all_rules(call, source, out, tmp_path):
    table = tmp_path / "names.tsv"
    table.write_text("text\tlabels\n")

    dry = call_json(
        call, "rename", source, out, "--map", "step=global_step", "--map-file", table,
        "--regex", "kernel", "weight", "--drop-prefix", "model/", "--add-prefix", "net/",
        "--dry-run",
    )  # fmt: skip
    status, printed, _ = call(
        "rename", source, out, "--map", "step=global_step", "--map-file", table,
        "--regex", "kernel", "weight", "--drop-prefix", "model/", "--add-prefix", "net/",
    )  # fmt: skip

    assert status == 0
    assert printed == f"{out}: 5 tensors, 4.7 KiB\n"
    assert sorted(fastckpt.read(out)) == sorted(dry["renamed"].values())
    assert sorted(fastckpt.read(out)) == [
        "global_step", "labels", "net/bias", "net/weight", "net/weight/Adam",
    ]  # fmt: skip


def test_rename_by_a_json_file(call, source, out, tmp_path):
    table = tmp_path / "names.json"
    table.write_text('{"step": "global_step"}')

    assert call("rename", source, out, "--map-file", table)[0] == 0

    assert "global_step" in fastckpt.read(out)


@pytest.mark.parametrize("text", ['{"step": 1}', "{", "step global_step"])
def test_file_of_names_that_cannot_be_is_a_mistake(call, source, out, tmp_path, text):
    table = tmp_path / "names"
    table.write_text(text)

    assert call("rename", source, out, "--map-file", table)[0] == 2


def test_editing_shares_the_data_unless_told_to_copy(call, source, out, tmp_path):
    copy = str(tmp_path / "copy")

    call("rename", source, out, "--add-prefix", "x/")
    call("rename", source, copy, "--add-prefix", "x/", "--copy")

    data = [f"{prefix}.data-00000-of-00001" for prefix in (source, out, copy)]
    assert os.path.samefile(data[0], data[1])
    assert not os.path.samefile(data[0], data[2])


def test_subset_drops_what_only_an_optimizer_needs(call, source, out):
    assert call("subset", source, out, "--drop-optimizer")[0] == 0

    assert sorted(fastckpt.read(out)) == ["model/bias", "model/kernel", "step", "text"]


def test_subset_includes_and_excludes(call, source, out):
    status, _, _ = call(
        "subset", source, out, "--include", "model/*", "--include", "step", "--exclude", "*/Adam"
    )

    assert status == 0
    assert sorted(fastckpt.read(out)) == ["model/bias", "model/kernel", "step"]


def test_alias_and_merge(call, source, out, tmp_path):
    other, both = str(tmp_path / "other"), str(tmp_path / "both")
    fastckpt.write(other, {"more": np.zeros(2)}, sync=False)

    assert call("alias", source, out, "counter=step")[0] == 0
    assert call("merge", f"{out}.index", other, both)[0] == 0

    merged = fastckpt.read(both)
    assert merged["counter"] == merged["step"] == 7
    assert "more" in merged


def test_average_of_the_last(call, golden, out):
    folder = golden / "tf1_saver"

    assert call("average", folder, out, "--last", "2")[0] == 0
    assert call("average", folder, out, "--last", "99", "--force")[0] == 2

    last, before = (fastckpt.read(folder / f"model.ckpt-{step}")["w"] for step in (80, 70))
    expected = ((last.astype(np.float64) + before) / 2).astype(np.float32)
    np.testing.assert_array_equal(fastckpt.read(out)["w"], expected)


def test_cast_by_glob(call, source, out):
    assert call("cast", source, out, "*/Adam=float16")[0] == 0

    dtypes = {info.name: info.tf_dtype for info in fastckpt.list_tensors(out)}
    assert dtypes["model/kernel/Adam"] == "float16"
    assert dtypes["model/kernel"] == "float32"


def test_reshard_and_align(call, source, out, tmp_path):
    packed = str(tmp_path / "packed")

    assert call("reshard", source, out, "3")[0] == 0
    assert call("align", source, packed, "--alignment", "1")[0] == 0

    assert fastckpt.read(out).num_shards == 3
    assert os.path.getsize(f"{packed}.data-00000-of-00001") == sum(
        info.nbytes for info in fastckpt.list_tensors(packed)
    )


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".h5", ".zarr"])
def test_convert_there_and_back(call, out, tmp_path, suffix):
    plain = {name: value for name, value in TENSORS.items() if name in ("model/kernel", "step")}
    source, other = str(tmp_path / "plain"), str(tmp_path / f"other{suffix}")
    fastckpt.write(source, plain, sync=False)

    assert call("convert", source, other, "--add-prefix", "x/")[0] == 0
    assert call("convert", source, other)[0] == 2  # it is there
    assert call("convert", other, out, "--drop-prefix", "x/")[0] == 0

    assert fastckpt.diff(source, out).is_same


def test_convert_says_what_a_rule_did_not_find(call, source, tmp_path):
    status, out, _ = call(
        "convert", source, tmp_path / "x.safetensors", "--exclude", "text", "--map", "stpe=x"
    )

    assert status == 1
    assert "no tensor is called 'stpe'" in out
