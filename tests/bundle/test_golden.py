"""Checkpoints that real TensorFlow wrote: read as it reads them, and written again unchanged.

The files, and what TensorFlow said about them, are in golden/ (see its README).
"""

import base64
import hashlib
import math
import os
import pickle
import re
from pathlib import Path

import bundle_bytes as bb
import crc32c
import numpy as np
import pytest
from corpus import (
    CASES,
    REWRITABLE,
    SLICES,
    STATES,
    WHOLE,
    key_of,
    name_of,
    numpy_name,
    parse_slice_spec,
    readable,
    same_values,
    sha256_of,
    unreadable,
    values_digest,
)
from places import GOLDEN
from slice_keys import slice_key

import fastckpt

BELOW_ONE_BYTE = {"int4", "uint4", "int2", "uint2", "float4_e2m1fn"}

every_case = pytest.mark.parametrize("case", CASES, ids=repr)
every_backend = pytest.mark.parametrize("backend", ["mmap", "pread"])


# ---- the corpus itself


def test_manifest_lists_every_golden_file_with_its_hash():
    listed = {}
    for line in (GOLDEN / "MANIFEST.sha256").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ", 1)
        listed[name] = digest

    present = {
        path.relative_to(GOLDEN).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in GOLDEN.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "MANIFEST.sha256"
    }

    assert len(listed) > 300
    assert present == listed


def test_files_are_those_that_expected_json_describes():
    checked = 0
    for case in CASES:
        for name, want in case.expected["files"].items():
            data = (case.prefix.parent / name).read_bytes()

            assert (len(data), hashlib.sha256(data).hexdigest()) == (want["size"], want["sha256"])
            checked += 1

    assert checked >= 2 * len(CASES)


# ---- reading


@every_case
@every_backend
@pytest.mark.parametrize("copy", [None, True])
def test_tensor_has_the_values_that_tensorflow_reads(case, backend, copy):
    with fastckpt.read(case.prefix, backend=backend) as ckpt:
        for record in readable(case):
            array = ckpt.get_tensor(name_of(record), copy=copy)

            assert array.dtype.name == numpy_name(record["dtype"])
            assert list(array.shape) == record["shape"]
            assert values_digest(array) == sha256_of(record)
            if copy:
                assert array.flags.writeable and array.flags.aligned and array.flags.c_contiguous
            if "values_b64" in record:
                values = [base64.b64decode(value) for value in record["values_b64"]]
                assert array.reshape(-1).tolist() == values


@every_case
def test_item_access_gives_a_verified_array_of_the_same_values(case):
    with fastckpt.read(case.prefix, verify=True) as ckpt:
        for record in readable(case):
            array = ckpt[name_of(record)]

            assert type(array) is np.ndarray
            assert values_digest(array) == sha256_of(record)


@every_case
@every_backend
def test_all_tensors_together_are_those_that_tensorflow_lists(case, backend):
    digest = hashlib.sha256()
    hashes = {key_of(record): record.get("sha256", "") for record in case.tensors}
    is_complete = case.expected["tensors_complete"]

    with fastckpt.read(case.prefix, backend=backend) as ckpt:
        for info in ckpt.infos():
            key = info.name.encode("utf-8", "surrogateescape")
            values = hashes[key] if is_complete else values_digest(ckpt[info.name])
            dims = ",".join(map(str, info.shape))
            digest.update(key + f"\t{info.tf_dtype}\t{dims}\t{values}\n".encode())

    assert digest.hexdigest() == case.expected["tensors_digest"]


@every_case
def test_names_are_in_key_order_and_slice_keys_hidden(case):
    with fastckpt.read(case.prefix) as ckpt:
        names = list(ckpt)

    keys = [name.encode("utf-8", "surrogateescape") for name in names]
    assert len(names) == case.expected["tensor_count"]
    assert keys == sorted(keys)
    if case.expected["tensors_complete"]:
        assert keys == [key_of(record) for record in case.tensors]
    else:
        assert set(keys) >= {key_of(record) for record in case.tensors}


