"""load: all tensors or those named, in threads, with progress."""

import mmap
import os
import threading

import numpy as np
import pytest
from fresh import run
from read_cases import TENSORS, write_state

import fastckpt

# ---- load


def test_name_that_is_not_there_is_not_loaded(prefix):
    with pytest.raises(fastckpt.TensorNotFoundError, match="tensor 'c'"):
        fastckpt.load(prefix, ["a", "c"])


@pytest.mark.parametrize("names", ["a", b"a", 5, [5], [b"a"], [None], [["a"]]])
def test_names_that_are_no_names_are_a_type_error(prefix, names):
    with pytest.raises(TypeError):
        fastckpt.load(prefix, names)


@pytest.mark.parametrize("threads", [0, -1])
def test_less_than_one_thread_is_refused(prefix, threads):
    with pytest.raises(ValueError, match=f"threads: expected 1 or more, got {threads}"):
        fastckpt.load(prefix, threads=threads)


def test_variant_is_not_dropped_in_silence(golden):
    with pytest.raises(fastckpt.UnsupportedError, match=r"variant; load the other tensors by name"):
        fastckpt.load(golden / "tf2_variant" / "ckpt")

    assert list(fastckpt.load(golden / "tf2_variant" / "ckpt", ["after"])) == ["after"]


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_damaged_tensor_is_a_checksum_error(prefix, threads):
    with fastckpt.read(prefix) as checkpoint:
        info = checkpoint.info("b")
    shard = f"{prefix}.data-{info.shard:05d}-of-00002"
    with open(shard, "r+b") as file:
        file.seek(info.offset)
        file.write(b"\xff")

    with pytest.raises(fastckpt.ChecksumError, match=f"tensor 'b' at {info.offset}"):
        fastckpt.load(prefix, threads=threads)
    assert list(fastckpt.load(prefix, ["a", "s"], threads=threads)) == ["a", "s"]


def test_progress_that_fails_stops_the_loading(prefix):
    def progress(done, total):
        raise ZeroDivisionError

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        fastckpt.load(prefix, progress=progress)

    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [None, 1, 2, 16])
def test_every_tensor_is_loaded_in_key_order_into_private_memory(tmp_path, threads):
    tensors = {f"t{i:04d}": np.full(i % 90, i, np.int32) for i in range(3000)}
    tensors["large"] = np.arange(1_500_000)
    fastckpt.write(tmp_path / "m", tensors, alignment=1, sync=False)

    found = fastckpt.load(tmp_path / "m", threads=threads)

    assert list(found) == sorted(tensors)
    for name, array in found.items():
        np.testing.assert_array_equal(array, tensors[name])
        flags = array.flags
        assert flags.writeable and flags.aligned and flags.c_contiguous
        array[...] = 0
    assert fastckpt.load(tmp_path / "m", ["large"])["large"][-1] == 1_499_999


@pytest.mark.parametrize("names", [["s", "a"], ("s", "a"), iter(["s", "a"]), {"s": 1, "a": 2}])
def test_named_tensors_are_loaded_in_the_order_of_the_names(prefix, names):
    assert list(fastckpt.load(prefix, names)) == ["s", "a"]


def test_load_maps_nothing(prefix, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("mapped")

    monkeypatch.setattr(mmap, "mmap", refuse)

    assert list(fastckpt.load(prefix)) == sorted(TENSORS)


def test_no_names_load_nothing(prefix):
    assert fastckpt.load(prefix, []) == {}


def test_name_twice_is_loaded_once(prefix):
    assert list(fastckpt.load(prefix, ["a", "a"])) == ["a"]


def test_names_of_numpy_are_taken(prefix):
    assert list(fastckpt.load(prefix, np.array(["b", "a"]))) == ["b", "a"]


def test_load_takes_every_path_that_read_takes(prefix):
    write_state(prefix.parent, prefix.name)

    for path in (prefix, f"{prefix}.index", prefix.parent, os.fsencode(prefix)):
        assert list(fastckpt.load(path)) == sorted(TENSORS)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("names", [None, ["a", "b"], ["a", "b", "a"]])
def test_progress_rises_to_the_total(prefix, threads, names):
    calls = []
    with fastckpt.read(prefix) as checkpoint:
        total = sum(checkpoint.info(name).nbytes for name in set(names or TENSORS))

    fastckpt.load(prefix, names, threads=threads, progress=lambda *call: calls.append(call))

    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert {each for _, each in calls} == {total}


def test_names_that_come_later_are_imported_when_asked_for():
    code = """
        import sys, fastckpt
        before = {name for name in sys.modules if name.startswith("fastckpt.")}
        assert not before & {"fastckpt.train", "fastckpt.graph.meta"}, before
        print(fastckpt.train.Saver.__name__, fastckpt.restore.__name__, fastckpt.read_meta.__name__)
    """

    assert run(code).split() == ["Saver", "restore", "read_meta"]
