"""The `.meta` that a saver writes: what is in it, and that TensorFlow runs it."""

import math
import re

import numpy as np
import pytest
from graph_files import DTYPES
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import from_bytes, to_tensor

import fastckpt
from fastckpt import read_meta
from fastckpt.graph.meta import SaverDef, encode_meta
from fastckpt.v1.writer import write_v1

LEGAL = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_./-]*")
NOT_HELD = {"qint16", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"}
RESOURCES = {
    *("uint32", "uint64", "float8_e5m2", "float8_e4m3fn"),
    *("int4", "uint4", "int2", "uint2", "float4_e2m1fn"),
}
ODD_NAMES = [
    *("a", "a/b", "A", "a/Assign", "a/read", "a/initial_value", "a b", "a_b", "a_b_1"),
    *("x:0", "\xe9", "_x", "/y", "-c", ".d", "b.", "b/", "a//b", "a>b", "a\\b", "^z", " ", ":"),
    *("save", "save/Const", "save/restore_all", "save/RestoreV2", "save/SaveV2/tensor_names"),
    *("save/control_dependency", "b\udcff", "a\nb"),
]


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
