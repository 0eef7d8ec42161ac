"""The records of an index: hostile bytes, and bytes that TensorFlow's documents give."""

import bundle_bytes as bb
import pytest
import slice_keys
from fresh import run

from fastckpt.errors import FormatError, UnsupportedError
from fastckpt.format._record import (
    Entry,
    decode_entry,
    decode_header,
    decode_name,
    encode_entry,
    encode_header,
    encode_name,
    slice_key,
)
from fastckpt.format.checksum import unmask

FIELDS = ("dtype", "shape", "shard_id", "offset", "size", "crc32c", "slices")


def decode(record):
    return decode_entry(record, "/a/m.index", "entry of tensor 'v'")


def fields_of(entry):
    return tuple(getattr(entry, name) for name in FIELDS)


def shape_message(*dims):
    return b"".join(bb.build_proto([[2, 2, bb.build_proto([[1, 0, d]])]]) for d in dims)


# ---- entries


HOSTILE_ENTRIES = {
    "tag cut": b"\x08",
    "varint too long": b"\x08" + b"\xff" * 10 + b"\x01",
    "varint of 65 bits": b"\x08" + b"\xff" * 9 + b"\x02",
    "field number 0": b"\x00\x01",
    "field number 0 of length 0": b"\x02\x00",
    "wire type 3": b"\x0b",
    "wire type 4": b"\x0c",
    "wire type 6": b"\x0e\x00",
    "wire type 7": b"\x0f\x00",
    "dtype as bytes": b"\x0a\x01\x00",
    "dtype as fixed32": b"\x0d\x01\x00\x00\x00",
    "shape as varint": b"\x10\x01",
    "crc as varint": b"\x30\x01",
    "crc cut": b"\x35\x01\x02\x03",
    "shape longer than the record": b"\x12\x05\x12\x02",
    "shape of 2**63 bytes": b"\x12" + bb.varint(1 << 63),
    "shape of 2**64 - 1 bytes": b"\x12" + bb.varint((1 << 64) - 1),
    "dimension longer than its shape": b"\x12\x02\x12\x05",
    "negative dimension": b"\x08\x01" + bb.build_proto([[2, 2, shape_message(-1)]]),
    "smallest dimension": b"\x08\x01" + bb.build_proto([[2, 2, shape_message(-(1 << 63))]]),
    "unknown rank": b"\x08\x01\x12\x02\x18\x01",
    "255 dimensions": bb.build_proto([[2, 2, shape_message(*[1] * 255)]]),
    "unknown field cut": b"\x08\x01\xa2\x06\x05abc",
    "dtype beyond 32 bits": b"\x08" + bb.varint(1 << 40),
    "shard beyond 32 bits": b"\x18" + bb.varint(1 << 40),
}


@pytest.mark.parametrize("case", HOSTILE_ENTRIES)
def test_hostile_entry_is_a_format_error(case):
    problem = "(expected .*, got |truncated: needs [0-9]+ more bytes?$)"
    with pytest.raises(FormatError, match=f"^/a/m.index: entry of tensor 'v': {problem}"):
        decode(HOSTILE_ENTRIES[case])


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ("crc cut", "truncated: needs 1 more byte"),
        ("shape longer than the record", "truncated: needs 3 more bytes"),
        ("255 dimensions", "expected at most 254 dimensions, got 255"),
        ("negative dimension", "expected dimensions of 0 or more, got -1"),
        ("unknown rank", "expected a known shape, got one of unknown rank"),
        ("dtype beyond 32 bits", f"expected a number that its field can hold, got {1 << 40}"),
        ("dtype as bytes", "expected a field of wire type 0, got wire type 2"),
    ],
)
def test_hostile_entry_is_told_with_numbers(case, problem):
    with pytest.raises(FormatError) as caught:
        decode(HOSTILE_ENTRIES[case])

    assert caught.value.problem == problem


