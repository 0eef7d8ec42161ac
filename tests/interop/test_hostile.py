"""Sources that somebody made to do harm, or that are broken: an error of ours, and no more."""

import json
import os
import random
import warnings
import zipfile
from io import BytesIO

import h5py
import numpy as np
import pytest
import zarr

import fastckpt
from fastckpt.interop.convert import convert

IS_ZARR_3 = hasattr(zarr.Group, "create_array")  # zarr 2 needs other words
VALUES = {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3), "s": np.int64(1), "t": [True, False]}


@pytest.fixture
def target(tmp_path):
    """A prefix where nothing may appear."""
    yield tmp_path / "target.ckpt"
    assert not [name for name in os.listdir(tmp_path) if name.startswith("target")]


def npy(value, **options):
    stream = BytesIO()
    np.save(stream, value, **options)
    return stream.getvalue()


def write_zip(path, members, **options):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", **options) as archive:
        warnings.simplefilter("ignore")  # of two members with one name
        for name, data in members:
            archive.writestr(name, data)


def safetensors(header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


# ---- Bytes cut and changed


def outcome(path, target):
    """Convert, and say how it ended; anything but an error of ours is raised."""
    try:
        convert(path, target)
    except (fastckpt.CheckpointError, OSError) as error:
        return type(error)
    return None


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".h5"])
def test_file_cut_anywhere_is_an_error(tmp_path, suffix):
    fastckpt.write(tmp_path / "a.ckpt", VALUES)
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
    fastckpt.write(tmp_path / "a.ckpt", VALUES)
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


# ---- .npz


def test_pickles_are_never_loaded(tmp_path, target, monkeypatch):
    write_zip(tmp_path / "a.npz", [("x.npy", npy(np.array([print], object), allow_pickle=True))])

    with pytest.raises(fastckpt.UnsupportedError, match="tensor 'x': .* got pickled objects"):
        convert(tmp_path / "a.npz", target)


@pytest.mark.parametrize("dtype", ["V2", "M8[s]", [("f", "i4")]], ids=["void", "time", "fields"])
def test_array_that_no_checkpoint_can_hold_is_refused(tmp_path, target, dtype):
    np.savez(tmp_path / "a.npz", x=np.zeros(2, dtype))

    with pytest.raises(fastckpt.UnsupportedError, match="tensor 'x': a checkpoint cannot hold"):
        convert(tmp_path / "a.npz", target)


@pytest.mark.parametrize(
    "shape", ["(1099511627776,)", "(3,)", "(4294967296, 4294967296, 0, 9)", "(-1,)"]
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_shape_that_the_member_is_too_small_for_is_broken(tmp_path, target, shape, method):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    data = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(16)
    write_zip(tmp_path / "a.npz", [("x.npy", data)], compression=method)

    with pytest.raises(fastckpt.FormatError, match="tensor 'x'"):
        convert(tmp_path / "a.npz", target)


def test_member_that_cannot_be_as_large_as_it_says_is_broken(tmp_path, target):
    write_zip(tmp_path / "a.npz", [("x.npy", npy(np.zeros(2)))], compression=zipfile.ZIP_DEFLATED)
    data = (tmp_path / "a.npz").read_bytes()
    size = len(npy(np.zeros(2))).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(data.replace(size, b"\xf0\xff\xff\x7f"))

    with pytest.raises(fastckpt.FormatError, match=r"tensor 'x': \d+ bytes cannot be 2147483632"):
        convert(tmp_path / "a.npz", target)


def test_members_that_overlap_are_broken(tmp_path, target):
    write_zip(tmp_path / "a.npz", [(f"{i}.npy", npy(np.zeros(99))) for i in range(9)])
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        for info in archive.infolist():
            info.header_offset = 0
        archive.infolist()[0].compress_size = archive.infolist()[0].file_size = 1 << 20
        archive._didModify = True

    with pytest.raises(fastckpt.FormatError, match="its members take more bytes than it has"):
        convert(tmp_path / "a.npz", target)


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([("x.npy", npy(np.zeros(1))), ("x.npy", npy(np.ones(1)))], "tensor 'x': is there twice"),
        ([("x.npy", npy(np.zeros(1))), ("notes.txt", b"")], "member 'notes.txt': expected .*npy"),
        ([("x.npy", npy(np.zeros(1)) + b"more")], "tensor 'x': expected 8 bytes"),
        ([("x.npy", b"\x93NUMPY\x09\x00")], "tensor 'x': expected .npy version"),
        ([("x.npy", b"\x93NUMPY\x01\x00\xff\xff{")], "tensor 'x'"),
    ],
)
def test_archive_that_makes_no_sense_is_refused(tmp_path, target, members, problem):
    write_zip(tmp_path / "a.npz", members)

    with pytest.raises(fastckpt.CheckpointError, match=problem):
        convert(tmp_path / "a.npz", target)


