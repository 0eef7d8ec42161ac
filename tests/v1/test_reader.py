"""V1 checkpoints: broken ones, those that TensorFlow wrote, and those that we write.

The live tests run a worker of their own under the oracle's Python, since only the ops Save and
SaveSlices, and a Saver that is asked to, still write this format.
"""

import base64
import copy
import errno
import hashlib
import json
import os
import pickle
import re
import struct
import subprocess
import threading
import tracemalloc
from pathlib import Path

import bundle_bytes as bb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import QUANTIZED, OracleError, from_bytes, numpy_dtype, to_tensor
from places import GOLDEN
from slice_keys import slice_key

import fastckpt
from fastckpt.errors import (
    CheckpointError,
    ChecksumError,
    FormatError,
    TensorNotFoundError,
    UnsupportedError,
)
from fastckpt.format.dtypes import by_number
from fastckpt.v1.reader import V1Checkpoint, open_v1
from fastckpt.v1.writer import Part, write_parts, write_v1

FLOAT, INT32, UINT8, INT8, STRING, INT64 = 1, 3, 4, 6, 7, 9
WHOLE = (0, -1)
DTYPES = """
    float32 float64 int32 uint8 int16 int8 string complex64 int64 bool uint16 complex128 float16
""".split()  # noqa: SIM905 - those that NumPy has; three quantized ones are integers to it


# ---- files put together by hand


def message(*fields):
    """A message of (number, value): a varint, bytes, or a list of bytes."""
    out = []
    for number, value in fields:
        for item in value if isinstance(value, list) else [value]:
            out.append([number, 2 if isinstance(item, bytes) else 0, item])
    return bb.build_proto(out)


def shape_message(shape):
    return message((2, [message(*[(1, dim)] * (dim != 0)) for dim in shape]))


def slice_message(box):
    extents = []
    for start, length in box:
        extent = [(1, start)] * (start != 0) + [(2, length)] * (length != -1)
        extents.append(message(*extent))
    return message((1, extents))


def listed(name, dtype, shape, *boxes):
    """A tensor in the meta record; whole unless it is given boxes."""
    boxes = boxes or ([WHOLE] * len(shape),)
    slices = [slice_message(box) for box in boxes]
    return message((1, name), (2, shape_message(shape)), (3, dtype), (4, slices))


def meta_record(*tensors, versions=b"\x08\x01"):
    return b"", message((1, message((1, list(tensors)), (2, versions))))


def data_record(name, box, *values):
    """The record of a slice, of (field, bytes) of the TensorProto."""
    data = message((1, name), (2, slice_message(box)), (3, message(*values)))
    return slice_key(name, box), message((2, data))


def make_file(path, *records):
    path.write_bytes(bb.build_table(sorted(records)))
    return str(path)


def floats(*values):
    return 5, struct.pack(f"<{len(values)}f", *values)


def varints(*values, field=7):
    return field, b"".join(map(bb.varint, values))


W = listed(b"w", FLOAT, (2,))
W_DATA = data_record(b"w", [WHOLE], floats(1, 2))


def read_everything(path):
    with V1Checkpoint(str(path)) as ckpt:
        return {name: (array.dtype, array.shape, array.tolist()) for name, array in ckpt.items()}


# ---- broken checkpoints


SMALL = ["v1_plain/model.ckpt-2", "v1_partitioned/vars.ckpt", "v1_partitioned/tiles.ckpt"]


@pytest.mark.parametrize("name", SMALL)
def test_file_cut_at_every_length_raises_format_error(tmp_path, name):
    whole = (GOLDEN / name).read_bytes()
    path = tmp_path / "cut"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])

        with pytest.raises(FormatError, match=re.escape(str(path))):
            V1Checkpoint(str(path))
        assert open_v1(str(path)) is None


@pytest.mark.parametrize("name", SMALL)
def test_file_with_any_byte_changed_is_an_error_or_the_same_values(tmp_path, name):
    whole = (GOLDEN / name).read_bytes()
    expected = read_everything(GOLDEN / name)
    path = tmp_path / "changed"
    caught = 0
    for at in range(len(whole)):
        for change in (0x01, 0x80, 0xFF):
            data = bytearray(whole)
            data[at] ^= change
            path.write_bytes(data)
            try:
                assert read_everything(path) == expected
            except FormatError:
                caught += 1

    assert caught > 2 * len(whole)  # all but the padding of the footer, and the empty metaindex


def test_data_that_was_changed_is_a_checksum_error(tmp_path):
    path = tmp_path / "large"
    write_v1(path, {"a": np.zeros(200_000, np.float32), "b": np.ones(2, np.float32)}, sync=False)
    data = bytearray(path.read_bytes())
    data[400_000] ^= 1
    path.write_bytes(data)

    with V1Checkpoint(str(path)) as ckpt:
        with pytest.raises(ChecksumError, match=re.escape(str(path))):
            ckpt["a"]
        assert ckpt["b"].tolist() == [1, 1]
        assert [type(problem) for problem in ckpt.problems()] == [ChecksumError]
        with pytest.raises(ChecksumError):
            ckpt.verify()