def test_entry_cut_at_every_byte_is_an_error_or_a_shorter_message():
    slices = [bytes.fromhex("0a021002"), bytes.fromhex("0a0408021003")]
    record = bb.entry(
        1, [300, 2], shard=3, offset=1 << 40, size=2400, crc=0xFFFFFFFF, slices=slices
    )
    ends = {0}
    at = 0
    while at < len(record):  # where a field ends, a message may end
        tag, at = bb.read_varint(record, at)
        if tag & 7 == 5:
            at += 4
        else:
            value, at = bb.read_varint(record, at)
            at += value if tag & 7 == 2 else 0
        ends.add(at)

    for cut in range(len(record) + 1):
        if cut in ends:
            decode(record[:cut])
        else:
            with pytest.raises(FormatError):
                decode(record[:cut])


@pytest.mark.parametrize("argument", [None, "text", bytearray(b"\x08\x01"), 5])
def test_record_that_is_not_bytes_is_a_type_error(argument):
    with pytest.raises(TypeError):
        decode(argument)


@pytest.mark.parametrize("rank", [255, 300])
def test_more_dimensions_than_a_record_holds_are_refused(rank):
    with pytest.raises(ValueError, match="at most 254 dimensions"):
        encode_entry(1, (1,) * rank, 0, 0, 4, 0)
    with pytest.raises(ValueError, match="at most 254 dimensions"):
        encode_entry(1, (1,), 0, 0, 4, 0, [((0, 1),) * rank])
    with pytest.raises(ValueError, match="at most 254 dimensions"):
        slice_key(b"v", ((0, 1),) * rank)


ENTRIES = [  # the examples of docs/format.md, "Index records"
    ("0801120028043581a5da2b", (1, (), 0, 0, 4)),
    ("0801120212002004 35d8ea82a2", (1, (0,), 0, 4, 0)),
    ("0801120a120208021200120208032004 35d8ea82a2", (1, (2, 0, 3), 0, 4, 0)),
    ("080112091203 08ac02 12020801 200828b009 35113cd55f", (1, (300, 1), 0, 8, 1200)),
    ("08071204 1202080328 0435f6c10c64", (7, (3,), 0, 0, 4)),
    ("081d120412020803280335e9346f9d", (29, (3,), 0, 0, 3)),
]


@pytest.mark.parametrize(("record", "expected"), ENTRIES)
def test_known_entry_decodes_and_encodes(record, expected):
    record = bytes.fromhex(record)
    masked = int.from_bytes(record[-4:], "little")

    entry = decode(record)

    assert fields_of(entry) == (*expected, unmask(masked), ())
    assert encode_entry(*expected, entry.crc32c) == record


@pytest.mark.parametrize("value", [0, 1, 127, 128, (1 << 31) - 1, 1 << 31, 1 << 62, (1 << 63) - 1])
def test_large_numbers_survive(value):
    record = encode_entry(1, (value,), min(value, (1 << 31) - 1), value, value, 7)

    assert record == bb.entry(1, [value], min(value, (1 << 31) - 1), value, value, bb.mask(7))
    assert fields_of(decode(record))[1:6] == ((value,), min(value, (1 << 31) - 1), value, value, 7)


@pytest.mark.parametrize("rank", [0, 1, 32, 64, 65, 254])
def test_every_rank_that_tensorflow_has_survives(rank):
    shape = tuple(range(rank))

    assert decode(encode_entry(1, shape, 0, 0, 0, 0)).shape == shape


def test_checksum_whose_stored_form_is_zero_is_not_written():
    crc = unmask(0)

    record = encode_entry(1, (), 0, 0, 4, crc)

    assert record == bb.entry(1, [], size=4)
    assert decode(record).crc32c == crc


