"""Averages and casts: what NumPy computes in float64, rounded once, in bounded memory."""

import errno
import math
import os
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from averaging import (
    COMPLEX,
    FLOATS,
    ROWS,
    read_all,
    rounded,
    save,
    save_parts,
    snapshot,
    values_of,
)

import fastckpt
from fastckpt.edit.average import average
from fastckpt.edit.cast import cast

# ---- average: refused, and nothing changed


def test_single_path_is_a_type_error(sources, target):
    before = snapshot(target.parent)

    for single in (sources[0], str(sources[0]), os.fsencode(sources[0])):
        with pytest.raises(TypeError, match="single"):
            average(single, target)
    with fastckpt.read(sources[0]) as checkpoint, pytest.raises(TypeError, match="single"):
        average(checkpoint, target)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ([1, 2], ValueError),
        ([1, 2, 3, 4], ValueError),
        ([], ValueError),
        ([1, -1, 1], ValueError),
        ([0, 0, 0], ValueError),
        ([1, math.nan, 1], ValueError),
        ([1, math.inf, 1], ValueError),
        (["x", 1, 1], ValueError),
        ([None, 1, 1], TypeError),
        (1, TypeError),
    ],
)
def test_weights_that_cannot_be_are_refused(sources, target, weights, error):
    before = snapshot(target.parent)

    with pytest.raises(error):
        average(sources, target, weights=weights)

    assert snapshot(target.parent) == before


def test_no_sources_are_refused(target):
    with pytest.raises(ValueError, match="one source or more"):
        average([], target)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_tensor_that_one_source_lacks_is_named_with_the_file(sources, target, place):
    save(sources[place], {"w": np.zeros((3, 4), np.float32), "step": 1})
    before = snapshot(target.parent)

    with pytest.raises(
        fastckpt.TensorNotFoundError, match=f"sources/{sources[place].name}.*'name'"
    ):
        average(sources, target)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("value", [np.zeros((3, 4)), np.zeros((4, 3), np.float32)])
def test_tensor_that_differs_is_named_with_the_file(sources, target, value):
    save(sources[1], {"w": value, "step": 1, "name": ""})
    before = snapshot(target.parent)

    with pytest.raises(ValueError, match="sources/2: tensor 'w': expected dtype float32"):
        average(sources, target)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("place", [0, 2])
def test_wrong_byte_of_a_source_is_a_checksum_error(sources, target, place):
    with fastckpt.read(sources[place]) as checkpoint:
        offset = checkpoint.info("w").offset
    with open(f"{sources[place]}.data-00000-of-00001", "r+b") as file:
        file.seek(offset)
        file.write(b"\x7f")
    before = snapshot(target.parent)

    with pytest.raises(fastckpt.ChecksumError, match="'w'"):
        average(sources, target)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("name", ["fsync", "replace", "write"])
