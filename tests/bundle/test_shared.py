"""A checkpoint shared by forked processes and by threads."""

import gc
import os
import pickle
import sys
import threading

import numpy as np
import pytest
from fresh import run
from lifetimes import BACKENDS, TENSORS, write_all

import fastckpt

can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def prefix(tmp_path):
    write_all(tmp_path / "m", num_shards=2)
    return tmp_path / "m"


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
