"""The size of compressed data before they are unpacked, so that a bomb is never unpacked.

The libraries below trust the size that compressed data claim, or unpack for as long as there is
something. Formats that say their size are read up to it; the others are unpacked piece by piece,
and nothing is kept.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Final

from .base import import_optional

__all__ = ["CODECS", "can_exceed", "fits", "unpack"]

_PIECE: Final = 256 << 10
_BLOCK: Final = 128 << 10  # bytes, the most in a block of zstd
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = b"\x2a\x4d\x18"  # the end of the magic number of frames without data
_ZSTD_RAW, _ZSTD_REPEATED = 0, 1
_RATIOS: Final = {"zlib": 1032, "gzip": 1032, "lzf": 132, "lz4": 256}  # the most that each expands


def can_exceed(codec: str, size: int, most: int) -> bool:
    """Return whether any `size` bytes of a codec can unpack to more than `most` bytes."""
    ratio = _RATIOS.get(codec)
    return ratio is None or size * ratio > most


def fits(codec: str, data: bytes, most: int) -> bool:
    """Return whether compressed data unpack to at most `most` bytes.

    Data that make no sense may fit, or raise what the standard library's decompressors raise.
    """
    return CODECS[codec](data, most) <= most


def unpack(codec: str, data: bytes) -> bytes:
    """Unpack data of a codec of zarr, which were found to fit."""
    return bytes(import_optional("numcodecs").get_codec({"id": codec}).decode(data))


def _of_stream(make: Callable[[], Any]) -> Callable[[bytes, int], int]:
    def measure(data: bytes, most: int) -> int:
        """Unpack members one after the other, up to `most` bytes."""
        total = at = 0
        while at < len(data):
            decoder = make()
            while at < len(data) and not decoder.eof:
                piece = data[at : at + _PIECE]
                at += len(piece)
                is_full = True
                while (piece or is_full) and not decoder.eof:
                    unpacked = len(decoder.decompress(piece, _PIECE))
                    total += unpacked
                    if total > most:
                        return total
                    is_full = unpacked == _PIECE
                    piece = getattr(decoder, "unconsumed_tail", b"")
            at -= len(decoder.unused_data)
        return total

    return measure


def _of_blosc(data: bytes, most: int) -> int:
    return int.from_bytes(data[4:8], "little")


def _of_lz4(data: bytes, most: int) -> int:
    return int.from_bytes(data[:4], "little")


def _of_lzf(data: bytes, most: int) -> int:
    """Add up runs: up to 32 literal bytes, or a copy of up to 264 earlier ones."""
    total = at = 0
    while at + 1 < len(data) and total <= most:
        control = data[at]
        if control < 32:
            total += control + 1
            at += control + 2
            continue
        length = control >> 5
        if length == 7:
            length += data[at + 1]
            at += 1
        total += length + 2
        at += 2
    return total


def _of_zstd(data: bytes, most: int) -> int:
    """Add up frames: the size that each says, or what its blocks can hold."""
    total = at = 0
    while at + 5 <= len(data) and total <= most:
        if data[at + 1 : at + 4] == _SKIPPABLE:
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        if data[at : at + 4] != _ZSTD:
            break  # the decoder says so, too
        descriptor = data[at + 4]
        is_single = descriptor >> 5 & 1
        at += 6 - is_single + (0, 1, 2, 4)[descriptor & 3]
        width = (is_single, 2, 4, 8)[descriptor >> 6]
        claimed = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)
        at, held = _zstd_blocks(data, at + width)
        at += 4 * (descriptor >> 2 & 1)  # a checksum
        total += claimed if width else held
    return total


def _zstd_blocks(data: bytes, at: int) -> tuple[int, int]:
    """Return where the blocks of a frame end, and the most bytes that they can hold."""
    held, is_last = 0, False
    while not is_last and at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        is_last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        held += size if kind in (_ZSTD_RAW, _ZSTD_REPEATED) else _BLOCK
        at += 3 + (1 if kind == _ZSTD_REPEATED else size)
    return at, held


CODECS: Final[dict[str, Callable[[bytes, int], int]]] = {
    "zlib": _of_stream(zlib.decompressobj),
    "gzip": _of_stream(lambda: zlib.decompressobj(wbits=31)),
    "bz2": _of_stream(bz2.BZ2Decompressor),
    "lzma": _of_stream(lzma.LZMADecompressor),
    "blosc": _of_blosc,
    "lz4": _of_lz4,
    "lzf": _of_lzf,
    "zstd": _of_zstd,
}
