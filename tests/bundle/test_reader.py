"""An open checkpoint: what it refuses, and what it is as a mapping of names to arrays."""

import copy as copying
import os
import pickle
import re
from collections.abc import ItemsView, KeysView, Mapping, ValuesView

import bundle_bytes as bb
import ml_dtypes
import numpy as np
import pytest

import fastckpt
from fastckpt import ChecksumError, FormatError, TensorNotFoundError, UnsupportedError

TENSORS = {
    "bias": np.arange(6, dtype=np.int16),
    "empty": np.zeros((0, 3), np.float32),
    "model/layer_1/kernel": np.arange(12.0).reshape(3, 4),
    "model/layer_2/kernel": np.arange(12.0).reshape(3, 4) + 100,
    "scalar": np.array(7.0),
    "text": np.array([b"a", b"bc" * 100], dtype=object),
    "ü": np.array([True, False]),
}
PARTS = np.arange(20, dtype=np.float32).reshape(5, 4)
NAMES = sorted([*TENSORS, "parts"], key=str.encode)
VIEWS = [name for name in TENSORS if name != "text"]
BACKENDS = ["mmap", "pread"]
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_mode = pytest.mark.parametrize("mode", ["r", "c"])


def write_all(prefix, **options):
    with fastckpt.Writer(prefix, sync=False, **options) as writer:
        for name, value in TENSORS.items():
            writer.add(name, value)
        writer.add_slice("parts", PARTS[:2], full_shape=(5, 4), start=(0, 0))
        writer.add_slice("parts", PARTS[2:, 1:], full_shape=(5, 4), start=(2, 1))
        writer.add_slice("parts", PARTS[2:, :1], full_shape=(5, 4), start=(2, 0))


@pytest.fixture
def prefix(tmp_path):
    write_all(tmp_path / "m", num_shards=2)
    return tmp_path / "m"


@pytest.fixture
def checkpoint(prefix):
    with fastckpt.read(prefix) as checkpoint:
        yield checkpoint


def value_of(name):
    return PARTS if name == "parts" else TENSORS[name]


def damage(prefix, name, place=0):
    """Flip a bit of a tensor in its data file; of strings, one behind their lengths."""
    place += 10 if name == "text" else 0
    with fastckpt.read(prefix) as checkpoint:
        info = checkpoint.info(name)
        count = checkpoint.num_shards
    path = f"{prefix}.data-{info.shard:05d}-of-{count:05d}"
    with open(path, "r+b") as file:
        file.seek(info.offset + place)
        byte = file.read(1)[0]
        file.seek(info.offset + place)
        file.write(bytes([byte ^ 1]))
    return path, info


# ---- refused


@pytest.mark.parametrize(
    "name", ["none", "", "\0", "model", "bias ", "\ud800", "\udcff", "parts\0"]
)
def test_name_that_is_not_there_is_not_found(checkpoint, name):
    for get in (
        checkpoint.__getitem__,
        checkpoint.get_tensor,
        checkpoint.get_slice,
        checkpoint.info,
    ):
        with pytest.raises(TensorNotFoundError, match="not in this checkpoint") as caught:
            get(name)
        assert caught.value.name == name
        assert caught.value.path == checkpoint.path
    assert name not in checkpoint
    assert checkpoint.get(name) is None
    assert checkpoint.get(name, "default") == "default"


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("modle/layer_1/kernel", "model/layer_1/kernel"),
        ("layer_2/kernel", "model/layer_2/kernel"),
        ("scaler", "scalar"),
        ("u", None),
        ("zzzzzzzz", None),
    ],
)
def test_closest_names_are_suggested(checkpoint, name, closest):
    with pytest.raises(KeyError) as caught:
        checkpoint[name]

    if closest is None:
        assert "did you mean" not in str(caught.value)
    else:
        assert caught.value.closest[0] == closest
        assert f"did you mean '{closest}'" in str(caught.value)


