"""What every format can hold: each dtype there and back, bit for bit, or an error that names it."""

import errno
import os
from contextlib import closing

import h5py
import numpy as np
import pytest
from formats import (
    FIXED,
    HELD,
    NUMPYS,
    QUANTIZED,
    SMALL,
    SUFFIXES,
    bits,
    describe,
    each_format,
    make_group,
    round_trip,
    strings,
    write_raw,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastckpt
from fastckpt.errors import Fault
from fastckpt.interop.base import Budget, as_format_error, parsing
from fastckpt.interop.convert import convert
from fastckpt.storage.streams import ReadStream, open_file

CASES = [(format, row) for format in SUFFIXES for row in FIXED]
SHAPES = [(), (1,), (257,), (3, 1, 5), (0,), (2, 0, 3)]


# ---- Dtypes


def test_tables_of_this_file_have_every_dtype():
    assert len(NUMPYS) == 14 and len(QUANTIZED) == 5 and len(SMALL) == 11


@pytest.mark.parametrize(("format", "row"), CASES, ids=lambda each: getattr(each, "name", each))
def test_dtype_comes_back_bit_for_bit_or_is_refused_by_name(tmp_path, format, row):
    arrays = {f"t/{i}": bits(row, shape) for i, shape in enumerate(SHAPES)}
    write_raw(tmp_path / "a.ckpt", row, arrays)
    target = tmp_path / f"a{SUFFIXES[format]}"

    if row.name not in HELD[format]:
        with pytest.raises(
            fastckpt.UnsupportedError, match=f"tensor 't/0': .* no dtype {row.name}"
        ):
            convert(tmp_path / "a.ckpt", target)
        assert not target.exists()
        return
    convert(tmp_path / "a.ckpt", target)
    convert(target, tmp_path / "b.ckpt")

    assert describe(tmp_path / "b.ckpt") == describe(tmp_path / "a.ckpt")


@each_format
def test_variant_is_refused_by_name(golden, tmp_path, format):
    path = next((golden / "tf2_variant").glob("*.index"))
    with fastckpt.read(path) as checkpoint:
        name = next(info.name for info in checkpoint.infos() if info.tf_dtype == "variant")

    with pytest.raises(fastckpt.UnsupportedError, match=f"tensor '{name}'.*variant"):
        convert(path, tmp_path / f"a{SUFFIXES[format]}", names="keys", include=name)


@pytest.mark.parametrize("format", ["npz", "hdf5", "zarr"])
def test_strings_come_back(tmp_path, format):
    values = {
        "scalar": b"caf\xc3\xa9",
        "empty": b"",
        "bytes": strings(b"\xff\xfe", b"", b"long" * 9, b" ", shape=(2, 2)),
        "none": strings(shape=(0, 3)),
    }

    before, after = round_trip(tmp_path, values, format)

    assert after == before


@pytest.mark.parametrize(
    ("format", "value", "problem"),
    [
        ("npz", strings(b"a", b"b\0"), "loses the NULs at the end"),
        ("hdf5", strings(b"a", b"b\0c"), "ends at its first NUL"),
        ("zarr", b"a\0", "loses the NULs at the end"),
        ("safetensors", b"a", "no dtype string; leave the tensor out with exclude$"),
        ("npz", strings(b"a" * (1 << 20), *[b""] * 99), "all its 100 strings would take"),
    ],
)
def test_strings_that_would_not_come_back_are_refused(tmp_path, format, value, problem):
    with pytest.raises(fastckpt.UnsupportedError, match=f"tensor 's': .*{problem}"):
        round_trip(tmp_path, {"s": value}, format)


@pytest.mark.parametrize("format", ["npz", "hdf5", "zarr"])
def test_text_that_others_wrote_becomes_strings(tmp_path, format):
    path = tmp_path / f"a{SUFFIXES[format]}"
    text = np.array(["é", "longer"])
    if format == "npz":
        np.savez(path, s=text)
    elif format == "zarr":
        make_group(path).create_array("s", data=text)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("s", data=np.char.encode(text, "utf-8"))

    convert(path, tmp_path / "a.ckpt")

    assert fastckpt.load(tmp_path / "a.ckpt")["s"].tolist() == ["é".encode(), b"longer"]


@pytest.mark.parametrize("format", ["npz", "hdf5", "zarr"])
def test_big_endian_and_fortran_order_arrays_are_read_as_values(tmp_path, format):
    path = tmp_path / f"a{SUFFIXES[format]}"
    value = np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))
    if format == "npz":
        np.savez_compressed(path, x=value)
    elif format == "zarr":
        make_group(path).create_array("x", data=value)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=value, compression="gzip")

    convert(path, tmp_path / "a.ckpt")

    assert fastckpt.load(tmp_path / "a.ckpt")["x"].tolist() == [[0, 1, 2], [3, 4, 5]]


# ---- Names

ODD = ["é/ü", "a b", "x:0", "😀", "..c", "a.b/c-d_e", "model/w/.ATTRIBUTES/VARIABLE_VALUE", "~"]


