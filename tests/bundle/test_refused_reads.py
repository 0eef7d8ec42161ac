"""What reading refuses: names, copies, damage, entries that cannot be."""

import os
import re

import bundle_bytes as bb
import pytest
from reading import PARTS, TENSORS, bundle_with, damage, every_backend, every_mode, write_all

import fastckpt
from fastckpt import ChecksumError, FormatError, TensorNotFoundError, UnsupportedError

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
        entry = checkpoint.stored.parts("parts")[1].entry
        file = checkpoint.stored.source(entry.shard_id, "data file")
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
