"""HDF5: what h5py makes of it, and files that are broken or made to do harm."""

import errno
import os
import zlib

import h5py
import numpy as np
import pytest
from formats import MANY, is_same, lists, write_h5
from fresh import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastckpt
from fastckpt.interop.convert import convert
from fastckpt.storage.local import File


def test_more_dimensions_than_hdf5_has_are_refused(tmp_path):
    fastckpt.write(tmp_path / "a.ckpt", {"x": np.zeros((1,) * 32)})
    convert(tmp_path / "a.ckpt", tmp_path / "a.h5")
    with fastckpt.Writer(tmp_path / "b.ckpt") as writer:
        writer._records[b"x"] = writer._append(1, (1,) * 33, bytes(4), 0)

    with pytest.raises(fastckpt.UnsupportedError, match="tensor 'x': HDF5 has at most 32"):
        convert(tmp_path / "b.ckpt", tmp_path / "b.h5")


def test_h5py_finds_a_tensor_at_its_name(many, tmp_path):
    convert(many, tmp_path / "a.h5")

    with h5py.File(tmp_path / "a.h5") as file:
        assert all(is_same(file[name][()], np.asarray(value)) for name, value in MANY.items())


def test_h5py_file_that_was_converted_is_closed(source, tmp_path):
    convert(source, tmp_path / "a.h5")

    convert(tmp_path / "a.h5", tmp_path / "b.ckpt")

    with h5py.File(tmp_path / "a.h5", "r+") as file:  # refused while somebody has it open
        assert "dense" in file


# ---- Files from strangers


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


# ---- Links that no library writes


def patch_headers(path, old, new):
    """Replace bytes of a file and make the checksums of its object headers right again."""
    data = bytearray(path.read_bytes().replace(old, new))
    at = data.find(b"OHDR")
    while at >= 0:
        flags = data[at + 5]
        start = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        end = start + width + int.from_bytes(data[start : start + width], "little")
        data[end : end + 4] = lookup3(bytes(data[at:end])).to_bytes(4, "little")
        at = data.find(b"OHDR", end)
    path.write_bytes(data)


def lookup3(data):
    """Jenkins's hash, with which object headers end."""
    a = b = c = (0xDEADBEEF + len(data)) & 0xFFFFFFFF
    blocks = [data[i : i + 12].ljust(12, b"\0") for i in range(0, len(data), 12)]
    for number, block in enumerate(blocks):
        x, y, z = (int.from_bytes(block[i : i + 4], "little") for i in (0, 4, 8))
        a, b, c = (a + x) & 0xFFFFFFFF, (b + y) & 0xFFFFFFFF, (c + z) & 0xFFFFFFFF
        if number < len(blocks) - 1:
            for shift in (4, 6, 8, 16, 19, 4):
                a = ((a - c) & 0xFFFFFFFF) ^ rotated(c, shift)
                c = (c + b) & 0xFFFFFFFF
                a, b, c = b, c, a
        else:
            for shift in (14, 11, 25, 16, 4, 14, 24):
                c = ((c ^ b) - rotated(b, shift)) & 0xFFFFFFFF
                a, b, c = b, c, a
    return b


def rotated(value, count):
    return (value << count | value >> (32 - count)) & 0xFFFFFFFF


def write_two_links(path, link, is_first):
    """A file in which a link and a dataset have the name "ZZZZ"."""
    with h5py.File(path, "w", libver="latest", track_order=True) as file:
        for is_link in (is_first, not is_first):
            file["QQQQ" if is_link else "ZZZZ"] = link if is_link else np.zeros(5, np.int64)
    patch_headers(path, b"QQQQ", b"ZZZZ")
    with h5py.File(path) as file:
        assert "ZZZZ" in file  # HDF5 accepts it


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("kind", ["external", "soft"])
def test_link_with_the_name_of_a_dataset_is_broken(tmp_path, target, kind, is_first):
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["secret"] = np.arange(5) * 1111
    link = h5py.ExternalLink("mine.h5", "/secret")
    write_two_links(tmp_path / "a.h5", h5py.SoftLink("/") if kind == "soft" else link, is_first)

    with pytest.raises(fastckpt.FormatError, match="'ZZZZ'.* two links of this name"):
        convert(tmp_path / "a.h5", target)


