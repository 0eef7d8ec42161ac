"""Payloads of strings and variants."""

import bundle_bytes as bb
import pytest

from fastckpt.errors import ChecksumError, FormatError
from fastckpt.format._payload import decode_strings, encode_strings, verify_variants
from fastckpt.format.checksum import unmask

LITTLE, BIG = False, True
WHAT = "tensor 's' at 8"


def decode(payload, count, crc, *, is_big_endian=LITTLE):
    return decode_strings(payload, count, is_big_endian, crc, "/a/m.data", WHAT)


def stored(strings, **options):
    payload, masked = bb.string_payload(strings, **options)
    return payload, unmask(masked)


# ---- strings


@pytest.mark.parametrize("count", [6, 1000, 1 << 40, (1 << 64) - 1])
def test_more_strings_than_bytes_are_a_format_error(count):
    payload, crc = stored([b""])

    with pytest.raises(FormatError, match=f"{WHAT}: expected {count} strings, got 5 bytes"):
        decode(payload, count, crc)


@pytest.mark.parametrize(
    "lengths",
    [
        pytest.param([2, 0, 4], id="one byte beyond the end"),
        pytest.param([2, 0, 2], id="one byte left over"),
        pytest.param([2, 0, 1 << 62], id="far beyond the end"),
        pytest.param([(1 << 64) - 1, 3, 3], id="a sum that wraps"),
        pytest.param([1 << 63, 1 << 63, 5], id="two that wrap"),
    ],
)
def test_lengths_that_do_not_fill_the_payload_are_a_format_error(lengths):
    payload, crc = stored([b"ab", b"", b"xyz"], lengths=lengths)

    with pytest.raises(FormatError, match="tensor 's' at 8"):
        decode(payload, 3, crc)


@pytest.mark.parametrize("strings", [[b"ab", b"", b"xyz"], [b"x" * 300], [b""]])
def test_payload_cut_at_every_byte_is_a_format_error(strings):
    payload, crc = stored(strings)

    for size in range(len(payload)):
        with pytest.raises(FormatError):
            decode(payload[:size], len(strings), crc)


def test_payload_with_any_bit_flipped_is_a_format_error():
    payload, crc = stored([b"ab", b"", b"xyz"])

    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            decode(bytes(damaged), 3, crc)


def test_wrong_length_checksum_is_told_apart_from_wrong_bytes():
    payload, crc = stored([b"ab"], lengths_crc=0)
    with pytest.raises(ChecksumError, match="tensor 's' at 8, string lengths: expected CRC-32C"):
        decode(payload, 1, crc)

    payload, crc = stored([b"ab"])
    with pytest.raises(ChecksumError, match="tensor 's' at 8: expected CRC-32C 0x00000005"):
        decode(payload, 1, 5)


def test_byte_order_of_the_checksums_matters():
    little, crc = stored([b"ab", b"", b"xyz"])
    with pytest.raises(ChecksumError):
        decode(little, 3, crc, is_big_endian=BIG)

    big, crc = stored([b"ab", b"", b"xyz"], big=True)
    assert big == bytes.fromhex("020003dc14961b616278797a")
    assert decode(big, 3, crc, is_big_endian=BIG) == [b"ab", b"", b"xyz"]


@pytest.mark.parametrize("payload", [None, "text", 5])
def test_payload_that_is_not_bytes_is_a_type_error(payload):
    with pytest.raises(TypeError):
        decode(payload, 1, 0)


@pytest.mark.parametrize("strings", [None, (b"a",), "text"])
def test_strings_that_are_no_list_are_a_type_error(strings):
    with pytest.raises(TypeError):
        encode_strings(strings)


KNOWN = [  # docs/format.md, "Test vectors": payload, masked checksum as the entry stores it
    ([b""], "00a67b113a", "bd6707be"),
    ([], "d8ea82a2", "f6c10c64"),
    ([b"a", b"bc", b""], "010200abfbc9d8616263", "adbfe42f"),
    ([b"ab", b"", b"xyz"], "0200031b428bca616278797a", "10adc43f"),
]


@pytest.mark.parametrize(("strings", "expected", "masked"), KNOWN)
def test_known_payload(strings, expected, masked):
    payload, crc = encode_strings(strings)

    assert payload == bytes.fromhex(expected)
    assert bb.mask(crc) == int.from_bytes(bytes.fromhex(masked), "little")
    assert decode(payload, len(strings), crc) == strings


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 129, 16383, 16384, 16385, 70000])
def test_lengths_around_the_sizes_of_varints_survive(size):
    strings = [b"x" * size, b"", b"\0" * (size + 1)]

    payload, crc = encode_strings(strings)

    assert (payload, crc) == stored(strings)
    assert decode(payload, 3, crc) == strings


def test_many_strings_survive():
    strings = [bytes([i % 256]) * (i % 7) for i in range(10000)]

    payload, crc = encode_strings(strings)

    assert decode(payload, len(strings), crc) == strings


# ---- variants


TENSOR_LIST = bytes.fromhex(
    "2c0a1674656e736f72666c6f773a3a54656e736f724c6973741212020001 01"
    "ffffffffffffffffff01 1202080 1 5b2c8836".replace(" ", "")
)
TENSOR_LIST_CRC = unmask(int.from_bytes(bytes.fromhex("4e1c60c4"), "little"))


def variants(*messages):
    """A payload of variants, from its definition."""
    payload, crc = b"", 0
    for message in messages:
        crc = bb.crc32c(message, bb.crc32c(len(message).to_bytes(8, "little"), crc))
        checksum = bb.mask(crc).to_bytes(4, "little")
        crc = bb.crc32c(checksum, crc)
        payload += bb.varint(len(message)) + message + checksum
    return payload, crc


def verify(payload, count, crc):
    return verify_variants(payload, count, crc, "/a/m.data", WHAT)


@pytest.mark.parametrize("count", [0, 1, 3, 1 << 62])
def test_another_number_of_variants_is_a_format_error(count):
    payload, crc = variants(b"first", b"second")

    with pytest.raises(FormatError, match="tensor 's' at 8"):
        verify(payload, count, crc)


def test_variants_cut_at_every_byte_are_a_format_error():
    payload, crc = variants(b"first", b"second")

    for size in range(len(payload)):
        with pytest.raises(FormatError):
            verify(payload[:size], 2, crc)


def test_variants_with_any_bit_flipped_are_a_format_error():
    payload, crc = variants(b"first", b"")

    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            verify(bytes(damaged), 2, crc)


def test_variants_of_another_checksum_are_a_checksum_error():
    payload, crc = variants(b"first")

    with pytest.raises(ChecksumError, match="^/a/m.data: tensor 's' at 8: expected CRC-32C"):
        verify(payload, 1, crc ^ 1)


def test_known_variant_is_accepted():
    assert len(TENSOR_LIST) == 49
    verify(TENSOR_LIST, 1, TENSOR_LIST_CRC)


@pytest.mark.parametrize("messages", [(), (b"",), (b"x" * 200, b"", b"y")])
def test_variants_are_accepted(messages):
    payload, crc = variants(*messages)

    verify(payload, len(messages), crc)
