"""`convert`: what is asked of it, which names come out, and what a failure leaves behind."""

import os
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest
from fresh import run

import fastckpt
from fastckpt.interop.convert import convert
from fastckpt.storage.folder import Staging

SUFFIXES = {"npz": ".npz", "safetensors": ".safetensors", "hdf5": ".h5", "zarr": ".zarr"}
VALUES = {
    "dense/bias": np.arange(3, dtype=np.float32),
    "dense/kernel": np.arange(6, dtype=np.float64).reshape(2, 3),
    "step": np.int64(7),
}
each_format = pytest.mark.parametrize("format", SUFFIXES)


@pytest.fixture
def source(tmp_path):
    """A checkpoint of `VALUES`."""
    path = tmp_path / "source.ckpt"
    fastckpt.write(path, VALUES)
    return path


def names_in(path):
    """The names of the tensors in a file of any format."""
    back = path.with_name("names.ckpt")
    convert(path, back)
    with fastckpt.read(back) as checkpoint:
        return list(checkpoint)


def load_back(path):
    """{name: list of the values} of a file of any format."""
    back = path.with_name("back.ckpt")
    convert(path, back)
    return {name: array.tolist() for name, array in fastckpt.load(back).items()}


def lists(values):
    return {name: np.asarray(value).tolist() for name, value in values.items()}


def strangers(folder, *known):
    """What lies in a folder that should not."""
    return [each.name for each in folder.iterdir() if not each.name.startswith(known)]


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


@pytest.mark.parametrize("make", [os.mkdir, lambda path: path.write_text("notes")])
def test_zarr_replaces_nothing_but_zarr(source, tmp_path, make):
    make(tmp_path / "a.zarr")

    with pytest.raises(FileExistsError, match="something else than a zarr group"):
        convert(source, tmp_path / "a.zarr")


def test_zarr_group_is_not_replaced_by_what_is_in_it(source, tmp_path):
    group = tmp_path / "a.zarr"
    convert(source, group)
    fastckpt.write(group / "inside", VALUES)

    with pytest.raises(ValueError, match="would be replaced, and .*inside is in it"):
        convert(group / "inside", group)

    assert (group / "inside.index").exists()


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


@pytest.mark.parametrize("path", ["v1_plain", "tf1_partitioned", "crafted_big_endian"])
def test_checkpoint_of_another_sort_is_converted_whole(golden, tmp_path, path):
    index = next((golden / path).glob("*.index"), None) or next((golden / path).glob("*.ckpt*"))
    with fastckpt.read(index) as checkpoint:
        expected = {name: checkpoint.get_tensor(name, copy=True).tolist() for name in checkpoint}

    convert(index, tmp_path / "a.ckpt", format="checkpoint")
    convert(index, tmp_path / "a.h5", names="keys")

    assert lists(fastckpt.load(tmp_path / "a.ckpt")) == expected
    assert load_back(tmp_path / "a.h5") == expected


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


def test_object_based_checkpoint_gives_readable_names_and_no_bookkeeping(tmp_path):
    tree = {"model": {"kernel": VALUES["dense/kernel"]}}
    fastckpt.write_objects(tmp_path / "a.ckpt", tree)

    convert(tmp_path / "a.ckpt", tmp_path / "a.npz")

    assert names_in(tmp_path / "a.npz") == ["model/kernel"]


def test_slot_variables_come_along_under_readable_names(golden, tmp_path):
    path = next((golden / "tf2_slot_variables").glob("*.index"))
    with fastckpt.read(path) as checkpoint:
        variables = checkpoint.variables
        slots = [name for name in variables if ":" in name]

    convert(path, tmp_path / "a.npz")

    assert slots
    assert set(names_in(tmp_path / "a.npz")) == set(variables) - {
        name for name in variables if name in ("save_counter", "_CHECKPOINTABLE_OBJECT_GRAPH")
    }