@every_case
def test_mapping_knows_its_names(case):
    with fastckpt.read(case.prefix) as ckpt:
        for record in case.tensors:
            assert name_of(record) in ckpt
        assert "no such tensor" not in ckpt
        assert "" not in ckpt
        assert len(ckpt) == case.expected["tensor_count"]
        with pytest.raises(fastckpt.TensorNotFoundError, match="no such tensor"):
            ckpt["no such tensor"]


@every_case
def test_info_says_what_the_index_says(case):
    index = bb.parse_table(Path(f"{case.prefix}.index").read_bytes())
    entries = {key: bb.parse_proto(value) for key, value in index}

    with fastckpt.read(case.prefix) as ckpt:
        for record in case.tensors:
            info = ckpt.info(name_of(record))

            entry = entries[key_of(record)]
            assert info.name == name_of(record)
            assert info.tf_dtype == record["dtype"]
            assert info.dtype.name == numpy_name(record["dtype"])
            assert list(info.shape) == record["shape"]
            if bb.get(entry, 7, None) is None:
                assert info.slices == ()
                assert info.nbytes == bb.get(entry, 5)
                assert info.shard == bb.get(entry, 3)
                assert info.offset == bb.get(entry, 4)
                assert bb.mask(info.crc32c) == bb.get(entry, 6)
            else:
                assert_is_sliced(info, entry)


def assert_is_sliced(info, entry):
    stored = [stored_slice(value, info.shape) for field, _, value in entry if field == 7]
    item_size = info.dtype.itemsize
    assert (info.shard, info.offset, info.crc32c) == (None, None, None)
    assert info.slices == tuple(stored)
    if info.dtype != object:
        sizes = [math.prod(s.stop - s.start for s in part) * item_size for part in stored]
        assert info.nbytes == sum(sizes)


def stored_box(proto):
    """(start, length) for each dimension of a TensorSliceProto, length -1 for a whole one."""
    extents = [bb.parse_proto(value) for _, _, value in bb.parse_proto(proto)]
    return [(bb.get(fields, 1), bb.get(fields, 2, -1)) for fields in extents]


def stored_slice(proto, shape):
    """The index that a TensorSliceProto means."""
    return tuple(
        slice(start, start + (dim if length < 0 else length))
        for (start, length), dim in zip(stored_box(proto), shape, strict=True)
    )


@every_case
def test_infos_are_the_infos_of_all_names(case):
    with fastckpt.read(case.prefix) as ckpt:
        infos = list(ckpt.infos())

        assert [info.name for info in infos] == list(ckpt)
        assert infos == [ckpt.info(name) for name in ckpt]


@every_case
def test_checkpoint_says_what_was_opened(case):
    with fastckpt.read(case.prefix) as ckpt:
        assert os.path.samefile(f"{ckpt.path}.index", f"{case.prefix}.index")
        assert ckpt.format == "V2"
        assert ckpt.num_shards == len(case.shards)
        assert ckpt.byteorder == ("big" if case.name == "crafted_big_endian" else "little")


@every_case
@every_backend
def test_load_gives_private_writable_arrays(case, backend):
    names = [name_of(record) for record in readable(case)]

    loaded = fastckpt.load(case.prefix, names, threads=2)

    assert list(loaded) == names
    for record in readable(case):
        array = loaded[name_of(record)]
        assert array.flags.writeable
        assert list(array.shape) == record["shape"]
        assert values_digest(array) == sha256_of(record)


@every_case
def test_load_of_everything_is_everything_or_an_error(case):
    if unreadable(case):
        with pytest.raises(fastckpt.CheckpointError):
            fastckpt.load(case.prefix)
        return

    loaded = fastckpt.load(case.prefix)

    with fastckpt.read(case.prefix) as ckpt:
        assert list(loaded) == list(ckpt)


@pytest.mark.parametrize("case", WHOLE, ids=repr)
@every_backend
def test_verify_finds_nothing_wrong(case, backend):
    with fastckpt.read(case.prefix, backend=backend) as ckpt:
        ckpt.verify()

        assert list(ckpt.problems()) == []


