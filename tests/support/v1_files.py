"""V1 files put together by hand, record by record."""

import struct

import bundle_bytes as bb
import numpy as np
from hypothesis import strategies as st
from oracle import from_bytes, numpy_dtype
from slice_keys import slice_key

from fastckpt.format.dtypes import by_number
from fastckpt.v1.reader import V1Checkpoint
from fastckpt.v1.writer import Part

FLOAT, INT32, UINT8, INT8, STRING, INT64 = 1, 3, 4, 6, 7, 9


WHOLE = (0, -1)


DTYPES = """
    float32 float64 int32 uint8 int16 int8 string complex64 int64 bool uint16 complex128 float16
""".split()  # noqa: SIM905 - those that NumPy has; three quantized ones are integers to it


def message(*fields):
    """A message of (number, value): a varint, bytes, or a list of bytes."""
    out = []
    for number, value in fields:
        for item in value if isinstance(value, list) else [value]:
            out.append([number, 2 if isinstance(item, bytes) else 0, item])
    return bb.build_proto(out)


def shape_message(shape):
    return message((2, [message(*[(1, dim)] * (dim != 0)) for dim in shape]))


def slice_message(box):
    extents = []
    for start, length in box:
        extent = [(1, start)] * (start != 0) + [(2, length)] * (length != -1)
        extents.append(message(*extent))
    return message((1, extents))


def listed(name, dtype, shape, *boxes):
    """A tensor in the meta record; whole unless it is given boxes."""
    boxes = boxes or ([WHOLE] * len(shape),)
    slices = [slice_message(box) for box in boxes]
    return message((1, name), (2, shape_message(shape)), (3, dtype), (4, slices))


def meta_record(*tensors, versions=b"\x08\x01"):
    return b"", message((1, message((1, list(tensors)), (2, versions))))


def data_record(name, box, *values):
    """The record of a slice, of (field, bytes) of the TensorProto."""
    data = message((1, name), (2, slice_message(box)), (3, message(*values)))
    return slice_key(name, box), message((2, data))


def make_file(path, *records):
    path.write_bytes(bb.build_table(sorted(records)))
    return str(path)


def floats(*values):
    return 5, struct.pack(f"<{len(values)}f", *values)


def varints(*values, field=7):
    return field, b"".join(map(bb.varint, values))


W = listed(b"w", FLOAT, (2,))


def read_everything(path):
    with V1Checkpoint(str(path)) as ckpt:
        return {name: (array.dtype, array.shape, array.tolist()) for name, array in ckpt.items()}


def one(dtype, shape, box, *values):
    """A checkpoint of one tensor of one slice."""
    return [meta_record(listed(b"w", dtype, shape, box)), data_record(b"w", box, *values)]


def parts_of(ckpt):
    """What `write_parts` takes, of an open checkpoint: its dtypes and slices as they are."""
    for name in ckpt:
        entry = ckpt.stored.entry(name)
        for part, array in ckpt.stored.read_parts(name):
            box = (WHOLE,) * array.ndim if part.stored is None else part.stored
            yield Part(name, by_number(entry.dtype), entry.shape, box, array)


names = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.tuples(st.sampled_from("a/\0ÿ"), st.integers(1, 3000)).map(lambda x: x[0] * x[1]),
)


texts = st.one_of(st.binary(max_size=5), st.sampled_from([b"x" * 127, b"\0" * 128, b"y" * 20000]))


@st.composite
def arrays(draw):
    """An array of any dtype of V1, with any bits."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    count = int(np.prod(shape))
    if dtype == "string":
        array = np.empty(count, object)
        array[:] = draw(st.lists(texts, min_size=count, max_size=count))
        return array.reshape(shape)
    size = count * numpy_dtype(dtype).itemsize
    return from_bytes(dtype, shape, draw(st.binary(min_size=size, max_size=size)))


def fastckpt_number(array):
    return STRING if array.dtype == object else NUMBERS[array.dtype.name]


NUMBERS = {
    by_number(number).name: number for number in range(1, 20) if by_number(number).name in DTYPES
}
