"""V1 checkpoints: broken ones, those that TensorFlow wrote, and those that we write.

The live tests run a worker of their own under the oracle's Python, since only the ops Save and
SaveSlices, and a Saver that is asked to, still write this format.
"""

import base64
import hashlib
import json
from pathlib import Path

import bundle_bytes as bb
import numpy as np
import pytest
from corpus import values_digest
from oracle import numpy_dtype, to_tensor
from places import GOLDEN
from slice_keys import slice_key
from v1_files import (
    FLOAT,
    INT8,
    INT32,
    UINT8,
    WHOLE,
    W,
    data_record,
    floats,
    listed,
    make_file,
    message,
    meta_record,
    one,
    parts_of,
    read_everything,
    slice_message,
    varints,
)

import fastckpt
from fastckpt.errors import (
    TensorNotFoundError,
)
from fastckpt.v1.reader import V1Checkpoint
from fastckpt.v1.writer import write_parts

# ---- values that TensorFlow does not write but reads


def test_numbers_that_are_not_packed_are_read(tmp_path):
    singles = bb.build_proto([[5, 5, 0x3F800000], [5, 5, 0x40000000]])
    data = message((1, b"w"), (2, slice_message([WHOLE])), (3, singles))
    record = slice_key(b"w", [WHOLE]), message((2, data))
    path = make_file(tmp_path / "w", meta_record(W), record)

    assert V1Checkpoint(path)["w"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("dtype", "field", "value", "expected"),
    [
        (INT32, 7, 2**32 - 1, -1),
        (INT8, 7, 300, 44),
        (UINT8, 7, 2**64 - 1, 255),
        (10, 11, 7, True),
        (19, 13, 0x13C00, 1.0),
    ],
)
def test_of_a_number_that_is_too_large_the_low_bits_count(tmp_path, dtype, field, value, expected):
    path = make_file(tmp_path / "w", *one(dtype, (), [], varints(value, field=field)))

    assert V1Checkpoint(path)["w"].tolist() == expected


def test_names_that_are_not_utf8_are_escaped(tmp_path):
    name = b"\xff/w"
    record = data_record(name, [], floats(3))
    path = make_file(tmp_path / "w", meta_record(listed(name, FLOAT, ())), record)

    with V1Checkpoint(path) as ckpt:
        assert list(ckpt) == ["\udcff/w"]
        assert ckpt["\udcff/w"] == 3
        assert "\ud800" not in ckpt
        with pytest.raises(TensorNotFoundError):
            ckpt["\ud800"]


def test_compressed_blocks_are_read(tmp_path):
    whole = GOLDEN / "v1_strings" / "model.ckpt"
    path = tmp_path / "snappy"
    path.write_bytes(bb.build_table(bb.parse_table(whole.read_bytes()), snappy=True))

    assert path.stat().st_size < whole.stat().st_size
    assert read_everything(path) == read_everything(whole)


# ---- the checkpoints that TensorFlow wrote


class Case:
    """One V1 checkpoint of the corpus, and its part of expected.json."""

    def __init__(self, folder, path, expected):
        self.path = str(folder / path)
        self.name = f"{folder.name}:{path}"
        self.expected = expected
        self.files = [folder / name for name in expected["files"]]
        self.tensors = expected["tensors"]

    def __repr__(self):
        return self.name


CASES = [
    Case(document.parent, path, expected)
    for document in sorted(GOLDEN.glob("*/expected.json"))
    for path, expected in json.loads(document.read_text("utf-8"))["checkpoints"].items()
    if expected["format"] == "V1"
]


PARTS = [(case, part) for case in CASES for part in case.expected.get("slices", [])]


every_case = pytest.mark.parametrize("case", CASES, ids=repr)


assert len(CASES) >= 7 and PARTS, "the golden corpus is not complete"


