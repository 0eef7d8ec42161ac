"""Folders of zarr that are broken or made to do harm."""

import json

import pytest
from formats import write_zarr

import fastckpt
from fastckpt.interop.convert import convert


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"filters": [{"id": "pickle", "protocol": 5}]}, "cannot be read safely: it needs pickle"),
        ({"compressor": {"id": "pickle"}}, "cannot be read safely: it needs pickle"),
        ({"dtype": "|O", "filters": [{"id": "json2"}]}, "cannot be read safely: it needs json2"),
        ({"shape": [1 << 40]}, r"bytes cannot be 8796093022208 bytes of tensor"),
        ({"dtype": "<M8[s]", "fill_value": 0}, "cannot hold the dtype"),
        ({"dtype": "what"}, "tensor 'x'"),
        ({"shape": "what"}, "tensor 'x'"),
        ({"chunks": [0]}, "tensor 'x'"),
    ],
)
def test_zarr_array_that_is_none_of_ours_is_refused(tmp_path, target, changes, problem):
    write_zarr(tmp_path / "a.zarr", **changes)

    with pytest.raises(fastckpt.CheckpointError, match=problem):
        convert(tmp_path / "a.zarr", target)


@pytest.mark.parametrize("codec", ["pickle", "numcodecs.pickle", "python"])
def test_codec_inside_of_a_codec_of_version_3_is_seen(tmp_path, target, codec):
    write_zarr(tmp_path / "a.zarr")
    file = tmp_path / "a.zarr" / "x" / "zarr.json"
    inner = {"name": "sharding_indexed", "configuration": {"codecs": [{"name": codec}]}}
    file.with_name(".zarray").unlink()
    file.write_text(json.dumps({"node_type": "array", "codecs": [inner]}))

    with pytest.raises(fastckpt.UnsupportedError, match="tensor 'x': cannot be read safely"):
        convert(tmp_path / "a.zarr", target)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", "1"])
def test_zarr_metadata_that_make_no_sense_are_broken(tmp_path, target, text):
    write_zarr(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "x" / ".zarray").write_text(text)

    with pytest.raises(fastckpt.CheckpointError):
        convert(tmp_path / "a.zarr", target)


def test_zarr_chunk_of_noise_is_broken(tmp_path, target):
    write_zarr(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "x" / "0").write_bytes(b"\2\1\1\1" + b"\xff" * 12)

    with pytest.raises(fastckpt.CheckpointError, match="tensor 'x'"):
        convert(tmp_path / "a.zarr", target)
