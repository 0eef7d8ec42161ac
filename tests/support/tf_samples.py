"""Arrays of every dtype and layout for the tests beside TensorFlow."""

import numpy as np
from oracle import QUANTIZED, from_bytes, numpy_dtype

SHAPES = [(), (3,), (2, 3), (0, 4), (1, 2, 1, 2)]


# what TensorFlow assembles from several slices (format: DataType, "asm")
ASSEMBLED = ["float32", "float64", "int32", "uint8", "int64", "bool", "complex128", "bfloat16"]


NOT_ASSEMBLED = ["float16", "uint16", "uint32", "uint64", "string"]


def sample(dtype, shape, seed=0):
    """An array of any bits at all; strings of several lengths."""
    random = np.random.default_rng([seed, *shape, *dtype.encode()])
    count = int(np.prod(shape))
    if dtype != "string":
        return from_bytes(dtype, shape, random.bytes(count * numpy_dtype(dtype).itemsize))
    array = np.empty(shape, dtype=object)
    array.reshape(-1)[:] = [random.bytes(int(size)) for size in random.integers(0, 200, count)]
    return array


def spell_shape(dtype, shape):
    """A name for a tensor of this kind."""
    return f"{dtype}/{'x'.join(map(str, shape))}"


def plain_dtypes(oracle):
    """What NumPy has a type for; the quantized ones are integers to it."""
    return [dtype for dtype in oracle.dtypes if dtype not in QUANTIZED]


def encode_name(name):
    return name.encode("utf-8", "surrogateescape")


def decode_name(name):
    return name.decode("utf-8", "surrogateescape")


def grid(shape, parts):
    """The boxes of a grid: the first ones along an axis are larger where it does not divide."""
    boxes = [()]
    for dim, count in zip(shape, parts, strict=True):
        sizes = [dim // count + (n < dim % count) for n in range(count)]
        starts = [sum(sizes[:n]) for n in range(count)]
        extents = [slice(a, a + n) for a, n in zip(starts, sizes, strict=True)]
        boxes = [(*box, extent) for box in boxes for extent in extents]
    return boxes


def spell(shape, box):
    """A shape_and_slice string with every dimension spelt out, as partitioners write it."""
    dims = " ".join(map(str, shape))
    return dims + " " + ":".join(f"{extent.start},{extent.stop - extent.start}" for extent in box)


def strings():
    """Lengths on both sides of where their varints grow, and bytes of every kind."""
    items = [b"", b"a", b"\0", b"a\0", b"\xff\xfe", "grüße".encode(), b"x" * 127, b"y" * 128]
    items += [b"p" * 16383, b"q" * 16384, bytes(range(256)) * 300]
    tensors = {f"scalar{n}": object_array(item) for n, item in enumerate(items)}
    tensors["vector"] = object_array(items)
    tensors["cube"] = object_array(items[:8]).reshape(2, 2, 2)
    tensors["none"] = np.empty((0,), object)
    tensors["none/2d"] = np.empty((3, 0), object)
    tensors["empties"] = object_array([b""] * 5)
    return tensors


def object_array(items):
    if isinstance(items, bytes):
        return np.array(items, dtype=object)
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array