@pytest.mark.parametrize("name", [None, 5, b"bias", ("bias",), ["bias"], slice(None)])
def test_name_that_is_no_name_is_a_type_error_and_not_in_it(checkpoint, name):
    for get in (
        checkpoint.__getitem__,
        checkpoint.get_tensor,
        checkpoint.get_slice,
        checkpoint.info,
    ):
        with pytest.raises(TypeError):
            get(name)
    assert name not in checkpoint
    assert checkpoint.get(name, 3) == 3


def test_keys_of_slices_are_hidden_from_every_member(checkpoint):
    key = b"\0parts\0\1\1\2\x80\x82\x80\x84".decode("utf-8", "surrogateescape")
    assert bb.parse_table(bb.read(f"{checkpoint.path}.index"))[1][0] == os.fsencode(key)

    assert key not in checkpoint
    assert key not in list(checkpoint)
    assert checkpoint.get(key) is None
    with pytest.raises(TensorNotFoundError):
        checkpoint[key]
    with pytest.raises(TensorNotFoundError):
        checkpoint.info(key)


def test_checkpoint_is_made_by_read_only():
    with pytest.raises((TypeError, NotImplementedError)):
        len(fastckpt.Checkpoint())


@pytest.mark.parametrize("copy", [False, None, True])
def test_copy_is_by_keyword_only(checkpoint, copy):
    with pytest.raises(TypeError):
        checkpoint.get_tensor("bias", copy)


@pytest.mark.parametrize(
    ("name", "backend", "reason"),
    [
        ("text", "mmap", "elements of string are not of one size"),
        ("parts", "mmap", "partitioned"),
        ("bias", "pread", "backend 'pread'"),
        ("scalar", "pread", "backend 'pread'"),
    ],
)
def test_view_that_cannot_exist_is_a_value_error_that_says_why(prefix, name, backend, reason):
    with (
        fastckpt.read(prefix, backend=backend) as checkpoint,
        pytest.raises(ValueError, match=f"tensor '{name}': a view cannot exist: .*{reason}"),
    ):
        checkpoint.get_tensor(name, copy=False)


def test_view_of_a_big_endian_file_is_a_value_error(golden):
    with fastckpt.read(golden / "crafted_big_endian" / "ckpt") as checkpoint:
        assert checkpoint.byteorder == "big"
        with pytest.raises(ValueError, match="big-endian"):
            checkpoint.get_tensor("t/float32", copy=False)
        assert checkpoint.get_tensor("t/int8", copy=False).flags.writeable is False


CLOSED = {
    "item": lambda c: c["bias"],
    "get_tensor": lambda c: c.get_tensor("bias", copy=True),
    "in": lambda c: "bias" in c,
    "get": lambda c: c.get("bias"),
    "len": len,
    "iter": list,
    "items": lambda c: list(c.items()),
    "info": lambda c: c.info("bias"),
    "infos": lambda c: c.infos(),
    "get_slice": lambda c: c.get_slice("bias"),
    "verify": lambda c: c.verify(),
    "problems": lambda c: list(c.problems()),
    "a name that is not there": lambda c: c["none"],
}


@pytest.mark.parametrize("case", CLOSED)
def test_closed_checkpoint_is_a_value_error(prefix, case):
    checkpoint = fastckpt.read(prefix)
    checkpoint["bias"]

    checkpoint.close()
    checkpoint.close()

    with pytest.raises(ValueError, match=f"{re.escape(str(prefix))}: the checkpoint is closed"):
        CLOSED[case](checkpoint)


def test_slice_handle_of_a_closed_checkpoint_is_a_value_error(prefix):
    with fastckpt.read(prefix) as checkpoint:
        handle = checkpoint.get_slice("bias")

    assert handle.shape == (6,)
    with pytest.raises(ValueError, match="closed"):
        handle[0]


