"""Averages and casts: what NumPy computes in float64, rounded once, in bounded memory."""

import errno
import math
import os
import tracemalloc
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import DTYPES, numpy_dtype

import fastckpt
from fastckpt.edit.average import average, cast
from fastckpt.format.dtypes import by_number

RANDOM = np.random.default_rng(11)
FLOATS = ["float16", "float32", "float64", "bfloat16", "float8_e5m2", "float8_e4m3fn",
          "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"]  # fmt: skip
COMPLEX = ["complex64", "complex128"]
ROWS = {row.name: row for number in range(1, 64) if (row := by_number(number))}


def save(prefix, tensors, **options):
    fastckpt.write(prefix, tensors, sync=False, **options)
    return prefix


def save_parts(prefix, starts, value, **others):
    """A checkpoint of one tensor, cut before these rows, and others behind it."""
    with fastckpt.Writer(prefix, num_shards=2, sync=False) as writer:
        for start, stop in zip(starts, [*starts[1:], len(value)], strict=True):
            part = value[start:stop]
            writer.add_slice("w", part, full_shape=value.shape, start=(start, None))
        for name, other in others.items():
            writer.add(name, other)
    return prefix


def read_all(prefix):
    with fastckpt.read(prefix) as checkpoint:
        checkpoint.verify()
        return {name: checkpoint.get_tensor(name, copy=True) for name in checkpoint}


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def values_of(dtype, count=1000):
    return RANDOM.standard_normal(count).astype(dtype)


@pytest.fixture(params=["nothing", "a checkpoint"])
def target(request, tmp_path):
    """A prefix in a folder of its own, which has nothing, or a checkpoint."""
    (tmp_path / "target").mkdir()
    if request.param == "a checkpoint":
        fastckpt.write(tmp_path / "target" / "t", {"old": 1}, num_shards=2, sync=False)
    return tmp_path / "target" / "t"


@pytest.fixture
def sources(tmp_path):
    """Three checkpoints of the same tensors."""
    (tmp_path / "sources").mkdir()
    return [
        save(
            tmp_path / "sources" / str(number),
            {"w": np.full((3, 4), number, np.float32), "step": number, "name": f"no. {number}"},
        )
        for number in (1, 2, 6)
    ]


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
        ([1e308, 1e308, 1e308], ValueError),
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


def rounded(array, dtype):
    """The nearest values of a dtype, as float64: by exact distances, ties to even."""
    if dtype in ("float64", "float32", "complex64", "complex128", "float16"):
        return array.astype(dtype).astype(array.dtype)
    numpy = ROWS[dtype].numpy
    size = numpy.itemsize
    codes = np.arange(2 ** (8 * size), dtype=f"u{size}")
    with np.errstate(invalid="ignore"):
        all_values = codes.view(numpy).astype(np.float64)
    codes = codes[np.isfinite(all_values)]
    order = np.argsort(all_values[np.isfinite(all_values)], kind="stable")
    codes = codes[order]
    line = codes.view(numpy).astype(np.float64)
    flat = array.reshape(-1)
    result = np.empty(flat.shape, codes.dtype)
    for i, value in enumerate(flat):
        at = int(np.clip(np.searchsorted(line, value), 1, len(line) - 1))
        exact = Fraction(value)
        below, above = exact - Fraction(line[at - 1]), Fraction(line[at]) - exact
        if below == above:
            result[i] = codes[at - 1] if codes[at - 1] % 2 == 0 else codes[at]
        else:
            result[i] = codes[at - 1] if below < above else codes[at]
    return result.view(numpy).reshape(array.shape).astype(np.float64)


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


# ---- cast: refused


@pytest.mark.parametrize(
    "dtype", ["string", "bool", "qint8", "variant", "float4_e2m1fn", "none", None, object, 5, "U3"]
)
def test_what_is_no_dtype_of_numbers_is_refused(sources, target, dtype):
    before = snapshot(target.parent)

    with pytest.raises(TypeError, match="cast: expected a dtype of numbers"):
        cast(sources[0], target, {"w": dtype})

    assert snapshot(target.parent) == before


