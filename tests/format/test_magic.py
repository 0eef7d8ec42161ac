"""Formats told by their first bytes, and names that a browser changed."""

import pytest
from places import GOLDEN
from strangers import STRANGERS

from fastckpt.format.magic import HEAD_SIZE, guess_format, recognise, strip_download_suffix


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("tf?_*/*[0-9x]"))[:40])
def test_file_of_a_checkpoint_is_no_stranger(path):
    content = path.read_bytes()

    if path.is_file() and content:
        assert recognise(content[:4096], len(content), path.name) is None


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("m.index.txt", "m.index"),
        ("m.index.download", "m.index"),
        ("m.index.crdownload", "m.index"),
        ("m.index.part", "m.index"),
        ("m (1).index", "m.index"),
        ("m.index (2)", "m.index"),
        ("m(3).index", "m.index"),
        ("m.ckpt-7 (1).index.txt", "m.ckpt-7.index"),
        ("checkpoint.txt", "checkpoint"),
        ("m.index", None),
        ("(1)", None),
        (".txt", None),
    ],
)
def test_name_that_a_browser_changed(name, original):
    assert strip_download_suffix(name) == original


@pytest.mark.parametrize("name", STRANGERS)
def test_format_is_told_by_the_first_bytes(name):
    content, words, _ = STRANGERS[name]

    kind = recognise(content[:HEAD_SIZE], len(content), name)

    assert words in kind.name
    assert kind.why and kind.todo.format(path="PATH", literal="'PATH'")


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 23, 40])
def test_any_beginning_is_looked_at_without_an_exception(length):
    for start in (
        b"\x80",
        b"\x0a",
        b"\x08",
        b"\x0a\xff",
        b"\x0a\x02\x0a",
        b"{",
        b"PK\x03\x04",
        b"\0\0",
    ):
        head = (start + bytes(40))[:length]
        recognise(head, length, "name")
        guess_format(head)


def test_empty_file_is_called_empty():
    assert recognise(b"", 0, "m.index").name == "an empty file"


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("tf1_saver/model.ckpt-40.index", "V2"),
        ("v1_plain/model.ckpt-2", "V1"),
        ("v1_sharded/model.ckpt-5-00000-of-00003", "V1"),
        ("tf1_saver/model.ckpt-40.meta", ""),
    ],
)
def test_table_is_told_by_its_first_record(case, expected):
    assert guess_format((GOLDEN / case).read_bytes()[:HEAD_SIZE]) == expected