def test_missing_data_file_is_an_os_error_that_names_it(prefix):
    os.unlink(f"{prefix}.data-00001-of-00002")

    with fastckpt.read(prefix) as checkpoint:
        missing = [info.name for info in checkpoint.infos() if info.shard == 1]
        assert missing
        for name in missing:
            with pytest.raises(FileNotFoundError, match="data file 2 of 2 is missing") as caught:
                checkpoint[name]
            assert caught.value.filename == f"{prefix}.data-00001-of-00002"
        problems = list(checkpoint.problems())
        assert [type(problem) for problem in problems].count(FileNotFoundError) == 1
        with pytest.raises(FileNotFoundError):
            checkpoint.verify()


@every_backend
@pytest.mark.parametrize("name", ["bias", "model/layer_1/kernel", "text", "ü"])
def test_damaged_tensor_is_never_copied(prefix, backend, name):
    path, info = damage(prefix, name)

    with fastckpt.read(prefix, backend=backend) as checkpoint:
        for _ in range(2):
            with pytest.raises(ChecksumError, match=f"tensor '{name}' at {info.offset}") as caught:
                checkpoint.get_tensor(name, copy=True)
        assert caught.value.path == path
        for other in set(TENSORS) - {name}:
            checkpoint.get_tensor(other, copy=True)


@every_backend
@every_mode
def test_damaged_tensor_is_found_on_first_access_with_verify(prefix, backend, mode):
    damage(prefix, "bias", 3)

    with fastckpt.read(prefix, verify=True, backend=backend, mode=mode) as checkpoint:
        for get in (
            lambda: checkpoint["bias"],
            lambda: checkpoint.get_tensor("bias"),
            lambda: checkpoint.get_tensor("bias", copy=True),
            lambda: checkpoint.get_slice("bias")[0:1],
            lambda: checkpoint.get("bias"),
        ):
            with pytest.raises(ChecksumError, match="tensor 'bias'"):
                get()
        assert checkpoint["scalar"] == 7


def test_damaged_tensor_is_viewed_without_verify(prefix):
    damage(prefix, "bias")

    with fastckpt.read(prefix) as checkpoint:
        assert checkpoint["bias"].tolist() == [1, 1, 2, 3, 4, 5]


def test_tensor_is_verified_once(prefix):
    with fastckpt.read(prefix, verify=True) as checkpoint:
        before = checkpoint["bias"]
        damage(prefix, "bias")

        assert checkpoint["bias"][0] == before[0] == 1
        with pytest.raises(ChecksumError):
            checkpoint.get_tensor("bias", copy=True)


def test_problems_are_in_key_order_and_verify_raises_the_first(prefix):
    names = ["ü", "bias", "text", "model/layer_2/kernel"]
    for name in names:
        damage(prefix, name)

    with fastckpt.read(prefix) as checkpoint:
        problems = list(checkpoint.problems())
        found = [problem.tensor for problem in problems]
        assert found == sorted(names, key=str.encode)
        assert {type(problem) for problem in problems} == {ChecksumError}
        with pytest.raises(ChecksumError, match="tensor 'bias'"):
            checkpoint.verify()


def test_damaged_slice_is_told_as_part_of_its_tensor(prefix):
    with fastckpt.read(prefix) as checkpoint:
        _, entry, file = checkpoint._parts("parts")[1]
    with open(file.path, "r+b") as data:
        data.seek(entry.offset)
        data.write(b"\xff")

    with fastckpt.read(prefix) as checkpoint:
        with pytest.raises(ChecksumError, match="slice 2,3:1,3 of tensor 'parts' at"):
            checkpoint["parts"]
        assert len(list(checkpoint.problems())) == 1
        assert checkpoint.get_slice("parts")[:2].tolist() == PARTS[:2].tolist()


def test_problems_can_be_left_early(prefix):
    damage(prefix, "bias")
    damage(prefix, "ü")

    with fastckpt.read(prefix) as checkpoint:
        problems = checkpoint.problems()
        next(problems)
        problems.close()


def test_index_that_was_replaced_is_not_read_with_new_data(prefix):
    checkpoint = fastckpt.read(prefix)
    early = checkpoint["bias"]
    write_all(prefix, num_shards=2)

    other = next(i.name for i in checkpoint.infos() if i.shard != checkpoint.info("bias").shard)
    with pytest.raises(fastckpt.CheckpointError, match="expected the file that was opened"):
        checkpoint.get_tensor(other)
    assert checkpoint["bias"].tolist() == early.tolist()


