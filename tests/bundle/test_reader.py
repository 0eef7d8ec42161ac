"""An open checkpoint: what it refuses, and what it is as a mapping of names to arrays."""

import copy as copying
import os
import pickle
from collections.abc import ItemsView, KeysView, Mapping, ValuesView

import bundle_bytes as bb
import numpy as np
import pytest
from reading import NAMES, PARTS, TENSORS, every_backend, every_mode, value_of

import fastckpt

# ---- a mapping


def test_checkpoint_is_a_mapping(checkpoint):
    assert isinstance(checkpoint, Mapping)
    assert isinstance(checkpoint, fastckpt.Checkpoint)
    assert isinstance(checkpoint.keys(), KeysView)
    assert isinstance(checkpoint.values(), ValuesView)
    assert isinstance(checkpoint.items(), ItemsView)


@every_backend
def test_names_are_in_key_order(prefix, backend):
    with fastckpt.read(prefix, backend=backend) as checkpoint:
        assert list(checkpoint) == list(checkpoint.keys()) == NAMES
        assert [name for name, _ in checkpoint.items()] == NAMES
        assert [info.name for info in checkpoint.infos()] == NAMES
        assert len(checkpoint) == len(checkpoint.keys()) == len(NAMES)
        assert all(name in checkpoint for name in NAMES)
        assert "bias" in checkpoint.keys() and "none" not in checkpoint.keys()  # noqa: SIM118
        for array, name in zip(checkpoint.values(), NAMES, strict=True):
            np.testing.assert_array_equal(array, value_of(name))


def test_values_are_got_one_by_one(prefix):
    os.unlink(f"{prefix}.data-00001-of-00002")
    with fastckpt.read(prefix) as checkpoint:
        checkpoint.items(), checkpoint.values()

        with pytest.raises(FileNotFoundError):
            list(checkpoint.items())


def test_empty_checkpoint_is_an_empty_mapping(tmp_path):
    fastckpt.write(tmp_path / "m", {}, sync=False)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert len(checkpoint) == 0 and list(checkpoint) == [] and checkpoint.infos() == []
        assert "" not in checkpoint
        assert list(checkpoint.problems()) == []


def test_name_that_is_a_kind_of_str_is_taken(checkpoint):
    class Name(str):
        pass

    for name in (np.str_("bias"), Name("bias")):
        assert name in checkpoint
        assert checkpoint[name].tolist() == TENSORS["bias"].tolist()
        assert checkpoint.get(name) is not None
        assert checkpoint.get_tensor(name, copy=True) is not None
        assert checkpoint.info(name).name == "bias"
        assert checkpoint.get_slice(name).shape == (6,)


@pytest.mark.parametrize("name", ["\udcff", "\udcc3", "a\udc80b"])
def test_name_that_is_not_utf8_uses_surrogateescape(tmp_path, name):
    fastckpt.write(tmp_path / "m", {name: 1, "ü": 2}, sync=False)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert name in checkpoint
        assert checkpoint[name] == 1
        assert set(checkpoint) == {name, "ü"}
        assert "\udcc3\udcbc" in checkpoint  # the same bytes as "ü"


def test_many_names_are_found_in_every_block(tmp_path):
    names = [f"layer/{i:05d}/{'x' * 40}" for i in range(9000)]
    fastckpt.write(tmp_path / "m", dict.fromkeys(names, np.int8(1)), alignment=1, sync=False)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert len(checkpoint) == 9000
        assert list(checkpoint) == names
        assert all(checkpoint[name] == 1 for name in names[::97])
        assert not any(f"{name}x" in checkpoint for name in names[::97])


# ---- what was opened


@every_backend
@every_mode
@pytest.mark.parametrize("verify", [False, True])
def test_checkpoint_says_what_was_opened(prefix, backend, mode, verify):
    with fastckpt.read(prefix, backend=backend, mode=mode, verify=verify) as checkpoint:
        assert checkpoint.path == str(prefix)
        assert (checkpoint.format, checkpoint.version) == ("V2", 1)
        assert (checkpoint.num_shards, checkpoint.byteorder) == (2, "little")
        assert (checkpoint.backend, checkpoint.mode) == (backend, mode)
        assert str(prefix) in repr(checkpoint)
        assert f"shards: {2}" in repr(checkpoint)
    assert "closed" in repr(checkpoint)