@every_case
def test_views_exist_where_the_format_allows_them(case):
    with fastckpt.read(case.prefix, backend="mmap") as ckpt:
        for record in readable(case):
            info = ckpt.info(name_of(record))
            is_big = ckpt.byteorder == "big"
            is_swapped = is_big and info.dtype.itemsize > 1 and info.nbytes > 0
            if info.tf_dtype == "string" or info.slices or is_swapped:
                with pytest.raises(ValueError, match=re.escape(info.name)):
                    ckpt.get_tensor(info.name, copy=False)
            elif info.tf_dtype not in BELOW_ONE_BYTE and not is_big:
                view = ckpt.get_tensor(info.name, copy=False)

                assert not view.flags.owndata or view.nbytes == 0
                assert not view.flags.writeable


@every_case
def test_copy_on_write_views_are_writable_and_the_file_stays(case):
    before = [path.read_bytes() for path in case.shards]

    with fastckpt.read(case.prefix, mode="c", backend="mmap") as ckpt:
        for record in readable(case):
            array = ckpt[name_of(record)]
            assert values_digest(array) == sha256_of(record)
            if array.dtype != object and array.nbytes:
                assert array.flags.writeable
                array[...] = 0

    assert [path.read_bytes() for path in case.shards] == before


@pytest.mark.parametrize(("case", "part"), SLICES, ids=lambda value: str(value)[:60])
@every_backend
def test_part_of_a_tensor_reads_as_the_restore_op_does(case, part, backend):
    index = parse_slice_spec(part["shape_and_slice"])

    with fastckpt.read(case.prefix, backend=backend) as ckpt:
        handle = ckpt.get_slice(name_of(part))

        assert list(handle.shape) == list(map(int, part["shape_and_slice"].split(" ")[:-1]))
        assert handle.ndim == len(handle.shape) and len(handle) == handle.shape[0]
        assert handle.dtype == ckpt.info(name_of(part)).dtype
        if sha256_of(part):
            array = handle[index]
            assert list(array.shape) == part["shape"]
            assert values_digest(array) == sha256_of(part)
        else:
            with pytest.raises(fastckpt.CheckpointError):
                handle[index]


@every_case
@every_backend
def test_slice_handle_indexes_like_the_array(case, backend):
    indexes = [..., (), 0, -1, 1 << 40, slice(1, 3), slice(5, 1), slice(-2, None)]
    indexes += [slice(None, None, 2), slice(None, None, -1), (0, 0), (..., slice(1, None))]
    with fastckpt.read(case.prefix, backend=backend) as ckpt:
        for record in readable(case)[:40]:
            handle = ckpt.get_slice(name_of(record))
            whole = ckpt.get_tensor(name_of(record), copy=True)
            for index in indexes:
                try:
                    want = whole[index]
                except IndexError:
                    with pytest.raises(IndexError):
                        handle[index]
                    continue

                got = handle[index]

                assert np.shape(got) == np.shape(want)
                assert same_values(got, want, whole.dtype)


def test_variant_is_listed_and_described_but_not_read(golden):
    with fastckpt.read(golden / "tf2_variant" / "ckpt") as ckpt:
        assert list(ckpt) == ["after", "list", "stack"]
        assert ckpt.info("stack").tf_dtype == "variant"
        assert ckpt.info("stack").shape == (3,)
        assert ckpt["after"].tolist() == [1.5]
        for name in ("list", "stack"):
            with pytest.raises(fastckpt.UnsupportedError, match="variant"):
                ckpt[name]
            with pytest.raises(fastckpt.UnsupportedError, match="variant"):
                ckpt.get_tensor(name, copy=True)


def test_tensor_with_a_gap_between_its_slices_is_an_error(golden):
    with fastckpt.read(golden / "tf2_slices" / "ckpt") as ckpt:
        with pytest.raises(fastckpt.CheckpointError, match="gap"):
            ckpt["gap"]
        assert ckpt["cube"].shape == (4, 6, 3)


def test_bundle_without_tensors_is_an_empty_mapping(golden):
    with fastckpt.read(golden / "crafted_empty" / "ckpt") as ckpt:
        assert list(ckpt) == []
        assert len(ckpt) == 0
        assert list(ckpt.infos()) == []
        ckpt.verify()


