"""Who keeps what alive: views, maps, files, and what is given back in the end."""

import gc
import os
import pickle
import shutil
import sys
import threading
import weakref

import numpy as np
import pytest
from fresh import run

import fastckpt

posix = pytest.mark.skipif(os.name != "posix", reason="needs files that can go while mapped")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
BACKENDS = ["mmap", "pread"]

TENSORS = {
    "a": np.arange(10_000),
    "b": np.ones((20, 30), np.float32),
    "s": np.array([b"x" * 50, b""], dtype=object),
}


def write_all(prefix, offset=0, **options):
    with fastckpt.Writer(prefix, sync=False, **options) as writer:
        writer.add("a", TENSORS["a"] + offset)
        writer.add("b", TENSORS["b"] + offset)
        writer.add("s", TENSORS["s"])
        for start in (0, 3):
            writer.add_slice("p", np.arange(3) + start + offset, full_shape=(6,), start=(start,))


@pytest.fixture
def prefix(tmp_path):
    write_all(tmp_path / "m", num_shards=2)
    return tmp_path / "m"


def count_fds():
    return len(os.listdir("/proc/self/fd"))


def list_maps(prefix):
    with open("/proc/self/maps") as maps:
        return [line for line in maps if str(prefix) in line]


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


# ---- fork and threads


FORKED = """
    import os, sys
    import numpy as np
    import fastckpt

    prefix, backend = sys.argv[1:]
    checkpoint = fastckpt.read(prefix, backend=backend)
    view = checkpoint["a"]
    expected = {name: checkpoint.get_tensor(name, copy=True) for name in checkpoint}
    children = []
    for i in range(4):
        child = os.fork()
        if not child:
            code = 1
            try:
                for _ in range(20):
                    for name in checkpoint:
                        assert np.array_equal(checkpoint[name], expected[name])
                assert np.array_equal(view, expected["a"])
                checkpoint.verify()
                checkpoint.close()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(checkpoint["b"], expected["b"])
    print("same")
"""


@can_fork
@pytest.mark.parametrize("backend", BACKENDS)
def test_checkpoint_is_read_by_parent_and_children(prefix, backend):
    assert run(FORKED, prefix, backend) == "same\n"


@can_fork
def test_child_reads_what_the_parent_did_not_open_yet(prefix):
    code = """
        import os, sys, fastckpt
        checkpoint = fastckpt.read(sys.argv[1])
        child = os.fork()
        if not child:
            os._exit(int(checkpoint["a"][7]))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), checkpoint["a"][8])
    """

    assert run(code, prefix) == "7 8\n"


def in_threads(count, work):
    """Run work(i) in threads that start together; raise what any of them raised."""
    together = threading.Barrier(count)
    errors = []

    def guarded(i):
        try:
            together.wait(30)
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_share_one_checkpoint_from_the_first_access(tmp_path, backend, verify):
    names = [f"t/{i:05d}/{'x' * 60}" for i in range(6000)]
    values = {name: np.full(3, i) for i, name in enumerate(names)}
    fastckpt.write(tmp_path / "m", values, num_shards=3, alignment=1, sync=False)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    try:
        for _ in range(3):
            checkpoint = fastckpt.read(tmp_path / "m", backend=backend, verify=verify)

            def work(i, checkpoint=checkpoint):
                for place in np.random.default_rng(i).integers(0, len(names), 300):
                    assert checkpoint[names[place]][1] == place
                    assert checkpoint.info(names[place]).shape == (3,)
                    assert names[place] + "y" not in checkpoint
                assert len(checkpoint) == len(names)

            in_threads(6, work)
            checkpoint.close()
    finally:
        sys.setswitchinterval(interval)


def test_closing_beside_other_threads_is_an_error_there_and_no_crash(prefix):
    for _ in range(20):
        checkpoint = fastckpt.read(prefix)

        def work(i, checkpoint=checkpoint):
            if i == 0:
                checkpoint.close()
                return
            try:
                for _ in range(200):
                    view = checkpoint["a"]
                    assert view[9] == 9
                    checkpoint.get_tensor("s")
                    list(checkpoint)
            except ValueError as error:
                assert "closed" in str(error)

        in_threads(4, work)


def test_threads_write_different_checkpoints_at_the_same_time(tmp_path):
    def work(i):
        for step in range(3):
            fastckpt.write(tmp_path / f"m{i}", {"i": i, "step": step}, num_shards=2, sync=False)

    in_threads(4, work)

    for i in range(4):
        assert fastckpt.load(tmp_path / f"m{i}") == {"i": i, "step": 2}


def test_threads_write_one_checkpoint_and_one_of_them_wins(tmp_path):
    def work(i):
        value = {"i": i, "v": np.full(1000, i)}
        fastckpt.write(tmp_path / "m", value, num_shards=1 + i % 2, sync=False)

    for _ in range(5):
        in_threads(4, work)

        found = fastckpt.load(tmp_path / "m")
        assert (found["v"] == found["i"]).all()
        assert len(os.listdir(tmp_path)) == 2 + int(found["i"]) % 2


def test_readers_beside_a_writer_see_whole_checkpoints_only(tmp_path):
    fastckpt.write(tmp_path / "m", {"a": 0, "v": np.zeros(1000)}, num_shards=2, sync=False)
    done = threading.Event()
    seen = set()

    def work(i):
        if i == 0:
            for step in range(1, 40):
                value = {"a": step, "v": np.full(1000, step)}
                fastckpt.write(tmp_path / "m", value, num_shards=1 + step % 3, sync=False)
            done.set()
            return
        is_last = False
        while not is_last:
            is_last = done.is_set()
            try:
                with fastckpt.read(tmp_path / "m", backend=BACKENDS[i % 2]) as checkpoint:
                    a, v = checkpoint["a"], checkpoint["v"]
                    assert (v == a).all()
                    seen.add(int(a))
            except FileNotFoundError:
                pass  # in the middle of a commit
            except fastckpt.CheckpointError as error:
                assert "expected the file that was opened" in str(error)

    in_threads(4, work)

    assert 39 in seen


def test_iterator_of_problems_keeps_its_checkpoint(prefix):
    problems = fastckpt.read(prefix).problems()

    gc.collect()

    assert list(problems) == []


def test_handle_keeps_its_checkpoint(prefix):
    handle = fastckpt.read(prefix).get_slice("p")

    gc.collect()

    assert handle[2:5].tolist() == [2, 3, 4]


def test_arrays_can_be_pickled(prefix):
    with fastckpt.read(prefix) as checkpoint:
        again = pickle.loads(pickle.dumps(checkpoint["a"]))

    np.testing.assert_array_equal(again, TENSORS["a"])
