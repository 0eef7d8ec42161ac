"""The rules of docs/architecture.md, each checked on the sources.

A rule is a function of {name: Module} that yields what breaks it. Each was made to fail: `BROKEN`
holds, for every rule, a small package that breaks it. A rule that finds nothing to check raises.
"""

import ast
import re
import sys

import pytest
from places import ROOT, TESTS
from sources import own_imports, read_modules

PACKAGE = ROOT / "fastckpt"
CORE = ROOT / "csrc"

# From the ground up: a package or module imports from lower floors only, and those of one floor
# do not know each other.
FLOORS = [
    {"text", "lazy"},
    {"errors"},
    {"parallel", "rules"},
    {"format"},
    {"name_tree"},
    {"graph", "storage"},
    {"checkpoint"},
    {"bundle", "v1"},
    {"paths"},
    {"train", "edit", "analysis", "interop", "rescue"},
    {"cli", "__init__"},
    {"__main__"},
]
TOUCH_FILES = {"storage", "paths", "rescue"}  # packages that may ask the system about files
THIRD_PARTY = {  # the only module that may name each; NumPy may be named everywhere
    "crc32c": "format.checksum",
    "snappy": "format._table",
    "mmap": "storage.local",
    "ml_dtypes": "format.dtypes",
    "rich": "cli.output",
    "pandas": "checkpoint",
    "h5py": "interop.hdf5",
    "safetensors": "interop.safetensors",
    "zarr": "interop.zarr",
}
CONSTANTS = {  # a constant of the formats, and the one file that writes it down
    r"(?i)db4775248b80fb57|57fb808b247547db|0x57, 0xfb, 0x80": "csrc/sstable.h",
    r"(?i)0xa282ead8": "fastckpt/format/checksum.py",
    r"-of-": None,  # one file for each format
}
SHARD_GRAMMARS = {"fastckpt/bundle/names.py", "fastckpt/v1/names.py"}
MOST_MODULES, MOST_LINES, LONGEST_FUNCTION = 12, 400, 45
CYTHON = {"cython", "cpython", "libc", "posix", "numpy"}  # what cimport finds elsewhere
LIBC = {"stdbool.h", "stddef.h", "stdint.h", "stdlib.h", "string.h"}
CORE_LAYERS = [
    {"fck"},
    {"wire"},
    {"sstable", "entry", "string_payload"},
    {"sstable_read", "sstable_build", "fault"},
]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[>"]', re.M)
EXPORTED = re.compile(r"^(?!static)\w[\w ]*[ *](fck_\w+)\([^;{]*\)\s*\{", re.M)


# ---- The rules


def imports_go_down(modules):
    """1. Packages import downwards only, also inside functions, and no modules in a circle."""
    floor_of = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    arrows = own_imports(modules)
    assert arrows, "no imports were found"
    for name, imported in sorted(arrows):
        at, below = name.split(".")[0], imported.split(".")[0]
        if at not in floor_of:
            yield f"{name}: {at} has no floor"
        elif below not in floor_of:
            yield f"{imported}: {below} has no floor"
        elif at != below and floor_of[below] >= floor_of[at]:
            yield f"{name} imports {imported}"
    for name in modules:
        if name in reached_from(name, arrows):
            yield f"{name} imports itself by a circle"


def reached_from(name, arrows):
    found, ahead = set(), {name}
    while ahead:
        ahead = {imported for at, imported in arrows if at in ahead} - found
        found |= ahead
    return found


def private_names_stay(modules):
    """2. No module takes another's private name; ruff's SLF001 sees attributes."""
    count = 0
    for name, module in modules.items():
        for imported, member in module.imports:
            if imported.startswith(".") and member:
                count += 1
                whole = f"{imported}.{member}".lstrip(".")
                if member.startswith("_") and not member.startswith("__") and whole not in modules:
                    yield f"{name} imports {whole}"
    assert count, "no imported names were found"


FILE_CALLS = re.compile(
    r"(?:os\.(?:open|stat|lstat|listdir|scandir|walk|unlink|remove|rename|replace|mkdir|makedirs"
    r"|rmdir|link|symlink|readlink|fsync|access|truncate|chmod)"
    r"|os\.path\.(?:exists|lexists|isfile|isdir|islink|getsize|getmtime|realpath|samefile)"
    r"|glob\.\w+|shutil\.\w+|open|File)"
)


def files_are_asked_for_in_their_place(modules):
    """3. System calls on files stand in storage/, paths/ and rescue/; format/ opens nothing."""
    seen = 0
    for name, module in modules.items():
        if module.tree is None:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and FILE_CALLS.fullmatch(ast.unparse(node.func)):
                seen += 1
                if name.split(".")[0] not in TOUCH_FILES:
                    yield f"{name}:{node.lineno} calls {ast.unparse(node.func)}"
    assert seen, "no system calls on files were found"


def sizes_are_small(modules):
    """4. At most 12 modules in a folder, 400 lines in a file, 45 in a function; a class name
    stands once."""
    folders, classes = {}, {}
    for name, module in modules.items():
        if module.path.stem != "__init__" and module.path.suffix != ".pxd":
            folders.setdefault(module.package, []).append(name)
        lines = module.text.count("\n")
        if lines > MOST_LINES:
            yield f"{name}: {lines} lines"
        for function, line, length in module.functions:
            if length > LONGEST_FUNCTION:
                yield f"{name}:{line} {function}: {length} lines"
        for each, line in module.classes:
            classes.setdefault(each.lstrip("_"), []).append(f"{name}:{line}")
    assert folders and classes, "nothing was found to measure"
    for folder, names in folders.items():
        if len(names) > MOST_MODULES:
            yield f"{folder or 'the root'}: {len(names)} modules"
    for each, places in classes.items():
        if len(places) > 1:
            yield f"class {each}: {', '.join(places)}"


def constants_stand_once(modules):
    """5. A constant of a format stands in one file; a third-party name belongs to one module."""
    root = next(path for path in modules["text"].path.parents if path.name == "fastckpt").parent
    sources = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(root.glob("csrc/*.[ch]")) + sorted(root.glob("fastckpt/**/*.p*"))
        if path.suffix in (".c", ".h", ".py", ".pyx", ".pxd")
    }
    for pattern, home in CONSTANTS.items():
        found = {name for name, text in sources.items() if re.search(pattern, code_of(text))}
        assert found, f"{pattern} was not found"
        for name in sorted(found - (SHARD_GRAMMARS if home is None else {home})):
            yield f"{name} writes {pattern}"
    named = {
        (imported.split(".")[0], name)
        for name, module in modules.items()
        for imported, _ in module.imports
        if not imported.startswith(".")
    }
    known = set(sys.stdlib_module_names) | CYTHON
    for third, name in sorted(named):
        if third not in known and THIRD_PARTY.get(third) != name:
            yield f"{name} imports {third}"


