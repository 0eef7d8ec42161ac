"""Paths that are no plain files, links, and files that change while they are read.

What could hang or crash runs in a process of its own. test_storage.py and test_lifetime.py have
what one file or one open checkpoint does.
"""

import os
import socket
import sys

import numpy as np
import pytest
from fresh import run

import fastckpt
from fastckpt import train

posix = pytest.mark.skipif(os.name != "posix", reason="needs pipes, sockets and symbolic links")

# ---- what is no file


ENTRIES = {
    "read": "fastckpt.read(path)",
    "load": "fastckpt.load(path)",
    "list_tensors": "fastckpt.list_tensors(path)",
    "tree": "fastckpt.tree(path)",
    "stats": "fastckpt.stats(path)",
    "diff": "fastckpt.diff(path, path)",
    "read_meta": "fastckpt.read_meta(path)",
    "restore": "fastckpt.restore({}, path)",
    "salvage": "fastckpt.salvage(path, beside)",
    "subset": "fastckpt.subset(path, beside, ['a'])",
    "merge": "fastckpt.merge([path], beside)",
    "average": "fastckpt.average([path], beside)",
    "convert": "fastckpt.convert(path, beside + '.npz')",
    "convert npz": "fastckpt.convert(path + '.npz', beside)",
    "convert safetensors": "fastckpt.convert(path + '.safetensors', beside)",
    "convert h5": "fastckpt.convert(path + '.h5', beside)",
    "load_checkpoint": "train.load_checkpoint(path)",
    "list_variables": "train.list_variables(path)",
    "Saver.restore": "train.Saver().restore({}, path)",
    "import_meta_graph": "fastckpt.read_meta(path + '.meta')",
    "repair_state": "fastckpt.repair_state(path)",
}
READ_ALL = """
    import signal, sys, fastckpt
    from fastckpt import train
    signal.alarm(50)
    path, beside = sys.argv[1:3]
    for entry in sys.argv[3:]:
        try:
            result = eval(entry)
        except (OSError, fastckpt.CheckpointError, ValueError) as error:
            continue
        print(f"{entry}: expected an error, got {result!r}"[:200])
"""


def make(kind, path):
    """Put something that is no file at a path."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        short = os.open(path.parent, os.O_RDONLY)  # socket paths have 100 bytes
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(f"/proc/self/fd/{short}/{path.name}" if sys.platform == "linux" else path)
        os.close(short)
    else:
        path.symlink_to({"zeros": "/dev/zero", "null": "/dev/null", "terminal": "/dev/tty"}[kind])


KINDS = ["pipe", "folder", "socket", "zeros", "null", "terminal"]


@posix
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_an_error_everywhere_and_not_waited_for(tmp_path, kind):
    for suffix in ("", ".npz", ".safetensors", ".h5", ".meta"):
        make(kind, tmp_path / f"m{suffix}")

    assert run(READ_ALL, tmp_path / "m", str(tmp_path / "out"), *ENTRIES.values()) == ""
    assert not list(tmp_path.glob("out*"))


@posix
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", [".index", ".data-00000-of-00001"])
def test_checkpoint_one_of_whose_files_is_none_is_an_error(tmp_path, kind, file):
    fastckpt.write(tmp_path / "m", {"a": np.arange(9)}, sync=False)
    os.unlink(tmp_path / f"m{file}")
    make(kind, tmp_path / f"m{file}")

    entries = [ENTRIES["load"], ENTRIES["average"], ENTRIES["convert"], "fastckpt.stats(path)"]
    entries.append("train.load_checkpoint(path).get_tensor('a')")
    assert run(READ_ALL, tmp_path / "m", str(tmp_path / "out"), *entries) == ""


@posix
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["m", "m.index", "m.data-00000-of-00001", "checkpoint"])
def test_doctor_says_something_of_what_is_no_file(tmp_path, kind, name):
    fastckpt.write(tmp_path / "m", {"a": np.arange(9)}, sync=False)
    if name != "m":
        (tmp_path / name).unlink(missing_ok=True)
    make(kind, tmp_path / name)
    code = """
        import signal, sys, fastckpt
        signal.alarm(50)
        print(fastckpt.doctor(sys.argv[1], verify=True))
        print(fastckpt.doctor(sys.argv[2], verify=True))
    """

    assert run(code, tmp_path / "m", tmp_path).strip()


SAVE_ALL = """
    import signal, sys, numpy, fastckpt
    from fastckpt import train
    signal.alarm(50)
    path, source = sys.argv[1:3]
    for entry in sys.argv[3:]:
        try:
            result = eval(entry)
        except OSError as error:
            assert error.filename, error
            continue
        print(f"{entry}: expected an error, got {result!r}"[:200])
