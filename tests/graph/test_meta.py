"""Graphs: `read_meta`, and the `.meta` that a saver writes."""

import math
import re

import numpy as np
import pytest
from graph_oracle import GraphOracle
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import from_bytes, numpy_dtype, to_tensor

import fastckpt
from fastckpt import read_meta
from fastckpt.errors import FormatError, UnsupportedError
from fastckpt.format._message import encode
from fastckpt.format.dtypes import by_number
from fastckpt.graph.meta import SaverDef, encode_meta
from fastckpt.graph.nodes import Function
from fastckpt.graph.schema import (
    ATTRIBUTE,
    CALL,
    GRAPH,
    META_GRAPH,
    NODE,
    SAVED_MODEL,
    SHAPE,
    TENSOR,
    TENSOR_HEADER,
)
from fastckpt.v1.writer import write_v1

DTYPES = {by_number(number).name: by_number(number) for number in range(1, 34)}
LEGAL = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_./-]*")
NOT_HELD = {"qint16", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"}
RESOURCES = {
    *("uint32", "uint64", "float8_e5m2", "float8_e4m3fn"),
    *("int4", "uint4", "int2", "uint2", "float4_e2m1fn"),
}


@pytest.fixture(scope="session")
def graph_oracle(oracle):
    """TensorFlow, asked about graphs."""
    with_tensorflow = GraphOracle(oracle.python)
    yield with_tensorflow
    with_tensorflow.close()


def describe(meta):
    """Everything that a graph says, in the form of `GraphOracle.facts`: decodes all of it."""
    saver = meta.saver_def
    return {
        "nodes": [
            (node.name, node.op, node.inputs, node.device, describe_attributes(node.attrs))
            for node in meta.nodes
        ],
        "collections": dict(meta.collections),
        "variables": {
            each.name: (
                {
                    name: getattr(each, name)
                    for name in (
                        *("initial_value_name", "initializer_name", "snapshot_name", "trainable"),
                        *("is_resource", "full_name", "full_shape", "var_offset", "var_shape"),
                    )
                },
                list(each.collections),
            )
            for each in meta.variables
        },
        "signatures": {
            name: (describe_specs(each.inputs), describe_specs(each.outputs), each.method_name)
            for name, each in meta.signatures.items()
        },
        "saver_def": saver is not None
        and {name: getattr(saver, name) for name in SaverDef.__dataclass_fields__},
        "versions": (meta.versions.producer, meta.versions.min_consumer),
        "tags": list(meta.tags),
        "tensorflow_version": meta.tensorflow_version,
        "functions": list(meta.functions),
        "assets": dict(meta.assets),
    }


def describe_attributes(attributes):
    return {name: describe_value(value) for name, value in attributes.items()}


def describe_value(value):
    if isinstance(value, list):
        return [describe_value(item) for item in value]
    if isinstance(value, np.ndarray):  # of one value there may be more than memory can hold
        return ("tensor", *to_tensor(value if value.size < 2**20 else value[:0]))
    if isinstance(value, Function):
        return ("func", value.name, describe_attributes(value.attrs))
    return value


def describe_specs(specs):
    return {key: (spec.name, spec.dtype, spec.shape) for key, spec in specs.items()}


def write_graph(path, nodes, **fields):
    """Write a `.meta` of encoded nodes."""
    graph = encode(GRAPH, {"nodes": nodes})
    path.write_bytes(encode(META_GRAPH, {"graphs": [graph], **fields}))
    return path


def read_attribute(path, value, message=ATTRIBUTE):
    """Read an attribute back that was written alone into a graph."""
    node = encode(NODE, {"name": "n", "attributes": {"value": encode(message, value)}})
    return read_meta(write_graph(path / "g.meta", [node])).node("n").attrs["value"]


def encode_tensor(dtype, dims, **fields):
    shape = encode(SHAPE, {"dims": [{"size": size} for size in dims]})
    message = TENSOR_HEADER if "content" in fields else TENSOR
    return {"tensor": encode(message, {"dtype": dtype, "shape": shape, **fields})}


def rows(values):
    """What `encode_meta` takes, of a mapping of values."""
    named = sorted((name, np.asarray(value)) for name, value in values.items())
    return [(name, dtype_of(array), array.shape) for name, array in named]


def dtype_of(array):
    return DTYPES["string" if array.dtype == object else array.dtype.name]


def save(prefix, values, saver_def=None):
    """Save as `Saver` does; return the path to restore from."""
    saver_def = saver_def or SaverDef()
    path = str(prefix)
    if saver_def.version == SaverDef.V1:
        path = write_v1(path, values, num_shards=1 if saver_def.sharded else None)
    else:
        fastckpt.write(path, values)
    (prefix.parent / (prefix.name + ".meta")).write_bytes(encode_meta(rows(values), saver_def))
    return path


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


@pytest.mark.parametrize(
    ("value", "error", "problem"),
    [
        (encode_tensor(1, [-1]), FormatError, "expected a known shape"),
        (
            {"tensor": encode(TENSOR, {"dtype": 1, "shape": b"\x18\1"})},
            FormatError,
            "expected a known shape, got None",
        ),
        (encode_tensor(1, [2**62, 4]), FormatError, "less than 2\\*\\*63 bytes"),
        (encode_tensor(1, [0, 2**62, 4]), FormatError, "less than 2\\*\\*63 bytes"),
        (encode_tensor(1, [1] * 100), UnsupportedError, "dimensions, got 100"),
        (encode_tensor(1, [1] * 40_000), FormatError, "a shape of at most 65536 bytes"),
        (encode_tensor(1, [3], content=b"1234"), FormatError, "expected 12 bytes .*, got 4"),
        (encode_tensor(1, [0], content=b"1234"), FormatError, "expected 0 bytes .*, got 4"),
        (encode_tensor(7, [1], content=b"1"), UnsupportedError, "array form, got string"),
        (encode_tensor(0, []), UnsupportedError, r"got unknown\(0\)"),
        (encode_tensor(20, []), UnsupportedError, "got resource"),
        (encode_tensor(101, []), UnsupportedError, "got float32_ref"),
        (
            encode_tensor(3, [2**40], ints=[1, 2]),
            UnsupportedError,
            "got 2, the last to be",
        ),
        (encode_tensor(7, [2**40], strings=[b"a", b"b"]), UnsupportedError, "got 2, the last"),
    ],
)
def test_hostile_tensor_raises(tmp_path, value, error, problem):
    with pytest.raises(error, match=f"attribute 'value' of node 'n'.*{problem}"):
        read_attribute(tmp_path, value)


def test_complex_value_without_an_imaginary_part_raises_format_error(tmp_path):
    real = bytes.fromhex("0808 1200 4d 0000803f".replace(" ", ""))  # dtype, shape, one float

    with pytest.raises(FormatError, match="got an odd number of parts"):
        read_attribute(tmp_path, {"tensor": real})


def test_functions_nested_deeply_take_no_recursion(tmp_path):
    depth = 3000
    value = encode(ATTRIBUTE, {"i": 7})
    for _ in range(depth):
        value = encode(ATTRIBUTE, {"func": encode(CALL, {"name": "f", "attributes": {"g": value}})})
    node = encode(NODE, {"name": "n", "attributes": {"g": value}})

    found = read_meta(write_graph(tmp_path / "g.meta", [node])).node("n").attrs["g"]
    for _ in range(depth):
        assert found.name == "f"
        found = found.attrs["g"]

    assert found == 7


# ---- Constants ----


@pytest.mark.parametrize(
    ("dtype", "values"), [(1, {}), (3, {"ints": [7]}), (7, {"strings": [b"x"]}), (7, {})]
)
def test_constant_of_one_value_takes_no_memory(tmp_path, dtype, values):
    array = read_attribute(tmp_path, encode_tensor(dtype, [2**20, 2**20], **values))

    assert array.shape == (2**20, 2**20)
    assert array.strides == (0, 0)
    assert array[5, 5] == {1: 0.0, 3: 7, 7: b"x" if values else b""}[dtype]
    assert not array.flags.writeable


def test_constant_is_a_view_of_the_file(golden):
    meta = read_meta(golden / "v1_plain/model.ckpt-2.meta")
    node = meta.node("Const")

    first, second = node.attrs["value"], node.attrs["value"]

    assert np.shares_memory(first, second)
    assert not first.flags.writeable


def test_last_value_goes_on(tmp_path):
    array = read_attribute(tmp_path, encode_tensor(3, [2, 3], ints=[1, -2]))

    assert array.dtype == np.int32
    assert array.tolist() == [[1, -2, -2], [-2, -2, -2]]


def test_more_values_than_elements_are_cut_off(tmp_path):
    array = read_attribute(tmp_path, encode_tensor(7, [2], strings=[b"a", b"b", b"c"]))

    assert array.tolist() == [b"a", b"b"]


@pytest.mark.parametrize(
    ("dtype", "ints", "expected"),
    [(4, [300, -1], [44, 255]), (29, [7, -1], [7, -1]), (30, [15, 17], [15, 1])],
)
def test_integers_are_cut_down_to_their_width(tmp_path, dtype, ints, expected):
    array = read_attribute(tmp_path, encode_tensor(dtype, [2], ints=ints))

    assert array.astype(int).tolist() == expected


def test_bool_bytes_become_bools(tmp_path):
    array = read_attribute(tmp_path, encode_tensor(10, [3], content=b"\0\1\2"))

    assert array.view(np.uint8).tolist() == [0, 1, 1]


def test_constants_of_every_dtype_are_those_of_tensorflow(graph_oracle, oracle, tmp_path):
    # those that TensorFlow's Python makes into a TensorProto, and back
    names = [name for name in oracle.dtypes if DTYPES[name].mask == 0 and "fnuz" not in name]
    if oracle.version.startswith("1."):
        names = [name for name in names if name[0] != "q" and name not in ("uint32", "uint64")]
    raw = bytes(range(1, 129))
    cases = []
    for name in names:
        if name == "string":
            tensors = [(name, (4,), [b"a", b"", b"\0\xff", b"d"]), (name, (), [b"x"])]
        else:
            size = DTYPES[name].item_size
            tensors = [(name, (4,), raw[: 4 * size]), (name, (), raw[:size])]
            if name == "bool":
                tensors = [(name, (4,), b"\0\1\1\0"), (name, (), b"\1")]
        cases += [(tensor, False) for tensor in tensors]
        if not name.startswith("float8"):
            cases.append((tensors[0], True))

    answers = graph_oracle.tensors(cases)

    for (case, _), (data, expected) in zip(cases, answers, strict=True):
        (tmp_path / "c.meta").write_bytes(data)
        array = read_meta(tmp_path / "c.meta").node("c").attrs["value"]
        _, shape, payload = to_tensor(array)
        assert (case[0], shape, payload) == expected
        assert array.dtype == numpy_dtype(case[0])


# ---- Reading ----


def test_attributes_have_python_values(tmp_path):
    attributes = {
        "string": {"s": b"\xff"},
        "number": {"i": -3},
        "real": {"f": 0.5},
        "flag": {"b": False},
        "type": {"type": 1},
        "reference": {"type": 103},
        "odd_type": {"type": 77},
        "shape": {"shape": encode(SHAPE, {"dims": [{"size": -1}, {"size": 3}]})},
        "no_rank": {"shape": encode(SHAPE, {"unknown_rank": True})},
        "strings": {"list": {"s": [b"a", b"b"]}},
        "types": {"list": {"type": [1, 107]}},
        "shapes": {"list": {"shape": [b"", encode(SHAPE, {"unknown_rank": True})]}},
        "tensors": {"list": {"tensor": [encode_tensor(3, [], ints=[5])["tensor"]]}},
        "flags": {"list": {"b": [True, False]}},
        "empty": {"list": {}},
        "nothing": {},
        "placeholder": {"placeholder": "T"},
    }
    encoded = {name: encode(ATTRIBUTE, value) for name, value in attributes.items()}
    node = encode(NODE, {"name": "n", "op": "Odd", "attributes": encoded})

    found = read_meta(write_graph(tmp_path / "g.meta", [node])).node("n").attrs

    assert describe_attributes(found) == {
        "string": b"\xff",
        "number": -3,
        "real": 0.5,
        "flag": False,
        "type": "float32",
        "reference": "int32_ref",
        "odd_type": "unknown(77)",
        "shape": (-1, 3),
        "no_rank": None,
        "strings": [b"a", b"b"],
        "types": ["float32", "string_ref"],
        "shapes": [(), None],
        "tensors": [("tensor", "int32", (), np.int32(5).tobytes())],
        "flags": [True, False],
        "empty": [],
        "nothing": None,
        "placeholder": "T",
    }
    assert len(found) == len(attributes)
    with pytest.raises(KeyError):
        found["missing"]


def test_nodes_are_a_sequence(tmp_path):
    nodes = [encode(NODE, {"name": f"n{i}", "op": "NoOp", "inputs": ["^n0"]}) for i in range(9000)]
    meta = read_meta(write_graph(tmp_path / "g.meta", nodes))

    assert len(meta.nodes) == 9000
    assert meta.nodes[-1].name == "n8999"
    assert meta.nodes[3].inputs == ("^n0",)
    assert [node.name for node in meta.nodes[2:8:3]] == ["n2", "n5"]
    assert [node.name for node in meta.nodes] == [f"n{i}" for i in range(9000)]
    assert meta.node("n4567").name == "n4567"
    with pytest.raises(IndexError):
        meta.nodes[9000]
    with pytest.raises(KeyError):
        meta.node("n9000")


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


# ---- Writing ----

ODD_NAMES = [
    *("a", "a/b", "A", "a/Assign", "a/read", "a/initial_value", "a b", "a_b", "a_b_1"),
    *("x:0", "\xe9", "_x", "/y", "-c", ".d", "b.", "b/", "a//b", "a>b", "a\\b", "^z", " ", ":"),
    *("save", "save/Const", "save/restore_all", "save/RestoreV2", "save/SaveV2/tensor_names"),
    *("save/control_dependency", "b\udcff", "a\nb"),
]


def test_same_variables_give_the_same_bytes():
    variables = rows({"a": np.zeros(3), "b": np.int64(1)})

    assert encode_meta(variables, SaverDef()) == encode_meta(iter(variables), SaverDef())


def test_written_graph_has_no_values(tmp_path):
    data = encode_meta([("a", DTYPES["float32"], (10**6, 10**6))], SaverDef())
    (tmp_path / "a.meta").write_bytes(data)

    meta = read_meta(tmp_path / "a.meta")

    assert len(data) < 2000
    assert meta.node("a/initial_value").attrs["value"].shape == (10**6, 10**6)
    assert meta.variables[0].shape == (10**6, 10**6)


def test_saver_def_is_in_the_file(tmp_path):
    saver_def = SaverDef("s/f:0", "s/done:0", "s/restore_all", 7, True, 2.5, SaverDef.V2)
    (tmp_path / "a.meta").write_bytes(encode_meta(rows({"a": 1.0}), saver_def))

    meta = read_meta(tmp_path / "a.meta")

    assert meta.saver_def == saver_def
    assert [meta.node(name).op for name in ("s/f", "s/done", "s/restore_all")] == [
        "Const",
        "Identity",
        "NoOp",
    ]


def test_nodes_of_a_saver_get_legal_names(tmp_path):
    saver_def = SaverDef("my scope/Const:0", "my scope/done:0", "my scope/restore", 5)
    (tmp_path / "a.meta").write_bytes(encode_meta(rows({"a": 1.0}), saver_def))

    meta = read_meta(tmp_path / "a.meta")

    assert meta.saver_def.restore_op_name == "my_scope/restore"
    assert meta.node("my_scope/restore").op == "NoOp"


def test_without_variables_there_is_no_saver(tmp_path):
    (tmp_path / "a.meta").write_bytes(encode_meta([], SaverDef()))

    meta = read_meta(tmp_path / "a.meta")

    assert (len(meta.nodes), meta.saver_def, meta.variables) == (0, None, ())


def test_what_tensorflow_cannot_hold_is_left_out(tmp_path):
    variables = [(name, dtype, (2,)) for name, dtype in sorted(DTYPES.items())]
    (tmp_path / "a.meta").write_bytes(encode_meta(variables, SaverDef()))

    found = read_meta(tmp_path / "a.meta").variables

    assert {each.name[:-2] for each in found} == set(DTYPES) - NOT_HELD - {"resource", "variant"}
    assert {each.name[:-2] for each in found if each.is_resource} == RESOURCES


@given(names=st.lists(st.text(alphabet="aA0_./->\\ :\xe9^", min_size=1, max_size=6), max_size=12))
def test_any_names_give_legal_nodes_of_their_own(tmp_path_factory, names):
    path = tmp_path_factory.getbasetemp() / "names.meta"
    names = sorted({*names, "save/Const"})
    path.write_bytes(encode_meta([(name, DTYPES["int32"], (2,)) for name in names], SaverDef()))

    meta = read_meta(path)

    nodes = [node.name for node in meta.nodes]
    assert len(set(nodes)) == len(nodes)
    assert all(LEGAL.fullmatch(name) for name in nodes)
    assert [each.checkpoint_name for each in meta.variables] == names
    keys = meta.node("save/RestoreV2/tensor_names").attrs["value"]
    assert [key.decode() for key in keys] == names
    kept = {each.name[:-2] for each in meta.variables if each.name[:-2] == each.checkpoint_name}
    assert kept == {name for name in names if LEGAL.fullmatch(name)} - {"save/Const"}


def check_run(answer, values):
    """Compare what TensorFlow restored, and saved again, with what was written."""
    expected = {name: to_tensor(np.asarray(value)) for name, value in values.items()}
    restored = answer["variables"]
    assert len(restored) == len(expected)
    for name in expected.keys() & restored.keys():
        assert restored[name] == expected[name]
    assert answer["fetched"].items() <= restored.items()
    with fastckpt.read(answer["saved"]) as saved:
        again = {name: to_tensor(np.asarray(saved[name])) for name in saved}
    assert again == expected


def make_values(names):
    values = {}
    for name in names:
        for shape in [(2, 3), (), (0, 2)]:
            if name == "string":
                array = np.empty(shape, object)
                array[...] = b"x\0\xff"
            else:
                data = bytes(range(1, 1 + math.prod(shape) * DTYPES[name].item_size))
                data = bytes(len(data)) if name == "bool" else data
                array = from_bytes(name, shape, data)
            values[f"{name}_{len(shape)}_{math.prod(shape)}"] = array
    return values


def test_tensorflow_restores_and_saves_every_dtype(graph_oracle, oracle, tmp_path):
    names = [name for name in oracle.dtypes if name[0] != "q" and name not in NOT_HELD]
    values = make_values(names)
    prefix = save(tmp_path / "m", values)

    answer = graph_oracle.run(tmp_path / "m.meta", prefix, tmp_path / "again")

    check_run(answer, values)
    assert set(answer["variables"]) == set(values)
    plain = {name for name in values if name.rsplit("_", 2)[0] not in RESOURCES}
    assert set(answer["fetched"]) == plain
    assert (answer["producer"], answer["max_to_keep"]) == (134, 5)


def test_tensorflow_restores_odd_names(graph_oracle, tmp_path):
    values = {name: np.full(2, number) for number, name in enumerate(ODD_NAMES)}
    prefix = save(tmp_path / "m", values)

    answer = graph_oracle.run(tmp_path / "m.meta", prefix, tmp_path / "again")

    check_run(answer, values)
    reserved = {"save/Const", "save/restore_all", "save/control_dependency"}
    legal = {name for name in ODD_NAMES if LEGAL.fullmatch(name)} - reserved
    assert legal <= set(answer["variables"])


@given(names=st.lists(st.text(alphabet="aA0_./->\\ :\xe9^", min_size=1, max_size=5), min_size=1))
@settings(max_examples=20, deadline=None)
def test_tensorflow_restores_any_names(graph_oracle, tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("names")
    values = {name: np.float64(number) for number, name in enumerate(names)}
    prefix = save(folder / "m", values)

    answer = graph_oracle.run(folder / "m.meta", prefix, folder / "again")

    check_run(answer, values)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("version", [SaverDef.LEGACY, SaverDef.V1, SaverDef.V2])
def test_tensorflow_restores_what_any_saver_wrote(graph_oracle, tmp_path, version, sharded):
    values = make_values(["float32", "string", "int8", "complex64"])
    saver_def = SaverDef(*("x/y/file:0", "x/y/done:0", "x/y/restore_all"), 3, sharded, 1.5, version)
    prefix = save(tmp_path / "m", values, saver_def)

    answer = graph_oracle.run(tmp_path / "m.meta", prefix, tmp_path / "again")

    check_run(answer, values)
    is_pattern = sharded and version == SaverDef.V1
    assert answer["saved"] == f"{tmp_path}/again" + ("-?????-of-00001" if is_pattern else "")
    assert read_meta(answer["saved"]).saver_def == saver_def


def test_tensorflow_imports_into_a_scope(graph_oracle, tmp_path):
    values = {"a": np.arange(3.0), "b/c": np.float32(1)}
    prefix = save(tmp_path / "m", values)

    answer = graph_oracle.run(tmp_path / "m.meta", prefix, tmp_path / "again", "scope")

    assert set(answer["variables"]) == {"scope/a", "scope/b/c"}
    assert answer["variables"]["scope/a"] == to_tensor(values["a"])
    with fastckpt.read(answer["saved"]) as saved:
        assert set(saved) == set(values)


def test_tensorflow_initializes_the_variables_with_zeros(graph_oracle, oracle, tmp_path):
    names = [name for name in oracle.dtypes if name not in NOT_HELD]
    variables = [(name, DTYPES[name], (2, 1)) for name in sorted(names)]
    (tmp_path / "m.meta").write_bytes(encode_meta(variables, SaverDef()))

    values = graph_oracle.initialize(tmp_path / "m.meta")

    for name in names:
        zeros = [b"", b""] if name == "string" else bytes(2 * DTYPES[name].item_size)
        assert values[name] == (name, (2, 1), zeros)


def test_tensorflow_imports_a_graph_without_variables(graph_oracle, tmp_path):
    (tmp_path / "m.meta").write_bytes(encode_meta([], SaverDef()))

    assert graph_oracle.initialize(tmp_path / "m.meta") == {}
