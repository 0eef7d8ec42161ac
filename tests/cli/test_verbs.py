"""The verbs: that each has a module, a parser and a summary, and what a parser suggests."""

import pytest

from fastckpt.cli.verbs import MISTAKE, MODULES, VERBS, did_you_mean, list_verbs, make_parser

PARSERS = {verb: make_parser(verb) for verb in list_verbs()}


def test_each_verb_stands_in_one_group():
    in_groups = [verb for group in VERBS.values() for verb in group]

    assert list_verbs() == in_groups
    assert len(set(in_groups)) == len(in_groups)


@pytest.mark.parametrize("verb", PARSERS)
def test_parser_describes_the_verb_that_its_module_exports(verb):
    parser, run = PARSERS[verb]
    module, summary = MODULES[verb]

    assert parser.prog == f"fastckpt {verb}"
    assert parser.description.lower().startswith(summary.lower())
    assert (run.__name__, run.__module__) == (verb, f"fastckpt.cli.{module}")
    assert "print one JSON document" in parser.format_help()


def test_unknown_verb_is_a_key_error():
    with pytest.raises(KeyError):
        make_parser("nothing")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("--sotr", "did you mean '--sort'?"),
        ("--jsn=1", "unrecognized arguments: --jsn=1"),
        ("--js", "unrecognized arguments: --js"),  # options are never abbreviated
        ("--\x1b[31mred", r"--\x1b[31mred"),
    ],
)
def test_unknown_option_exits_as_a_mistake_on_one_line(capsys, typed, said):
    with pytest.raises(SystemExit) as caught:
        PARSERS["ls"][0].parse_args(["x", typed])

    assert caught.value.code == MISTAKE
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("fastckpt ls: ")
    assert said in first
    assert second == "try 'fastckpt ls --help'"


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [("lls", ", did you mean 'ls'?"), ("docter", ", did you mean 'doctor'?"), ("zzz", "")],
)
def test_closest_known_word_is_suggested(word, suggestion):
    assert did_you_mean(word, iter(list_verbs())) == suggestion


def test_nothing_is_suggested_if_nothing_is_known():
    assert did_you_mean("ls", []) == ""
