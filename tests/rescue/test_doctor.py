"""What doctor says of every broken, misnamed, misplaced and unfinished thing."""

import dataclasses
import errno
import gzip
import io
import json
import os
import pickle
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from places import GOLDEN

import fastckpt
from fastckpt.format.magic import recognise, strip_download_suffix
from fastckpt.rescue.doctor import doctor
from fastckpt.storage.folder import Staging
from fastckpt.storage.stage import OutputFile

CORRUPT = sorted(path.parent.name for path in GOLDEN.glob("corrupt/*/expected.json"))
DATA_OK_INDEX_OK = {"payload_flip", "string_payload_flip", "string_length_crc"}
TOKEN = "0123456789abcdef"

assert len(CORRUPT) >= 48, "the broken files of the golden corpus are not there"


@pytest.fixture
def folder(tmp_path):
    """A folder with three checkpoints of TensorFlow's CheckpointManager."""
    for path in (GOLDEN / "tf2_manager").iterdir():
        if path.name != "expected.json":
            shutil.copy2(path, tmp_path / path.name)
    return tmp_path


@pytest.fixture
def prefix(tmp_path):
    """A sharded checkpoint of TensorFlow 1 without a state file."""
    for path in (GOLDEN / "tf1_sharded").glob("model*"):
        shutil.copy2(path, tmp_path / path.name)
    return tmp_path / "model.ckpt-7"


@pytest.fixture
def small(tmp_path):
    """A small checkpoint with six tensors in one data file."""
    fastckpt.write(tmp_path / "small", {f"t{i}": np.full(100, i) for i in range(6)})
    return tmp_path / "small"


def data_of(prefix):
    return Path(f"{prefix}.data-00000-of-00001")


def find(diagnosis, words):
    """The finding with these words in its title; the only one."""
    found = [each for each in diagnosis.findings if words in each.what]
    assert len(found) == 1, f"{words!r} in:\n{diagnosis}"
    return found[0]


# ---- broken checkpoints


@pytest.mark.parametrize("fault", CORRUPT)
def test_every_broken_checkpoint_of_the_corpus_is_an_error(fault):
    diagnosis = doctor(GOLDEN / "corrupt" / fault / "ckpt", verify=True)

    assert not diagnosis.is_healthy
    assert not any(checkpoint.is_whole for checkpoint in diagnosis.checkpoints)
    errors = [each for each in diagnosis.findings if each.severity == "error"]
    assert errors and all(each.why and each.todo for each in errors)


@pytest.mark.parametrize("fault", CORRUPT)
def test_only_damaged_bytes_need_verify_to_be_found(fault):
    diagnosis = doctor(GOLDEN / "corrupt" / fault / "ckpt")

    needs_bytes = DATA_OK_INDEX_OK | {
        name for name in CORRUPT if name.startswith("string_length") or name == "v1_missing_tensor"
    }
    assert diagnosis.is_healthy == (fault in needs_bytes)


@pytest.mark.parametrize("count", [1, 3])
def test_missing_shards_are_named(prefix, count):
    for shard in range(count):
        os.unlink(f"{prefix}.data-{shard:05d}-of-00004")

    finding = find(doctor(prefix), "missing")

    assert finding.severity == "error"
    assert "model.ckpt-7.data-00000-of-00004" in finding.why
    assert ("-00002-of-" in finding.why) == (count == 3)
    assert finding.todo.startswith("copy")


def test_header_that_asks_for_billions_of_shards_takes_no_time():
    diagnosis = doctor(GOLDEN / "corrupt" / "num_shards_too_large" / "ckpt")

    assert "different saves" in find(diagnosis, "missing").why


