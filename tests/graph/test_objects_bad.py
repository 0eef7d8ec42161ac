"""Object graphs that are broken."""

import sys
import time
import tracemalloc

import numpy as np
import pytest
from object_graphs import checkpoint_of, child, field, graph_of, slot, variable
from places import GOLDEN

import fastckpt
from fastckpt.errors import FormatError
from fastckpt.graph.objects import (
    GRAPH_KEY,
    decode_graph,
    read_object_graph,
    read_variables,
)

# ---- Bad input


@pytest.mark.parametrize("number", [-1, 2, 3, 1 << 31, (1 << 63) - 1])
@pytest.mark.parametrize(
    "node",
    [
        lambda number: child(number),
        lambda number: slot(number, 1),
        lambda number: slot(1, number),
        lambda number: child(1) + child(number),
    ],
)
def test_id_without_an_object_is_a_format_error(node, number):
    with pytest.raises(FormatError, match=f"ckpt: object graph at .* 2 objects, got {number}"):
        graph_of(node(number), b"")


def test_graph_without_objects_is_a_format_error():
    with pytest.raises(FormatError, match="expected a root object"):
        decode_graph(b"", "ckpt")


def test_graph_cut_at_every_byte_is_a_format_error_or_a_smaller_graph():
    whole = fastckpt.read(GOLDEN / "tf2_slot_variables" / "obj")[GRAPH_KEY].item()
    graphs = errors = 0

    for size in range(len(whole)):
        try:
            assert len(decode_graph(whole[:size], "ckpt").nodes) < 7
            graphs += 1
        except FormatError:
            errors += 1

    assert (graphs, errors) == (0, len(whole))  # ids of later nodes are missing


def test_graph_with_every_byte_changed_never_fails_otherwise():
    whole = fastckpt.read(GOLDEN / "tf2_slot_variables" / "obj")[GRAPH_KEY].item()
    outcomes = set()

    for at in range(len(whole)):
        for value in (0, 1, 0x7F, 0x80, 0xFF, whole[at] ^ 0x04):
            data = whole[:at] + bytes([value]) + whole[at + 1 :]
            try:
                graph = decode_graph(data, "ckpt")
                assert str(graph) and isinstance(graph.variables(), dict)
                graph.full_names()
                outcomes.add("read")
            except FormatError as error:
                assert "object graph" in str(error)
                outcomes.add("refused")

    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize(
    "array", [np.float32(1), np.array([b""], object), np.zeros((2, 2)), np.array(b"x")]
)
def test_graph_that_is_no_string_scalar_is_a_format_error(array):
    checkpoint = checkpoint_of({GRAPH_KEY: np.asarray(array)})

    with pytest.raises(FormatError, match="ckpt: tensor .*: expected a string scalar"):
        read_object_graph(checkpoint)
    with pytest.raises(FormatError):
        read_variables(checkpoint)


def test_paths_much_longer_than_the_graph_are_a_format_error():
    count = 20_000  # variables in a chain: as paths, 200 million names
    nodes = [child(i + 1) + variable("k") for i in range(count)]

    with pytest.raises(FormatError, match="expected paths of at most"):
        graph_of(*nodes, b"")


def test_long_name_of_a_slot_with_many_attributes_is_a_format_error():
    many = b"".join(variable("k", str(i)) for i in range(5000))

    with pytest.raises(FormatError, match="expected paths of at most"):
        graph_of(child(1) + slot(1, 2, "m" * 100_000), variable("v"), many)


@pytest.mark.parametrize("name", ["x", ""])
def test_deep_chain_is_read_in_linear_time_and_printed_in_short(name):
    count = 100_000
    nodes = [child(i + 1, name) + child(count, f"last{i}") for i in range(count)]

    start = time.perf_counter()
    graph = graph_of(*nodes, variable("k"))
    text = str(graph)
    took = time.perf_counter() - start

    assert took < 30
    assert graph.variables() == {"last0": "k"}
    assert len(text.splitlines()) == 1001
    assert max(map(len, text.splitlines())) < 7000
    assert text.endswith(f"... {count + 1} objects in all")
    assert len(repr(graph.nodes[count - 1])) < 1000


def test_very_many_children_are_read():
    children = b"".join(child(1, str(i)) for i in range(200_000))

    graph = graph_of(children, b"")

    assert len(graph.root.children) == 200_000
    assert graph.nodes[1].path == "0"
    assert len(str(graph).splitlines()) == 1001


@pytest.mark.parametrize(
    "data",
    [
        field(1, b"") * 30_000,
        field(1, b"\x0a\x00" * 30_000),
        field(1, b"\x12\x00" * 30_000),
        field(1, b"\x1a\x00" * 30_000),
    ],
    ids=["nodes", "children", "attributes", "slots"],
)
def test_memory_is_a_bounded_multiple_of_the_smallest_messages(data):
    tracemalloc.start()

    try:
        decode_graph(data, "ckpt")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    limit = 100 if sys.version_info >= (3, 11) else 150  # empty dicts and lists were larger
    assert peak < limit * len(data)