def test_no_file_but_the_source_is_opened(tmp_path):
    """Links, virtual and external datasets lead to a pipe: opening it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    pipe = str(tmp_path / "pipe")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["fine"] = np.zeros(2)
        file["group/fine"] = np.ones(2)
        file["group/link"] = h5py.ExternalLink(pipe, "/x")
        file["loop"] = h5py.SoftLink("/group/link")
        file.create_dataset("raw", shape=(8,), dtype="u1", external=[(pipe, 0, 8)])
        layout = h5py.VirtualLayout(shape=(2,), dtype="f8")
        layout[:] = h5py.VirtualSource(pipe, "x", shape=(2,))
        file.create_virtual_dataset("virtual", layout)

    with pytest.raises(fastckpt.UnsupportedError, match="'raw': .* bytes in this file"):
        convert(tmp_path / "a.h5", tmp_path / "a.ckpt")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["raw"]
    with pytest.raises(fastckpt.UnsupportedError, match="'virtual': .* bytes in this file"):
        convert(tmp_path / "a.h5", tmp_path / "a.ckpt")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["virtual"]
    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    assert list(fastckpt.read(tmp_path / "a.ckpt")) == ["fine", "group/fine"]


def test_committed_type_is_read_and_second_names_are_left_out(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["type"] = np.dtype("<f4")
        file.create_dataset("x", data=np.arange(3), dtype=file["type"])
        file["y"] = file["x"]
        file["group/back"] = file["/"]

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    assert lists(fastckpt.load(tmp_path / "a.ckpt")) == {"x": [0, 1, 2]}


# ---- Memory


def refused(path, target, problem):
    with pytest.raises(fastckpt.CheckpointError, match=problem):
        convert(path, target)


def write_packed(path, nbytes, filters="gzip", chunk=1 << 20):
    """A dataset of one chunk of `chunk` bytes, which is said to be what `nbytes` zeros pack to."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", (chunk,), "u1", chunks=(chunk,), compression=filters)
        dataset.id.write_direct_chunk((0,), zlib.compress(bytes(nbytes)))


def test_chunk_that_unpacks_to_its_shape_is_read(tmp_path):
    write_packed(tmp_path / "a.h5", 1 << 20)

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    assert not fastckpt.load(tmp_path / "a.ckpt")["x"].any()


def test_chunk_that_unpacks_to_more_than_its_shape_is_broken(tmp_path, target):
    write_packed(tmp_path / "a.h5", 80 << 20)

    refused(tmp_path / "a.h5", target, "tensor 'x': a chunk unpacks to more than")


def test_chunks_that_are_packed_twice_are_refused(tmp_path, target):
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((1 << 20,))
    for _ in range(2):
        settings.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (1,))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        space = h5py.h5s.create_simple((1 << 20,))
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_UINT8, space, settings)
        file["x"][:] = 1

    refused(tmp_path / "a.h5", target, "tensor 'x': .* packed once, got them twice")


@pytest.mark.parametrize("options", [{"scaleoffset": 4}, {"compression": "szip"}])
def test_filter_whose_size_cannot_be_known_is_refused(tmp_path, target, options):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        try:
            file.create_dataset("x", data=np.arange(4096), chunks=(512,), **options)
        except ValueError:  # a library without szip
            file.create_dataset("x", data=np.arange(4096), chunks=(512,), scaleoffset=2)

    refused(tmp_path / "a.h5", target, "tensor 'x': cannot be read safely: it needs filter")


