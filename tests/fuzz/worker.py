"""The process that fuzzes one Python target: ``FUZZ_TARGET=v1 python worker.py OPTION...``.

The options are libFuzzer's.
It needs atheris, and the package built with clang's coverage. `run.py` starts it.
"""

import os
import sys

import atheris

with atheris.instrument_imports(include=["fastckpt"]):
    from fuzz.targets import TARGETS

from fuzz.mutators import MUTATORS, mutate  # noqa: E402 - not instrumented


def main():
    name = os.environ["FUZZ_TARGET"]
    options = {}
    if name in MUTATORS:

        def custom(data, max_size, seed):
            room = max(1, max_size - 64)
            return mutate(name, data, lambda each: atheris.Mutate(each, room), seed)[:max_size]

        options["custom_mutator"] = custom
    command = f"{sys.executable} {os.path.abspath(__file__)}"  # how libFuzzer starts it to merge
    atheris.Setup([command, *sys.argv[1:]], TARGETS[name], **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
