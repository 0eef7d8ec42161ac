"""Values and slices arrive in the file as they are."""

import ml_dtypes
import numpy as np
import pytest
from writing import NEW, VALUES, assert_same, read_all

import fastckpt

# ---- values


@pytest.mark.parametrize("alignment", [1, 64])
@pytest.mark.parametrize("case", VALUES)
def test_value_arrives_as_it_is(tmp_path, case, alignment):
    value, expected = VALUES[case]

    fastckpt.write(tmp_path / "m", {"before": b"x", "v": value}, alignment=alignment, sync=False)

    with fastckpt.read(tmp_path / "m", verify=True) as checkpoint:
        for copy in (None, True):
            found = checkpoint.get_tensor("v", copy=copy)
            assert found.shape == expected.shape
            assert found.dtype == expected.dtype
            assert found.tolist() == expected.tolist()
        checkpoint.verify()


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2", "float4_e2m1fn"])
@pytest.mark.parametrize("count", [3, 9000])
def test_unused_bits_are_zero_in_the_file_and_in_the_checksum(tmp_path, name, count):
    raw = np.resize(np.arange(256, dtype=np.uint8)[::-1], count)
    value = raw.view(getattr(ml_dtypes, name))
    mask = 0x03 if name.endswith("2") else 0x0F

    fastckpt.write(tmp_path / "m", {"v": value}, alignment=1, sync=False)

    data = (tmp_path / "m.data-00000-of-00001").read_bytes()
    assert data == (raw & mask).tobytes()
    with fastckpt.read(tmp_path / "m", verify=True) as checkpoint:
        assert checkpoint.info("v").tf_dtype == name
        assert checkpoint["v"].tobytes() == data


@pytest.mark.parametrize(
    "name",
    ["bfloat16", "float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz",
     "float8_e5m2fnuz", "int4", "uint4", "int2", "uint2", "float4_e2m1fn"],
)  # fmt: skip
def test_type_of_ml_dtypes_keeps_its_bits(tmp_path, name):
    value = np.array([0, 1, 1, 0]).astype(getattr(ml_dtypes, name)).reshape(2, 2)

    fastckpt.write(tmp_path / "m", {"v": value.T, "scalar": value[0, 1]}, sync=False)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert checkpoint.info("v").tf_dtype == checkpoint.info("scalar").tf_dtype == name
        assert checkpoint["v"].dtype == value.dtype
        assert checkpoint["v"].tobytes() == value.T.tobytes()
        assert checkpoint["scalar"].shape == ()


@pytest.mark.parametrize(
    "name", ["a", "a/b/c:0", " ", "\0", "\0a", "a\nb", "ü/重み", "\udcff", "\udc80a", "x" * 5000]
)
def test_name_of_any_bytes_arrives_as_it_is(tmp_path, name):
    fastckpt.write(tmp_path / "m", {name: 1}, sync=False)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert list(checkpoint) == [name]
        assert checkpoint[name] == 1


def test_name_that_is_a_kind_of_str_is_taken(tmp_path):
    class Name(str):
        pass

    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        writer.add(np.str_("a"), 1)
        writer.add(Name("b"), 2)
        writer.add_slice(np.str_("c"), np.zeros(1), full_shape=(2,), start=(0,))
        writer.add_slice(Name("c"), np.zeros(1), full_shape=(2,), start=(1,))

    assert list(read_all(tmp_path / "m")) == ["a", "b", "c"]


def test_checkpoint_is_a_mapping_that_can_be_written(tmp_path):
    fastckpt.write(tmp_path / "m", NEW, sync=False)
    with fastckpt.read(tmp_path / "m") as checkpoint:
        fastckpt.write(tmp_path / "n", checkpoint, num_shards=2, sync=False)
        fastckpt.write(tmp_path / "m", checkpoint, num_shards=2, sync=False)

    assert_same(read_all(tmp_path / "n"), NEW)
    assert_same(read_all(tmp_path / "m"), NEW)


# ---- slices


def test_slices_in_any_order_between_other_tensors_are_assembled(tmp_path):
    whole = np.arange(35.0).reshape(5, 7)
    boxes = [(slice(3, 5), slice(0, 7)), (slice(0, 3), slice(4, 7)), (slice(0, 3), slice(0, 4))]

    with fastckpt.Writer(tmp_path / "m", num_shards=2, sync=False) as writer:
        for i, box in enumerate(boxes):
            start = tuple(part.start for part in box)
            writer.add_slice("v", whole[box], full_shape=whole.shape, start=start)
            writer.add(f"between{i}", i)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        np.testing.assert_array_equal(checkpoint["v"], whole)
        assert checkpoint.info("v").slices == tuple(boxes)
        assert list(checkpoint) == ["between0", "between1", "between2", "v"]
        checkpoint.verify()


def test_slice_that_is_the_whole_makes_a_plain_tensor(tmp_path):
    fastckpt.write(tmp_path / "plain", {"v": np.arange(4.0)}, sync=False)
    with fastckpt.Writer(tmp_path / "sliced", sync=False) as writer:
        writer.add_slice("v", np.arange(4.0), full_shape=(4,), start=(0,))

    one, two = ((tmp_path / f"{base}.index").read_bytes() for base in ("plain", "sliced"))
    assert one == two


def test_start_of_none_stands_for_a_whole_dimension(tmp_path):
    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        for i in range(2):
            writer.add_slice("v", np.full((1, 3), i), full_shape=(2, 3), start=(i, None))

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert checkpoint["v"].tolist() == [[0] * 3, [1] * 3]
        assert checkpoint.stored.entry("v").slices == (((0, 1), (0, -1)), ((1, 1), (0, -1)))


def test_slices_of_integers_of_numpy_are_taken(tmp_path):
    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        for i in np.arange(2):
            writer.add_slice("v", np.full(1, i), full_shape=np.array([2]), start=[i])

    assert read_all(tmp_path / "m")["v"].tolist() == [0, 1]


def test_slices_of_strings_are_assembled(tmp_path):
    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        writer.add_slice("v", [b"a", b"bc"], full_shape=(3,), start=(0,))
        writer.add_slice("v", ["d" * 200], full_shape=(3,), start=(2,))

    assert read_all(tmp_path / "m")["v"].tolist() == [b"a", b"bc", b"d" * 200]