def code_of(text):
    """A source without docstrings and comments."""
    text = re.sub(r'"""(?:.|\n)*?"""|/\*(?:.|\n)*?\*/', "", text)
    return re.sub(r"(?m)(?:^|\s)(?:#(?! *define)|//).*$", "", text)


OF_A_MESSAGE = re.compile(r"\bstr\((?:\w*error|e|exc)\)|\.problem\b|\berror\.args\b")
TAKES_APART = re.compile(
    rf"(?:{OF_A_MESSAGE.pattern})(?:\[\d\])?\.(?:startswith|endswith|find|index|split|partition)$"
)


def no_branch_on_a_message(modules):
    """6. Nothing is decided by the text of an error: errors have fields."""
    seen = 0
    for name, module in modules.items():
        if module.tree is None:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Compare):
                seen += 1
                other = ast.unparse(node.comparators[0])
                if OF_A_MESSAGE.search(ast.unparse(node)) and other != "None":
                    yield f"{name}:{node.lineno} {ast.unparse(node)}"
            elif isinstance(node, ast.Call) and TAKES_APART.search(ast.unparse(node.func)):
                yield f"{name}:{node.lineno} {ast.unparse(node)}"
    assert seen, "no comparisons were found"


def modules_have_tests(modules, tests=TESTS):
    """7. Each module has a test file of its name in the mirrored folder."""
    for name, module in modules.items():
        if module.path.suffix != ".pxd" and module.path.stem not in ("__init__", "__main__"):
            folder = tests / module.package
            stem = module.path.stem.lstrip("_")
            if not any(folder.glob(f"test_{stem}*.py")):
                yield f"{name}: no tests/{module.package}/test_{stem}.py"


RULES = [
    imports_go_down,
    private_names_stay,
    files_are_asked_for_in_their_place,
    sizes_are_small,
    constants_stand_once,
    no_branch_on_a_message,
    modules_have_tests,
]  # the eighth, that the archive is complete and builds, is in test_sdist.py and the gate


@pytest.fixture(scope="module")
def modules():
    found = read_modules(PACKAGE)
    assert len(found) > 60, "the package was not found"
    return found


@pytest.mark.parametrize("rule", RULES)
def test_rule_is_kept(modules, rule):
    assert list(rule(modules)) == []


# ---- Each rule sees what breaks it

