"""What is printed of a stranger's names: `str`, `repr` and HTML of everything public."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastckpt
from fastckpt import train

# Escape sequences, ends of lines, marks of direction, bytes that are not UTF-8, and advice
HOSTILE = (
    "\x1b]0;t\x07\x9b31m\u202e\u2066\u2028\n\r\x85\u200f\udcff\nhealthy (every byte verified)\n"
)
LETTERS = "a<&'\"\\/ \x1b\x07\x9b\n\r\x85\u2028\u202e\u061c\udcff"
NAMES = st.text(st.sampled_from(LETTERS), min_size=1)


def results(folder, name):
    """What functions return for tensors, files and variables with hostile names."""
    one, two = str(folder / "a"), str(folder / "b")
    file = name.replace("/", "|").replace("\0", "")
    fastckpt.write(one, {f"{name}w": np.zeros(20), f"{name}n": np.ones(50), "s": np.ones(3)})
    fastckpt.write(two, {f"{name}new": np.ones(40), f"{name}m": np.ones(50), "s": np.ones(4)})
    key = name.replace("\udcff", "?")  # the keys of objects are UTF-8
    tree = {"k": [np.ones(2), {f"{key}2": np.ones(1)}], f"{key}v": np.ones(3)}
    fastckpt.write_objects(folder / "o", tree)
    checkpoint, objects = fastckpt.read(one), fastckpt.read(folder / "o")
    yield from (checkpoint, objects.object_graph, objects.variables, fastckpt.tree(one))
    yield from (checkpoint.get_slice(f"{name}w"), *checkpoint.infos(), *objects.object_graph.nodes)
    yield from (fastckpt.diff(one, two), fastckpt.diff(one, two, values=True))
    yield from fastckpt.stats(one).values()
    yield from (fastckpt.doctor(one), fastckpt.doctor(folder), fastckpt.doctor(folder / file))
    target = {f"{name}new": np.zeros(40), f"{name}no": np.zeros(3), "s": np.zeros(9)}
    yield fastckpt.restore(target, two, strict=False)
    yield train.get_checkpoint_state(folder)
    with open(f"{one}.data-00000-of-00001", "r+b") as data:
        data.truncate(100)
    yield from (fastckpt.salvage(one, folder / "saved"), fastckpt.doctor(one, verify=True))
    yield from fastckpt.read(one).problems()


def errors(folder, name):
    """What functions raise about them."""
    two = str(folder / "b")
    calls = (
        lambda: fastckpt.read(two)[f"{name}x"],
        lambda: fastckpt.read(folder / f"{name}x".replace("\0", "")),
        lambda: fastckpt.load(two, [f"{name}x"]),
        lambda: fastckpt.rename(two, folder / "c", {f"{name}x": "y"}),
        lambda: fastckpt.rename(two, folder / "c", {"s": f"{name}m"}),
        lambda: fastckpt.subset(two, folder / "c", include=[f"x{name}"]),
        lambda: fastckpt.restore({f"{name}x": np.zeros(3)}, two),
        lambda: fastckpt.restore({f"{name}m": np.zeros((2, 2))}, two),
        lambda: fastckpt.write(folder / "c", {name: object()}),
        lambda: fastckpt.average([folder / "o", two], folder / "c"),
        lambda: train.load_variable(two, f"{name}x"),
    )
    for call in calls:
        with pytest.raises(Exception) as caught:  # noqa: PT011 (whichever it is, it is printed)
            call()
        yield caught.value


def drives_a_terminal(text):
    return {each for each in text if not (each.isprintable() or each == "\n")}


def check(value):
    html = getattr(value, "_repr_html_", str)()
    for text in (str(value), repr(value), html):
        assert not drives_a_terminal(text), (type(value), text)
        assert "healthy (every byte verified)" not in text.splitlines(), (type(value), text)


def prepare(folder):
    folder.joinpath("checkpoint").write_text('model_checkpoint_path: "x\\n\\nhealthy\\033[2J"\n')
    return folder


def test_nothing_that_is_printed_drives_a_terminal_or_forges_a_line(tmp_path):
    for value in results(prepare(tmp_path), HOSTILE):
        check(value)
    for error in errors(tmp_path, HOSTILE):
        check(error)


@given(NAMES)
@settings(max_examples=10, deadline=None)
def test_no_name_drives_a_terminal(tmp_path_factory, name):
    folder = prepare(tmp_path_factory.mktemp("names"))

    for value in results(folder, name):
        check(value)
    for error in errors(folder, name):
        check(error)
