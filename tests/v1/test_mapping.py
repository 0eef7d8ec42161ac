"""V1 checkpoints as mappings, and what a path to one means."""

import copy
import errno
import os
import pickle
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from places import GOLDEN
from v1_files import FLOAT, data_record, floats, listed, make_file, meta_record

import fastckpt
from fastckpt.errors import (
    FormatError,
    TensorNotFoundError,
)
from fastckpt.paths.resolve import find_v1
from fastckpt.v1.reader import V1Checkpoint
from fastckpt.v1.writer import write_v1

# ---- what a path means


def shard_names(prefix, count):
    return [f"{prefix}-{i:05d}-of-{count:05d}" for i in range(count)]


@pytest.fixture
def sharded(tmp_path):
    """The prefix of a checkpoint of three shards."""
    tensors = {f"t{i}": np.full(3, i, np.float32) for i in range(6)}
    assert write_v1(tmp_path / "m", tensors, num_shards=3) == f"{tmp_path}/m-?????-of-00003"
    return str(tmp_path / "m")


def test_shard_and_pattern_mean_all_shards(sharded):
    paths = [*shard_names(sharded, 3), f"{sharded}-?????-of-00003", f"{sharded}-*-of-00003"]
    for path in paths:
        with fastckpt.read(path) as ckpt:
            assert ckpt.path == f"{sharded}-?????-of-00003"
            assert (ckpt.num_shards, len(ckpt)) == (3, 6)
            assert [info.shard for info in ckpt.infos()] == [0, 0, 1, 1, 2, 2]
            assert [ckpt[f"t{i}"].tolist() for i in range(6)] == [[i] * 3 for i in range(6)]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_missing_shard_is_named(sharded, missing):
    names = shard_names(sharded, 3)
    os.unlink(names[missing])
    for path in [names[(missing + 1) % 3], names[missing], f"{sharded}-?????-of-00003"]:
        with pytest.raises(FileNotFoundError, match=f"shard {missing + 1} of 3") as caught:
            fastckpt.read(path)

        assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, names[missing])


def test_number_that_is_no_shard_is_part_of_a_name(tmp_path):
    path = tmp_path / "run-00003-of-00003"
    write_v1(path, {"w": 1.0})

    with fastckpt.read(str(path)) as ckpt:
        assert (ckpt.path, ckpt.num_shards) == (str(path), 1)


def test_same_tensor_in_two_shards_is_an_error(sharded):
    first, second, _ = shard_names(sharded, 3)
    Path(second).write_bytes(Path(first).read_bytes())

    with fastckpt.read(first) as ckpt, pytest.raises(FormatError, match="exactly once"):
        ckpt["t0"]


def test_tensor_that_differs_between_shards_is_an_error(sharded):
    first, second, _ = shard_names(sharded, 3)
    write_v1(second, {"t0": np.zeros(4)})

    with pytest.raises(FormatError, match="'t0'") as caught:
        fastckpt.read(first)

    assert caught.value.path == second


@pytest.mark.parametrize(
    "name",
    [
        "tf1_saver/model.ckpt-40.index",
        "tf1_saver/model.ckpt-40",
        "tf1_saver/model.ckpt-40.data-00000-of-00001",
        "tf1_saver/model.ckpt-40.data-?????-of-00001",
        "tf1_saver/model.ckpt-40.meta",
        "tf1_saver/checkpoint",
        "tf1_saver",
        "v1_plain",
        "nothing/here",
        "nothing/here-?????-of-00003",
        "nothing-00000-of-00000",
        "nul\0-00000-of-00003",
        "",
    ],
)
def test_what_is_not_v1_is_not_opened(name):
    assert find_v1(os.path.join(GOLDEN, name)) is None


@pytest.mark.parametrize("name", ["tf1_saver", "nothing", "v1_sharded/model.ckpt-5"])
def test_class_raises_oserror_for_what_is_no_file(name):
    with pytest.raises(OSError):
        V1Checkpoint(str(GOLDEN / name))


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert find_v1(str(tmp_path / "pipe")) is None


def test_read_and_load_open_v1():
    folder = GOLDEN / "v1_sharded"
    for path in [folder, folder / "checkpoint", folder / "model.ckpt-5-00001-of-00003"]:
        with fastckpt.read(path) as ckpt:
            assert ckpt.format == "V1"
            loaded = fastckpt.load(path, threads=2)
            assert list(loaded) == list(ckpt) == ["dev0/w", "dev1/w", "dev2/w"]
            assert all((loaded[name] == ckpt[name]).all() for name in ckpt)


# ---- the mapping


@pytest.fixture
def plain():
    with V1Checkpoint(str(GOLDEN / "v1_plain" / "model.ckpt-3")) as ckpt:
        yield ckpt


