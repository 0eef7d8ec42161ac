"""Several writers of one checkpoint, and readers beside them."""

import numpy as np
import pytest
from fresh import run
from interrupting import FAILING, Faults, can_fork, count_steps
from writing import (
    NEW,
    OLD,
    assert_same,
    file_names,
    list_names,
    posix,
    read_all,
)

import fastckpt
from fastckpt.storage.locks import exclusive

# ---- interrupted: by another writer


@posix
@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_writer_that_commits_at_any_point_of_another_one_leaves_one_of_both(
    tmp_path, monkeypatch, first, second
):
    names = (*FAILING, "unlink", "close")
    other = {"a": np.arange(7), "other": np.array(b"b")}
    (tmp_path / "count").mkdir()
    fastckpt.write(tmp_path / "count" / "m", OLD, sync=False)
    steps = count_steps(monkeypatch, tmp_path / "count", names, num_shards=first)
    committed = 0

    def is_locked(folder):
        try:
            with exclusive(str(folder), timeout=0):
                return False
        except TimeoutError:
            return True

    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        fastckpt.write(folder / "m", OLD, sync=False)

        def commit_other(folder=folder):
            nonlocal committed
            if not is_locked(folder):  # else the other one would wait
                fastckpt.write(folder / "m", other, num_shards=second, sync=False)
                committed += 1

        with monkeypatch.context() as patch:
            Faults(patch, names, step, commit_other)
            fastckpt.write(folder / "m", NEW, num_shards=first)

        found = read_all(folder / "m")
        assert_same(found, other if "other" in found else NEW)
        num_shards = second if "other" in found else first
        assert list_names(folder) == file_names("m", num_shards), f"step {step}"
    assert committed > 5


@posix
def test_files_of_a_living_writer_are_not_taken_for_leftovers(tmp_path):
    first = fastckpt.Writer(tmp_path / "m", sync=False)
    first.add("a", np.arange(3))

    fastckpt.write(tmp_path / "m", OLD, sync=False)
    assert_same(read_all(tmp_path / "m"), OLD)
    first.add("b", 5)
    first.close()

    assert_same(read_all(tmp_path / "m"), {"a": np.arange(3), "b": 5})
    assert list_names(tmp_path) == file_names("m", 1)


@can_fork
@posix
def test_files_of_a_living_writer_in_another_process_are_not_taken_for_leftovers(tmp_path):
    code = """
        import os, sys, fastckpt
        ready, release = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            try:
                with fastckpt.Writer(sys.argv[1], sync=False) as writer:
                    writer.add("a", 1)
                    os.write(ready[1], b"x")
                    os.read(release[0], 1)
                os._exit(0)
            finally:
                os._exit(1)
        os.read(ready[0], 1)
        fastckpt.write(sys.argv[1], {"a": 2}, sync=False)
        print(fastckpt.read(sys.argv[1])["a"])
        os.write(release[1], b"x")
        assert os.waitpid(child, 0)[1] == 0
        print(fastckpt.read(sys.argv[1])["a"], *sorted(os.listdir(os.path.dirname(sys.argv[1]))))
    """

    printed = run(code, tmp_path / "m")

    assert printed.split() == ["2", "1", "m.data-00000-of-00001", "m.index"]


@can_fork
@posix
@pytest.mark.parametrize(
    "leave", ["sys.exit()", "1 / 0", "os.kill(os.getpid(), 9)", "writer.abort()"]
)
def test_forked_child_does_not_take_its_parents_save_down(tmp_path, leave):
    code = f"""
        import os, sys, fastckpt
        is_child = False
        try:
            with fastckpt.Writer(sys.argv[1], sync=False) as writer:
                writer.add("a", 1)
                child = os.fork()
                if not child:
                    is_child = True
                    {leave}
                os.waitpid(child, 0)
                writer.add("b", 2)
        except BaseException:
            if not is_child:
                raise
        finally:
            if is_child:
                os._exit(0)
        print(*fastckpt.load(sys.argv[1]).values())
    """

    assert run(code, tmp_path / "m") == "1 2\n"
    assert list_names(tmp_path) == file_names("m", 1)


@pytest.mark.parametrize("num_shards", [1, 3])
def test_reader_that_opened_the_old_one_never_sees_the_new(tmp_path, monkeypatch, num_shards):
    names = (*FAILING, "unlink")
    (tmp_path / "count").mkdir()
    fastckpt.write(tmp_path / "count" / "m", OLD, sync=False)
    steps = count_steps(monkeypatch, tmp_path / "count", names, num_shards=num_shards)
    seen = set()

    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        fastckpt.write(folder / "m", OLD, sync=False)
        early = fastckpt.read(folder / "m")

        def look(early=early, folder=folder):
            for checkpoint in (early, fastckpt.read(folder / "m")):
                try:
                    assert checkpoint["a"].tolist() in (OLD["a"].tolist(), NEW["a"].tolist())
                    seen.add("early" if checkpoint is early else "late")
                    assert checkpoint is not early or checkpoint["a"][0] == 0
                except fastckpt.CheckpointError:  # it was saved again
                    seen.add("error")

        with monkeypatch.context() as patch:
            Faults(patch, names, step, look)
            fastckpt.write(folder / "m", NEW, num_shards=num_shards)
        with pytest.raises(KeyError):
            fastckpt.read(folder / "m")["old"]
    assert {"early", "late", "error"} <= seen  # and there is one to read at every step
