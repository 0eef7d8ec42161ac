"""Encoding protocol buffers by schema, in the order of their fields' numbers as TensorFlow does."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastckpt.format._csrc cimport (
    FCK_OK, FCK_WIRE_FIXED32, FCK_WIRE_FIXED64, FCK_WIRE_VARINT, fck_append_bytes,
    fck_append_fixed32, fck_append_fixed64, fck_append_tag, fck_append_varint, fck_buf,
    fck_buf_free, fck_status,
)
from fastckpt.format._message cimport (
    KIND_BOOL, KIND_DOUBLE, KIND_FLOAT, KIND_INT, KIND_MESSAGE, KIND_SPAN, KIND_TEXT, Message,
    SchemaRow,
)
from fastckpt.format._status cimport check

import numpy as np


def encode(Message message not None, values):
    """Return the bytes of a message: the fields of a dict, in the order of their numbers.

    A scalar is left out if it is missing, None, or its default, unless the schema has `is_oneof`;
    a submessage if it is missing or None. Repeated numbers are packed, the entries of a map in
    the dict's order. Where a message or a span is expected, `bytes` are taken as encoded already.
    """
    cdef fck_buf out = fck_buf(NULL, 0, 0)
    cdef SchemaRow row
    try:
        for row in message.rows:
            value = values.get(row.name)
            if value is None:
                continue
            if row.is_map:
                for key, item in value.items():
                    _append_entry(&out, row, key, item)
            elif not row.is_repeated:
                if message.is_oneof or row.kind >= KIND_SPAN or value:
                    _append(&out, row, value)
            elif row.kind <= KIND_DOUBLE:
                _append_packed(&out, row, value)
            else:
                for item in value:
                    _append(&out, row, item)
        return (<const char *>out.data)[:out.size] if out.size else b""
    finally:
        fck_buf_free(&out)


cdef int _append_entry(fck_buf *out, SchemaRow row, key, value) except -1:
    """Append an entry of a map. Key and value are always written, as protobuf writes them."""
    cdef fck_buf entry = fck_buf(NULL, 0, 0)
    try:
        _append(&entry, row.message.rows[0], key)
        _append(&entry, row.message.rows[1], value)
        check(fck_append_bytes(out, row.number, entry.data, entry.size), "", "")
    finally:
        fck_buf_free(&entry)
    return 0


cdef int _append(fck_buf *out, SchemaRow row, value) except -1:
    """Append one value of a field."""
    cdef uint64_t bits
    cdef float single
    cdef double real
    cdef uint32_t low
    cdef bytes data
    if row.kind == KIND_INT or row.kind == KIND_BOOL:
        bits = <uint64_t>(int(value) & 0xFFFFFFFFFFFFFFFF)
        check(fck_append_tag(out, row.number, FCK_WIRE_VARINT), "", "")
        check(fck_append_varint(out, bits), "", "")
    elif row.kind == KIND_FLOAT:
        single = value
        memcpy(&low, &single, 4)
        check(fck_append_tag(out, row.number, FCK_WIRE_FIXED32), "", "")
        check(fck_append_fixed32(out, low), "", "")
    elif row.kind == KIND_DOUBLE:
        real = value
        memcpy(&bits, &real, 8)
        check(fck_append_tag(out, row.number, FCK_WIRE_FIXED64), "", "")
        check(fck_append_fixed64(out, bits), "", "")
    else:
        if row.kind == KIND_TEXT:
            data = value.encode("utf-8", "surrogateescape")
        elif isinstance(value, bytes):
            data = value
        elif row.kind == KIND_MESSAGE:
            data = encode(row.message, value)
        else:
            data = bytes(value)
        check(fck_append_bytes(out, row.number, <const uint8_t *><const char *>data, len(data)),
              "", "")
    return 0


cdef int _append_packed(fck_buf *out, SchemaRow row, value) except -1:
    cdef fck_buf packed = fck_buf(NULL, 0, 0)
    cdef const int64_t[::1] numbers
    cdef fck_status status = FCK_OK
    cdef Py_ssize_t i
    cdef bytes data
    if len(value) == 0:
        return 0
    if row.kind == KIND_FLOAT or row.kind == KIND_DOUBLE:
        dtype = "<f4" if row.kind == KIND_FLOAT else "<f8"
        data = np.ascontiguousarray(value, dtype).tobytes()
        check(fck_append_bytes(out, row.number, <const uint8_t *><const char *>data, len(data)),
              "", "")
        return 0
    numbers = np.ascontiguousarray(value, np.int64)
    try:
        with nogil:
            for i in range(numbers.shape[0]):
                status = fck_append_varint(&packed, <uint64_t>numbers[i])
                if status != FCK_OK:
                    break
        check(status, "", "")
        check(fck_append_bytes(out, row.number, packed.data, packed.size), "", "")
    finally:
        fck_buf_free(&packed)
    return 0
