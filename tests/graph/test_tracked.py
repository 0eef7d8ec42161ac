"""Objects of a graph: which are optimizers, and how paths are spelt in a line."""

import pytest
from object_graphs import child, graph_of, slot, variable

from fastckpt.graph.tracked import clip_name, is_optimizer, spell_path


@pytest.mark.parametrize(
    ("name", "message", "expected"),
    [
        ("optimizer", b"", True),
        ("_optimizer", b"", True),
        ("opt", b"", False),
        ("opt", slot(1, 2), True),
        ("opt", child(1, "iter") + child(2, "learning_rate"), True),
        ("opt", child(1, "_iterations") + child(2, "_learning_rate"), True),
        ("opt", child(1, "iterations"), False),
        ("opt", child(1, "learning_rate"), False),
        ("optimizer", variable("v"), False),
    ],
)
def test_optimizer_is_known_by_slots_name_or_children(name, message, expected):
    graph = graph_of(message, variable("a"), variable("b"))

    assert is_optimizer(name, graph.root) is expected


def test_path_is_cut_at_its_beginning():
    nodes = [child(number + 1, f"n{number}") for number in range(100)]
    graph = graph_of(*nodes, b"", b"")

    assert spell_path(graph.root) == "root"
    assert spell_path(graph.nodes[2]) == "n0/n1"
    assert spell_path(graph.nodes[100]) == ".../" + "/".join(f"n{n}" for n in range(50, 100))
    assert spell_path(graph.nodes[101]) == "object 101"
    assert repr(graph.nodes[2]) == "<TrackedObject 2: n0/n1>"
    assert graph.nodes[101].path is None


@pytest.mark.parametrize(
    ("name", "clipped"),
    [("a b", "a b"), ("", "''"), ("a\nb", "'a\\nb'"), ("x" * 101, "x" * 97 + "...")],
)
def test_name_in_a_line_is_short_and_printable(name, clipped):
    assert clip_name(name) == clipped
