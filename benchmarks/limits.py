"""What the machine itself takes to move or to check the same bytes.

These do a part of the work of a case, never all of it: no index, no checksums where the bytes are
only moved, no moving where they are only checked. A contender can come close to a limit, and beats
it only by using more threads or by not doing that part at all.
"""

from __future__ import annotations

import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import crc32c
import numpy as np
from numpy.typing import NDArray

from benchmarks.fixtures import Fixtures
from benchmarks.trial import Trial, check_big, check_loaded, expect

Tensors = dict[str, NDArray[Any]]

# Large enough that the calls cost nothing, small enough to stay in the second-level cache.
CHUNK_SIZE = 256 << 10

# On some processors (AMD Zen 3) the kernel copies to other addresses at a quarter of the speed, and
# malloc, so `np.empty` too, begins large memory 16 bytes after a page does.
ALIGNMENT = 64


def pread_one_thread(fixtures: Fixtures) -> Trial[Tensors]:
    return pread(fixtures, 1)


def pread_all_threads(fixtures: Fixtures) -> Trial[Tensors]:
    return pread(fixtures, os.cpu_count() or 1)


def pread(fixtures: Fixtures, threads: int) -> Trial[Tensors]:
    """Read each tensor into memory that was never touched, so that the kernel has to find pages."""
    names, items = fixtures.big_names(), fixtures.scale.big_items
    descriptor = os.open(fixtures.big_shard(), os.O_RDONLY)

    def read_one(number: int) -> NDArray[np.float32]:
        tensor = empty(items)
        read_exactly(descriptor, bytes_of(tensor), number * tensor.nbytes)
        return tensor

    def timed() -> Tensors:
        with ThreadPoolExecutor(threads) as pool:
            return dict(zip(names, pool.map(read_one, range(len(names))), strict=True))

    return Trial(timed, lambda tensors: check_loaded(fixtures, tensors))


def memcpy(fixtures: Fixtures) -> Trial[Tensors]:
    """Copy the tensors from memory to memory, all of it touched before."""
    source, target = {}, {}
    for name in fixtures.big_names():
        source[name] = empty(fixtures.scale.big_items)
        source[name][:] = fixtures.big_tensor(name)
        target[name] = empty(fixtures.scale.big_items)
        target[name].fill(0)

    def timed() -> Tensors:
        for name, tensor in source.items():
            np.copyto(target[name], tensor)
        return target

    return Trial(timed, lambda tensors: check_big(fixtures, source, tensors))


def crc32c_memory(fixtures: Fixtures) -> Trial[list[int]]:
    """Checksum the tensors in memory, in one thread."""
    tensors = [fixtures.big_tensor(name) for name in fixtures.big_names()]

    def timed() -> list[int]:
        return [crc32c.crc32c(bytes_of(tensor)) for tensor in tensors]

    return Trial(timed, lambda checksums: check_checksums(fixtures, checksums))


def crc32c_pread(fixtures: Fixtures) -> Trial[list[int]]:
    """Read the tensors into one small buffer and checksum them there, in one thread."""
    size = fixtures.scale.big_items * 4
    descriptor = os.open(fixtures.big_shard(), os.O_RDONLY)
    buffer = bytes_of(empty(CHUNK_SIZE // 4))

    def checksum(start: int) -> int:
        crc = 0
        for offset in range(start, start + size, CHUNK_SIZE):
            read_exactly(descriptor, buffer, offset)
            crc = crc32c.crc32c(buffer, crc)
        return crc

    def timed() -> list[int]:
        return [checksum(number * size) for number in range(fixtures.scale.big_count)]

    return Trial(timed, lambda checksums: check_checksums(fixtures, checksums))


def write_file(fixtures: Fixtures) -> Trial[None]:
    """Write the tensors to one file, a `write` each."""
    tensors = [fixtures.big_tensor(name) for name in fixtures.big_names()]
    path = fixtures.output / "bytes"

    def timed() -> None:
        with open(path, "wb", buffering=0) as file:
            for tensor in tensors:
                rest = bytes_of(tensor)
                while rest:
                    rest = rest[file.write(rest) :]

    def check(_: None) -> None:
        found = np.fromfile(path, np.float32).reshape(len(tensors), -1)
        check_loaded(fixtures, dict(zip(fixtures.big_names(), found, strict=True)))

    return Trial(timed, check, before=fixtures.clear_output)


def empty(items: int) -> NDArray[np.float32]:
    """Memory that begins at a multiple of `ALIGNMENT`; untouched if it is large."""
    size = items * 4
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(np.float32)


def bytes_of(tensor: NDArray[np.float32]) -> memoryview:
    """The bytes of `tensor`, not copied."""
    return tensor.view(np.uint8).data


def read_exactly(descriptor: int, target: memoryview, offset: int) -> None:
    while target:
        count = os.preadv(descriptor, [target], offset)
        if not count:
            raise EOFError(f"nothing to read at {offset}")
        target, offset = target[count:], offset + count


def check_checksums(fixtures: Fixtures, checksums: list[int]) -> None:
    """The checksums are those that TensorFlow put into the index: field 6 of each entry, masked."""
    index = Path(fixtures.prefix("big") + ".index").read_bytes()
    for checksum in checksums:
        masked = ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
        expect(struct.pack("<BI", 0x35, masked) in index, f"no tensor has checksum {masked:#x}")