HUGE = 2**62
BROKEN_META = {
    "no meta record": [(b"x", b"")],
    "an empty meta record": [(b"", b"")],
    "a header of V2": [(b"", bytes.fromhex("08011a020801"))],
    "bytes that are no message": [(b"", b"\x0a\x05\x0a")],
    "a tensor that is no message": [meta_record(b"\x0a\x05w")],
    "a tensor without a name": [meta_record(listed(b"", FLOAT, (2,)))],
    "a tensor without slices": [meta_record(message((1, b"w"), (2, b""), (3, FLOAT)))],
    "a negative dimension": [meta_record(listed(b"w", FLOAT, (-1,)))],
    "too many elements": [meta_record(listed(b"w", FLOAT, (HUGE, HUGE)))],
    "too many elements beside none": [meta_record(listed(b"w", FLOAT, (0, HUGE, HUGE)))],
    "an unknown rank": [
        meta_record(message((1, b"w"), (2, message((3, 1))), (3, FLOAT), (4, b"")))
    ],
    "255 dimensions": [meta_record(listed(b"w", FLOAT, (1,) * 255))],
    "a slice of another rank": [meta_record(listed(b"w", FLOAT, (2,), [WHOLE, WHOLE]))],
    "a slice beyond the shape": [meta_record(listed(b"w", FLOAT, (2,), [(1, 2)]))],
    "a slice at a negative place": [meta_record(listed(b"w", FLOAT, (2,), [(-1, 2)]))],
    "a slice of a negative length": [meta_record(listed(b"w", FLOAT, (2,), [(0, -2)]))],
    "a slice whose end overflows": [meta_record(listed(b"w", FLOAT, (2,), [(2, 2**63 - 1)]))],
    "one tensor of two dtypes": [meta_record(W, listed(b"w", INT32, (2,)))],
    "one tensor of two shapes": [meta_record(W, listed(b"w", FLOAT, (3,)))],
    "a shape of many bytes": [meta_record(message((1, b"w"), (2, bytes(1 << 17)), (4, b"")))],
    "keys out of order": [(b"b", b""), (b"a", b"")],
}


@pytest.mark.parametrize("kind", BROKEN_META)
def test_broken_meta_record_raises_format_error(tmp_path, kind):
    path = tmp_path / "broken"
    path.write_bytes(bb.build_table(BROKEN_META[kind]))

    with pytest.raises(FormatError, match=re.escape(str(path))):
        V1Checkpoint(str(path))


@pytest.mark.parametrize("versions", [message((1, 9), (2, 2)), message((1, 1), (3, b"\x05\x01"))])
def test_checkpoint_for_newer_readers_only_is_unsupported(tmp_path, versions):
    path = make_file(tmp_path / "new", meta_record(W, versions=versions), W_DATA)

    with pytest.raises(UnsupportedError, match=re.escape(path)):
        V1Checkpoint(path)


def one(dtype, shape, box, *values):
    """A checkpoint of one tensor of one slice."""
    return [meta_record(listed(b"w", dtype, shape, box)), data_record(b"w", box, *values)]


def two(shape, first, second):
    """A checkpoint of one float tensor of two slices."""
    boxes = (first, second)
    records = [
        data_record(b"w", box, floats(*range(np.prod([length for _, length in box], dtype=int))))
        for box in boxes
    ]
    return [meta_record(listed(b"w", FLOAT, shape, *boxes)), *dict(records).items()]


BROKEN_DATA = {
    "no record": [meta_record(W)],
    "a record that is no message": [meta_record(W), (slice_key(b"w", [WHOLE]), b"\x12\x05")],
    "a record without data": [meta_record(W), (slice_key(b"w", [WHOLE]), b"")],
    "too few values": one(FLOAT, (3,), [WHOLE], floats(1, 2)),
    "too many values": one(FLOAT, (1,), [WHOLE], floats(1, 2)),
    "one value for all": one(FLOAT, (3,), [WHOLE], floats(1)),
    "no values": one(FLOAT, (3,), [WHOLE]),
    "values for no elements": one(FLOAT, (0,), [WHOLE], floats(1)),
    "values of another dtype": one(FLOAT, (1,), [WHOLE], varints(1)),
    "half a value": one(FLOAT, (1,), [WHOLE], (5, b"\0\0\0")),
    "half a complex value": one(8, (1,), [WHOLE], (9, bytes(4))),
    "a varint that does not end": one(INT32, (1,), [WHOLE], (7, b"\x80")),
    "a varint of 11 bytes": one(INT32, (1,), [WHOLE], (7, b"\xff" * 10 + b"\1")),
    "values as bytes": one(FLOAT, (2,), [WHOLE], (4, bytes(8))),
    "a huge claim": one(FLOAT, (2**59 - 1,), [WHOLE], floats(1, 2)),
    "a huge claim of parts": two((2**59 - 1,), [(0, 2)], [(2, 3)]),
    "a slice twice": [meta_record(listed(b"w", FLOAT, (2,), [WHOLE], [WHOLE])), W_DATA],
    "a tensor twice": [meta_record(W, W), W_DATA],
    "one slice of two": one(FLOAT, (4,), [(0, 2)], floats(1, 2)),
    "a gap": two((6,), [(0, 2)], [(3, 3)]),
    "an overlap": two((4,), [(0, 3)], [(2, 2)]),
    "an overlap that hides a gap": two((5,), [(0, 3)], [(2, 2)]),
    "an overlap and a gap in a plane": two((2, 2), [(0, 1), (0, 2)], [(0, 2), (0, 1)]),
}


@pytest.mark.parametrize("kind", BROKEN_DATA)
def test_broken_tensor_raises_format_error_that_names_it(tmp_path, kind):
    path = make_file(tmp_path / "broken", *BROKEN_DATA[kind])

    with V1Checkpoint(path) as ckpt:
        with pytest.raises(FormatError, match="tensor 'w'") as caught:
            ckpt["w"]
        problems = list(ckpt.problems())

    assert caught.value.path == path
    assert [str(problem) for problem in problems] == [str(caught.value)]


@pytest.mark.parametrize("dtype", [0, 14, 15, 16, 20, 21, 22, 23, 29, 99, 101, 2**40])
def test_dtype_that_v1_does_not_have_is_unsupported(tmp_path, dtype):
    path = make_file(tmp_path / "odd", meta_record(listed(b"odd", dtype, (2,)), W), W_DATA)

    with V1Checkpoint(path) as ckpt:
        with pytest.raises(UnsupportedError, match="'odd'"):
            ckpt["odd"]
        assert ckpt["w"].tolist() == [1, 2]
        assert [type(problem) for problem in ckpt.problems()] == [UnsupportedError]


