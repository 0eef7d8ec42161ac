"""Tensors carried over from another checkpoint: bytes, checksums and slices stay as they are."""

import os

import numpy as np
import pytest
from writing import NEW, OLD, add_part, assert_same, file_names, list_names, read_all, snapshot

import fastckpt

# ---- tensors from another checkpoint


def test_tensor_that_is_not_there_is_not_added(folder):
    before = snapshot(folder)
    fastckpt.write(folder / "source", OLD, sync=False)

    with (
        fastckpt.read(folder / "source") as source,
        pytest.raises(fastckpt.TensorNotFoundError, match="none"),
        fastckpt.Writer(folder / "m") as writer,
    ):
        writer.add_from(source, "none")

    for name in file_names("source", 1):
        (folder / name).unlink()
    assert snapshot(folder) == before


@pytest.mark.parametrize("source", ["path", None, {"a": 1}])
def test_source_that_is_no_checkpoint_is_a_type_error(tmp_path, source):
    with pytest.raises(TypeError), fastckpt.Writer(tmp_path / "m") as writer:
        writer.add_from(source, "a")

    assert list_names(tmp_path) == []


def test_closed_source_is_a_value_error(tmp_path):
    fastckpt.write(tmp_path / "source", OLD, sync=False)
    source = fastckpt.read(tmp_path / "source")
    source.close()

    with pytest.raises(ValueError, match="closed"), fastckpt.Writer(tmp_path / "m") as writer:
        writer.add_from(source, "a")


@pytest.mark.parametrize("name", ["", "\ud800", "there"])
def test_new_name_is_checked(tmp_path, name):
    fastckpt.write(tmp_path / "source", OLD, sync=False)

    with (
        fastckpt.read(tmp_path / "source") as source,
        pytest.raises(ValueError, match="name|tensor"),
        fastckpt.Writer(tmp_path / "m") as writer,
    ):
        writer.add("there", 1)
        writer.add_from(source, "a", name=name)

    assert list_names(tmp_path) == file_names("source", 1)


@pytest.mark.parametrize("name", ["a", "old"])
def test_damaged_tensor_is_not_carried_over(tmp_path, name):
    fastckpt.write(tmp_path / "source", OLD, sync=False)
    shard = tmp_path / "source.data-00000-of-00001"
    with fastckpt.read(tmp_path / "source") as source:
        info = source.info(name)
    data = bytearray(shard.read_bytes())
    data[info.offset + info.nbytes - 1] ^= 1
    shard.write_bytes(data)

    with (
        fastckpt.read(tmp_path / "source") as source,
        pytest.raises(fastckpt.ChecksumError, match=name),
        fastckpt.Writer(tmp_path / "m") as writer,
    ):
        writer.add_from(source, name)

    assert list_names(tmp_path) == file_names("source", 1)


def carry_over(source, prefix, names=None, **options):
    with fastckpt.Writer(prefix, sync=False, **options) as writer:
        for name in source if names is None else names:
            writer.add_from(source, name)


def raw_parts(stored, name):
    """(stored box, checksum, bytes) of each part of a tensor."""
    return [
        (
            part.stored,
            part.checksum,
            stored.source(part.entry.shard_id, part.what).read(
                part.entry.offset, part.entry.size, part.what
            ),
        )
        for part in stored.parts(name)
    ]


CARRIED = [
    "tf1_dtypes/model.ckpt",
    "tf1_strings/model.ckpt",
    "tf1_partitioned/model.ckpt",
    "tf1_slices_2d/model.ckpt",
    "tf1_sharded/model.ckpt-7",
    "tf2_dtypes/ckpt",
    "tf2_variant/ckpt",
    "tf2_empty/zero",
    "crafted_snappy/ckpt",
]


@pytest.mark.parametrize("case", CARRIED)
@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_tensors_are_carried_over_with_bytes_checksum_and_slices(golden, tmp_path, case, backend):
    with fastckpt.read(golden / case, backend=backend) as source:
        carry_over(source, tmp_path / "m", num_shards=2)
        expected = {info.name: info for info in source.infos()}
        raw = {name: raw_parts(source.stored, name) for name in source}

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert list(checkpoint) == list(expected)
        for info in checkpoint.infos():
            other = expected[info.name]
            for field in ("dtype", "tf_dtype", "shape", "nbytes", "crc32c", "slices"):
                assert getattr(info, field) == getattr(other, field)
            assert raw[info.name] == raw_parts(checkpoint.stored, info.name)
        checkpoint.verify()


def test_tensors_are_carried_over_under_other_names(golden, tmp_path):
    with (
        fastckpt.read(golden / "tf1_partitioned" / "model.ckpt") as source,
        fastckpt.Writer(tmp_path / "m", sync=False) as writer,
    ):
        expected = {f"new/{name}": source.get_tensor(name, copy=True) for name in source}
        for name in source:
            writer.add_from(source, name, name=f"new/{name}")
            writer.add_from(source, name, name=f"twice/{name}")

    found = read_all(tmp_path / "m")
    assert len(found) == 2 * len(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        np.testing.assert_array_equal(found[name.replace("new/", "twice/")], value)


def test_tensors_of_a_big_endian_checkpoint_are_carried_over(golden, tmp_path):
    with fastckpt.read(golden / "crafted_big_endian" / "ckpt") as source:
        expected = {name: source.get_tensor(name) for name in source}
        dtypes = {info.name: info.tf_dtype for info in source.infos()}
        carry_over(source, tmp_path / "m")

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert checkpoint.byteorder == "little"
        assert {info.name: info.tf_dtype for info in checkpoint.infos()} == dtypes
        checkpoint.verify()
    for name, value in read_all(tmp_path / "m").items():
        np.testing.assert_array_equal(value, expected[name])


def test_tensors_are_carried_over_onto_their_own_checkpoint(tmp_path):
    fastckpt.write(tmp_path / "m", OLD | NEW, num_shards=2, sync=False)

    with fastckpt.read(tmp_path / "m") as source:
        carry_over(source, tmp_path / "m", list(NEW))

    assert_same(read_all(tmp_path / "m"), NEW)
    assert list_names(tmp_path) == file_names("m", 1)


def test_partition_is_completed_with_slices_from_elsewhere(golden, tmp_path):
    with fastckpt.Writer(tmp_path / "whole", sync=False) as writer:
        add_part(writer, 0, 2)
        add_part(writer, 2, 2)

    with (
        fastckpt.read(tmp_path / "whole") as source,
        pytest.raises(ValueError, match="tensor 'v'"),
        fastckpt.Writer(tmp_path / "m") as writer,
    ):
        add_part(writer, 0, 2)
        writer.add_from(source, "v")

    assert list_names(tmp_path) == file_names("whole", 1)


@pytest.mark.parametrize("spelling", ["{}//m", "{}/./m", "{}/../{}/m", "{}/x/../m"])
def test_odd_spelling_of_the_path_loses_no_data_file(tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d" / "x").mkdir(parents=True)
    path = spelling.format("d", "d")

    for value in (1, 2):
        fastckpt.write(path, {"v": np.full(3, value)}, num_shards=value)

    assert fastckpt.read(path)["v"].tolist() == [2, 2, 2]
    names = {name for name in os.listdir("d") if name != "x"}
    assert names == {"m.index", "m.data-00000-of-00002", "m.data-00001-of-00002"}


def test_missing_folder_is_made_in_an_odd_spelling(tmp_path):
    fastckpt.write(f"{tmp_path}/new/./m", {"v": 1})

    assert fastckpt.read(tmp_path / "new" / "m")["v"] == 1
