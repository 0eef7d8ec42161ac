"""What differs between two checkpoints: by checksums, and by values."""

import shutil

import numpy as np
import pytest

import fastckpt
from fastckpt.analysis.diff import Renamed, diff
from fastckpt.edit import rename as edit
from fastckpt.format.checksum import crc32c

RANDOM = np.random.default_rng(7)
KERNEL = RANDOM.standard_normal((20, 30)).astype(np.float32)


def save(prefix, tensors):
    fastckpt.write(prefix, tensors, sync=False)
    return prefix


def save_parts(prefix, starts, value=KERNEL):
    """A checkpoint of one tensor, cut before these rows."""
    with fastckpt.Writer(prefix, sync=False) as writer:
        for start, stop in zip(starts, [*starts[1:], len(value)], strict=True):
            writer.add_slice("w", value[start:stop], full_shape=value.shape, start=(start, 0))
    return prefix


def destroy_data(prefix):
    """Take away what only reading data would miss."""
    for path in prefix.parent.glob(f"{prefix.name}.data-*"):
        path.unlink()


@pytest.fixture
def a(tmp_path):
    return tmp_path / "a"


@pytest.fixture
def b(tmp_path):
    return tmp_path / "b"


# ---- refused


@pytest.mark.parametrize(
    "options",
    [
        {"rtol": -1, "values": True},
        {"atol": -1e-9, "values": True},
        {"atol": float("nan"), "values": True},
        {"rtol": 0.1},
        {"atol": 0.1},
    ],
)
def test_tolerances_that_cannot_be_are_refused(a, options):
    save(a, {"w": 1})

    with pytest.raises(ValueError, match="tol"):
        diff(a, a, **options)


def test_missing_checkpoint_is_file_not_found(a, b):
    save(a, {"w": 1})

    with pytest.raises(FileNotFoundError):
        diff(a, b)
    with pytest.raises(FileNotFoundError):
        diff(b, a)


def test_wrong_byte_is_found_where_values_are_read(a, b):
    save(a, {"w": KERNEL})
    save(b, {"w": KERNEL + 1})
    with open(f"{b}.data-00000-of-00001", "r+b") as file:
        file.write(b"\x7f")

    with pytest.raises(fastckpt.ChecksumError, match="'w'"):
        diff(a, b, values=True)


def test_broken_checkpoints_never_fail_otherwise(golden, a):
    save(a, {"w": KERNEL})
    indexes = sorted(golden.glob("corrupt/*/*.index"))
    assert len(indexes) > 30

    for index in indexes:
        for pair in ((a, index), (index, a), (index, index)):
            try:
                diff(*pair, values=True)
            except (fastckpt.CheckpointError, OSError):
                continue


# ---- by checksums


def test_everything_that_differs_is_found_without_data(a, b):
    save(a, {
        "gone": 1.0, "same": KERNEL, "old/name": KERNEL[0], "shape": [1, 2], "dtype": [1.5],
        "values": KERNEL, "text": "one", "both": [1],
    })  # fmt: skip
    save(b, {
        "new": 2.0, "same": KERNEL, "new/name": KERNEL[0], "shape": [[1, 2]],
        "dtype": np.float32([1.5]), "values": KERNEL + 1, "text": "two", "both": [[1.5]],
    })  # fmt: skip
    destroy_data(a)
    destroy_data(b)

    found = diff(a, b)

    assert found.added == ("new",)
    assert found.removed == ("gone",)
    assert found.renamed == (Renamed("old/name", "new/name"),)
    assert found.same == ("same",)
    assert {change.name: change.how for change in found.changed} == {
        "both": ("dtype", "shape"),
        "dtype": ("dtype",),
        "shape": ("shape",),
        "text": ("values",),
        "values": ("values",),
    }
    assert not found.is_same


def test_same_checkpoint_has_no_difference(a):
    save(a, {"w": KERNEL, "s": "text", "empty": np.zeros((0, 3))})
    destroy_data(a)

    found = diff(a, a)

    assert found.is_same
    assert found.same == ("empty", "s", "w")


