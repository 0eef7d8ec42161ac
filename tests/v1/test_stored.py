"""What a V1 checkpoint has stored, by the protocol that everything but the mapping uses."""

import numpy as np
import pytest

import fastckpt
from fastckpt.errors import TensorNotFoundError
from fastckpt.format._table import Table
from fastckpt.format.dtypes import by_name
from fastckpt.storage.local import File
from fastckpt.v1.reader import V1Checkpoint
from fastckpt.v1.stored import StoredV1
from fastckpt.v1.writer import Part, write_parts

VALUES = np.arange(8, dtype=np.float32).reshape(2, 4)


@pytest.fixture
def path(tmp_path):
    float32 = by_name("float32")
    parts = [Part("p", float32, (2, 4), ((i, 1), (0, -1)), VALUES[i : i + 1]) for i in range(2)]
    parts.append(Part("w", float32, (2, 4), ((0, -1), (0, -1)), VALUES))
    write_parts(str(tmp_path / "m"), parts)
    return str(tmp_path / "m")


@pytest.fixture
def stored(path):
    with fastckpt.read(path) as checkpoint:
        yield checkpoint.stored


def test_entries_have_dtype_shape_slices_and_the_size_of_the_array(stored):
    assert [name for name, _ in stored.entries()] == stored.names() == ["p", "w"]
    entry = stored.entry("p")
    assert (entry.dtype, entry.shape, entry.size) == (1, (2, 4), 32)
    assert entry.slices == (((0, 1), (0, -1)), ((1, 1), (0, -1)))
    assert stored.entry("w").slices == ()
    with pytest.raises(TensorNotFoundError):
        stored.entry("x")


def test_parts_have_no_checksum(stored):
    (whole,) = stored.parts("w")
    assert (whole.stored, whole.box, whole.checksum) == (None, ((0, 2), (0, 4)), None)
    first, second = stored.parts("p")
    assert (first.stored, first.entry.shape) == (((0, 1), (0, -1)), (1, 4))
    assert second.what == "slice 1,1:- of tensor 'p'"


def test_values_are_read_whole_and_part_by_part(stored):
    np.testing.assert_array_equal(stored.read("p"), VALUES)
    assert [array.tolist() for _, array in stored.read_parts("p")] == [
        VALUES[:1].tolist(),
        VALUES[1:].tolist(),
    ]
    stored.verify("p")


def test_records_are_those_of_the_tables(stored):
    items = [item for block in stored.blocks() for item in block]
    assert len(items) == 4
    assert all(stored.record(key) == record for key, record in items)
    assert stored.record(b"none") is None
    assert stored.hidden_keys() == frozenset()
    assert stored.source(0, "file").path == stored.path


def test_tables_that_are_open_make_a_checkpoint(path):
    with V1Checkpoint("name", tables=[Table(File(path))]) as checkpoint:
        assert checkpoint.path == "name"
        np.testing.assert_array_equal(checkpoint["w"], VALUES)


def test_closed_is_closed(path):
    stored = StoredV1(path, [Table(File(path))])
    assert not stored.is_closed
    stored.close()
    assert stored.is_closed
    for call in (stored.names, stored.entries, lambda: list(stored.blocks())):
        with pytest.raises(ValueError, match="the checkpoint is closed"):
            call()
