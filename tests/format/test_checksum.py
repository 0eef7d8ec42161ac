"""CRC-32C and its masked form."""

import pytest
from fresh import run

from fastckpt.format.checksum import crc32c, mask, unmask

VECTORS = [
    (b"", 0),
    (b"a", 0xC1D04330),
    (b"123456789", 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
]
MASKED = [(0, 0xA282EAD8), (0xFFFFFFFF, 0xA282EAD7), (0xC1D04330, 0x28E46E78)]


@pytest.mark.parametrize("value", ["text", 5, None, [1]])
def test_only_bytes_have_a_checksum(value):
    with pytest.raises(TypeError):
        crc32c(value)


@pytest.mark.parametrize(("data", "crc"), VECTORS)
def test_crc32c_of_known_bytes(data, crc):
    assert crc32c(data) == crc
    assert crc32c(bytearray(data)) == crc
    assert crc32c(memoryview(data)) == crc


@pytest.mark.parametrize("size", [0, 1, 7, 8, 4096, 32767, 32768, 70000])
def test_checksum_runs_on_from_a_first_part(size):
    data = bytes(range(251)) * 300
    first, rest = data[:size], data[size:]

    assert crc32c(rest, crc32c(first)) == crc32c(data)


@pytest.mark.parametrize(("crc", "masked"), [*MASKED, (0xE3069283, 0xC78AB0E5)])
def test_mask_of_known_checksums(crc, masked):
    assert mask(crc) == masked
    assert unmask(masked) == crc


def test_unmask_undoes_mask_for_every_bit():
    for crc in [0, 0xFFFFFFFF, *(1 << bit for bit in range(32))]:
        assert unmask(mask(crc)) == crc
        assert mask(unmask(crc)) == crc
        assert 0 <= mask(crc) <= 0xFFFFFFFF


@pytest.mark.parametrize("order", ["crc32c fastckpt", "fastckpt crc32c"])
def test_package_crc32c_is_whole_beside_fastckpt(order):
    code = f"""
        for name in {order.split()!r}:
            module = __import__(name)
        import crc32c, fastckpt.format.checksum
        assert crc32c.crc32c(b"a") == fastckpt.format.checksum.crc32c(b"a") == 0xc1d04330
        assert crc32c.CRC32CHash
        print("same")
    """

    assert run(code) == "same\n"
