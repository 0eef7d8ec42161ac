"""Fresh interpreters, for what can only be seen in a process of its own."""

import os
import subprocess
import sys
import tempfile
import textwrap

# What a process may begin with that is to die before its call of some number.
DIE_AT = """
import os

def die_at(moment, names=("open", "write", "fsync", "replace", "unlink")):
    count = 0
    def wrap(function):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count > moment:
                os._exit(1)
            return function(*args, **kwargs)
        return call
    for name in names:
        setattr(os, name, wrap(getattr(os, name)))
"""


def run(code, *arguments, timeout=60):
    """Run Python code, which finds the arguments in sys.argv[1:], and return what it prints.

    It has `timeout` seconds.
    """
    command = [sys.executable, "-c", textwrap.dedent(code), *map(os.fspath, arguments)]
    folder = tempfile.gettempdir()
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stderr or f"the process ended with {done.returncode}"
    return done.stdout
