"""TensorFlow reads what fastckpt writes, and fastckpt what TensorFlow writes; both write the same.

Live: the fixture `oracle` is a real TensorFlow in another process (oracle.py, conftest.py).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracle import QUANTIZED, OracleDied, OracleError, from_bytes, numpy_dtype, to_tensor

import fastckpt

SHAPES = [(), (3,), (2, 3), (0, 4), (1, 2, 1, 2)]
# TensorFlow saves and restores these, but 2.21 has no kernels for variables of them
NOT_FOR_VARIABLES = {
    "qint16",
    "quint16",
    "float8_e4m3fnuz",
    "float8_e4m3b11fnuz",
    "float8_e5m2fnuz",
}
# what TensorFlow assembles from several slices (format: DataType, "asm")
ASSEMBLED = ["float32", "float64", "int32", "uint8", "int64", "bool", "complex128", "bfloat16"]
NOT_ASSEMBLED = ["float16", "uint16", "uint32", "uint64", "string"]

every_layout = pytest.mark.parametrize(
    ("num_shards", "alignment"), [(1, 1), (1, 64), (3, 1), (3, 64)]
)


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


def assert_tensorflow_reads(oracle, prefix, expected):
    """Through the reader, the restore op, and a Saver that restores a graph's variables."""
    tensors = {encode_name(name): to_tensor(array) for name, array in expected.items()}
    requests = [(name, "", tensor[0]) for name, tensor in tensors.items()]
    variables = [
        (decode_name(name), tensor[0], tensor[1], None)
        for name, tensor in tensors.items()
        if oracle.version.startswith("1.") or tensor[0] not in NOT_FOR_VARIABLES
    ]

    read = oracle.read(prefix)
    restored = oracle.restore(prefix, requests)
    by_saver = oracle.saver_restore(prefix, variables)

    assert read == tensors
    assert dict(zip(tensors, restored, strict=True)) == tensors
    assert by_saver == {name: tensors[encode_name(name)] for name, *_ in variables}


# ---- TensorFlow reads what fastckpt writes


@every_layout
def test_tensorflow_reads_every_dtype(oracle, tmp_path, num_shards, alignment):
    tensors = {
        spell_shape(dtype, shape): sample(dtype, shape)
        for dtype in plain_dtypes(oracle)
        for shape in SHAPES
    }

    fastckpt.write(tmp_path / "ckpt", tensors, num_shards=num_shards, alignment=alignment)

    assert len(list(tmp_path.glob("ckpt.data-*"))) == num_shards
    assert_tensorflow_reads(oracle, tmp_path / "ckpt", tensors)


def test_every_dtype_of_tensorflow_is_tried(oracle):
    assert len(plain_dtypes(oracle)) == (16 if oracle.version.startswith("1.15") else 26)
    assert len(set(oracle.dtypes) & set(QUANTIZED)) == 5


@every_layout
def test_tensorflow_reads_streamed_tensors(oracle, tmp_path, num_shards, alignment):
    tensors = {f"t{n}": sample("float32", (n, 3), seed=n) for n in range(12)}

    with fastckpt.Writer(
        tmp_path / "ckpt", num_shards=num_shards, alignment=alignment, sync=False
    ) as writer:
        for name, array in tensors.items():
            writer.add(name, array)

    assert_tensorflow_reads(oracle, tmp_path / "ckpt", tensors)


@every_layout
def test_tensorflow_reads_quantized_tensors_that_were_carried_over(
    oracle, tmp_path, num_shards, alignment
):
    names = [dtype.encode() for dtype in QUANTIZED]
    tensors = [
        (dtype, (2, 3), to_tensor(sample(base, (2, 3)))[2]) for dtype, base in QUANTIZED.items()
    ]
    oracle.save(tmp_path / "source", names, [""] * len(names), tensors)

    with (
        fastckpt.read(tmp_path / "source") as source,
        fastckpt.Writer(
            tmp_path / "ckpt", num_shards=num_shards, alignment=alignment, sync=False
        ) as writer,
    ):
        for name in source:
            writer.add_from(source, name, name=f"{name}/copied")

    copied = [name + b"/copied" for name in names]
    assert oracle.read(tmp_path / "ckpt") == dict(zip(copied, tensors, strict=True))


def write_parts(writer, name, whole, parts):
    """Write a tensor as parts[axis] parts along each axis, as TensorFlow's partitioners cut."""
    for part in grid(whole.shape, parts):
        start = tuple(extent.start for extent in part)
        writer.add_slice(name, whole[part], full_shape=whole.shape, start=start)


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


