"""The index keys of slices, from their definition (docs/format.md), sharing nothing with fastckpt.

A key is ``num(0) str(name) num(rank)`` and, for each dimension, ``snum(start) snum(length)``;
a whole dimension is start 0, length -1.
"""


def slice_key(name, box):
    """The key of the slice of `name` (bytes) that is `box`: (start, length) per dimension."""
    escaped = b"".join({0: b"\0\xff", 255: b"\xff\0"}.get(byte, bytes([byte])) for byte in name)
    rank = bytes([1, len(box)]) if box else b"\0"
    return b"\0" + escaped + b"\0\1" + rank + b"".join(snum(n) for pair in box for n in pair)


def snum(value):
    """The order-preserving code of a signed number.

    Seven bits a byte, in n bytes of two's complement whose first n bits are inverted.
    """
    magnitude = value if value >= 0 else ~value
    size = magnitude.bit_length() // 7 + 1
    header = (1 << 8 * size) - (1 << 7 * size)
    return (header ^ value % (1 << 8 * size)).to_bytes(size, "big")
