"""Formats told by their first bytes, and names that a browser changed."""

import pytest
from places import GOLDEN

from fastckpt.format.magic import recognise, strip_download_suffix


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