@every_layout
@pytest.mark.parametrize("parts", [(3, 1), (1, 4), (2, 2), (10, 1)])
def test_tensorflow_reads_partitioned_tensors(oracle, tmp_path, num_shards, alignment, parts):
    prefix = tmp_path / "ckpt"
    tensors = {dtype: sample(dtype, (10, 7)) for dtype in ASSEMBLED}
    with fastckpt.Writer(prefix, num_shards=num_shards, alignment=alignment, sync=False) as writer:
        for name, array in tensors.items():
            write_parts(writer, name, array, parts)
            writer.add(f"{name}/plain", array[0])
    tensors |= {f"{name}/plain": array[0] for name, array in tensors.items()}

    assert_tensorflow_reads(oracle, prefix, tensors)


@pytest.mark.parametrize("parts", [(3, 1), (1, 4)])
def test_saver_restores_partitioned_variables(oracle, tmp_path, parts):
    prefix = tmp_path / "ckpt"
    tensors = {dtype: sample(dtype, (10, 7)) for dtype in ("float32", "float64", "int64")}
    with fastckpt.Writer(prefix, num_shards=2, sync=False) as writer:
        for name, array in tensors.items():
            write_parts(writer, name, array, parts)
    variables = [(name, name, (10, 7), parts) for name in tensors]
    across = [(name, name, (10, 7), parts[::-1]) for name in tensors]

    same_parts = oracle.saver_restore(prefix, variables)
    other_parts = oracle.saver_restore(prefix, across)

    expected = {name: to_tensor(array) for name, array in tensors.items()}
    assert same_parts == expected
    assert other_parts == expected


@pytest.mark.parametrize("dtype", NOT_ASSEMBLED)
def test_tensorflow_reads_each_slice_of_what_it_does_not_assemble(oracle, tmp_path, dtype):
    whole = sample(dtype, (5, 4))
    with fastckpt.Writer(tmp_path / "ckpt", sync=False) as writer:
        write_parts(writer, "v", whole, (2, 2))
    boxes = grid((5, 4), (2, 2))

    restored = oracle.restore(
        tmp_path / "ckpt", [(b"v", spell((5, 4), box), dtype) for box in boxes]
    )

    assert restored == [to_tensor(whole[box]) for box in boxes]


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


@every_layout
def test_tensorflow_reads_strings(oracle, tmp_path, num_shards, alignment):
    tensors = strings()

    fastckpt.write(
        tmp_path / "ckpt", tensors, num_shards=num_shards, alignment=alignment, sync=False
    )

    assert_tensorflow_reads(oracle, tmp_path / "ckpt", tensors)


class HasArray:
    """What NumPy converts through __array__, such as the tensors of other libraries."""

    def __array__(self, dtype=None, copy=None):
        return np.arange(3, dtype=np.int16)


class HasDLPack:
    """What NumPy converts through DLPack only."""

    def __init__(self):
        self.array = np.arange(4, dtype=np.float32)

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def odd_inputs():
    """name: (value, what TensorFlow must find)."""
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    read_only = base.copy()
    read_only.flags.writeable = False
    return {
        "fortran": (np.asfortranarray(base), base),
        "transposed": (base.T, np.array(base.T, order="C")),
        "strided": (base[::2, 1::3], base[::2, 1::3].copy()),
        "backwards": (base[::-1, ::-1], base[::-1, ::-1].copy()),
        "broadcast": (np.broadcast_to(base[0], (3, 6)), np.array([base[0]] * 3)),
        "read_only": (read_only, base),
        "unaligned": (unaligned(base), base),
        "big_endian/f4": (base.astype(">f4"), base),
        "big_endian/i8": (np.array([1, -2], ">i8"), np.array([1, -2], np.int64)),
        "big_endian/c16": (np.array([1 + 2j], ">c16"), np.array([1 + 2j])),
        "big_endian/strided": (base.astype(">f4")[::2, ::-1], base[::2, ::-1].copy()),
        "zero_d": (np.array(2.5, np.float32), np.array(2.5, np.float32)),
        "zero_d/big_endian": (np.array(7, ">i4"), np.array(7, np.int32)),
        "numpy_scalar": (np.float16(1.5), np.array(1.5, np.float16)),
        "int": (7, np.array(7)),
        "float": (1.5, np.array(1.5)),
        "complex": (1j, np.array(1j)),
        "bool": (True, np.array(True)),
        "list": ([[1.5, 2], [3, 4]], np.array([[1.5, 2], [3, 4]])),
        "list/empty": ([], np.array([])),
        "tuple": ((1, 2), np.array([1, 2])),
        "bools": (base > 7, base > 7),
        "bytes": (b"a\0b\0", object_array(b"a\0b\0")),
        "str": ("grüße", object_array("grüße".encode())),
        "list_of_str": (["a", "ü"], object_array([b"a", "ü".encode()])),
        "list_of_bytes": ([b"a\0", b""], object_array([b"a\0", b""])),
        "array_of_S": (np.array([b"ab", b"abcde"]), object_array([b"ab", b"abcde"])),
        "array_of_U": (np.array(["ab", "ü"]), object_array([b"ab", "ü".encode()])),
        "objects/fortran": (
            np.asfortranarray(object_array([b"a", b"b", b"c", b"d"]).reshape(2, 2)),
            object_array([b"a", b"b", b"c", b"d"]).reshape(2, 2),
        ),
        "has_array": (HasArray(), np.arange(3, dtype=np.int16)),
        "has_dlpack": (HasDLPack(), np.arange(4, dtype=np.float32)),
    }


