"""Salvage: exactly what verifies is saved, and what is lost is named."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from corpus import intact_tensors
from places import GOLDEN

import fastckpt
from fastckpt.bundle.partial import Remains, find_shard_beside, open_table
from fastckpt.format._record import encode_entry, encode_header, slice_key
from fastckpt.format._table import Table
from fastckpt.format._table_builder import TableBuilder
from fastckpt.format.checksum import crc32c
from fastckpt.format.slices import WHOLE
from fastckpt.rescue.doctor import doctor
from fastckpt.rescue.salvage import SalvageReport, salvage
from fastckpt.storage.local import File

V2 = set(intact_tensors())
V1 = {"n/float", "n/int"}
NOTHING = None  # of these nothing verifies: the only block of the index is lost, or the data
LOST = {
    "block_bad_varint": NOTHING,
    "block_handle_beyond_file": set(),
    "block_restart_count": NOTHING,
    "block_restart_offset": NOTHING,
    "block_shared_too_big": NOTHING,
    "block_unknown_compression": NOTHING,
    "data_empty": NOTHING,
    "data_truncated": {"d/sliced", "e/half"},
    "entry_dtype_mismatch": {"a/float"},
    "entry_dtype_unknown": {"c/int64"},
    "entry_garbage": {"c/int64"},
    "entry_negative_offset": {"c/int64"},
    "entry_offset_beyond_file": {"c/int64"},
    "entry_size_beyond_file": {"c/int64"},
    "entry_size_mismatch": {"c/int64"},
    "footer_bad_varint": set(),
    "footer_flip": set(),
    "footer_handle_beyond_file": set(),
    "footer_magic": set(),
    "header_endianness_unknown": set(),
    "header_garbage": set(),
    "header_missing": set(),
    "index_block_flip": NOTHING,
    "index_empty": NOTHING,
    "index_shorter_than_footer": NOTHING,
    "index_truncated": set(),
    "keys_duplicate": NOTHING,
    "keys_unsorted": NOTHING,
    "num_shards_too_large": set(),
    "payload_flip": {"a/float"},
    "shape_negative": {"a/float"},
    "shape_overflow": {"a/float"},
    "shard_id_out_of_range": {"c/int64"},
    "shard_missing": NOTHING,
    "slice_missing": {"d/sliced"},
    "slice_outside_shape": {"d/sliced"},
    "snappy_bad_copy": NOTHING,
    "snappy_bogus_length": NOTHING,
    "string_length_beyond_file": {"b/str"},
    "string_length_crc": {"b/str"},
    "string_length_too_big": {"b/str"},
    "string_lengths_overflow": {"b/str"},
    "string_payload_flip": {"b/str"},
    "v1_flip": NOTHING,
    "v1_missing_tensor": {"n/int"},
    "v1_no_meta": NOTHING,
    "v1_truncated": set(),
}
REFUSED = {"header_min_consumer"}
NAMES = [f"{i:05d}{'/a long name' * 5}" for i in range(9000)]  # an index of several blocks


# ---- the broken files of the corpus


def test_every_broken_checkpoint_is_in_the_table():
    there = {path.parent.name for path in GOLDEN.glob("corrupt/*/expected.json")}

    assert there == LOST.keys() | REFUSED


@pytest.mark.parametrize("fault", LOST)
def test_exactly_the_intact_tensors_are_saved(fault, tmp_path):
    everything = V1 if fault.startswith("v1") else V2
    expected = set() if LOST[fault] is NOTHING else everything - LOST[fault]

    report = salvage(GOLDEN / "corrupt" / fault / "ckpt", tmp_path / "out")

    assert set(report.saved) == expected
    assert report.lost or report.unreadable or fault == "num_shards_too_large"
    assert set(report.lost) | expected <= everything
    if not expected:
        assert list(tmp_path.iterdir()) == []
        return
    with fastckpt.read(tmp_path / "out") as saved:
        saved.verify()
        assert set(saved) == expected
        for name in expected & V2:
            right = intact_tensors()[name]
            assert saved[name].dtype == right.dtype
            np.testing.assert_array_equal(saved[name], right)


@pytest.mark.parametrize("fault", [name for name, lost in LOST.items() if lost])
def test_what_is_lost_is_named_with_the_reason(fault, tmp_path):
    report = salvage(GOLDEN / "corrupt" / fault / "ckpt", tmp_path / "out")

    assert set(report.lost) == LOST[fault]
    for name, why in report.lost.items():
        assert name in why
        assert f"lost {name!r}: {why}" in str(report)


def test_what_a_newer_version_wrote_is_refused(tmp_path):
    with pytest.raises(fastckpt.UnsupportedError, match="version 99"):
        salvage(GOLDEN / "corrupt" / "header_min_consumer" / "ckpt", tmp_path / "out")


# ---- wrong arguments


def test_nothing_there_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        salvage(tmp_path / "none", tmp_path / "out")


def test_noise_saves_nothing(tmp_path):
    (tmp_path / "noise").write_bytes(bytes(range(1, 256)) * 100)

    report = salvage(tmp_path / "noise", tmp_path / "out")

    assert report.saved == () and report.unreadable
    assert sorted(os.listdir(tmp_path)) == ["noise"]


def test_checkpoint_is_not_saved_over_itself(tmp_path):
    fastckpt.write(tmp_path / "m", {"a": np.zeros(3)})

    for path in ("m", "m.index", "../" + tmp_path.name + "/m"):
        with pytest.raises(ValueError, match="another path"):
            salvage(tmp_path / path, tmp_path / "m")


def test_full_disk_is_no_lost_tensor(tmp_path, monkeypatch):
    fastckpt.write(tmp_path / "m", {"a": np.zeros(1 << 20), "b": np.zeros(3)})

    def refuse(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(OSError, match="No space"):
        salvage(tmp_path / "m", tmp_path / "out")

    assert not list(tmp_path.glob("out*"))


# ---- an index of several blocks


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("many") / "m"
    fastckpt.write(prefix, {name: np.int32(i) for i, name in enumerate(NAMES)}, alignment=1)
    return prefix


@pytest.fixture
def many(written, tmp_path):
    for path in written.parent.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / "m"


def block_names(prefix):
    """The names in each block of the index."""
    table = Table(File(f"{prefix}.index"))
    blocks = []
    while True:
        try:
            blocks.append([key.decode() for key, _ in table.block_items(len(blocks)) if key])
        except IndexError:
            return blocks


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("block", [0, 1])
def test_only_the_tensors_of_a_broken_block_are_lost(many, block):
    blocks = block_names(many)
    assert len(blocks) > 2
    flip(Path(f"{many}.index"), 1000 if block == 0 else 300_000)

    report = salvage(many, many.parent / "out")

    assert report.saved == tuple(
        name for i, names in enumerate(blocks) if i != block for name in names
    )
    assert len(report.unreadable) == 1
    values = fastckpt.load(many.parent / "out")
    assert all(values[name] == int(name[:5]) for name in report.saved)


@pytest.mark.parametrize("cut", [1, 48, 60])
def test_all_blocks_are_found_without_a_footer(many, cut):
    index = Path(f"{many}.index")
    os.truncate(index, index.stat().st_size - cut)

    report = salvage(many, many.parent / "out")

    assert len(report.saved) == len(NAMES)
    assert len(report.unreadable) == 1


def test_blocks_before_the_end_of_a_cut_index_are_found(many):
    blocks = block_names(many)
    os.truncate(f"{many}.index", 300_000)

    report = salvage(many, many.parent / "out")

    assert report.saved == tuple(blocks[0])


def test_search_for_blocks_is_linear_in_what_looks_like_ends(tmp_path):
    (tmp_path / "m.index").write_bytes(b"\0\0\0\0\1\0\0\0" * 40_000)

    report = salvage(tmp_path / "m", tmp_path / "out")

    assert report.saved == ()


def test_table_that_is_whole_is_not_mended(many):
    table, problem = open_table(File(f"{many}.index"))

    assert problem is None
    assert table.file.path == f"{many}.index"


# ---- every cut and every flip


def changed(content):
    """What a file may become: cut at every length, and with each byte flipped."""
    yield from (content[:length] for length in range(len(content)))
    for at in range(len(content)):
        yield content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("case", "suffix"),
    [
        ("same_data_tf2/model.ckpt", ".index"),
        ("same_data_tf2/model.ckpt", ".data-00000-of-00001"),
        ("v1_partitioned/vars.ckpt", ""),
    ],
)
def test_whatever_is_broken_is_found_and_what_is_saved_is_right(case, suffix, tmp_path):
    right = fastckpt.load(GOLDEN / case)
    for path in (GOLDEN / case).parent.glob("*ckpt*"):
        shutil.copy(path, tmp_path)
    prefix = tmp_path / Path(case).name
    path = Path(f"{prefix}{suffix}")
    content = path.read_bytes()
    count = 0

    for new in changed(content):
        path.unlink()
        path.write_bytes(new)
        diagnosis = doctor(path if not suffix else prefix, verify=True)
        report = salvage(prefix, tmp_path / "out", sync=False)
        count += len(report.saved)
        for name in report.saved:
            np.testing.assert_array_equal(fastckpt.read(tmp_path / "out")[name], right[name])
        if len(report.saved) < len(right):
            assert not diagnosis.is_healthy
    assert count > 100


# ---- what is in several files, and in other forms


def test_tensors_of_a_missing_shard_are_lost(tmp_path):
    for path in (GOLDEN / "tf1_sharded").glob("model*"):
        shutil.copy(path, tmp_path)
    prefix = tmp_path / "model.ckpt-7"
    shards = {info.name: info.shard for info in fastckpt.read(prefix).infos()}
    os.unlink(f"{prefix}.data-00001-of-00004")

    report = salvage(prefix, tmp_path / "out")

    in_it = {name for name, shard in shards.items() if shard == 1}
    assert in_it <= set(report.lost)
    assert set(report.saved) == shards.keys() - report.lost.keys()
    assert report.saved


@pytest.mark.parametrize("case", ["crafted_big_endian/ckpt", "tf1_partitioned/model.ckpt"])
def test_whole_checkpoint_is_saved_as_it_is(case, tmp_path):
    report = salvage(GOLDEN / case, tmp_path / "out")

    assert report.lost == {} and report.unreadable == ()
    before, after = fastckpt.read(GOLDEN / case), fastckpt.read(tmp_path / "out")
    assert list(before) == list(after)
    for name in before:
        assert before.info(name).slices == after.info(name).slices
        np.testing.assert_array_equal(before[name], after[name])


def test_slices_whose_tensor_is_lost_are_no_tensors(tmp_path):
    names = {name: np.int8(1) for name in NAMES}
    with fastckpt.Writer(tmp_path / "m") as writer:
        for name, value in names.items():
            writer.add(name, value)
        for start in (0, 2):
            writer.add_slice("zz", np.arange(2), full_shape=(4,), start=(start,))
    index = Path(f"{tmp_path}/m.index")
    content = index.read_bytes()
    flip(index, content.rindex(b"zz"[1:] + b"\x08\x09"))

    report = salvage(tmp_path / "m", tmp_path / "out")

    assert not any(name.startswith("\0") for name in report.saved)
    assert [name for name in report.lost if name.startswith("\0")]
    assert report.saved


def test_folder_stands_for_its_latest_checkpoint(tmp_path):
    report = salvage(GOLDEN / "tf2_manager", tmp_path / "out")

    assert set(report.saved) == set(fastckpt.read(GOLDEN / "tf2_manager"))


@pytest.mark.parametrize("asked", ["model.ckpt-5", "model.ckpt-5-00002-of-00003"])
def test_shards_of_v1_are_saved_without_the_missing_one(tmp_path, asked):
    for path in (GOLDEN / "v1_sharded").glob("model.ckpt-5-*"):
        shutil.copy(path, tmp_path)
    whole = fastckpt.read(tmp_path / "model.ckpt-5")
    os.unlink(tmp_path / "model.ckpt-5-00000-of-00003")

    report = salvage(tmp_path / asked, tmp_path / "out")

    assert "shard 1 of 3 is missing" in report.unreadable[0]
    assert 0 < len(report.saved) < len(whole)
    for name in report.saved:
        np.testing.assert_array_equal(fastckpt.read(tmp_path / "out")[name], whole[name])


@pytest.mark.parametrize("case", ["v1_plain/model.ckpt-2", "v1_partitioned/vars.ckpt"])
def test_v1_file_without_its_end_is_saved(tmp_path, case):
    content = (GOLDEN / case).read_bytes()
    (tmp_path / "m").write_bytes(content[:-40])

    report = salvage(tmp_path / "m", tmp_path / "out")

    assert set(report.saved) == set(fastckpt.read(GOLDEN / case))
    assert len(report.unreadable) == 1


def test_remains_of_a_whole_checkpoint_have_no_problems():
    prefix = str(GOLDEN / "tf1_saver" / "model.ckpt-40")

    remains = Remains(f"{prefix}.index", find_shard_beside(prefix))

    assert remains.problems == []
    assert remains.names == list(fastckpt.read(prefix))
    assert (remains.num_shards, remains.byteorder) == (1, "little")


# ---- what verify calls healthy is saved, and the rest is saved as far as it is whole


def build(prefix, records, data):
    """A checkpoint of these records, and one data file."""
    builder = TableBuilder()
    builder.add(b"", encode_header(1))
    for key in sorted(records):
        builder.add(key, records[key])
    Path(f"{prefix}.index").write_bytes(builder.finish())
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)


FLOAT = 1
DATA = np.arange(4, dtype=np.float32).tobytes()
ODD = {  # boxes of a tensor, its shape
    "one empty slice": ((0,), [((0, 0),)]),
    "an empty slice twice": ((0,), [((0, WHOLE),), ((0, WHOLE),)]),
    "an empty slice twice, spelled in two ways": ((0,), [((0, WHOLE),), ((0, 0),)]),
    "an empty slice beside all of it": ((4,), [((0, 0),), ((0, 4),)]),
    "two empty slices beside all of it": ((4,), [((0, 0),), ((0, 0),), ((0, 4),)]),
    "a slice twice": ((4,), [((0, 4),), ((0, 4),)]),
    "a hole": ((8,), [((0, 4),)]),
    "an overlap": ((6,), [((0, 4),), ((2, 4),)]),
    "beyond the shape": ((4,), [((2, 4),)]),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_slices_cost_no_other_tensor(tmp_path, what):
    shape, boxes = ODD[what]
    records = {b"good%d" % i: encode_entry(FLOAT, (4,), 0, 0, 16, crc32c(DATA)) for i in range(3)}
    for box in boxes:
        dims = tuple(shape[0] if length == WHOLE else length for _, length in box)
        size = 4 * dims[0]
        records[slice_key(b"odd", box)] = encode_entry(FLOAT, dims, 0, 0, size, crc32c(DATA[:size]))
    records[b"odd"] = encode_entry(FLOAT, shape, 0, 0, 0, 0, boxes)
    build(tmp_path / "m", records, DATA)
    with fastckpt.read(tmp_path / "m") as checkpoint:
        is_healthy = not list(checkpoint.problems())

    report = salvage(tmp_path / "m", tmp_path / "out")

    assert set(report.saved) == {"good0", "good1", "good2"} | ({"odd"} if is_healthy else set())
    with fastckpt.read(tmp_path / "out") as saved:
        saved.verify()
        assert saved["good1"].tolist() == [0, 1, 2, 3]
    if is_healthy:
        fastckpt.rename(tmp_path / "m", tmp_path / "renamed", {"odd": "x"})
        fastckpt.reshard(tmp_path / "m", tmp_path / "resharded", 2)
        assert "x" in fastckpt.read(tmp_path / "renamed")


def test_empty_slice_whose_entry_lies_is_a_problem(tmp_path):
    boxes = [((0, 0),), ((0, 4),)]
    records = {
        b"odd": encode_entry(FLOAT, (4,), 0, 0, 0, 0, boxes),
        slice_key(b"odd", boxes[0]): encode_entry(FLOAT, (0,), 0, 1 << 40, 0, 0),
        slice_key(b"odd", boxes[1]): encode_entry(FLOAT, (4,), 0, 0, 16, crc32c(DATA)),
    }
    build(tmp_path / "m", records, DATA)

    assert list(fastckpt.read(tmp_path / "m").problems())
    assert set(salvage(tmp_path / "m", tmp_path / "out").lost) == {"odd"}


def test_report_has_no_line_of_a_name():
    report = SalvageReport(("a",), {"b\nsaved": "why\x1b[2J"}, ("x\ny",))

    assert len(str(report).split("\n")) == 3
    assert all(line.isprintable() for line in str(report).split("\n"))
