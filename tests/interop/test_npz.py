"""`.npz`: what NumPy makes of it, and archives that are broken or made to do harm."""

import os
import zipfile

import numpy as np
import pytest
from formats import MANY, is_same, npy, write_zip
from fresh import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


# ---- Headers and sizes that lie


def write_npy(path, header, body=b"", compression=zipfile.ZIP_DEFLATED):
    """An archive of one array with a header made by hand."""
    head = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    data = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + body
    write_zip(path, [("x.npy", data)], compression=compression)


def describe_npy(descr, shape):
    return f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()


@pytest.mark.parametrize(
    "header",
    [
        b"(" * 9_000,
        b"[" * 300,
        b"-" * 9_000 + b"1",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1",
        b'{\'descr\': """',
        b"'''",
        b"\\\x00\xff {",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1" + b"0" * 5000 + b",)}",
        b"{'descr': " + b"[('a', " * 90 + b"'f4'" + b")]" * 90 + b", 'fortran_order': 0}",
        b"{" * 20_000,
    ],
    ids=range(10),
)
def test_header_of_nonsense_is_broken(tmp_path, target, header):
    write_npy(tmp_path / "a.npz", header, bytes(4))

    with pytest.raises(fastckpt.CheckpointError, match=r"a\.npz: tensor 'x'"):
        convert(tmp_path / "a.npz", target)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    descr=st.sampled_from(["<f4", "|S0", "|S3", "<U2", ">c16", "|O", "<M8[s]", "V3"]) | st.text(),
    shape=st.lists(st.integers(-2, 2**65) | st.integers(0, 3), max_size=70),
    body=st.binary(max_size=64),
    noise=st.binary(max_size=4),
)
def test_any_header_ends_in_values_or_an_error_that_names_the_file(
    tmp_path, descr, shape, body, noise
):
    header = describe_npy(descr, tuple(shape))
    write_npy(tmp_path / "a.npz", header[: len(header) - len(noise)] + noise, body)

    try:
        convert(tmp_path / "a.npz", tmp_path / "out", format="checkpoint")
    except fastckpt.CheckpointError as error:
        assert error.path == str(tmp_path / "a.npz")


BOMB = """
    import resource, sys
    import numpy
    import fastckpt
    from fastckpt.interop.convert import convert

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

    before = peak()
    try:
        convert(sys.argv[1], sys.argv[2])
    except fastckpt.FormatError as error:
        print(error.fault.name, peak() - before)
"""


@pytest.mark.parametrize(
    ("descr", "shape", "size"),
    [
        ("|S0", (40_000_000,), 0),
        ("|S1", (8_000_000,), 8_000_000),
        ("<U1", (8_000_000,), 32_000_000),
        ("<f4", (40_000_000,), 160_000_000),
        ("<f4", (2**40, 0, 2**40), 0),
    ],
    ids=["no bytes", "bytes", "text", "floats", "nothing"],
)
def test_small_archive_of_large_arrays_is_refused_in_little_memory(tmp_path, descr, shape, size):
    write_npy(tmp_path / "a.npz", describe_npy(descr, shape), bytes(size))

    fault, memory = run(BOMB, tmp_path / "a.npz", tmp_path / "out").split()

    assert fault == "TOO_LARGE"
    assert int(memory) < 64 << 20


def test_archive_that_is_trusted_may_take_more_memory(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(20_000_000, np.float32))

    with pytest.raises(fastckpt.FormatError, match="tensor 'x': .* 80000000 bytes .* max_memory"):
        convert(tmp_path / "a.npz", tmp_path / "a.ckpt")
    convert(tmp_path / "a.npz", tmp_path / "a.ckpt", max_memory=80_000_000)

    assert fastckpt.read(tmp_path / "a.ckpt").info("x").shape == (20_000_000,)


@pytest.mark.parametrize("name", ["../up", "/absolute", "C:\\drive", "a\\..\\b", "a/../../b"])
def test_name_of_a_member_is_never_a_path(tmp_path, name):
    write_zip(tmp_path / "a.npz", [(f"{name}.npy", npy(np.ones(2)))])

    convert(tmp_path / "a.npz", tmp_path / "a.ckpt")

    assert list(fastckpt.read(tmp_path / "a.ckpt")) == [name]
    assert sorted(os.listdir(tmp_path)) == ["a.ckpt.data-00000-of-00001", "a.ckpt.index", "a.npz"]