def test_mapping_knows_its_names(plain):
    assert list(plain) == list(plain.keys()) == ["global_step", "ids", "layer/b", "w"]
    assert "w" in plain and np.str_("w") in plain
    assert "x" not in plain and b"w" not in plain and 0 not in plain and "" not in plain
    assert plain.get("x", 7) == 7
    assert dict(plain)["ids"].tolist() == [-1, 0, 1, 300, -70000]
    assert plain["global_step"].shape == () and plain["global_step"] == 3


def test_missing_tensor_is_named_beside_the_closest(plain):
    for find in (plain.get_tensor, plain.get_slice, plain.info, plain.__getitem__):
        with pytest.raises(TensorNotFoundError, match="did you mean 'layer/b'"):
            find("layer/bb")
        with pytest.raises(TypeError):
            find(b"w")


def test_view_cannot_be_had(plain):
    with pytest.raises(ValueError, match="tensor 'w'.*encoded"):
        plain.get_tensor("w", copy=False)
    with pytest.raises(TensorNotFoundError):
        plain.get_tensor("x", copy=False)


def test_part_of_a_tensor_does_not_hold_the_whole():
    with V1Checkpoint(str(GOLDEN / "v1_strings" / "model.ckpt")) as ckpt:
        part = ckpt.get_slice("repetitive")[3:5]

    assert part.base is None or part.base.nbytes <= part.nbytes
    assert part.tolist() == [3, 4]


def test_info_has_the_slices_of_a_partitioned_tensor():
    with V1Checkpoint(str(GOLDEN / "v1_partitioned" / "vars.ckpt")) as ckpt:
        emb, other = ckpt.infos()

    rows = [slice(0, 3), slice(3, 5), slice(5, 7)]
    assert emb.slices == tuple((row, slice(0, 3)) for row in rows)
    assert (emb.shard, emb.nbytes) == (None, 84)
    assert (other.slices, other.shard, other.nbytes) == ((), 0, 12)


def test_only_the_parts_that_an_index_touches_are_read(tmp_path):
    boxes = [[(0, 2)], [(2, 2)]]
    meta = meta_record(listed(b"w", FLOAT, (4,), *boxes))
    path = make_file(tmp_path / "half", meta, data_record(b"w", boxes[0], floats(1, 2)))

    with V1Checkpoint(path) as ckpt:
        assert ckpt.get_slice("w")[1].tolist() == 2
        with pytest.raises(FormatError, match="slice 2,2 of tensor 'w'"):
            ckpt.get_slice("w")[1:3]


def test_closed_checkpoint_says_so(plain):
    array = plain["w"]
    handle = plain.get_slice("w")
    plain.close()

    assert array.shape == (5, 4)
    assert "closed" in repr(plain)
    for use in (
        lambda: plain["w"],
        lambda: handle[0],
        lambda: "w" in plain,
        lambda: len(plain),
        lambda: list(plain),
        lambda: plain.infos(),
        lambda: list(plain.problems()),
    ):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_repr_says_what_it_is(plain, sharded):
    assert repr(plain) == f"<checkpoint {plain.path!r}: format V1, shards: 1>"
    assert "shards: 3" in repr(fastckpt.read(f"{sharded}-?????-of-00003"))


def test_checkpoint_is_pickled_by_its_path(sharded):
    ckpt = fastckpt.read(f"{sharded}-?????-of-00003")
    for other in (pickle.loads(pickle.dumps(ckpt)), copy.copy(ckpt)):
        assert (other.path, list(other)) == (ckpt.path, list(ckpt))
        assert other["t5"].tolist() == [5, 5, 5]


def test_threads_share_a_checkpoint(tmp_path):
    tensors = {f"t{i:03d}": np.full(1000 + i, i, np.float32) for i in range(300)}
    write_v1(tmp_path / "m", tensors, sync=False)
    wrong = []
    with V1Checkpoint(str(tmp_path / "m")) as ckpt:

        def read(step):
            for name in list(ckpt)[::step]:
                if ckpt[name].tolist() != tensors[name].tolist():
                    wrong.append(name)

        threads = [threading.Thread(target=read, args=(step,)) for step in (1, -1, 2, -3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []


def test_reading_through_does_not_keep_the_file_in_memory(tmp_path):
    write_v1(tmp_path / "m", {f"t{i}": np.zeros(1 << 18) for i in range(16)}, sync=False)
    with V1Checkpoint(str(tmp_path / "m")) as ckpt:
        tracemalloc.start()
        try:
            for name in ckpt:
                ckpt[name]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak < 8 << 20  # a tensor is 2 MB, the file 32
