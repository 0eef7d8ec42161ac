"""`convert`: what is asked of it, and which tensors come out under which names."""

import os
import shutil
import socket
import sys

import numpy as np
import pytest
from formats import SUFFIXES, VALUES, each_format, lists, load_back, names_in

import fastckpt
from fastckpt.interop.convert import convert

# ---- What is refused


def test_source_that_is_not_there_is_not_found_and_near_misses_are_named(source, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"did you mean .*source\.ckpt"):
        convert(tmp_path / "sourse.ckpt", tmp_path / "a.npz")


def test_target_without_a_suffix_needs_a_format(source, tmp_path):
    with pytest.raises(ValueError, match=r"expected a suffix .*\.npz.*safetensors"):
        convert(source, tmp_path / "a.bin")


def test_unknown_format_is_refused(source, tmp_path):
    with pytest.raises(ValueError, match="format: expected one of npz.*got 'pickle'"):
        convert(source, tmp_path / "a.npz", format="pickle")


def test_unknown_sort_of_names_is_refused(source, tmp_path):
    with pytest.raises(ValueError, match="names: expected 'readable' or 'keys', got 'both'"):
        convert(source, tmp_path / "a.npz", names="both")


def test_two_tensors_of_one_name_are_refused(source, tmp_path):
    with pytest.raises(ValueError, match="'dense/bias' and 'dense/kernel' would both be called"):
        convert(source, tmp_path / "a.npz", rename=[("^dense/.*", "x")])


def test_name_in_a_dict_that_no_tensor_has_is_not_found(source, tmp_path):
    with pytest.raises(fastckpt.TensorNotFoundError, match="did you mean 'dense/bias'"):
        convert(source, tmp_path / "a.npz", rename={"dense/bais": "b"})


@pytest.mark.parametrize("which", ["include", "exclude"])
def test_glob_that_matches_no_tensor_is_refused(source, tmp_path, which):
    with pytest.raises(ValueError, match=f"{which}: 'conv/\\*' matches no tensor"):
        convert(source, tmp_path / "a.npz", **{which: "conv/*"})


def test_conversion_of_nothing_is_refused(source, tmp_path):
    with pytest.raises(ValueError, match="no tensor would be left"):
        convert(source, tmp_path / "a.npz", rename=lambda name: None)

    assert not (tmp_path / "a.npz").exists()


def test_file_that_is_something_else_than_its_suffix_says_is_named(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")

    with pytest.raises(fastckpt.FormatError, match="a Git LFS pointer; git lfs install"):
        convert(tmp_path / "a.npz", tmp_path / "a.ckpt")


@pytest.mark.parametrize(("format", "package"), [("hdf5", "h5py"), ("zarr", "zarr")])
def test_missing_package_is_an_error_that_says_how_to_get_it(
    source, tmp_path, monkeypatch, format, package
):
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ImportError, match=rf"{package} is not installed.*'\.\[convert\]'"):
        convert(source, tmp_path / "a", format=format)


@pytest.mark.parametrize("format", ["npz", "safetensors", "hdf5"])
def test_folder_is_not_replaced_by_a_file(source, tmp_path, format):
    (tmp_path / "folder").mkdir()

    with pytest.raises(IsADirectoryError):
        convert(source, tmp_path / "folder", format=format)


# ---- Which format


@each_format
def test_suffix_tells_the_format_of_the_target(source, tmp_path, format):
    convert(source, tmp_path / f"a{SUFFIXES[format].upper()}")
    convert(source, tmp_path / "b", format=format)

    a, b = tmp_path / f"a{SUFFIXES[format].upper()}", tmp_path / "b"
    assert load_back(a) == load_back(b) == lists(VALUES)


@each_format
def test_content_tells_the_format_of_the_source(source, tmp_path, format):
    convert(source, tmp_path / "weights.bin", format=format)

    assert load_back(tmp_path / "weights.bin") == lists(VALUES)


@pytest.mark.parametrize("first", SUFFIXES)
@pytest.mark.parametrize("second", SUFFIXES)
def test_every_format_converts_into_every_format(source, tmp_path, first, second):
    a, b = tmp_path / f"a{SUFFIXES[first]}", tmp_path / f"b{SUFFIXES[second]}"

    convert(source, a)
    convert(a, b)

    assert load_back(b) == lists(VALUES)


def test_prefix_of_a_checkpoint_wins_over_a_file_of_that_name(source, tmp_path):
    np.savez(tmp_path / "both.npz", other=np.zeros(1))
    fastckpt.write(tmp_path / "both.npz", VALUES)

    convert(tmp_path / "both.npz", tmp_path / "a.safetensors")

    assert load_back(tmp_path / "a.safetensors") == lists(VALUES)


def test_open_checkpoint_is_converted_and_stays_open(source, tmp_path):
    with fastckpt.read(source) as checkpoint:
        convert(checkpoint, tmp_path / "a.npz")

        assert checkpoint["step"] == 7
    assert load_back(tmp_path / "a.npz") == lists(VALUES)


# ---- Which tensors, under which names


@each_format
def test_globs_choose_and_rules_rename(source, tmp_path, format):
    target = tmp_path / f"a{SUFFIXES[format]}"

    convert(source, target, exclude="step", rename=[("^dense", "head"), ("kernel", "w")])

    assert names_in(target) == ["head/bias", "head/w"]


def test_none_drops_a_tensor(source, tmp_path):
    convert(source, tmp_path / "a.npz", rename={"step": None, "dense/bias": "b"})

    assert names_in(tmp_path / "a.npz") == ["b", "dense/kernel"]


