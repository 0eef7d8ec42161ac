"""`convert`: what failures leave behind, sources with changed bytes, memory."""

import os
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from formats import MIXED, SUFFIXES, VALUES, each_format, lists, load_back, names_in, outcome
from fresh import run

import fastckpt
from fastckpt.interop.convert import convert
from fastckpt.storage.folder import Staging

# ---- What a failure leaves


def strangers(folder, *known):
    """What lies in a folder that should not."""
    return [each.name for each in folder.iterdir() if not each.name.startswith(known)]


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


@each_format
def test_file_is_converted_into_itself(source, tmp_path, format):
    path = tmp_path / f"a{SUFFIXES[format]}"
    convert(source, path)

    convert(path, path, rename={"step": None})

    assert names_in(path) == ["dense/bias", "dense/kernel"]


def test_target_may_lie_in_the_folder_that_is_read(source, tmp_path):
    convert(source, tmp_path / "a.zarr")

    convert(tmp_path / "a.zarr", tmp_path / "a.zarr" / "inside.npz")

    assert load_back(tmp_path / "a.zarr" / "inside.npz") == lists(VALUES)


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


# ---- Bytes cut and changed


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".h5"])
def test_file_cut_anywhere_is_an_error(tmp_path, suffix):
    fastckpt.write(tmp_path / "a.ckpt", MIXED)
    whole = tmp_path / f"whole{suffix}"
    convert(tmp_path / "a.ckpt", whole)
    data = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"

    outcomes = set()
    for size in range(0, len(data), 1 + len(data) // 300):
        cut.write_bytes(data[:size])
        outcomes.add(outcome(cut, tmp_path / "target.ckpt"))

    assert outcomes <= {fastckpt.FormatError, fastckpt.UnsupportedError, FileNotFoundError}
    assert not (tmp_path / "target.ckpt.index").exists()


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_changed_bytes_are_an_error_or_other_values(tmp_path, suffix):
    fastckpt.write(tmp_path / "a.ckpt", MIXED)
    whole = tmp_path / f"whole{suffix}"
    convert(tmp_path / "a.ckpt", whole)
    data = whole.read_bytes()
    dice = random.Random(0)

    outcomes = set()
    for _ in range(800):
        changed = bytearray(data)
        for _ in range(dice.choice([1, 1, 2, 8])):
            changed[dice.randrange(len(data))] = dice.choice(
                [0, 1, 0x22, 0x7F, 0xFF, dice.randrange(256)]
            )
        whole.write_bytes(changed)
        outcomes.add(outcome(whole, tmp_path / "target.ckpt"))

    assert {None, fastckpt.FormatError} <= outcomes
