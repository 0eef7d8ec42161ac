"""The HTML report: what is in the page, and that nothing in a checkpoint becomes markup."""

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import fastckpt

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "{data}{script_hash}",
    "&lt;b&gt;",
    "right\u202eto left",
    "not\udcffunicode",
    "\u2028\u2029",
]


class Page(HTMLParser):
    """The elements of a page, and the text of those that hold no markup."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.raw = {}
        self.policy = self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside = dict(attrs).get("id", tag)
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"]

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside:
            self.raw[self.inside] = self.raw.get(self.inside, "") + data

    @property
    def facts(self):
        return json.loads(self.raw["data"])


def make_report(tmp_path, tensors, other=None, **options):
    fastckpt.write(tmp_path / "m", tensors)
    if other is not None:
        fastckpt.write(tmp_path / "other", other)
        options["other"] = tmp_path / "other"
    fastckpt.report(tmp_path / "m", tmp_path / "m.html", **options)
    return Page((tmp_path / "m.html").read_text("utf-8"))


def test_page_allows_its_own_style_and_script_and_nothing_else(tmp_path):
    page = make_report(tmp_path, {"a": np.ones(3)})

    hashes = {
        kind: base64.b64encode(hashlib.sha256(page.raw[kind].encode()).digest()).decode()
        for kind in ("style", "script")
    }
    assert page.policy == (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'"
    )


def test_page_names_nothing_that_would_be_fetched(tmp_path):
    page = make_report(tmp_path, {"a": np.ones(3)})

    assert not [tag for tag, attrs in page.tags if {"src", "href", "action"} & attrs.keys()]
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp|innerHTML", str(page.raw))


@pytest.mark.parametrize("name", HOSTILE)
def test_name_stays_inside_the_data(tmp_path, name):
    harmless = make_report(tmp_path, {"a": np.ones(3)})

    page = make_report(tmp_path, {name: np.ones(3)}, other={name: np.zeros(3)})

    assert page.tags == harmless.tags
    assert page.raw["script"] == harmless.raw["script"]
    assert [row[0] for row in page.facts["tensors"]] == [name]
    assert page.facts["diff"]["entries"][0][1] == name


def test_path_with_markup_is_text(tmp_path):
    folder = tmp_path / "<b>&"
    folder.mkdir()
    fastckpt.write(folder / "<i>m", {"a": np.ones(1)})

    fastckpt.report(folder / "<i>m", tmp_path / "out.html")

    text = (tmp_path / "out.html").read_text("utf-8")
    assert "<i>" not in text and "<title>&lt;i&gt;m</title>" in text
    assert Page(text).facts["path"] == str(folder / "<i>m")


def test_rows_have_what_stats_finds(tmp_path):
    tensors = {
        "half": np.array([1, np.nan, np.inf, 0], np.float16),
        "big": np.array([2**63 - 1], np.int64),
        "text": np.array([b"ab", b""], object),
        "none": np.zeros((0, 3), np.float32),
    }

    page = make_report(tmp_path, tensors)

    rows = {row[0]: row[1:] for row in page.facts["tensors"]}
    dtypes = page.facts["dtypes"]
    for name, found in fastckpt.stats(tmp_path / "m").items():
        dtype, shape, nbytes, count, low, high, _, _, nans, infs, zeros, bins = rows[name]
        assert (dtypes[dtype], tuple(shape), nbytes) == (found.dtype, found.shape, found.nbytes)
        assert (count, nans, infs, zeros) == (found.count, found.nans, found.infs, found.zeros)
        assert (bins is None) == (found.histogram is None)
        assert low in (found.min, str(found.min)) and high in (found.max, str(found.max))
    assert rows["big"][5] == str(2**63 - 1), "JavaScript has no such number"


def test_histograms_are_of_the_largest_tensors(tmp_path, monkeypatch):
    from fastckpt.analysis import report as html_report

    monkeypatch.setattr(html_report, "_HISTOGRAMS", 2)
    tensors = {f"t{i}": np.arange(float(i + 1)) for i in range(4)}

    page = make_report(tmp_path, tensors)

    assert [row[0] for row in page.facts["tensors"] if row[-1]] == ["t2", "t3"]
    assert page.facts["histograms"] == 2


def test_differences_are_those_of_diff(tmp_path):
    first = {"same": np.ones(2), "gone": np.zeros(5), "old": np.arange(7.0), "other": np.ones(3)}
    second = {
        "same": np.ones(2),
        "new": np.arange(7.0),
        "other": np.array([1, 2, 1.0]),
        "added": np.full(3, 9),
    }

    page = make_report(tmp_path, first, other=second)

    assert page.facts["diff"] == {
        "path": str(tmp_path / "other"),
        "same": 1,
        "entries": [
            ["changed", "other", "values differ by up to 1"],
            ["renamed", "old", "is new in the other one"],
            ["removed", "gone", "is not in the other one"],
            ["added", "added", "is only in the other one"],
        ],
    }


def test_same_checkpoint_gives_the_same_page(tmp_path):
    make_report(tmp_path, {"a": np.ones(3), "b": np.arange(1000.0)})
    before = (tmp_path / "m.html").read_bytes()

    fastckpt.report(fastckpt.read(tmp_path / "m"), tmp_path / "m.html", threads=2)

    assert (tmp_path / "m.html").read_bytes() == before


@pytest.mark.parametrize(
    "name",
    ["v1_strings/model.ckpt", "tf1_partitioned/model.ckpt", "tf2_empty/zero", "tf2_keras3/keras"],
)
def test_real_checkpoint_has_a_report(golden, tmp_path, name):
    fastckpt.report(golden / name, tmp_path / "r.html")

    page = Page((tmp_path / "r.html").read_text("utf-8"))
    assert [row[0] for row in page.facts["tensors"]] == list(fastckpt.read(golden / name))


def test_damaged_checkpoint_leaves_the_old_report(tmp_path):
    make_report(tmp_path, {"a": np.ones(300)})
    before = sorted(os.listdir(tmp_path))
    data = tmp_path / "m.data-00000-of-00001"
    data.write_bytes(b"x" + data.read_bytes()[1:])
    (tmp_path / "m.html").write_text("old")

    with pytest.raises(fastckpt.ChecksumError):
        fastckpt.report(tmp_path / "m", tmp_path / "m.html")

    assert (tmp_path / "m.html").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == before


def test_page_is_small_for_many_tensors(tmp_path):
    tensors = {f"layer/{i}": np.full(3, i, np.float32) for i in range(20_000)}

    page = make_report(tmp_path, tensors)

    assert (tmp_path / "m.html").stat().st_size < 200 * len(tensors) + 200 * 5000 + 100_000
    assert sum(row[-1] is not None for row in page.facts["tensors"]) == 5000
