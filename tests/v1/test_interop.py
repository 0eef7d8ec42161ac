"""V1 files of real TensorFlow are read, and ours are restored by it."""

import os
import pickle
import subprocess

import numpy as np
import pytest
from oracle import QUANTIZED, OracleError, from_bytes, numpy_dtype, to_tensor
from v1_files import (
    DTYPES,
    INT32,
    WHOLE,
    data_record,
    fastckpt_number,
    make_file,
    message,
    meta_record,
    one,
    parts_of,
    varints,
)

import fastckpt
from fastckpt.errors import (
    CheckpointError,
)
from fastckpt.format.dtypes import by_number
from fastckpt.v1.reader import V1Checkpoint
from fastckpt.v1.writer import Part, write_parts, write_v1

# ---- real TensorFlow


WORKER = """
import os, pickle, sys
from oracle import Worker
worker = Worker()
tf, v1 = worker.tf, worker.v1
ops, folder = pickle.load(sys.stdin.buffer)
os.chdir(folder)
for path, names, specs, tensors in ops:
    values = [worker._decode(*tensor) for tensor in tensors]
    strings = worker._strings(names, [len(names)])
    if specs is None:
        tf.raw_ops.Save(filename=path, tensor_names=strings, data=values)
    else:
        specs = worker._strings([spec.encode() for spec in specs], [len(names)])
        tf.raw_ops.SaveSlices(
            filename=path, tensor_names=strings, shapes_and_slices=specs, data=values)

def save(path, sharded):
    with tf.Graph().as_default():
        rows = tf.constant([[i * 10.0 + j for j in range(4)] for i in range(7)])
        with tf.device("/cpu:0"):
            v1.get_variable("rows", initializer=rows, use_resource=True,
                            partitioner=v1.fixed_size_partitioner(3, axis=0))
        for device in range(3):
            with tf.device("/cpu:%d" % device):
                v1.get_variable("dev%d" % device, initializer=tf.constant([device, -1], tf.int32),
                                use_resource=False)
        saver = v1.train.Saver(sharded=sharded, write_version=v1.train.SaverDef.V1)
        with v1.Session(config=v1.ConfigProto(device_count={"CPU": 3})) as session:
            session.run(v1.global_variables_initializer())
            saver.save(session, path, write_meta_graph=False, write_state=False)

save("./saver", False)
save("./saver_sharded", True)
"""


def sample(dtype, shape, seed=0):
    random = np.random.default_rng([seed, *shape, *dtype.encode()])
    count = int(np.prod(shape))
    if dtype != "string":
        return from_bytes(dtype, shape, random.bytes(count * numpy_dtype(dtype).itemsize))
    array = np.empty(count, dtype=object)
    array[:] = [random.bytes(int(size)) for size in random.integers(0, 300, count)]
    return array.reshape(shape)


SHAPES = [(), (3,), (2, 3), (0, 4), (1, 2, 1, 2)]


BY_SAVE = {
    "every": {f"{d}/{s}": sample(d, s) for d in DTYPES for s in SHAPES},
    "many": {f"layer_{i}/w": sample("float32", (i % 150,), i) for i in range(1200)},
    "large": {
        "huge": sample("float64", (100_000,)),
        "middle": sample("int32", (20_000,)),
        "more": sample("string", (2000,)),
        "small": sample("float16", (5,)),
        "z" * 300: sample("uint8", (300_000,)),
        "ü/重み": sample("bool", (2, 2)),
    },
}


QUANTIZED_V1 = ["qint8", "quint8", "qint32"]


GRID = sample("int64", (4, 6))


CUBE = sample("string", (2, 3, 4))


LINE = sample("complex64", (9,))


