"""Fresh interpreters, for what can only be seen in a process of its own."""

import os
import subprocess
import sys
import tempfile
import textwrap


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
