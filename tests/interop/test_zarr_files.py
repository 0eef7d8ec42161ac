"""Folders of zarr that are broken or made to do harm."""

import bz2
import gzip
import json
import lzma
import os
import pickle
import zlib

import numcodecs
import numpy as np
import pytest
import zarr
from crc32c import crc32c
from formats import IS_ZARR_3, write_zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


ZEROS = bytes(80 << 20)

# ---- Links and odd files


def write_raw(folder, data, **changes):
    """A group with an array "x" of one chunk of bytes, not packed."""
    metadata = {"zarr_format": 2, "shape": [16], "chunks": [16], "dtype": "|u1", "order": "C"}
    metadata |= {"compressor": None, "fill_value": 0, "filters": None} | changes
    (folder / "x").mkdir(parents=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / "x" / ".zarray").write_text(json.dumps(metadata))
    if data is not None:
        (folder / "x" / "0").write_bytes(data)


@pytest.mark.parametrize("place", ["x/0", "x/1", "x/.zarray", ".zattrs", "y", "x/deep", "y/x"])
@pytest.mark.parametrize("leads_to", ["file", "folder", "nothing"])
def test_symbolic_link_in_a_group_is_refused(tmp_path, target, place, leads_to):
    (tmp_path / "file").write_bytes(b"-- private key --")
    (tmp_path / "folder").mkdir()
    write_raw(tmp_path / "a.zarr", bytes(16))
    link = tmp_path / "a.zarr" / place
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / leads_to)

    with pytest.raises(fastckpt.UnsupportedError, match=f"entry '{place}': .* a symbolic link"):
        convert(tmp_path / "a.zarr", target)


def test_link_to_a_group_is_that_group(tmp_path):
    write_raw(tmp_path / "real", bytes(range(16)))
    (tmp_path / "a.zarr").symlink_to(tmp_path / "real")

    convert(tmp_path / "a.zarr", tmp_path / "a.ckpt")

    assert fastckpt.load(tmp_path / "a.ckpt")["x"].tolist() == list(range(16))


@pytest.mark.parametrize("place", ["x/0", "x/.zarray", "zarr.json"])
def test_pipe_in_a_group_is_refused_at_once(tmp_path, target, place):
    write_raw(tmp_path / "a.zarr", bytes(16))
    (tmp_path / "a.zarr" / place).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "a.zarr" / place)

    with pytest.raises((fastckpt.UnsupportedError, OSError), match="a pipe"):
        convert(tmp_path / "a.zarr", target)


@pytest.mark.parametrize(
    "changes",
    [
        {"dimension_separator": "/../"},
        {"dimension_separator": "../../secret"},
        {"zarr_format": 9},
        {"shape": [-1]},
        {"shape": [2**70]},
        {"chunks": ["/etc"]},
        {"order": "/"},
        {"compressor": {"id": "/etc/passwd"}},
    ],
    ids=str,
)
def test_parameter_that_no_array_has_is_an_error(tmp_path, target, changes):
    write_raw(tmp_path / "a.zarr", bytes(16), **changes)

    with pytest.raises(fastckpt.CheckpointError, match="tensor 'x'"):
        convert(tmp_path / "a.zarr", target)


# ---- Metadata that say two things

PICKLE = {"id": "pickle", "protocol": 5}


def test_metadata_that_the_group_repeats_are_not_believed(tmp_path):
    write_raw(tmp_path / "a.zarr", pickle.dumps(print).ljust(16))
    array = json.loads((tmp_path / "a.zarr" / "x" / ".zarray").read_text())
    repeated = {".zgroup": {"zarr_format": 2}, "x/.zarray": array | {"compressor": PICKLE}}
    text = json.dumps({"zarr_consolidated_format": 1, "metadata": repeated})
    (tmp_path / "a.zarr" / ".zmetadata").write_text(text)
    data = (tmp_path / "a.zarr" / "x" / "0").read_bytes()[:16]
    (tmp_path / "a.zarr" / "x" / "0").write_bytes(data)

    convert(tmp_path / "a.zarr", tmp_path / "a.ckpt")

    assert fastckpt.load(tmp_path / "a.ckpt")["x"].tobytes() == data


