"""Gives inputs to a target without a fuzzer: ``python replay.py [TARGET [FILE...]]``.

Without files the corpus of the target, without a target all of them. Ends with the exception that
the first finding raises.
"""

import sys
from pathlib import Path

from fuzz.corpora import read_corpus
from fuzz.targets import TARGETS

HERE = Path(__file__).resolve().parent


def replay(target, files):
    """Run a target on files, or on its corpus; return on how many inputs."""
    if files:
        inputs = [Path(file).read_bytes() for file in files]
    else:
        inputs = read_corpus(HERE / "corpus" / f"{target}.zip").values()
    for data in inputs:
        TARGETS[target](data)
    return len(inputs)


def main():
    for target in sys.argv[1:2] or TARGETS:
        print(f"{target}: {replay(target, sys.argv[2:])} inputs")


if __name__ == "__main__":
    main()
