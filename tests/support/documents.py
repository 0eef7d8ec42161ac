"""The documents: their code blocks, links and headings, and how what they show is run."""

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
import textwrap
from typing import NamedTuple

import numpy as np
from places import ROOT

import fastckpt

DOCS = ROOT / "docs"
AT_THE_ROOT = [
    ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY", "RELEASING")
]
PAGES = [*AT_THE_ROOT, *sorted(DOCS.rglob("*.md"))]

# Blocks of these languages are not run. What any other language holds is.
NOT_RUN = {
    "": "files, trees, bytes, messages; lines of `fastckpt` among them are run all the same",
    "text": "grammars and messages; below a block of Python, what that prints",
    "sh": "make, pip and docker: the gate runs the first two, the last needs the network",
    "dockerfile": "the same",
}
_FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.M)
_API = re.compile(r"^::: +(\S+)", re.M)
_STATUS = re.compile(r" +# exits with (\d+)$")
_END = "\x1e"  # ends the output of a command, in front of its status


class Block(NamedTuple):
    """A fenced block; `where` is its file and line, `below` whether another ends just above it."""

    where: str
    language: str
    text: str
    below: bool


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks_of(page):
    text = page.read_text("utf-8")
    end = -1
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        is_below = end >= 0 and not text[end : match.start()].strip()
        yield Block(f"{name_of(page)}:{line}", match[2], textwrap.dedent(match[3]), is_below)
        end = match.end()


def prose_of(page):
    return _FENCE.sub("", page.read_text("utf-8"))


def links_of(page):
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", prose_of(page)))


def api_of(page):
    return _API.findall(prose_of(page))


def anchors_of(page):
    """Return what a link to a page may have behind its #: as GitHub and MkDocs make it."""
    titles = (
        re.sub(r"[`*]|\]\([^)]*\)|\[", "", title) for title in _HEADING.findall(prose_of(page))
    )
    slugs = {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title.lower())) for title in titles}
    return slugs | set(api_of(page))


# ---- Running


def run_page(page, folder):
    """Run the blocks of a page one after the other in a folder; return what is wrong."""
    problems = []
    printed = None
    for block in blocks_of(page):
        if block.language == "tensorflow":
            continue
        if block.language == "python":
            printed, problem = _run_python(block)
        elif block.language == "text" and block.below and printed:
            problem = _compare(block.text, printed)
        else:
            problem = _run_commands(commands_of(block), folder)
        if problem:
            problems.append(f"{block.where}: {problem}")
    return problems


def _run_python(block):
    output = io.StringIO()
    scope = {"fastckpt": fastckpt, "np": np, "__name__": "example"}
    try:
        with contextlib.redirect_stdout(output):
            exec(compile(block.text, block.where, "exec"), scope)
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
    return output.getvalue(), None


def commands_of(block):
    """Return (command, exit status, output or None for any) of a block's commands."""
    if block.language in NOT_RUN:
        lines = block.text.splitlines() if not block.language else []
        return [(line, 0, None) for line in lines if line.startswith("fastckpt ")]
    commands = []
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            commands.append([line[2:].rstrip("\n"), ""])
        elif commands[-1][0].endswith("\\"):
            commands[-1][0] += "\n" + line.rstrip("\n")
        else:
            commands[-1][1] += line
    return [(_STATUS.sub("", line), _status(line), output) for line, output in commands]


def _status(line):
    match = _STATUS.search(line)
    return int(match[1]) if match else 0


def _run_commands(commands, folder):
    """Run commands in one shell; return what is wrong with the first that differs."""
    if not commands:
        return None
    script = "".join(f"{line}\nprintf '{_END}%s\\n' $?\n" for line, _, _ in commands)
    done = subprocess.run(
        ["sh", "-c", script], cwd=folder, env=_environment(folder), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
    )  # fmt: skip
    rest = done.stdout.decode("utf-8")
    for line, status, wanted in commands:
        output, _, rest = rest.partition(_END)
        actual, _, rest = rest.partition("\n")
        if actual != str(status):
            return f"{line}: exits with {actual}, not {status}:\n{output}"
        if wanted is not None and (problem := _compare(wanted, output)):
            return f"{line}: {problem}"
    return None


def _environment(folder):
    """Return the variables of a user who has installed the package, on no terminal."""
    programs = folder / ".programs"
    if not programs.exists():
        programs.mkdir()
        program = programs / "fastckpt"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fastckpt "$@"\n')
        program.chmod(0o755)
    path = os.pathsep.join([str(programs), os.path.dirname(sys.executable), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONUTF8": "1", "COLUMNS": "80"}


def _compare(wanted, actual):
    """Return None for output as it is shown, where ``...`` stands for anything."""
    if doctest.OutputChecker().check_output(wanted, actual, doctest.ELLIPSIS):
        return None
    return f"expected\n{wanted}got\n{actual}"