def test_wrong_checksum_of_a_member_is_broken(tmp_path, target):
    write_zip(tmp_path / "a.npz", [("x.npy", npy(np.full(4, 7, np.uint8)))])
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data.replace(b"\7\7\7\7", b"\7\7\7\6"))

    with pytest.raises(fastckpt.FormatError, match="tensor 'x': Bad CRC-32"):
        convert(tmp_path / "a.npz", target)


# ---- .safetensors

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


# ---- HDF5


def write_h5(path, make):
    with h5py.File(path, "w") as file:
        file["fine"] = np.zeros(2)
        make(file)


def make_external(file):
    secret = os.path.join(os.path.dirname(file.filename), "secret")
    with open(secret, "wb") as stream:
        stream.write(b"secret!!")
    file.create_dataset("x", shape=(8,), dtype="u1", external=[(secret, 0, 8)])


def make_virtual(file):
    layout = h5py.VirtualLayout(shape=(2,), dtype="f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(2,))
    file.create_virtual_dataset("x", layout)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (make_external, "with its bytes in this file"),
        (make_virtual, "with its bytes in this file"),
        (
            lambda file: file.create_dataset("x", data=h5py.Empty("f4")),
            "with its bytes in this file",
        ),
        (lambda file: file.create_dataset("x", (1 << 40,), "u1"), "cannot be 1099511627776 bytes"),
        (lambda file: file.create_dataset("x", (2,), "S999999999"), "cannot be"),
        (lambda file: file.create_dataset("x", (1,), h5py.ref_dtype), "references or lists"),
        (lambda file: file.create_dataset("x", (1,), h5py.vlen_dtype("u1")), "references or lists"),
        (lambda file: file.create_dataset("x", (1,), [("a", "i4")]), "cannot hold the dtype"),
        (lambda file: file.create_dataset("x", (1,), "V2"), "cannot hold the dtype"),
    ],
)
def test_dataset_that_is_none_of_ours_is_refused(tmp_path, target, make, problem):
    write_h5(tmp_path / "a.h5", make)

    with pytest.raises(fastckpt.CheckpointError, match=f"tensor 'x': .*{problem}"):
        convert(tmp_path / "a.h5", target)


def test_links_to_other_files_are_not_followed(tmp_path):
    write_h5(tmp_path / "other.h5", lambda file: None)

    def make(file):
        file["outside"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
        file["loop"] = h5py.SoftLink("/")
        file["circle"] = file["/"]
        file.attrs["layer_names"] = [b"outside", b"loop", b"missing", b""]

    write_h5(tmp_path / "a.h5", make)

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    assert list(fastckpt.read(tmp_path / "a.ckpt")) == ["fine"]


def test_attribute_that_promises_another_dtype_than_fits_is_passed_over(tmp_path):
    def make(file):
        file["x"] = np.arange(3, dtype=np.int32)
        for name, dtype in (("x", "float32"), ("fine", "bfloat16")):
            file[name].attrs["dtype"] = dtype

    write_h5(tmp_path / "a.h5", make)

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    dtypes = [info.tf_dtype for info in fastckpt.read(tmp_path / "a.ckpt").infos()]
    assert dtypes == ["float64", "int32"]


# ---- zarr


def write_zarr(path, **changes):
    """A group of version 2 with one array, whose metadata are changed."""
    options = {"zarr_format": 2} if IS_ZARR_3 else {}
    group = zarr.open_group(str(path), mode="w", **options)
    create = group.create_array if IS_ZARR_3 else group.create_dataset
    create("x", data=np.arange(4.0))
    file = path / "x" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


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
