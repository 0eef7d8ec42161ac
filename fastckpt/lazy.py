"""Public names that are imported when they are first used.

A command that lists a checkpoint should not wait for NumPy, nor a program that reads a tensor for
the code that saves a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["find"]


def find(owner: dict[str, Any], modules: Mapping[str, Sequence[str]], name: str) -> Any:
    """Import a name of a package for the package's `__getattr__`, and add it to the package.

    `owner` is the package's namespace; `modules` gives the names of each module, whose path is
    relative to `fastckpt`. Raises `AttributeError` for any other name.
    """
    from importlib import import_module

    for module, names in modules.items():
        if name in names:
            value = getattr(import_module(f"fastckpt.{module}"), name)
            owner[name] = value  # found without this function from now on
            return value
    raise AttributeError(f"module {owner['__name__']!r} has no attribute {name!r}")
