"""`.npz`: what NumPy makes of it, and archives that are broken or made to do harm."""

import zipfile

import numpy as np
import pytest
from formats import MANY, is_same, npy, write_zip

import fastckpt
from fastckpt.interop.convert import convert


def test_numpy_loads_what_is_written(many, tmp_path):
    convert(many, tmp_path / "a.npz")

    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert sorted(archive) == sorted(MANY)
        assert all(is_same(archive[name], value) for name, value in MANY.items())


# ---- Archives from strangers


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