def test_keys_are_the_choice_of_who_wants_them(tmp_path):
    fastckpt.write_objects(tmp_path / "a.ckpt", {"w": np.zeros(2)})
    with fastckpt.read(tmp_path / "a.ckpt") as checkpoint:
        keys = [name for name in checkpoint if name.endswith("VARIABLE_VALUE")]

    convert(tmp_path / "a.ckpt", tmp_path / "a.npz", names="keys", exclude="_CHECKPOINTABLE*")

    assert names_in(tmp_path / "a.npz") == keys


def test_between_checkpoints_the_object_graph_goes_along_unless_readable_is_asked_for(tmp_path):
    fastckpt.write_objects(tmp_path / "a.ckpt", {"w": np.zeros(2)})

    convert(tmp_path / "a.ckpt", tmp_path / "b.ckpt", format="checkpoint")
    convert(tmp_path / "a.ckpt", tmp_path / "c.ckpt", format="checkpoint", names="readable")

    assert fastckpt.read(tmp_path / "b.ckpt").object_graph is not None
    assert list(fastckpt.read(tmp_path / "c.ckpt")) == ["w"]


def test_progress_counts_the_bytes_up_to_their_total(source, tmp_path):
    calls = []

    convert(source, tmp_path / "a.npz", progress=lambda done, total: calls.append((done, total)))

    assert calls == [(12, 68), (60, 68), (68, 68)]


# ---- What a failure leaves


def fail_midway(source, target):
    """A conversion whose last tensor is refused when its value is seen."""
    path = source.with_name("fails.ckpt")
    fastckpt.write(path, {"a": np.zeros(9), "z": b"ends with a NUL\0"})
    with pytest.raises(fastckpt.UnsupportedError, match="tensor 'z'.*NUL"):
        convert(path, target)


@pytest.mark.parametrize("format", ["npz", "hdf5", "zarr"])
def test_failure_midway_leaves_what_was_there_and_nothing_else(source, tmp_path, format):
    target = tmp_path / f"a{SUFFIXES[format]}"
    convert(source, target)

    fail_midway(source, target)

    assert load_back(target) == lists(VALUES)
    assert strangers(tmp_path, "source", "fails", "back") == [target.name]


@each_format
def test_exception_in_progress_leaves_what_was_there(source, tmp_path, format):
    target = tmp_path / f"a{SUFFIXES[format]}"
    convert(source, target, rename=[("^", "old/")])

    with pytest.raises(KeyboardInterrupt):
        convert(source, target, progress=interrupt)

    assert names_in(target) == ["old/dense/bias", "old/dense/kernel", "old/step"]
    assert strangers(tmp_path, "source", "names") == [target.name]


def interrupt(done, total):
    raise KeyboardInterrupt


KILLED = """
    import os, sys
    from fastckpt.interop.convert import convert

    def die(done, total):
        if done > total // 3:
            os._exit(9)  # as SIGKILL: nothing is tidied up

    convert(sys.argv[1], sys.argv[2], progress=die)
"""


@each_format
def test_killed_conversion_leaves_the_target_and_the_next_one_cleans_up(source, tmp_path, format):
    target = tmp_path / f"a{SUFFIXES[format]}"
    convert(source, target, rename=[("^", "old/")])

    code = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), source, target])

    assert code.returncode == 9
    assert names_in(target) == ["old/dense/bias", "old/dense/kernel", "old/step"]
    left = strangers(tmp_path, "source", "names")
    assert [".tmp-" in name for name in sorted(left)] == [False, True]
    convert(source, target)
    assert load_back(target) == lists(VALUES)
    assert strangers(tmp_path, "source", "names", "back") == [target.name]


def test_killed_conversion_into_a_checkpoint_leaves_the_old_one(source, tmp_path):
    convert(source, tmp_path / "a.npz")
    fastckpt.write(tmp_path / "b.ckpt", {"old": np.zeros(1)})

    command = [sys.executable, "-c", textwrap.dedent(KILLED)]
    code = subprocess.run([*command, tmp_path / "a.npz", tmp_path / "b.ckpt"])

    assert code.returncode == 9
    assert list(fastckpt.read(tmp_path / "b.ckpt")) == ["old"]


