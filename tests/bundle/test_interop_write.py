"""TensorFlow reads what fastckpt wrote."""

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

# TensorFlow saves and restores these, but 2.21 has no kernels for variables of them
NOT_FOR_VARIABLES = {
    "qint16",
    "quint16",
    "float8_e4m3fnuz",
    "float8_e4m3b11fnuz",
    "float8_e5m2fnuz",
}


every_layout = pytest.mark.parametrize(
    ("num_shards", "alignment"), [(1, 1), (1, 64), (3, 1), (3, 64)]
)


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
