"""The package's sources as data: modules, what they import, define and call."""

import ast
import re
from functools import cached_property
from pathlib import Path

IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+c?import\b(.*)|c?import[ \t]+([\w., \t]+))", re.M
)
DEFINITION = re.compile(r"^([ \t]*)(?:cpdef|cdef(?! class)|def)\b[^=\n]*\(")
CLASS = re.compile(r"^[ \t]*(?:cdef )?class (\w+)", re.M)


class Module:
    """One module: its Python or Cython source, with the declarations that belong to it."""

    def __init__(self, name, paths):
        self.name = name  # "bundle.writer"; a package's own file is "bundle"
        self.paths = paths
        self.path = next(path for path in paths if path.suffix != ".pxd" or len(paths) == 1)

    @property
    def package(self):
        """The folder, "" at the root."""
        is_package = self.path.stem == "__init__"
        return self.name if is_package else self.name.rpartition(".")[0]

    @property
    def is_python(self):
        return self.path.suffix == ".py"

    @cached_property
    def text(self):
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self):
        """The syntax tree, None for Cython."""
        return ast.parse(self.text) if self.is_python else None

    @cached_property
    def imports(self):
        """{(module, name or None)} of each import anywhere in the module; its own package's
        modules begin with a dot: (".format.dtypes", "DType")."""
        found = set()
        for path in self.paths:
            text = path.read_text(encoding="utf-8")
            found |= self._of_python(text) if path.suffix == ".py" else self._of_cython(text)
        return {(re.sub(r"^fastckpt\b\.?", ".", module), name) for module, name in found}

    def _of_python(self, text):
        found = set()
        above = ["fastckpt", *filter(None, self.package.split("."))]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {(alias.name, None) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(above[: len(above) + 1 - node.level]) if node.level else ""
                module = ".".join(filter(None, [base, node.module]))
                found |= {(module, alias.name) for alias in node.names}
        return found

    @staticmethod
    def _of_cython(text):
        found = set()
        for module, names, modules in IMPORT.findall(re.sub(r"\(\s*\n[^)]*\)", "(x)", text)):
            if module:
                each = re.sub(r"[()]", "", names).split(",")
                found |= {(module, name.split(" as ")[0].strip()) for name in each}
            else:
                found |= {(name.split(" as ")[0].strip(), None) for name in modules.split(",")}
        return found

    @cached_property
    def classes(self):
        """[(name, line)]."""
        return [
            (match[1], self.text.count("\n", 0, match.start()) + 1)
            for match in CLASS.finditer(self.text)
        ]

    @cached_property
    def functions(self):
        """[(name, first line, number of lines)], docstring and decorators not counted."""
        if not self.is_python:
            return list(_cython_functions(self.text.splitlines()))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [
            (node.name, node.lineno, node.end_lineno - _body_start(node) + 1)
            for node in ast.walk(self.tree)
            if isinstance(node, kinds)
        ]


def _body_start(node):
    """The line from which a function is counted: the end of its docstring, or its own."""
    return node.body[0].end_lineno if ast.get_docstring(node, clean=False) else node.lineno


def _cython_functions(lines):
    for number, line in enumerate(lines):
        match = DEFINITION.match(line)
        if not match:
            continue
        indent = len(match[1])
        end = number + 1
        while end < len(lines) and (
            not lines[end].strip()
            or len(lines[end]) - len(lines[end].lstrip()) > indent
            or lines[end].lstrip()[:1] == ")"
        ):
            end += 1
        body = "\n".join(lines[number:end]).rstrip()
        body = re.sub(r'""".*?"""', "", body, count=1, flags=re.S)
        name = re.search(r"(\w+)\s*\(", line)[1]
        yield name, number + 1, body.count("\n") + 1


def read_modules(package):
    """Return {name: Module} of a package's folder."""
    paths = {}
    for path in sorted(Path(package).rglob("*.p*")):
        if path.suffix in (".py", ".pyx", ".pxd"):
            parts = path.relative_to(package).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
            paths.setdefault(name, []).append(path)
    return {name: Module(name, found) for name, found in paths.items()}


def own_imports(modules):
    """{(importer, imported)} between the modules of a package."""
    pairs = set()
    for name, module in modules.items():
        for imported, member in module.imports:
            if imported.startswith("."):
                whole = f"{imported}.{member}".lstrip(".") if member else imported.lstrip(".")
                target = whole if whole in modules else imported.lstrip(".")
                if target in modules and target != name:
                    pairs.add((name, target))
    return pairs
