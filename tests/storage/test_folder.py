"""Staging of what other libraries write: nothing else is replaced, followed or removed."""

import os
import stat

import pytest

import fastckpt
from fastckpt.storage.folder import (
    Staging,
    find_kind,
    find_replaced,
    is_abandoned,
    is_inside,
    is_same_place,
    list_tree,
)

TOKEN = "0123456789abcdef"


def tree(folder):
    """{path: bytes, or where a link leads} of all that is in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def make(path, is_folder=False):
    """Replace `path` by a staged file or folder with the text "new"."""
    with Staging(str(path), replaces_folder=is_folder) as staging:
        new = staging.new
        if is_folder:
            os.mkdir(new)
            new = os.path.join(new, "file")
        with open(new, "x") as file:
            file.write("new")


# ---- Permissions


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_permissions_of_a_replaced_file_stay(tmp_path, mode):
    (tmp_path / "a").write_text("old")
    os.chmod(tmp_path / "a", mode)

    make(tmp_path / "a")

    assert tree(tmp_path) == {"a": b"new"}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o700, 0o750])
def test_permissions_of_a_replaced_folder_stay(tmp_path, mode):
    (tmp_path / "a").mkdir()
    os.chmod(tmp_path / "a", mode)

    make(tmp_path / "a", is_folder=True)

    assert tree(tmp_path) == {"a": None, "a/file": b"new"}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_only_the_owner_reads_what_is_to_replace_a_file(tmp_path):
    (tmp_path / "a").write_text("old")

    with pytest.raises(KeyboardInterrupt), Staging(str(tmp_path / "a")) as staging:
        assert stat.S_IMODE(os.stat(os.path.dirname(staging.new)).st_mode) == 0o700
        raise KeyboardInterrupt


def test_new_file_has_the_permissions_of_new_files(tmp_path):
    (tmp_path / "other").touch()

    make(tmp_path / "a")

    assert (tmp_path / "a").stat().st_mode == (tmp_path / "other").stat().st_mode


# ---- Links


@pytest.mark.parametrize("is_folder", [True, False])
def test_link_under_a_staged_name_is_not_followed(tmp_path, is_folder):
    (tmp_path / "mine" / "old").mkdir(parents=True)
    (tmp_path / "mine" / "old" / "notes").write_text("mine")
    (tmp_path / "mine" / "new").write_text("mine")
    (tmp_path / "run").mkdir()
    link = tmp_path / "run" / f"a.tmp-{TOKEN}"
    link.symlink_to(tmp_path / "mine")
    before = tree(tmp_path / "mine")

    make(tmp_path / "run" / "a", is_folder)

    assert tree(tmp_path / "mine") == before
    assert link.is_symlink()
    assert not is_abandoned(str(link))
    assert find_replaced(str(link), str(tmp_path / "none")) is None


def test_links_in_a_staging_folder_are_removed_and_not_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    left = tmp_path / f"a.tmp-{TOKEN}"
    left.mkdir()
    (left / "new").symlink_to(tmp_path / "mine")
    (left / "lock").symlink_to(tmp_path / "mine" / "notes")

    make(tmp_path / "a")

    assert tree(tmp_path) == {"a": b"new", "mine": None, "mine/notes": b"mine"}


def test_link_to_a_file_is_replaced_and_its_file_stays(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "a").symlink_to("file")

    make(tmp_path / "a")

    assert tree(tmp_path) == {"a": b"new", "file": b"old"}


@pytest.mark.parametrize("name", ["new", "old", "lock"])
def test_file_under_a_staged_name_is_left_alone(tmp_path, name):
    (tmp_path / f"a.tmp-{TOKEN}").write_text(name)

    make(tmp_path / "a")

    assert tree(tmp_path) == {"a": b"new", f"a.tmp-{TOKEN}": name.encode()}


# ---- Odd files


def test_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "a")

    with pytest.raises(OSError, match="expected a regular file or a folder, got a pipe"):
        make(tmp_path / "a")

    assert stat.S_ISFIFO((tmp_path / "a").lstat().st_mode)
    assert os.listdir(tmp_path) == ["a"]


def test_device_behind_a_link_is_not_replaced(tmp_path):
    (tmp_path / "a").symlink_to("/dev/null")

    with pytest.raises(OSError, match="got a device"):
        make(tmp_path / "a")

    assert tree(tmp_path) == {"a": "/dev/null"}


@pytest.mark.parametrize("is_folder", [True, False])
def test_folder_is_replaced_by_a_folder_only(tmp_path, is_folder):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("old")

    if is_folder:
        make(tmp_path / "a", is_folder)
    else:
        with pytest.raises(IsADirectoryError):
            make(tmp_path / "a")

    assert tree(tmp_path / "a") == ({"file": b"new"} if is_folder else {"x": b"old"})


# ---- What is there


def test_kinds_of_what_is_at_a_path(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "broken").symlink_to("nothing")

    kinds = {name: find_kind(str(tmp_path / name)) for name in ("file", "folder", "link", "none")}

    assert kinds == {"file": "file", "folder": "folder", "link": "file", "none": ""}
    assert find_kind(str(tmp_path / "file" / "below")) == ""
    with pytest.raises(FileNotFoundError):
        find_kind(str(tmp_path / "broken"))


def test_tree_has_all_files_by_relative_paths(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"12")
    (tmp_path / "a" / "é").write_bytes(b"1")
    (tmp_path / ".x").write_bytes(b"")

    assert list(list_tree(str(tmp_path)).items()) == [(".x", 0), ("a/b/c", 2), ("a/é", 1)]


@pytest.mark.parametrize("name", ["pipe", "link", "folder"])
def test_tree_with_anything_else_is_refused(tmp_path, name):
    (tmp_path / "a").mkdir()
    if name == "pipe":
        os.mkfifo(tmp_path / "a" / name)
    else:
        (tmp_path / "a" / name).symlink_to(tmp_path if name == "folder" else "nothing")

    with pytest.raises(fastckpt.UnsupportedError, match=f"entry 'a/{name}': expected a regular"):
        list_tree(str(tmp_path))


def test_places_are_compared_with_links_followed(tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "file").touch()
    (tmp_path / "alias").symlink_to("real")
    (tmp_path / "link").symlink_to("real/file")
    real, alias = str(tmp_path / "real"), str(tmp_path / "alias")

    assert is_same_place(f"{real}/none", f"{alias}/deep/../none")
    assert is_same_place(str(tmp_path / "link"), f"{alias}/file")
    assert not is_same_place(f"{real}/none", f"{real}/other")
    assert is_inside(f"{alias}/deep/x", real) and is_inside(f"{real}/none", alias)
    assert not is_inside(real, real) and not is_inside(f"{real}2/x", real)
