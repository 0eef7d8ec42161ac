"""The checkpoint of the tests of the reader."""

import bundle_bytes as bb
import numpy as np
import pytest

import fastckpt

TENSORS = {
    "bias": np.arange(6, dtype=np.int16),
    "empty": np.zeros((0, 3), np.float32),
    "model/layer_1/kernel": np.arange(12.0).reshape(3, 4),
    "model/layer_2/kernel": np.arange(12.0).reshape(3, 4) + 100,
    "scalar": np.array(7.0),
    "text": np.array([b"a", b"bc" * 100], dtype=object),
    "ü": np.array([True, False]),
}


PARTS = np.arange(20, dtype=np.float32).reshape(5, 4)


NAMES = sorted([*TENSORS, "parts"], key=str.encode)


BACKENDS = ["mmap", "pread"]


every_backend = pytest.mark.parametrize("backend", BACKENDS)


every_mode = pytest.mark.parametrize("mode", ["r", "c"])


def write_all(prefix, **options):
    with fastckpt.Writer(prefix, sync=False, **options) as writer:
        for name, value in TENSORS.items():
            writer.add(name, value)
        writer.add_slice("parts", PARTS[:2], full_shape=(5, 4), start=(0, 0))
        writer.add_slice("parts", PARTS[2:, 1:], full_shape=(5, 4), start=(2, 1))
        writer.add_slice("parts", PARTS[2:, :1], full_shape=(5, 4), start=(2, 0))


def value_of(name):
    return PARTS if name == "parts" else TENSORS[name]


def damage(prefix, name, place=0):
    """Flip a bit of a tensor in its data file; of strings, one behind their lengths."""
    place += 10 if name == "text" else 0
    with fastckpt.read(prefix) as checkpoint:
        info = checkpoint.info(name)
        count = checkpoint.num_shards
    path = f"{prefix}.data-{info.shard:05d}-of-{count:05d}"
    with open(path, "r+b") as file:
        file.seek(info.offset + place)
        byte = file.read(1)[0]
        file.seek(info.offset + place)
        file.write(bytes([byte ^ 1]))
    return path, info


def bundle_with(tmp_path, name, entry, data=b""):
    bundle = bb.Bundle.__new__(bb.Bundle)
    bundle.header = [[1, 0, 1], [3, 2, b"\x08\x01"]]
    bundle.entries = {name: bb.parse_proto(entry)}
    bundle.shards = [bytearray(data)]
    bundle.save(str(tmp_path / "crafted"))
    return fastckpt.read(tmp_path / "crafted")
