"""Changes to inputs after which checksums, sizes and handles are right again, so that what is
behind them is reached.

A mutator gets an input, a function that changes any bytes (libFuzzer's), and a `random.Random`; it
returns another input, or None for one that it cannot take apart.
"""

import io
import json
import random
import struct
import zipfile
import zlib

import bundle_bytes as bb
from fuzz.inputs import pack, unpack

from fastckpt.format.checksum import crc32c

bb.crc32c = crc32c  # the same, but not in Python

NUMBERS = [0, 1, 2, 3, 7, 8, 14, 19, 21, 23, 29, 127, 128, 255, 256, 65535, 1 << 31, 1 << 32]
NUMBERS += [(1 << 31) - 1, (1 << 32) - 1, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
BROKEN = (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError)
BROKEN += (AssertionError, struct.error)
MAX_INPUT = 1 << 16  # of a bundle whose parts are taken apart in Python


def mutate(name, data, change, seed):
    """Return a change of an input that the target `name` can use; most often a mended one."""
    chance = random.Random(seed)
    mutator = MUTATORS.get(name)
    if mutator is not None and len(data) < MAX_INPUT and chance.random() < 0.9:
        try:
            changed = mutator(data, change, chance)
        except (*BROKEN, zipfile.BadZipFile, zlib.error, NotImplementedError):
            changed = None
        if changed is not None:
            return changed
    return change(data)


# ---- Tables


def mutate_bundle(data, change, chance):
    """Change a record, a key, the layout, a block or the data of a bundle."""
    index, *shards = unpack(data)
    way = chance.random()
    if way < 0.15:
        number = chance.randrange(len(shards))
        shards[number] = change(shards[number])
    if way < 0.3:
        return pack([mend_blocks(change(index) if way > 0.15 else index), *shards])
    items = bb.parse_table(index)
    if way < 0.45:
        return pack([change_block(items, change, chance), *shards])
    items = change_items(items, change, chance)
    if chance.random() < 0.8:
        items = [(key, mend_entry(value, shards)) for key, value in items]
    return pack([bb.build_table(items, **choose_layout(chance)), *shards])


def mutate_table(data, change, chance):
    """Change a V1 file, which is a table with the tensors in it."""
    way = chance.random()
    if way < 0.3:
        return mend_blocks(change(data))
    items = bb.parse_table(data)
    if way < 0.5:
        return change_block(items, change, chance)
    return bb.build_table(change_items(items, change, chance), **choose_layout(chance))


def choose_layout(chance):
    return {
        "block_size": chance.choice([1, 64, 4096, 262144]),
        "interval": chance.choice([1, 2, 16, 16, 1000]),
        "snappy": chance.random() < 0.1,
    }


def change_items(items, change, chance):
    """Change one or two records, now and then the keys; they stay in order most of the time."""
    for _ in range(chance.choice([1, 1, 2])):
        at = chance.randrange(len(items))
        key, value = items[at]
        way = chance.random()
        if way < 0.5:
            items[at] = key, change_message(value, change, chance)
        elif way < 0.7:
            items[at] = key, change(value)
        elif way < 0.8:
            items[at] = change(key), value
        elif way < 0.9:
            items[at] = key, chance.choice(items)[1]
        elif way < 0.95:
            items.append((key + b"2", value))
        else:
            del items[at]
    return sorted(items) if chance.random() < 0.95 else items


def change_message(data, change, chance, depth=3):
    """Change one field of a message, or of one in it: to a number that matters, or any."""
    fields = bb.parse_proto(data)
    if not fields:
        return change(data)
    at = chance.randrange(len(fields))
    number, kind, value = fields[at]
    way = chance.random()
    if kind == 2 and depth and way < 0.6:
        try:
            fields[at] = [number, kind, change_message(value, change, chance, depth - 1)]
        except BROKEN:
            fields[at] = [number, kind, change(value)]
    elif kind != 2 and way < 0.6:
        near = (value + chance.randint(-2, 2)) % (1 << 32)
        fields[at] = [number, kind, near if kind == 5 or way < 0.3 else chance.choice(NUMBERS)]
    elif way < 0.75:
        fields.insert(chance.randrange(len(fields) + 1), chance.choice(fields))
    elif way < 0.85:
        del fields[at]
    elif way < 0.95:
        fields.append([chance.randrange(1, 9), 0, chance.choice(NUMBERS)])
    else:
        return change(data)
    return bb.build_proto(fields)


def change_block(items, change, chance):
    """Change the bytes of one block; its checksum and its handle are those of what it is then."""
    wanted = chance.choice(["data", "data", "data", "index", "meta"])
    layout = choose_layout(chance)

    def cook(role, number, contents, kind):
        return (change(contents), kind) if role == wanted else (contents, kind)

    return bb.build_table(items, **layout, cook=cook)


def mend_blocks(table):
    """Make the checksums of all blocks right that the index block lists; and its own."""
    mended = bytearray(table)
    try:
        blocks = bb.table_blocks(table)
    except BROKEN:
        blocks = []
        place = bb.read_varint(table, bb.read_varint(table, len(table) - 48)[1])[1]
        offset, place = bb.read_varint(table, place)
        blocks = [("index", offset, bb.read_varint(table, place)[0], 0)]
    for _, offset, size, _ in blocks[:100]:
        if offset + size + 5 <= len(table):
            crc = bb.masked_crc(bytes(mended[offset : offset + size + 1]))
            mended[offset + size + 1 : offset + size + 5] = struct.pack("<I", crc)
    return bytes(mended)


def mend_entry(value, shards):
    """Make the checksum of an entry that of its bytes, if it is one and has any."""
    try:
        fields = bb.parse_proto(value)
    except BROKEN:
        return value
    offset, size, shard = (bb.get(fields, number) for number in (4, 5, 3))
    if not all(isinstance(n, int) for n in (offset, size, shard)) or shard >= len(shards):
        return value
    if bb.get(fields, 6, None) is None or offset + size > len(shards[shard]):
        return value
    payload = shards[shard][offset : offset + size]
    crc = crc_of_strings(payload, fields) if bb.get(fields, 1) == 7 else bb.masked_crc(payload)
    return bb.build_proto(bb.put(fields, 6, 5, crc))


def crc_of_strings(payload, fields):
    """The checksum of a payload of strings: its lengths count as fixed-width numbers."""
    count, at, covered = 1, 0, b""
    for dim in bb.entry_dims(fields):
        count *= dim
    for _ in range(min(count, 4096)):
        length, at = bb.read_varint(payload, at)
        covered += struct.pack("<I" if length < 1 << 32 else "<Q", length)
    return bb.masked_crc(covered + payload[at:])


# ---- Other files


def mutate_message(data, change, chance):
    return change_message(data, change, chance, depth=6) if chance.random() < 0.5 else None


def mutate_npz(data, change, chance):
    """Change a member, its name or its compression; the archive around it is right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    if not members or chance.random() < 0.2:
        return None
    at = chance.randrange(len(members))
    name, content = members[at]
    if chance.random() < 0.9:
        members[at] = name, change(content)
    else:
        members[at] = change(name.encode()).decode("latin-1") or "a", content
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", chance.choice([0, 0, 8])) as archive:
        for name, content in {name: content for name, content in members}.items():
            archive.writestr(name, content)
    return stream.getvalue()


def mutate_safetensors(data, change, chance):
    """Change the header, as text or as what it says; its size is right."""
    size = int.from_bytes(data[:8], "little")
    text, rest = data[8 : 8 + size], data[8 + size :]
    if chance.random() < 0.4:
        text = change(text)
    else:
        header = json.loads(text)
        entry = header[chance.choice(list(header))]
        key = chance.choice(list(entry))
        if isinstance(entry[key], list) and entry[key]:
            entry[key][chance.randrange(len(entry[key]))] = chance.choice([*NUMBERS, -1, 0.5, None])
        else:
            entry[key] = chance.choice(["F32", "BF16", "I64", "BOOL", "F8_E4M3", "x", 1, [], None])
        text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


MUTATORS = {
    "bundle": mutate_bundle,
    "rescue": mutate_bundle,
    "v1": mutate_table,
    "graph": mutate_message,
    "meta": mutate_message,
    "entry": mutate_message,
    "npz": mutate_npz,
    "safetensors": mutate_safetensors,
}
