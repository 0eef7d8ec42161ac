"""Random checkpoints: the bytes are TensorFlow's, and every round trip is exact."""

import shutil
import struct
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import DTYPES, QUANTIZED, from_bytes, numpy_dtype, to_tensor

import fastckpt

PLAIN = [dtype for dtype in DTYPES if dtype not in QUANTIZED]
OLD = PLAIN[: PLAIN.index("float8_e5m2")]  # those that TensorFlow 1.15 has, too

quick = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

odd_bytes = st.binary(min_size=1, max_size=12)
paths = st.lists(st.sampled_from(["a", "b", "layer_1", "layer_10", "w", "ü", "重み"]), min_size=1)
names = st.one_of(
    odd_bytes,
    paths.map(lambda parts: "/".join(parts).encode()),
    st.tuples(st.binary(min_size=1, max_size=3), st.integers(1, 3000)).map(lambda x: x[0] * x[1]),
)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
texts = st.one_of(
    st.binary(max_size=6),
    st.tuples(st.binary(max_size=2), st.sampled_from([64, 127, 128, 16384])).map(
        lambda x: x[0] * x[1]
    ),
)


def arrays(dtype, shape):
    """An array of a dtype by TensorFlow's name: any bits at all."""
    count = int(np.prod(shape))
    if dtype != "string":
        size = count * numpy_dtype(dtype).itemsize
        return st.binary(min_size=size, max_size=size).map(
            lambda data: from_bytes(dtype, shape, data)
        )
    return st.lists(texts, min_size=count, max_size=count).map(lambda x: string_array(x, shape))


def string_array(items, shape):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(shape)


@st.composite
def plain_steps(draw, dtypes):
    """One tensor: [(whole array, None)]."""
    return [(draw(arrays(draw(st.sampled_from(dtypes)), draw(shapes))), None)]


@st.composite
def partitioned_steps(draw, dtypes):
    """The parts of one tensor, cut along every axis: [(part, (full shape, box))]."""
    dims = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    boxes = [()]
    for dim in dims:
        cuts = sorted(draw(st.sets(st.integers(1, dim - 1)))) if dim > 1 else []
        edges = [0, *cuts, dim]
        extents = [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]
        boxes = [(*box, extent) for box in boxes for extent in extents]
    whole = draw(arrays(draw(st.sampled_from(dtypes)), tuple(dims)))
    return [(whole[box], (whole.shape, box)) for box in draw(st.permutations(boxes))]


@st.composite
def bundles(draw, dtypes, max_size=8):
    """What to write, in order: [(name, array, None or (full shape, box))]."""
    keys = draw(st.lists(names, min_size=1, max_size=max_size, unique=True))
    steps = []
    for key in keys:
        parts = draw(st.one_of(plain_steps(dtypes), partitioned_steps(dtypes)))
        steps += [(key, array, place) for array, place in parts]
    return draw(st.permutations(steps)) if len(steps) < 30 else steps


def decode_name(key):
    return key.decode("utf-8", "surrogateescape")


def write(prefix, steps, **options):
    with fastckpt.Writer(prefix, sync=False, **options) as writer:
        for key, array, place in steps:
            if place is None:
                writer.add(decode_name(key), array)
            else:
                start = tuple(extent.start for extent in place[1])
                writer.add_slice(decode_name(key), array, full_shape=place[0], start=start)


def whole_values(steps):
    """name: the tensor as it crosses the oracle's pipe, in key order."""
    values = {}
    for key, array, place in steps:
        if place is None:
            values[key] = array
        else:
            whole = values.setdefault(key, np.empty(place[0], array.dtype))
            whole[place[1]] = array
    return {decode_name(key): to_tensor(values[key]) for key in sorted(values)}


def slice_spec(place):
    if place is None:
        return ""
    extents = [f"{extent.start},{extent.stop - extent.start}" for extent in place[1]]
    return " ".join(map(str, place[0])) + " " + ":".join(extents)


@contextmanager
def fresh_folder():
    """hypothesis runs many examples within one test, and so with one tmp_path."""
    folder = tempfile.mkdtemp(prefix="fastckpt")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def steps_for_oracle(oracle):
    """A strategy for bundles of what the oracle's TensorFlow can save."""
    return bundles([dtype for dtype in PLAIN if dtype in oracle.dtypes])


@quick
@given(data=st.data())
def test_files_are_those_that_tensorflow_writes(oracle, steps_for_oracle, data):
    steps = data.draw(steps_for_oracle)
    specs = [slice_spec(place) for _, _, place in steps]

    with fresh_folder() as folder:
        write(folder / "ours", steps, alignment=1)
        oracle.save(
            folder / "theirs",
            [key for key, *_ in steps],
            specs,
            [to_tensor(a) for _, a, _ in steps],
        )

        for suffix in (".data-00000-of-00001", ".index"):
            ours, theirs = (Path(f"{folder / who}{suffix}") for who in ("ours", "theirs"))
            assert ours.read_bytes() == theirs.read_bytes()
        with fastckpt.read(folder / "theirs") as ckpt:
            assert {name: to_tensor(ckpt[name]) for name in ckpt} == whole_values(steps)


