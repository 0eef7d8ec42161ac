"""Interrupted saves completed and discarded wherever they were killed; state files repaired."""

import os
import shutil
import textwrap
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from diagnoses import TOKEN, type_in
from fresh import DIE_AT, run

import fastckpt
from fastckpt.bundle.names import list_files
from fastckpt.rescue.complete import complete, discard, find_interrupted
from fastckpt.rescue.doctor import doctor

MOMENTS = 80  # calls that change a folder or a file; a save of three shards makes fewer
KILL = f"""
    import os, sys
    import numpy as np
    import fastckpt

    OLD = {{f"t{{i}}": np.full(50 + i, 1) for i in range(6)}}
    NEW = {{f"t{{i}}": np.full(50 + i, 2) for i in range(6)}}

    for moment in range({MOMENTS}):
        os.mkdir(f"{{sys.argv[1]}}/{{moment}}")
        prefix = f"{{sys.argv[1]}}/{{moment}}/m"
        if int(sys.argv[2]):
            fastckpt.write(prefix, OLD, num_shards=int(sys.argv[2]), threads=1)
        child = os.fork()
        if not child:
            die_at(moment)
            fastckpt.write(prefix, NEW, num_shards=int(sys.argv[3]), threads=1)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            print(moment)
            break
"""


@pytest.fixture(scope="module", params=[(0, 2), (1, 1), (2, 2), (1, 3), (3, 2)], ids=str)
def killed(request, tmp_path_factory):
    """Folders in which a save was killed, each at another moment, and what was there before."""
    folder = tmp_path_factory.mktemp("killed")
    old, new = request.param
    last = run(DIE_AT + textwrap.dedent(KILL), folder, str(old), str(new))
    assert 8 < int(last) < MOMENTS, "the save never got to its end, or was not killed"
    return folder, 1 if old else None


@pytest.fixture
def moments(killed, tmp_path):
    """A copy of these folders for a test to change: the prefixes, and what was there before."""
    folder, old = killed
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return [each / "m" for each in sorted(tmp_path.iterdir())], old


def value(prefix):
    """The value that all tensors of a checkpoint have, which was verified; None without one."""
    try:
        tensors = fastckpt.load(prefix)
    except FileNotFoundError:
        return None
    found = {int(item) for array in tensors.values() for item in array}
    assert len(tensors) == 6 and len(found) == 1
    return found.pop()


def staged(prefix):
    return list_files(str(prefix))[1]


# ---- an interrupted save


def test_complete_makes_the_new_checkpoint_or_leaves_the_old_one(moments):
    prefixes, old = moments
    results = []

    for prefix in prefixes:
        before = value(prefix)
        try:
            done = complete(prefix)
        except (fastckpt.CheckpointError, OSError):
            done = False
        results.append(done)
        if done:
            assert value(prefix) == 2
            assert staged(prefix) == []
        else:
            assert value(prefix) == before in (old, 2)

    assert True in results and False in results


def test_discard_brings_the_old_checkpoint_back_or_keeps_the_new_one(moments):
    prefixes, old = moments
    refused = 0

    for prefix in prefixes:
        was_committed = value(prefix) == 2
        try:
            discard(prefix)
        except ValueError as error:
            assert "lose both" in str(error)
            refused += 1
            assert complete(prefix)
            assert value(prefix) == 2
        else:
            assert value(prefix) == (2 if was_committed else old)
        assert staged(prefix) == []

    assert refused < len(prefixes)


def test_every_moment_leaves_something_that_can_be_had(moments):
    prefixes, old = moments

    for prefix in prefixes:
        try:
            complete(prefix)
        except (fastckpt.CheckpointError, OSError):
            discard(prefix)
        assert value(prefix) in (old, 2)


def test_completing_and_discarding_twice_is_doing_it_once(moments):
    prefixes, old = moments

    for i, prefix in enumerate(prefixes):
        try:
            done = complete(prefix)
        except (fastckpt.CheckpointError, OSError):
            done = discard(prefix) and False
        found = value(prefix)
        assert complete(prefix) is False
        assert discard(prefix) in ((False,) if done else (True, False)), i
        assert value(prefix) == found


def test_what_doctor_says_to_type_helps_at_every_moment(moments):
    prefixes, old = moments
    typed = 0

    for prefix in prefixes:
        while advice := [each.todo for each in doctor(prefix).findings if is_leftover(each)]:
            type_in(advice[0].splitlines()[0])
            typed += 1
        assert value(prefix) in (old, 2)
        assert doctor(prefix, verify=True).is_healthy or value(prefix) is None

    assert typed > 3


def is_leftover(finding):
    return "interrupted" in finding.what or "another save" in finding.what


@pytest.fixture
def interrupted(tmp_path):
    """A save whose files are all staged, over no checkpoint."""
    prefix = tmp_path / "m"
    fastckpt.write(prefix, {"a": np.arange(100), "b": np.ones(7)})
    for path in sorted(tmp_path.iterdir()):
        path.rename(f"{path}.tmp-{TOKEN}")
    return prefix


