"""Values, checkpoints and rounding for the tests of average and cast."""

from fractions import Fraction

import numpy as np

import fastckpt
from fastckpt.format.dtypes import by_number

RANDOM = np.random.default_rng(11)


FLOATS = ["float16", "float32", "float64", "bfloat16", "float8_e5m2", "float8_e4m3fn",
          "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"]  # fmt: skip


COMPLEX = ["complex64", "complex128"]


ROWS = {row.name: row for number in range(1, 64) if (row := by_number(number))}


def save(prefix, tensors, **options):
    fastckpt.write(prefix, tensors, sync=False, **options)
    return prefix


def save_parts(prefix, starts, value, **others):
    """A checkpoint of one tensor, cut before these rows, and others behind it."""
    with fastckpt.Writer(prefix, num_shards=2, sync=False) as writer:
        for start, stop in zip(starts, [*starts[1:], len(value)], strict=True):
            part = value[start:stop]
            writer.add_slice("w", part, full_shape=value.shape, start=(start, None))
        for name, other in others.items():
            writer.add(name, other)
    return prefix


def read_all(prefix):
    with fastckpt.read(prefix) as checkpoint:
        checkpoint.verify()
        return {name: checkpoint.get_tensor(name, copy=True) for name in checkpoint}


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def values_of(dtype, count=1000):
    return RANDOM.standard_normal(count).astype(dtype)


def rounded(array, dtype):
    """The nearest values of a dtype, as float64: by exact distances, ties to even."""
    if dtype in ("float64", "float32", "complex64", "complex128", "float16"):
        return array.astype(dtype).astype(array.dtype)
    numpy = ROWS[dtype].numpy
    size = numpy.itemsize
    codes = np.arange(2 ** (8 * size), dtype=f"u{size}")
    with np.errstate(invalid="ignore"):
        all_values = codes.view(numpy).astype(np.float64)
    codes = codes[np.isfinite(all_values)]
    order = np.argsort(all_values[np.isfinite(all_values)], kind="stable")
    codes = codes[order]
    line = codes.view(numpy).astype(np.float64)
    flat = array.reshape(-1)
    result = np.empty(flat.shape, codes.dtype)
    for i, value in enumerate(flat):
        at = int(np.clip(np.searchsorted(line, value), 1, len(line) - 1))
        exact = Fraction(value)
        below, above = exact - Fraction(line[at - 1]), Fraction(line[at]) - exact
        if below == above:
            result[i] = codes[at - 1] if codes[at - 1] % 2 == 0 else codes[at]
        else:
            result[i] = codes[at - 1] if below < above else codes[at]
    return result.view(numpy).reshape(array.shape).astype(np.float64)
