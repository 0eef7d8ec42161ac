"""The verbs of the command line, and the parsers of their arguments.

A verb is two functions of the module that `VERBS` names: ``VERB_options`` adds its arguments to a
parser, ``VERB`` runs it with the public functions of the package and returns the exit status. Only
the module of the requested verb is imported, and imports other modules as it needs them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final, NoReturn

from ..text import printable

__all__ = ["MISTAKE", "MODULES", "VERBS", "did_you_mean", "list_verbs", "make_parser"]

MISTAKE: Final = 2  # the exit status
VERBS: Final = {
    "Look": {
        "ls": ("look", "list the tensors"),
        "tree": ("look", "list them as a tree of their names"),
        "show": ("look", "print a tensor, or a part of it, and its statistics"),
        "stats": ("look", "print the statistics of all tensors"),
        "state": ("look", "print a folder's state file, or repair it"),
        "meta": ("look", "print the contents of a .meta graph"),
        "objects": ("look", "print the object graph of TensorFlow 2 and Keras"),
    },
    "Check": {
        "verify": ("check", "read every byte and compare all checksums"),
        "doctor": ("check", "explain what is wrong with a path and what to do"),
        "diff": ("check", "compare two checkpoints"),
        "report": ("check", "write one HTML page about a checkpoint, or about two"),
    },
    "Rescue": {
        "salvage": ("rescue", "write every tensor that still verifies as a new checkpoint"),
        "complete": ("rescue", "finish a save that was interrupted"),
        "discard": ("rescue", "remove what an interrupted save left"),
    },
    "Edit without copying": {
        "rename": ("edit", "give tensors other names"),
        "subset": ("edit", "keep some of the tensors"),
        "alias": ("edit", "give tensors further names"),
        "merge": ("edit", "make one checkpoint of several"),
        "align": ("edit", "align every tensor to a number of bytes"),
    },
    "Write anew": {
        "reshard": ("edit", "change the number of data files"),
        "average": ("edit", "average the weights of several checkpoints"),
        "cast": ("edit", "change dtypes"),
        "convert": ("edit", "to and from .npz, safetensors, HDF5 and zarr"),
    },
    "Other": {
        "completion": ("completion", "print a script that completes commands in a shell"),
    },
}
MODULES: Final = {verb: row for verbs in VERBS.values() for verb, row in verbs.items()}


def list_verbs() -> list[str]:
    """Return the verbs in the order of --help."""
    return list(MODULES)


def make_parser(verb: str) -> tuple[SuggestingParser, Any]:
    """Return the argument parser of a verb and the function that runs it."""
    name, summary = MODULES[verb]
    module = import_module(f".{name}", __package__)
    options, run = getattr(module, f"{verb}_options"), getattr(module, verb)
    parser = SuggestingParser(
        prog=f"fastckpt {verb}",
        description=f"{summary[0].upper()}{summary[1:]}. {run.__doc__ or ''}".strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser, run


class SuggestingParser(argparse.ArgumentParser):
    """An argument parser that suggests the option closest to an unknown one."""

    def options(self) -> list[str]:
        """Return the options, in the order in which they were added."""
        return list(self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        unknown = message.partition("unrecognized arguments: ")[2].split(" ")[0]
        if unknown.startswith("-"):
            message += did_you_mean(unknown, self.options())
        self.exit(MISTAKE, f"{self.prog}: {printable(message)}\ntry '{self.prog} --help'\n")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ", did you mean X?" for the closest known word; "" if none is close."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