@pytest.mark.parametrize(
    ("shape", "chunks"), [((64 << 20,), (1,)), ((1,), (2**31,)), ((3, 1 << 24), (1, 2))]
)
def test_chunks_too_many_or_too_large_are_broken(tmp_path, target, shape, chunks):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        limits = tuple(None for _ in shape)
        file.create_dataset("x", shape, "u1", chunks=chunks, maxshape=limits)

    refused(tmp_path / "a.h5", target, "tensor 'x': .* cannot be .* bytes")


def share_strings(path, count, length):
    """A dataset and an attribute of `count` strings that all have the bytes of one."""
    with h5py.File(path, "w") as file:
        kind = h5py.string_dtype()
        file.create_dataset("s", data=["y" * length] + ["x"] * (count - 1), dtype=kind)
        start = file["s"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[start : start + 16 * count] = data[start : start + 16] * count
    path.write_bytes(data)


def test_strings_that_share_their_bytes_are_read_while_they_fit(tmp_path):
    share_strings(tmp_path / "a.h5", 50, 1 << 20)

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    assert fastckpt.load(tmp_path / "a.ckpt")["s"].tolist() == [b"y" * (1 << 20)] * 50


SHARED = """
    import resource, sys
    import h5py
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


def test_strings_that_share_their_bytes_too_often_are_refused_in_bounded_memory(tmp_path):
    share_strings(tmp_path / "a.h5", 2000, 1 << 20)

    fault, memory = run(SHARED, tmp_path / "a.h5", tmp_path / "out").split()

    assert fault == "TOO_LARGE"
    assert int(memory) < 3 * (64 << 20)


def test_strings_of_any_shape_are_read_in_parts(tmp_path):
    values = np.array([f"{i:0{i % 5}}" for i in range(24)], object).reshape(2, 3, 4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("s", data=values, dtype=h5py.string_dtype())

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt", max_memory=24 * 48)

    found = fastckpt.load(tmp_path / "a.ckpt")["s"]
    assert found.tolist() == np.char.encode(values.astype(str)).astype(object).tolist()


def test_names_in_an_attribute_that_share_their_bytes_are_refused(tmp_path, target):
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        names = np.array(["y" * (1 << 20)] + [f"layer{i}" for i in range(999)], object)
        file.attrs.create("layer_names", names, dtype=h5py.string_dtype())
        file["x"] = np.zeros(1)

    refused(tmp_path / "a.h5", target, "attribute 'layer_names': .* cannot be .* bytes")


# ---- What comes below the library


def test_error_of_the_disk_is_an_error_of_the_system(tmp_path, target, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros(9999)
    read = File.read_into

    def fail(self, view, offset, what):
        if len(view) > 9999:
            raise OSError(errno.EIO, "input/output error", self.path)
        return read(self, view, offset, what)

    monkeypatch.setattr(File, "read_into", fail)

    with pytest.raises(OSError, match="input/output error") as raised:
        convert(tmp_path / "a.h5", target)
    assert raised.value.errno == errno.EIO


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 10**6), change=st.binary(min_size=1, max_size=8))
def test_changed_bytes_are_values_or_an_error_that_names_the_file(tmp_path, at, change):
    if not (tmp_path / "sound.h5").exists():
        fastckpt.write(tmp_path / "a.ckpt", {"layer/w": np.arange(9.0), "s": [b"x", b"yy"]})
        convert(tmp_path / "a.ckpt", tmp_path / "sound.h5")
    data = bytearray((tmp_path / "sound.h5").read_bytes())
    at %= len(data)
    data[at : at + len(change)] = change
    (tmp_path / "a.h5").write_bytes(data)

    try:
        convert(tmp_path / "a.h5", tmp_path / "out.ckpt", format="checkpoint")
    except fastckpt.CheckpointError as error:
        assert error.path == str(tmp_path / "a.h5")
    except OSError as error:
        assert error.filename