def test_array_of_two_versions_is_broken(tmp_path, target):
    write_raw(tmp_path / "a.zarr", bytes(16))
    text = json.dumps({"node_type": "array", "zarr_format": 3, "codecs": [{"name": "pickle"}]})
    (tmp_path / "a.zarr" / "x" / "zarr.json").write_text(text)

    with pytest.raises(fastckpt.FormatError, match="tensor 'x': is described in two versions"):
        convert(tmp_path / "a.zarr", target)


@pytest.mark.parametrize(
    ("codec", "problem"),
    [
        ({"id": "pickle", "name": "bytes"}, "it needs pickle"),
        ({"id": "zlib"}, "unpacks to more than"),
    ],
)
def test_codec_beside_those_of_another_version_is_seen(tmp_path, target, codec, problem):
    changes = {"codecs": [], "configuration": {}, "compressor": codec}
    write_raw(tmp_path / "a.zarr", zlib.compress(ZEROS), **changes)

    with pytest.raises(fastckpt.CheckpointError, match=problem):
        convert(tmp_path / "a.zarr", target)


@pytest.mark.parametrize("name", ["pickle", "numcodecs.pickle"])
def test_codec_of_version_3_with_the_name_of_version_2_is_seen(tmp_path, target, name):
    write_raw(tmp_path / "a.zarr", bytes(16))
    (tmp_path / "a.zarr" / "x" / ".zarray").unlink()
    coded = {"name": name, "id": "bytes", "configuration": {}}
    text = json.dumps({"node_type": "array", "zarr_format": 3, "codecs": [coded], "filters": []})
    (tmp_path / "a.zarr" / "x" / "zarr.json").write_text(text)

    with pytest.raises(fastckpt.UnsupportedError, match="it needs pickle"):
        convert(tmp_path / "a.zarr", target)


def test_array_in_the_place_of_a_group_is_an_error(tmp_path, target):
    write_raw(tmp_path / "a.zarr", None)
    os.rename(tmp_path / "a.zarr" / "x" / ".zarray", tmp_path / "a.zarr" / ".zarray")

    with pytest.raises(fastckpt.FormatError, match="expected a group, got an array"):
        convert(tmp_path / "a.zarr", target)


# ---- Memory

BOMBS = {
    "zlib": lambda: zlib.compress(ZEROS),
    "gzip": lambda: gzip.compress(ZEROS, 1),
    "bz2": lambda: bz2.compress(ZEROS),
    "lzma": lambda: lzma.compress(ZEROS, preset=0),
    "zstd": lambda: bytes(numcodecs.Zstd().encode(ZEROS)),
    "blosc": lambda: bytes(numcodecs.Blosc().encode(ZEROS)),
    "lz4": lambda: (1 << 30).to_bytes(4, "little") + bytes(60),
}


@pytest.mark.parametrize("codec", BOMBS)
@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_chunk_that_unpacks_to_more_than_its_shape_is_broken(tmp_path, target, codec, place):
    coded = {"id": codec}
    changes = {place: [coded] if place == "filters" else coded}
    write_raw(tmp_path / "a.zarr", BOMBS[codec](), **changes)

    with pytest.raises(fastckpt.FormatError, match="tensor 'x': chunk 'x/0' unpacks to more than"):
        convert(tmp_path / "a.zarr", target)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [10**12]},
        {"shape": [10**12], "fill_value": 7},
        {"shape": [10**8], "dtype": "<U9", "fill_value": ""},
        {"shape": [10**7], "dtype": "|O", "filters": [{"id": "vlen-utf8"}], "fill_value": "x" * 99},
        {"shape": [1], "chunks": [2**40]},
        {"shape": [60 << 20], "chunks": [1]},
        {"shape": [3, 10**7], "chunks": [1, 2]},
    ],
    ids=str,
)
def test_shape_that_the_files_are_too_small_for_is_broken(tmp_path, target, changes):
    write_raw(tmp_path / "a.zarr", None, **changes)

    with pytest.raises(fastckpt.FormatError, match="tensor 'x': .* cannot be .* bytes of tensor"):
        convert(tmp_path / "a.zarr", target)


