"""Completion in a shell: a script for each, which asks this program what may come next."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Final

from ..bundle.names import strip_suffix
from ..errors import CheckpointError
from .output import Output

_TAKES_NAMES: Final = ("ls", "show", "stats")  # behind the path of a checkpoint
_ASK: Final = "words"  # what a script says in place of a shell's name

_SCRIPTS: Final = {
    "bash": """\
_fastckpt() {
    local IFS=$'\\n'
    COMPREPLY=($(fastckpt completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -o filenames -F _fastckpt fastckpt
""",
    "zsh": """\
#compdef fastckpt
_fastckpt() {
    local -a found
    found=(${(f)"$(fastckpt completion words -- "${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)"})
    if (( ${#found} )); then compadd -f -a found; else _files; fi
}
compdef _fastckpt fastckpt
""",
    "fish": """\
function __fastckpt_words
    set -l typed (commandline --tokenize --cut-at-cursor --current-process)
    fastckpt completion words -- $typed[2..-1] (commandline --current-token) 2>/dev/null
end
complete --command fastckpt --arguments '(__fastckpt_words)'
""",
}


def completion_options(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=[*_SCRIPTS, _ASK], metavar="|".join(_SCRIPTS))
    parser.add_argument("words", nargs="*", help="what was typed, for the scripts' own use")


def completion(args: Namespace, out: Output) -> int:
    """For bash: eval "$(fastckpt completion bash)" in ~/.bashrc; for zsh the same in ~/.zshrc,
    behind compinit; for fish: fastckpt completion fish | source in ~/.config/fish/config.fish."""
    if args.shell == _ASK:
        found = sorted(set(_complete(args.words or [""])))
        out.emit(found, found)
    else:
        script = _SCRIPTS[args.shell]
        out.emit({"shell": args.shell, "script": script}, script.splitlines())
    return 0


def _complete(words: list[str]) -> Iterator[str]:
    """Yield what the last word may become."""
    *before, typed = words
    yield from (each for each in _candidates(before, typed) if each.startswith(typed))


def _candidates(before: list[str], typed: str) -> Iterator[str]:
    from .verbs import list_verbs, make_parser

    if not before:
        yield from [*list_verbs(), "--help", "--version"]
        return
    verb = before[0]
    if verb not in list_verbs():
        return
    if typed.startswith("-"):
        yield from make_parser(verb)[0]._option_string_actions
    elif verb == "completion":
        yield from _SCRIPTS
    else:
        paths = [word for word in before[1:] if not word.startswith("-")]
        yield from _names(paths[0]) if verb in _TAKES_NAMES and paths else _paths(typed)


def _names(path: str) -> Iterator[str]:
    from ..paths.listing import list_tensors

    try:
        yield from (info.name for info in list_tensors(path) if info.name.isprintable())
    except (CheckpointError, OSError):
        return


def _paths(typed: str) -> Iterator[str]:
    """Yield folders, checkpoints by their prefixes, and files of other sorts."""
    folder, _ = os.path.split(typed)
    head = typed[: len(typed) - len(os.path.basename(typed))]
    try:
        names = os.listdir(folder or os.curdir)
    except OSError:
        return
    prefixes = {strip_suffix(name) for name in names if name.endswith(".index")}
    for name in names:
        if not name.isprintable() or (name.startswith(".") and not os.path.basename(typed)):
            continue
        prefix = strip_suffix(name)
        yield head + (prefix if prefix is not None and prefix in prefixes else name)