def bundle_with(tmp_path, name, entry, data=b""):
    bundle = bb.Bundle.__new__(bb.Bundle)
    bundle.header = [[1, 0, 1], [3, 2, b"\x08\x01"]]
    bundle.entries = {name: bb.parse_proto(entry)}
    bundle.shards = [bytearray(data)]
    bundle.save(str(tmp_path / "crafted"))
    return fastckpt.read(tmp_path / "crafted")


@pytest.mark.parametrize("number", [0, 34, 99, 101, 1 << 30])
def test_unknown_dtype_is_unsupported(tmp_path, number):
    with bundle_with(tmp_path, b"v", bb.entry(number, [1], size=4), bytes(4)) as checkpoint:
        assert list(checkpoint) == ["v"] and "v" in checkpoint
        for get in (checkpoint.__getitem__, checkpoint.info, checkpoint.get_slice):
            with pytest.raises(
                UnsupportedError, match=f"expected a known dtype, got number {number}"
            ):
                get("v")
        with pytest.raises(UnsupportedError):
            checkpoint.infos()
        assert len(list(checkpoint.problems())) == 1


@pytest.mark.parametrize("number", [20, 21])
def test_variant_and_resource_are_described_and_unsupported(tmp_path, number):
    entry = bb.entry(number, [], size=4)
    with bundle_with(tmp_path, b"v", entry, bytes(4)) as checkpoint:
        info = checkpoint.info("v")
        assert (info.tf_dtype, info.dtype) == ({20: "resource", 21: "variant"}[number], object)
        for get in (lambda n: checkpoint[n], lambda n: checkpoint.get_slice(n)[...]):
            with pytest.raises(UnsupportedError, match=f"got {info.tf_dtype}"):
                get("v")


@every_backend
@pytest.mark.parametrize("rank", [65, 254])
def test_more_dimensions_than_numpy_has_are_unsupported(tmp_path, backend, rank):
    entry = bb.entry(4, [1] * rank, size=1, crc=bb.masked_crc(b"x"))
    bundle_with(tmp_path, b"v", entry, b"x").close()

    with fastckpt.read(tmp_path / "crafted", backend=backend) as checkpoint:
        assert checkpoint.info("v").shape == (1,) * rank
        for copy in (None, True):
            with pytest.raises(UnsupportedError, match=f"NumPy's .* dimensions, got {rank}"):
                checkpoint.get_tensor("v", copy=copy)
        checkpoint.verify()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (bb.entry(1, [2], size=4), "expected 8 bytes for dtype float32"),
        (bb.entry(1, [2], size=8, offset=1), "but the file ends at 8"),
        (bb.entry(1, [2], size=8, offset=(1 << 63) - 4), "but the file ends at 8"),
        (bb.entry(1, [1 << 62, 4], size=8), "2\\*\\*63"),
        (bb.entry(1, [0, 1 << 62, 1 << 62]), "2\\*\\*63"),
        (bb.entry(1, [2], size=8, shard=1), "expected a shard below 1, got 1"),
        (bb.build_proto([[1, 0, 1], [3, 0, -1], [5, 0, 4]]), "expected a shard below 1, got -1"),
        (bb.build_proto([[1, 0, 1], [4, 0, -4], [5, 0, 4]]), "expected 4 bytes"),
    ],
)
@every_backend
def test_entry_that_cannot_be_is_a_format_error(tmp_path, backend, entry, message):
    bundle_with(tmp_path, b"v", entry, bytes(8)).close()

    with fastckpt.read(tmp_path / "crafted", backend=backend) as checkpoint:
        for copy in (None, True):
            with pytest.raises(FormatError, match=message):
                checkpoint.get_tensor("v", copy=copy)
        assert len(list(checkpoint.problems())) == 1


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
        shards = [entry.shard_id for _, entry, _ in checkpoint._parts("v")]
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
