"""The command line: ``fastckpt VERB ...``.

Exit statuses are 0 for success, 1 for a difference or a problem that was found, 2 for mistakes and
errors.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from ..errors import CheckpointError, FormatError, TensorNotFoundError, UnsupportedError
from ..text import printable, quote
from .output import Output
from .verbs import MISTAKE, MODULES, VERBS, did_you_mean, make_parser

__all__ = ["main"]

_PIPE_CLOSED: Final = 141  # a shell's status of a process that SIGPIPE ended
_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line without the program's name (default: `sys.argv`), return its status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # what a terminal's encoding lacks
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        from ..storage.system import drop_output

        drop_output(1)  # so that the interpreter's last flush works
        return _PIPE_CLOSED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except SystemExit as exit:  # argparse's
        return exit.code if isinstance(exit.code, int) else MISTAKE


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if arguments else MISTAKE
    verb, *rest = arguments
    if verb in ("-V", "--version"):
        version = import_module("fastckpt").__version__
        print(f"fastckpt {version}")
        return 0
    if verb not in MODULES:
        return _report_unknown_verb(verb)
    parser, run = make_parser(verb)
    args = parser.parse_intermixed_args(rest)
    try:
        return int(run(args, Output(args.json)))
    except (CheckpointError, OSError, ValueError, TypeError, IndexError, ImportError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _report(error, [getattr(args, name, None) for name in ("path", "src", "a", "b")])


def _overview() -> str:
    lines = [
        "usage: fastckpt VERB ...",
        "",
        "Read, check, edit and convert TensorFlow checkpoints.",
    ]
    for title, verbs in VERBS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {verb:<11} {summary}" for verb, (_, summary) in verbs.items()]
    lines += ["", "'fastckpt VERB --help' explains a verb; every verb takes --json.", ""]
    lines += ["A path is a prefix (model.ckpt-1000), one of its files, a folder with a state file,"]
    lines += ["a SavedModel, or a version 1 checkpoint."]
    return "\n".join(lines)


# ---- Mistakes


def _report_unknown_verb(verb: str) -> int:
    from ..paths.lookup import checkpoint_exists
    from ..storage.urls import find_scheme

    message = f"fastckpt: unknown verb {verb!r}{did_you_mean(verb, MODULES)}"
    if find_scheme(verb) is not None or checkpoint_exists(verb):
        message += f"; to list that checkpoint: fastckpt ls {quote(verb)}"
    print(f"{printable(message)}\ntry 'fastckpt --help'", file=sys.stderr)
    return MISTAKE


def _report(error: Exception, paths: Sequence[Any]) -> int:
    """Print the error and, for a path that cannot be opened, the advice of `doctor`."""
    print(f"fastckpt: {printable(_spell(error))}", file=sys.stderr)
    about_paths = (FileNotFoundError, NotADirectoryError, IsADirectoryError, FormatError)
    if isinstance(error, (*about_paths, UnsupportedError)):
        for advice in _advise(paths):
            print(f"  {printable(advice)}", file=sys.stderr)
    return MISTAKE


def _spell(error: Exception) -> str:
    if isinstance(error, TensorNotFoundError):
        return str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error) or type(error).__name__


def _advise(paths: Sequence[Any]) -> list[str]:
    """Return what `doctor` advises for the paths that cannot be opened."""
    from ..rescue.doctor import doctor

    advice: list[str] = []
    flat = [path for each in paths for path in (each if isinstance(each, list) else [each])]
    for path in dict.fromkeys(path for path in flat if path):
        diagnosis = doctor(path)
        broken = [each for each in diagnosis.findings if each.severity == "error"]
        near = [each for each in diagnosis.findings if "beside it" in each.what]
        for finding in (*broken[:2], *near):
            advice.append(f"{finding.what}: {finding.where}")
            advice += [f"  try: {line}" for line in finding.todo.split("\n")]
    return advice
