"""The process under the library that tests ask: it has imported everything, and takes orders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from . import layer


class Server:
    """A process that tries faults: ``with Server(folder) as server: server.ask("crash", name)``."""

    def __init__(self, folder: Path) -> None:
        library = layer.build(folder)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults", "serve"],
            env={**os.environ, "LD_PRELOAD": str(library), "TMPDIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: str, name: str) -> tuple[int, list[str]]:
        """Return how much was tried, and what was found to be wrong."""
        assert self._process.stdin and self._process.stdout
        print(what, name, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{what} {name}: the server ended with {self._process.wait()}")
        result = json.loads(answer)
        return result["tried"], result["faults"]

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()  # the end of its orders ends it