@pytest.mark.parametrize(
    ("dtypes", "error"),
    [
        ({"none": "float16"}, ValueError),
        ({"w": "float16", "none": "float16"}, ValueError),
        ({"step": "float16"}, ValueError),
        ({"name": "float16"}, ValueError),
        ({"w": "int32"}, ValueError),
        ({5: "float16"}, TypeError),
        (["w"], TypeError),
        ("float16", TypeError),
    ],
)
def test_globs_that_change_nothing_are_refused(sources, target, dtypes, error):
    before = snapshot(target.parent)

    with pytest.raises(error):
        cast(sources[0], target, dtypes)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.float32(65520), "float16"),
        (np.float64(-1e39), "float32"),
        (np.float64(1e39), "bfloat16"),
        (np.float32(480), "float8_e4m3fn"),
        (np.float32(np.inf), "float8_e4m3fn"),
        (np.float32(1e5), "float8_e5m2"),
        (np.complex128(1e39j), "complex64"),
        (np.int64(128), "int8"),
        (np.int64(-129), "int8"),
        (np.int64(-1), "uint64"),
        (np.uint64(2**63), "int64"),
        (np.int32(8), "int4"),
        (np.int32(-9), "int4"),
        (np.uint8(4), "uint2"),
    ],
)
def test_number_that_does_not_fit_is_named_and_refused(tmp_path, target, value, dtype):
    save(
        tmp_path / "a", {"w": np.array([0, value], value.dtype), "other": np.zeros(3, value.dtype)}
    )
    before = snapshot(target.parent)

    with pytest.raises(ValueError, match=f"a: tensor 'w': {dtype} cannot hold"):
        cast(tmp_path / "a", target, {"*": dtype})

    assert snapshot(target.parent) == before


# ---- cast: the result


@pytest.mark.parametrize(
    "dtype",
    ["bfloat16", ml_dtypes.bfloat16, np.dtype(ml_dtypes.bfloat16)],
    ids=["name", "type", "dtype"],
)
def test_dtype_may_be_given_in_any_way(sources, target, dtype):
    cast(sources[2], target, {"w": dtype})

    found = read_all(target)
    assert found["w"].dtype == ml_dtypes.bfloat16
    assert (found["w"] == 6).all()
    assert (found["step"].item(), found["name"].item()) == (6, b"no. 6")


@pytest.mark.parametrize("dtype", ["<f2", ">f2", np.float16, np.dtype(">f2"), "half"])
def test_dtype_may_be_numpys(sources, target, dtype):
    cast(sources[2], target, {"w": dtype})

    assert read_all(target)["w"].dtype == np.float16


def test_first_glob_counts_and_changes_its_kind_only(tmp_path, target):
    tensors = {
        "a": [0.5], "b": [0.5], "c": np.float32([0.5]), "i": np.int64([1]), "t": True, "s": "x",
        "z": [1j],
    }  # fmt: skip
    save(tmp_path / "a", tensors)

    cast(tmp_path / "a", target, {"a": "float64", "b": "float16", "*": "bfloat16", "?": "int32"})

    with fastckpt.read(target) as checkpoint:
        found = {info.name: info.tf_dtype for info in checkpoint.infos()}
    assert found == {
        "a": "float64", "b": "float16", "c": "bfloat16", "i": "int32", "t": "bool", "s": "string",
        "z": "complex128",
    }  # fmt: skip


@pytest.mark.parametrize("source", FLOATS)
@pytest.mark.parametrize("target_dtype", FLOATS)
def test_every_float_is_cast_to_every_other(tmp_path, source, target_dtype):
    value = (values_of(np.float64, 300) * 3).astype(ROWS[source].numpy)
    save(tmp_path / "a", {"w": value, "scalar": value[0], "empty": value[:0]})

    cast(tmp_path / "a", tmp_path / "b", {"*": target_dtype})

    found = read_all(tmp_path / "b")
    expected = rounded(value.astype(np.float64), target_dtype)
    np.testing.assert_array_equal(found["w"].astype(np.float64), expected.astype(np.float64))
    assert found["scalar"].shape == ()
    assert (found["empty"].shape, found["empty"].dtype) == ((0,), ROWS[target_dtype].numpy)


