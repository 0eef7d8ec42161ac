"""What the tests of `doctor` share: a finding by its title, and the commands that it advises."""

import shlex
import subprocess
from pathlib import Path

from fastckpt.cli.main import main

__all__ = ["TOKEN", "data_of", "find", "type_in"]

TOKEN = "0123456789abcdef"  # of a staged file


def data_of(prefix):
    return Path(f"{prefix}.data-00000-of-00001")


def find(diagnosis, words):
    """The finding with these words in its title; the only one."""
    found = [each for each in diagnosis.findings if words in each.what]
    assert len(found) == 1, f"{words!r} in:\n{diagnosis}"
    return found[0]


def type_in(line):
    """Do what a line of advice says: a command of fastckpt here, any other in a shell."""
    words = shlex.split(line, comments=True)
    if words[0] == "fastckpt":
        return main(words[1:])
    return subprocess.run(["sh", "-c", line], check=True).returncode