@every_case
def test_tensor_has_the_values_that_tensorflow_reads(case):
    with fastckpt.read(case.path) as ckpt:
        assert list(ckpt) == [record["key"] for record in case.tensors]
        for record in case.tensors:
            for array in (ckpt[record["key"]], ckpt.get_tensor(record["key"], copy=True)):
                assert array.dtype == numpy_dtype(record["dtype"])
                assert list(array.shape) == record["shape"]
                assert values_digest(array) == record["sha256"]
                assert array.flags.writeable and array.flags.aligned and array.flags.c_contiguous
                if "values_b64" in record:
                    strings = [base64.b64decode(value) for value in record["values_b64"]]
                    assert array.reshape(-1).tolist() == strings


@every_case
def test_checkpoint_describes_itself(case):
    digest = hashlib.sha256()
    hashes = {record["key"]: record["sha256"] for record in case.tensors}

    with fastckpt.read(case.path) as ckpt:
        assert (ckpt.path, ckpt.format, ckpt.byteorder, ckpt.version) == (
            case.path,
            "V1",
            "little",
            1,
        )
        assert ckpt.num_shards == len(case.files)
        assert len(ckpt) == case.expected["tensor_count"]
        assert ckpt.infos() == [ckpt.info(name) for name in ckpt]
        assert list(ckpt.problems()) == []
        for info in ckpt.infos():
            dims = ",".join(map(str, info.shape))
            line = f"{info.name}\t{info.tf_dtype}\t{dims}\t{hashes[info.name]}\n"
            digest.update(line.encode())
            assert (info.offset, info.crc32c) == (None, None)
            assert (info.nbytes, info.dtype) == (ckpt[info.name].nbytes, ckpt[info.name].dtype)
    assert digest.hexdigest() == case.expected["tensors_digest"]


@pytest.mark.parametrize(("case", "part"), PARTS, ids=str)
def test_part_of_a_tensor_reads_as_the_restore_op_does(case, part):
    index = []
    for extent in part["shape_and_slice"].split(" ")[-1].split(":"):
        start, length = (0, 1 << 40) if extent == "-" else map(int, extent.split(","))
        index.append(slice(start, start + length))

    with fastckpt.read(case.path) as ckpt:
        array = ckpt.get_slice(part["key"])[tuple(index)]

    assert list(array.shape) == part["shape"]
    assert values_digest(array) == part["sha256"]


INDEXES = [..., (), 0, -1, 1 << 40, slice(1, 3), slice(5, 1), slice(-2, None), (None, 0)]


INDEXES += [slice(None, None, 2), slice(None, None, -1), (0, 0), (..., slice(1, None))]


@every_case
def test_slice_handle_indexes_like_the_array(case):
    with fastckpt.read(case.path) as ckpt:
        for name, whole in ckpt.items():
            handle = ckpt.get_slice(name)
            assert (handle.shape, handle.dtype, handle.ndim) == (
                whole.shape,
                whole.dtype,
                whole.ndim,
            )
            for index in INDEXES:
                try:
                    expected = whole[index]
                except IndexError:
                    with pytest.raises(IndexError):
                        handle[index]
                    continue
                found = handle[index]
                assert np.shape(found) == np.shape(expected)
                assert to_tensor(np.asarray(found, whole.dtype)) == to_tensor(
                    np.asarray(expected, whole.dtype)
                )


@every_case
def test_file_is_written_again_byte_for_byte(case, tmp_path):
    for number, file in enumerate(case.files):
        with V1Checkpoint(str(file)) as ckpt:
            path = write_parts(tmp_path / str(number), list(parts_of(ckpt)), sync=False)

        assert Path(path).read_bytes() == file.read_bytes()


@every_case
def test_conversion_to_v2_keeps_values_dtypes_and_slices(case, tmp_path):
    with fastckpt.read(case.path) as old:
        with fastckpt.Writer(tmp_path / "new", sync=False) as writer:
            for name in old:
                writer.add_from(old, name)
        with fastckpt.read(tmp_path / "new") as new:
            assert list(new) == list(old)
            for a, b in zip(old.infos(), new.infos(), strict=True):
                assert (a.tf_dtype, a.shape, a.slices) == (b.tf_dtype, b.shape, b.slices)
                assert values_digest(old[a.name]) == values_digest(new[a.name])
