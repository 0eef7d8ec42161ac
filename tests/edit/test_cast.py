"""Casting tensors to other dtypes."""

import math
import tracemalloc
from fractions import Fraction

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
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import DTYPES, numpy_dtype

import fastckpt
from fastckpt.edit.average import average
from fastckpt.edit.cast import cast

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