FILLER = {
    "text.py": "def printable(text):\n    return text if text == '' else text\n",
    "errors.py": "from .text import printable\n",
    "storage/local.py": "import os\nos.stat('x')\nfrom ..errors import printable\n",
    "bundle/names.py": "PATTERN = '-of-'\n",
    "format/checksum.py": "import crc32c\nMASK = 0xa282ead8\n\n\nclass Known:\n    pass\n",
}
BROKEN = [
    (imports_go_down, {"format/x.py": "def f():\n    from ..bundle import names\n"}),
    (imports_go_down, {"train/a.py": "from ..edit import b\n", "edit/b.py": ""}),
    (imports_go_down, {"bundle/a.py": "from .b import x\n", "bundle/b.py": "from . import a\n"}),
    (imports_go_down, {"format/_x.pyx": "from fastckpt.bundle cimport names\n"}),
    (imports_go_down, {"stray/a.py": "from ..text import printable\n"}),
    (private_names_stay, {"bundle/a.py": "from ..text import _hidden\n"}),
    (files_are_asked_for_in_their_place, {"format/a.py": "def f(p):\n    return open(p)\n"}),
    (files_are_asked_for_in_their_place, {"train/a.py": "import os\nos.path.exists('x')\n"}),
    (files_are_asked_for_in_their_place, {"v1/a.py": "x = File('x')\n"}),
    (sizes_are_small, {"bundle/a.py": "x = 1\n" * 401}),
    (sizes_are_small, {"bundle/a.py": "def f():\n" + "    x = 1\n" * 45}),
    (sizes_are_small, {"bundle/_a.pyx": "cdef int f() except -1:\n" + "    x = 1\n" * 45}),
    (sizes_are_small, {"bundle/a.py": "class _Known:\n    pass\n"}),
    (sizes_are_small, {f"bundle/a{number}.py": "" for number in range(12)}),
    (constants_stand_once, {"bundle/a.py": "MASK = 0xa282ead8\n"}),
    (constants_stand_once, {"paths/a.py": "PATTERN = r'(\\d+)-of-(\\d+)'\n"}),
    (constants_stand_once, {"bundle/a.py": "def f():\n    import crc32c\n"}),
    (constants_stand_once, {"bundle/a.py": "import tensorflow\n"}),
    (no_branch_on_a_message, {"bundle/a.py": "x = 'shrank' in str(error)\n"}),
    (no_branch_on_a_message, {"bundle/a.py": "x = error.problem == 'y'\n"}),
    (no_branch_on_a_message, {"bundle/a.py": "x = str(error).startswith('y')\n"}),
    (modules_have_tests, {"bundle/untested.py": ""}),
]


@pytest.mark.parametrize(("rule", "files"), BROKEN, ids=lambda each: getattr(each, "__name__", ""))
def test_rule_sees_what_breaks_it(tmp_path, rule, files):
    package = tmp_path / "fastckpt"
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc" / "sstable.h").write_text("#define MAGIC 0xdb4775248b80fb57\n")
    for name, text in FILLER.items():
        write(package / name, text)
    before = set(rule(read_modules(package)))
    for name, text in files.items():
        write(package / name, text)

    assert set(rule(read_modules(package))) - before


@pytest.mark.parametrize("rule", RULES[:6])
def test_rule_fails_when_there_is_nothing_to_check(tmp_path, rule):
    write(tmp_path / "fastckpt" / "text.py", "")

    with pytest.raises(AssertionError, match=r"found"):
        list(rule(read_modules(tmp_path / "fastckpt")))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# ---- The C core


def read_includes():
    return {
        path.name: INCLUDE.findall(path.read_text(encoding="utf-8"))
        for path in sorted(CORE.iterdir())
        if path.suffix in (".c", ".h")
    }


def level_of(name):
    return next(level for level, layer in enumerate(CORE_LAYERS) if name.split(".")[0] in layer)


INCLUDES = read_includes()
assert sum(map(len, INCLUDES.values())) > 10, "no #includes were found"


def test_core_includes_only_itself_and_libc():
    for name, includes in INCLUDES.items():
        for kind, target in includes:
            assert target in (LIBC if kind == "<" else INCLUDES), f"{name} includes {target}"
            assert target.endswith(".h")


def test_core_includes_downwards_only():
    for name, includes in INCLUDES.items():
        for kind, target in includes:
            if kind == '"' and target != f"{name.split('.')[0]}.h":
                assert level_of(target) < level_of(name), f"{name} includes {target}"


def test_every_core_file_has_a_layer():
    assert {name.split(".")[0] for name in INCLUDES} == set().union(*CORE_LAYERS)


@pytest.mark.parametrize(
    ("one", "other"),
    [("sstable_read.c", "sstable_build.c"), ("sstable_build.c", "sstable_read.c")],
)
def test_reading_and_building_tables_use_nothing_of_each_other(one, other):
    defined = set(EXPORTED.findall((CORE / other).read_text(encoding="utf-8")))
    assert len(defined) > 5, "no functions were found"

    used = set(re.findall(r"\bfck_\w+", (CORE / one).read_text(encoding="utf-8")))

    assert used & defined == set()