BY_SLICES = [  # (name, array, spec) in the order of the op
    *[("grid", GRID[r : r + 2, c : c + 3], f"4 6 {r},2:{c},3") for c in (0, 3) for r in (2, 0)],
    *[("cube", CUBE[:, i : i + 1], f"2 3 4 -:{i},1:-") for i in range(3)],
    *[("cube2", CUBE[i : i + 1, :2], f"2 3 4 {i},1:0,2:-") for i in range(2)],
    *[("cube2", CUBE[:, 2:, k : k + 2], f"2 3 4 0,2:2,1:{k},2") for k in (0, 2)],
    ("a", LINE[:4], "9 0,4"),
    ("a", LINE[4:], "9 4,5"),
    ("whole", LINE, "9 0,9"),
    ("plain", LINE, ""),
]


def spec_box(spec, array):
    if not spec:
        return array.shape, (WHOLE,) * array.ndim
    *dims, extents = spec.split(" ")
    pairs = [WHOLE if e == "-" else tuple(map(int, e.split(","))) for e in extents.split(":")]
    return tuple(map(int, dims)), tuple(pairs)


@pytest.fixture(scope="module")
def written(oracle, tmp_path_factory):
    """A folder of V1 checkpoints that TensorFlow wrote."""
    folder = tmp_path_factory.mktemp("tensorflow")
    ops = [
        (
            f"./{name}",
            [key.encode() for key in tensors],
            None,
            list(map(to_tensor, tensors.values())),
        )
        for name, tensors in BY_SAVE.items()
    ]
    keys, arrays, specs = zip(*BY_SLICES, strict=True)
    ops.append(("./slices", [k.encode() for k in keys], list(specs), list(map(to_tensor, arrays))))
    quantized = [(dtype, (3,), sample(QUANTIZED[dtype], (3,)).tobytes()) for dtype in QUANTIZED_V1]
    ops.append(("./quantized", [dtype.encode() for dtype in QUANTIZED_V1], None, quantized))
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2", CUDA_VISIBLE_DEVICES="-1")
    done = subprocess.run(
        [oracle.python, "-c", WORKER],
        input=pickle.dumps((ops, str(folder)), protocol=4),
        capture_output=True,
        timeout=180,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return folder


@pytest.mark.parametrize("name", BY_SAVE)
def test_what_tensorflow_saved_is_read_and_written_alike(written, tmp_path, name):
    tensors = BY_SAVE[name]

    with fastckpt.read(str(written / name)) as ckpt:
        assert list(ckpt.problems()) == []
        assert {key: to_tensor(array) for key, array in ckpt.items()} == {
            key: to_tensor(array) for key, array in tensors.items()
        }
    write_v1(tmp_path / name, tensors, sync=False)
    assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_slices_that_tensorflow_saved_are_read_and_written_alike(written, tmp_path):
    whole = {"grid": GRID, "cube": CUBE, "cube2": CUBE, "a": LINE, "whole": LINE, "plain": LINE}
    parts = []
    for name, array, spec in BY_SLICES:
        shape, box = spec_box(spec, array)
        parts.append(Part(name, by_number(fastckpt_number(array)), shape, box, array))

    with fastckpt.read(str(written / "slices")) as ckpt:
        assert {key: to_tensor(array) for key, array in ckpt.items()} == {
            key: to_tensor(array) for key, array in whole.items()
        }
        assert [len(ckpt.info(key).slices) for key in whole] == [4, 3, 4, 2, 0, 0]
        assert (ckpt.get_slice("cube2")[1:, ::2, 1:3] == CUBE[1:, ::2, 1:3]).all()
        assert list(ckpt.problems()) == []
    write_parts(tmp_path / "slices", parts, sync=False)
    assert (tmp_path / "slices").read_bytes() == (written / "slices").read_bytes()


def test_quantized_tensors_that_tensorflow_saved_are_read_and_written_alike(written, tmp_path):
    with fastckpt.read(str(written / "quantized")) as ckpt:
        assert [info.tf_dtype for info in ckpt.infos()] == sorted(QUANTIZED_V1)
        for dtype in QUANTIZED_V1:
            assert to_tensor(ckpt[dtype]) == to_tensor(sample(QUANTIZED[dtype], (3,)))
        write_parts(tmp_path / "q", list(parts_of(ckpt)), sync=False)

    assert (tmp_path / "q").read_bytes() == (written / "quantized").read_bytes()


@pytest.mark.parametrize("path", ["saver", "saver_sharded-?????-of-00003"])
def test_what_a_saver_saved_is_read(written, path):
    with fastckpt.read(str(written / path)) as ckpt:
        assert list(ckpt) == ["dev0", "dev1", "dev2", "rows"]
        assert [ckpt[f"dev{i}"].tolist() for i in range(3)] == [[i, -1] for i in range(3)]
        assert ckpt["rows"].tolist() == [[i * 10.0 + j for j in range(4)] for i in range(7)]
        assert len(ckpt.info("rows").slices) == 3
        assert list(ckpt.problems()) == []


def assert_tensorflow_restores(oracle, path, tensors):
    requests = [(name.encode(), "", to_tensor(array)[0]) for name, array in tensors.items()]

    restored = oracle.restore(path, requests)

    assert restored == [to_tensor(array) for array in tensors.values()]


@pytest.mark.parametrize(
    ("name", "num_shards"),
    [*[("every", n) for n in (None, 1, 3, 7)], ("many", None), ("large", 2)],
)
def test_tensorflow_restores_what_is_written(oracle, tmp_path, name, num_shards):
    path = write_v1(tmp_path / "m", BY_SAVE[name], num_shards=num_shards, sync=False)

    assert_tensorflow_restores(oracle, path, BY_SAVE[name])


def test_tensorflow_restores_slices_of_several_shards(oracle, tmp_path):
    parts = []
    for name, array, spec in BY_SLICES:
        shape, box = spec_box(spec, array)
        parts.append(Part(name, by_number(fastckpt_number(array)), shape, box, array))

    path = write_parts(tmp_path / "m", parts, num_shards=3, sync=False)

    assert_tensorflow_restores(oracle, path, {"grid": GRID, "a": LINE, "cube": CUBE, "cube2": CUBE})
    requests = [(b"grid", "4 6 1,2:2,3", "int64")]
    assert oracle.restore(path, requests) == [to_tensor(GRID[1:3, 2:5].copy())]


READER_DTYPES = ["float32", "float64", "int32", "uint8", "int16", "int8", "int64", "string"]


def test_tensorflows_reader_reads_what_is_written(oracle, tmp_path):
    tensors = {f"{d}/{s}": sample(d, s) for d in READER_DTYPES for s in SHAPES}

    path = write_v1(tmp_path / "m", tensors, num_shards=2, sync=False)

    assert oracle.read(path) == {name.encode(): to_tensor(a) for name, a in tensors.items()}


def test_dtypes_that_are_refused_are_refused_by_tensorflow(oracle, tmp_path):
    for dtype in ("uint32", "uint64", "bfloat16", "qint16", "quint16"):
        record = message((1, b"w"), (2, b""), (3, NUMBERS_REFUSED[dtype]), (4, b""))
        path = make_file(tmp_path / dtype, meta_record(record), data_record(b"w", [], varints(1)))

        with pytest.raises(OracleError):
            oracle.restore(path, [(b"w", "", dtype)])
        with pytest.raises(CheckpointError, match=dtype):
            V1Checkpoint(path)["w"]


NUMBERS_REFUSED = {"bfloat16": 14, "qint16": 15, "quint16": 16, "uint32": 22, "uint64": 23}


READ_ALIKE = {
    "numbers that are too large": one(INT32, (2,), [WHOLE], varints(2**32 - 1, 2**33 + 5)),
    "one slice that spells the whole": one(INT32, (2,), [(0, 2)], varints(3, 4)),
}


@pytest.mark.parametrize("kind", READ_ALIKE)
def test_odd_file_is_read_as_tensorflow_reads_it(oracle, tmp_path, kind):
    path = make_file(tmp_path / "odd", *READ_ALIKE[kind])

    assert oracle.restore(path, [(b"w", "", "int32")]) == [to_tensor(V1Checkpoint(path)["w"])]
