"""Tensors of about 2^31 elements, behind 2^32 bytes, of a file of over 6 GiB.

It is sparse: zeros without a block, and a few bytes at its end.
"""

import os

import pytest

import fastckpt
from fastckpt.bundle.commit import build_table
from fastckpt.format._record import encode_entry, encode_header
from fastckpt.format.checksum import crc32c

posix = pytest.mark.skipif(os.name != "posix", reason="needs sparse files")

LARGE = {  # name: (elements, offset); bytes each
    "below": (2**31 - 1, 64),
    "exactly": (2**31, 2**31),
    "above": (2**31 + 1, 2**32 + 64),
    "end": (1000, 2**32 + 2**31 + 128),
}
TAIL = bytes(range(125)) * 8


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A checkpoint of over 6 GiB of zeros without a block, the last tensor behind them."""
    prefix = tmp_path_factory.mktemp("large") / "m"
    zeros = bytes(1 << 24)
    half = 0
    for _ in range(127):
        half = crc32c(zeros, half)
    crcs = {size: half for size in (2**31 - 1, 2**31, 2**31 + 1)}
    crcs = {size: crc32c(bytes(size - 127 * (1 << 24)), crc) for size, crc in crcs.items()}
    crcs[1000] = crc32c(TAIL)
    records = {
        name.encode(): encode_entry(6, (count,), 0, offset, count, crcs[count])
        for name, (count, offset) in LARGE.items()
    }
    with open(f"{prefix}.data-00000-of-00001", "wb") as file:
        file.seek(LARGE["end"][1])
        file.write(TAIL)
    with open(f"{prefix}.index", "wb") as file:
        file.write(build_table(records, encode_header(1)))
    return prefix


@posix
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_ends_of_tensors_of_two_gigabytes_are_read(large, backend, name):
    count = LARGE[name][0]
    with fastckpt.read(large, backend=backend) as checkpoint:
        info = checkpoint.info(name)
        last = checkpoint.get_slice(name)[count - 5 : count]
        first = checkpoint.get_slice(name)[:5]

    assert info.shape == (count,)
    assert last.tolist() == ([120, 121, 122, 123, 124] if name == "end" else [0] * 5)
    assert first.tolist() == ([0, 1, 2, 3, 4] if name == "end" else [0] * 5)


@posix
def test_views_of_six_gigabytes_take_no_memory(large):
    with fastckpt.read(large, backend="mmap") as checkpoint:
        views = {name: checkpoint[name] for name in checkpoint}

    assert {name: len(view) for name, view in views.items()} == {
        name: count for name, (count, _) in LARGE.items()
    }
    assert views["end"].tolist() == list(TAIL)


@posix
def test_tensor_of_more_than_two_gigabytes_is_verified(large):
    with fastckpt.read(large, verify=True) as checkpoint:
        assert len(checkpoint["above"]) == 2**31 + 1


@posix
def test_part_behind_four_gigabytes_is_carried_over(large, tmp_path):
    fastckpt.subset(large, tmp_path / "n", ["end"], link=False)
    fastckpt.subset(large, tmp_path / "linked", ["end", "above"])

    assert fastckpt.load(tmp_path / "n")["end"].tolist() == list(TAIL)
    assert fastckpt.load(tmp_path / "linked", ["end"])["end"].tolist() == list(TAIL)
    os.unlink(tmp_path / "linked.data-00000-of-00001")