@pytest.mark.parametrize("first", ["zlib", "bz2", "zstd"])
def test_chunk_that_is_packed_twice_is_refused(tmp_path, target, first):
    changes = {"filters": [{"id": first}], "compressor": {"id": "zlib"}}
    write_raw(tmp_path / "a.zarr", bytes(16), **changes)

    with pytest.raises(fastckpt.UnsupportedError, match="packed once, got them twice"):
        convert(tmp_path / "a.zarr", target)


def test_chunk_that_claims_more_strings_than_it_has_is_broken(tmp_path, target):
    claimed = (2**31).to_bytes(4, "little") + bytes(60)
    changes = {"shape": [4], "chunks": [4], "dtype": "|O", "fill_value": ""}
    changes |= {"filters": [{"id": "vlen-utf8"}], "compressor": {"id": "zlib"}}
    write_raw(tmp_path / "a.zarr", zlib.compress(claimed), **changes)

    with pytest.raises(fastckpt.FormatError, match="tensor 'x': expected 4 strings in chunk 'x/0'"):
        convert(tmp_path / "a.zarr", target)


def write_sharded(path):
    """A group of version 3 with an array in shards."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    options = {"chunks": (4,), "shards": (16,), "compressors": zarr.codecs.GzipCodec()}
    group.create_array("x", data=np.arange(40, dtype=np.int64), **options)


needs_version_3 = [pytest.param(None)] if IS_ZARR_3 else []


@pytest.mark.parametrize("_", needs_version_3)
def test_shards_are_read(tmp_path, _):
    write_sharded(tmp_path / "a.zarr")

    convert(tmp_path / "a.zarr", tmp_path / "a.ckpt")

    assert fastckpt.load(tmp_path / "a.ckpt")["x"].tolist() == list(range(40))


@pytest.mark.parametrize("_", needs_version_3)
@pytest.mark.parametrize("fault", ["bomb", "overlap", "short"])
def test_shard_that_makes_no_sense_is_broken(tmp_path, target, _, fault):
    write_sharded(tmp_path / "a.zarr")
    file = tmp_path / "a.zarr" / "x" / "c" / "0"
    packed = gzip.compress(ZEROS, 1) if fault == "bomb" else gzip.compress(bytes(32))
    index = b"".join(n.to_bytes(8, "little") for n in (0, len(packed)) * 4)
    checked = index + crc32c(index).to_bytes(4, "little")
    file.write_bytes(packed * (4 if fault == "bomb" else 1) + checked)
    if fault == "short":
        file.write_bytes(checked[8:])

    problem = {
        "bomb": "'x/c/0' unpacks to more than",
        "overlap": "take more bytes than it has",
        "short": "expected 68 bytes",
    }[fault]
    with pytest.raises(fastckpt.FormatError, match=problem):
        convert(tmp_path / "a.zarr", target)


# ---- Anything at all


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    dtype=st.sampled_from(["|u1", "<f8", ">i2", "|S3", "<U2", "|O", "|b1", "<M8[s]", "|V4"]),
    shape=st.lists(st.integers(-1, 5) | st.just(2**40), max_size=3),
    chunks=st.lists(st.integers(-1, 5) | st.just(2**40), max_size=3),
    codec=st.sampled_from([None, *BOMBS, "vlen-bytes", "crc32c", "shuffle", "delta"]),
    data=st.binary(max_size=64),
)
def test_any_array_ends_in_values_or_an_error_that_names_the_group(
    tmp_path, dtype, shape, chunks, codec, data
):
    folder = tmp_path / os.urandom(8).hex()
    changes = {"shape": shape, "chunks": chunks, "dtype": dtype}
    coded = None if codec is None else {"id": codec, "dtype": "<f8"}
    write_raw(folder, data, compressor=coded, **changes)

    try:
        convert(folder, tmp_path / "out.ckpt", format="checkpoint")
    except fastckpt.CheckpointError as error:
        assert error.path == str(folder)
