"""Interrupted saves of V1 checkpoints completed and discarded wherever they were killed."""

import os
import shutil
import textwrap

import numpy as np
import pytest
from diagnoses import type_in
from fresh import DIE_AT, run

import fastckpt
from fastckpt.rescue.complete import find_interrupted
from fastckpt.v1.writer import write_v1

MOMENTS = 80  # calls that change a folder or a file; a save of three shards makes fewer
KILL = f"""
    import os, sys
    import numpy as np
    from fastckpt.v1.writer import write_v1

    SHARDS = int(sys.argv[2]) or None

    def save(path, value):
        write_v1(path, {{f"t{{i}}": np.full(9, value) for i in range(6)}}, num_shards=SHARDS)

    for moment in range({MOMENTS}):
        os.mkdir(f"{{sys.argv[1]}}/{{moment}}")
        path = f"{{sys.argv[1]}}/{{moment}}/v1"
        if int(sys.argv[3]):
            save(path, 1)
        if not os.fork():
            die_at(moment)
            save(path, 2)
            os._exit(0)
        if os.wait()[1] == 0:
            break
"""


@pytest.fixture(scope="module", params=[(0, 0), (0, 1), (2, 1), (3, 1), (3, 0)], ids=str)
def killed(request, tmp_path_factory):
    """A folder for each moment, the number of shards, and the value of what was there before."""
    folder = tmp_path_factory.mktemp("killed")
    run(DIE_AT + textwrap.dedent(KILL), folder, str(request.param[0]), str(request.param[1]))
    assert 8 < len(list(folder.iterdir())) < MOMENTS
    return folder, request.param[0] or None, request.param[1] or None


@pytest.fixture
def moments(killed, tmp_path):
    folder, _, old = killed
    shutil.copytree(folder, tmp_path / "copy")
    return sorted(each / "v1" for each in (tmp_path / "copy").iterdir()), old


def value(path):
    """The value that all tensors have; None if there is no checkpoint that can be read."""
    try:
        tensors = fastckpt.load(path)
    except FileNotFoundError:
        return None
    found = {int(item) for array in tensors.values() for item in array}
    assert len(tensors) == 6 and len(found) == 1, "a mixture"
    return found.pop()


def test_every_moment_is_old_or_new_or_says_that_a_save_was_interrupted(moments):
    paths, old = moments

    for path in paths:
        found = value(path)
        if found is None and old is not None:
            with pytest.raises(FileNotFoundError, match="interrupted"):
                fastckpt.read(path)
        assert found in (None, old, 2)


def test_one_file_is_always_there_once_there_was_one(tmp_path):
    run(DIE_AT + textwrap.dedent(KILL), tmp_path, "0", "1")

    for folder in tmp_path.iterdir():
        assert value(folder / "v1") in (1, 2)


def test_complete_makes_the_new_checkpoint_or_leaves_the_old_one(moments):
    paths, old = moments
    results = set()

    for path in paths:
        before = value(path)
        try:
            done = fastckpt.complete(path)
        except (fastckpt.CheckpointError, OSError):
            done = False
        assert value(path) == (2 if done else before)
        assert not done or not find_interrupted(path)
        results.add(done)

    assert results == {True, False}


def test_discard_brings_the_old_checkpoint_back_or_says_that_it_cannot(moments):
    paths, old = moments

    for path in paths:
        before = value(path)
        try:
            fastckpt.discard(path)
        except ValueError as error:
            assert "lose both" in str(error)
            assert fastckpt.complete(path)
            assert value(path) == 2
        else:
            assert value(path) == (before if before is not None else old)
        assert not find_interrupted(path)


def test_what_doctor_says_to_type_helps_at_every_moment(moments):
    paths, old = moments

    for path in paths:
        findings = fastckpt.doctor(path.parent).findings
        for finding in [each for each in findings if is_leftover(each)]:
            type_in(finding.todo.splitlines()[0])
        assert value(path) in (old, 2)


def is_leftover(finding):
    return "interrupted save" in finding.what or "dead writer" in finding.what


def test_next_save_removes_what_was_left(moments, killed):
    paths, _ = moments
    shards = killed[1]
    names = ["v1"] if shards is None else [f"v1-{i:05d}-of-{shards:05d}" for i in range(shards)]

    for path in paths:
        write_v1(path, {f"t{i}": np.full(9, 3) for i in range(6)}, num_shards=shards)

        assert value(path) == 3
        assert sorted(each.name for each in path.parent.iterdir()) == names


@pytest.mark.parametrize("shards", [None, 2])
def test_later_save_is_not_replaced_by_an_interrupted_one(tmp_path, shards):
    for name in ("v1", "other"):
        write_v1(tmp_path / name, {"a": np.ones(3)}, num_shards=shards)
    for path in sorted(tmp_path.glob("other*")):
        target = tmp_path / f"{path.name.replace('other', 'v1')}.tmp-0123456789abcdef"
        path.rename(target)
        os.utime(target, (0, 1))

    with pytest.raises(ValueError, match="later one"):
        fastckpt.complete(tmp_path / "v1")

    assert fastckpt.discard(tmp_path / "v1")
    assert list(fastckpt.read(tmp_path / "v1")) == ["a"]
    assert not list(tmp_path.glob("*.tmp-*"))


@pytest.fixture
def two_interrupted(tmp_path):
    """Two saves that were killed: one after it put the old last shard aside, and a later one after
    it renamed its first shard."""
    shards = [f"v1-0000{i}-of-00002" for i in range(2)]
    for value_of, folder in enumerate(("old", "first", "second"), 1):
        (tmp_path / folder).mkdir()
        tensors = {f"t{i}": np.full(9, value_of) for i in range(6)}
        write_v1(tmp_path / folder / "v1", tensors, num_shards=2)
    os.rename(tmp_path / "old" / shards[1], tmp_path / f"{shards[1]}.old-{'a' * 16}")
    for shard in shards:
        os.rename(tmp_path / "first" / shard, tmp_path / f"{shard}.tmp-{'a' * 16}")
    os.rename(tmp_path / "second" / shards[0], tmp_path / shards[0])
    os.rename(tmp_path / "second" / shards[1], tmp_path / f"{shards[1]}.tmp-{'b' * 16}")
    os.utime(tmp_path / f"{shards[1]}.tmp-{'a' * 16}", (5, 5))
    return tmp_path / "v1"


def test_old_last_shard_does_not_come_back_beside_a_new_first_one(two_interrupted):
    with pytest.raises(ValueError, match="lose both"):
        fastckpt.discard(two_interrupted)

    assert fastckpt.complete(two_interrupted)
    assert value(two_interrupted) == 3


def test_earlier_save_is_completed_where_the_later_one_is_broken(two_interrupted):
    os.truncate(f"{two_interrupted}-00000-of-00002", 50)

    with pytest.raises(ValueError, match="lose both"):
        fastckpt.discard(two_interrupted)

    assert fastckpt.complete(two_interrupted)
    assert value(two_interrupted) == 2
    assert fastckpt.discard(two_interrupted)
    assert value(two_interrupted) == 2
    assert not list(two_interrupted.parent.glob("*.tmp-*"))


def test_nothing_comes_back_where_no_checkpoint_is_whole(two_interrupted):
    os.truncate(f"{two_interrupted}-00000-of-00002", 50)
    os.truncate(f"{two_interrupted}-00000-of-00002.tmp-{'a' * 16}", 50)

    assert fastckpt.discard(two_interrupted)

    assert not os.path.exists(f"{two_interrupted}-00001-of-00002")
    assert not list(two_interrupted.parent.glob("*.tmp-*"))
