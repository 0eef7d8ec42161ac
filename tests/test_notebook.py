"""What a notebook shows of checkpoints, trees, differences and objects; `to_pandas`."""

import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import fastckpt

HOSTILE = "</summary><script>alert(1)</script>\u202e&amp;"


class Fragment(HTMLParser):
    """The elements of some HTML, which all end, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.stack, self.text = [], [], ""
        self.feed(html)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text += data + "\n"


def write(tmp_path, tensors):
    fastckpt.write(tmp_path / "m", tensors)
    return fastckpt.read(tmp_path / "m")


def show(value):
    return Fragment(value._repr_html_())


def test_checkpoint_is_a_tree_that_folds_with_sizes(tmp_path):
    checkpoint = write(tmp_path, {"a/b/kernel": np.ones((2, 3)), "a/c": np.zeros(9, np.int8)})

    shown = show(checkpoint)

    assert [tag for tag, _ in shown.tags].count("details") == 3
    for words in (str(tmp_path / "m"), "2 tensors  57 B", "kernel", "float64 (2,3)  48 B"):
        assert words in shown.text
    assert shown.text == show(fastckpt.tree(tmp_path / "m")).text


@pytest.mark.parametrize("make", ["checkpoint", "diff"])
def test_names_are_text_and_nothing_else(tmp_path, make):
    checkpoint = write(tmp_path, {HOSTILE: np.ones(2)})
    fastckpt.write(tmp_path / "n", {"plain": np.zeros(2)})

    value = checkpoint if make == "checkpoint" else fastckpt.diff(checkpoint, tmp_path / "n")
    shown = show(value)

    assert {tag for tag, _ in shown.tags} <= {"details", "summary", "div", "span"}
    assert "<script>alert(1)<" in shown.text and "\u202e" not in shown.text


def test_many_tensors_are_a_short_fragment(tmp_path):
    tensors = {f"{i % 300}/{i}/x": np.zeros(1, np.int8) for i in range(20_000)}
    checkpoint = write(tmp_path, tensors)

    html = checkpoint._repr_html_()

    assert len(html) < 600_000
    assert "and 200 more" in html or "more" in html
    assert "20,000 tensors" in html


def test_deep_names_do_not_recurse_without_end(tmp_path):
    checkpoint = write(tmp_path, {"a/" * 5000 + "b": np.zeros(1)})

    assert "more" in show(checkpoint).text


def test_closed_and_broken_checkpoints_are_told_not_raised(tmp_path):
    checkpoint = write(tmp_path, {"a": np.ones(1)})
    checkpoint.close()

    assert "closed" in show(checkpoint).text


def test_real_checkpoints_are_shown(golden):
    for path in ("v1_plain/model.ckpt-3", "tf1_sharded/model.ckpt-7", "tf2_keras3/keras"):
        with fastckpt.read(golden / path) as checkpoint:
            shown = show(checkpoint)
            assert path in shown.text
            for name in checkpoint:
                assert name.split("/")[-1] in shown.text


def test_object_graph_is_shown_as_it_is_printed(golden):
    graph = fastckpt.read(golden / "tf2_keras3" / "keras").object_graph

    shown = show(graph)

    for printed in str(graph).splitlines()[1:]:
        assert printed in shown.text


def test_diff_shows_what_differs_open_and_what_is_the_same_closed(tmp_path):
    fastckpt.write(tmp_path / "a", {"x": np.ones(3), "y": np.ones(9), "z": np.arange(30)})
    fastckpt.write(tmp_path / "b", {"x": np.ones(3), "y": np.zeros(9), "w": np.arange(30)})

    shown = show(fastckpt.diff(tmp_path / "a", tmp_path / "b"))

    details = [attrs for tag, attrs in shown.tags if tag == "details"]
    assert ["open" in attrs for attrs in details] == [True, True, False]
    assert "renamed" in shown.text and "changed" in shown.text and "same" in shown.text


def test_diff_of_nothing_says_so(tmp_path):
    fastckpt.write(tmp_path / "a", {})

    assert "no tensors" in show(fastckpt.diff(tmp_path / "a", tmp_path / "a")).text


# ---- pandas


def test_frame_has_a_row_for_each_tensor(golden):
    with fastckpt.read(golden / "tf1_partitioned" / "model.ckpt") as checkpoint:
        frame = checkpoint.to_pandas()
        infos = checkpoint.infos()

    assert list(frame.index) == [info.name for info in infos]
    for info in infos:
        row = frame.loc[info.name]
        assert (row["dtype"], row["shape"], row["nbytes"]) == (
            info.tf_dtype,
            info.shape,
            info.nbytes,
        )
        assert row["count"] == np.prod(info.shape, dtype=int)
        assert row["slices"] == len(info.slices)
        found = frame.isna().loc[info.name, ["shard", "offset", "crc32c"]]
        assert list(found) == [each is None for each in (info.shard, info.offset, info.crc32c)]
        if info.crc32c is not None:
            assert row["crc32c"] == info.crc32c


def test_frame_of_a_v1_checkpoint_and_of_an_empty_one(golden, tmp_path):
    assert len(fastckpt.read(golden / "v1_plain" / "model.ckpt-3").to_pandas()) > 0
    assert len(write(tmp_path, {}).to_pandas()) == 0


def test_frame_reads_no_tensor(tmp_path):
    checkpoint = write(tmp_path, {"a": np.ones(3)})
    (tmp_path / "m.data-00000-of-00001").unlink()

    assert list(checkpoint.to_pandas()["nbytes"]) == [24]


def test_without_pandas_the_error_says_what_to_type(tmp_path, monkeypatch):
    checkpoint = write(tmp_path, {"a": np.ones(3)})
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ImportError, match=r"python -m pip install pandas"):
        checkpoint.to_pandas()
