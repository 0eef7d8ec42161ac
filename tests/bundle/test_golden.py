"""Checkpoints that real TensorFlow wrote: read as it reads them, and written again unchanged.

The files, and what TensorFlow said about them, are in golden/ (see its README).
"""

import base64
import hashlib
import math
import os
import re
from pathlib import Path

import bundle_bytes as bb
import numpy as np
import pytest
from corpus import (
    CASES,
    SLICES,
    WHOLE,
    key_of,
    name_of,
    numpy_name,
    parse_slice_spec,
    readable,
    same_values,
    sha256_of,
    unreadable,
    values_digest,
)
from golden_cases import every_case, stored_slice
from places import GOLDEN

import fastckpt

BELOW_ONE_BYTE = {"int4", "uint4", "int2", "uint2", "float4_e2m1fn"}


every_backend = pytest.mark.parametrize("backend", ["mmap", "pread"])


# ---- the corpus itself


def test_manifest_lists_every_golden_file_with_its_hash():
    listed = {}
    for line in (GOLDEN / "MANIFEST.sha256").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ", 1)
        listed[name] = digest

    present = {
        path.relative_to(GOLDEN).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in GOLDEN.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "MANIFEST.sha256"
    }

    assert len(listed) > 300
    assert present == listed


def test_files_are_those_that_expected_json_describes():
    checked = 0
    for case in CASES:
        for name, want in case.expected["files"].items():
            data = (case.prefix.parent / name).read_bytes()

            assert (len(data), hashlib.sha256(data).hexdigest()) == (want["size"], want["sha256"])
            checked += 1

    assert checked >= 2 * len(CASES)


# ---- reading


@every_case
@every_backend
@pytest.mark.parametrize("copy", [None, True])
def test_tensor_has_the_values_that_tensorflow_reads(case, backend, copy):
    with fastckpt.read(case.prefix, backend=backend) as ckpt:
        for record in readable(case):
            array = ckpt.get_tensor(name_of(record), copy=copy)

            assert array.dtype.name == numpy_name(record["dtype"])
            assert list(array.shape) == record["shape"]
            assert values_digest(array) == sha256_of(record)
            if copy:
                assert array.flags.writeable and array.flags.aligned and array.flags.c_contiguous
            if "values_b64" in record:
                values = [base64.b64decode(value) for value in record["values_b64"]]
                assert array.reshape(-1).tolist() == values


@every_case
def test_item_access_gives_a_verified_array_of_the_same_values(case):
    with fastckpt.read(case.prefix, verify=True) as ckpt:
        for record in readable(case):
            array = ckpt[name_of(record)]

            assert type(array) is np.ndarray
            assert values_digest(array) == sha256_of(record)


@every_case
@every_backend
def test_all_tensors_together_are_those_that_tensorflow_lists(case, backend):
    digest = hashlib.sha256()
    hashes = {key_of(record): record.get("sha256", "") for record in case.tensors}
    is_complete = case.expected["tensors_complete"]

    with fastckpt.read(case.prefix, backend=backend) as ckpt:
        for info in ckpt.infos():
            key = info.name.encode("utf-8", "surrogateescape")
            values = hashes[key] if is_complete else values_digest(ckpt[info.name])
            dims = ",".join(map(str, info.shape))
            digest.update(key + f"\t{info.tf_dtype}\t{dims}\t{values}\n".encode())

    assert digest.hexdigest() == case.expected["tensors_digest"]


@every_case
def test_names_are_in_key_order_and_slice_keys_hidden(case):
    with fastckpt.read(case.prefix) as ckpt:
        names = list(ckpt)

    keys = [name.encode("utf-8", "surrogateescape") for name in names]
    assert len(names) == case.expected["tensor_count"]
    assert keys == sorted(keys)
    if case.expected["tensors_complete"]:
        assert keys == [key_of(record) for record in case.tensors]
    else:
        assert set(keys) >= {key_of(record) for record in case.tensors}


@every_case
def test_mapping_knows_its_names(case):
    with fastckpt.read(case.prefix) as ckpt:
        for record in case.tensors:
            assert name_of(record) in ckpt
        assert "no such tensor" not in ckpt
        assert "" not in ckpt
        assert len(ckpt) == case.expected["tensor_count"]
        with pytest.raises(fastckpt.TensorNotFoundError, match="no such tensor"):
            ckpt["no such tensor"]


