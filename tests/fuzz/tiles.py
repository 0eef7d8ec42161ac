"""Partitioned tensors that bytes describe, with what they should read as."""

from typing import NamedTuple

import bundle_bytes as bb
import numpy as np
from fuzz.inputs import pack
from slice_keys import slice_key

MAX_BOXES = 12


class Tiled(NamedTuple):
    """A bundle of one tensor `v`, and its value; None if its slices do not tile it. An empty
    slice may count as a part or not."""

    container: bytes
    value: np.ndarray | None
    has_empty: bool


def build_tiled(data):
    """Return a `Tiled` of uint8, and the bytes that are left.

    The first byte is the rank, then come the dimensions, how many cuts there are, and the cuts:
    each takes one box apart along an axis. A last byte damages one of the boxes, or none.
    """
    take = Taker(data)
    shape = tuple(take() % 9 for _ in range(take() % 4))
    boxes = [tuple((0, dim) for dim in shape)]
    for _ in range(take() % MAX_BOXES if shape else 0):
        cut(boxes, take() % len(boxes), take() % len(shape), take())
    damage = take()
    if damage >= 0x80 and shape:
        move(boxes, damage % len(boxes), take)
    return assemble(shape, boxes), take.rest


class Taker:
    """Hands out bytes, and zeros when there are no more."""

    def __init__(self, data):
        self.rest = data

    def __call__(self):
        first, self.rest = self.rest[:1], self.rest[1:]
        return first[0] if first else 0


def cut(boxes, number, axis, where):
    start, length = boxes[number][axis]
    if length < 2:
        return
    box, at = boxes.pop(number), 1 + where % (length - 1)
    for part in ((start, at), (start + at, length - at)):
        boxes.append((*box[:axis], part, *box[axis + 1 :]))


def move(boxes, number, take):
    """Give a box another place: no tiling, unless it is the one that it had."""
    box = list(boxes[number])
    axis = take() % len(box)
    box[axis] = (take() % 9, take() % 9)
    boxes[number] = tuple(box)


def assemble(shape, boxes):
    expected = np.zeros(shape, np.uint8)
    times = np.zeros(shape, int)
    items, payload, protos, is_inside = {}, b"", [], True
    for number, box in enumerate(boxes):
        spans = tuple(slice(start, start + length) for start, length in box)
        dims = [length for _, length in box]
        part = (np.arange(np.prod(dims, dtype=int), dtype=np.uint8) + 17 * number).reshape(dims)
        if all(start + length <= dim for (start, length), dim in zip(box, shape, strict=True)):
            expected[spans] = part
            times[spans] += 1
        else:
            is_inside = False
        crc = bb.masked_crc(part.tobytes())
        items[slice_key(b"v", box)] = bb.entry(
            4, dims, offset=len(payload), size=part.size, crc=crc
        )
        payload += part.tobytes()
        protos.append(slice_proto(box))
    items[b"v"] = bb.entry(4, shape, slices=protos)
    header = (b"", bb.build_proto([[1, 0, 1], [3, 2, b"\x08\x01"]]))
    table = bb.build_table([header, *sorted(items.items())])
    is_tiled = is_inside and bool((times == 1).all())
    has_empty = any(length == 0 for box in boxes for _, length in box)
    return Tiled(pack([table, payload]), expected if is_tiled else None, has_empty)


def slice_proto(box):
    fields = []
    for start, length in box:
        extent = ([[1, 0, start]] if start else []) + [[2, 0, length]]
        fields.append([1, 2, bb.build_proto(extent)])
    return bb.build_proto(fields)


def read_index(data):
    """Return an index of an array that bytes describe: integers, slices, an ellipsis, None."""
    take = Taker(data)
    items = []
    while take.rest and len(items) < 5:
        kind = take() % 8
        if kind < 2:
            items.append(number(take))
        elif kind < 6:
            items.append(slice(*[None if take() < 80 else number(take) for _ in range(3)]))
        else:
            items.append(Ellipsis if kind == 6 else None)
    return tuple(items)


def number(take):
    return take() % 21 - 10
