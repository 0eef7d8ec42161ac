"""The size of compressed data: right for what a codec writes, bounded for anything else."""

import bz2
import gzip
import lzma
import time
import zlib
from contextlib import suppress

import h5py
import numcodecs
import numpy as np
import pytest
from fresh import run
from hypothesis import given, settings
from hypothesis import strategies as st

from fastckpt.interop.unpacked import CODECS, can_exceed, fits, unpack

PACK = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "lzma": lzma.compress,
    "blosc": numcodecs.Blosc().encode,
    "lz4": numcodecs.LZ4().encode,
    "zstd": numcodecs.Zstd().encode,
}
DATA = [b"", b"x", bytes(1 << 20), np.random.default_rng(0).bytes(300_000), b"abc" * 99_999]
each_codec = pytest.mark.parametrize("codec", PACK)


@each_codec
@pytest.mark.parametrize("data", DATA, ids=len)
def test_data_fit_into_their_size_and_into_nothing_less(codec, data):
    packed = bytes(PACK[codec](data))

    assert fits(codec, packed, len(data))
    assert not data or not fits(codec, packed, len(data) - 1)
    assert not can_exceed(codec, len(packed), 10**12) or codec not in ("zlib", "gzip", "lz4")
    assert can_exceed(codec, len(packed), len(data) - 1)


@pytest.mark.parametrize("codec", ["zlib", "gzip", "bz2", "lzma", "zstd"])
def test_members_are_added_up(codec):
    packed = bytes(PACK[codec](bytes(70_000))) * 3

    assert fits(codec, packed, 210_000)
    assert not fits(codec, packed, 209_999)


def test_zstd_that_does_not_say_its_size_is_measured_by_its_blocks():
    block = (1 << 3 | 1 << 1 | 1).to_bytes(3, "little")  # the last one: a byte, repeated
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + block.replace(
        block, (99_999 << 3 | 3).to_bytes(3, "little")
    )

    assert fits("zstd", frame + b"\0", 99_999)
    assert not fits("zstd", frame + b"\0", 99_998)


@pytest.mark.parametrize("data", [bytes(40_000), np.random.default_rng(0).bytes(99), b"ab" * 999])
def test_lzf_is_measured_as_hdf5_unpacks_it(tmp_path, data):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        values = np.frombuffer(data, np.uint8)
        dataset = file.create_dataset("x", data=values, chunks=values.shape, compression="lzf")
        mask, packed = dataset.id.read_direct_chunk((0,))

    assert mask or (fits("lzf", packed, len(data)) and not fits("lzf", packed, len(data) - 1))
    assert mask == (0 if len(set(data)) < 9 else 1)


@each_codec
def test_codec_of_zarr_unpacks(codec):
    data = np.random.default_rng(1).bytes(1000)

    assert unpack(codec, bytes(PACK[codec](data))) == data


@settings(max_examples=300, deadline=None)
@given(codec=st.sampled_from(sorted(CODECS)), data=st.binary(max_size=300), cut=st.integers(0, 99))
def test_any_bytes_end_in_an_answer_or_an_error_of_a_decompressor(codec, data, cut):
    sound = bytes(PACK[codec](data)) if codec in PACK else b""
    for each in (data, sound[:cut] + data + sound[cut:]):
        with suppress(zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
            assert fits(codec, each, 1 << 40) in (True, False)


BOMB = """
    import bz2, resource, sys
    from fastckpt.interop.unpacked import fits

    packer = bz2.BZ2Compressor()
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not fits("bz2", packed, 64 << 20)
    assert fits("bz2", packed, 100 << 20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_bomb_is_measured_in_little_memory():
    assert int(run(BOMB)) < 16 << 10  # KiB


def test_large_data_take_time_in_proportion():
    times = []
    for size in (1 << 22, 1 << 24):
        packed = zlib.compress(np.random.default_rng(0).bytes(size), 1)
        started = time.perf_counter()
        assert fits("zlib", packed, size)
        times.append(time.perf_counter() - started)

    assert times[1] < 16 * times[0] + 0.1
