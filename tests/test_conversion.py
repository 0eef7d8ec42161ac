"""To other formats and back: every dtype to the bit, or an error that names the tensor."""

import os
import zipfile

import numpy as np
import pytest

import fastckpt
from fastckpt.dtypes import by_number

SUFFIXES = (".npz", ".safetensors", ".h5", ".zarr")
DTYPES = [
    dtype.name
    for number in range(1, 40)
    if (dtype := by_number(number)) and dtype.name not in ("resource", "variant", "string")
]
PLAIN = {
    "a/kernel": np.array([[0.0, -0.0, np.nan], [np.inf, 1e-45, 3.0]], np.float32),
    "a/step": np.array(2**62, np.int64),
    "empty": np.zeros((0, 3), np.float64),
    "größe": np.array([True, False]),
}


def save(prefix, tensors=PLAIN):
    fastckpt.write(prefix, tensors, sync=False)
    return str(prefix)


def bits_of(dtype):
    """Every byte value, in an array of a dtype."""
    size = dtype.numpy.itemsize
    data = np.arange(256 * size, dtype=np.int64).astype(np.uint8)
    if dtype.name == "bool":
        data %= 2
    if dtype.mask:
        data &= dtype.mask
    return data.view(dtype.numpy).reshape(2, -1)


def named(name):
    return next(d for n in range(1, 40) if (d := by_number(n)) and d.name == name)


def assert_same_bits(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_source_is_file_not_found(tmp_path, suffix):
    with pytest.raises(FileNotFoundError):
        fastckpt.convert(tmp_path / "nothing", tmp_path / f"out{suffix}")

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".h5"])  # zarr has no lengths to miss
def test_file_cut_at_any_length_is_an_error(tmp_path, suffix):
    source = save(tmp_path / "m", {"a": np.arange(100.0), "b": np.arange(7)})
    whole = tmp_path / f"whole{suffix}"
    fastckpt.convert(source, whole)
    data = whole.read_bytes()

    for length in range(0, len(data), max(1, len(data) // 100)):
        whole.write_bytes(data[:length])
        try:
            fastckpt.convert(whole, tmp_path / "back", format="checkpoint")
        except (fastckpt.CheckpointError, ValueError, OSError):
            continue
        assert fastckpt.diff(source, tmp_path / "back").is_same


def test_pickles_are_never_loaded(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, a=np.array([{"a": 1}], object))

    with pytest.raises(fastckpt.CheckpointError, match="'a'"):
        fastckpt.convert(path, tmp_path / "out")

    assert os.listdir(tmp_path) == ["evil.npz"]


def test_archive_that_claims_too_much_is_an_error(tmp_path):
    path = tmp_path / "bomb.npz"
    header = np.lib.format.magic(1, 0)
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }"
    text += b" " * (118 - len(text) - 1) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header + len(text).to_bytes(2, "little") + text)

    with pytest.raises(fastckpt.CheckpointError, match="'a'"):
        fastckpt.convert(path, tmp_path / "out")


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,16]}}',
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}',
        b'{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}',
        b'{"a":{"dtype":"F99","shape":[4],"data_offsets":[0,16]}}',
        b'{"a":[]}',
        b"[]",
        b"{",
        b"[" * 5000,
    ],
)
def test_safetensors_header_that_cannot_be_is_an_error(tmp_path, header):
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))

    with pytest.raises(fastckpt.CheckpointError):
        fastckpt.convert(path, tmp_path / "out")

    assert os.listdir(tmp_path) == ["x.safetensors"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back_to_the_bit_or_is_refused_by_name(tmp_path, suffix, dtype):
    row = named(dtype)
    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        writer.add("some/tensor", bits_of(row))
    source, other = str(tmp_path / "m"), tmp_path / f"x{suffix}"

    try:
        fastckpt.convert(source, other)
    except fastckpt.UnsupportedError as error:
        assert "some/tensor" in str(error)
        assert not other.exists()
        return
    fastckpt.convert(other, tmp_path / "back")

    with fastckpt.read(source) as one, fastckpt.read(tmp_path / "back") as two:
        assert_same_bits(two["some/tensor"], one["some/tensor"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_numpys_own_numbers_fit_into_every_format(tmp_path, suffix):
    for dtype in ("bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64"):
        source = save(tmp_path / dtype, {"x": bits_of(named(dtype))})

        fastckpt.convert(source, tmp_path / f"{dtype}{suffix}")

        assert (tmp_path / f"{dtype}{suffix}").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_values_and_shapes_come_back(tmp_path, suffix):
    source = save(tmp_path / "m")

    fastckpt.convert(source, tmp_path / f"x{suffix}")
    fastckpt.convert(tmp_path / f"x{suffix}", tmp_path / "back")

    with fastckpt.read(tmp_path / "back") as found:
        assert sorted(found) == sorted(PLAIN)
        for name, value in PLAIN.items():
            assert_same_bits(found[name], value)


def test_numpy_and_safetensors_read_what_is_written(tmp_path):
    from safetensors.numpy import load_file

    source = save(tmp_path / "m")
    fastckpt.convert(source, tmp_path / "x.npz")
    fastckpt.convert(source, tmp_path / "x.safetensors")

    with np.load(tmp_path / "x.npz") as archive:
        for found in (dict(archive), load_file(tmp_path / "x.safetensors")):
            assert sorted(found) == sorted(PLAIN)
            for name, value in PLAIN.items():
                assert_same_bits(found[name], value)


def test_what_numpy_and_safetensors_write_is_read(tmp_path):
    from safetensors.numpy import save_file

    save_file(PLAIN, tmp_path / "x.safetensors")
    np.savez(tmp_path / "plain.npz", **PLAIN)
    np.savez_compressed(tmp_path / "packed.npz", **PLAIN)

    for name in ("x.safetensors", "plain.npz", "packed.npz"):
        fastckpt.convert(tmp_path / name, tmp_path / "out")
        with fastckpt.read(tmp_path / "out") as found:
            for tensor, value in PLAIN.items():
                assert_same_bits(found[tensor], value)


def test_readable_names_of_an_object_graph(golden, tmp_path):
    source = golden / "tf2_keras3" / "keras"

    fastckpt.convert(source, tmp_path / "x.safetensors")
    fastckpt.convert(tmp_path / "x.safetensors", tmp_path / "back")

    names = list(fastckpt.read(tmp_path / "back"))
    assert "model/_functional/_operations/2/moving_mean" in names
    assert not any(".ATTRIBUTES" in name or "CHECKPOINTABLE" in name for name in names)


def test_failed_conversion_leaves_what_was_there(tmp_path):
    source = save(tmp_path / "m", {"x": np.zeros(2), "v": np.array([b"a\0"], object)})
    for suffix in (".npz", ".safetensors"):
        target = tmp_path / f"x{suffix}"
        target.write_bytes(b"precious")

        with pytest.raises(fastckpt.UnsupportedError, match="'v'"):
            fastckpt.convert(source, target)

        assert target.read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 4


def test_progress_counts_bytes(tmp_path):
    told = []

    fastckpt.convert(
        save(tmp_path / "m"), tmp_path / "x.npz", progress=lambda *each: told.append(each)
    )

    assert told[-1][0] == told[-1][1] > 0
