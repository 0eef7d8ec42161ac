"""Completion in a shell: a script for each, which asks this program for the next word.

Tensor names come from files of strangers. The scripts therefore take the answer line by line,
expand nothing in it, quote what they insert, and offer files only where a path can stand.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from typing import Final

from ..bundle.names import strip_suffix
from ..errors import CheckpointError
from ..storage.system import list_folder
from .output import Output

_TAKES_NAMES: Final = ("ls", "show", "stats")  # after the path of a checkpoint
_ASK: Final = "words"  # what a script says in place of a shell's name

_SCRIPTS: Final = {
    "bash": """\
_fastckpt() {
    local -a found typed=("${COMP_WORDS[@]:1:COMP_CWORD}")
    local word quote=
    COMPREPLY=()
    case "${typed[-1]}" in [\\"\\']*) quote=1; typed[-1]="${typed[-1]:1}" ;; esac
    typed[-1]="${typed[-1]//\\\\/}"
    mapfile -t found < <(fastckpt completion words --kind -- "${typed[@]}" 2>/dev/null)
    if [[ "${found[0]}" == paths ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY=("${found[@]:1}")
        return
    fi
    for word in "${found[@]:1}"; do
        if [[ -z $quote ]]; then
            printf -v word %q "$word"
        elif [[ $word == *[!A-Za-z0-9_./:@%+,=\\ -]* ]]; then
            continue  # within quotes that are open it could end them
        fi
        COMPREPLY+=("$word")
    done
}
complete -F _fastckpt fastckpt
""",
    "zsh": """\
#compdef fastckpt
_fastckpt() {
    local -a found typed
    local kind
    typed=("${(@Q)words[2,CURRENT]}")
    found=("${(@f)$(fastckpt completion words --kind -- "${typed[@]}" 2>/dev/null)}")
    kind=$found[1]
    shift found
    if [[ $kind == paths ]]; then compadd -f -a found; else compadd -a found; fi
}
compdef _fastckpt fastckpt
""",
    "fish": """\
function __fastckpt_words
    set -l typed (commandline --tokenize --cut-at-cursor --current-process)
    set -l token (commandline --current-token)
    set -l found (fastckpt completion words --kind -- $typed[2..-1] "$token" 2>/dev/null)
    string join \\n -- $found[2..-1]
    if test "$found[1]" = paths
        __fish_complete_path "$token"
    end
end
complete --command fastckpt --no-files --arguments '(__fastckpt_words)'
""",
}


def completion_options(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=[*_SCRIPTS, _ASK], metavar="|".join(_SCRIPTS))
    parser.add_argument("--kind", action="store_true", help="for the scripts: print it first")
    parser.add_argument("words", nargs="*", help="for the scripts: what was typed")


def completion(args: Namespace, out: Output) -> int:
    """For bash: eval "$(fastckpt completion bash)" in ~/.bashrc; for zsh the same in ~/.zshrc,
    after compinit; for fish: fastckpt completion fish | source in ~/.config/fish/config.fish."""
    if args.shell == _ASK:
        *before, typed = args.words or [""]
        kind, candidates = _candidates(before, typed)
        found = sorted({each for each in candidates if each.startswith(typed)})
        out.emit(found, [kind, *found] if args.kind else found)
    else:
        script = _SCRIPTS[args.shell]
        out.emit({"shell": args.shell, "script": script}, script.splitlines())
    return 0


def _candidates(before: list[str], typed: str) -> tuple[str, Iterable[str]]:
    """Return the kind of word that comes next, "words", "names" or "paths", and those there are."""
    from .verbs import list_verbs, make_parser

    if not before:
        return "words", [*list_verbs(), "--help", "--version"]
    verb = before[0]
    if verb not in list_verbs():
        return "words", []
    if typed.startswith("-"):
        return "words", make_parser(verb)[0].options()
    if verb == "completion":
        return "words", _SCRIPTS
    paths = [word for word in before[1:] if not word.startswith("-")]
    if verb in _TAKES_NAMES and paths:
        return "names", _names(paths[0])
    return "paths", _paths(typed)


def _names(path: str) -> Iterator[str]:
    from ..paths.listing import list_tensors

    try:
        for info in list_tensors(path):
            if info.name.isprintable() and not info.name.startswith("-"):  # that is an option
                yield info.name
    except (CheckpointError, OSError, ValueError):
        return


def _paths(typed: str) -> Iterator[str]:
    """Yield folders, checkpoints by their prefixes, and files of other kinds."""
    folder, _ = os.path.split(typed)
    head = typed[: len(typed) - len(os.path.basename(typed))]
    try:
        names = list_folder(folder)
    except (OSError, ValueError):
        return
    prefixes = {strip_suffix(name) for name in names if name.endswith(".index")}
    for name in names:
        if not name.isprintable() or (name.startswith(".") and not os.path.basename(typed)):
            continue
        prefix = strip_suffix(name)
        yield head + (prefix if prefix is not None and prefix in prefixes else name)