@each_format
@pytest.mark.parametrize("name", ODD)
def test_name_comes_back(tmp_path, format, name):
    before, after = round_trip(tmp_path, {name: np.zeros(2)}, format)

    assert after == before


@each_format
def test_name_that_is_no_text_is_refused(tmp_path, format):
    with pytest.raises(fastckpt.UnsupportedError, match=r"tensor 'x\\udcff': a name in .* UTF-8"):
        round_trip(tmp_path, {"x\udcff": np.zeros(2)}, format)


@pytest.mark.parametrize("format", ["npz", "safetensors"])
@pytest.mark.parametrize("name", ["a//b", "/a", "a/", ".", "a/../b", "zarr.json"])
def test_name_that_is_no_path_is_kept_where_names_are_no_paths(tmp_path, format, name):
    before, after = round_trip(tmp_path, {name: np.zeros(2), "a": np.ones(1)}, format)

    assert after == before


@pytest.mark.parametrize("format", ["hdf5", "zarr"])
@pytest.mark.parametrize("name", ["a//b", "/a", "a/", ".", "a/../b"])
def test_name_that_is_no_path_is_refused_where_names_are_paths(tmp_path, format, name):
    with pytest.raises(fastckpt.UnsupportedError, match="cannot have .* in a path.*rename"):
        round_trip(tmp_path, {name: np.zeros(2)}, format)


@pytest.mark.parametrize("format", ["hdf5", "zarr"])
def test_tensor_inside_of_another_one_is_refused(tmp_path, format):
    values = {"a/w": np.zeros(2), "a/w/Adam": np.zeros(2)}

    with pytest.raises(fastckpt.UnsupportedError, match="tensor 'a/w/Adam': .* inside of .*'a/w'"):
        round_trip(tmp_path, values, format)


@pytest.mark.parametrize(
    ("format", "name"), [("safetensors", "__metadata__"), ("zarr", "a/.zarray")]
)
def test_reserved_name_is_refused(tmp_path, format, name):
    with pytest.raises(fastckpt.UnsupportedError, match=name):
        round_trip(tmp_path, {name: np.zeros(2)}, format)


@each_format
def test_checkpoint_of_no_tensors_comes_back(tmp_path, format):
    before, after = round_trip(tmp_path, {}, format)

    assert before == after == {}


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@pytest.mark.parametrize("format", ["npz", "safetensors", "hdf5"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names=st.lists(NAMES, min_size=1, max_size=6, unique=True))
def test_any_names_come_back_or_are_refused(tmp_path, format, names):
    values = {name: np.float32(i) for i, name in enumerate(names)}
    try:
        before, after = round_trip(tmp_path, values, format)
    except fastckpt.UnsupportedError as error:
        assert format == "hdf5" or "__metadata__" in names, error
        return

    assert after == before


# ---- Memory and errors of other libraries


def test_budget_is_a_multiple_of_the_source_and_a_spare():
    budget = Budget("path", 1000)
    spare = 64 << 20

    budget.check("tensor 'x'", 8 * 1000 + spare)
    budget.check_objects("tensor 'x'", 1000, 64)
    budget.check_objects("tensor 'x'", 64 * 1000 + spare, 1)
    for check in (
        lambda: budget.check("tensor 'x'", 8 * 1000 + spare + 1),
        lambda: budget.check_objects("tensor 'x'", 64 * 1000 + spare + 1, 1),
    ):
        with pytest.raises(
            fastckpt.FormatError, match="^path: tensor 'x': .* 1000 bytes"
        ) as raised:
            check()
        assert raised.value.fault is Fault.TOO_LARGE


def test_budget_of_the_caller_replaces_both_bounds():
    budget = Budget("path", 10**9, 100)

    budget.check("x", 100)
    budget.check_objects("x", 10, 10)
    with pytest.raises(fastckpt.FormatError):
        budget.check("x", 101)
    with pytest.raises(fastckpt.FormatError):
        budget.check_objects("x", 101, 1)


class OddError(Exception):
    """What a library may raise that nobody knows."""


@pytest.mark.parametrize("error", [OddError("why"), KeyError("why"), RecursionError("why")])
def test_any_exception_of_a_parser_is_a_format_error_with_its_cause(error):
    broken = pytest.raises(fastckpt.FormatError, match="^path: what: .*why")
    with broken as raised, as_format_error("path", "what"):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        fastckpt.UnsupportedError("path", "what", "why"),
        MemoryError(),
        KeyboardInterrupt(),
        OSError(errno.EIO, "input/output error"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_errors_that_mean_something_pass_a_parser(error):
    with pytest.raises(type(error)) as raised, as_format_error("path", "what"):
        raise error
    assert raised.value is error


def test_error_of_a_stream_comes_before_that_of_its_parser(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 100)
    with closing(open_file(str(tmp_path / "file"))) as file:
        stream = ReadStream(file)
        os.truncate(tmp_path / "file", 10)

        shrank = pytest.raises(fastckpt.FormatError, match="shrank")
        with shrank, parsing("path", "what", stream):
            stream.read(100)
            raise OddError("no sense in zeros")
