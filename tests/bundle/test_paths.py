"""Every spelling of a path opens the same checkpoint."""

import os
import pickle
from pathlib import Path

import pytest
from corpus import (
    CASES,
    STATES,
    name_of,
    readable,
    sha256_of,
    values_digest,
)
from golden_cases import every_case

import fastckpt

# ---- every spelling of a path


def spellings(case):
    """Everything that a person may pass and that means this checkpoint."""
    prefix = case.prefix
    yield str(prefix)
    yield prefix
    yield f"{prefix}.index"
    yield from case.shards
    if Path(f"{prefix}.meta").exists():
        yield f"{prefix}.meta"
    if prefix.name == "variables" and prefix.parent.name == "variables":
        yield prefix.parent.parent
        yield f"{prefix.parent.parent}{os.sep}"


@every_case
def test_every_spelling_of_the_path_opens_the_same(case):
    with fastckpt.read(case.prefix) as ckpt:
        path, names = ckpt.path, list(ckpt)

    for spelling in spellings(case):
        with fastckpt.read(spelling) as ckpt:
            assert os.path.samefile(f"{ckpt.path}.index", f"{path}.index")
            assert list(ckpt) == names


def test_spellings_that_are_tried_include_meta_and_saved_model():
    tried = {str(Path(spelling).suffix) for case in CASES for spelling in spellings(case)}
    folders = [
        spelling for case in CASES for spelling in spellings(case) if Path(spelling).is_dir()
    ]

    assert ".meta" in tried
    assert len(folders) >= 6


@pytest.mark.parametrize(("folder", "state"), STATES, ids=lambda value: getattr(value, "name", ""))
def test_folder_opens_the_latest_checkpoint_of_its_state_file(folder, state):
    latest = folder / state["latest_checkpoint"]

    for spelling in (folder, str(folder), f"{folder}{os.sep}"):
        with fastckpt.read(spelling) as ckpt:
            assert os.path.samefile(f"{ckpt.path}.index", f"{latest}.index")


@pytest.mark.parametrize(
    "name", ["model.ckpt-4", "model.ckpt-41", "model.ckpt-40.indx", "model.ckpt", "nothing/at/all"]
)
def test_path_that_matches_nothing_is_file_not_found(golden, name):
    with pytest.raises(FileNotFoundError, match=r"(?s)."):
        fastckpt.read(golden / "tf1_saver" / name)


def test_near_miss_is_named(golden):
    with pytest.raises(FileNotFoundError, match="model.ckpt-40"):
        fastckpt.read(golden / "tf1_saver" / "model.ckpt-41")


def test_folder_without_a_checkpoint_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)."):
        fastckpt.read(tmp_path)


@every_case
def test_checkpoint_survives_pickling(case):
    with fastckpt.read(case.prefix) as ckpt, pickle.loads(pickle.dumps(ckpt)) as again:
        assert list(again) == list(ckpt)
        for record in readable(case)[:5]:
            assert values_digest(again[name_of(record)]) == sha256_of(record)
