"""CRC-32C as checkpoints store it: masked, so that checksums of checksums stay meaningful.

The format (docs/format.md, "Primitives") rotates a CRC right by 15 bits and adds a constant.
"""

from __future__ import annotations

from crc32c import crc32c

__all__ = ["crc32c", "mask", "unmask"]

_MASK_DELTA = 0xA282EAD8


def mask(crc: int) -> int:
    """Return the stored form of a CRC-32C."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def unmask(masked: int) -> int:
    """Return the CRC-32C of a stored one."""
    rotated = (masked - _MASK_DELTA) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF
