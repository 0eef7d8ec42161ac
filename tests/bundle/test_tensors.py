"""Partitioned tensors that claim more than their files have: errors, in little memory."""

import tracemalloc

import pytest

import fastckpt
from fastckpt.bundle.commit import build_table
from fastckpt.errors import Fault, FormatError
from fastckpt.format._record import encode_entry, encode_header, slice_key


def save_index(prefix, records):
    """Write an index of these records beside an empty data file; return its size."""
    index = build_table(records, encode_header(1))
    (prefix.parent / f"{prefix.name}.index").write_bytes(index)
    (prefix.parent / f"{prefix.name}.data-00000-of-00001").write_bytes(b"")
    return len(index)


def save_partitioned(prefix, name, dtype, shape, boxes):
    records = {name: encode_entry(dtype, shape, 0, 0, 0, 0, boxes)}
    for box in boxes:
        part = tuple(length for _, length in box)
        records[slice_key(name, box)] = encode_entry(dtype, part, 0, 0, 0, 0)
    return save_index(prefix, records)


def peak_of(call):
    """(bytes that a call takes at most, the error that it raises)"""
    tracemalloc.start()
    try:
        call()
    except fastckpt.CheckpointError as error:
        return tracemalloc.get_traced_memory()[1], error
    finally:
        tracemalloc.stop()
    pytest.fail("no error")


def every_way(prefix):
    return {
        "get": lambda: fastckpt.read(prefix)["s"],
        "slice": lambda: fastckpt.read(prefix).get_slice("s")[...],
        "load": lambda: fastckpt.load(prefix, threads=1),
        "verify": lambda: fastckpt.read(prefix).verify(threads=1),
    }


@pytest.mark.parametrize("way", ["get", "slice", "load", "verify"])
def test_strings_take_a_byte_each(tmp_path, way):
    half = 50_000_000
    save_partitioned(tmp_path / "m", b"s", 7, (2 * half,), [((0, half),), ((half, half),)])
    peak, error = peak_of(every_way(tmp_path / "m")[way])
    assert peak < 4 << 20
    assert isinstance(error, FormatError)


@pytest.mark.parametrize("way", ["get", "slice", "load", "verify"])
def test_parts_along_a_diagonal_need_no_grid(tmp_path, way):
    count = 330
    boxes = [((3 * i + 1, 1),) * 3 for i in range(count)]
    size = save_partitioned(tmp_path / "m", b"s", 7, (3 * count + 3,) * 3, boxes)
    peak, error = peak_of(every_way(tmp_path / "m")[way])
    assert peak < 300 * size + (8 << 20)
    assert error.tensor == "s"


@pytest.mark.parametrize(
    "call",
    [
        lambda prefix: fastckpt.read(prefix).infos(),
        lambda prefix: fastckpt.list_tensors(prefix),
        lambda prefix: fastckpt.load(prefix, threads=1),
        lambda prefix: fastckpt.read(prefix).verify(threads=1),
    ],
)
def test_slice_that_is_listed_twice_is_an_error(tmp_path, call):
    boxes = [((0, -1),)] * 3000
    name = b"x" * 60_000
    records = {
        name: encode_entry(1, (0,), 0, 0, 0, 0, boxes),
        slice_key(name, boxes[0]): encode_entry(1, (0,), 0, 0, 0, 0),
    }
    size = save_index(tmp_path / "m", records)
    peak, error = peak_of(lambda: call(tmp_path / "m"))
    assert peak < 64 * size
    assert (error.fault, error.tensor) == (Fault.MISMATCH, name.decode())
    assert "twice" in error.problem


def test_names_of_hidden_keys_take_no_product_of_memory(tmp_path):
    name = b"x" * 60_000
    records = {
        name: encode_entry(1, (0,), 0, 0, 0, 0, [((0, -1),)] * 3000),
        slice_key(name, ((0, -1),)): encode_entry(1, (0,), 0, 0, 0, 0),
    }
    size = save_index(tmp_path / "m", records)
    with fastckpt.read(tmp_path / "m") as checkpoint:
        tracemalloc.start()
        assert len(checkpoint) == 1
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 64 * size