@every_case
def test_info_says_what_the_index_says(case):
    index = bb.parse_table(Path(f"{case.prefix}.index").read_bytes())
    entries = {key: bb.parse_proto(value) for key, value in index}

    with fastckpt.read(case.prefix) as ckpt:
        for record in case.tensors:
            info = ckpt.info(name_of(record))

            entry = entries[key_of(record)]
            assert info.name == name_of(record)
            assert info.tf_dtype == record["dtype"]
            assert info.dtype.name == numpy_name(record["dtype"])
            assert list(info.shape) == record["shape"]
            if bb.get(entry, 7, None) is None:
                assert info.slices == ()
                assert info.nbytes == bb.get(entry, 5)
                assert info.shard == bb.get(entry, 3)
                assert info.offset == bb.get(entry, 4)
                assert bb.mask(info.crc32c) == bb.get(entry, 6)
            else:
                assert_is_sliced(info, entry)


def assert_is_sliced(info, entry):
    stored = [stored_slice(value, info.shape) for field, _, value in entry if field == 7]
    item_size = info.dtype.itemsize
    assert (info.shard, info.offset, info.crc32c) == (None, None, None)
    assert info.slices == tuple(stored)
    if info.dtype != object:
        sizes = [math.prod(s.stop - s.start for s in part) * item_size for part in stored]
        assert info.nbytes == sum(sizes)


@every_case
def test_infos_are_the_infos_of_all_names(case):
    with fastckpt.read(case.prefix) as ckpt:
        infos = list(ckpt.infos())

        assert [info.name for info in infos] == list(ckpt)
        assert infos == [ckpt.info(name) for name in ckpt]


@every_case
def test_checkpoint_says_what_was_opened(case):
    with fastckpt.read(case.prefix) as ckpt:
        assert os.path.samefile(f"{ckpt.path}.index", f"{case.prefix}.index")
        assert ckpt.format == "V2"
        assert ckpt.num_shards == len(case.shards)
        assert ckpt.byteorder == ("big" if case.name == "crafted_big_endian" else "little")


@every_case
@every_backend
def test_load_gives_private_writable_arrays(case, backend):
    names = [name_of(record) for record in readable(case)]

    loaded = fastckpt.load(case.prefix, names, threads=2)

    assert list(loaded) == names
    for record in readable(case):
        array = loaded[name_of(record)]
        assert array.flags.writeable
        assert list(array.shape) == record["shape"]
        assert values_digest(array) == sha256_of(record)


@every_case
def test_load_of_everything_is_everything_or_an_error(case):
    if unreadable(case):
        with pytest.raises(fastckpt.CheckpointError):
            fastckpt.load(case.prefix)
        return

    loaded = fastckpt.load(case.prefix)

    with fastckpt.read(case.prefix) as ckpt:
        assert list(loaded) == list(ckpt)


@pytest.mark.parametrize("case", WHOLE, ids=repr)
@every_backend
def test_verify_finds_nothing_wrong(case, backend):
    with fastckpt.read(case.prefix, backend=backend) as ckpt:
        ckpt.verify()

        assert list(ckpt.problems()) == []


@every_case
def test_views_exist_where_the_format_allows_them(case):
    with fastckpt.read(case.prefix, backend="mmap") as ckpt:
        for record in readable(case):
            info = ckpt.info(name_of(record))
            is_big = ckpt.byteorder == "big"
            is_swapped = is_big and info.dtype.itemsize > 1 and info.nbytes > 0
            if info.tf_dtype == "string" or info.slices or is_swapped:
                with pytest.raises(ValueError, match=re.escape(info.name)):
                    ckpt.get_tensor(info.name, copy=False)
            elif info.tf_dtype not in BELOW_ONE_BYTE and not is_big:
                view = ckpt.get_tensor(info.name, copy=False)

                assert not view.flags.owndata or view.nbytes == 0
                assert not view.flags.writeable


@every_case
def test_copy_on_write_views_are_writable_and_the_file_stays(case):
    before = [path.read_bytes() for path in case.shards]

    with fastckpt.read(case.prefix, mode="c", backend="mmap") as ckpt:
        for record in readable(case):
            array = ckpt[name_of(record)]
            assert values_digest(array) == sha256_of(record)
            if array.dtype != object and array.nbytes:
                assert array.flags.writeable
                array[...] = 0

    assert [path.read_bytes() for path in case.shards] == before