def test_backend_is_mmap_on_a_local_disk(checkpoint):
    assert checkpoint.backend == "mmap"


@pytest.mark.parametrize("attribute", ["path", "format", "num_shards", "version", "byteorder"])
def test_what_was_opened_cannot_be_changed(checkpoint, attribute):
    with pytest.raises(AttributeError):
        setattr(checkpoint, attribute, "other")


def test_leaving_the_block_closes(prefix):
    with fastckpt.read(prefix) as checkpoint:
        assert checkpoint["scalar"] == 7
    with pytest.raises(ValueError, match="closed"):
        checkpoint["scalar"]

    with pytest.raises(ZeroDivisionError), fastckpt.read(prefix) as checkpoint:
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="closed"):
        checkpoint["scalar"]


@every_backend
@every_mode
@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_checkpoint_survives_pickling(prefix, backend, mode, verify, protocol):
    with fastckpt.read(prefix, backend=backend, mode=mode, verify=verify) as checkpoint:
        checkpoint["bias"]
        pickled = pickle.dumps(checkpoint, protocol)

    assert len(pickled) < 1000 + 2 * len(str(prefix))
    with pickle.loads(pickled) as again:
        assert type(again) is type(checkpoint)
        assert again.path == checkpoint.path
        assert (again.backend, again.mode) == (backend, mode)
        assert again.verify_on_access == verify
        assert again["bias"].flags.writeable == (mode == "c" or backend == "pread")
        np.testing.assert_array_equal(again["parts"], PARTS)


def test_checkpoint_that_is_gone_is_file_not_found_when_unpickled(prefix):
    pickled = pickle.dumps(fastckpt.read(prefix))
    os.unlink(f"{prefix}.index")

    with pytest.raises(FileNotFoundError):
        pickle.loads(pickled)


def test_copies_of_a_checkpoint_read_the_same(checkpoint):
    for again in (copying.copy(checkpoint), copying.deepcopy(checkpoint)):
        with again:
            assert again["scalar"] == 7
    assert checkpoint["scalar"] == 7


# ---- infos


def test_info_says_what_the_index_says(checkpoint):
    info = checkpoint.info("model/layer_1/kernel")

    assert (info.name, info.shape, info.nbytes) == ("model/layer_1/kernel", (3, 4), 96)
    assert (info.dtype, info.tf_dtype) == (np.dtype("float64"), "float64")
    assert info.shard in (0, 1) and info.offset % 64 == 0
    assert info.crc32c == bb.crc32c(TENSORS[info.name].tobytes())
    assert info.slices == ()


def test_info_of_strings_counts_the_bytes_in_the_file(checkpoint):
    info = checkpoint.info("text")

    assert (info.dtype, info.tf_dtype, info.shape) == (np.dtype(object), "string", (2,))
    assert info.nbytes == 1 + 2 + 4 + 1 + 200


def test_info_of_a_partitioned_tensor_lists_its_slices(checkpoint):
    info = checkpoint.info("parts")

    assert info.slices == (
        (slice(0, 2), slice(0, 4)),
        (slice(2, 5), slice(1, 4)),
        (slice(2, 5), slice(0, 1)),
    )
    assert (info.shard, info.offset, info.crc32c) == (None, None, None)
    assert (info.shape, info.nbytes) == ((5, 4), 80)
    for part in info.slices:
        assert PARTS[part].size


def test_infos_do_not_touch_the_data(prefix):
    with fastckpt.read(prefix) as checkpoint:
        expected = [checkpoint.info(name) for name in checkpoint]
    for shard in prefix.parent.glob("m.data-*"):
        shard.unlink()

    with fastckpt.read(prefix) as checkpoint:
        assert checkpoint.infos() == expected
        assert list(checkpoint) == NAMES
        assert checkpoint.get_slice("parts").shape == (5, 4)


def test_info_is_a_value(checkpoint):
    one, two = checkpoint.info("bias"), checkpoint.info("bias")

    assert one == two and hash(one) == hash(two)
    assert one != checkpoint.info("scalar") and one != "bias"
    assert pickle.loads(pickle.dumps(one)) == one
    assert "name='bias'" in repr(one)
    with pytest.raises(AttributeError):
        one.name = "other"


def test_infos_can_be_kept_in_a_set(checkpoint):
    assert len({*checkpoint.infos(), *checkpoint.infos()}) == len(NAMES)