def test_shard_that_was_cut_off_is_too_short(small):
    data = data_of(small)
    os.truncate(data, data.stat().st_size // 2)

    diagnosis = doctor(small)

    finding = find(diagnosis, "too short")
    assert finding.where == str(data)
    assert "'t5'" in finding.why and "'t0'" not in finding.why
    assert "fastckpt.salvage(" in finding.todo
    assert not diagnosis.checkpoints[0].is_whole


def test_empty_shard_is_called_empty(small):
    os.truncate(data_of(small), 0)

    assert find(doctor(small), "empty file").where == str(data_of(small))


def test_empty_index_is_called_empty(small):
    os.truncate(f"{small}.index", 0)

    assert find(doctor(small), "empty file").where == f"{small}.index"


def test_shards_of_another_count_are_stale(small):
    stale = f"{small}.data-00000-of-00002"
    shutil.copy(data_of(small), stale)

    diagnosis = doctor(small)

    finding = find(diagnosis, "another save")
    assert finding.severity == "warning"
    assert finding.todo == f"rm '{stale}'"
    assert diagnosis.checkpoints[0].is_whole


def test_data_of_another_save_is_told_from_damage(small):
    other = small.parent / "other"
    fastckpt.write(other, {f"t{i}": np.full(100, 50 + i) for i in range(6)})
    shutil.copy(data_of(other), data_of(small))

    finding = find(doctor(small, verify=True), "different saves")

    assert "6 of 6" in finding.why
    assert doctor(small).is_healthy


def test_damaged_tensor_is_named_when_bytes_are_read(small):
    data = data_of(small)
    content = bytearray(data.read_bytes())
    content[fastckpt.read(small).info("t3").offset] ^= 1
    data.write_bytes(content)

    finding = find(doctor(small, verify=True), "damaged")

    assert finding.what == "1 tensor damaged: 't3'"
    assert "fastckpt.salvage(" in finding.todo


def test_index_missing_beside_shards(prefix):
    os.unlink(f"{prefix}.index")

    for path in (prefix, f"{prefix}.index", f"{prefix}.data-00000-of-00004"):
        finding = find(doctor(path), "index missing")
        assert finding.severity == "error"
        assert "copy 'model.ckpt-7.index'" in finding.todo


def test_only_the_index(prefix):
    for path in prefix.parent.glob("*.data-*"):
        path.unlink()

    assert find(doctor(prefix.parent), "4 data files missing").severity == "error"


@pytest.mark.parametrize("asked", ["model.ckpt-40", "model.ckpt-40.meta", ""])
def test_only_the_graph(tmp_path, asked):
    shutil.copy(GOLDEN / "tf1_saver" / "model.ckpt-40.meta", tmp_path)

    finding = find(doctor(tmp_path / asked), "only the graph")

    assert "'model.ckpt-40.index'" in finding.todo
    assert "fastckpt.read_meta(" in finding.todo


def test_unknown_dtype_names_the_tensor():
    finding = find(doctor(GOLDEN / "corrupt" / "entry_dtype_unknown" / "ckpt"), "unknown dtype")

    assert "'c/int64'" in finding.why


def test_v1_file_with_the_name_of_an_index(tmp_path):
    shutil.copy(GOLDEN / "v1_plain" / "model.ckpt-2", tmp_path / "m.index")

    finding = find(doctor(tmp_path / "m"), "V1 checkpoint with the name of a V2 index")

    assert finding.todo.startswith(f"mv '{tmp_path}/m.index' '{tmp_path}/m'")


def test_index_without_its_suffix(small):
    os.rename(f"{small}.index", small)

    finding = find(doctor(small), "without its suffix")

    assert finding.todo.startswith(f"mv '{small}' '{small}.index'")


def test_v1_shard_missing(tmp_path):
    for path in (GOLDEN / "v1_sharded").glob("model.ckpt-5-*"):
        shutil.copy(path, tmp_path)
    os.unlink(tmp_path / "model.ckpt-5-00001-of-00003")

    for asked in ("model.ckpt-5", "model.ckpt-5-?????-of-00003", "model.ckpt-5-00000-of-00003", ""):
        diagnosis = doctor(tmp_path / asked)
        assert find(diagnosis, "shard 2 of 3 is missing").severity == "error"


# ---- files that are something else


def to_zip(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def to_tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("model.ckpt.index")
        info.size = 7
        archive.addfile(info, io.BytesIO(b"content"))
    return buffer.getvalue()


def to_npy():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
GRAPH = b"\x0a\x14\x0a\x01x\x12\x0bPlaceholder\x2a\x02\x0a\x00" + bytes(9)
STRANGERS = {
    "empty": (b"", "empty file", "again"),
    "lfs": (LFS, "Git LFS", "git lfs pull"),
    "html": (b"\n<!DOCTYPE HTML><html><body>Sign in</body></html>", "web page", "download"),
    "html_bom": (b"\xef\xbb\xbf<html lang=en>", "web page", "download"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML", "download"),
    "json": (b'{"error": "not found"}', "JSON", "download"),
    "gzip": (gzip.compress(b"content"), "gzip", "tar -xzf"),
    "bzip2": (b"BZh91AY&SY", "bzip2", "tar -xjf"),
    "xz": (b"\xfd7zXZ\0\0\x04", "xz archive", "tar -xJf"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\x04", "7-Zip", "7z x"),
    "zstd": (b"\x28\xb5\x2f\xfd\0", "zstd", "--zstd"),
    "rar": (b"Rar!\x1a\x07\x01\0", "RAR", "unrar"),
    "tar": (to_tar(), "tar archive", "tar -xf"),
    "zip": (to_zip("model.ckpt.index"), "zip archive", "unzip"),
    "npz": (to_zip("arr_0.npy"), ".npz", "numpy.load"),
    "keras": (to_zip("metadata.json", "config.json", "model.weights.h5"), "Keras", "load_model"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5", "h5py.File"),
    "pt_zip": (to_zip("archive/data.pkl", "archive/version"), "PyTorch", "torch.load"),
    "pt_old": (
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "PyTorch", "torch.load",
    ),
    "pickle": (pickle.dumps({"a": [1, 2]}, protocol=2), "pickle", "only do so if you trust"),
    "pickle_4": (pickle.dumps({"a": [1, 2]}, protocol=4), "pickle", "pickle.load"),
    "safetensors": (
        (16).to_bytes(8, "little") + b'{"__metadata__":' + bytes(20), "safetensors", "load_file",
    ),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0", "ONNX", "onnx.load"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(20), "TensorFlow Lite", "Interpreter"),
    "gguf": (b"GGUF\x03\0\0\0", "GGUF", "llama.cpp"),
    "npy": (to_npy(), ".npy", "numpy.load"),
    "graph.pb": (GRAPH, "frozen graph", "GraphDef"),
    "saved_model.pb": (b"\x08\x01\x12\xff\x01", "SavedModel", "variables"),
    "events.out": (b"\x18" + bytes(22) + b"brain.Event:2", "event file", "tensorboard"),
    "my_state": (b'model_checkpoint_path: "a"\n', "state file", "prefix"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGERS)
def test_stranger_is_recognised(tmp_path, name):
    content, words, todo = STRANGERS[name]
    path = tmp_path / name
    path.write_bytes(content)

    diagnosis = doctor(path)

    finding = find(diagnosis, words)
    assert finding.severity == "error"
    assert todo in finding.todo + finding.why
    assert not diagnosis.is_healthy


@pytest.mark.parametrize("name", ["lfs", "html", "json", "gzip", "empty"])
@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_stranger_under_the_name_of_a_checkpoints_file(small, name, suffix):
    content, words, _ = STRANGERS[name]
    Path(f"{small}{suffix}").write_bytes(content)

    diagnosis = doctor(small)

    assert find(diagnosis, words).where == f"{small}{suffix}"
    assert not diagnosis.checkpoints[0].is_whole


def test_stranger_in_a_folder_is_recognised(tmp_path):
    (tmp_path / "weights.h5").write_bytes(STRANGERS["h5"][0])

    diagnosis = doctor(tmp_path)

    assert "h5py" in find(diagnosis, "HDF5").todo
    assert "no checkpoint" in diagnosis.findings[0].what


def test_prefix_of_a_stranger_is_recognised(tmp_path):
    (tmp_path / "weights.h5").write_bytes(STRANGERS["h5"][0])

    diagnosis = doctor(tmp_path / "weights")

    assert find(diagnosis, "HDF5").where == str(tmp_path / "weights.h5")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("tf?_*/*[0-9x]"))[:40])
def test_file_of_a_checkpoint_is_no_stranger(path):
    content = path.read_bytes()

    if path.is_file() and content:
        assert recognise(content[:4096], len(content), path.name) is None


def test_unknown_file_is_no_checkpoint(tmp_path):
    (tmp_path / "noise").write_bytes(bytes(range(1, 200)))

    assert "prefix" in find(doctor(tmp_path / "noise"), "not a checkpoint").todo


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("m.index.txt", "m.index"),
        ("m.index.download", "m.index"),
        ("m.index.crdownload", "m.index"),
        ("m.index.part", "m.index"),
        ("m (1).index", "m.index"),
        ("m.index (2)", "m.index"),
        ("m(3).index", "m.index"),
        ("m.ckpt-7 (1).index.txt", "m.ckpt-7.index"),
        ("checkpoint.txt", "checkpoint"),
        ("m.index", None),
        ("(1)", None),
        (".txt", None),
    ],
)
def test_name_that_a_browser_changed(name, original):
    assert strip_download_suffix(name) == original


@pytest.mark.parametrize("new", ["small.index.txt", "small.index.download", "small (1).index"])
def test_index_that_a_browser_renamed_is_given_its_name_back(small, new):
    changed = small.parent / new
    os.rename(f"{small}.index", changed)

    for path in (changed, small, small.parent):
        finding = find(doctor(path), "renamed by a download")
        assert finding.severity == "error"
        assert finding.todo == f"mv '{changed}' '{small}.index'"


def test_data_file_that_a_browser_renamed_is_given_its_name_back(small):
    os.rename(data_of(small), f"{data_of(small)}.txt")

    for path in (f"{data_of(small)}.txt", small, small.parent):
        finding = find(doctor(path), "renamed by a download")
        assert finding.todo == f"mv '{data_of(small)}.txt' '{data_of(small)}'"


def test_file_that_was_downloaded_twice_takes_nothings_place(small):
    shutil.copy(f"{small}.index", f"{small} (1).index")

    diagnosis = doctor(small.parent)

    assert find(diagnosis, "downloaded twice").todo == f"rm '{small} (1).index'"
    assert diagnosis.is_healthy
    assert find(doctor(f"{small} (1).index"), "downloaded twice").severity == "note"


# ---- wrong paths


def test_nothing_there_names_what_comes_nearest(folder):
    diagnosis = doctor(folder / "run-30")

    assert find(diagnosis, "nothing of that name").severity == "error"
    assert f"'{folder}/run-300'" in find(diagnosis, "checkpoints beside").todo


def test_folder_that_is_not_there(tmp_path):
    finding = find(doctor(tmp_path / "none" / "deeper" / "model"), "no such folder")

    assert f"'{tmp_path}'" in finding.why


def test_empty_folder(tmp_path):
    assert "saved to" in find(doctor(tmp_path), "an empty folder").todo


def test_folder_of_folders_names_those_with_checkpoints(tmp_path):
    shutil.copytree(GOLDEN / "tf2_manager", tmp_path / "inside")
    (tmp_path / "not").mkdir()

    finding = find(doctor(tmp_path), "no checkpoint in this folder")

    assert finding.todo == f"pass '{tmp_path}/inside'"


def test_path_below_a_file(small):
    diagnosis = doctor(f"{small}.index/model")

    assert [each.severity for each in diagnosis.findings] == ["error"]


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_path_that_cannot_be(path):
    diagnosis = doctor(path)

    assert not diagnosis.is_healthy
    assert diagnosis.findings[0].severity == "error"


def test_link_to_nothing(tmp_path):
    os.symlink(tmp_path / "gone", tmp_path / "link")

    assert doctor(tmp_path / "link").findings[0].severity == "error"


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert "pipe" in doctor(tmp_path / "pipe").findings[0].why


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_permission_denied_is_a_finding(small, monkeypatch, suffix):
    refused = f"{small}{suffix}"
    real_open = os.open

    def refuse(path, *args, **kwargs):
        if os.fspath(path) == refused:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    finding = find(doctor(small), "Permission denied")

    assert finding.where == refused
    assert "chmod u+r" in finding.todo


def test_folder_that_may_not_be_listed_is_a_finding(small, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refuse)

    assert find(doctor(small.parent), "Permission denied").where == str(small.parent)


@pytest.mark.parametrize("suffix", [".index", ".data-00002-of-00004"])
def test_file_of_a_checkpoint_instead_of_its_prefix(prefix, suffix):
    diagnosis = doctor(f"{prefix}{suffix}")

    assert diagnosis.is_healthy
    assert find(diagnosis, "one file of a checkpoint").todo == f"pass the prefix: '{prefix}'"


# ---- state files


def test_state_file_that_is_damaged_is_repaired_in_words(folder):
    (folder / "checkpoint").write_text('model_checkpoint_path: "run')

    diagnosis = doctor(folder)

    finding = find(diagnosis, "damaged state file")
    assert finding.severity == "error"
    assert f"fastckpt.repair_state('{folder}')" in finding.todo
    assert 'model_checkpoint_path: "run-500"' in finding.todo
    assert all(checkpoint.is_whole for checkpoint in diagnosis.checkpoints)


def test_state_file_that_is_a_web_page(folder):
    (folder / "checkpoint").write_bytes(STRANGERS["html"][0])

    assert find(doctor(folder / "checkpoint"), "web page").where == str(folder / "checkpoint")


def test_state_file_whose_latest_is_gone(folder):
    for path in folder.glob("run-500*"):
        path.unlink()

    finding = find(doctor(folder), "names a checkpoint that is gone")

    assert finding.severity == "error"
    assert 'model_checkpoint_path: "run-400"' in finding.todo


def test_state_file_that_lists_what_is_gone(folder):
    for path in folder.glob("run-300*"):
        path.unlink()

    finding = find(doctor(folder), "lists 1 that are gone")

    assert finding.severity == "warning"
    assert "run-300" not in finding.todo


def test_state_file_of_a_folder_that_was_moved(folder):
    (folder / "checkpoint").write_text('model_checkpoint_path: "/old/place/run-500"\n')

    finding = find(doctor(folder), "leads to where the folder was")

    assert finding.severity == "warning"
    assert 'model_checkpoint_path: "run-500"' in finding.todo


def test_state_file_that_points_to_another_folder(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    fastckpt.write(other / "m", {"a": np.zeros(1)})
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{other}/m"\n')

    assert find(doctor(folder), "points elsewhere").severity == "warning"


def test_state_file_alone(tmp_path):
    shutil.copy(GOLDEN / "tf2_manager" / "checkpoint", tmp_path)

    diagnosis = doctor(tmp_path)

    assert "copy the checkpoints" in find(diagnosis, "gone").todo


def test_several_checkpoints_without_a_state_file(folder):
    os.unlink(folder / "checkpoint")

    finding = find(doctor(folder), "no state file")

    assert finding.severity == "warning"
    assert f"pass a prefix: '{folder}/run-500'" in finding.todo


def test_one_checkpoint_without_a_state_file_is_healthy(small):
    diagnosis = doctor(small.parent)

    assert diagnosis.is_healthy
    assert find(diagnosis, "no state file").todo == f"pass the prefix: '{small}'"


# ---- SavedModels


def test_graph_of_a_saved_model_alone(tmp_path):
    shutil.copy(GOLDEN / "tf2_saved_model" / "model" / "saved_model.pb", tmp_path)

    assert "variables" in find(doctor(tmp_path), "SavedModel without").todo
    assert "variables" in find(doctor(tmp_path / "saved_model.pb"), "SavedModel").why


def test_saved_model_is_healthy():
    diagnosis = doctor(GOLDEN / "tf2_saved_model" / "model", verify=True)

    assert diagnosis.is_healthy
    assert diagnosis.checkpoints[0].tensors == 3


# ---- leftovers


@pytest.mark.parametrize(
    "name",
    [
        "small.index.tempstate123",
        "x.data-00000-of-00001.tempstate9",
        "checkpoint.tmp" + "a" * 32,
    ],
)
def test_temporary_file_of_tensorflow(small, name):
    (small.parent / name).touch()

    finding = find(doctor(small.parent), "temporary files of TensorFlow")

    assert finding.severity == "warning"
    assert name in finding.todo


@pytest.mark.parametrize("suffix", ["_temp", "_temp_" + "0a" * 16, ".part"])
def test_temporary_folder_with_all_parts_can_be_merged(tmp_path, suffix):
    temp = tmp_path / f"ck-1{suffix}"
    temp.mkdir()
    for shard in range(2):
        fastckpt.write(temp / f"part-{shard:05d}-of-00002", {f"t{shard}": np.arange(3)})

    finding = find(doctor(tmp_path), "before its parts were merged")

    exec(finding.todo.splitlines()[0], {"fastckpt": fastckpt})
    assert sorted(fastckpt.read(tmp_path / "ck-1")) == ["t0", "t1"]


def test_temporary_folder_without_all_parts(tmp_path):
    temp = tmp_path / "ck-1_temp"
    temp.mkdir()
    fastckpt.write(temp / "part-00000-of-00002", {"t": np.arange(3)})

    assert find(doctor(tmp_path), "temporary folder").todo.endswith(f"rm -r '{temp}'")


def test_leftover_that_nobody_writes(tmp_path):
    (tmp_path / f"checkpoint.tmp-{TOKEN}").touch()

    assert find(doctor(tmp_path), "leftover of a dead writer").todo.startswith("rm ")


def test_leftover_of_a_killed_conversion(small):
    (small.parent / f"m.npz.tmp-{TOKEN}").mkdir()

    finding = find(doctor(small.parent), "leftover of a conversion to 'm.npz'")

    assert finding.severity == "warning"
    assert finding.todo.startswith(f"rm -r '{small.parent}/m.npz.tmp-{TOKEN}'")


def test_folder_that_a_killed_conversion_took_away_can_be_had_back(small):
    staged = small.parent / f"m.zarr.tmp-{TOKEN}"
    (staged / "old").mkdir(parents=True)
    (staged / "old" / "zarr.json").write_text("{}")

    finding = find(doctor(small.parent), "leftover of a conversion to 'm.zarr'")

    assert finding.severity == "error"
    subprocess.run(finding.todo.splitlines()[0], shell=True, check=True)
    assert (small.parent / "m.zarr" / "zarr.json").exists() and not staged.exists()


def test_conversion_that_goes_on_is_no_leftover(small):
    with Staging(str(small.parent / "m.npz")) as staging:
        diagnosis = doctor(small.parent)
        Path(staging.new).touch()

    assert not [each for each in diagnosis.findings if "leftover" in each.what]


def test_save_that_goes_on_is_a_note(small):
    writer = fastckpt.Writer(small)
    writer.add("new", np.zeros(3))

    diagnosis = doctor(small)

    assert find(diagnosis, "saving here now").severity == "note"
    assert diagnosis.is_healthy
    writer.abort()


def test_leftover_of_a_dead_save_can_be_discarded(small):
    OutputFile(f"{small}.index.tmp-{TOKEN}").close()

    diagnosis = doctor(small)

    finding = find(diagnosis, "leftovers of an interrupted save")
    assert finding.severity == "warning"
    assert finding.todo.startswith(f"fastckpt.discard('{small}')")
    assert diagnosis.checkpoints[0].is_whole


def test_dead_save_with_all_files_can_be_completed(small):
    for path in (f"{small}.index", data_of(small)):
        os.rename(path, f"{path}.tmp-{TOKEN}")

    for path in (small, small.parent):
        finding = find(doctor(path), "can be completed")
        assert finding.severity == "error"
        assert finding.todo.startswith(f"fastckpt.complete('{small}')")


# ---- what is well, and how it prints


HEALTHY = ["tf1_saver", "tf1_partitioned", "tf2_object", "v1_plain", "v1_sharded", "crafted_empty"]


@pytest.mark.parametrize("case", HEALTHY)
def test_what_tensorflow_wrote_is_healthy(case):
    diagnosis = doctor(GOLDEN / case, verify=True)

    assert diagnosis.is_healthy, str(diagnosis)
    assert all(checkpoint.is_whole for checkpoint in diagnosis.checkpoints)


def test_checkpoints_are_told_with_format_and_count():
    plain = doctor(GOLDEN / "v1_plain").checkpoints
    sharded = doctor(GOLDEN / "v1_sharded" / "model.ckpt-5").checkpoints

    assert [(each.format, each.is_whole) for each in plain] == [("V1", True)] * 2
    assert sharded[0].prefix == str(GOLDEN / "v1_sharded" / "model.ckpt-5-?????-of-00003")
    assert sharded[0].tensors == len(fastckpt.read(sharded[0].prefix))


def test_diagnosis_prints_what_where_why_and_what_to_do(prefix):
    os.unlink(f"{prefix}.index")

    lines = str(doctor(prefix)).splitlines()

    assert lines[0] == str(prefix)
    assert "error: index missing" in lines
    assert f"  where: {prefix}.index" in lines
    assert any(line.startswith("  why:   ") for line in lines)
    assert any(line.startswith("  do:    copy") for line in lines)


def test_healthy_diagnosis_says_how_far_it_looked(small):
    assert str(doctor(small)).endswith("healthy (sizes and index; data not read)")
    assert str(doctor(small, verify=True)).endswith("healthy (every byte verified)")


def test_diagnosis_becomes_json(small):
    os.unlink(data_of(small))

    document = json.loads(json.dumps(dataclasses.asdict(doctor(small))))

    assert document["findings"][0]["severity"] == "error"
    assert document["checkpoints"][0]["format"] == "V2"


def test_relative_paths_are_taken_as_they_are(folder, monkeypatch):
    monkeypatch.chdir(folder)

    assert doctor(".").is_healthy
    assert doctor("checkpoint").is_healthy
    assert doctor("run-300").checkpoints[0].prefix == "run-300"


def test_nothing_is_changed_by_looking(folder):
    for path in folder.glob("run-300*"):
        path.unlink()
    (folder / f"run-400.index.tmp-{TOKEN}").touch()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    doctor(folder, verify=True)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
