"""Payloads whose elements differ in size: strings, decoded and encoded, and variants, verified.

The layout is in csrc/string_payload.h and docs/format.md, "Tensor payload". Their checksums are
not over the bytes as they are stored: lengths go in with a fixed width.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint64_t

from fastckpt.format._csrc cimport (
    fck_append_varint, fck_buf, fck_buf_free, fck_read_bytes, fck_read_varint64, fck_reader,
    fck_reader_left, fck_reader_make, fck_strings_append_checked_length,
    fck_strings_decode_lengths, FCK_OK, fck_fault_of_strings, fck_status,
)
from fastckpt.format._status cimport check, fail

from fastckpt.format.checksum import crc32c, mask, unmask
from fastckpt.errors import ChecksumError, Fault, FormatError


def decode_strings(bytes payload not None, size_t count, bint is_big_endian, expected, path, what,
                   offset=None):
    """Return the `count` elements of a payload as a list of `bytes`, its checksums verified.

    `expected` is the entry's CRC-32C, `offset` the payload's place in the file. Raises
    `FormatError` unless lengths and bytes fill the payload exactly, and `ChecksumError`.
    """
    cdef fck_reader r = fck_reader_make(<const uint8_t *><const char *>payload, len(payload))
    cdef uint64_t *lengths
    cdef size_t i
    cdef fck_status status
    if count > <size_t>len(payload):  # a length takes a byte at least: checked before allocating
        raise FormatError(path, what, f"expected {count} strings, got {len(payload)} bytes",
                          offset=offset, fault=Fault.TRUNCATED)
    lengths = <uint64_t *>PyMem_Malloc((count + 1) * sizeof(uint64_t))
    if lengths == NULL:
        raise MemoryError()
    try:
        status = fck_strings_decode_lengths(&r, count, lengths)
        if status != FCK_OK:
            fail(status, fck_fault_of_strings(r, count, status), path, f"{what}, string lengths",
                 offset, None)
        at = len(payload) - fck_reader_left(&r)
        _verify(payload, at, _lengths_crc(lengths, count, is_big_endian), is_big_endian,
                expected, path, what, offset)
        strings = []
        at += 4
        for i in range(count):
            strings.append(payload[at:at + lengths[i]])
            at += lengths[i]
        return strings
    finally:
        PyMem_Free(lengths)


cdef _lengths_crc(const uint64_t *lengths, size_t count, bint is_big_endian):
    cdef fck_buf covered = fck_buf(NULL, 0, 0)
    cdef size_t i
    try:
        for i in range(count):
            check(fck_strings_append_checked_length(&covered, lengths[i], is_big_endian), "", "")
        return crc32c((<const char *>covered.data)[:covered.size] if covered.size else b"")
    finally:
        fck_buf_free(&covered)


cdef int _verify(bytes payload, size_t at, lengths_crc, is_big_endian, expected, path,
                 what, offset) except -1:
    """Compare both checksums; the one of the lengths stands at `at`."""
    stored = payload[at:at + 4]
    stored_crc = unmask(int.from_bytes(stored, "big" if is_big_endian else "little"))
    if stored_crc != lengths_crc:
        raise ChecksumError(path, f"{what}, string lengths", stored_crc, lengths_crc,
                            offset=offset)
    actual = crc32c(memoryview(payload)[at:], lengths_crc)
    if actual != expected:
        raise ChecksumError(path, what, expected, actual, offset=offset)
    return 0


def encode_strings(list strings not None):
    """Return a payload and its CRC-32C."""
    cdef fck_buf varints = fck_buf(NULL, 0, 0)
    cdef fck_buf covered = fck_buf(NULL, 0, 0)
    cdef bytes string
    cdef uint64_t size
    try:
        for string in strings:
            size = <uint64_t>len(string)
            check(fck_append_varint(&varints, size), "", "")
            check(fck_strings_append_checked_length(&covered, size, False), "", "")
        crc = crc32c((<const char *>covered.data)[:covered.size] if covered.size else b"")
        head = (<const char *>varints.data)[:varints.size] if varints.size else b""
    finally:
        fck_buf_free(&varints)
        fck_buf_free(&covered)
    length_checksum = mask(crc).to_bytes(4, "little")
    payload = b"".join([head, length_checksum, *strings])
    return payload, crc32c(memoryview(payload)[len(head):], crc)


def verify_variants(bytes payload not None, size_t count, expected, path, what, offset=None):
    """Verify the payload of `count` variants without decoding them.

    Each is a varint length, that many bytes and a checksum that runs on from the one before.
    """
    cdef fck_reader r = fck_reader_make(<const uint8_t *><const char *>payload, len(payload))
    cdef fck_reader element
    cdef uint64_t size = 0
    cdef size_t i
    crc = 0
    for i in range(count):
        where = f"{what}, variant {i}"
        check(fck_read_varint64(&r, &size), path, where, offset=offset)
        check(fck_read_bytes(&r, size, &element), path, where, offset=offset)
        crc = crc32c(int(size).to_bytes(8, "little"), crc)
        crc = crc32c((<const char *>element.p)[:size], crc)
        check(fck_read_bytes(&r, 4, &element), path, where, offset=offset)
        stored = (<const char *>element.p)[:4]
        if unmask(int.from_bytes(stored, "little")) != crc:
            raise ChecksumError(path, where, unmask(int.from_bytes(stored, "little")), crc,
                                offset=offset)
        crc = crc32c(stored, crc)
    if fck_reader_left(&r):
        raise FormatError(path, what, f"expected {count} variants, got more bytes", offset=offset,
                          fault=Fault.TRAILING)
    if crc != expected:
        raise ChecksumError(path, what, expected, crc, offset=offset)
