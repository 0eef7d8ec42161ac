"""Who keeps what alive: views, maps, files, and what is given back in the end."""

import gc
import os
import shutil
import sys
import weakref

import numpy as np
import pytest
from fresh import run
from lifetimes import BACKENDS, TENSORS, write_all

import fastckpt

posix = pytest.mark.skipif(os.name != "posix", reason="needs files that can go while mapped")


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def count_fds():
    return len(os.listdir("/proc/self/fd"))


def list_maps(prefix):
    with open("/proc/self/maps") as maps:
        return [line for line in maps if str(prefix) in line]


@pytest.fixture
def prefix(tmp_path):
    write_all(tmp_path / "m", num_shards=2)
    return tmp_path / "m"


# ---- views


@pytest.mark.parametrize("mode", ["r", "c"])
def test_view_outlives_its_checkpoint(prefix, mode):
    checkpoint = fastckpt.read(prefix, mode=mode)
    view = checkpoint["a"]
    part = checkpoint.get_slice("b")[3:5, ::2]

    checkpoint.close()
    del checkpoint
    gc.collect()

    np.testing.assert_array_equal(view, TENSORS["a"])
    np.testing.assert_array_equal(part, TENSORS["b"][3:5, ::2])


def test_part_of_a_view_keeps_the_map_alive(prefix):
    with fastckpt.read(prefix) as checkpoint:
        part = checkpoint["a"][5000:].reshape(2, -1)[1, ::3]

    gc.collect()

    np.testing.assert_array_equal(part, TENSORS["a"][5000:].reshape(2, -1)[1, ::3])


@linux
def test_map_goes_with_the_last_view(prefix):
    checkpoint = fastckpt.read(prefix)
    views = [checkpoint["a"], checkpoint["a"][3:], checkpoint["b"]]
    checkpoint.close()
    assert list_maps(prefix)

    while views:
        assert list_maps(prefix)
        views.pop()

    gc.collect()
    assert not list_maps(prefix)


@linux
def test_closing_unmaps_what_nobody_views(prefix):
    checkpoint = fastckpt.read(prefix)
    checkpoint["a"], checkpoint["b"]
    assert list_maps(prefix)

    checkpoint.close()

    gc.collect()
    assert not list_maps(prefix)


def test_view_is_collected_without_the_garbage_collector(prefix):
    gc.disable()
    try:
        with fastckpt.read(prefix) as checkpoint:
            view = checkpoint["a"]
            base = view.base
            references = sys.getrefcount(base)
            gone = weakref.ref(view)
            more = [checkpoint["a"] for _ in range(100)]
            assert sys.getrefcount(base) >= references
            del view, more

            assert gone() is None
            assert sys.getrefcount(base) <= references
    finally:
        gc.enable()


def test_references_to_types_and_names_do_not_grow(prefix):
    with fastckpt.read(prefix) as checkpoint:
        name = "".join(["a"])
        dtype = checkpoint["a"].dtype
        watched = (name, dtype, checkpoint)
        before = [sys.getrefcount(each) for each in watched]

        for _ in range(1000):
            checkpoint[name]
            checkpoint.get_tensor(name, copy=True)
            checkpoint.info(name)
            checkpoint.get_slice(name)[2:3]
            assert name in checkpoint

        gc.collect()
        after = [sys.getrefcount(each) for each in watched]
    assert all(now <= then + 5 for now, then in zip(after, before, strict=True)), (before, after)


# ---- files that are replaced, removed, cut


@posix
@pytest.mark.parametrize("num_shards", [1, 2, 3])
@pytest.mark.parametrize("mode", ["r", "c"])
def test_saving_over_a_live_map_leaves_the_old_values(prefix, mode, num_shards):
    checkpoint = fastckpt.read(prefix, mode=mode)
    views = {name: checkpoint[name] for name in ("a", "b")}

    write_all(prefix, offset=7, num_shards=num_shards)

    for name, view in views.items():
        np.testing.assert_array_equal(view, TENSORS[name])
        np.testing.assert_array_equal(checkpoint[name], TENSORS[name])
    with fastckpt.read(prefix) as again:
        np.testing.assert_array_equal(again["a"], TENSORS["a"] + 7)
        np.testing.assert_array_equal(again["b"], TENSORS["b"] + 7)


@posix
def test_saving_many_times_leaves_every_view_its_values(tmp_path):
    views = []
    for i in range(20):
        fastckpt.write(tmp_path / "m", {"a": np.full(1000, i)}, sync=False)
        views.append(fastckpt.read(tmp_path / "m")["a"])

    assert [view[[0, -1]].tolist() for view in views] == [[i, i] for i in range(20)]


