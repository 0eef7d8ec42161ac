"""Every promise of docs/security.md is attacked by something that exists."""

import re

import pytest
from places import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text("utf-8")
PROMISED = re.findall(r"^- \*\*(I\d+)\.", TEXT, re.MULTILINE)
ATTACKED = dict(re.findall(r"^\| (I\d+) \| (.+) \|$", TEXT, re.MULTILINE))


def test_promises_are_numbered_without_a_gap():
    numbers = [int(promise[1:]) for promise in PROMISED]

    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 10


@pytest.mark.parametrize("promise", PROMISED)
def test_promise_is_attacked_by_what_exists(promise):
    attacks = re.findall(r"`([^`]+)`", ATTACKED.get(promise, ""))

    assert attacks, "no test or fuzz target names this promise"
    for attack in attacks:
        path, _, test = attack.partition("::")
        source = (ROOT / path).read_text("utf-8")
        assert not test or re.search(rf"^def {test}\(", source, re.MULTILINE), attack


def test_nothing_is_attacked_that_is_not_promised():
    assert ATTACKED.keys() == set(PROMISED)


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"`(make [\w-]+|python [\w./-]+)", TEXT)))
)
def test_command_that_reproduces_a_figure_exists(command):
    program, name = command.split()

    if program == "make":
        assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    else:
        assert name == "-m" or (ROOT / name).is_file()
