"""Writing V1 files."""

import errno
import os

import bundle_bytes as bb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import numpy_dtype, to_tensor
from slice_keys import slice_key
from v1_files import FLOAT, INT32, WHOLE, arrays, fastckpt_number, names

import fastckpt
from fastckpt.format.dtypes import by_number
from fastckpt.v1.reader import V1Checkpoint
from fastckpt.v1.writer import Part, write_parts, write_v1

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
    with fastckpt.read(path) as ckpt:
        shards = [info.shard for info in ckpt.infos()]
        assert shards == [i * count // 20 for i in range(20)]
        assert all((ckpt[name] == tensors[name]).all() for name in tensors)


def test_empty_checkpoint_is_read_again(tmp_path):
    path = write_v1(tmp_path / "m", {})

    assert dict(fastckpt.read(path)) == {}
    assert list(fastckpt.read(path).problems()) == []


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


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tensors=st.dictionaries(names, arrays(), max_size=6),
    num_shards=st.one_of(st.none(), st.integers(1, 4)),
)
def test_round_trip_is_exact(tmp_path, tensors, num_shards):
    path = write_v1(tmp_path / "m", tensors, num_shards=num_shards, sync=False)

    with fastckpt.read(path) as ckpt:
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

    with fastckpt.read(path) as ckpt:
        assert to_tensor(ckpt["w"]) == to_tensor(array)
        assert to_tensor(np.asarray(ckpt.get_slice("w")[..., :1] if array.ndim else array)) == (
            to_tensor(array[..., :1] if array.ndim else array)
        )


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

    found = fastckpt.read(path)["w"]
    assert found.shape == value.shape and (found == value).all()