def test_unknown_fields_are_skipped():
    extra = [[9, 0, 5], [10, 1, 7], [11, 2, b"x"], [1000, 5, 1]]
    shape = bb.build_proto([[2, 2, bb.build_proto([[1, 0, 3], [2, 2, b"batch"], [7, 0, 1]])]])

    entry = decode(bb.build_proto([[1, 0, 1], [2, 2, shape], *extra, [5, 0, 12]]))

    assert fields_of(entry)[:5] == (1, (3,), 0, 0, 12)


def test_negative_numbers_decode_as_negative():
    entry = decode(bb.build_proto([[1, 0, -1], [3, 0, -2], [4, 0, -3], [5, 0, -4]]))

    assert (entry.dtype, entry.shard_id, entry.offset, entry.size) == (-1, -2, -3, -4)


def test_last_of_a_repeated_number_counts():
    assert decode(b"\x08\x01\x08\x03").dtype == 3


def test_slices_are_written_as_tensorflow_writes_them():
    boxes = (((0, 2), (0, -1)), ((2, 3), (0, 4)))

    record = encode_entry(1, (5, 4), 0, 0, 0, 12345, boxes)

    slices = [bytes.fromhex("0a0210020a00"), bytes.fromhex("0a04080210030a021004")]
    assert record == bb.entry(1, [5, 4], slices=slices)  # without a checksum
    assert decode(record).slices == boxes


def test_slice_extent_of_length_zero_is_not_the_whole_dimension():
    record = bb.entry(1, [5], slices=[bytes.fromhex("0a021000"), bytes.fromhex("0a00")])

    assert decode(record).slices == (((0, 0),), ((0, -1),))


@pytest.mark.parametrize(
    "part",
    [
        b"\x0a",
        b"\x0a\x05\x08",
        b"\x08\x01",
        b"\x0a\x01\x08",
        b"\x0a\x00" * 255,
    ],
)
def test_hostile_slice_is_a_format_error(part):
    with pytest.raises(FormatError):
        decode(bb.entry(1, [5], slices=[part]))


def test_entry_keeps_what_it_was_made_of():
    values = (1, (2, 3), 4, 5, 6, 7, (((0, 1),),))

    assert fields_of(Entry(*values)) == values
    assert Entry(1, (), 0, 0, 0, 0).slices == ()


# ---- keys of slices


@pytest.mark.parametrize("box", [(0, 1), [(0, 1)], ((0,),), ((0, 1, 2),), (("a", 1),)])
def test_box_of_another_form_is_refused(box):
    with pytest.raises((TypeError, ValueError)):
        slice_key(b"v", box)


KEYS = [
    (b"v", ((0, 2), (0, -1)), "00 760001 0102 8082 807f"),
    (b"v", ((2, 3), (0, -1)), "00 760001 0102 8283 807f"),
    (b"a/v", ((0, 2), (0, 4)), "00 612f760001 0102 8082 8084"),
    (b"b", ((100, 9900), (0, -1)), "00 620001 0102 c064 e026ac 807f"),
    (b"s", (), "00 730001 00"),
    (b"a\0b\xffc", ((0, 1),), "00 6100ff62ff00630001 0101 8081"),
]


@pytest.mark.parametrize(("name", "box", "key"), KEYS)
def test_known_slice_key(name, box, key):
    assert slice_key(name, box) == bytes.fromhex(key)


def test_slice_keys_follow_their_definition():
    numbers = {n + d for bits in range(63) for n in [1 << bits] for d in (-1, 0, 1)}
    for number in sorted(numbers) + [(1 << 63) - 1]:
        box = ((number, number), (0, -1))
        assert slice_key(b"n\0\xff", box) == slice_keys.slice_key(b"n\0\xff", box)


def test_slice_key_of_many_dimensions():
    box = tuple((i, i + 1) for i in range(254))

    assert slice_key(b"v", box) == slice_keys.slice_key(b"v", box)


# ---- the header


def header(*fields):
    return decode_header((b"", bb.build_proto(list(fields))), "/a/m.index")