def test_name_that_is_not_utf8_uses_surrogateescape(tmp_path):
    key = b"layer\xff\x80/w"
    entry = bb.entry(1, [2], size=8, crc=bb.masked_crc(bytes(8)))
    header = bb.build_proto([[1, 0, 1], [3, 2, b"\x08\x01"]])
    bb.write(str(tmp_path / "odd.index"), bb.build_table([(b"", header), (key, entry)]))
    bb.write(str(tmp_path / "odd.data-00000-of-00001"), bytes(8))

    with fastckpt.read(tmp_path / "odd") as ckpt:
        assert list(ckpt) == ["layer\udcff\udc80/w"]
        assert ckpt["layer\udcff\udc80/w"].tolist() == [0, 0]


def test_same_data_of_both_tensorflows_reads_the_same(golden):
    with (
        fastckpt.read(golden / "same_data_tf1" / "model.ckpt") as first,
        fastckpt.read(golden / "same_data_tf2" / "model.ckpt") as second,
    ):
        assert list(first) == list(second)
        assert [*map(values_digest, first.values())] == [*map(values_digest, second.values())]


# ---- every spelling of a path


def spellings(case):
    """Everything that a person may pass and that means this checkpoint."""
    prefix = case.prefix
    yield str(prefix)
    yield prefix
    yield f"{prefix}.index"
    yield from case.shards
    if Path(f"{prefix}.meta").exists():
        yield f"{prefix}.meta"
    if prefix.name == "variables" and prefix.parent.name == "variables":
        yield prefix.parent.parent
        yield f"{prefix.parent.parent}{os.sep}"


@every_case
def test_every_spelling_of_the_path_opens_the_same(case):
    with fastckpt.read(case.prefix) as ckpt:
        path, names = ckpt.path, list(ckpt)

    for spelling in spellings(case):
        with fastckpt.read(spelling) as ckpt:
            assert os.path.samefile(f"{ckpt.path}.index", f"{path}.index")
            assert list(ckpt) == names


def test_spellings_that_are_tried_include_meta_and_saved_model():
    tried = {str(Path(spelling).suffix) for case in CASES for spelling in spellings(case)}
    folders = [
        spelling for case in CASES for spelling in spellings(case) if Path(spelling).is_dir()
    ]

    assert ".meta" in tried
    assert len(folders) >= 6


@pytest.mark.parametrize(("folder", "state"), STATES, ids=lambda value: getattr(value, "name", ""))
def test_folder_opens_the_latest_checkpoint_of_its_state_file(folder, state):
    latest = folder / state["latest_checkpoint"]

    for spelling in (folder, str(folder), f"{folder}{os.sep}"):
        with fastckpt.read(spelling) as ckpt:
            assert os.path.samefile(f"{ckpt.path}.index", f"{latest}.index")


@pytest.mark.parametrize(
    "name", ["model.ckpt-4", "model.ckpt-41", "model.ckpt-40.indx", "model.ckpt", "nothing/at/all"]
)
def test_path_that_matches_nothing_is_file_not_found(golden, name):
    with pytest.raises(FileNotFoundError, match=r"(?s)."):
        fastckpt.read(golden / "tf1_saver" / name)


def test_near_miss_is_named(golden):
    with pytest.raises(FileNotFoundError, match="model.ckpt-40"):
        fastckpt.read(golden / "tf1_saver" / "model.ckpt-41")


def test_folder_without_a_checkpoint_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)."):
        fastckpt.read(tmp_path)


@every_case
def test_checkpoint_survives_pickling(case):
    with fastckpt.read(case.prefix) as ckpt, pickle.loads(pickle.dumps(ckpt)) as again:
        assert list(again) == list(ckpt)
        for record in readable(case)[:5]:
            assert values_digest(again[name_of(record)]) == sha256_of(record)


# ---- writing again


