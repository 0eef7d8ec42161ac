"""fastckpt reads what TensorFlow wrote, and both write the same bytes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from oracle import QUANTIZED, to_tensor
from tf_samples import (
    ASSEMBLED,
    NOT_ASSEMBLED,
    SHAPES,
    decode_name,
    encode_name,
    grid,
    object_array,
    plain_dtypes,
    sample,
    spell,
    spell_shape,
    strings,
)

import fastckpt

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
