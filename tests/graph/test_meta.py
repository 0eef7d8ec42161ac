"""Graphs: `read_meta`."""

import pytest
from graph_files import describe
from hypothesis import given, settings
from hypothesis import strategies as st

import fastckpt
from fastckpt import read_meta
from fastckpt.errors import FormatError, UnsupportedError
from fastckpt.format._message_encoder import encode
from fastckpt.graph.meta import SaverDef
from fastckpt.graph.schema import GRAPH, META_GRAPH, NODE, SAVED_MODEL

# ---- Bad input ----


@pytest.mark.parametrize("name", ["tf1_saver/model.ckpt-40.meta", "v1_plain/model.ckpt-2.meta"])
def test_graph_cut_at_every_byte_raises_format_error_or_keeps_its_nodes(golden, tmp_path, name):
    data = (golden / name).read_bytes()
    names = [node.name for node in read_meta(golden / name).nodes]
    cut = tmp_path / "cut.meta"
    opened = 0

    for size in range(len(data)):
        cut.write_bytes(data[:size])
        try:
            found = describe(read_meta(cut))
        except FormatError as error:
            assert str(cut) in str(error)
        else:
            opened += 1
            assert [node[0] for node in found["nodes"]] == names

    assert 0 < opened < len(data) // 10  # between the fields after the graph


@given(st.binary(max_size=200))
def test_random_bytes_are_no_graph_or_decode(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "random.meta"
    path.write_bytes(data)

    try:
        describe(read_meta(path))
    except (FormatError, UnsupportedError) as error:
        assert str(path) in str(error)


@given(st.lists(st.tuples(st.integers(0, 6602), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=300)
def test_changed_bytes_of_a_graph_decode_or_raise(golden, tmp_path_factory, changes):
    data = bytearray((golden / "tf1_saver/model.ckpt-40.meta").read_bytes())
    for place, value in changes:
        data[place] = value
    path = tmp_path_factory.getbasetemp() / "changed.meta"
    path.write_bytes(data)

    try:
        describe(read_meta(path))
    except (FormatError, UnsupportedError) as error:
        assert str(path) in str(error)


def test_empty_file_is_no_graph(tmp_path):
    path = tmp_path / "empty.meta"
    path.write_bytes(b"")

    with pytest.raises(FormatError, match="expected a GraphDef, got none"):
        read_meta(path)


@pytest.mark.parametrize(
    "text",
    [
        b'meta_info_def {\n  tensorflow_version: "1.15.5"\n}\n',
        b"\n# written by hand\n  graph_def { node { name: 'a' } }",
        b"saved_model_schema_version: 1 meta_graphs {}",
    ],
)
def test_text_format_is_refused_by_name(tmp_path, text):
    path = tmp_path / "text.meta"
    path.write_bytes(text)

    with pytest.raises(UnsupportedError, match="expected a binary file, got text format"):
        read_meta(path)


def test_saved_model_without_a_graph_raises_format_error(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(encode(SAVED_MODEL, {"version": 1}))

    with pytest.raises(FormatError, match="expected a MetaGraphDef, got none"):
        read_meta(tmp_path)


# ---- Reading ----


def test_graph_in_two_pieces_is_one(tmp_path):
    graphs = [encode(GRAPH, {"nodes": [encode(NODE, {"name": name})]}) for name in "ab"]
    path = tmp_path / "g.meta"
    path.write_bytes(encode(META_GRAPH, {"graphs": graphs}))

    assert [node.name for node in read_meta(path).nodes] == ["a", "b"]


def test_graph_of_a_saver_tells_its_variables(golden):
    meta = read_meta(golden / "tf1_saver/model.ckpt-40")

    weights, bias = meta.variables[:2]

    assert (weights.name, weights.checkpoint_name) == ("w:0", "w")
    assert (weights.dtype, weights.shape, weights.is_resource) == ("float32", (4, 3), False)
    assert weights.initial_value_name == "w/initial_value:0"
    assert weights.collections == ("variables", "trainable_variables")
    assert (bias.name, bias.is_resource, bias.shape) == ("b:0", True, (3,))
    assert meta.saver_def == SaverDef()
    assert (meta.tensorflow_version, meta.versions.producer) == ("1.15.5", 134)
    names = meta.node("save/SaveV2/tensor_names").attrs["value"].tolist()
    assert sorted(each.checkpoint_name.encode() for each in meta.variables) == names


@pytest.mark.parametrize(
    "name",
    [
        "tf1_saver/model.ckpt-80.meta",
        "v1_plain/model.ckpt-3.meta",
        "tf1_saved_model/model/saved_model.pb",
        "tf2_saved_model/model/saved_model.pb",
        "tf2_keras3_export/model/saved_model.pb",
    ],
)
def test_golden_graph_says_what_tensorflow_reads_in_it(golden, graph_oracle, name):
    expected = graph_oracle.facts(golden / name)

    found = describe(read_meta(golden / name))

    assert found == expected


def test_graph_of_many_kinds_says_what_tensorflow_reads_in_it(graph_oracle, tmp_path):
    path = tmp_path / "model.meta"
    graph_oracle.export(path, tmp_path / "model")

    meta = read_meta(path)

    assert describe(meta) == graph_oracle.facts(path)
    first, second = (each for each in meta.variables if each.full_name == "parts")
    assert (first.name, second.name) == ("parts/part_0:0", "parts/part_1:0")
    assert (second.checkpoint_name, second.full_shape) == ("parts", (5, 2))
    assert (second.var_offset, second.var_shape, second.shape) == ((3, 0), (2, 2), (2, 2))
    names = {each.checkpoint_name for each in meta.variables if "variables" in each.collections}
    assert names == set(fastckpt.read(tmp_path / "model"))
    assert meta.collections["numbers"] == [7]
    assert meta.collections["floats"] == [2.5]
    assert meta.node("half_known").attrs["shape"] == (-1, 3)
