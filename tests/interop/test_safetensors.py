"""`.safetensors`: what the library makes of it, and headers that are broken."""

import json

import numpy as np
import pytest
from formats import FIXED, HELD, MANY, bits, entry, safetensors
from safetensors import safe_open
from safetensors.numpy import save_file

import fastckpt
from fastckpt.interop.convert import convert


def test_safetensors_file_is_the_one_that_the_library_writes(many, tmp_path):
    convert(many, tmp_path / "a.safetensors")

    save_file({name: np.asarray(v) for name, v in MANY.items()}, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("row", [row for row in FIXED if row.name in HELD["safetensors"]])
def test_safetensors_library_accepts_every_dtype(tmp_path, row):
    fastckpt.write(tmp_path / "a.ckpt", {"odd": bits(row, (3,)), "x": np.zeros(2, np.float64)})

    convert(tmp_path / "a.ckpt", tmp_path / "a.safetensors")

    with safe_open(tmp_path / "a.safetensors", "np") as file:
        assert file.get_slice("odd").get_shape() == [3]


def test_safetensors_metadata_of_others_is_passed_over(tmp_path):
    save_file({"x": np.ones(2)}, tmp_path / "a.safetensors", metadata={"format": "pt"})

    convert(tmp_path / "a.safetensors", tmp_path / "a.ckpt")

    assert fastckpt.load(tmp_path / "a.ckpt")["x"].tolist() == [1, 1]


# ---- Headers from strangers

F4 = bytes(4)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "expected safetensors, got an empty file"),
        (b"\1\2\3", "length of the header at 0: expected 8 bytes"),
        (safetensors({}, size=9), "9 bytes are more than the file"),
        (safetensors({}, size=1 << 63), "more than the file"),
        (safetensors(b"{]"), "expected JSON"),
        (safetensors(b"\xff\xff"), "expected JSON"),
        (safetensors(b"[" * 100_000), "expected JSON"),
        (safetensors(b"[]"), "expected an object, got list"),
        (safetensors(b'{"x":1,"x":2}'), "a name is there twice"),
        (safetensors({"x": 1}), "tensor 'x': expected dtype, shape and data_offsets"),
        (safetensors({"x": entry(shape=(1.0,))}, F4), "tensor 'x': expected dtype"),
        (safetensors({"x": entry(shape=(True,))}, F4), "tensor 'x': expected dtype"),
        (safetensors({"x": entry(shape=(-1,))}, F4), "tensor 'x': expected dtype"),
        (safetensors({"x": entry(offsets=(0, 4, 4))}, F4), "tensor 'x': expected dtype"),
        (safetensors({"x": entry(offsets=(0, 8))}, F4 * 2), "expected 4 bytes at .*, got 8"),
        (safetensors({"x": entry(offsets=(4, 8))}, F4 * 2), "expected 4 bytes at"),
        (safetensors({"x": entry(offsets=(4, 0))}, F4), "expected 4 bytes at"),
        (safetensors({"x": entry(), "y": entry()}, F4), "tensor 'y': expected 4 bytes at"),
        (safetensors({"x": entry()}), "expected tensors up to the end at"),
        (safetensors({"x": entry()}, F4 * 2), "expected tensors up to the end at"),
        (safetensors({"x": entry(shape=(1 << 62, 8))}, F4), "less than 2..63 bytes"),
        (safetensors({"x": entry(shape=(0, 1 << 62, 8), offsets=(0, 0))}), "less than 2..63 bytes"),
        (safetensors({"x": entry(shape=(1,) * 65)}, F4), "tensor 'x': expected at most"),
        (safetensors({"x": entry("F8_E8M0")}, F4), "tensor 'x': .* dtype F8_E8M0"),
        (safetensors({"": entry()}, F4), "name must not be empty"),
        (safetensors(json.dumps({"\ud800": entry()}).encode(), F4), "surrogates not allowed"),
    ],
)
def test_header_that_makes_no_sense_is_refused(tmp_path, target, data, problem):
    (tmp_path / "a.safetensors").write_bytes(data)

    with pytest.raises((fastckpt.CheckpointError, ValueError), match=problem):
        convert(tmp_path / "a.safetensors", target)
