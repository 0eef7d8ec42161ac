"""Disks that fail and are full, memory that is not there, and two who write at the same time.

Each call of a save or a read fails in one way here; in every way: ``python -m tests.faults errors``
and ``python -m tests.faults reads``. What cannot be injected is had from the system: limits on the
size of files and on memory, a folder that may not be written to.
"""

import os

import numpy as np
import pytest
from faults.reads import READS
from faults.saves import SAVES
from fresh import run

import fastckpt

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("name", SAVES)
def test_call_that_fails_in_a_save_is_an_os_error_and_loses_nothing(server, name):
    tried, faults = server.ask("errors", name)

    assert tried >= 3
    assert faults == []


@pytest.mark.parametrize("name", READS)
def test_call_that_fails_in_a_read_is_an_os_error_or_makes_no_difference(server, name):
    tried, faults = server.ask("reads", name)

    assert tried >= 2
    assert faults == []


# ---- limits of the system


SAVED = {  # what is done in a folder with a checkpoint "m" and its numbers in "m.npz"
    "write": "fastckpt.write(folder + '/m', new)",
    "write shards": "fastckpt.write(folder + '/m', new, num_shards=3)",
    "Saver": "train.Saver().save(new, folder + '/m')",
    "Saver sharded": "train.Saver(sharded=True).save(new, folder + '/m', 7)",
    "Saver V1": "train.Saver(write_version=1).save(new, folder + '/m')",
    "manager": "train.CheckpointManager({'net': new}, folder, 2).save()",
    "objects": "fastckpt.write_objects(folder + '/m', {'net': new})",
    "rename": "fastckpt.rename(folder + '/m', folder + '/n', {'a': 'z'}, link=False)",
    "reshard": "fastckpt.reshard(folder + '/m', folder + '/m', 2)",
    "align": "fastckpt.align(folder + '/m', folder + '/n', 128, link=False)",
    "average": "fastckpt.average([folder + '/m'], folder + '/m')",
    "cast": "fastckpt.cast(folder + '/m', folder + '/m', {'a': 'float32'})",
    "salvage": "fastckpt.salvage(folder + '/m', folder + '/n')",
    "convert to npz": "fastckpt.convert(folder + '/m', folder + '/m.npz')",
    "convert to safetensors": "fastckpt.convert(folder + '/m', folder + '/m.safetensors')",
    "convert to zarr": "fastckpt.convert(folder + '/m', folder + '/m.zarr')",
    "convert from npz": "fastckpt.convert(folder + '/m.npz', folder + '/n')",
}
SAVE_ALL = """
    import errno, os, sys, numpy, fastckpt
    from fastckpt import train
    import h5py, safetensors.numpy, zarr, zarr.storage
    folder, limit, *saves = sys.argv[1:]
    new = {"a": numpy.random.default_rng(1).random(20_000)}
    for save in saves:  # everything that it needs is imported, while that is allowed
        beside = folder + "-" + str(saves.index(save))
        os.mkdir(beside)
        fastckpt.write(beside + "/m", new)
        fastckpt.convert(beside + "/m", beside + "/m.npz")
        eval(save.replace("folder", "beside"))
    exec(limit)
    for save in saves:
        try:
            eval(save)
        except OSError as error:
            if error.errno not in (errno.EFBIG, errno.EACCES) or not error.filename:
                print(f"{save}: {error!r}")
        else:
            print(f"{save}: no error")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "work").mkdir()
    tensors = {"a": np.random.default_rng(0).random(20_000)}  # that do not compress
    fastckpt.write(tmp_path / "work" / "m", tensors, sync=False)
    fastckpt.convert(tmp_path / "work" / "m", tmp_path / "work" / "m.npz")
    return tmp_path / "work"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_limit_on_the_size_of_files_is_an_os_error_and_leaves_all_as_it_was(folder):
    before = contents(folder)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"

    assert run(SAVE_ALL, folder, limit, *SAVED.values()) == ""
    assert contents(folder) == before


def test_folder_that_may_not_be_written_to_is_an_os_error_and_stays_as_it_was(folder):
    before = contents(folder)
    for path in (folder, *folder.parents):  # for whom root becomes nobody
        if path.stat().st_uid == os.getuid() and path != path.parent and not path.is_mount():
            path.chmod(path.stat().st_mode | 0o055)
    folder.chmod(0o555)
    limit = "os.getuid() or os.setuid(65534)"

    assert run(SAVE_ALL, folder, limit, *SAVED.values()) == ""
    folder.chmod(0o755)
    assert contents(folder) == before


STARVED = """
    import resource, signal, sys, numpy, fastckpt
    from concurrent.futures import ThreadPoolExecutor
    import fastckpt.analysis.stats, fastckpt.analysis.diff
    import fastckpt.rescue.doctor
    folder, act = sys.argv[1:]
    signal.alarm(50)
    prefix = folder + "/large"
    wide = numpy.broadcast_to(numpy.float64(1), (1 << 25,))  # 256 MiB in 8 bytes
    fastckpt.load(folder + "/m"), fastckpt.stats(folder + "/m")
    fastckpt.convert(folder + "/m", folder + "/m.npz")
    with fastckpt.read(folder + "/m") as small:
        small.verify()
    fastckpt.diff(folder + "/m", folder + "/m"), fastckpt.doctor(folder + "/m", verify=True)
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + (100 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        eval(act)
    except MemoryError:
        print("MemoryError")
    except OSError as error:
        print("ENOMEM" if error.errno == 12 else repr(error))
    else:
        print("done")
"""
NEEDS_MEMORY = {
    "load": "fastckpt.load(prefix)",
    "load in threads": "fastckpt.load(prefix, threads=4)",
    "copy": "fastckpt.read(prefix).get_tensor('a', copy=True)",
    "view": "fastckpt.read(prefix, backend='mmap')['a']",
    "pread": "fastckpt.read(prefix, backend='pread')['a']",
    "write": "fastckpt.write(folder + '/m', {'a': wide})",
    "write in threads": "fastckpt.write(folder + '/m', {'a': wide, 'b': wide}, threads=4)",
    "average": "fastckpt.average([prefix, prefix], folder + '/m')",
    "convert": "fastckpt.convert(prefix, folder + '/m.npz')",
}
NEEDS_LITTLE = {
    "verify": "fastckpt.read(prefix, backend='pread').verify()",
    "list": "fastckpt.list_tensors(prefix)",
    "part": "fastckpt.read(prefix, backend='pread').get_slice('a')[5:9]",
    "reshard": "fastckpt.reshard(fastckpt.read(prefix, backend='pread'), folder + '/n', 2)",
}


@pytest.fixture(scope="module")
def starving(tmp_path_factory):
    """A folder with two checkpoints, one with two tensors of 256 MiB of zeros, without a block."""
    folder = tmp_path_factory.mktemp("starving")
    fastckpt.write(folder / "m", {"a": np.arange(9.0)}, sync=False)
    fastckpt.convert(folder / "m", folder / "m.npz")
    zeros = np.zeros(1 << 25)
    fastckpt.write(folder / "large", {"a": zeros, "b": zeros}, sync=False)
    return folder


@pytest.mark.parametrize("act", NEEDS_MEMORY)
def test_memory_that_is_not_there_is_a_memory_error_and_leaves_all_as_it_was(starving, act):
    names = ["m.index", "m.data-00000-of-00001", "m.npz"]
    before = [(starving / name).read_bytes() for name in names]

    said = run(STARVED, starving, NEEDS_MEMORY[act]).strip()

    assert said in ("MemoryError", "ENOMEM")
    assert [(starving / name).read_bytes()[:9000] for name in names][:2] == before[:2]
    assert not list(starving.glob("*.tmp-*"))


@pytest.mark.parametrize("act", NEEDS_LITTLE)
def test_little_memory_is_enough_for_what_goes_piece_by_piece(starving, act):
    assert run(STARVED, starving, NEEDS_LITTLE[act]) == "done\n"


# ---- two at the same time


TWO_WRITERS = """
    import os, sys, numpy, fastckpt
    prefix, rounds = sys.argv[1], int(sys.argv[2])

    def write(value):
        shards = 1 + value % 3
        tensors = {f"t{i}": numpy.full(50 + i, value) for i in range(6)}
        fastckpt.write(prefix, tensors, num_shards=shards, sync=False)

    def look(wanted=None):
        try:
            tensors = fastckpt.load(prefix)
        except (FileNotFoundError, fastckpt.CheckpointError) as error:
            return type(error)
        found = {int(each) for tensor in tensors.values() for each in numpy.unique(tensor)}
        assert len(found) == 1 and len(tensors) == 6, found
        return found.pop()

    write(0)
    for round in range(rounds):
        children = []
        for number in (2 * round, 2 * round + 1):
            child = os.fork()
            if not child:
                try:
                    write(number)
                finally:
                    os._exit(0)
            children.append(child)
        for child in children:
            look()  # while they write
            assert os.waitpid(child, 0)[1] == 0
        assert look() in (2 * round, 2 * round + 1)
    names = sorted(os.listdir(os.path.dirname(prefix)))
    shards = 1 + look() % 3
    assert len(names) == 1 + shards, names
"""


def test_of_two_processes_that_write_one_checkpoint_one_wins_whole(tmp_path):
    assert run(TWO_WRITERS, tmp_path / "m", "40") == ""
