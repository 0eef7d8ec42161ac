"""Try faults and print figures: ``python -m tests.faults crash|power|errors|reads|lines [--quick]
[name ...]``. All kinds of save, or ways to read, if none is named. ``signals N`` sends so many.

``serve`` takes a line "what name" at a time, tries that quickly, and answers with a line of JSON.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import layer

FEW, MANY = 6, 300  # states of a power loss that are tried during a save, and after it


def main(arguments: list[str]) -> int:
    if "LD_PRELOAD" not in os.environ:
        return start_under_the_layer(arguments)
    quick = "--quick" in arguments
    what, *names = [each for each in arguments if not each.startswith("--")]
    if what == "serve":
        return serve()
    if what == "signals":
        return print_signals(int(names[0]))
    tried = faults = 0
    for name in names or list_names(what):
        started = time.monotonic()
        result = try_faults(what, name, quick)
        took = time.monotonic() - started
        print(f"{name:22} {result.tried:6} tried {len(result.faults):4} faults {took:7.1f} s")
        for each in result.faults[:6]:
            print("   ", each.replace("\n", " ")[:400])
        sys.stdout.flush()
        tried += result.tried
        faults += len(result.faults)
    print(f"{what}: {tried} tried, {faults} faults")
    return faults > 0


def list_names(what: str) -> list[str]:
    from .reads import READS
    from .saves import SAVES

    if what == "reads":
        return list(READS)
    return [name for name, save in SAVES.items() if save.syncs or what != "power"]


def try_faults(what: str, name: str, quick: bool):
    from .crash import kill_everywhere, lose_power
    from .errors import fail_everywhere, fail_reads
    from .lines import interrupt_everywhere

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        if what == "lines":
            return interrupt_everywhere(name, work, thorough=not quick)
        if what == "crash":
            return kill_everywhere(name, work, thorough=not quick)
        if what == "power":
            return lose_power(name, work, limit=FEW if quick else MANY)
        return {"errors": fail_everywhere, "reads": fail_reads}[what](
            name, work, thorough=not quick
        )


def print_signals(count: int) -> int:
    from .lines import send_signals

    result = send_signals(count)
    print(*result.faults, sep="\n")
    print(f"signals: {result.tried} saves interrupted, {len(result.faults)} lost")
    return bool(result.faults)


def serve() -> int:
    for line in sys.stdin:
        what, name = line.split()
        print(json.dumps(dataclasses.asdict(try_faults(what, name, True))), flush=True)
    return 0


def start_under_the_layer(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        library = layer.build(Path(folder))
        command = [sys.executable, "-m", __spec__.name, *arguments]
        return subprocess.call(command, env={**os.environ, "LD_PRELOAD": str(library)})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