def test_zarr_group_that_a_killed_process_had_taken_away_comes_back(source, tmp_path):
    target = tmp_path / "a.zarr"
    convert(source, target)
    aside = tmp_path / ("a.zarr.tmp-" + "0" * 16)
    aside.mkdir()
    target.rename(aside / "old")

    fail_midway(source, target)

    assert load_back(target) == lists(VALUES)
    assert not aside.exists()


def test_work_of_a_living_process_is_left_alone(source, tmp_path):
    with pytest.raises(KeyboardInterrupt), Staging(str(tmp_path / "a.npz")) as staging:
        with open(staging.new, "w") as file:
            file.write("half")

        convert(source, tmp_path / "a.npz")

        assert os.path.exists(staging.new)
        raise KeyboardInterrupt
    assert strangers(tmp_path, "source") == ["a.npz"]


# ---- In place


@each_format
def test_file_is_converted_into_itself(source, tmp_path, format):
    path = tmp_path / f"a{SUFFIXES[format]}"
    convert(source, path)

    convert(path, path, rename={"step": None})

    assert names_in(path) == ["dense/bias", "dense/kernel"]


def test_checkpoint_is_converted_into_itself(source):
    convert(source, source, format="checkpoint", rename={"step": "global_step"})

    expected = {"global_step" if name == "step" else name: v for name, v in VALUES.items()}
    assert lists(fastckpt.load(source)) == lists(expected)


def test_target_may_lie_in_the_folder_that_is_read(source, tmp_path):
    convert(source, tmp_path / "a.zarr")

    convert(tmp_path / "a.zarr", tmp_path / "a.zarr" / "inside.npz")

    assert load_back(tmp_path / "a.zarr" / "inside.npz") == lists(VALUES)


# ---- Memory

MEMORY = """
    import sys
    import h5py, numcodecs, numpy, zarr  # so that what they take is not counted
    from fastckpt.interop.convert import convert

    def peak():
        with open("/proc/self/status") as status:
            return int(status.read().split("VmHWM:")[1].split()[0]) * 1024

    before = peak()
    convert(sys.argv[1], sys.argv[2])
    print(peak() - before)
"""


@pytest.mark.parametrize("format", SUFFIXES)
def test_conversion_takes_the_memory_of_the_largest_tensor(tmp_path, format):
    size = 32 << 20
    if not os.path.exists("/proc/self/status"):  # where nobody counts: that it works at all
        size = 1 << 20
    random = np.random.default_rng(0)
    with fastckpt.Writer(tmp_path / "a.ckpt") as writer:
        for name in "abcdef":
            writer.add(name, random.integers(0, 256, size, np.uint8).reshape(-1, 1024))
    target = tmp_path / f"a{SUFFIXES[format]}"

    if size == 1 << 20:
        convert(tmp_path / "a.ckpt", target)
        convert(target, tmp_path / "b.ckpt")
    else:
        spare = 64 << 20  # chunks, buffers, and what the libraries keep
        assert int(run(MEMORY, tmp_path / "a.ckpt", target)) < size + spare
        assert int(run(MEMORY, target, tmp_path / "b.ckpt")) < size + spare

    a, b = fastckpt.load(tmp_path / "a.ckpt"), fastckpt.load(tmp_path / "b.ckpt")
    assert all(np.array_equal(a[name], b[name]) for name in "abcdef")


def test_h5py_file_that_was_converted_is_closed(source, tmp_path):
    convert(source, tmp_path / "a.h5")

    convert(tmp_path / "a.h5", tmp_path / "b.ckpt")

    with h5py.File(tmp_path / "a.h5", "r+") as file:  # refused while somebody has it open
        assert "dense" in file