@pytest.mark.parametrize(("case", "part"), SLICES, ids=lambda value: str(value)[:60])
@every_backend
def test_part_of_a_tensor_reads_as_the_restore_op_does(case, part, backend):
    index = parse_slice_spec(part["shape_and_slice"])

    with fastckpt.read(case.prefix, backend=backend) as ckpt:
        handle = ckpt.get_slice(name_of(part))

        assert list(handle.shape) == list(map(int, part["shape_and_slice"].split(" ")[:-1]))
        assert handle.ndim == len(handle.shape) and len(handle) == handle.shape[0]
        assert handle.dtype == ckpt.info(name_of(part)).dtype
        if sha256_of(part):
            array = handle[index]
            assert list(array.shape) == part["shape"]
            assert values_digest(array) == sha256_of(part)
        else:
            with pytest.raises(fastckpt.CheckpointError):
                handle[index]


@every_case
@every_backend
def test_slice_handle_indexes_like_the_array(case, backend):
    indexes = [..., (), 0, -1, 1 << 40, slice(1, 3), slice(5, 1), slice(-2, None)]
    indexes += [slice(None, None, 2), slice(None, None, -1), (0, 0), (..., slice(1, None))]
    with fastckpt.read(case.prefix, backend=backend) as ckpt:
        for record in readable(case)[:40]:
            handle = ckpt.get_slice(name_of(record))
            whole = ckpt.get_tensor(name_of(record), copy=True)
            for index in indexes:
                try:
                    want = whole[index]
                except IndexError:
                    with pytest.raises(IndexError):
                        handle[index]
                    continue

                got = handle[index]

                assert np.shape(got) == np.shape(want)
                assert same_values(got, want, whole.dtype)


def test_variant_is_listed_and_described_but_not_read(golden):
    with fastckpt.read(golden / "tf2_variant" / "ckpt") as ckpt:
        assert list(ckpt) == ["after", "list", "stack"]
        assert ckpt.info("stack").tf_dtype == "variant"
        assert ckpt.info("stack").shape == (3,)
        assert ckpt["after"].tolist() == [1.5]
        for name in ("list", "stack"):
            with pytest.raises(fastckpt.UnsupportedError, match="variant"):
                ckpt[name]
            with pytest.raises(fastckpt.UnsupportedError, match="variant"):
                ckpt.get_tensor(name, copy=True)


def test_tensor_with_a_gap_between_its_slices_is_an_error(golden):
    with fastckpt.read(golden / "tf2_slices" / "ckpt") as ckpt:
        with pytest.raises(fastckpt.CheckpointError, match="gap"):
            ckpt["gap"]
        assert ckpt["cube"].shape == (4, 6, 3)


def test_bundle_without_tensors_is_an_empty_mapping(golden):
    with fastckpt.read(golden / "crafted_empty" / "ckpt") as ckpt:
        assert list(ckpt) == []
        assert len(ckpt) == 0
        assert list(ckpt.infos()) == []
        ckpt.verify()


def test_name_that_is_not_utf8_uses_surrogateescape(tmp_path):
    key = b"layer\xff\x80/w"
    entry = bb.entry(1, [2], size=8, crc=bb.masked_crc(bytes(8)))
    header = bb.build_proto([[1, 0, 1], [3, 2, b"\x08\x01"]])
    bb.write(str(tmp_path / "odd.index"), bb.build_table([(b"", header), (key, entry)]))
    bb.write(str(tmp_path / "odd.data-00000-of-00001"), bytes(8))

    with fastckpt.read(tmp_path / "odd") as ckpt:
        assert list(ckpt) == ["layer\udcff\udc80/w"]
        assert ckpt["layer\udcff\udc80/w"].tolist() == [0, 0]


def test_same_data_of_both_tensorflows_reads_the_same(golden):
    with (
        fastckpt.read(golden / "same_data_tf1" / "model.ckpt") as first,
        fastckpt.read(golden / "same_data_tf2" / "model.ckpt") as second,
    ):
        assert list(first) == list(second)
        assert [*map(values_digest, first.values())] == [*map(values_digest, second.values())]
