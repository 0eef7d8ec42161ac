"""A folder classified by the names in it; only files whose names say nothing are opened."""

import os

import numpy as np
import pytest
from diagnoses import TOKEN

import fastckpt
from fastckpt.rescue.doctor import doctor
from fastckpt.rescue.survey import Survey, temp_folder_prefix
from fastckpt.v1.writer import write_v1


@pytest.fixture
def here(tmp_path):
    """A folder with something of every class."""
    fastckpt.write(tmp_path / "m", {"a": np.zeros(3)}, num_shards=2)
    write_v1(tmp_path / "v1", {"a": np.zeros(3)}, num_shards=2)
    write_v1(tmp_path / "one", {"a": np.zeros(3)})
    for name in (
        "lost.data-00000-of-00001",
        "graph.meta",
        "checkpoint",
        "notes.txt",
        "x.index.txt",
    ):
        (tmp_path / name).write_bytes(b"text")
    for name in (f"m.index.tmp-{TOKEN}", f"v1-00001-of-00002.old-{TOKEN}", "m.index.tempstate7"):
        (tmp_path / name).touch()
    for name in ("inside", "m_temp", f"m.zarr.tmp-{TOKEN}"):
        (tmp_path / name).mkdir()
    return Survey.of(str(tmp_path))


def test_every_name_has_one_class(here):
    assert here.indexed == {"m"}
    assert here.partial == {"lost", "graph"}
    assert here.v1 == {"one": "one", "v1-?????-of-00002": "v1-00001-of-00002"}
    assert here.checkpoints() == ["m", "one", "v1-?????-of-00002"]
    assert here.staged_owners() == ["m", "v1"]
    assert here.staged("v1") == [(f"v1-00001-of-00002.old-{TOKEN}", "v1-00001-of-00002", TOKEN)]
    assert here.temporary == ["m.index.tempstate7"]
    assert here.renamed == {"x.index.txt": "x.index"}
    assert here.others == ["notes.txt"]
    assert (here.folders, here.temp_folders) == (["inside"], ["m_temp"])
    assert here.staged_folders == [f"m.zarr.tmp-{TOKEN}"]
    assert here.has_state and not here.is_saved_model


def test_data_files_are_paths_in_order(here):
    assert here.data_files("m") == [here.path(f"m.data-0000{i}-of-00002") for i in range(2)]
    assert here.data_files("none") == []


def test_folder_is_spelled_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert (Survey.of("").head, Survey.of("").folder) == ("", ".")
    assert (Survey.of(".").path("m"), Survey.of(".").folder) == ("./m", ".")
    assert Survey.around("m").path("m") == "m"
    assert Survey.of(str(tmp_path)).folder == str(tmp_path)


def test_folder_that_is_not_there(tmp_path):
    assert Survey.around(str(tmp_path / "none" / "m")) is None
    with pytest.raises(FileNotFoundError):
        Survey.of(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("m_temp", "m"),
        ("m_temp_" + "0a" * 16, "m"),
        ("m.part", "m"),
        ("m_temp_short", None),
        ("m", None),
        ("_temp", None),
    ],
)
def test_prefix_of_a_temporary_folder(name, prefix):
    assert temp_folder_prefix(name) == prefix


# ---- odd files


ODD = [
    "m.index",
    "m.data-00000-of-00001",
    f"m.index.tmp-{TOKEN}",
    "checkpoint",
    "other",
    "v1-00000-of-00001",
]


@pytest.mark.parametrize("name", ODD)
def test_pipe_in_a_folder_is_not_waited_for(tmp_path, name):
    fastckpt.write(tmp_path / "good", {"a": np.zeros(3)})
    os.mkfifo(tmp_path / name)

    diagnosis = doctor(tmp_path, verify=True)

    assert any(each.prefix == str(tmp_path / "good") for each in diagnosis.checkpoints)
    assert doctor(tmp_path / "m").findings


@pytest.mark.parametrize("name", ODD)
def test_link_to_itself_is_a_file_that_cannot_be_opened(tmp_path, name):
    os.symlink(name, tmp_path / name)

    assert not doctor(tmp_path).is_healthy


def test_link_under_a_staged_name_is_not_staged(tmp_path):
    (tmp_path / "mine").write_text("mine")
    os.symlink("mine", tmp_path / f"m.index.tmp-{TOKEN}")

    assert not fastckpt.discard(tmp_path / "m")
    assert (tmp_path / f"m.index.tmp-{TOKEN}").is_symlink()
    assert Survey.of(str(tmp_path)).staged("m") == []


# ---- how much is read


def test_folder_is_listed_once_and_each_file_opened_once(tmp_path, monkeypatch):
    for i in range(5):
        fastckpt.write(tmp_path / f"m-{i}", {"a": np.zeros(3)})
    opened, listed = [], []
    real_open, real_scandir, real_listdir = os.open, os.scandir, os.listdir

    def open_(path, *args, **options):
        opened.append(os.fspath(path))
        return real_open(path, *args, **options)

    def scandir(path):
        listed.append(path)
        return real_scandir(path)

    def listdir(path):
        listed.append(path)
        return real_listdir(path)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "listdir", listdir)
    diagnosis = doctor(tmp_path)

    assert len(diagnosis.checkpoints) == 5
    assert listed == [str(tmp_path)]
    assert len(opened) == len(set(opened)) == 10


def test_time_grows_with_the_number_of_checkpoints(tmp_path):
    import shutil
    from time import process_time

    fastckpt.write(tmp_path / "first", {"a": np.zeros(3)})
    times = []
    for count in (200, 800):
        folder = tmp_path / str(count)
        folder.mkdir()
        for i in range(count):
            for end in (".index", ".data-00000-of-00001"):
                shutil.copyfile(tmp_path / f"first{end}", folder / f"m-{i}{end}")
        spent = []
        for _ in range(3):
            begin = process_time()
            assert len(doctor(folder).checkpoints) == count
            spent.append(process_time() - begin)
        times.append(min(spent))

    assert times[1] < 10 * times[0]