@quick
@given(
    steps=bundles(PLAIN),
    num_shards=st.integers(1, 4),
    alignment=st.sampled_from([1, 2, 8, 64, 4096]),
    backend=st.sampled_from(["auto", "mmap", "pread"]),
    mode=st.sampled_from(["r", "c"]),
    verify=st.booleans(),
)
def test_round_trip_is_exact(steps, num_shards, alignment, backend, mode, verify):
    expected = whole_values(steps)

    with fresh_folder() as folder:
        write(folder / "ckpt", steps, num_shards=num_shards, alignment=alignment)

        files = sorted(path.name for path in folder.iterdir())
        shards = [f"ckpt.data-{n:05d}-of-{num_shards:05d}" for n in range(num_shards)]
        assert files == [*shards, "ckpt.index"]
        with fastckpt.read(folder / "ckpt", backend=backend, mode=mode, verify=verify) as ckpt:
            infos = list(ckpt.infos())
            assert list(ckpt) == [info.name for info in infos] == list(expected)
            for info in infos:
                assert_info_is_right(info, expected[info.name], alignment, num_shards)
                assert to_tensor(ckpt[info.name]) == expected[info.name]
                private = ckpt.get_tensor(info.name, copy=True)
                assert to_tensor(private) == expected[info.name]
                assert private.flags.writeable
            assert list(ckpt.problems()) == []
        loaded = fastckpt.load(folder / "ckpt")
        assert {name: to_tensor(array) for name, array in loaded.items()} == expected


def assert_info_is_right(info, tensor, alignment, num_shards):
    dtype, shape, payload = tensor
    assert (info.tf_dtype, info.shape, info.dtype) == (dtype, shape, numpy_dtype(dtype))
    if dtype != "string":
        assert info.nbytes == len(payload)
    if not info.slices:
        assert info.offset % alignment == 0
        assert info.shard in range(num_shards)


@quick
@given(steps=bundles(PLAIN), backend=st.sampled_from(["mmap", "pread"]), data=st.data())
def test_part_of_a_tensor_is_what_the_array_has_there(steps, backend, data):
    with fresh_folder() as folder:
        write(folder / "ckpt", steps, num_shards=2)

        with fastckpt.read(folder / "ckpt", backend=backend) as ckpt:
            name = data.draw(st.sampled_from(list(ckpt)))
            handle, whole = ckpt.get_slice(name), ckpt[name]
            index = data.draw(indexes(whole.shape))

            part = handle[index]

            assert to_tensor(np.asarray(part, whole.dtype)) == to_tensor(
                np.asarray(whole[index], whole.dtype)
            )


@st.composite
def indexes(draw, shape):
    """A basic index: integers and slices with steps of either sign, perhaps an ellipsis."""
    parts = []
    for dim in shape[: draw(st.integers(0, len(shape)))]:
        bound = st.none() | st.integers(-dim - 2, dim + 2)
        step = st.none() | st.integers(-3, 3).filter(bool)
        choices = st.builds(slice, bound, bound, step)
        parts.append(draw(choices | st.integers(-dim, dim - 1) if dim else choices))
    if draw(st.booleans()):
        parts.append(...)
    return tuple(parts)


@quick
@given(steps=bundles(OLD), extra=bundles(OLD, max_size=3))
def test_tensors_carried_over_keep_their_bytes_and_checksums(steps, extra):
    with fresh_folder() as folder:
        write(folder / "source", steps, num_shards=2)
        with (
            fastckpt.read(folder / "source") as source,
            fastckpt.Writer(folder / "copy", alignment=1, sync=False) as writer,
        ):
            for number, name in enumerate(source):
                writer.add_from(source, name, name=f"copy{number}")
            for number, (_, array, place) in enumerate(extra):
                if place is None:
                    writer.add(f"extra{number}", array)

        with fastckpt.read(folder / "source") as source, fastckpt.read(folder / "copy") as copy:
            for number, name in enumerate(source):
                old, new = source.info(name), copy.info(f"copy{number}")
                assert (new.tf_dtype, new.shape, new.nbytes) == (
                    old.tf_dtype,
                    old.shape,
                    old.nbytes,
                )
                assert (new.slices, new.crc32c) == (old.slices, old.crc32c)
                assert to_tensor(copy[new.name]) == to_tensor(source[name])


@quick
@given(steps=bundles(PLAIN))
def test_checksum_is_that_of_the_stored_bytes(steps):
    with fresh_folder() as folder:
        write(folder / "ckpt", steps, alignment=1)
        data = (folder / "ckpt.data-00000-of-00001").read_bytes()

        with fastckpt.read(folder / "ckpt") as ckpt:
            for info in ckpt.infos():
                if info.slices or info.tf_dtype == "string":
                    continue
                stored = data[info.offset : info.offset + info.nbytes]
                assert info.crc32c == crc32c(stored)


def crc32c(data):
    """One bit at a time, as the format's definition has it: nothing shared with fastckpt."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_crc32c_has_the_value_that_defines_it():
    assert crc32c(b"123456789") == 0xE3069283
    assert struct.pack("<I", crc32c(b"a")) == bytes.fromhex("3043d0c1")
