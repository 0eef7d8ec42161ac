"""The sorted table: hostile bytes, then look-ups."""

import contextlib
import random
import struct

import bundle_bytes as bb
import pytest

from fastckpt.errors import ChecksumError, FormatError, UnsupportedError
from fastckpt.format._table import Cursor, Table

PATH = "/a/m.index"


class Bytes:
    """A file in memory, as `Table` reads it. Fails on a read outside of it."""

    path = PATH

    def __init__(self, data):
        self.data = bytes(data)
        self.size = len(data)
        self.reads = []

    def read(self, offset, size, what):
        assert what and 0 <= offset <= offset + size <= self.size
        self.reads.append((offset, size))
        return self.data[offset : offset + size]


def read_all(data):
    return list(Table(Bytes(data)).items())


def cooked(items, role, change, **options):
    """A table one of whose blocks is changed below its checksum."""

    def cook(this, n, contents, kind):
        return change(contents, kind) if (this, n) == (role, 0) else (contents, kind)

    return bb.build_table(items, cook=cook, **options)


SMALL = [(b"", b"header"), (b"abc", b"1"), (b"abd", b"2"), (b"x", b"")]
MANY = [(f"k{i:05d}".encode(), str(i).encode() * (i % 5)) for i in range(2000)]


# ---- hostile tables


@pytest.mark.parametrize("size", [0, 1, 47])
def test_file_shorter_than_a_footer_is_a_format_error(size):
    with pytest.raises(
        FormatError, match=f"{PATH}: table footer: expected at least 48 bytes, got a file of {size}"
    ):
        Table(Bytes(bytes(size)))


def test_file_without_the_magic_is_a_format_error():
    data = bytearray(bb.build_table(SMALL))
    data[-1] ^= 1

    with pytest.raises(
        FormatError, match=rf"table footer at {len(data) - 48}: expected the .*magic"
    ):
        Table(Bytes(data))


@pytest.mark.parametrize(
    "handles",
    [
        bb.varint(0) + bb.varint(8) + bb.varint(1 << 40) + bb.varint(8),
        bb.varint(0) + bb.varint(8) + bb.varint(0) + bb.varint(1 << 40),
        bb.varint(0) + bb.varint(8) + bb.varint((1 << 64) - 1) + bb.varint((1 << 64) - 1),
        bb.varint(0) + bb.varint(8) + bb.varint(1) + bb.varint((1 << 64) - 1),
        b"\xff" * 40,
        b"\xff" * 10 + bytes(30),
    ],
)
def test_footer_that_points_outside_is_a_format_error(handles):
    data = bb.build_table(SMALL)[:-48] + handles.ljust(40, b"\0") + struct.pack("<Q", bb.MAGIC)

    with pytest.raises(FormatError, match=f"^{PATH}: "):
        Table(Bytes(data))


def test_table_cut_at_every_byte_is_a_format_error():
    data = bb.build_table(SMALL)

    for size in range(len(data)):
        with pytest.raises(FormatError):
            read_all(data[:size])


def test_table_with_any_byte_changed_is_an_error_or_reads_the_same():
    data = bb.build_table(SMALL)

    for place in range(len(data)):
        for bits in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[place] ^= bits
            with contextlib.suppress(FormatError, UnsupportedError):
                assert read_all(damaged) == SMALL


@pytest.mark.parametrize("role", ["data", "index"])
def test_block_that_is_not_what_was_written_is_a_checksum_error(role):
    data = bytearray(bb.build_table(SMALL))
    offset = next(at for name, at, _, _ in bb.table_blocks(bytes(data)) if name == role)
    data[offset] ^= 1

    with pytest.raises(ChecksumError, match=f"block.* at {offset}: expected CRC-32C 0x.*, got 0x"):
        read_all(data)


@pytest.mark.parametrize("kind", [2, 3, 255])
@pytest.mark.parametrize("role", ["data", "index"])
def test_unknown_compression_is_unsupported(role, kind):
    data = cooked(SMALL, role, lambda contents, _: (contents, kind))

    with pytest.raises(UnsupportedError, match=rf"expected compression 0 .* or 1 .*, got {kind}"):
        read_all(data)


def entries(*parts):
    """A block's entries, from (shared, key tail, value) each, and one restart."""
    body = b"".join(
        bb.varint(shared) + bb.varint(len(tail)) + bb.varint(len(value)) + tail + value
        for shared, tail, value in parts
    )
    return body + struct.pack("<II", 0, 1)