def test_error_of_the_system_leaves_what_was_there(sources, target, monkeypatch, name):
    def refuse(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = snapshot(target.parent)
    monkeypatch.setattr(os, name, refuse)

    with pytest.raises(OSError, match="No space left"):
        average(sources, target)
    with pytest.raises(OSError, match="No space left"):
        cast(sources[0], target, {"w": "float16"})

    assert snapshot(target.parent) == before


def test_broken_checkpoints_never_fail_otherwise(golden, tmp_path):
    indexes = sorted(golden.glob("corrupt/*/*.index"))
    assert len(indexes) > 30

    for index in indexes:
        for make in (lambda src, dst: average([src, src], dst),
                     lambda src, dst: cast(src, dst, {"*": "float16"})):  # fmt: skip
            try:
                make(index.with_suffix(""), tmp_path / "out")
            except (fastckpt.CheckpointError, OSError, ValueError):
                assert not list(tmp_path.glob("out.*.tmp-*"))


# ---- average: the result


def test_average_is_of_numbers_and_the_rest_is_the_last_ones(sources, target):
    average(sources, target)

    found = read_all(target)
    assert found["w"].dtype == np.float32
    np.testing.assert_array_equal(found["w"], np.full((3, 4), 3, np.float32))
    assert (found["step"].item(), found["name"].item()) == (6, b"no. 6")


@pytest.mark.parametrize("dtype", FLOATS + COMPLEX)
def test_average_is_numpys_in_float64_rounded_once(tmp_path, dtype):
    arrays = [values_of(ROWS[dtype].numpy).reshape(10, 100) for _ in range(5)]
    paths = [save(tmp_path / str(i), {"w": array}) for i, array in enumerate(arrays)]
    wide = np.complex128 if dtype in COMPLEX else np.float64

    average(paths, tmp_path / "mean")
    average(paths, tmp_path / "weighted", weights=[1, 2, 0.25, 3, 0.1])

    stack = np.stack([array.astype(wide) for array in arrays]).view(np.float64)
    weighted = np.average(stack, axis=0, weights=[1, 2, 0.25, 3, 0.1])
    for name, expected in [("mean", stack.mean(axis=0)), ("weighted", weighted)]:
        found = read_all(tmp_path / name)["w"]
        assert found.dtype == ROWS[dtype].numpy
        np.testing.assert_array_equal(found.astype(wide), rounded(expected.view(wide), dtype))


@pytest.mark.parametrize("value", [1 + 2.0**-8 + 2.0**-30, -(1 + 3 * 2.0**-8 - 2.0**-40)])
def test_rounding_twice_would_take_the_wrong_side(tmp_path, value):
    """A float64 next to a tie of bfloat16, which float32 rounds to the tie."""
    save(tmp_path / "a", {"w": [value]})

    cast(tmp_path / "a", tmp_path / "b", {"w": "bfloat16"})

    assert read_all(tmp_path / "b")["w"] == rounded(np.array([value]), "bfloat16")
    assert read_all(tmp_path / "b")["w"] != np.float32(value).astype(ml_dtypes.bfloat16)


def test_infinite_complex_numbers_stay(tmp_path, target):
    value = np.array([complex(np.inf, 1), complex(2, -np.inf)])
    save(tmp_path / "a", {"w": value})

    average([tmp_path / "a"] * 2, target, weights=[1, 3])

    np.testing.assert_array_equal(read_all(target)["w"], value)


def test_weight_of_nothing_counts_for_nothing(sources, target):
    save(sources[0], {"w": np.full((3, 4), np.nan, np.float32), "step": 1, "name": ""})

    average(sources, target, weights=[0, 1, 0])

    assert (read_all(target)["w"] == 2).all()
    assert read_all(target)["step"].item() == 6


def test_average_of_one_is_the_same(sources, target):
    value = values_of(np.float64)
    save(sources[0], {"w": value})

    average(sources[:1], target, weights=[0.1])

    np.testing.assert_array_equal(read_all(target)["w"], value)


def test_infinities_and_nans_stay(tmp_path, target):
    save(tmp_path / "a", {"w": [np.inf, np.inf, np.nan, 1.0]})
    save(tmp_path / "b", {"w": [np.inf, -np.inf, 1.0, 3.0]})

    average([tmp_path / "a", tmp_path / "b"], target)

    np.testing.assert_array_equal(read_all(target)["w"], [np.inf, np.nan, np.nan, 2])


@pytest.mark.parametrize("place", [0, 2])
def test_destination_may_be_a_source_which_somebody_reads(sources, place):
    with fastckpt.read(sources[place]) as checkpoint:
        view = checkpoint["w"]

        average(sources, sources[place])

        assert (view == [1, 2, 6][place]).all()
    assert (read_all(sources[place])["w"] == 3).all()


def test_order_slices_and_files_are_those_of_the_last(tmp_path, target):
    value = np.arange(40, dtype=np.float32).reshape(10, 4)
    one = save(tmp_path / "1", {"w": value, "z": [1.0], "a": [1.0]})
    two = save_parts(tmp_path / "2", [0, 3], value + 1, z=[1.0], a=[1.0])
    three = save_parts(tmp_path / "3", [0, 5, 6], value + 2, z=[1.0], a=[3.0])

    average([one, two, three], target)

    with fastckpt.read(target) as new, fastckpt.read(three) as last:
        np.testing.assert_array_equal(new["w"], value + 1)
        assert new.info("w").slices == last.info("w").slices
        assert new.num_shards == last.num_shards == 2
        assert new.info("z").offset < new.info("a").offset or (
            new.info("z").shard != new.info("a").shard
        )


@pytest.mark.parametrize(
    "case",
    ["crafted_big_endian/ckpt", "v1_partitioned/vars.ckpt", "v1_partitioned/tiles.ckpt",
     "v1_dtypes/model.ckpt", "tf2_dtypes/ckpt", "tf1_partitioned/model.ckpt",
     "tf1_sharded/model.ckpt-7", "tf2_variant/ckpt", "tf2_object/obj-2"],
)  # fmt: skip
def test_average_of_a_checkpoint_with_itself_is_the_same(golden, tmp_path, case):
    average([golden / case] * 2, tmp_path / "out")

    with fastckpt.read(golden / case) as old, fastckpt.read(tmp_path / "out") as new:
        new.verify()
        assert list(new) == list(old)
        for info in old.infos():
            assert new.info(info.name).slices == info.slices
            assert new.info(info.name).tf_dtype == info.tf_dtype
            if info.tf_dtype != "variant":
                np.testing.assert_array_equal(new[info.name], old[info.name])


def test_large_tensors_are_averaged_in_little_memory(tmp_path):
    count = 4_000_000
    arrays = [np.full(count, i, np.float32) for i in range(3)]
    paths = [save(tmp_path / str(i), {"w": a}) for i, a in enumerate(arrays)]
    expected = np.float32(1)
    del arrays
    average(paths, tmp_path / "out")  # so that everything is imported

    tracemalloc.start()
    average(paths, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4 * count + (24 << 20)
    assert (read_all(tmp_path / "out")["w"] == expected).all()


# ---- no infinity, zero or sign that the sources do not have


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [
        ([1.7e308, 1.7e308], None, 1.7e308),
        ([1.7e308, 1.0e308], None, 1.35e308),
        ([1e308, 1e308, 1e308], None, 1e308),
        ([-1.7e308, -1.7e308, 1.7e308], None, -1.7e308 / 3),
        ([5e-324, 5e-324], [0.3, 0.7], 5e-324),
        ([5e-324] * 4, [1, 0.4, 0.4, 0.4], 5e-324),
        ([30.0, 30.0], [8e307, 8e307], 30.0),
        ([30.0, 60.0, 90.0], [1e308, 1e308, 1e308], 60.0),
        ([0.5, 0.5], [5e-324, 5e-324], 0.5),
        ([1.0, 2.0], [2e-310, 6e-310], 1.75),
    ],
)
def test_average_near_the_ends_of_a_double(tmp_path, values, weights, expected):
    paths = [save(tmp_path / str(i), {"x": [value]}) for i, value in enumerate(values)]
    average(paths, tmp_path / "out", weights=weights)
    found = read_all(tmp_path / "out")["x"][0]
    assert found == pytest.approx(expected, rel=1e-14, abs=0)
    assert min(values) <= found <= max(values)


@pytest.mark.parametrize(
    ("values", "is_negative"),
    [([-0.0, -0.0], True), ([0.0, -0.0], False), ([0.0, 0.0], False), ([-5e-324, -0.0], True)],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_sign_of_zero_is_that_of_the_sum(tmp_path, values, is_negative, dtype):
    paths = [save(tmp_path / str(i), {"x": dtype([value])}) for i, value in enumerate(values)]
    average(paths, tmp_path / "out")
    assert np.signbit(read_all(tmp_path / "out")["x"][0]) == is_negative


def test_infinities_and_nans_stay_what_they_are(tmp_path):
    one = save(tmp_path / "1", {"x": [math.inf, -math.inf, math.inf, math.nan, 1.7e308]})
    two = save(tmp_path / "2", {"x": [1.0, -math.inf, -math.inf, 1.0, math.inf]})
    average([one, two], tmp_path / "out")
    np.testing.assert_array_equal(
        read_all(tmp_path / "out")["x"], [math.inf, -math.inf, math.nan, math.nan, math.inf]
    )


NANS = {
    "double": np.array([0x7FF4000000000001, 1 << 63, 1], np.uint64).view(np.float64),
    "single": np.array([0x7FA00001, 0xFFC12345, 0x80000000, 1], np.uint32).view(np.float32),
    "half": np.array([0x8000, 0x7D01, 0xFE01, 1], np.uint16).view(np.float16),
    "bfloat16": np.array([0x8000, 0x7FA1, 0xFFC1, 1], np.uint16).view(ml_dtypes.bfloat16),
    "complex": np.array([complex(-0.0, -0.0), complex(0.0, -0.0)], np.complex64),
}


@pytest.mark.parametrize(
    ("sources", "weights"), [(["m"], None), (["m"], [3.0]), (["other", "m"], [0, 1])]
)
def test_average_of_one_source_is_bit_exact(tmp_path, sources, weights):
    save(tmp_path / "m", NANS)
    save(tmp_path / "other", {name: np.ones_like(value) for name, value in NANS.items()})
    average([tmp_path / source for source in sources], tmp_path / "out", weights=weights)
    found = read_all(tmp_path / "out")
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in NANS.items()
    }


def test_slices_are_looked_up_once_for_each_source(tmp_path, monkeypatch):
    def make(path):
        with fastckpt.Writer(path, sync=False) as writer:
            for i in range(50):
                writer.add_slice("v", np.full((1, 4), i * 1.0), full_shape=(50, 4), start=(i, 0))
        return path

    from fastckpt.bundle import tensors

    calls = []
    decode = tensors.decode_entry
    monkeypatch.setattr(tensors, "decode_entry", lambda *args: calls.append(1) or decode(*args))
    average([make(tmp_path / "1"), make(tmp_path / "2")], tmp_path / "out")

    assert len(calls) <= 12 * 50, "each slice asks for all slices"
    assert read_all(tmp_path / "out")["v"][:, 0].tolist() == list(range(50))
