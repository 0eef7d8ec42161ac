"""Parts of a TensorFlow save that was killed before it merged them."""

import os

import numpy as np
import pytest

import fastckpt
from fastckpt.rescue.complete import complete
from fastckpt.rescue.doctor import doctor
from fastckpt.rescue.parts import find_parts, look_into

HEX = "5f0e3c1a7b9d4e6f8a2c4d6e8f0a1b3c"


def write_parts(folder, count=2):
    folder.mkdir(parents=True)
    for i in range(count):
        name = f"part-{i:05d}-of-{count:05d}"
        fastckpt.write(folder / name, {f"t{i}": np.full(3, i, np.float32)})
    return folder


@pytest.fixture
def over_old(tmp_path):
    """A prefix with an older checkpoint, and the folder with the parts of the next."""
    prefix = tmp_path / "run" / "cp"
    fastckpt.write(prefix, {"old": np.zeros(3)})
    os.utime(f"{prefix}.index", (1, 1))
    return prefix, write_parts(tmp_path / "run" / f"cp_temp_{HEX}")


def test_whole_parts_are_merged_over_an_older_checkpoint(over_old):
    prefix, folder = over_old

    assert complete(prefix)

    assert sorted(fastckpt.load(prefix)) == ["t0", "t1"]
    assert not folder.exists()
    assert complete(prefix) is False


def test_doctor_says_to_merge_and_not_to_remove(over_old):
    prefix, folder = over_old

    for path, verify in ((prefix.parent, False), (prefix.parent, True)):
        findings = [
            each for each in doctor(path, verify=verify).findings if each.where == str(folder)
        ]
        assert [each.severity for each in findings] == ["warning"]
        assert "interrupted before its parts were merged" in findings[0].what
        assert "complete" in findings[0].todo and "rm " not in findings[0].todo


def test_parts_that_were_merged_already_are_not_merged_again(over_old):
    prefix, folder = over_old
    os.utime(f"{prefix}.index")
    for path in folder.iterdir():
        os.utime(path, (5, 5))

    with pytest.raises(ValueError, match="later one"):
        complete(prefix)

    assert sorted(fastckpt.read(prefix)) == ["old"]
    finding = next(each for each in doctor(prefix.parent).findings if each.where == str(folder))
    assert "completed since" in finding.what


def remove_part(folder):
    for path in folder.glob("part-00001*"):
        path.unlink()


def remove_data(folder):
    next(folder.glob("part-00001*.data*")).unlink()


def flip(folder):
    data = next(folder.glob("part-00000*.data*"))
    data.write_bytes(b"\x01" + data.read_bytes()[1:])


@pytest.mark.parametrize("harm", [remove_part, remove_data, flip])
def test_parts_that_are_not_whole_are_left_alone(over_old, harm):
    prefix, folder = over_old
    harm(folder)
    before = sorted(folder.iterdir())

    with pytest.raises((fastckpt.CheckpointError, OSError)):
        complete(prefix)

    assert sorted(folder.iterdir()) == before
    assert sorted(fastckpt.read(prefix)) == ["old"]
    finding = next(
        each for each in doctor(prefix.parent, verify=True).findings if each.where == str(folder)
    )
    assert "temporary folder" in finding.what


def test_other_files_in_the_folder_stay(over_old):
    prefix, folder = over_old
    (folder / "notes.txt").write_text("mine")

    assert complete(prefix)

    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_latest_of_several_saves_is_merged(tmp_path):
    prefix = tmp_path / "cp"
    old, new = (
        write_parts(tmp_path / f"cp_temp{end}", 1 + i) for i, end in enumerate(("", f"_{HEX}"))
    )
    for path in old.iterdir():
        os.utime(path, (5, 5))

    assert [each.folder for each in find_parts(str(prefix))] == [str(old), str(new)]
    assert complete(prefix)
    assert sorted(fastckpt.read(prefix)) == ["t0", "t1"]


def test_folders_of_another_prefix_are_not_looked_into(tmp_path):
    write_parts(tmp_path / "cp2_temp")

    assert find_parts(str(tmp_path / "cp")) == []
    assert complete(tmp_path / "cp") is False
    assert look_into(str(tmp_path)) is None
