"""The meta records of V1: the tensors they list, and those that are refused."""

import re

import bundle_bytes as bb
import pytest
from v1_files import (
    FLOAT,
    INT32,
    WHOLE,
    W,
    data_record,
    floats,
    listed,
    make_file,
    message,
    meta_record,
)

from fastckpt.errors import Fault, FormatError, UnsupportedError
from fastckpt.format._table import Table
from fastckpt.storage.local import File
from fastckpt.v1.meta import read_meta
from fastckpt.v1.reader import V1Checkpoint

HUGE = 2**62
W_DATA = data_record(b"w", [WHOLE], floats(1, 2))


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


# ---- `read_meta`


def read(path, *tensors, shard=0, into=None):
    """Read the meta record of a file of these tensors; return the producer and the tensors."""
    found = {} if into is None else into
    table = Table(File(make_file(path, meta_record(*tensors))))
    return read_meta(table, shard, found), found


def test_tensors_have_name_dtype_shape_and_slices(tmp_path):
    parts = listed(b"p", INT32, (4, 2), [(0, 1), WHOLE], [(1, 3), (0, 2)])

    producer, tensors = read(tmp_path / "m", parts, W, shard=3)

    assert producer == 1
    assert list(tensors) == [b"p", b"w"]
    partitioned, whole = tensors.values()
    assert (partitioned.name, partitioned.dtype, partitioned.shape) == ("p", INT32, (4, 2))
    assert partitioned.what == "tensor 'p'"
    assert partitioned.is_partitioned and not whole.is_partitioned
    assert partitioned.slices == [
        (((0, 1), WHOLE), ((0, 1), (0, 2)), 3),
        (((1, 3), (0, 2)), ((1, 3), (0, 2)), 3),
    ]


def test_slice_with_all_of_the_tensor_makes_no_partition(tmp_path):
    _, tensors = read(tmp_path / "m", listed(b"w", FLOAT, (2,), [(0, 2)]))

    assert not tensors[b"w"].is_partitioned
    assert tensors[b"w"].slices[0].stored == ((0, 2),)


def test_shards_add_their_slices_to_one_tensor(tmp_path):
    _, tensors = read(tmp_path / "0", listed(b"w", FLOAT, (4,), [(0, 1)]))
    read(tmp_path / "1", listed(b"w", FLOAT, (4,), [(1, 3)]), shard=1, into=tensors)

    assert [(part.box, part.shard) for part in tensors[b"w"].slices] == [
        (((0, 1),), 0),
        (((1, 3),), 1),
    ]


@pytest.mark.parametrize("other", [listed(b"w", INT32, (2,)), listed(b"w", FLOAT, (3,))])
def test_shard_that_contradicts_another_is_named_with_the_tensor(tmp_path, other):
    _, tensors = read(tmp_path / "0", W)

    with pytest.raises(FormatError, match="as before") as caught:
        read(tmp_path / "1", other, into=tensors)

    error = caught.value
    assert (error.path, error.tensor, error.fault) == (str(tmp_path / "1"), "w", Fault.MISMATCH)


def test_name_that_is_not_utf8_is_escaped(tmp_path):
    _, tensors = read(tmp_path / "m", listed(b"\xff", FLOAT, ()))

    assert tensors[b"\xff"].name == "\udcff"