def test_open_checkpoints_are_taken_and_stay_open(a, b):
    save(a, {"w": KERNEL})
    save(b, {"w": KERNEL + 1})

    with fastckpt.read(a) as one, fastckpt.read(b) as two:
        assert [change.how for change in diff(one, two, values=True).changed] == [("values",)]
        np.testing.assert_array_equal(one["w"], KERNEL)


@pytest.mark.parametrize("starts", [[0, 5], [0, 5, 11]])
def test_slices_of_the_same_cut_are_compared_by_checksum(a, b, starts):
    save_parts(a, starts)
    save_parts(b, starts)
    save_parts(b.with_name("c"), starts, KERNEL + 1)
    for prefix in (a, b, b.with_name("c")):
        destroy_data(prefix)

    assert diff(a, b).is_same
    assert diff(a, b.with_name("c")).changed[0].how == ("values",)


def test_slices_of_another_cut_are_compared_by_value(a, b):
    save_parts(a, [0, 5, 11])
    for number, other in enumerate([save_parts(b, [0, 7]), save(b.with_name("c"), {"w": KERNEL})]):
        assert diff(a, other).is_same, number
        assert diff(other, a).is_same, number

    changed = KERNEL.copy()
    changed[6, 3] += 1
    save_parts(b, [0, 7], changed)

    assert diff(a, b).changed[0].how == ("values",)


@pytest.mark.parametrize(
    "case",
    ["crafted_big_endian/ckpt", "v1_dtypes/model.ckpt", "v1_partitioned/vars.ckpt",
     "v1_strings/model.ckpt"],
)  # fmt: skip
def test_what_has_no_comparable_checksums_is_compared_by_value(golden, a, case):
    edit.rename(golden / case, a, {})
    first = next(iter(fastckpt.read(a)))

    assert diff(golden / case, a).is_same
    assert diff(a, golden / case).is_same
    assert diff(golden / case, golden / case).is_same

    edit.rename(a, a, {first: "another name"})
    found = diff(golden / case, a)
    assert (found.removed, found.added, found.renamed) == ((first,), ("another name",), ())


def test_big_endian_is_compared_with_itself_by_checksum(golden, a):
    for suffix in (".index", ".data-00000-of-00001"):
        shutil.copy(f"{golden / 'crafted_big_endian' / 'ckpt'}{suffix}", f"{a}{suffix}")
    destroy_data(a)

    assert diff(a, a).is_same


@pytest.mark.parametrize("case", ["tf2_variant/ckpt", "tf2_dtypes/ckpt", "tf2_names/ckpt"])
def test_resharded_is_the_same_whatever_the_dtype(golden, a, case):
    edit.reshard(golden / case, a, 2)

    for values in (False, True):
        assert diff(golden / case, a, values=values).is_same


def test_variant_that_changed_is_not_read(golden, a):
    source = golden / "tf2_variant" / "ckpt"
    with fastckpt.read(source) as checkpoint:
        variant = next(info for info in checkpoint.infos() if info.tf_dtype == "variant")
    save(a, {variant.name: np.zeros(variant.shape, np.float32)})

    (change,) = diff(source, a, values=True).changed

    assert change.how == ("dtype",)
    assert change.values is None


# ---- renamed


def test_renamed_tensors_are_paired_whatever_their_number(a, b):
    tensors = {f"w{i}": RANDOM.standard_normal(8 + i % 3) for i in range(50)}
    save(a, tensors)
    edit.rename(a, b, [("^", "new/")])

    found = diff(a, b)

    assert found.renamed == tuple(Renamed(name, f"new/{name}") for name in sorted(tensors))
    assert (found.added, found.removed, found.changed, found.same) == ((), (), (), ())