def unaligned(array):
    """The same values at an odd address."""
    raw = np.zeros(array.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(array.tobytes(), np.uint8)
    return raw[1:].view(array.dtype).reshape(array.shape)


@pytest.mark.parametrize("alignment", [1, 64])
def test_tensorflow_reads_odd_inputs(oracle, tmp_path, alignment):
    inputs = odd_inputs()
    values = {name: value for name, (value, _) in inputs.items()}

    fastckpt.write(tmp_path / "ckpt", values, alignment=alignment, sync=False)

    expected = {name: array for name, (_, array) in inputs.items()}
    assert_tensorflow_reads(oracle, tmp_path / "ckpt", expected)


def test_tensorflow_reads_partitioned_odd_inputs(oracle, tmp_path):
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    with fastckpt.Writer(tmp_path / "ckpt", sync=False) as writer:
        writer.add_slice("v", base.astype(">f4")[:2, ::-1], full_shape=(4, 6), start=(0, 0))
        writer.add_slice("v", np.asfortranarray(base[2:, ::-1]), full_shape=(4, 6), start=(2, 0))

    assert_tensorflow_reads(oracle, tmp_path / "ckpt", {"v": base[:, ::-1].copy()})


# ---- both write the same bytes, and fastckpt reads what TensorFlow wrote


class Recipe:
    """What both write, in order: (name, array, None or (full shape, box))."""

    def __init__(self):
        self.steps = []

    def add(self, name, array):
        self.steps.append((name, array, None))

    def add_parts(self, name, whole, parts):
        for box in grid(whole.shape, parts):
            self.steps.append((name, whole[box], (whole.shape, box)))

    def write(self, prefix):
        with fastckpt.Writer(prefix, alignment=1, sync=False) as writer:
            for name, array, place in self.steps:
                if place is None:
                    writer.add(name, array)
                else:
                    start = tuple(extent.start for extent in place[1])
                    writer.add_slice(name, array, full_shape=place[0], start=start)

    def save(self, oracle, prefix):
        names = [encode_name(name) for name, _, _ in self.steps]
        specs = ["" if place is None else spell(*place) for _, _, place in self.steps]
        oracle.save(prefix, names, specs, [to_tensor(array) for _, array, _ in self.steps])

    def values(self):
        """name: the whole array."""
        values = {}
        for name, array, place in self.steps:
            if place is None:
                values[name] = array
            else:
                whole = values.setdefault(name, np.empty(place[0], array.dtype))
                whole[place[1]] = array
        return values


def mixed_dtypes(oracle):
    recipe = Recipe()
    for shape in SHAPES:
        for dtype in reversed(plain_dtypes(oracle)):
            recipe.add(spell_shape(dtype, shape), sample(dtype, shape))
    return recipe


def one_plain(oracle):
    recipe = Recipe()
    recipe.add("v", np.array([[1, 2], [3, 4]], np.float32))
    return recipe


def scalar_and_empty(oracle):
    recipe = Recipe()
    recipe.add("e", np.zeros((0, 2), np.float32))
    recipe.add("b", np.array([True, False]))
    recipe.add("a", np.array(1.0, np.float32))
    recipe.add("s", np.empty((0,), object))
    return recipe


def all_strings(oracle):
    recipe = Recipe()
    for name, array in strings().items():
        recipe.add(name, array)
    recipe.add("long", object_array([b"l" * 3_000_000, b"m" * (1 << 21), b"n" * ((1 << 21) - 1)]))
    return recipe


def partitions(oracle):
    recipe = Recipe()
    for dtype in ASSEMBLED + NOT_ASSEMBLED:
        recipe.add(f"{dtype}/before", sample(dtype, (2,)))
        recipe.add_parts(dtype, sample(dtype, (70, 9)), (5, 1))
        recipe.add_parts(f"{dtype}/columns", sample(dtype, (2, 300)), (1, 3))
        recipe.add_parts(f"{dtype}/grid", sample(dtype, (5, 4, 3)), (2, 3, 1))
        recipe.add_parts(f"{dtype}/whole", sample(dtype, (4, 3)), (1, 1))
    return recipe


def far_slices(oracle):
    """Starts and lengths on both sides of where their codes grow."""
    recipe = Recipe()
    whole = np.arange(9000, dtype=np.int32)
    edges = [0, 1, 63, 64, 65, 127, 128, 191, 255, 256, 8191, 8192, 8193, 9000]
    for start, stop in zip(edges, edges[1:], strict=False):
        recipe.steps.append(("v", whole[start:stop], ((9000,), (slice(start, stop),))))
    return recipe


def shuffled_slices(oracle):
    recipe = Recipe()
    recipe.add_parts("a", sample("float32", (6, 6)), (3, 2))
    recipe.add_parts("b", sample("int64", (8,)), (8,))
    recipe.add("c", sample("float64", (3,)))
    np.random.default_rng(3).shuffle(recipe.steps)
    return recipe


def many_names(oracle):
    recipe = Recipe()
    one = np.array(1.0, np.float32)
    for number in range(12000):
        recipe.add(f"w{number:05d}/" + "x" * 24, one)
    return recipe


def many_names_out_of_order(oracle):
    recipe = Recipe()
    for number in np.random.default_rng(4).permutation(9000):
        recipe.add(f"scope_{number % 7}/layer_{number}/kernel/Adam", np.int32(number))
    return recipe


def long_keys(oracle):
    recipe = Recipe()
    random = np.random.default_rng(5)
    for number in range(300):
        size = int(random.integers(1000, 9000))
        recipe.add("k" * size + str(number), np.int16(number))
    return recipe


def huge_keys(oracle):
    recipe = Recipe()
    one = np.array(1.0, np.float32)
    for name in ("a" * 600000, "b" * 10, "c" * 524288, "d" * 300000, "e" * 10):
        recipe.add(name, one)
    return recipe


def keys_at_the_flush_limit(oracle):
    """A record of 524,288 bytes, key and value, flushes the block before it; one less does not."""
    recipe = Recipe()
    one = np.array(1.0, np.float32)
    for letter, size in zip(
        "bcdefg", (524270, 524274, 524275, 524276, 524277, 524288), strict=True
    ):
        recipe.add(letter * size, one)
        recipe.add(letter + "~", one)
    return recipe


def shared_prefixes(oracle):
    recipe = Recipe()
    for number in range(60):
        recipe.add(f"block/layer_{number}/kernel", sample("float32", (number % 3,)))
        recipe.add(f"block/layer_{number}", sample("int8", (1,)))
    return recipe


def odd_names(oracle):
    recipe = Recipe()
    names = ["gewicht/üöä", "重み/層_1", "\U0001f9e0", " ", "~", "a", "a/", "a_b", "tab\tname"]
    names += ["n\0ul", "\0v", "z\0", "\0", "\x01", "\x7f"]
    names += [
        decode_name(name) for name in (b"\xff", b"\xff\xfe/x", b"a\xffb", b"\xff" * 9, b"\x80")
    ]
    for number, name in enumerate(names):
        recipe.add(name, np.int32(number))
    for name in ("p\0q", decode_name(b"p\xffq"), "p/ü"):
        recipe.add_parts(name, sample("float32", (4, 2)), (2, 1))
    return recipe


RECIPES = [
    one_plain,
    mixed_dtypes,
    scalar_and_empty,
    all_strings,
    partitions,
    far_slices,
    shuffled_slices,
    many_names,
    many_names_out_of_order,
    long_keys,
    huge_keys,
    keys_at_the_flush_limit,
    shared_prefixes,
    odd_names,
]
every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.__name__)


