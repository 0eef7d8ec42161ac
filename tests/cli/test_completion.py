"""Completion in a shell."""

import os
import subprocess
import sys

import pytest

# ---- Completion


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


def test_completion_scripts_ask_this_program(call):
    for shell in ("bash", "zsh", "fish"):
        status, out, _ = call("completion", shell)

        assert status == 0
        assert "fastckpt completion words --" in out


@pytest.mark.skipif(not os.path.exists("/bin/bash"), reason="needs bash")
def test_completion_in_bash(tmp_path, source):
    script = f"""
        fastckpt() {{ '{sys.executable}' -m fastckpt "$@"; }}
        eval "$(fastckpt completion bash)"
        COMP_WORDS=(fastckpt show '{source}' model/b); COMP_CWORD=3
        _fastckpt
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """

    done = subprocess.run(
        ["/bin/bash", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == ["model/bias"]
    assert done.stderr == ""
