"""Inputs as files, and what may become of them."""

import contextlib
import os
import struct
import tempfile

import fastckpt

ERRORS = (fastckpt.CheckpointError, FileNotFoundError)
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a folder without a disk


@contextlib.contextmanager
def folder():
    """A path where files of one input go."""
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="fastckpt-fuzz-") as path:
        yield path


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


def attempt(action, *arguments, **options):
    """Return what it returns and None, or None and the error that broken input may end with."""
    try:
        return action(*arguments, **options), None
    except ERRORS as error:
        str(error)
        return None, error


def require(condition, what):
    if not condition:
        raise AssertionError(what)


# ---- Bundles: an index and its data files, each behind its size


def pack(parts):
    """Make an input of an index and data files; the last has no size in front."""
    sized = b"".join(struct.pack("<I", len(part)) + part for part in parts[:-1])
    return bytes([len(parts)]) + sized + parts[-1]


def unpack(data):
    """Take an input apart, whatever it is: the index, and from one to eight data files."""
    count = min(max(data[0] if data else 2, 2), 9)
    parts, rest = [], data[1:]
    for _ in range(count - 1):
        size = int.from_bytes(rest[:4], "little")
        parts.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    return [*parts, rest]


def write_bundle(path, data):
    """Write the files of an input; return their prefix."""
    prefix = os.path.join(path, "ckpt")
    index, *shards = unpack(data)
    write(prefix + ".index", index)
    for number, shard in enumerate(shards):
        write(f"{prefix}.data-{number:05d}-of-{len(shards):05d}", shard)
    return prefix