def assert_same_bytes(first, second):
    """Without pytest's diff, which takes minutes for megabytes."""
    ours, theirs = Path(first).read_bytes(), Path(second).read_bytes()
    if ours != theirs:
        pairs = enumerate(zip(ours, theirs, strict=False))
        at = next((at for at, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
        sizes = f"{len(ours)} and {len(theirs)} bytes"
        near = slice(max(0, at - 16), at + 16)
        pytest.fail(f"{first}: at {at}, of {sizes}: {ours[near].hex()} is {theirs[near].hex()}")


@every_recipe
def test_files_are_those_that_tensorflow_writes(oracle, tmp_path, recipe):
    recipe = recipe(oracle)

    recipe.write(tmp_path / "ours")
    recipe.save(oracle, tmp_path / "theirs")

    for suffix in (".data-00000-of-00001", ".index"):
        assert_same_bytes(f"{tmp_path / 'ours'}{suffix}", f"{tmp_path / 'theirs'}{suffix}")


@every_recipe
@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_fastckpt_reads_what_tensorflow_writes(oracle, tmp_path, recipe, backend):
    recipe = recipe(oracle)
    recipe.save(oracle, tmp_path / "ckpt")

    with fastckpt.read(tmp_path / "ckpt", backend=backend) as ckpt:
        found = {info.name: (info.tf_dtype, info.shape) for info in ckpt.infos()}
        read = {name: to_tensor(ckpt[name]) for name in ckpt}
        ckpt.verify()

    expected = {name: to_tensor(np.asarray(array)) for name, array in recipe.values().items()}
    assert found == {name: tensor[:2] for name, tensor in expected.items()}
    assert list(read) == sorted(expected, key=encode_name)
    assert all(read[name] == tensor for name, tensor in expected.items())


@pytest.mark.parametrize("dtype", QUANTIZED)
def test_fastckpt_reads_quantized_tensors_as_integers(oracle, tmp_path, dtype):
    array = sample(QUANTIZED[dtype], (3, 2))
    tensor = (dtype, (3, 2), array.tobytes())
    oracle.save(tmp_path / "ckpt", [b"q"], [""], [tensor])

    with fastckpt.read(tmp_path / "ckpt") as ckpt:
        info, read = ckpt.info("q"), ckpt["q"]

    assert info.tf_dtype == dtype
    assert info.dtype == array.dtype == read.dtype
    assert read.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "specs", [("4 6 -:0,2", "4 6 -:2,4"), ("4 6 0,1:-", "4 6 1,3:-"), ("4 6 -:-",)]
)
def test_fastckpt_reads_slices_of_whole_dimensions(oracle, tmp_path, specs):
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    boxes = [parse_spec(spec) for spec in specs]
    tensors = [to_tensor(whole[box]) for box in boxes]
    oracle.save(tmp_path / "ckpt", [b"v"] * len(specs), specs, tensors)

    with fastckpt.read(tmp_path / "ckpt") as ckpt:
        assert ckpt["v"].tolist() == whole.tolist()
        assert ckpt.get_slice("v")[1:3, 1:4].tolist() == whole[1:3, 1:4].tolist()


def parse_spec(spec):
    extents = [extent.split(",") for extent in spec.split(" ")[-1].split(":")]
    return tuple(
        slice(None) if extent == ["-"] else slice(int(extent[0]), sum(map(int, extent)))
        for extent in extents
    )


def test_slices_of_whole_dimensions_are_carried_over_unchanged(oracle, tmp_path):
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    specs = ["4 6 -:0,2", "4 6 -:2,4"]
    tensors = [to_tensor(whole[parse_spec(spec)]) for spec in specs]
    oracle.save(tmp_path / "theirs", [b"v", b"v"], specs, tensors)

    with (
        fastckpt.read(tmp_path / "theirs") as ckpt,
        fastckpt.Writer(tmp_path / "ours", alignment=1, sync=False) as writer,
    ):
        writer.add_from(ckpt, "v")

    for suffix in (".data-00000-of-00001", ".index"):
        assert_same_bytes(f"{tmp_path / 'ours'}{suffix}", f"{tmp_path / 'theirs'}{suffix}")


# ---- merge


def saved_by_tensorflow(oracle, folder):
    """Three bundles as a sharded save leaves them: a partitioned tensor lies in two of them."""
    whole = sample("float32", (6, 2))
    prefixes = []
    for number in range(3):
        recipe = Recipe()
        recipe.add(f"z{number}", sample("int64", (number,)))
        if number != 1:
            start = 3 * (number // 2)
            box = (slice(start, start + 3), slice(0, 2))
            recipe.steps.append(("w", whole[box], ((6, 2), box)))
        recipe.add(f"a{2 - number}", sample("string", (2,)))
        prefixes.append(folder / f"part-{number}")
        recipe.save(oracle, prefixes[-1])
    return prefixes


def one_bundle(oracle, folder):
    mixed_dtypes(oracle).save(oracle, folder / "only")
    return [folder / "only"]


def bundles_of_several_shards(oracle, folder):
    for number in range(2):
        tensors = {f"{n}/{number}": sample("float32", (n,)) for n in range(7)}
        fastckpt.write(folder / f"b{number}", tensors, num_shards=2, sync=False)
    return [folder / "b1", folder / "b0"]


@pytest.mark.parametrize("sources", [saved_by_tensorflow, one_bundle, bundles_of_several_shards])
def test_merge_gives_the_files_that_tensorflow_gives(oracle, tmp_path, sources):
    (tmp_path / "sources").mkdir()
    prefixes = sources(oracle, tmp_path / "sources")
    shutil.copytree(tmp_path / "sources", tmp_path / "copies")
    copies = [tmp_path / "copies" / prefix.name for prefix in prefixes]

    fastckpt.merge(prefixes, tmp_path / "ours")
    oracle.merge(copies, tmp_path / "theirs")

    ours = sorted(path.name.removeprefix("ours") for path in tmp_path.glob("ours.*"))
    theirs = sorted(path.name.removeprefix("theirs") for path in tmp_path.glob("theirs.*"))
    assert ours == theirs
    assert len(ours) >= 2
    for suffix in ours:
        assert_same_bytes(f"{tmp_path / 'ours'}{suffix}", f"{tmp_path / 'theirs'}{suffix}")


def test_tensorflow_reads_what_was_merged(oracle, tmp_path):
    prefixes = saved_by_tensorflow(oracle, tmp_path)

    fastckpt.merge(prefixes, tmp_path / "merged")

    read = oracle.read(tmp_path / "merged")
    assert sorted(read) == [b"a0", b"a1", b"a2", b"w", b"z0", b"z1", b"z2"]
    assert read[b"w"] == to_tensor(sample("float32", (6, 2)))


# ---- what TensorFlow refuses, so do we


def test_tensorflow_refuses_a_flipped_byte_too(oracle, tmp_path):
    prefix = tmp_path / "ckpt"
    fastckpt.write(prefix, {"v": np.arange(4.0)}, sync=False)
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.write_bytes(b"\1" + shard.read_bytes()[1:])

    with pytest.raises(OracleError, match="Checksum does not match"):
        oracle.restore(prefix, [(b"v", "", "float64")])
    with pytest.raises(fastckpt.ChecksumError, match="v"):
        fastckpt.load(prefix)


def test_empty_name_that_kills_tensorflow_is_refused(oracle, tmp_path):
    with pytest.raises(OracleDied, match="Check failed"):
        oracle.save(tmp_path / "theirs", [b""], [""], [("int8", (), b"\0")])
    with pytest.raises(ValueError, match="empty"):
        fastckpt.write(tmp_path / "ours", {"": np.int8(0)})

    assert oracle.version[0] in "12"  # a new worker answers


# ---- beside TensorFlow in one process

IN_ONE_PROCESS = """
import sys
if sys.argv[2] == "fastckpt first":
    import fastckpt
    import tensorflow as tf
else:
    import tensorflow as tf
    import fastckpt
import numpy as np

values = {"a": np.arange(5.0), "s": b"text", "b": tf.constant([1.5, 2.5])}
fastckpt.write(sys.argv[1], values)
reader = tf.train.load_checkpoint(sys.argv[1])
assert reader.get_tensor("a").tolist() == [0, 1, 2, 3, 4]
assert reader.get_tensor("s") == b"text"
assert reader.get_tensor("b").tolist() == [1.5, 2.5]
view = fastckpt.read(sys.argv[1])["b"]
tf.raw_ops.SaveV2(prefix=sys.argv[1], tensor_names=["c"], shape_and_slices=[""],
                  tensors=[tf.constant(view)])
assert fastckpt.read(sys.argv[1])["c"].tolist() == [1.5, 2.5]
assert view.tolist() == [1.5, 2.5]
print("done")
"""


@pytest.mark.tensorflow
@pytest.mark.parametrize("order", ["fastckpt first", "tensorflow first"])
def test_works_beside_tensorflow_in_one_process(tmp_path, order):
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS, str(tmp_path / "ckpt"), order],
        capture_output=True,
        text=True,
        env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1"),
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["done"]