def test_rules_work_on_the_way_into_a_checkpoint_too(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.zeros(2), b=np.ones(1))

    convert(tmp_path / "a.npz", tmp_path / "a.ckpt", include=["w"], rename=[("^", "dense/")])

    assert list(fastckpt.read(tmp_path / "a.ckpt")) == ["dense/w"]


def test_progress_counts_the_bytes_up_to_their_total(source, tmp_path):
    calls = []

    convert(source, tmp_path / "a.npz", progress=lambda done, total: calls.append((done, total)))

    assert calls == [(12, 68), (60, 68), (68, 68)]


# ---- Sources that the target would replace


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@each_format
@pytest.mark.parametrize("name", ["m.index", "m.data-00001-of-00002"])
@pytest.mark.parametrize("how", ["same", "linked folder", "dots", "hard link"])
def test_file_of_the_source_is_not_replaced(tmp_path, format, name, how):
    (tmp_path / "run").mkdir()
    with fastckpt.Writer(tmp_path / "run" / "m", num_shards=2) as writer:
        for key, value in VALUES.items():
            writer.add(key, value)
    (tmp_path / "alias").symlink_to(tmp_path / "run")
    os.link(tmp_path / "run" / name, tmp_path / "hard")
    places = {
        "same": tmp_path / "run" / name,
        "linked folder": tmp_path / "alias" / name,
        "dots": tmp_path / "alias" / ".." / "run" / name,
        "hard link": tmp_path / "hard",
    }
    before = contents(tmp_path)

    with pytest.raises(ValueError, match=r"would be replaced, and is a file of .*m"):
        convert(tmp_path / "run" / "m", places[how], format=format)

    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("folder", "prefix", "file"),
    [
        ("v1_plain", "model.ckpt-3", "model.ckpt-3"),
        ("v1_sharded", "model.ckpt-5", "model.ckpt-5-00001-of-00003"),
        ("v1_sharded", "model.ckpt-5-?????-of-00003", "model.ckpt-5-00002-of-00003"),
    ],
)
def test_file_of_a_version_1_source_is_not_replaced(golden, tmp_path, folder, prefix, file):
    shutil.copytree(golden / folder, tmp_path / "run")
    before = contents(tmp_path)

    with pytest.raises(ValueError, match="would be replaced, and is a file of"):
        convert(tmp_path / "run" / prefix, tmp_path / "run" / file, format="npz")

    assert contents(tmp_path) == before


def test_source_under_the_name_of_an_index_is_not_replaced(source, tmp_path):
    convert(source, tmp_path / "m.index", format="npz")
    before = contents(tmp_path)

    with pytest.raises(ValueError, match=r"m\.index: would be replaced"):
        convert(tmp_path / "m.index", tmp_path / "m", format="checkpoint")

    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["step/0", "step/.zarray", ".zgroup"])
def test_file_in_a_zarr_group_that_is_read_is_not_replaced(source, tmp_path, name):
    convert(source, tmp_path / "a.zarr")
    before = contents(tmp_path)

    with pytest.raises(ValueError, match="would be replaced, and is a file of"):
        convert(tmp_path / "a.zarr", tmp_path / "a.zarr" / name, format="npz")

    assert contents(tmp_path) == before


# ---- Odd files


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(path.parent, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)


def make_device(path):
    path.symlink_to("/dev/null")


ODD = [(make_pipe, "a pipe"), (make_socket, "a socket"), (make_device, "a device")]
each_odd = pytest.mark.parametrize(("make", "kind"), ODD)


@each_odd
@pytest.mark.parametrize("suffix", [*SUFFIXES.values(), ".keras", ".ckpt"])
def test_odd_file_as_a_source_is_an_error_at_once(tmp_path, make, kind, suffix):
    make(tmp_path / f"a{suffix}")

    with pytest.raises(OSError, match=kind) as raised:
        convert(tmp_path / f"a{suffix}", tmp_path / "out.npz")
    assert raised.value.filename == str(tmp_path / f"a{suffix}")


@each_odd
@each_format
def test_odd_file_as_a_target_stays_as_it_is(source, tmp_path, make, kind, format):
    target = tmp_path / f"a{SUFFIXES[format]}"
    make(target)
    mode = target.lstat().st_mode

    with pytest.raises(OSError, match=f"{kind}|something else than a zarr group"):
        convert(source, target)

    assert target.lstat().st_mode == mode
    assert sorted(each.name for each in tmp_path.iterdir() if "source" not in each.name) == [
        target.name
    ]


@each_format
def test_folder_as_a_source_of_another_format_is_an_error(tmp_path, format):
    (tmp_path / f"a{SUFFIXES[format]}").mkdir()

    with pytest.raises((OSError, fastckpt.CheckpointError)):
        convert(tmp_path / f"a{SUFFIXES[format]}", tmp_path / "out.npz")


@pytest.mark.parametrize("format", ["npz", "safetensors", "hdf5"])
def test_link_to_a_file_is_that_file(source, tmp_path, format):
    convert(source, tmp_path / "blob", format=format)
    (tmp_path / "snapshot").mkdir()
    link = tmp_path / "snapshot" / f"a{SUFFIXES[format]}"
    link.symlink_to("../blob")

    convert(link, tmp_path / "b.ckpt")

    assert lists(fastckpt.load(tmp_path / "b.ckpt")) == lists(VALUES)
