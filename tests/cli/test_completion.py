"""Completion in a shell."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastckpt

BASH = "/bin/bash"
needs_bash = pytest.mark.skipif(not os.path.exists(BASH), reason="needs bash")


def complete(call, *words):
    return call("completion", "words", "--", *words)[1].split()


def test_completion_of_verbs_options_paths_and_names(call, source, golden):
    assert complete(call, "re") == ["rename", "report", "reshard"]
    assert complete(call, "diff", "--v") == ["--values"]
    assert complete(call, "ls", os.path.join(os.path.dirname(source), "")) == [source] * 1
    assert complete(call, "show", source, "model/k") == ["model/kernel", "model/kernel/Adam"]
    assert complete(call, "completion", "b") == ["bash"]
    assert complete(call, "nothing", "x") == []
    assert complete(call, "show", "nothere", "x") == []


def test_kind_of_the_words_comes_first_if_asked(call, source):
    def kind(*words):
        return call("completion", "words", "--kind", "--", *words)[1].split("\n")[0]

    assert kind("re") == kind("diff", "--v") == kind("nothing", "x") == "words"
    assert kind("ls", source) == kind("diff", "a", "b") == "paths"
    assert kind("show", source, "model/k") == kind("show", "nothere", "x") == "names"


def test_completion_scripts_ask_this_program(call):
    for shell in ("bash", "zsh", "fish"):
        status, out, _ = call("completion", shell)

        assert status == 0
        assert "fastckpt completion words --" in out


def complete_in_bash(folder, *words, then="printf '%s\\0' \"${COMPREPLY[@]}\""):
    """What bash offers for the last word."""
    script = f"""
        fastckpt() {{ '{sys.executable}' -m fastckpt "$@"; }}
        eval "$(fastckpt completion bash)"
        compopt() {{ :; }}
        COMP_WORDS=(fastckpt "$@"); COMP_CWORD=$#
        _fastckpt
        {then}
    """
    done = subprocess.run(
        [BASH, "--norc", "-c", script, "bash", *words],
        capture_output=True, cwd=folder, check=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == b""
    return [word.decode() for word in done.stdout.split(b"\0") if word]


@needs_bash
def test_completion_in_bash(tmp_path, source):
    assert complete_in_bash(tmp_path, "show", source, "model/b") == ["model/bias"]
    assert complete_in_bash(tmp_path, "show", source, "'model/b") == ["model/bias"]
    assert complete_in_bash(tmp_path, "ls", source[:-1]) == [source]


@needs_bash
def test_names_of_files_are_never_offered_as_names_of_tensors(tmp_path):
    names = ["pay*", "lay?r", "conv[1]", "plain", "~", "$HOME"]
    fastckpt.write(tmp_path / "m", {name: np.zeros(2) for name in names}, sync=False)
    for name in ("payslip.txt", "layer", "conv1"):
        (tmp_path / name).touch()

    assert sorted(complete_in_bash(tmp_path, "show", "m", "")) == sorted(
        ["pay\\*", "lay\\?r", "conv\\[1\\]", "plain", "\\~", "\\$HOME"]
    )
    assert complete_in_bash(tmp_path, "show", "m", "nothing") == []
    assert complete_in_bash(tmp_path, "show", "m", "'") == ["plain"]  # the quote stays open


@needs_bash
@given(st.sets(st.text(st.sampled_from("ab'\"\\$`;&|()<>*?[]{}!#~ /-"), min_size=1), max_size=9))
@settings(max_examples=8, deadline=None)
def test_what_is_inserted_is_one_word_that_runs_nothing(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("names")
    fastckpt.write(folder / "m", {name: np.zeros(1) for name in names}, sync=False)

    typed = 'for each in "${COMPREPLY[@]}"; do eval "set -- $each"; printf "%s\\0" "$#$*"; done'
    assert sorted(complete_in_bash(folder, "show", "m", "", then=typed)) == sorted(
        f"1{name}" for name in names if not name.startswith("-")
    )
