"""CRC-32C as checkpoints store it: masked, so that checksums of checksums stay meaningful.

The format (docs/format.md, "Primitives") rotates a CRC right by 15 bits and adds a constant.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from crc32c import crc32c

__all__ = ["MASK_DELTA", "crc32c", "mask", "unmask"]

MASK_DELTA: Final = 0xA282EAD8
_CRC32C_MODULE: Final = "crc32c._crc32c"


def _import_crc32c() -> None:
    """Import the extension module of the package crc32c, without the package's `__init__`.

    That one asks importlib.metadata for a version number and imports a command line, which
    takes half as long as importing NumPy. Whatever is unexpected here, it is imported whole.
    """
    global crc32c
    package = None if "crc32c" in sys.modules else PathFinder.find_spec("crc32c")
    if package is not None and package.submodule_search_locations is not None:
        spec = PathFinder.find_spec(_CRC32C_MODULE, list(package.submodule_search_locations))
        if spec is not None and spec.loader is not None:
            module = sys.modules[_CRC32C_MODULE] = module_from_spec(spec)
            spec.loader.exec_module(module)
            crc32c = module.crc32c
            return
    from crc32c import crc32c


_import_crc32c()


def mask(crc: int) -> int:
    """Return the stored form of a CRC-32C."""
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def unmask(masked: int) -> int:
    """Return the CRC-32C of a stored one."""
    rotated = (masked - MASK_DELTA) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF
