"""The arrays that a checkpoint gives, whole or in part: views and copies."""

import os

import bundle_bytes as bb
import ml_dtypes
import numpy as np
import pytest
from reading import NAMES, TENSORS, bundle_with, damage, every_backend, every_mode, value_of

import fastckpt
from fastckpt import ChecksumError

VIEWS = [name for name in TENSORS if name != "text"]


# ---- arrays


@every_backend
@every_mode
@pytest.mark.parametrize("copy", [None, True])
@pytest.mark.parametrize("name", NAMES)
def test_tensor_is_what_was_written(prefix, backend, mode, copy, name):
    expected = value_of(name)

    with fastckpt.read(prefix, backend=backend, mode=mode) as checkpoint:
        found = checkpoint.get_tensor(name, copy=copy)

    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.tolist() == expected.tolist()
    assert found.flags.c_contiguous


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("copy", [None, False])
def test_view_shares_the_map_and_is_read_only(checkpoint, name, copy):
    one, two = (checkpoint.get_tensor(name, copy=copy) for _ in range(2))

    assert not one.flags.writeable and not one.flags.owndata
    with pytest.raises(ValueError, match="read-only|WRITEABLE"):
        one.flags.writeable = True
    with pytest.raises(ValueError, match="read-only"):
        one[...] = 0
    assert one.size == 0 or np.shares_memory(one, two)


@every_backend
@every_mode
@pytest.mark.parametrize("name", NAMES)
def test_copy_is_private_writable_and_aligned(prefix, backend, mode, name):
    with fastckpt.read(prefix, backend=backend, mode=mode) as checkpoint:
        one, two = (checkpoint.get_tensor(name, copy=True) for _ in range(2))
        assert one.flags.writeable and one.flags.aligned
        assert not np.shares_memory(one, two)
        assert not np.shares_memory(one, checkpoint[name])

        one.fill(0)

        assert two.tolist() == checkpoint[name].tolist() == value_of(name).tolist()


def test_view_may_be_unaligned_and_its_copy_is_not(tmp_path):
    tensors = {"a": np.int8(1), "b": np.arange(5.0)}
    fastckpt.write(tmp_path / "m", tensors, alignment=1, sync=False)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert not checkpoint["b"].flags.aligned
        assert checkpoint["b"].tolist() == [0, 1, 2, 3, 4]
        assert checkpoint.get_tensor("b", copy=True).flags.aligned


def test_views_of_copy_on_write_are_writable_shared_and_never_reach_the_file(prefix):
    with fastckpt.read(prefix, mode="c") as checkpoint:
        view = checkpoint["bias"]
        view[:] = -1
        assert checkpoint["bias"].tolist() == [-1] * 6
        assert checkpoint.get_tensor("bias", copy=False).flags.writeable
        assert checkpoint.get_tensor("bias", copy=True).tolist() == list(range(6))

    with fastckpt.read(prefix) as again:
        assert again["bias"].tolist() == list(range(6))
        again.verify()


def test_mode_r_of_pread_gives_private_copies(prefix):
    with fastckpt.read(prefix, backend="pread") as checkpoint:
        array = checkpoint["bias"]
        array[:] = 0

        assert checkpoint["bias"].tolist() == list(range(6))


def test_pread_sees_no_map(prefix, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("mapped")

    import mmap

    monkeypatch.setattr(mmap, "mmap", refuse)
    with fastckpt.read(prefix, backend="pread") as checkpoint:
        for name in checkpoint:
            checkpoint[name]
        checkpoint.verify()


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2", "float4_e2m1fn"])
@every_backend
def test_upper_bits_of_small_types_are_not_looked_at(tmp_path, backend, name):
    dtype = np.dtype(getattr(ml_dtypes, name))
    number = {"int4": 29, "uint4": 30, "int2": 31, "uint2": 32, "float4_e2m1fn": 33}[name]
    dirty = np.arange(256, dtype=np.uint8)
    clean = dirty & (0x03 if name.endswith("2") else 0x0F)
    raw = dirty.tobytes()
    entry = bb.entry(number, [256], size=256, crc=bb.masked_crc(raw))
    bundle_with(tmp_path, b"v", entry, raw).close()

    with fastckpt.read(tmp_path / "crafted", backend=backend) as checkpoint:
        checkpoint.verify()
        found = checkpoint.get_tensor("v", copy=True)

    assert found.dtype == dtype
    if name.startswith(("int", "uint")):
        np.testing.assert_array_equal(found.astype("i4"), clean.view(dtype).astype("i4"))


# ---- parts


@every_backend
@pytest.mark.parametrize("name", ["model/layer_1/kernel", "parts"])
@pytest.mark.parametrize(
    "index",
    [0, -1, slice(1, 3), slice(None, None, -2), (slice(None), 2), (1, 1), ..., (None, 0), (..., -1),
     (slice(0, 0),), (slice(1, 9), slice(2, 0, -1)), ()],
    ids=repr,
)  # fmt: skip
def test_part_is_what_the_array_has_there(prefix, backend, name, index):
    expected = value_of(name)[index]

    with fastckpt.read(prefix, backend=backend) as checkpoint:
        found = checkpoint.get_slice(name)[index]

    assert np.shape(found) == np.shape(expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_handle_describes_its_tensor(checkpoint, name):
    handle = checkpoint.get_slice(name)
    expected = value_of(name)

    assert (handle.shape, handle.dtype, handle.ndim) == (
        expected.shape,
        expected.dtype,
        expected.ndim,
    )
    if expected.ndim:
        assert len(handle) == len(expected)
    else:
        with pytest.raises(TypeError, match="rank 0"):
            len(handle)
    assert repr(name) in repr(handle)


@every_backend
def test_strings_are_indexed_too(prefix, backend):
    with fastckpt.read(prefix, backend=backend) as checkpoint:
        handle = checkpoint.get_slice("text")

        assert handle[0] == b"a"
        assert handle[::-1].tolist() == [b"bc" * 100, b"a"]


@every_backend
@pytest.mark.parametrize("index", [[0], np.array([0, 1]), True, 1.0, "a", (0, [1])])
def test_advanced_index_is_refused(prefix, backend, index):
    with fastckpt.read(prefix, backend=backend) as checkpoint:
        for name in ("parts", "model/layer_1/kernel"):
            with pytest.raises((TypeError, IndexError)):
                checkpoint.get_slice(name)[index]


@pytest.mark.parametrize("index", [5, -6, (0, 4), (0, 0, 0)])
def test_index_outside_is_an_index_error(checkpoint, index):
    with pytest.raises(IndexError):
        checkpoint.get_slice("parts")[index]


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="counts the calls of preadv")
def test_only_the_bytes_of_the_part_are_read(tmp_path, monkeypatch):
    fastckpt.write(tmp_path / "m", {"v": np.arange(3_000_000.0).reshape(3000, 1000)}, sync=False)
    read = []
    real_preadv = os.preadv

    def preadv(fd, views, offset):
        read.append(sum(len(view) for view in views))
        return real_preadv(fd, views, offset)

    with fastckpt.read(tmp_path / "m", backend="pread") as checkpoint:
        handle = checkpoint.get_slice("v")
        monkeypatch.setattr(os, "preadv", preadv)
        found = handle[10:12, 500:510]

    assert found.tolist() == [[i * 1000 + j for j in range(500, 510)] for i in (10, 11)]
    assert sum(read) < 20_000


def test_only_the_shards_of_the_part_are_opened(tmp_path):
    with fastckpt.Writer(tmp_path / "m", num_shards=2, sync=False) as writer:
        for start in (0, 5):
            writer.add_slice("v", np.arange(5) + start, full_shape=(10,), start=(start,))
    with fastckpt.read(tmp_path / "m") as checkpoint:
        shards = [part.entry.shard_id for part in checkpoint.stored.parts("v")]
    assert sorted(shards) == [0, 1]
    os.unlink(f"{tmp_path}/m.data-{shards[1]:05d}-of-00002")

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert checkpoint.get_slice("v")[1:4].tolist() == [1, 2, 3]
        with pytest.raises(FileNotFoundError):
            checkpoint.get_slice("v")[4:6]


@every_backend
def test_verified_part_of_a_damaged_tensor_is_refused(prefix, backend):
    damage(prefix, "model/layer_1/kernel", 90)

    with fastckpt.read(prefix, verify=True, backend=backend) as checkpoint:
        handle = checkpoint.get_slice("model/layer_1/kernel")
        with pytest.raises(ChecksumError):
            handle[0]