HOSTILE_BLOCKS = {
    "empty": b"",
    "three bytes": b"\0\0\0",
    "no restarts": entries((0, b"a", b"1"))[:-8] + struct.pack("<I", 0),
    "more restarts than bytes": entries((0, b"a", b"1"))[:-4] + struct.pack("<I", 1 << 20),
    "restarts that wrap": entries((0, b"a", b"1"))[:-4] + struct.pack("<I", (1 << 32) - 1),
    "first restart is not 0": entries((0, b"a", b"1"), (0, b"b", b""))[:-8]
    + struct.pack("<II", 5, 1),
    "restart between entries": entries((0, b"a", b"1"))[:-8] + struct.pack("<III", 0, 1, 2),
    "restart beyond the entries": entries((0, b"a", b"1"))[:-8] + struct.pack("<III", 0, 99, 2),
    "restart that shares bytes": entries((0, b"a", b"1"), (1, b"b", b""))[:-8]
    + struct.pack("<III", 0, 5, 2),
    "shares more than there is": entries((0, b"a", b"1"), (2, b"b", b"")),
    "first entry shares": entries((1, b"a", b"1")),
    "key beyond the block": b"\0\x63\0" + struct.pack("<II", 0, 1),
    "value beyond the block": b"\0\0\x63" + struct.pack("<II", 0, 1),
    "sizes that wrap": bb.varint(0) + bb.varint(0xFFFFFFFF) * 2 + struct.pack("<II", 0, 1),
    "size beyond 32 bits": bb.varint(0) + bb.varint(1 << 40) + bb.varint(0)
    + struct.pack("<II", 0, 1),
    "unsorted keys": entries((0, b"b", b""), (0, b"a", b"")),
    "the same key twice": entries((0, b"a", b""), (1, b"", b"")),
    "shorter key behind a longer one": entries((0, b"ab", b""), (1, b"", b"")),
    "varint without an end": b"\xff" * 20 + struct.pack("<II", 0, 1),
}  # fmt: skip


@pytest.mark.parametrize("role", ["data", "index"])
@pytest.mark.parametrize("case", HOSTILE_BLOCKS)
def test_hostile_block_is_a_format_error(case, role):
    data = cooked(SMALL, role, lambda contents, kind: (HOSTILE_BLOCKS[case], 0))

    with pytest.raises(FormatError, match=f"^{PATH}: .*block.* at "):
        read_all(data)
    with pytest.raises(FormatError):
        Table(Bytes(data)).get(b"abd")


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (entries((0, b"abcd", b""), (9, b"e", b"")), "key shares 9 bytes, the previous key has 4"),
        (b"\0\x63\0" + struct.pack("<II", 0, 1), "truncated: needs 99 more bytes"),
        (b"\0\x01\x01a" + struct.pack("<II", 0, 1), "truncated: needs 1 more byte"),
        (struct.pack("<III", 0, 0, 77), "expected 1 to 2 restart points, got 77"),
    ],
)
def test_hostile_block_is_told_with_numbers(block, problem):
    data = cooked(SMALL, "data", lambda contents, kind: (block, 0))

    with pytest.raises(FormatError) as caught:
        read_all(data)

    assert caught.value.problem == problem


def with_first_separator(key):
    def change(contents, kind):
        items = bb.parse_block(contents)
        return bb.build_block([(key, items[0][1]), *items[1:]], 1), kind

    return cooked(MANY, "index", change, block_size=512)


def test_keys_above_the_separator_behind_their_block_are_a_format_error():
    with pytest.raises(FormatError, match="block 0 at 0: .*strictly increasing keys"):
        read_all(with_first_separator(MANY[0][0]))


def test_keys_not_above_the_separator_before_their_block_are_a_format_error():
    second = bb.build_table(MANY, block_size=512)
    _, offset, size, _ = bb.table_blocks(second)[1]
    first_key = bb.parse_block(bb.block_at(second, offset, size))[0][0]

    with pytest.raises(FormatError, match=f"block 1 at {offset}: .*strictly increasing keys"):
        read_all(with_first_separator(first_key))


def handle(offset, size):
    return bb.varint(offset) + bb.varint(size)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x05",
        handle(1 << 40, 8),
        handle(0, 1 << 40),
        handle((1 << 64) - 1, (1 << 64) - 1),
        handle(0, (1 << 64) - 6),
    ],
)
def test_index_entry_that_points_outside_is_a_format_error(value):
    def point(contents, kind):
        return bb.build_block([(bb.parse_block(contents)[0][0], value)], 1), kind

    with pytest.raises(FormatError):
        read_all(cooked(SMALL, "index", point))


def test_blocks_that_lie_on_each_other_are_a_format_error():
    def repeat(contents, kind):
        items = bb.parse_block(contents)
        same = [(key, items[0][1]) for key, _ in items]
        return bb.build_block(same, 1), kind

    with pytest.raises(FormatError):
        Table(Bytes(cooked(MANY, "index", repeat, block_size=512)))