def test_renamed_partitioned_tensor_is_paired(a, b):
    save_parts(a, [0, 5, 11])
    edit.rename(a, b, {"w": "v"})

    assert diff(a, b).renamed == (Renamed("w", "v"),)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(0),
        np.float64(3),
        np.arange(7, dtype=np.float32),  # 28 bytes
        np.zeros((50, 50), np.float32),
        np.ones(100),
        np.ones(64, bool),
        np.full(40, b"", object)[:4],
    ],
    ids=lambda value: f"{value.dtype}{value.shape}",
)
def test_what_many_tensors_look_like_is_not_paired(a, b, value):
    save(a, {"old": value, "x": 1})
    save(b, {"new": value, "x": 1})

    found = diff(a, b)

    assert (found.renamed, found.removed, found.added) == ((), ("old",), ("new",))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["one", "two"], ["three"]),
        (["one"], ["two", "three"]),
        (["one", "kept"], ["two", "kept"]),
        (["one", "two"], ["three", "four"]),
    ],
)
def test_content_that_several_tensors_have_is_not_paired(a, b, before, after):
    save(a, dict.fromkeys(before, KERNEL))
    save(b, dict.fromkeys(after, KERNEL))

    assert diff(a, b).renamed == ()


def test_other_shape_or_dtype_is_not_paired(a, b):
    save(a, {"one": KERNEL, "two": KERNEL[0]})
    save(b, {"three": KERNEL.reshape(-1), "four": KERNEL[0].view(np.int32)})

    assert diff(a, b).renamed == ()


# ---- by values


def test_only_what_differs_is_read(a, b):
    save(a, {"same": KERNEL, "v": [1.0]})
    save(b, {"same": KERNEL, "v": [1.5]})
    with fastckpt.read(b) as checkpoint:
        offset = checkpoint.info("same").offset
    with open(f"{b}.data-00000-of-00001", "r+b") as file:
        file.seek(offset)
        file.write(b"\x7f" * 8)

    (change,) = diff(a, b, values=True).changed

    assert (change.name, change.max_difference) == ("v", 0.5)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "complex64"])
def test_tolerance_is_that_of_numpy(a, b, dtype):
    one = (KERNEL * 100).astype(dtype)
    two = (KERNEL * 101).astype(dtype)
    save(a, {"w": one})
    save(b, {"w": two})

    for rtol, atol in [(0, 0), (0.02, 0), (0.02, 1), (0.005, 0), (0, 3), (0, 10), (0, 0.5)]:
        found = diff(a, b, values=True, rtol=rtol, atol=atol)
        wide = np.result_type(dtype, np.float64)
        assert found.is_same == np.allclose(one.astype(wide), two.astype(wide), rtol, atol)

    (change,) = diff(a, b, values=True).changed
    assert change.max_difference == np.abs(one.astype(wide) - two.astype(wide)).max()


@pytest.mark.parametrize(
    ("one", "two", "is_same", "largest"),
    [
        ([np.nan, 1.0], [np.nan, 1.0 + 1e-9], True, None),
        ([np.nan], [1.0], False, np.nan),
        ([1.0, 5.0], [np.nan, 7.0], False, np.nan),
        ([np.inf, 1], [np.inf, 1.0 + 1e-9], True, None),
        ([np.inf], [-np.inf], False, np.inf),
        ([1.0], [np.inf], False, np.inf),
        ([np.inf], [1.0], False, np.inf),
        ([0.0], [-0.0], True, None),
        ([True, False], [True, True], False, None),
        ([b"one"], [b"two"], False, None),
        ([1 + 1j], [1 - 1j], False, 2.0),
        ([complex(np.nan, 1)], [complex(1, np.nan)], True, None),
    ],
)
def test_special_values(a, b, one, two, is_same, largest):
    save(a, {"w": one})
    save(b, {"w": two})

    found = diff(a, b, values=True, atol=1e-6)

    assert found.is_same == is_same
    if not is_same:
        np.testing.assert_equal(found.changed[0].max_difference, largest)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_beyond_float64_differ(a, b, dtype):
    save(a, {"w": np.array([2**62], dtype)})
    save(b, {"w": np.array([2**62 + 1], dtype)})

    assert diff(a, b, values=True).changed[0].max_difference == 1
    assert diff(a, b, values=True, atol=1).is_same


def test_difference_in_the_last_of_many_elements_is_found(a, b):
    big = np.zeros(3_000_000, np.float32)
    other = big.copy()
    other[0], other[-1] = 1, 2
    save(a, {"w": big})
    save(b, {"w": other})

    (change,) = diff(a, b, values=True, atol=1).changed

    assert change.max_difference == 2


