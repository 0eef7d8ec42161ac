"""The command line: what it prints, what it returns, and what it never does."""

import os
from pathlib import Path

import numpy as np
import pytest
from command_line import TENSORS

import fastckpt
from fastckpt.cli import verbs as cli_verbs

WRITING = {  # what a verb needs besides a source and a destination
    "rename": ["--add-prefix", "x/"],
    "subset": ["--exclude", "text"],
    "alias": ["also=step"],
    "merge": [],
    "align": [],
    "reshard": ["2"],
    "average": [],
    "cast": ["bfloat16"],
    "convert": ["--format", "checkpoint"],
}


# ---- Mistakes


def test_without_a_verb_it_prints_what_there_is_and_fails(call):
    status, out, _ = call()

    assert status == 2
    assert all(f"\n  {verb} " in out for verb in cli_verbs.list_verbs())


@pytest.mark.parametrize(
    ("typed", "meant"), [("lls", "ls"), ("renmae", "rename"), ("docter", "doctor")]
)
def test_verb_that_is_not_there_names_the_closest(call, typed, meant):
    status, out, err = call(typed, "x")

    assert (status, out) == (2, "")
    assert f"did you mean '{meant}'" in err


def test_path_in_place_of_a_verb_is_told_to_be_one(call, source):
    status, _, err = call(source)

    assert status == 2
    assert f"fastckpt ls {source}" in err


def test_option_that_is_not_there_names_the_closest(call, source):
    status, _, err = call("ls", source, "--sotr", "size")

    assert status == 2
    assert "did you mean '--sort'" in err


def test_tensor_that_is_not_there_names_the_closest(call, source):
    status, _, err = call("show", source, "model/kernle")

    assert status == 2
    assert "did you mean 'model/kernel'" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["rename"],
        ["subset"],
        ["rename", "--map", "nothing"],
        ["rename", "--map", "step="],
        ["rename", "--regex", "(", "x"],
        ["rename", "--map", "nothere=x"],
        ["subset", "--include", "nothing*"],
        ["alias", "x"],
        ["alias", "x=nothere"],
        ["reshard", "0"],
        ["reshard", "two"],
        ["average", "--weights", "1,2"],
        ["average", "--weights", "one"],
        ["average", "--last", "2"],
        ["cast", "nosuchtype"],
        ["cast", "step=int8=x"],
        ["align", "--alignment", "0"],
        ["convert", "--format", "nothing"],
        ["convert"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_a_mistake_and_writes_nothing(call, source, out, arguments):
    verb, *rest = arguments

    status, printed, err = call(verb, source, out, *rest)

    assert (status, printed) == (2, "")
    assert err.startswith("fastckpt")
    assert os.listdir(os.path.dirname(out)) == ["run"]


@pytest.mark.parametrize("verb", WRITING)
def test_checkpoint_that_is_there_is_not_replaced_without_force(call, source, verb):
    before = Path(f"{source}.index").read_bytes()

    status, _, err = call(verb, source, source, *WRITING[verb])

    assert status == 2
    assert "--force" in err
    assert Path(f"{source}.index").read_bytes() == before


@pytest.mark.parametrize("verb", WRITING)
def test_force_replaces_in_place_what_somebody_reads(call, source, verb):
    with fastckpt.read(source) as reader:
        view = reader["model/kernel"]

        status, _, err = call(verb, source, source, *WRITING[verb], "--force")

        np.testing.assert_array_equal(view, TENSORS["model/kernel"])
    assert (status, err) == (0, "")
    fastckpt.read(source).verify()


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda folder: folder / "model.ckpt-8", "model.ckpt-7"),
        (lambda folder: folder.parent / "rnu" / "model.ckpt-7", "there is no such folder"),
        (lambda folder: write(folder / "a.index", b"<!DOCTYPE html><html>"), "browser"),
        (
            lambda folder: write(
                folder / "b.index", b"version https://git-lfs.github.com/spec/v1\n"
            ),
            "git lfs pull",
        ),
        (lambda folder: folder.joinpath("model.ckpt-7.index").rename(folder / "c"), "mv "),
        (
            lambda folder: (
                folder.joinpath("model.ckpt-7.index").rename(folder / "model.ckpt-7.index.txt")
            ),
            "model.ckpt-7.index",
        ),
        (lambda folder: savez(folder / "weights.npz"), "numpy"),
    ],
    ids=["typo", "folder", "html", "lfs", "no_suffix", "txt", "npz"],
)
def test_wrong_path_is_told_what_to_type_instead(call, source, make, advice):
    path = make(Path(source).parent)

    for verb in ("ls", "verify"):
        status, out, err = call(verb, path)

        assert (status, out) == (2, "")
        assert "try: " in err
        assert advice.lower() in err.lower()


def savez(path):
    np.savez(path, a=np.zeros(3))
    return path


def write(path, data):
    path.write_bytes(data)
    return path


def test_missing_data_file_names_it(call, source):
    os.remove(f"{source}.data-00000-of-00001")

    status, _, err = call("show", source, "step")

    assert status == 2
    assert "data-00000-of-00001" in err and "missing" in err