def test_prefix_compression_bomb_is_a_format_error():
    long = b"k" * 60000
    parts = [(0, long + b"\0\0", b"")]
    parts += [(len(long), bytes([1 + i // 250, 1 + i % 250]), b"") for i in range(20000)]
    block = entries(*parts)

    with pytest.raises(FormatError, match="prefix compression bomb"):
        read_all(cooked(SMALL, "data", lambda contents, kind: (block, 0)))


def test_snappy_bomb_is_a_format_error_before_memory_is_taken():
    claim = bb.varint((1 << 32) - 1) + b"\0"

    with pytest.raises(FormatError, match="got a claim of 4294967295"):
        read_all(cooked(SMALL, "data", lambda contents, kind: (claim, 1)))


@pytest.mark.parametrize(
    "stored",
    [b"", b"\x05", b"\x05\0", b"\x80\x80", b"\x08\x10abcd\x05\xff", b"\xff" * 10, b"\x04\x0cabc"],
)
def test_broken_snappy_is_a_format_error(stored):
    with pytest.raises(FormatError):
        read_all(cooked(SMALL, "data", lambda contents, kind: (stored, 1)))


def test_broken_block_spares_the_others():
    data = bytearray(bb.build_table(MANY, block_size=2048))
    blocks = [(at, size) for role, at, size, _ in bb.table_blocks(bytes(data)) if role == "data"]
    first, second = (bb.parse_block(bb.block_at(bytes(data), *block)) for block in blocks[:2])
    data[blocks[0][0] + 5] ^= 1

    table = Table(Bytes(data))

    with pytest.raises(ChecksumError):
        table.get(first[0][0])
    with pytest.raises(ChecksumError):
        list(table.items())
    assert table.get(second[0][0]) == second[0][1]
    assert table.block_items(1) == second


@pytest.mark.parametrize("key", [None, "text", 5, bytearray(b"a")])
def test_key_that_is_not_bytes_is_a_type_error(key):
    with pytest.raises(TypeError):
        Table(Bytes(bb.build_table(SMALL))).get(key)


def test_block_that_is_not_there_is_an_index_error():
    table = Table(Bytes(bb.build_table(SMALL)))

    with pytest.raises(IndexError):
        table.block_items(1)


# ---- reading


LAYOUTS = [{}, {"interval": 1}, {"interval": 3}, {"block_size": 300}, {"block_size": 1}]
every_layout = pytest.mark.parametrize("options", [*LAYOUTS, {"snappy": True}])


@every_layout
def test_every_key_is_found_and_nothing_else(options):
    table = Table(Bytes(bb.build_table(MANY, **options)))

    shuffled = random.Random(1).sample(MANY, len(MANY))
    assert all(table.get(key) == value for key, value in shuffled)
    for key, _ in MANY:
        assert table.get(key + b"\0") is None
        assert table.get(key[:-1]) is None
    assert table.get(b"") is None and table.get(b"\xff" * 20) is None


@every_layout
def test_items_come_in_key_order(options):
    table = Table(Bytes(bb.build_table(MANY, **options)))

    assert list(table.items()) == MANY
    assert table.first() == MANY[0]


def test_keys_are_compared_as_unsigned_bytes():
    keys = sorted([b"", b"\0", b"\0\0", b"a", b"\x7f", b"\x80", b"\xfe\xff", b"\xff", b"\xff\xff"])
    table = Table(Bytes(bb.build_table([(key, key + b"!") for key in keys])))

    assert [key for key, _ in table.items()] == keys
    assert all(table.get(key) == key + b"!" for key in keys)


def test_block_is_read_once_and_only_when_it_is_needed():
    file = Bytes(bb.build_table(MANY, block_size=2048))
    blocks = [(at, size) for role, at, size, _ in bb.table_blocks(file.data) if role == "data"]

    table = Table(file)
    opened = len(file.reads)
    assert not {at for at, _ in file.reads} & {at for at, _ in blocks}
    for _ in range(3):
        table.get(MANY[-1][0])

    assert file.reads[opened:] == [(blocks[-1][0], blocks[-1][1] + 5)]


@every_layout
def test_reading_once_finds_what_getting_finds(options):
    table = Table(Bytes(bb.build_table(MANY, **options)))

    for key, value in MANY:
        assert table.read_once(key) == value
        assert table.read_once(key + b"x") is None
    assert table.read_once(b"") is None
    assert table.read_once(b"z") is None


def test_reading_once_keeps_the_last_few_small_blocks():
    file = Bytes(bb.build_table([(f"k{i:02d}".encode(), bytes(100_000)) for i in range(60)]))
    table = Table(file)
    file.reads.clear()

    for name in (b"k00", b"k01", b"k00", b"k59"):
        table.read_once(name)
    assert len(file.reads) == 2
    for i in range(60):
        table.read_once(f"k{i:02d}".encode())
    file.reads.clear()
    table.read_once(b"k00")

    assert len(file.reads) == 1


def test_reading_once_keeps_no_large_block():
    file = Bytes(bb.build_table([(b"a", bytes(2_000_000))]))
    table = Table(file)
    file.reads.clear()

    for _ in range(2):
        assert table.read_once(b"a") == bytes(2_000_000)

    assert len(file.reads) == 2


def test_reading_once_a_block_that_was_changed_is_an_error():
    data = bytearray(bb.build_table(SMALL))
    data[10] ^= 1

    with pytest.raises(ChecksumError):
        Table(Bytes(data)).read_once(b"abc")


def test_table_without_entries_has_none():
    table = Table(Bytes(bb.build_table([])))

    assert table.first() is None
    assert list(table.items()) == []
    assert table.get(b"") is None


def test_cursor_keeps_its_table_alive():
    cursor = Cursor(Table(Bytes(bb.build_table(SMALL))))

    assert isinstance(cursor, Cursor)
