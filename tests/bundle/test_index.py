"""What a V2 checkpoint has stored, by the protocol that everything but the mapping uses."""

import bundle_bytes as bb
import numpy as np
import pytest
from slice_keys import slice_key

import fastckpt
from fastckpt.bundle._index import StoredBundle, find_slice_keys
from fastckpt.errors import Fault, FormatError, TensorNotFoundError
from fastckpt.format._record import encode_entry


@pytest.fixture
def prefix(tmp_path):
    with fastckpt.Writer(tmp_path / "m", num_shards=2, sync=False) as writer:
        writer.add("a", np.arange(3))
        writer.add("s", ["x", "yy"])
        for i in range(2):
            writer.add_slice("p", np.full((1, 4), i), full_shape=(2, 4), start=(i, None))
    return str(tmp_path / "m")


@pytest.fixture
def stored(prefix):
    return StoredBundle(prefix)


def test_entries_are_those_of_the_names_without_keys_of_slices(stored):
    assert [name for name, _ in stored.entries()] == stored.names() == ["a", "p", "s"]
    assert len(stored) == 3
    assert len(stored.hidden_keys()) == 2
    assert "p" in stored
    assert "q" not in stored
    for name, entry in stored.entries():
        assert entry.shape == stored.entry(name).shape


def test_parts_say_where_the_bytes_are(stored):
    (whole,) = stored.parts("a")
    assert (whole.stored, whole.box, whole.what) == (None, ((0, 3),), "tensor 'a'")
    assert whole.checksum == whole.entry.crc32c
    first, second = stored.parts("p")
    assert (first.stored, first.box) == (((0, 1), (0, -1)), ((0, 1), (0, 4)))
    assert second.what == "slice 1,1:- of tensor 'p'"
    file = stored.source(second.entry.shard_id, second.what)
    assert file.read(second.entry.offset, second.entry.size, "") == np.full(4, 1).tobytes()


def test_parts_touch_no_data_file(stored, prefix, tmp_path):
    for path in tmp_path.glob("*.data-*"):
        path.unlink()
    assert [part.entry.shape for part in stored.parts("p")] == [(1, 4), (1, 4)]
    with pytest.raises(FileNotFoundError, match="is missing"):
        stored.read("p")


def test_values_are_read_whole_and_part_by_part(stored):
    np.testing.assert_array_equal(stored.read("p"), [[0] * 4, [1] * 4])
    entry = stored.entry("a")
    np.testing.assert_array_equal(stored.read("a", entry), np.arange(3))
    parts = [(part.box[0], array.tolist()) for part, array in stored.read_parts("p")]
    assert parts == [((0, 1), [[0] * 4]), ((1, 1), [[1] * 4])]
    stored.verify("p")


def test_records_are_those_of_the_table(stored, prefix):
    items = bb.parse_table(bb.read(prefix + ".index"))
    assert [item for block in stored.blocks() for item in block] == [tuple(each) for each in items]
    assert all(stored.record(key) == record for key, record in items)
    assert stored.record(b"none") is None


def test_what_is_not_there_is_told(stored):
    with pytest.raises(TensorNotFoundError, match="did you mean 'a'|not in this checkpoint"):
        stored.entry("aa")
    with pytest.raises(FormatError, match="expected a shard below 2, got 2") as caught:
        stored.source(2, "tensor 'a'")
    assert caught.value.fault is Fault.MISMATCH


def test_closed_is_closed(stored):
    assert not stored.is_closed
    stored.close()
    assert stored.is_closed
    for call in (stored.names, stored.entries, stored.blocks, lambda: stored.entry("a")):
        with pytest.raises(ValueError, match="the checkpoint is closed"):
            call()


def test_slice_keys_are_those_that_are_listed_and_there():
    whole = encode_entry(1, (2,), 0, 0, 0, 0, [((0, 1),), ((1, 1),)])
    there, strange = slice_key(b"w", [(0, 1)]), slice_key(b"other", [(0, 1)])
    items = [(there, b""), (strange, b""), (b"broken", b"\x3a\xff"), (b"w", whole)]
    assert find_slice_keys(items, "f") == {there}