@posix
@pytest.mark.parametrize("backend", BACKENDS)
def test_removed_files_can_still_be_read_where_they_were_opened(prefix, backend):
    with fastckpt.read(prefix, backend=backend) as checkpoint:
        for name in checkpoint:
            checkpoint[name]
        shutil.rmtree(prefix.parent)

        np.testing.assert_array_equal(checkpoint["a"], TENSORS["a"])
        assert checkpoint["p"].tolist() == list(range(6))
        assert list(checkpoint) == ["a", "b", "p", "s"]
        checkpoint.verify()


@posix
@pytest.mark.parametrize("backend", BACKENDS)
def test_new_data_is_never_read_through_an_old_index(prefix, backend):
    checkpoint = fastckpt.read(prefix, backend=backend)
    write_all(prefix, offset=7, num_shards=2)

    for name in ("a", "b", "p", "s"):
        with pytest.raises(fastckpt.CheckpointError, match="expected the file that was opened"):
            checkpoint[name]


@posix
def test_data_that_is_cut_under_a_reader_is_an_error_with_pread(prefix):
    with fastckpt.read(prefix, backend="pread") as checkpoint:
        checkpoint["a"], checkpoint["b"]
        for shard in prefix.parent.glob("m.data-*"):
            os.truncate(shard, 10)

        for name in ("a", "b", "s", "p"):
            with pytest.raises(fastckpt.FormatError, match="the file shrank"):
                checkpoint[name]
        with pytest.raises(fastckpt.FormatError, match="the file shrank"):
            checkpoint.verify()


# ---- what is given back


@linux
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("way", ["with", "close", "forget"])
def test_descriptors_are_given_back(prefix, backend, way):
    gc.collect()
    before = count_fds()

    for _ in range(30):
        checkpoint = fastckpt.read(prefix, backend=backend)
        for name in checkpoint:
            checkpoint[name]
        checkpoint.verify()
        if way == "with":
            with checkpoint:
                pass
        elif way == "close":
            checkpoint.close()
        del checkpoint

    gc.collect()
    assert count_fds() == before


@linux
@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00002"])
def test_descriptors_are_given_back_after_errors(prefix, suffix):
    path = f"{prefix}{suffix}"
    os.truncate(path, 30)
    gc.collect()
    before = count_fds()

    for _ in range(30):
        with pytest.raises((fastckpt.FormatError, KeyError)):
            for array in fastckpt.read(prefix).values():
                array.tolist()
        with pytest.raises(fastckpt.FormatError):
            fastckpt.load(prefix)

    gc.collect()
    assert count_fds() == before


@linux
def test_descriptors_are_given_back_by_writers(prefix):
    gc.collect()
    before = count_fds()

    for i in range(20):
        fastckpt.write(prefix, {"a": i}, num_shards=3, sync=False)
        with pytest.raises(ZeroDivisionError), fastckpt.Writer(prefix, num_shards=3) as writer:
            writer.add("a", i)
            raise ZeroDivisionError
        fastckpt.merge([prefix], prefix.with_name("n"))
        with pytest.raises(ValueError, match="tensor 'a'"):
            fastckpt.merge([prefix, prefix], prefix.with_name("n"))

    gc.collect()
    assert count_fds() == before


GROWTH = """
    import gc, os, pickle, resource, sys
    import numpy as np
    import fastckpt
    prefix = sys.argv[1]

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def work(count):
        for i in range(count):
            {code}
        gc.collect()

    work(50)
    before = resident()
    work(500)
    print(resident() - before)
"""


WORK = {
    "open": "fastckpt.read(prefix)",
    "get": "fastckpt.read(prefix)['a'].sum()",
    "copy": "fastckpt.load(prefix, threads=1)",
    "threads": "fastckpt.load(prefix, threads=2) if i % 10 == 0 else None",
    "list": "c = fastckpt.read(prefix); (list(c), len(c), c.infos(), [c.get_slice('p')[1:4]])",
    "miss": "c = fastckpt.read(prefix); c.get('none'); 'none' in c; c.close()",
    "problems": "list(fastckpt.read(prefix).problems()) if i % 10 == 0 else None",
    "write": "fastckpt.write(prefix + 'w', {'a': np.zeros(100000), 's': b'x' * 9999}, sync=False)",
    "pickle": "pickle.loads(pickle.dumps(fastckpt.read(prefix)))['b'][0, 0]",
    "damaged": """
            try:
                fastckpt.read(prefix + "-damaged")
            except fastckpt.CheckpointError as error:
                str(error)""",
    "not found": """
            try:
                fastckpt.read(prefix)["none"]
            except KeyError as error:
                str(error)""",
}


@linux
@pytest.mark.parametrize("case", WORK)
def test_memory_does_not_grow_with_many_uses(prefix, case):
    damaged = bytearray((prefix.parent / "m.index").read_bytes())
    damaged[20] ^= 1
    (prefix.parent / "m-damaged.index").write_bytes(damaged)

    grown = int(run(GROWTH.format(code=WORK[case].strip("\n").lstrip()), prefix))

    assert grown < 1 << 20  # one array of "a" leaked per use would be 40 MB, one block 500 KB