class Stored:
    """What one SaveV2 wrote, in the order in which it wrote it."""

    def __init__(self, prefix):
        index = bb.parse_table(Path(f"{prefix}.index").read_bytes())
        self.entries = {key: bb.parse_proto(value) for key, value in index[1:]}
        self.slice_keys = {}
        for key, entry in self.entries.items():
            for field, _, proto in entry:
                if field == 7:
                    self.slice_keys[slice_key(key, stored_box(proto))] = (key, proto)

    def in_data_order(self):
        """(name, slice proto or None), by offset; what has no bytes first."""
        keys = [key for key in self.entries if bb.get(self.entries[key], 7, None) is None]
        keys.sort(key=lambda key: [bb.get(self.entries[key], field) for field in (4, 5)])
        for key in keys:
            name, proto = self.slice_keys.get(key, (key, None))
            yield name.decode("utf-8", "surrogateescape"), proto

    def has_whole_extents(self):
        """Whether a slice says "-" for a dimension, which add_slice has no word for."""
        protos = [proto for _, proto in self.slice_keys.values()]
        return any(length < 0 for proto in protos for _, length in stored_box(proto))


def assert_same_files(prefix, golden_prefix):
    for suffix in (".data-00000-of-00001", ".index"):
        written = Path(f"{prefix}{suffix}").read_bytes()
        golden = Path(f"{golden_prefix}{suffix}").read_bytes()
        assert written == golden, f"{suffix} differs"


@pytest.mark.parametrize("case", REWRITABLE, ids=repr)
def test_tensors_carried_over_give_the_same_files(case, tmp_path):
    order = dict.fromkeys(name for name, _ in Stored(case.prefix).in_data_order())

    with (
        fastckpt.read(case.prefix) as ckpt,
        fastckpt.Writer(tmp_path / "again", alignment=1, sync=False) as writer,
    ):
        for name in order:
            writer.add_from(ckpt, name)

    assert_same_files(tmp_path / "again", case.prefix)


def is_plain(case):
    """Whether NumPy has a value for everything in a case, and add_slice a word for its slices."""
    dtypes = {record["dtype"] for record in case.tensors}
    has_numpy_form = not any(dtype == "variant" or dtype.startswith("q") for dtype in dtypes)
    return (
        not unreadable(case)
        and (has_numpy_form or case.name.endswith("_dtypes"))
        and not Stored(case.prefix).has_whole_extents()
    )


@pytest.mark.parametrize("case", [case for case in REWRITABLE if is_plain(case)], ids=repr)
def test_values_written_again_give_the_same_files(case, tmp_path):
    with (
        fastckpt.read(case.prefix) as ckpt,
        fastckpt.Writer(tmp_path / "again", alignment=1, sync=False) as writer,
    ):
        for name, proto in Stored(case.prefix).in_data_order():
            info = ckpt.info(name)
            if proto is not None:
                part = stored_slice(proto, info.shape)
                start = tuple(extent.start for extent in part)
                value = ckpt.get_slice(name)[part]
                writer.add_slice(name, value, full_shape=info.shape, start=start)
            elif info.tf_dtype.startswith("q"):
                writer.add_from(ckpt, name)  # NumPy has no quantized types
            else:
                writer.add(name, ckpt[name])

    assert_same_files(tmp_path / "again", case.prefix)


def test_enough_is_written_again_from_values():
    cases = [case for case in REWRITABLE if is_plain(case)]

    assert len(cases) >= 15
    assert {"tf1_partitioned", "tf1_strings", "tf2_dtypes"} <= {case.name for case in cases}


@pytest.mark.parametrize("name", ["tf1_dtypes", "tf2_dtypes"])
def test_quantized_values_are_written_as_integers_with_the_same_data(golden, name, tmp_path):
    (case,) = (case for case in CASES if case.name == name)
    with fastckpt.read(case.prefix) as ckpt:
        tensors = {tensor: ckpt[tensor] for tensor, _ in Stored(case.prefix).in_data_order()}

        fastckpt.write(tmp_path / "again", tensors, alignment=1, sync=False)

    written = tmp_path / "again.data-00000-of-00001"
    assert written.read_bytes() == case.shards[0].read_bytes()


@pytest.mark.parametrize("name", ["tf1_strings", "tf1_shapes", "tf2_names", "tf2_unaligned"])
def test_mapping_in_data_order_gives_the_same_files(golden, name, tmp_path):
    (case,) = (case for case in CASES if case.name == name)
    with fastckpt.read(case.prefix) as ckpt:
        tensors = {tensor: ckpt[tensor] for tensor, _ in Stored(case.prefix).in_data_order()}

        fastckpt.write(tmp_path / "again", tensors, alignment=1, sync=False)

    assert_same_files(tmp_path / "again", case.prefix)


