"""The tree of the names of tensors: what it counts, its text, and the limits of its HTML."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastckpt.format._record import make_info
from fastckpt.name_tree import TensorTree, grow_tree


@pytest.fixture(scope="module")
def info():
    """The description of a float32 of shape (2, 3) by its name."""
    return lambda name: make_info(name, 1, (2, 3), 24, 0, 0, 0, ())


def walk(tree):
    yield tree
    for child in tree.children.values():
        yield from walk(child)


def test_node_counts_the_tensors_at_it_and_below(info):
    tree = grow_tree("root", map(info, ["a", "a/b", "a/c/d", "e"]))

    assert (tree.name, tree.count, tree.nbytes, tree.tensor) == ("root", 4, 96, None)
    assert list(tree.children) == ["a", "e"]
    branch = tree.children["a"]
    assert (branch.count, branch.nbytes, branch.tensor.name) == (3, 72, "a")
    assert branch.children["c"].tensor is None
    assert branch.children["c"].children["d"].tensor.name == "a/c/d"
    assert repr(branch) == "<TensorTree 'a': tensors: 3, bytes: 72>"


def test_tree_without_tensors_is_a_root(info):
    tree = grow_tree("root", [])

    assert (tree.count, tree.nbytes, tree.children) == (0, 0, {})
    assert str(tree) == "root  0 B"


@settings(deadline=None)
@given(st.sets(st.text("ab/", max_size=8), max_size=12))
def test_sums_of_the_children_are_those_of_the_node(info, names):
    tree = grow_tree("root", map(info, sorted(names)))

    assert tree.count == len(names)
    assert {node.tensor.name for node in walk(tree) if node.tensor} == names
    for node in walk(tree):
        below = sum(child.count for child in node.children.values())
        assert node.count == below + (node.tensor is not None)
        assert node.nbytes == 24 * node.count


def test_text_is_indented_and_has_sizes(info):
    assert str(grow_tree("root", map(info, ["a", "a/b"]))).splitlines() == [
        "root  2 tensors  48 B",
        "  a  float32 (2,3)  2 tensors  48 B",
        "    b  float32 (2,3)  24 B",
    ]


@pytest.mark.parametrize(("depth", "shown"), [(0, 1), (1, 2), (2, 3), (3, 4), (9, 4), (None, 4)])
def test_depth_limits_the_lines(info, depth, shown):
    assert len(list(grow_tree("root", [info("a/b/c")]).lines(depth))) == shown


def test_names_that_do_not_print_are_escaped(info):
    text = str(grow_tree("\x1b[31m", [info("a\nb/\u202e")]))

    assert len(text.splitlines()) == 3
    assert text.isascii() and text.replace("\n", "").isprintable()


def test_name_of_many_parts_stays_in_one_piece_at_the_end(info):
    nodes = list(walk(grow_tree("root", [info("/".join("x" * 5000))])))

    assert len(nodes) == 102
    assert nodes[-1].name == "/".join("x" * 4900)


def test_html_shows_the_first_children_and_counts_the_rest(info):
    html = grow_tree("root", [info(f"v{number:03d}") for number in range(250)])._repr_html_()

    assert "v099" in html and "v100" not in html
    assert "150 more" in html


def test_html_has_a_limit_of_rows_in_all(info):
    names = [f"{a}/{b}/{c}" for a in range(60) for b in range(60) for c in "xy"]

    html = grow_tree("root", map(info, names))._repr_html_()

    assert 1000 < html.count("float32") + html.count("<summary") < 2100


def test_html_of_names_is_text():
    assert "<b>" not in TensorTree("<b>")._repr_html_()
