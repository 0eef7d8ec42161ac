"""What TensorFlow wrote, written again, gives the same files; known tensors, the known bytes."""

from pathlib import Path

import bundle_bytes as bb
import crc32c
import numpy as np
import pytest
from corpus import (
    CASES,
    REWRITABLE,
    unreadable,
)
from golden_cases import stored_box, stored_slice
from slice_keys import slice_key

import fastckpt

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
