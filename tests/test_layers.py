"""What may import what, read from the sources."""

import ast
import re
import sys

import pytest
from fresh import run
from places import ROOT

PACKAGE = ROOT / "fastckpt"
CORE = ROOT / "csrc"

LAYERS = [  # from the ground up; a module imports from lower lines only
    {"format._csrc"},
    {
        "errors",
        "format.checksum",
        "bundle.names",
        "format.magic",
        "format.dtypes",
        "progress",
        "storage._map",
    },
    {"format._status", "text"},
    {"notebook"},
    {
        "storage.stage",
        "format.slices",
        "format.values",
        "format._table",
        "format._record",
        "format._message",
        "format._payload",
        "parallel",
    }
    | {"format.textproto", "paths.lookup", "rules", "rescue.findings", "cli.output"},
    {
        "bundle.tensors",
        "train.adapters",
        "graph.objects",
        "paths.state",
        "graph.schema",
        "rescue.survey",
    },
    {
        "bundle.verify",
        "train.variables",
        "train.retention",
        "v1.records",
        "graph.constants",
        "graph.meta_writer",
    }
    | {"bundle.partial", "bundle._index", "paths.resolve", "storage.folder"},
    {"name_tree"},
    {"graph.nodes", "interop.base"},
    {"bundle._reader", "bundle.writer", "v1.writer", "graph.meta", "rescue.damage"},
    {"v1.reader", "bundle.relink"},
    {"rescue.complete_v1"},
    {"rescue.complete"},
    {"rescue.salvage", "rescue.examine"},
    {"rescue.folder"},
    {"rescue.doctor"},
    {"paths.read"},
    {"train.objects", "train.restore", "train.saver", "paths.listing"},
    {"train.manager", "edit.rename"},
    {"train", "edit.average", "analysis.diff", "analysis.stats", "analysis.optimizer"}
    | {"interop.checkpoint", "interop.hdf5", "interop.npz", "interop.safetensors", "interop.zarr"},
    {"interop.convert", "analysis.report"},
    {"__init__"},
    {"cli.verbs"},
    {"cli.look", "cli.edit", "cli.completion"},
    {"cli.check"},
    {"cli.main"},
    {"__main__"},
]
CORE_LAYERS = [
    {"fck"},
    {"wire"},
    {"sstable", "entry", "string_payload"},
    {"sstable_read", "sstable_build"},
]
THIRD_PARTY = {  # the only module that may name each; NumPy may be named everywhere
    "crc32c": "format.checksum",
    "snappy": "format._table",
    "mmap": "storage.stage",
    "ml_dtypes": "format.dtypes",
    "rich": "cli.output",
    "pandas": "bundle._reader",
}
CYTHON = {
    "cython",
    "cpython",
    "libc",
    "posix",
    "numpy",
}  # what cimport finds outside of the package
LIBC = {"stdbool.h", "stddef.h", "stdint.h", "stdlib.h", "string.h"}

IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+c?import\b|c?import[ \t]+([\w., \t]+))", re.M
)
FROM_PACKAGE = re.compile(
    r"^[ \t]*from[ \t]+fastckpt((?:\.(?:format|storage|bundle))?)[ \t]+c?import[ \t]+([\w, \t]+)",
    re.M,
)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
DEFINITION = re.compile(r"^(?!static)\w[\w ]*[ *](fck_\w+)\([^;{]*\)\s*\{", re.M)