@settings(max_examples=300, deadline=None)
@given(
    value=st.floats(
        width=64, allow_nan=False, allow_infinity=False, min_value=-1e38, max_value=1e38
    ),
    near=st.sampled_from([0, 1, -1]),
    bits=st.integers(20, 52),
)
def test_bfloat16_is_the_nearest(tmp_path_factory, value, near, bits):
    folder = tmp_path_factory.mktemp("nearest")
    tie = (np.float32(value).view(np.uint32) & np.uint32(0xFFFF0000) | np.uint32(0x8000)).view("f4")
    value = float(tie) * (1 + near * 2.0**-bits)
    save(folder / "a", {"w": [value]})

    cast(folder / "a", folder / "b", {"w": "bfloat16"})

    found = read_all(folder / "b")["w"]
    assert found.view(np.uint16) == rounded_bfloat16(value)


def rounded_bfloat16(value):
    """The bits of the nearest bfloat16: of the three around its float32, by exact distance."""
    high = int(np.float32(value).view(np.uint32)) >> 16
    codes = np.array([high - 1, high, high + 1], np.int64).clip(0, 0xFFFF).astype(np.uint16)
    codes = codes[np.isfinite(codes.view(ml_dtypes.bfloat16).astype(float))]
    values = codes.view(ml_dtypes.bfloat16).astype(float)
    exact = Fraction(value)
    return min(
        zip(codes.tolist(), values, strict=True),
        key=lambda each: (
            math.copysign(1, each[1]) != math.copysign(1, value),
            abs(Fraction(each[1]) - exact),
            each[0] % 2,
        ),
    )[0]


def test_partitioned_tensor_stays_partitioned(golden, tmp_path):
    source = golden / "tf1_partitioned" / "model.ckpt"

    cast(source, tmp_path / "out", {"*": "float16"})

    with fastckpt.read(source) as old, fastckpt.read(tmp_path / "out") as new:
        assert any(info.slices for info in old.infos())
        for info in old.infos():
            dtype = np.float16 if info.tf_dtype == "float32" else info.dtype
            assert new.info(info.name).slices == info.slices
            assert new[info.name].dtype == dtype
            np.testing.assert_array_equal(new[info.name], old[info.name].astype(dtype))


def test_large_tensor_is_cast_in_the_memory_of_both(tmp_path):
    count = 2_000_000
    save(tmp_path / "a", {"w": np.full(count, 1 / 3)})
    cast(tmp_path / "a", tmp_path / "b", {"w": "bfloat16"})  # so that everything is imported

    tracemalloc.start()
    cast(tmp_path / "a", tmp_path / "b", {"w": "bfloat16"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < (8 + 2) * count + (8 << 20)
    assert (read_all(tmp_path / "b")["w"] == np.float32(1 / 3).astype(ml_dtypes.bfloat16)).all()


def test_destination_of_a_cast_may_be_the_source(sources):
    cast(sources[0], sources[0], {"w": "float16"})

    assert read_all(sources[0])["w"].dtype == np.float16
    assert (read_all(sources[0])["w"] == 1).all()


def test_tensorflow_reads_averages_and_casts(oracle, tmp_path):
    known = set(oracle.dtypes) & set(DTYPES)
    floats = [name for name in [*FLOATS, *COMPLEX] if name in known]
    tensors = {name: values_of(ROWS[name].numpy, 20) for name in floats}
    save_parts(tmp_path / "a", [0, 3], np.ones((5, 4), np.float32), **tensors, s="x", i=1)

    average([tmp_path / "a"] * 2, tmp_path / "mean")
    cast(tmp_path / "a", tmp_path / "cast", {"*": "bfloat16", "complex*": "complex64"})

    mean, made = oracle.read(tmp_path / "mean"), oracle.read(tmp_path / "cast")
    assert mean == oracle.read(tmp_path / "a")
    for name in ("float16", "float32", "float64", "bfloat16"):
        dtype, shape, data = made[name.encode()]
        assert (dtype, shape) == ("bfloat16", (20,))
        expected = rounded(tensors[name].astype(np.float64), "bfloat16")
        np.testing.assert_array_equal(np.frombuffer(data, numpy_dtype("bfloat16")), expected)
    assert made[b"complex128"][0] == "complex64"
    assert made[b"w"] == ("bfloat16", (5, 4), np.ones(20, ml_dtypes.bfloat16).tobytes())