@pytest.mark.parametrize("last", [0, 1])
def test_more_dimensions_than_numpy_has_are_unsupported(tmp_path, last):
    shape = (1,) * 69 + (last,)
    whole = [WHOLE] * 70
    path = make_file(tmp_path / "deep", *one(FLOAT, shape, whole, floats(*[1] * last)))

    with V1Checkpoint(path) as ckpt:
        assert ckpt.info("w").shape == shape
        with pytest.raises(UnsupportedError, match="70"):
            ckpt["w"]
        with pytest.raises(UnsupportedError, match="70"):
            ckpt.get_slice("w")[0]


def test_overlap_beside_the_part_that_is_asked_for_does_no_harm(tmp_path):
    boxes = [[(0, 2)], [(2, 2)], [(3, 1)]]
    records = [data_record(b"w", box, floats(*range(box[0][1]))) for box in boxes]
    path = make_file(tmp_path / "w", meta_record(listed(b"w", FLOAT, (4,), *boxes)), *records)

    with V1Checkpoint(path) as ckpt:
        assert ckpt.get_slice("w")[:3].tolist() == [0, 1, 0]
        with pytest.raises(FormatError, match="exactly once"):
            ckpt.get_slice("w")[3]


MUCH = 500_000
CLAIMS = {
    "dimensions": meta_record(message((1, b"w"), (2, b"\x12\x00" * MUCH), (4, b""))),
    "slices": meta_record(message((1, b"w"), (3, FLOAT), (4, [b""] * MUCH))),
    "whole slices": meta_record(listed(b"w", FLOAT, (2**40,), *[[WHOLE]] * (MUCH // 16))),
    "extents": meta_record(message((1, b"w"), (3, FLOAT), (4, b"\x0a\x00" * MUCH))),
    "tensors": meta_record(*[b""] * MUCH),
    "elements": meta_record(listed(b"w", FLOAT, (2**40,)), *[listed(b"x", UINT8, (2**58,))]),
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_claims_take_little_memory(tmp_path, kind):
    path = tmp_path / "claims"
    path.write_bytes(bb.build_table([CLAIMS[kind], W_DATA]))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            V1Checkpoint(str(path))["w"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 64 * path.stat().st_size + (1 << 20)


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


# ---- what a path means


def shard_names(prefix, count):
    return [f"{prefix}-{i:05d}-of-{count:05d}" for i in range(count)]


@pytest.fixture
def sharded(tmp_path):
    """The prefix of a checkpoint of three shards."""
    tensors = {f"t{i}": np.full(3, i, np.float32) for i in range(6)}
    assert write_v1(tmp_path / "m", tensors, num_shards=3) == f"{tmp_path}/m-?????-of-00003"
    return str(tmp_path / "m")


def test_shard_and_pattern_mean_all_shards(sharded):
    paths = [*shard_names(sharded, 3), f"{sharded}-?????-of-00003", f"{sharded}-*-of-00003"]
    for path in paths:
        with open_v1(path) as ckpt:
            assert ckpt.path == f"{sharded}-?????-of-00003"
            assert (ckpt.num_shards, len(ckpt)) == (3, 6)
            assert [info.shard for info in ckpt.infos()] == [0, 0, 1, 1, 2, 2]
            assert [ckpt[f"t{i}"].tolist() for i in range(6)] == [[i] * 3 for i in range(6)]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_missing_shard_is_named(sharded, missing):
    names = shard_names(sharded, 3)
    os.unlink(names[missing])
    for path in [names[(missing + 1) % 3], names[missing], f"{sharded}-?????-of-00003"]:
        with pytest.raises(FileNotFoundError, match=f"shard {missing + 1} of 3") as caught:
            open_v1(path)

        assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, names[missing])


def test_number_that_is_no_shard_is_part_of_a_name(tmp_path):
    path = tmp_path / "run-00003-of-00003"
    write_v1(path, {"w": 1.0})

    with open_v1(str(path)) as ckpt:
        assert (ckpt.path, ckpt.num_shards) == (str(path), 1)


def test_same_tensor_in_two_shards_is_an_error(sharded):
    first, second, _ = shard_names(sharded, 3)
    Path(second).write_bytes(Path(first).read_bytes())

    with open_v1(first) as ckpt, pytest.raises(FormatError, match="exactly once"):
        ckpt["t0"]


def test_tensor_that_differs_between_shards_is_an_error(sharded):
    first, second, _ = shard_names(sharded, 3)
    write_v1(second, {"t0": np.zeros(4)})

    with pytest.raises(FormatError, match="'t0'") as caught:
        open_v1(first)

    assert caught.value.path == second


@pytest.mark.parametrize(
    "name",
    [
        "tf1_saver/model.ckpt-40.index",
        "tf1_saver/model.ckpt-40",
        "tf1_saver/model.ckpt-40.data-00000-of-00001",
        "tf1_saver/model.ckpt-40.data-?????-of-00001",
        "tf1_saver/model.ckpt-40.meta",
        "tf1_saver/checkpoint",
        "tf1_saver",
        "v1_plain",
        "nothing/here",
        "nothing/here-?????-of-00003",
        "nothing-00000-of-00000",
        "nul\0-00000-of-00003",
        "",
    ],
)
def test_what_is_not_v1_is_not_opened(name):
    assert open_v1(os.path.join(GOLDEN, name)) is None


@pytest.mark.parametrize("name", ["tf1_saver", "nothing", "v1_sharded/model.ckpt-5"])
def test_class_raises_oserror_for_what_is_no_file(name):
    with pytest.raises(OSError):
        V1Checkpoint(str(GOLDEN / name))


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert open_v1(str(tmp_path / "pipe")) is None


def test_read_and_load_open_v1():
    folder = GOLDEN / "v1_sharded"
    for path in [folder, folder / "checkpoint", folder / "model.ckpt-5-00001-of-00003"]:
        with fastckpt.read(path) as ckpt:
            assert ckpt.format == "V1"
            loaded = fastckpt.load(path, threads=2)
            assert list(loaded) == list(ckpt) == ["dev0/w", "dev1/w", "dev2/w"]
            assert all((loaded[name] == ckpt[name]).all() for name in ckpt)


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


def values_digest(array):
    """What expected.json calls sha256."""
    data = array.tobytes()
    if array.dtype == object:
        items = array.reshape(-1).tolist()
        data = b"".join(struct.pack("<Q", len(item)) + item for item in items)
    return hashlib.sha256(data).hexdigest()


@every_case
def test_tensor_has_the_values_that_tensorflow_reads(case):
    with open_v1(case.path) as ckpt:
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

    with open_v1(case.path) as ckpt:
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

    with open_v1(case.path) as ckpt:
        array = ckpt.get_slice(part["key"])[tuple(index)]

    assert list(array.shape) == part["shape"]
    assert values_digest(array) == part["sha256"]


INDEXES = [..., (), 0, -1, 1 << 40, slice(1, 3), slice(5, 1), slice(-2, None), (None, 0)]
INDEXES += [slice(None, None, 2), slice(None, None, -1), (0, 0), (..., slice(1, None))]


@every_case
def test_slice_handle_indexes_like_the_array(case):
    with open_v1(case.path) as ckpt:
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


def parts_of(ckpt):
    """What `write_parts` takes, of an open checkpoint: its dtypes and slices as they are."""
    for name in ckpt:
        entry = ckpt._entry(name)
        for box, array in ckpt._read_parts(name):
            box = (WHOLE,) * array.ndim if box is None else box
            yield Part(name, by_number(entry.dtype), entry.shape, box, array)


@every_case
def test_file_is_written_again_byte_for_byte(case, tmp_path):
    for number, file in enumerate(case.files):
        with V1Checkpoint(str(file)) as ckpt:
            path = write_parts(tmp_path / str(number), list(parts_of(ckpt)), sync=False)

        assert Path(path).read_bytes() == file.read_bytes()


@every_case
def test_conversion_to_v2_keeps_values_dtypes_and_slices(case, tmp_path):
    with open_v1(case.path) as old:
        with fastckpt.Writer(tmp_path / "new", sync=False) as writer:
            for name in old:
                writer.add_from(old, name)
        with fastckpt.read(tmp_path / "new") as new:
            assert list(new) == list(old)
            for a, b in zip(old.infos(), new.infos(), strict=True):
                assert (a.tf_dtype, a.shape, a.slices) == (b.tf_dtype, b.shape, b.slices)
                assert values_digest(old[a.name]) == values_digest(new[a.name])


# ---- the mapping


@pytest.fixture
def plain():
    with V1Checkpoint(str(GOLDEN / "v1_plain" / "model.ckpt-3")) as ckpt:
        yield ckpt


def test_mapping_knows_its_names(plain):
    assert list(plain) == list(plain.keys()) == ["global_step", "ids", "layer/b", "w"]
    assert "w" in plain and np.str_("w") in plain
    assert "x" not in plain and b"w" not in plain and 0 not in plain and "" not in plain
    assert plain.get("x", 7) == 7
    assert dict(plain)["ids"].tolist() == [-1, 0, 1, 300, -70000]
    assert plain["global_step"].shape == () and plain["global_step"] == 3


def test_missing_tensor_is_named_beside_the_closest(plain):
    for find in (plain.get_tensor, plain.get_slice, plain.info, plain.__getitem__):
        with pytest.raises(TensorNotFoundError, match="did you mean 'layer/b'"):
            find("layer/bb")
        with pytest.raises(TypeError):
            find(b"w")


def test_view_cannot_be_had(plain):
    with pytest.raises(ValueError, match="tensor 'w'.*encoded"):
        plain.get_tensor("w", copy=False)
    with pytest.raises(TensorNotFoundError):
        plain.get_tensor("x", copy=False)


def test_part_of_a_tensor_does_not_hold_the_whole():
    with V1Checkpoint(str(GOLDEN / "v1_strings" / "model.ckpt")) as ckpt:
        part = ckpt.get_slice("repetitive")[3:5]

    assert part.base is None or part.base.nbytes <= part.nbytes
    assert part.tolist() == [3, 4]


def test_info_has_the_slices_of_a_partitioned_tensor():
    with V1Checkpoint(str(GOLDEN / "v1_partitioned" / "vars.ckpt")) as ckpt:
        emb, other = ckpt.infos()

    rows = [slice(0, 3), slice(3, 5), slice(5, 7)]
    assert emb.slices == tuple((row, slice(0, 3)) for row in rows)
    assert (emb.shard, emb.nbytes) == (None, 84)
    assert (other.slices, other.shard, other.nbytes) == ((), 0, 12)


def test_only_the_parts_that_an_index_touches_are_read(tmp_path):
    boxes = [[(0, 2)], [(2, 2)]]
    meta = meta_record(listed(b"w", FLOAT, (4,), *boxes))
    path = make_file(tmp_path / "half", meta, data_record(b"w", boxes[0], floats(1, 2)))

    with V1Checkpoint(path) as ckpt:
        assert ckpt.get_slice("w")[1].tolist() == 2
        with pytest.raises(FormatError, match="slice 2,2 of tensor 'w'"):
            ckpt.get_slice("w")[1:3]


def test_closed_checkpoint_says_so(plain):
    array = plain["w"]
    handle = plain.get_slice("w")
    plain.close()

    assert array.shape == (5, 4)
    assert "closed" in repr(plain)
    for use in (
        lambda: plain["w"],
        lambda: handle[0],
        lambda: "w" in plain,
        lambda: len(plain),
        lambda: list(plain),
        lambda: plain.infos(),
        lambda: list(plain.problems()),
    ):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_repr_says_what_it_is(plain, sharded):
    assert repr(plain) == f"<checkpoint {plain.path!r}: format V1, shards: 1>"
    assert "shards: 3" in repr(open_v1(f"{sharded}-?????-of-00003"))


def test_checkpoint_is_pickled_by_its_path(sharded):
    ckpt = open_v1(f"{sharded}-?????-of-00003")
    for other in (pickle.loads(pickle.dumps(ckpt)), copy.copy(ckpt)):
        assert (other.path, list(other)) == (ckpt.path, list(ckpt))
        assert other["t5"].tolist() == [5, 5, 5]


def test_threads_share_a_checkpoint(tmp_path):
    tensors = {f"t{i:03d}": np.full(1000 + i, i, np.float32) for i in range(300)}
    write_v1(tmp_path / "m", tensors, sync=False)
    wrong = []
    with V1Checkpoint(str(tmp_path / "m")) as ckpt:

        def read(step):
            for name in list(ckpt)[::step]:
                if ckpt[name].tolist() != tensors[name].tolist():
                    wrong.append(name)

        threads = [threading.Thread(target=read, args=(step,)) for step in (1, -1, 2, -3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []


def test_reading_through_does_not_keep_the_file_in_memory(tmp_path):
    write_v1(tmp_path / "m", {f"t{i}": np.zeros(1 << 18) for i in range(16)}, sync=False)
    with V1Checkpoint(str(tmp_path / "m")) as ckpt:
        tracemalloc.start()
        try:
            for name in ckpt:
                ckpt[name]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak < 8 << 20  # a tensor is 2 MB, the file 32


# ---- writing: what is refused


@pytest.mark.parametrize(
    ("tensors", "error", "match"),
    [
        ({"": 1.0}, ValueError, "empty"),
        ({"\ud800": 1.0}, ValueError, "tensor"),
        ({"\udcff": 1.0}, ValueError, "UTF-8"),
        ({b"w": 1.0}, TypeError, "name"),
        ({"w": np.zeros(2, "datetime64[s]")}, TypeError, "'w'"),
        ({"w": np.array([1, None])}, TypeError, "'w'"),
        ({"w": np.zeros(2, np.uint32)}, TypeError, "'w'.*uint32"),
        ({"w": np.zeros(2, np.uint64)}, TypeError, "'w'.*uint64"),
        ({"w": np.zeros(2, numpy_dtype("bfloat16"))}, TypeError, "'w'.*bfloat16"),
        ({"w": np.zeros(2, numpy_dtype("int4"))}, TypeError, "'w'.*int4"),
        ({"w": np.zeros(2, numpy_dtype("float8_e5m2"))}, TypeError, "'w'.*float8_e5m2"),
        ([1.0], TypeError, "mapping"),
    ],
)
def test_value_that_v1_cannot_hold_is_refused(tmp_path, tensors, error, match):
    if isinstance(tensors, dict):
        tensors = {"before": 1.0, **tensors}
    with pytest.raises(error, match=match):
        write_v1(tmp_path / "m", tensors)

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("float32", 4), ("float64", 8), ("int8", 10), ("uint8", 2), ("bool", 1), ("float16", 3)],
)
def test_tensor_that_tensorflow_finds_too_large_is_refused(tmp_path, dtype, size):
    # TensorFlow reckons 1 KiB and the header: 3 bytes of the name, 4 of the slice
    most = (2**31 - 1024 - 7) // size
    large = np.broadcast_to(np.zeros((), dtype), most + 1)

    with pytest.raises(ValueError, match="'w' is too large.*2147483648"):
        write_v1(tmp_path / "m", {"w": large})

    assert os.listdir(tmp_path) == []


def test_strings_that_tensorflow_finds_too_large_are_refused(tmp_path):
    strings = np.empty(1025, object)
    strings[:] = [bytes(1 << 21)] * 1025

    with pytest.raises(ValueError, match="'w' is too large"):
        write_v1(tmp_path / "m", {"w": strings})


@pytest.mark.parametrize("num_shards", [0, -1])
def test_number_of_shards_must_be_positive(tmp_path, num_shards):
    with pytest.raises(ValueError, match="num_shards"):
        write_v1(tmp_path / "m", {"w": 1.0}, num_shards=num_shards)


def float_part(box, shape=(4,), name="w", dtype=FLOAT):
    size = [dim if length < 0 else length for (_, length), dim in zip(box, shape, strict=False)]
    array = np.zeros(size, by_number(dtype).numpy)
    return Part(name, by_number(dtype), shape, tuple(box), array)


BROKEN_PARTS = {
    "a gap": [float_part([(0, 2)]), float_part([(3, 1)])],
    "an overlap": [float_part([(0, 3)]), float_part([(2, 2)])],
    "the same slice": [float_part([(0, 4)]), float_part([(0, 4)])],
    "the same tensor": [float_part([WHOLE]), float_part([WHOLE])],
    "the same empty tensor": [float_part([WHOLE], (0,)), float_part([WHOLE], (0,))],
    "beyond the shape": [float_part([(2, 3)])],
    "another rank": [float_part([(0, 4), (0, 1)])],
    "another shape than the array's": [float_part([WHOLE])._replace(array=np.zeros(3))],
    "two dtypes": [float_part([(0, 2)]), float_part([(2, 2)], dtype=INT32)],
    "two shapes": [float_part([(0, 2)], (2,)), float_part([(0, 2)], (4,))],
}


@pytest.mark.parametrize("kind", BROKEN_PARTS)
def test_parts_that_are_no_tensor_are_refused(tmp_path, kind):
    with pytest.raises(ValueError, match="tensor 'w'"):
        write_parts(tmp_path / "m", BROKEN_PARTS[kind])

    assert os.listdir(tmp_path) == []


# ---- writing: files


def test_failure_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "m"
    write_v1(path, {"w": 1.0})
    before = path.read_bytes()

    def fail(*paths):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        with pytest.raises(OSError, match="full"):
            write_v1(path, {"w": 2.0})

    assert os.listdir(tmp_path) == ["m"]
    assert path.read_bytes() == before


def test_file_is_replaced_not_changed(tmp_path):
    path = tmp_path / "m"
    write_v1(path, {"w": 1.0})
    with V1Checkpoint(str(path)) as old:
        write_v1(path, {"w": 2.0, "v": 3.0})

        assert dict(old) == {"w": 1.0}
    assert dict(V1Checkpoint(str(path))) == {"v": 3.0, "w": 2.0}


def test_files_of_dead_writers_are_removed(tmp_path):
    dead = "m.tmp-0123456789abcdef"
    for name in (dead, "other.tmp-0123456789abcdef"):
        (tmp_path / name).write_bytes(b"half")

    write_v1(tmp_path / "m", {"w": 1.0})

    assert sorted(os.listdir(tmp_path)) == ["m", "other.tmp-0123456789abcdef"]


def test_folder_is_made_and_path_given_back(tmp_path):
    path = tmp_path / "new" / "m"

    assert write_v1(path, {"w": 1.0}) == str(path)
    assert write_v1(os.fsencode(path), {"w": 1.0}, num_shards=1) == f"{path}-?????-of-00001"
    assert sorted(os.listdir(path.parent)) == ["m", "m-00000-of-00001"]


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_neighbours_share_a_shard_and_shards_have_as_many_bytes(tmp_path, count):
    tensors = {f"t{i:02d}": np.full(100, i, np.int64) for i in range(20)}

    path = write_v1(tmp_path / "m", tensors, num_shards=count)

    assert len(os.listdir(tmp_path)) == count
    with open_v1(path) as ckpt:
        shards = [info.shard for info in ckpt.infos()]
        assert shards == [i * count // 20 for i in range(20)]
        assert all((ckpt[name] == tensors[name]).all() for name in tensors)


def test_empty_checkpoint_is_read_again(tmp_path):
    path = write_v1(tmp_path / "m", {})

    assert dict(open_v1(path)) == {}
    assert list(open_v1(path).problems()) == []


KNOWN = bytes.fromhex(
    "0000390a370a090a01621200180922000a0f0a0173120412020803180722020a000a150a01771208120208021202"
    "080218012204""0a000a001202080100050c0062000100120a0a016212001a035201070107167300010101807f1214"
    "0a017312020a001a0b420261624200420378797a01091f7700010102807f807f121d0a017712040a000a001a122a"
    "100000803f000000400000404000008040000000000100000000e354d643000000000100000000c0f2a1b0000103"
    "0100a30100000000010000000099df92efa80108b5010f000000000000000000000000000000000000000000000000"
    "0000000000000000000057fb808b247547db"
)  # fmt: skip
RECORDS = {
    ("float32", (1, 0, 1)): "12170a017812020a001a0e2a0c0000803f000000000000803f",
    ("int32", (1, 0, 1)): "120e0a017812020a001a053a03010001",
    ("uint8", (1, 0, 1)): "120e0a017812020a001a053a03010001",
    ("int8", (1, 0, 1)): "120e0a017812020a001a053a03010001",
    ("int16", (1, 0, 1)): "120e0a017812020a001a053a03010001",
    ("uint16", (1, 0, 1)): "120e0a017812020a001a053a03010001",
    ("int64", (1, 0, 1)): "120e0a017812020a001a055203010001",
    ("bool", (1, 0, 1)): "120e0a017812020a001a055a03010001",
    ("float16", (1, 0, 1)): "12100a017812020a001a076a058078008078",
    ("int16", (-1, 2)): "12160a017812020a001a0d3a0bffffffffffffffffff0102",
}


def test_known_tensors_give_the_known_bytes(tmp_path):
    w = np.array([[1, 2], [3, 4]], np.float32)

    write_v1(tmp_path / "m", {"w": w, "b": np.int64(7), "s": ["ab", "", "xyz"]})

    assert (tmp_path / "m").read_bytes() == KNOWN


@pytest.mark.parametrize(("dtype", "values"), RECORDS)
def test_known_values_give_the_known_record(tmp_path, dtype, values):
    write_v1(tmp_path / "m", {"x": np.array(values, dtype)})

    records = dict(bb.parse_table((tmp_path / "m").read_bytes()))
    assert records[slice_key(b"x", [WHOLE])].hex() == RECORDS[dtype, values]


names = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.tuples(st.sampled_from("a/\0ÿ"), st.integers(1, 3000)).map(lambda x: x[0] * x[1]),
)
texts = st.one_of(st.binary(max_size=5), st.sampled_from([b"x" * 127, b"\0" * 128, b"y" * 20000]))


@st.composite
def arrays(draw):
    """An array of any dtype of V1, with any bits."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    count = int(np.prod(shape))
    if dtype == "string":
        array = np.empty(count, object)
        array[:] = draw(st.lists(texts, min_size=count, max_size=count))
        return array.reshape(shape)
    size = count * numpy_dtype(dtype).itemsize
    return from_bytes(dtype, shape, draw(st.binary(min_size=size, max_size=size)))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tensors=st.dictionaries(names, arrays(), max_size=6),
    num_shards=st.one_of(st.none(), st.integers(1, 4)),
)
def test_round_trip_is_exact(tmp_path, tensors, num_shards):
    path = write_v1(tmp_path / "m", tensors, num_shards=num_shards, sync=False)

    with open_v1(path) as ckpt:
        assert list(ckpt) == sorted(tensors, key=str.encode)
        assert {name: to_tensor(array) for name, array in ckpt.items()} == {
            name: to_tensor(array) for name, array in tensors.items()
        }
        assert list(ckpt.problems()) == []


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=arrays(), data=st.data())
def test_partitioned_round_trip_is_exact(tmp_path, array, data):
    boxes = [()]
    for dim in array.shape:
        cuts = sorted({0, dim, *data.draw(st.sets(st.integers(0, dim), max_size=3))})
        pairs = [(a, b - a) for a, b in zip(cuts, cuts[1:], strict=False)] or [WHOLE]
        boxes = [(*box, pair) for box in boxes for pair in pairs]
    dtype = by_number(fastckpt_number(array))
    parts = []
    for box in data.draw(st.permutations(boxes)):
        index = tuple(slice(a, None if n < 0 else a + n) for a, n in box)
        parts.append(Part("w", dtype, array.shape, box, array[(*index, ...)]))

    path = write_parts(tmp_path / "m", parts, num_shards=2, sync=False)

    with open_v1(path) as ckpt:
        assert to_tensor(ckpt["w"]) == to_tensor(array)
        assert to_tensor(np.asarray(ckpt.get_slice("w")[..., :1] if array.ndim else array)) == (
            to_tensor(array[..., :1] if array.ndim else array)
        )


def fastckpt_number(array):
    return STRING if array.dtype == object else NUMBERS[array.dtype.name]


NUMBERS = {
    by_number(number).name: number for number in range(1, 20) if by_number(number).name in DTYPES
}


@pytest.mark.parametrize(
    "make",
    [
        lambda array: array[::2],
        lambda array: array[:, 1],
        lambda array: array.T,
        lambda array: array.astype(array.dtype.newbyteorder(">")),
        lambda array: np.broadcast_to(array, (3, *array.shape)),
        lambda array: np.asfortranarray(array),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "complex128", "float16", "int16"])
def test_memory_of_any_layout_is_written(tmp_path, make, dtype):
    value = make(np.arange(24).reshape(4, 6).astype(dtype))

    path = write_v1(tmp_path / "m", {"w": value}, sync=False)

    found = open_v1(path)["w"]
    assert found.shape == value.shape and (found == value).all()


# ---- real TensorFlow


WORKER = """
import os, pickle, sys
from oracle import Worker
worker = Worker()
tf, v1 = worker.tf, worker.v1
ops, folder = pickle.load(sys.stdin.buffer)
os.chdir(folder)
for path, names, specs, tensors in ops:
    values = [worker._decode(*tensor) for tensor in tensors]
    strings = worker._strings(names, [len(names)])
    if specs is None:
        tf.raw_ops.Save(filename=path, tensor_names=strings, data=values)
    else:
        specs = worker._strings([spec.encode() for spec in specs], [len(names)])
        tf.raw_ops.SaveSlices(
            filename=path, tensor_names=strings, shapes_and_slices=specs, data=values)

def save(path, sharded):
    with tf.Graph().as_default():
        rows = tf.constant([[i * 10.0 + j for j in range(4)] for i in range(7)])
        with tf.device("/cpu:0"):
            v1.get_variable("rows", initializer=rows, use_resource=True,
                            partitioner=v1.fixed_size_partitioner(3, axis=0))
        for device in range(3):
            with tf.device("/cpu:%d" % device):
                v1.get_variable("dev%d" % device, initializer=tf.constant([device, -1], tf.int32),
                                use_resource=False)
        saver = v1.train.Saver(sharded=sharded, write_version=v1.train.SaverDef.V1)
        with v1.Session(config=v1.ConfigProto(device_count={"CPU": 3})) as session:
            session.run(v1.global_variables_initializer())
            saver.save(session, path, write_meta_graph=False, write_state=False)

save("./saver", False)
save("./saver_sharded", True)
"""


def sample(dtype, shape, seed=0):
    random = np.random.default_rng([seed, *shape, *dtype.encode()])
    count = int(np.prod(shape))
    if dtype != "string":
        return from_bytes(dtype, shape, random.bytes(count * numpy_dtype(dtype).itemsize))
    array = np.empty(count, dtype=object)
    array[:] = [random.bytes(int(size)) for size in random.integers(0, 300, count)]
    return array.reshape(shape)


SHAPES = [(), (3,), (2, 3), (0, 4), (1, 2, 1, 2)]
BY_SAVE = {
    "every": {f"{d}/{s}": sample(d, s) for d in DTYPES for s in SHAPES},
    "many": {f"layer_{i}/w": sample("float32", (i % 150,), i) for i in range(1200)},
    "large": {
        "huge": sample("float64", (100_000,)),
        "middle": sample("int32", (20_000,)),
        "more": sample("string", (2000,)),
        "small": sample("float16", (5,)),
        "z" * 300: sample("uint8", (300_000,)),
        "ü/重み": sample("bool", (2, 2)),
    },
}
QUANTIZED_V1 = ["qint8", "quint8", "qint32"]
GRID = sample("int64", (4, 6))
CUBE = sample("string", (2, 3, 4))
LINE = sample("complex64", (9,))
BY_SLICES = [  # (name, array, spec) in the order of the op
    *[("grid", GRID[r : r + 2, c : c + 3], f"4 6 {r},2:{c},3") for c in (0, 3) for r in (2, 0)],
    *[("cube", CUBE[:, i : i + 1], f"2 3 4 -:{i},1:-") for i in range(3)],
    *[("cube2", CUBE[i : i + 1, :2], f"2 3 4 {i},1:0,2:-") for i in range(2)],
    *[("cube2", CUBE[:, 2:, k : k + 2], f"2 3 4 0,2:2,1:{k},2") for k in (0, 2)],
    ("a", LINE[:4], "9 0,4"),
    ("a", LINE[4:], "9 4,5"),
    ("whole", LINE, "9 0,9"),
    ("plain", LINE, ""),
]


def spec_box(spec, array):
    if not spec:
        return array.shape, (WHOLE,) * array.ndim
    *dims, extents = spec.split(" ")
    pairs = [WHOLE if e == "-" else tuple(map(int, e.split(","))) for e in extents.split(":")]
    return tuple(map(int, dims)), tuple(pairs)


@pytest.fixture(scope="module")
def written(oracle, tmp_path_factory):
    """A folder of V1 checkpoints that TensorFlow wrote."""
    folder = tmp_path_factory.mktemp("tensorflow")
    ops = [
        (
            f"./{name}",
            [key.encode() for key in tensors],
            None,
            list(map(to_tensor, tensors.values())),
        )
        for name, tensors in BY_SAVE.items()
    ]
    keys, arrays, specs = zip(*BY_SLICES, strict=True)
    ops.append(("./slices", [k.encode() for k in keys], list(specs), list(map(to_tensor, arrays))))
    quantized = [(dtype, (3,), sample(QUANTIZED[dtype], (3,)).tobytes()) for dtype in QUANTIZED_V1]
    ops.append(("./quantized", [dtype.encode() for dtype in QUANTIZED_V1], None, quantized))
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2", CUDA_VISIBLE_DEVICES="-1")
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [oracle.python, "-c", WORKER],
        input=pickle.dumps((ops, str(folder)), protocol=4),
        capture_output=True,
        timeout=180,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return folder


@pytest.mark.parametrize("name", BY_SAVE)
def test_what_tensorflow_saved_is_read_and_written_alike(written, tmp_path, name):
    tensors = BY_SAVE[name]

    with open_v1(str(written / name)) as ckpt:
        assert list(ckpt.problems()) == []
        assert {key: to_tensor(array) for key, array in ckpt.items()} == {
            key: to_tensor(array) for key, array in tensors.items()
        }
    write_v1(tmp_path / name, tensors, sync=False)
    assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_slices_that_tensorflow_saved_are_read_and_written_alike(written, tmp_path):
    whole = {"grid": GRID, "cube": CUBE, "cube2": CUBE, "a": LINE, "whole": LINE, "plain": LINE}
    parts = []
    for name, array, spec in BY_SLICES:
        shape, box = spec_box(spec, array)
        parts.append(Part(name, by_number(fastckpt_number(array)), shape, box, array))

    with open_v1(str(written / "slices")) as ckpt:
        assert {key: to_tensor(array) for key, array in ckpt.items()} == {
            key: to_tensor(array) for key, array in whole.items()
        }
        assert [len(ckpt.info(key).slices) for key in whole] == [4, 3, 4, 2, 0, 0]
        assert (ckpt.get_slice("cube2")[1:, ::2, 1:3] == CUBE[1:, ::2, 1:3]).all()
        assert list(ckpt.problems()) == []
    write_parts(tmp_path / "slices", parts, sync=False)
    assert (tmp_path / "slices").read_bytes() == (written / "slices").read_bytes()


def test_quantized_tensors_that_tensorflow_saved_are_read_and_written_alike(written, tmp_path):
    with open_v1(str(written / "quantized")) as ckpt:
        assert [info.tf_dtype for info in ckpt.infos()] == sorted(QUANTIZED_V1)
        for dtype in QUANTIZED_V1:
            assert to_tensor(ckpt[dtype]) == to_tensor(sample(QUANTIZED[dtype], (3,)))
        write_parts(tmp_path / "q", list(parts_of(ckpt)), sync=False)

    assert (tmp_path / "q").read_bytes() == (written / "quantized").read_bytes()


@pytest.mark.parametrize("path", ["saver", "saver_sharded-?????-of-00003"])
def test_what_a_saver_saved_is_read(written, path):
    with open_v1(str(written / path)) as ckpt:
        assert list(ckpt) == ["dev0", "dev1", "dev2", "rows"]
        assert [ckpt[f"dev{i}"].tolist() for i in range(3)] == [[i, -1] for i in range(3)]
        assert ckpt["rows"].tolist() == [[i * 10.0 + j for j in range(4)] for i in range(7)]
        assert len(ckpt.info("rows").slices) == 3
        assert list(ckpt.problems()) == []


def assert_tensorflow_restores(oracle, path, tensors):
    requests = [(name.encode(), "", to_tensor(array)[0]) for name, array in tensors.items()]

    restored = oracle.restore(path, requests)

    assert restored == [to_tensor(array) for array in tensors.values()]


@pytest.mark.parametrize(
    ("name", "num_shards"),
    [*[("every", n) for n in (None, 1, 3, 7)], ("many", None), ("large", 2)],
)
def test_tensorflow_restores_what_is_written(oracle, tmp_path, name, num_shards):
    path = write_v1(tmp_path / "m", BY_SAVE[name], num_shards=num_shards, sync=False)

    assert_tensorflow_restores(oracle, path, BY_SAVE[name])


def test_tensorflow_restores_slices_of_several_shards(oracle, tmp_path):
    parts = []
    for name, array, spec in BY_SLICES:
        shape, box = spec_box(spec, array)
        parts.append(Part(name, by_number(fastckpt_number(array)), shape, box, array))

    path = write_parts(tmp_path / "m", parts, num_shards=3, sync=False)

    assert_tensorflow_restores(oracle, path, {"grid": GRID, "a": LINE, "cube": CUBE, "cube2": CUBE})
    requests = [(b"grid", "4 6 1,2:2,3", "int64")]
    assert oracle.restore(path, requests) == [to_tensor(GRID[1:3, 2:5].copy())]


READER_DTYPES = ["float32", "float64", "int32", "uint8", "int16", "int8", "int64", "string"]


def test_tensorflows_reader_reads_what_is_written(oracle, tmp_path):
    tensors = {f"{d}/{s}": sample(d, s) for d in READER_DTYPES for s in SHAPES}

    path = write_v1(tmp_path / "m", tensors, num_shards=2, sync=False)

    assert oracle.read(path) == {name.encode(): to_tensor(a) for name, a in tensors.items()}


def test_dtypes_that_are_refused_are_refused_by_tensorflow(oracle, tmp_path):
    for dtype in ("uint32", "uint64", "bfloat16", "qint16", "quint16"):
        record = message((1, b"w"), (2, b""), (3, NUMBERS_REFUSED[dtype]), (4, b""))
        path = make_file(tmp_path / dtype, meta_record(record), data_record(b"w", [], varints(1)))

        with pytest.raises(OracleError):
            oracle.restore(path, [(b"w", "", dtype)])
        with pytest.raises(CheckpointError, match=dtype):
            V1Checkpoint(path)["w"]


NUMBERS_REFUSED = {"bfloat16": 14, "qint16": 15, "quint16": 16, "uint32": 22, "uint64": 23}


READ_ALIKE = {
    "numbers that are too large": one(INT32, (2,), [WHOLE], varints(2**32 - 1, 2**33 + 5)),
    "one slice that spells the whole": one(INT32, (2,), [(0, 2)], varints(3, 4)),
}


@pytest.mark.parametrize("kind", READ_ALIKE)
def test_odd_file_is_read_as_tensorflow_reads_it(oracle, tmp_path, kind):
    path = make_file(tmp_path / "odd", *READ_ALIKE[kind])

    assert oracle.restore(path, [(b"w", "", "int32")]) == [to_tensor(V1Checkpoint(path)["w"])]