def imports_of_python(path, package=()):
    """Every module that a .py file imports, anywhere in it; our own with a leading dot."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            above = list(package[: len(package) + 1 - node.level])
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = (
                [base] if base in MODULES else [f"{base}.{a.name}".lstrip(".") for a in node.names]
            )
            found |= {f".{name}" for name in names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return {re.sub(r"^fastckpt\.", ".", name) for name in found}


def imports_of_cython(path):
    text = path.read_text(encoding="utf-8")
    found = set()
    for module, modules in IMPORT.findall(text):
        names = [module] if module else re.split(r"\s*,\s*", modules.strip())
        found |= {name.split(" as ")[0].strip() for name in names}
    for package, names in FROM_PACKAGE.findall(text):
        found.discard(f"fastckpt{package}")
        found |= {f"fastckpt{package}.{name.strip()}" for name in names.split(",")}
    return {re.sub(r"^fastckpt\.", ".", name) for name in found}


def read_imports():
    """module: what it imports, of every module, its .pxd included."""
    imports = {}
    for path in sorted(PACKAGE.rglob("*.p*")):
        *package, _ = path.relative_to(PACKAGE).parts
        module = ".".join([*package, path.stem])
        if path.suffix == ".py" and (
            path.stem != "__init__" or not package or package == ["train"]
        ):
            module = module.removesuffix(".__init__") if package else module
            imports.setdefault(module, set()).update(imports_of_python(path, package))
        elif path.suffix in (".pyx", ".pxd"):
            imports.setdefault(module, set()).update(imports_of_cython(path))
    return {module: names - {f".{module}"} for module, names in imports.items()}


def read_includes():
    return {
        path.name: INCLUDE.findall(path.read_text(encoding="utf-8"))
        for path in sorted(CORE.iterdir())
        if path.suffix in (".c", ".h")
    }


def level_of(layers, name):
    return next(level for level, layer in enumerate(layers) if name in layer)


MODULES = set().union(*LAYERS)
IMPORTS = read_imports()
INCLUDES = read_includes()
OWN = [(m, name[1:]) for m, names in IMPORTS.items() for name in names if name.startswith(".")]
OTHERS = [
    (m, name.split(".")[0]) for m, names in IMPORTS.items() for name in names if name[0] != "."
]

assert len(OWN) > 30 and len(OTHERS) > 30, "no imports were found"
assert sum(map(len, INCLUDES.values())) > 10, "no #includes were found"


def test_every_kind_of_import_is_seen(tmp_path):
    cython = tmp_path / "a.pyx"
    cython.write_text(
        "from fastckpt.format._csrc cimport (\n    x,\n)\n"
        "from fastckpt.format import dtypes, values\n"
        "cimport cython\nimport errno, os as o\ndef f():\n    import snappy  # why\n"
    )
    python = tmp_path / "b.py"
    python.write_text(
        "from . import rename\nfrom ..rules import c\nimport fastckpt.d\n"
        "def f():\n    import snappy.x\n    from concurrent.futures import y\n"
    )

    assert imports_of_cython(cython) == {
        ".format._csrc", ".format.dtypes", ".format.values", "cython", "errno", "os", "snappy",
    }  # fmt: skip
    assert imports_of_python(python, ["edit"]) == {
        ".edit.rename", ".rules", ".d", "snappy.x", "concurrent.futures",
    }  # fmt: skip
    assert INCLUDE.findall('#include "a.h"\n # include <b.h>\n') == [('"', "a.h"), ("<", "b.h")]


def test_every_module_has_a_layer():
    assert set(IMPORTS) == set().union(*LAYERS)


@pytest.mark.parametrize(("module", "name"), OWN)
def test_module_imports_downwards_only(module, name):
    assert level_of(LAYERS, name) < level_of(LAYERS, module)


def test_reader_and_writer_do_not_know_each_other():
    assert ("bundle._reader", "bundle.writer") not in OWN
    assert ("bundle.writer", "bundle._reader") not in OWN


def test_modules_that_the_layers_rest_on_are_found_to_be_used():
    assert {("bundle._reader", "format._table"), ("bundle.writer", "format._table")} <= set(OWN)
    assert {("format._status", "errors"), ("paths.read", "bundle._reader")} <= set(OWN)


@pytest.mark.parametrize("name", sorted(THIRD_PARTY))
def test_third_party_name_stands_in_one_module(name):
    assert {module for module, found in OTHERS if found == name} == {THIRD_PARTY[name]}


def test_nothing_else_than_numpy_and_python_is_imported():
    known = set(sys.stdlib_module_names) | set(THIRD_PARTY) | CYTHON

    assert {found for _, found in OTHERS} - known == set()
    assert ("storage.stage", "numpy") in OTHERS


def test_core_includes_only_itself_and_libc():
    for name, includes in INCLUDES.items():
        for kind, target in includes:
            assert target in (LIBC if kind == "<" else INCLUDES), f"{name} includes {target}"
            assert target.endswith(".h")


def test_core_includes_downwards_only():
    for name, includes in INCLUDES.items():
        stem = name.split(".")[0]
        for kind, target in includes:
            if kind == '"' and target != f"{stem}.h":
                below = level_of(CORE_LAYERS, target.split(".")[0])
                assert below < level_of(CORE_LAYERS, stem), f"{name} includes {target}"


def test_every_core_file_has_a_layer():
    assert {name.split(".")[0] for name in INCLUDES} == set().union(*CORE_LAYERS)


@pytest.mark.parametrize(
    ("one", "other"),
    [("sstable_read.c", "sstable_build.c"), ("sstable_build.c", "sstable_read.c")],
)
def test_reading_and_building_tables_use_nothing_of_each_other(one, other):
    defined = set(DEFINITION.findall((CORE / other).read_text(encoding="utf-8")))
    assert len(defined) > 5, "no functions were found"

    used = set(re.findall(r"\bfck_\w+", (CORE / one).read_text(encoding="utf-8")))

    assert used & defined == set()


LIST_MODULES = "import {}; import sys; print(*sys.modules)"


def test_import_of_fastckpt_brings_nothing_heavier_than_numpy():
    with_numpy = set(run(LIST_MODULES.format("numpy")).split())
    with_fastckpt = set(run(LIST_MODULES.format("numpy, fastckpt.paths.read")).split())

    added = {name for name in with_fastckpt - with_numpy if name.split(".")[0] != "fastckpt"}

    assert "fastckpt" in with_fastckpt
    light = (
        "_cython",
        "cython",
        "__future__",
        "errno",
        "importlib._abc",
        "importlib.util",
        "importlib.machinery",
    )
    assert {name for name in added if not name.startswith(light)} == {"crc32c._crc32c"}


def test_reading_a_tensor_brings_nothing_else(golden):
    code = """
        import sys, numpy, fastckpt.paths.read
        before = set(sys.modules)
        with fastckpt.read(sys.argv[1]) as checkpoint:
            for name in checkpoint:
                checkpoint[name], checkpoint.info(name)
        print(*set(sys.modules) - before)
    """

    assert run(code, golden / "tf1_shapes" / "model.ckpt").split() == []


def test_heavy_modules_are_never_imported_by_fastckpt_itself():
    heavy = {"tensorflow", "ml_dtypes", "snappy", "concurrent.futures", "dataclasses", "argparse",
             "importlib.metadata", "email", "shutil", "difflib", "logging"}  # fmt: skip

    code = """
        import numpy, sys
        before = set(sys.modules)
        import fastckpt.paths.read
        print(*set(sys.modules) - before)
    """

    assert heavy & set(run(code).split()) == set()


def test_listing_a_checkpoint_does_not_import_numpy(golden):
    code = """
        import sys, fastckpt
        print(*[info.tf_dtype for info in fastckpt.list_tensors(sys.argv[1])])
        print(*sys.modules)
    """

    dtypes, modules = run(code, golden / "tf1_saver").splitlines()

    assert "float32" in dtypes.split()
    assert "fastckpt" in modules.split()
    assert "numpy" not in modules.split()
