"""zarr: what the library makes of it, and how values come back."""

import os
import warnings

import numpy as np
import pytest
import zarr
from formats import MANY, VALUES, VERSIONS, is_same, make_group, round_trip, strings

import fastckpt
from fastckpt.interop.convert import convert


def test_zarr_keeps_the_nuls_of_strings(tmp_path):
    before, after = round_trip(tmp_path, {"s": strings(b"\0", b"", b"a\0b\0\0")}, "zarr")

    assert after == before


def test_zarr_finds_a_tensor_at_its_name(many, tmp_path):
    convert(many, tmp_path / "a.zarr")

    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    assert all(
        is_same(np.asarray(group[name][...]), np.asarray(value)) for name, value in MANY.items()
    )


def test_zarr_chunks_have_megabytes_and_whole_rows(tmp_path):
    fastckpt.write(tmp_path / "a.ckpt", {"wide": np.zeros((3, 2, 1 << 20)), "long": np.zeros(9)})

    convert(tmp_path / "a.ckpt", tmp_path / "a.zarr")

    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    assert (group["wide"].chunks, group["long"].chunks) == ((1, 1, 1 << 19), (9,))


@pytest.mark.parametrize("version", VERSIONS)
def test_zarr_of_either_version_is_read(tmp_path, version):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = make_group(tmp_path / "a.zarr", version)
        group.create_array("a/b", data=np.arange(10.0), chunks=(3,))
        group.create_array("c", data=np.int8(5) * np.ones((), np.int8))
        group.create_array("e", shape=(4,), dtype="f4", chunks=(2,), fill_value=1.5)

    convert(tmp_path / "a.zarr", tmp_path / "a.ckpt")

    found = {name: array.tolist() for name, array in fastckpt.load(tmp_path / "a.ckpt").items()}
    assert found == {"a/b": list(range(10)), "c": 5, "e": [1.5] * 4}


@pytest.mark.parametrize("make", [os.mkdir, lambda path: path.write_text("notes")])
def test_zarr_replaces_nothing_but_zarr(source, tmp_path, make):
    make(tmp_path / "a.zarr")

    with pytest.raises(FileExistsError, match="something else than a zarr group"):
        convert(source, tmp_path / "a.zarr")


def test_zarr_group_is_not_replaced_by_what_is_in_it(source, tmp_path):
    group = tmp_path / "a.zarr"
    convert(source, group)
    fastckpt.write(group / "inside", VALUES)

    with pytest.raises(ValueError, match="would be replaced, and .*inside is in it"):
        convert(group / "inside", group)

    assert (group / "inside.index").exists()
