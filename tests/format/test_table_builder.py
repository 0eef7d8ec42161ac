"""Tables that are built, byte for byte."""

import bundle_bytes as bb
import crc32c
import pytest

from fastckpt.format._table_builder import TableBuilder


def build(items):
    builder = TableBuilder()
    for key, value in items:
        builder.add(key, value)
    return builder.finish()


@pytest.mark.parametrize("second", [b"b", b"a", b"", b"a\xff"])
def test_key_that_is_not_larger_is_refused(second):
    builder = TableBuilder()
    builder.add(b"b", b"")

    with pytest.raises(ValueError, match="strictly increasing keys, got one out of order"):
        builder.add(second, b"")


def test_key_that_is_not_larger_is_refused_across_blocks_too():
    builder = TableBuilder()
    builder.add(b"b", bytes(300000))

    with pytest.raises(ValueError, match="out of order"):
        builder.add(b"a", b"")


@pytest.mark.parametrize("given", [None, "text", 5, bytearray(b"a")])
def test_key_or_value_that_is_not_bytes_is_a_type_error(given):
    with pytest.raises(TypeError):
        TableBuilder().add(given, b"")
    with pytest.raises(TypeError):
        TableBuilder().add(b"", given)


KNOWN = {  # docs/format.md, "Test vectors"
    "empty": (
        [(b"", "08011a020801")],
        "00000608011a020801000000000100000000629457f9000000000100000000c0f2a1b00000020011000000"
        "000100000000ccbf8b5d1608230d",
    ),
    "prefixes": (
        [
            (b"", "08011a020801"),
            (b"abc", "080412002008280135052b2843"),
            (b"abd", "0804120020092801356451d0e9"),
            (b"x", "08091200280835bbd79f11"),
        ],
        "00000608011a02080100030d616263080412002008280135052b284302010d640804120020092801356451d0"
        "e900010b7808091200280835bbd79f110000000001000000009b95e47c000000000100000000c0f2a1b00001"
        "02790044000000000100000000f84abe4c4908560e",
    ),
}


@pytest.mark.parametrize("case", KNOWN)
def test_known_table(case):
    items, expected = KNOWN[case]

    data = build([(key, bytes.fromhex(value)) for key, value in items])

    assert data[:-48] == bytes.fromhex(expected)[: len(data) - 48]
    assert data[-48:].startswith(bytes.fromhex(expected)[len(data) - 48 :])
    assert data[-8:] == bytes.fromhex("57fb808b247547db")


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([], id="nothing"),
        pytest.param([(b"", b"")], id="one empty"),
        pytest.param([(b"\xff\xff", b"1"), (b"\xff\xff\xff", b"2")], id="no successor"),
        pytest.param([(f"k{i:02d}".encode(), bytes([i])) for i in range(21)], id="two restarts"),
        pytest.param([(b"a%06d" % i, b"v" * 50) for i in range(20000)], id="several blocks"),
        pytest.param([(b"k" * i, b"") for i in range(600)], id="growing keys"),
    ],
)
def test_table_is_the_reference_table(items):
    data = build(items)

    # the reference has a data block, if an empty one, for every table; TensorFlow only if needed
    if items:
        assert data == bb.build_table(items)
    assert bb.parse_table(data) == items


def test_many_names_give_the_known_index():
    names = [b"w%05d/" % i + b"x" * 24 for i in range(12000)]
    value = bb.mask(bb.crc32c(bytes.fromhex("0000803f")))
    items = [
        (name, bb.entry(1, [], offset=4 * i, size=4, crc=value)) for i, name in enumerate(names)
    ]

    data = build([(b"", bytes.fromhex("08011a020801")), *items])

    blocks = bb.table_blocks(data)
    assert (len(data), crc32c.crc32c(data)) == (532164, 0xBB04A1F8)
    assert [(at, size) for _, at, size, _ in blocks[:3]] == [
        (0, 262184),
        (262189, 262151),
        (524345, 7645),
    ]


def test_long_keys_give_the_known_index():
    names = [b"a" * 600000, b"b" * 10, b"c" * 524288, b"d" * 300000, b"e" * 10]
    value = bb.mask(bb.crc32c(bytes.fromhex("0000803f")))
    items = [
        (name, bb.entry(1, [], offset=4 * i, size=4, crc=value)) for i, name in enumerate(names)
    ]

    data = build([(b"", bytes.fromhex("08011a020801")), *items])

    assert (len(data), crc32c.crc32c(data)) == (2848922, 0xBC1074FF)


SEPARATORS = [
    (b"abc", b"abf", b"abd"),
    (b"abc", b"abd", b"abc"),
    (b"abc", b"abcd", b"abc"),
    (b"abcdef", b"abzz", b"abd"),
    (b"a\xff", b"b", b"a\xff"),
    (b"the quick brown fox", b"the who", b"the r"),
]


@pytest.mark.parametrize(("first", "second", "separator"), SEPARATORS)
def test_index_has_a_short_key_between_blocks(first, second, separator):
    data = build([(first, bytes(300000)), (second, b"")])

    index = bb.table_blocks(data)[-1]
    keys = [key for key, _ in bb.parse_block(data[index[1] : index[1] + index[2]])]

    assert keys[0] == separator


@pytest.mark.parametrize(
    ("last", "successor"),
    [
        (b"w", b"x"),
        (b"", b""),
        (b"\xff\xff", b"\xff\xff"),
        (b"\xff\xffz", b"\xff\xff{"),
        (b"\0v", b"\1"),
    ],
)
def test_index_has_a_short_key_behind_the_last_block(last, successor):
    data = build([(last, b"")])

    index = bb.table_blocks(data)[-1]

    assert bb.parse_block(data[index[1] : index[1] + index[2]])[0][0] == successor