@pytest.mark.parametrize("first", [None, (b"a", b""), (b"\0", b"\x08\x01")])
def test_table_without_a_header_is_a_format_error(first):
    with pytest.raises(FormatError, match="bundle header: expected an entry with the empty key"):
        decode_header(first, "/a/m.index")


@pytest.mark.parametrize(
    "record", [b"\x08", b"\x0a\x01\x00", b"\x1a\x05\x08", b"\x08" + b"\xff" * 11]
)
def test_broken_header_is_a_format_error(record):
    with pytest.raises(FormatError, match="^/a/m.index: bundle header: "):
        decode_header((b"", record), "/a/m.index")


@pytest.mark.parametrize("num_shards", [0, -1])
def test_header_without_shards_is_a_format_error(num_shards):
    with pytest.raises(FormatError, match=f"expected 1 shard or more, got {num_shards}"):
        header([1, 0, num_shards])


def test_header_of_unknown_byte_order_is_a_format_error():
    with pytest.raises(FormatError, match="expected endianness 0 or 1, got 2"):
        header([1, 0, 1], [2, 0, 2])


@pytest.mark.parametrize(
    ("version", "asked"),
    [
        ([[1, 0, 2], [2, 0, 2]], "version 2"),
        ([[2, 0, 1 << 30]], "version 1073741824"),
        ([[1, 0, 1], [3, 0, 1]], "this version refused"),
        ([[1, 0, 1], [3, 2, b"\x05\x01"]], "this version refused"),
    ],
)
def test_header_for_newer_readers_only_is_unsupported(version, asked):
    with pytest.raises(UnsupportedError, match=f"version 1 may read, got {asked}"):
        header([1, 0, 1], [3, 2, bb.build_proto(version)])


@pytest.mark.parametrize(
    ("version", "producer"),
    [
        ([], 0),
        ([[1, 0, 1]], 1),
        ([[1, 0, 77], [2, 0, 1]], 77),
        ([[1, 0, 1], [3, 0, 2], [3, 2, b"\x03\x04"]], 1),
    ],
)
def test_header_of_older_and_newer_writers_is_accepted(version, producer):
    assert header([1, 0, 7], [3, 2, bb.build_proto(version)]) == (7, False, producer)


def test_header_without_a_version_is_version_0():
    assert header([1, 0, 1]) == (1, False, 0)


def test_known_headers():
    assert encode_header(1) == bytes.fromhex("08011a020801")
    assert encode_header(1, is_big_endian=True) == bytes.fromhex("080110011a020801")
    assert decode_header((b"", encode_header(300, is_big_endian=True)), "") == (300, True, 1)


# ---- names


@pytest.mark.parametrize("name", ["\ud800", "a\udfff", "x\udc7f"])
def test_name_that_no_bytes_decode_to_is_a_value_error(name):
    with pytest.raises(ValueError, match="tensor '"):
        encode_name(name)


@pytest.mark.parametrize(
    "key", [b"a", b"", b"\xff", b"\xc3\xbc", b"\xc3", b"\0\x80", "重み".encode()]
)
def test_name_and_key_convert_both_ways(key):
    name = decode_name(key)

    assert name == key.decode("utf-8", "surrogateescape")
    assert encode_name(name) == key


EMPTY = """
    import fastckpt
    from fastckpt.bundle.reader import Bundle

    made = [fastckpt.TensorInfo.__new__(fastckpt.TensorInfo), Bundle.__new__(Bundle)]
    for call in (
        fastckpt.TensorInfo, lambda: repr(made[0]), lambda: made[0].dtype, lambda: hash(made[0]),
        lambda: made[0] == made[0], lambda: made[1]["x"], lambda: made[1].info("x"),
        lambda: list(made[1]), fastckpt.Checkpoint,
    ):
        try:
            call()
        except (TypeError, ValueError):
            print("refused")
"""


def test_objects_that_nobody_made_properly_are_refused_and_crash_nothing():
    assert run(EMPTY).split() == ["refused"] * 9