def test_damaged_data_is_not_completed(interrupted):
    data = Path(f"{interrupted}.data-00000-of-00001.tmp-{TOKEN}")
    data.write_bytes(b"\x01" + data.read_bytes()[1:])

    with pytest.raises(fastckpt.ChecksumError, match="'a'"):
        complete(interrupted)

    assert len(staged(interrupted)) == 2
    save = find_interrupted(interrupted)[0]
    assert save.find_problem(verify=False) is None
    assert isinstance(save.find_problem(), fastckpt.ChecksumError)


def test_missing_data_is_not_completed(interrupted):
    os.unlink(f"{interrupted}.data-00000-of-00001.tmp-{TOKEN}")

    with pytest.raises(FileNotFoundError, match="data file 1 of the interrupted save"):
        complete(interrupted)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors as Linux does")
def test_refusal_to_complete_gives_its_files_back(interrupted):
    os.unlink(f"{interrupted}.data-00000-of-00001.tmp-{TOKEN}")
    before = len(os.listdir("/proc/self/fd"))

    with pytest.raises(OSError) as caught:
        complete(interrupted)

    assert len(os.listdir("/proc/self/fd")) == before, "while the error is still at hand"
    assert caught.value.filename


def test_half_an_index_is_not_completed(interrupted):
    os.truncate(f"{interrupted}.index.tmp-{TOKEN}", 60)

    with pytest.raises(fastckpt.FormatError, match="index.tmp-"):
        complete(interrupted)

    assert discard(interrupted)
    assert list(interrupted.parent.iterdir()) == []


def test_later_save_is_not_replaced_by_an_interrupted_one(interrupted):
    other = interrupted.parent / "other"
    fastckpt.write(other, {"a": np.zeros(1)})
    for end in (".index", ".data-00000-of-00001"):
        os.rename(f"{other}{end}", f"{interrupted}{end}")
    os.utime(f"{interrupted}.index.tmp-{TOKEN}", (0, 1))

    with pytest.raises(ValueError, match="later one"):
        complete(interrupted)

    assert list(fastckpt.read(interrupted)) == ["a"]


def test_save_of_a_living_writer_is_left_alone(tmp_path):
    prefix = tmp_path / "m"
    fastckpt.write(prefix, {"a": np.zeros(1)})
    with fastckpt.Writer(prefix) as writer:
        writer.add("b", np.ones(1))

        assert find_interrupted(prefix) == []
        assert not complete(prefix)
        assert not discard(prefix)

    assert list(fastckpt.read(prefix)) == ["b"]


@pytest.mark.parametrize("act", [complete, discard])
def test_nothing_to_do_is_no_error(tmp_path, act):
    assert act(tmp_path / "m") is False
    assert act(tmp_path / "none" / "m") is False


def test_arrays_of_the_old_checkpoint_stay_what_they_are(interrupted):
    fastckpt.write(interrupted.parent / "old", {"a": np.full(100, 7)})
    for end in (".index", ".data-00000-of-00001"):
        os.rename(f"{interrupted.parent / 'old'}{end}", f"{interrupted}{end}")
    os.utime(f"{interrupted}.index", (0, 1))
    view = fastckpt.read(interrupted)["a"]

    assert complete(interrupted)

    assert (view == 7).all()
    assert sorted(fastckpt.read(interrupted)) == ["a", "b"]


# ---- names that lie, and other people's files


@pytest.mark.parametrize("number", ["00000", "03999999"])
def test_number_in_a_name_costs_neither_memory_nor_time(tmp_path, number):
    import tracemalloc

    name = f"m-{number.zfill(8) if number != '00000' else number}-of-04000000.tmp-{TOKEN}"
    (tmp_path / name).touch()
    tracemalloc.start()

    str(doctor(tmp_path))
    with suppress(fastckpt.CheckpointError, OSError):
        assert not complete(tmp_path / "m")
    assert discard(tmp_path / "m")

    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    assert list(tmp_path.iterdir()) == []


def test_only_staged_files_of_the_prefix_are_removed(interrupted):
    others = ["m2.index", "m-1.index", "n.index", "checkpoint", "m.txt"]
    for name in others:
        (interrupted.parent / f"{name}.tmp-{TOKEN}").touch()
    (interrupted.parent / f"m.index.tmp-{'f' * 16}").mkdir()

    assert discard(interrupted)

    left = {path.name for path in interrupted.parent.iterdir()}
    assert left == {f"{name}.tmp-{TOKEN}" for name in others} | {f"m.index.tmp-{'f' * 16}"}


def test_data_file_in_place_is_not_taken_for_a_new_one_beside_an_index(interrupted):
    """It may be, since a commit renames data files beside an index for other names: the checksums
    tell."""
    fastckpt.write(interrupted.parent / "old", {"a": np.arange(100) + 5, "b": np.ones(7)})
    for end in (".index", ".data-00000-of-00001"):
        os.rename(f"{interrupted.parent / 'old'}{end}", f"{interrupted}{end}")
    os.utime(f"{interrupted}.index", (0, 1))
    os.unlink(f"{interrupted}.data-00000-of-00001.tmp-{TOKEN}")

    with pytest.raises(fastckpt.ChecksumError):
        complete(interrupted)
    assert fastckpt.load(interrupted)["a"][0] == 5
