"""File-system calls that fail at a chosen step."""

import os

import pytest
from writing import (
    NEW,
)

import fastckpt

can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


FAILING = ("open", "write", "fsync", "replace")


class Faults:
    """Counts calls of os functions, and does something at the n-th."""

    def __init__(self, monkeypatch, names, at, action):
        self.count = 0
        self.at = at
        self.action = action
        self.is_on = True
        self.log = []
        monkeypatch.setattr(os, "fsync", lambda fd: None)  # what it does cannot be seen here
        for name in names:
            monkeypatch.setattr(os, name, self.wrap(name, getattr(os, name)))

    def wrap(self, name, function):
        def wrapped(*args, **options):
            if self.is_on:
                self.count += 1
                self.log.append((name, args if name == "replace" else ()))
                if self.count == self.at:
                    self.is_on = False
                    try:
                        self.action()
                    finally:
                        self.is_on = True
            return function(*args, **options)

        return wrapped


def count_steps(monkeypatch, folder, names=FAILING, **options):
    """How many calls a save makes."""
    with monkeypatch.context() as patch:
        faults = Faults(patch, names, 0, None)
        fastckpt.write(folder / "m", NEW, **options)
    assert faults.count > 10
    return faults.count