def test_values_of_another_dtype_are_compared_on_request(a, b):
    save(a, {"exact": np.float64([0.5]), "rounded": np.float64([0.1]), "text": ["1"]})
    save(b, {"exact": np.float32([0.5]), "rounded": np.float32([0.1]), "text": [1]})

    exact, rounded, text = diff(a, b, values=True).changed

    assert (exact.how, exact.values) == (("dtype",), False)
    assert rounded.how == ("dtype", "values")
    assert 0 < rounded.max_difference < 1e-8
    assert (text.how, text.max_difference) == (("dtype", "values"), None)


# ---- text


def test_text_says_what_differs(a, b):
    save(a, {"s": [1, 2], "v": [1.0], "d": [1.5], "gone": [1], "kept": [1], "from": KERNEL})
    save(b, {"s": [[1, 2]], "v": [3.5], "d": np.float32([1.5]), "kept": [1], "to": KERNEL})

    text = str(diff(a, b, values=True))

    assert text.splitlines() == [
        "added         0",
        "removed       1",
        "    gone",
        "renamed       1",
        "    from -> to",
        "changed       3",
        "    d: dtype float64 -> float32",
        "    s: shape (2) -> (1,2)",
        "    v: values differ by up to 2.5",
        "same          1  (by checksum)",
    ]


def test_text_of_many_is_short(a, b):
    save(a, {f"w{i:03}": [i] for i in range(200)})
    save(b, {f"w{i:03}": [i + 1] for i in range(200)})

    lines = str(diff(a, b)).splitlines()

    assert len(lines) < 40
    assert "    ... and 180 more" in lines


# ---- exhaustive


def with_the_same_checksum(array):
    """Another array of the size and CRC-32C of an array of float32."""
    want = crc32c(array.tobytes())
    raw = bytearray(array.tobytes())
    raw[:4] = b"\1\2\3\4"
    base = crc32c(bytes(raw))
    rows = []
    for bit in range(32):  # the checksum is linear: solve for the last four bytes
        changed = bytearray(raw)
        changed[len(raw) - 4 + bit // 8] ^= 1 << bit % 8
        rows.append((crc32c(bytes(changed)) ^ base, 1 << bit))
    left, chosen = want ^ base, 0
    for top in reversed(range(32)):
        pivot = next(row for row in rows if row[0] >> top & 1)
        rows = [
            (row[0] ^ pivot[0], row[1] ^ pivot[1]) if row[0] >> top & 1 else row
            for row in rows
            if row is not pivot
        ]
        if left >> top & 1:
            left, chosen = left ^ pivot[0], chosen ^ pivot[1]
    last = int.from_bytes(raw[-4:], "little") ^ chosen
    raw[-4:] = last.to_bytes(4, "little")
    assert crc32c(bytes(raw)) == want
    return np.frombuffer(bytes(raw), np.float32)


def test_exhaustive_sees_what_has_the_same_checksum(a, b):
    array = np.zeros(100, np.float32)
    save(a, {"w": array, "same": [1.0]})
    save(b, {"w": with_the_same_checksum(array), "same": [1.0]})

    assert diff(a, b).is_same
    assert diff(a, b, values=True).is_same
    found = diff(a, b, exhaustive=True)

    assert [change.name for change in found.changed] == ["w"]
    assert found.same == ("same",)
    assert (found.by, diff(a, b).by) == ("values", "checksums")
    assert str(found).endswith("same          1  (by value)")
    assert str(diff(a, b)).endswith("same          2  (by checksum)")


def test_exhaustive_takes_tolerances_and_strings(a, b):
    save(a, {"w": [1.0], "s": [b"x"]})
    save(b, {"w": [1.5], "s": [b"x"]})

    assert diff(a, b, exhaustive=True, atol=0.5).is_same
    assert not diff(a, b, exhaustive=True, atol=0.4).is_same


def test_exhaustive_goes_by_checksums_where_nothing_can_be_read(golden):
    variants = golden / "tf2_variant" / "ckpt"
    assert diff(variants, variants, exhaustive=True).is_same
