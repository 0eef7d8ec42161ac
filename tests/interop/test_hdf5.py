"""HDF5: what h5py makes of it, and files that are broken or made to do harm."""

import os

import h5py
import numpy as np
import pytest
from formats import MANY, is_same, write_h5

import fastckpt
from fastckpt.interop.convert import convert


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
