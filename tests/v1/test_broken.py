"""V1 files that are broken, or claim too much."""

import re
import tracemalloc

import bundle_bytes as bb
import numpy as np
import pytest
from places import GOLDEN
from slice_keys import slice_key
from v1_files import (
    FLOAT,
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
    read_everything,
    varints,
)

from fastckpt.errors import ChecksumError, FormatError, UnsupportedError
from fastckpt.paths.resolve import find_v1
from fastckpt.v1.reader import V1Checkpoint
from fastckpt.v1.writer import write_v1

# ---- files put together by hand


W_DATA = data_record(b"w", [WHOLE], floats(1, 2))


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
        assert find_v1(str(path)) is None


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