"""
SAVES = {
    "m.index": ["fastckpt.write(path, {'a': 1})", "fastckpt.rename(source, path, {'a': 'b'})"],
    "m.data-00000-of-00001": ["fastckpt.write(path, {'a': 1})", "fastckpt.merge([source], path)"],
    "m": ["train.Saver(write_version=1).save({'a': 1}, path)"],
    "m.npz": ["fastckpt.convert(source, path + '.npz')"],
    "m.safetensors": ["fastckpt.convert(source, path + '.safetensors')"],
    "checkpoint": ["train.update_checkpoint_state(path[:-2], path)"],
}


@posix
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SAVES)
def test_saving_never_replaces_what_is_no_file(tmp_path, kind, name):
    (tmp_path / "run").mkdir()
    make(kind, tmp_path / "run" / name)
    before = os.lstat(tmp_path / "run" / name)
    fastckpt.write(tmp_path / "source", {"a": np.arange(9)}, sync=False)

    assert run(SAVE_ALL, tmp_path / "run" / "m", str(tmp_path / "source"), *SAVES[name]) == ""
    assert os.lstat(tmp_path / "run" / name).st_ino == before.st_ino
    assert os.listdir(tmp_path / "run") == [name]


# ---- symbolic links


@pytest.fixture
def linked(tmp_path):
    """A checkpoint behind links: its files one by one, and its folder."""
    (tmp_path / "store").mkdir()
    (tmp_path / "links").mkdir()
    fastckpt.write(tmp_path / "store" / "m", {"a": np.arange(9)}, sync=False)
    for file in (tmp_path / "store").iterdir():
        (tmp_path / "links" / file.name).symlink_to(file)
    (tmp_path / "folder").symlink_to(tmp_path / "store")
    return tmp_path


@posix
@pytest.mark.parametrize("folder", ["links", "folder"])
def test_links_are_followed_when_reading(linked, folder):
    assert fastckpt.load(linked / folder / "m")["a"].tolist() == list(range(9))


@posix
def test_saving_over_links_replaces_them_and_leaves_what_they_lead_to(linked):
    fastckpt.write(linked / "links" / "m", {"a": np.zeros(2)}, sync=False)

    assert fastckpt.load(linked / "links" / "m")["a"].tolist() == [0, 0]
    assert fastckpt.load(linked / "store" / "m")["a"].tolist() == list(range(9))


@posix
def test_saving_into_a_linked_folder_is_saving_into_the_folder(linked):
    fastckpt.write(linked / "folder" / "m", {"a": np.zeros(2)}, sync=False)

    assert fastckpt.load(linked / "store" / "m")["a"].tolist() == [0, 0]
    assert (linked / "folder").is_symlink()


@posix
def test_tensors_shared_by_a_link_are_those_of_the_file(linked):
    fastckpt.rename(linked / "links" / "m", linked / "n", {"a": "b"})
    fastckpt.write(linked / "store" / "m", {"a": np.zeros(2)}, sync=False)

    assert fastckpt.load(linked / "n")["b"].tolist() == list(range(9))
    assert not any(path.is_symlink() for path in linked.glob("n.*"))


@posix
@pytest.mark.parametrize("to", ["gone", "m.index", "m.data-00000-of-00001"])
@pytest.mark.parametrize("file", ["m.index", "m.data-00000-of-00001"])
def test_links_to_nothing_and_in_circles_are_os_errors(tmp_path, file, to):
    fastckpt.write(tmp_path / "m", {"a": np.arange(9)}, sync=False)
    (tmp_path / file).unlink()
    (tmp_path / file).symlink_to(to)

    with pytest.raises((OSError, fastckpt.CheckpointError)) as caught:
        fastckpt.load(tmp_path / "m")
    assert "m." in str(caught.value)
    assert str(fastckpt.doctor(tmp_path / "m"))


@posix
def test_state_that_leads_in_circles_is_an_error(tmp_path):
    (tmp_path / "checkpoint").symlink_to("checkpoint")

    with pytest.raises(OSError):
        train.latest_checkpoint(tmp_path)


# ---- files that change under a reader


CHANGE = """
    import os, sys, numpy, fastckpt
    prefix, backend, what, change = sys.argv[1:]
    checkpoint = fastckpt.read(prefix, backend=backend)
    checkpoint["a"], checkpoint.get_tensor("a")  # opened, and mapped with "mmap"
    data = prefix + ".data-00000-of-00001"
    if change == "cut":
        os.truncate(data, 5000)
    elif change == "emptied":
        os.truncate(data, 0)
    elif change == "replaced":
        with open(data + "x", "wb") as file:
            file.write(bytes(os.stat(data).st_size))
        os.replace(data + "x", data)
    else:
        os.unlink(data)
    ways = {
        "copy": lambda: checkpoint.get_tensor("b", copy=True),
        "view": lambda: checkpoint["b"],
        "slice": lambda: checkpoint.get_slice("b")[5000:6000].copy(),
        "verify": checkpoint.verify,
        "strings": lambda: checkpoint["s"],
        "carried over": lambda: fastckpt.write(prefix + "2", checkpoint, sync=False),
    }
    try:
        got = ways[what]()
    except (OSError, fastckpt.CheckpointError) as error:
        print(type(error).__name__)
    else:
        print("right" if got is None or got[0] == (b"x" if what == "strings" else 7) else "wrong")
"""


@posix
@pytest.mark.parametrize("backend", ["mmap", "pread"])
@pytest.mark.parametrize("change", ["cut", "emptied", "replaced", "removed"])
def test_file_that_changes_while_mapped_is_never_a_crash_nor_wrong(tmp_path, backend, change):
    tensors = {"a": np.arange(100), "b": np.full(100_000, 7.0), "s": ["x", "y"]}
    for what in ("copy", "view", "slice", "verify", "strings", "carried over"):
        fastckpt.write(tmp_path / "m", tensors, sync=False)

        said = run(CHANGE, tmp_path / "m", backend, what, change).strip()

        if change in ("cut", "emptied"):
            assert said == "FormatError", what
        else:
            assert said in ("right", "CheckpointError", "FileNotFoundError"), what