# ---- files known from the format's reference

KNOWN = {
    "scalar": (
        [("a", np.array(1.0, np.float32))],
        "0000803f",
        "00000608011a02080100010b610801120028043581a5da2b00000000010000000074ef79b200000000010000"
        "0000c0f2a1b000010262002000000000010000000030d3691c2508320e000000000000000000000000000000"
        "00000000000000000000000000000000000000000057fb808b247547db",
    ),
    "strings": (
        [("s", ["ab", "", "xyz"])],
        "0200031b428bca616278797a",
        "00000608011a02080100010f730807120412020803280c3510adc43f0000000001000000007ede926d000000"
        "000100000000c0f2a1b000010274002400000000010000000070bd12762908360e0000000000000000000000"
        "0000000000000000000000000000000000000000000000000057fb808b247547db",
    ),
    "slices": (
        [
            ("v", np.array([1, 2], np.int8), (3,), (0,)),
            ("v", np.array([3], np.int8), (3,), (2,)),
        ],
        "010203",
        "00000608011a02080100080f00760001010180820806120412020802280235c9f226e1060211828108061204"
        "120208012002280135336dcde30001167608061204120208033a040a0210023a060a04080210010000000001"
        "0000000060283a5e000000000100000000c0f2a1b000010277005b0000000001000000005d3d113360086d0e"
        "00000000000000000000000000000000000000000000000000000000000000000000000057fb808b247547db",
    ),
    "empty": (
        [("e", np.zeros((0, 2), np.float32)), ("b", np.array([True, False]))],
        "0100",
        "00000608011a02080100010f62080a1204120208022802355fb0ce8100010f650801120612001202080235d8"
        "ea82a2000000000100000000b3c20fa9000000000100000000c0f2a1b0000102660037000000000100000000"
        "2279ef0d3c08490e000000000000000000000000000000000000000000000000000000000000000000000000"
        "57fb808b247547db",
    ),
    "prefixes": (
        [("x", np.int64(7)), ("abc", np.uint8(1)), ("abd", np.uint8(2))],
        "07000000000000000102",
        "00000608011a02080100030d616263080412002008280135052b284302010d640804120020092801356451d0"
        "e900010b7808091200280835bbd79f110000000001000000009b95e47c000000000100000000c0f2a1b00001"
        "02790044000000000100000000f84abe4c4908560e0000000000000000000000000000000000000000000000"
        "0000000000000000000000000057fb808b247547db",
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_tensors_give_the_known_bytes(tmp_path, name):
    steps, data, index = KNOWN[name]

    with fastckpt.Writer(tmp_path / "ckpt", alignment=1, sync=False) as writer:
        for tensor, value, *place in steps:
            if place:
                writer.add_slice(tensor, value, full_shape=place[0], start=place[1])
            else:
                writer.add(tensor, value)

    assert (tmp_path / "ckpt.data-00000-of-00001").read_bytes().hex() == data
    assert (tmp_path / "ckpt.index").read_bytes().hex() == index


ONE = np.array(1.0, np.float32)
LARGE = {
    "12,000 names in three blocks": (
        {f"w{number:05d}/{'x' * 24}": ONE for number in range(12000)},
        (532164, 0xBB04A1F8),
    ),
    "names of up to 600,000 bytes": (
        {
            letter * size: ONE
            for letter, size in zip("abcde", (600000, 10, 524288, 300000, 10), strict=True)
        },
        (2848922, 0xBC1074FF),
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_known_names_give_the_index_of_the_known_checksum(tmp_path, name):
    tensors, (size, checksum) = LARGE[name]

    fastckpt.write(tmp_path / "ckpt", tensors, alignment=1, sync=False)

    index = (tmp_path / "ckpt.index").read_bytes()
    assert (len(index), crc32c.crc32c(index)) == (size, checksum)
    assert list(fastckpt.load(tmp_path / "ckpt")) == sorted(tensors)
