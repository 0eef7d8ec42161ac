"""What rename, subset, alias and reshard refuse, and that nothing changes by it."""

import errno
import os
import shutil

import pytest
from renaming import EDITS, LINKING, save, shards_of, snapshot
from slice_keys import slice_key

import fastckpt
from fastckpt.edit import rename as edit

# ---- refused, and nothing changed


@pytest.mark.parametrize(
    "rules",
    [
        {"emb": "text"},
        {"emb": "x", "text": "x"},
        [("model/.*", "x")],
        lambda name: "x",
    ],
)
def test_two_tensors_with_one_name_are_refused(source, target, rules):
    before = snapshot(target.parent)

    with pytest.raises(ValueError, match="tensors '.*' and '.*' would both be called"):
        edit.rename(source, target, rules)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ({"emb": ""}, ValueError),
        ({"emb": "\ud800"}, ValueError),
        ({"emb": 5}, TypeError),
        ([("(", "x")], ValueError),
        ([("a", r"\1")], ValueError),
        ([("a",)], TypeError),
        ("ab", TypeError),
        (5, TypeError),
        (None, TypeError),
        (lambda name: name.encode(), TypeError),
        (lambda name: None, ValueError),
        ({"embb": "x"}, fastckpt.TensorNotFoundError),
    ],
)
def test_rules_that_cannot_be_are_refused(source, target, rules, error):
    before = snapshot(target.parent)

    with pytest.raises(error):
        edit.rename(source, target, rules)

    assert snapshot(target.parent) == before


def test_name_that_is_the_key_of_a_slice_is_refused(source, target):
    key = slice_key(b"emb", ((0, 2), (0, 4))).decode("utf-8", "surrogateescape")
    before = snapshot(target.parent)

    with pytest.raises(ValueError, match="twice"):
        edit.rename(source, target, {"text": key})

    assert snapshot(target.parent) == before


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"include": "modell/*"}, ValueError),
        ({"include": ["model/*", "none"]}, ValueError),
        ({"exclude": "none"}, ValueError),
        ({"exclude": "*"}, ValueError),
        ({"include": "text", "exclude": "te?t"}, ValueError),
        ({"include": []}, ValueError),
        ({"include": 5}, TypeError),
        ({"exclude": [b"text"]}, TypeError),
    ],
)
def test_globs_that_match_or_leave_nothing_are_refused(source, target, options, error):
    before = snapshot(target.parent)

    with pytest.raises(error):
        edit.subset(source, target, **options)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize(
    ("names", "error"),
    [
        ({"x": "none"}, fastckpt.TensorNotFoundError),
        ({"text": "emb"}, ValueError),
        ({"text": "text"}, ValueError),
        ({"": "text"}, ValueError),
        ({5: "text"}, TypeError),
        ({"x": 5}, TypeError),
        ([("x", "text")], TypeError),
    ],
)
def test_aliases_that_cannot_be_are_refused(source, target, names, error):
    before = snapshot(target.parent)

    with pytest.raises(error):
        edit.alias(source, target, names)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("options", [{"num_shards": 0}, {"num_shards": 1, "alignment": 0}])
def test_files_that_cannot_be_are_refused(source, target, options):
    before = snapshot(target.parent)

    with pytest.raises(ValueError, match="1 or more"):
        edit.reshard(source, target, **options)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("verb", EDITS)
def test_missing_source_is_file_not_found(source, target, verb):
    before = snapshot(target.parent)

    with pytest.raises(FileNotFoundError, match="did you mean"):
        EDITS[verb](source.with_name("ss"), target)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("verb", EDITS)
def test_missing_data_file_is_file_not_found(source, target, verb):
    with fastckpt.read(source) as checkpoint:
        os.unlink(shards_of(source)[checkpoint.info("model/kernel").shard])
    before = snapshot(target.parent)

    with pytest.raises(FileNotFoundError, match="is missing"):
        EDITS[verb](source, target)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("verb", EDITS)
def test_data_file_that_is_too_short_is_a_format_error(source, target, verb):
    with fastckpt.read(source) as checkpoint:
        info = checkpoint.info("model/kernel")
    os.truncate(shards_of(source)[info.shard], info.offset + info.nbytes - 1)
    before = snapshot(target.parent)

    with pytest.raises(fastckpt.FormatError, match="data-0000.-of-00003"):
        EDITS[verb](source, target)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("verb", EDITS)
@pytest.mark.parametrize("offset", [5, -1, -60])
def test_damaged_index_is_a_checkpoint_error(source, target, verb, offset):
    index = source.with_suffix(".index")
    data = bytearray(index.read_bytes())
    data[offset] ^= 0xFF
    index.write_bytes(data)
    before = snapshot(target.parent)

    with pytest.raises(fastckpt.CheckpointError, match="s.index"):
        EDITS[verb](source, target)

    assert snapshot(target.parent) == before


def test_broken_checkpoints_never_fail_otherwise(golden, tmp_path):
    indexes = sorted(golden.glob("corrupt/*/*.index"))
    assert len(indexes) > 30

    for index in indexes:
        for verb in ("rename", "reshard"):
            try:
                EDITS[verb](index.with_suffix(""), tmp_path / "out")
            except (fastckpt.CheckpointError, OSError, ValueError):
                assert not list(tmp_path.glob("out.*.tmp-*"))


@pytest.mark.parametrize("name", ["fsync", "link", "replace", "write"])
@pytest.mark.parametrize("verb", LINKING)
def test_error_of_the_system_leaves_what_was_there(source, target, monkeypatch, verb, name):
    def refuse(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = snapshot(target.parent)
    monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(shutil, "copyfileobj", refuse)

    with pytest.raises(OSError, match="No space left"):
        EDITS[verb](source, target)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("verb", ["reshard", "subset"])
def test_wrong_byte_is_found_where_bytes_are_copied(source, target, verb):
    with fastckpt.read(source) as checkpoint:
        info = checkpoint.info("model/kernel")
    with open(shards_of(source)[info.shard], "r+b") as file:
        file.seek(info.offset)
        file.write(b"\x7f")
    before = snapshot(target.parent)

    with pytest.raises(fastckpt.ChecksumError, match="model/kernel"):
        EDITS[verb](source, target, **({"link": False} if verb == "subset" else {}))

    assert snapshot(target.parent) == before


def test_open_checkpoint_that_was_saved_again_is_refused(source, out):
    with fastckpt.read(source) as checkpoint:
        for name in checkpoint:
            checkpoint[name]
        save(source)

        with pytest.raises(fastckpt.CheckpointError, match="read it anew"):
            edit.rename(checkpoint, out, {"emb": "x"})

    assert not os.path.exists(f"{out}.index")
