"""Protocol buffers by schema: the rare messages (V1 records, object graphs, `.meta` files).

What is read for every tensor has C structs of its own (_record.pyx). Here a `Message` is a table of
fields, and a message that was read is a dict. Knows no file but its path.
"""

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastckpt.format._csrc cimport (
    FCK_OK, FCK_WIRE_BYTES, FCK_WIRE_FIXED32, FCK_WIRE_FIXED64, FCK_WIRE_VARINT, fck_buf,
    fck_buf_append, fck_buf_free, fck_fault_of_field, fck_field, fck_read_field, fck_read_varint64,
    fck_reader, fck_reader_left, fck_reader_make, fck_status,
)
from fastckpt.format._status cimport check, fail

import numpy as np

from fastckpt.errors import FormatError

INT = KIND_INT          # any varint, as a signed 64-bit number
BOOL = KIND_BOOL
FLOAT = KIND_FLOAT      # 4 bytes
DOUBLE = KIND_DOUBLE    # 8 bytes
TEXT = KIND_TEXT        # str: UTF-8, with surrogate escapes for bytes that are not
BYTES = KIND_BYTES      # bytes, a copy
SPAN = KIND_SPAN        # (start, end) of what is left to be decoded when it is asked for

cdef int _MAX_DEPTH = 100  # what protobuf's own parsers allow
cdef list _WIRE_TYPES = [FCK_WIRE_VARINT, FCK_WIRE_VARINT, FCK_WIRE_FIXED32, FCK_WIRE_FIXED64]
cdef list _NUMPY = [np.dtype("i8"), np.dtype("?"), np.dtype("f4"), np.dtype("f8")]
cdef list _PACKED = [None, None, np.dtype("<f4"), np.dtype("<f8")]  # as messages have them
cdef list _DEFAULTS = [0, False, 0.0, 0.0, "", b"", None, None]


cdef class SchemaRow:
    """A row of a schema."""

    def __init__(self, number, name, kind):
        self.number = number
        self.name = name
        self.is_repeated = isinstance(kind, (list, dict))
        self.is_map = isinstance(kind, dict)
        if self.is_map:
            [(key, value)] = kind.items()
            kind = Message(f"entry of {name}", {1: ("key", key), 2: ("value", value)})
        elif self.is_repeated:
            [kind] = kind
        self.message = kind if isinstance(kind, Message) else None
        self.kind = KIND_MESSAGE if self.message is not None else kind

    cdef Message value_message(self):
        """The schema of a map's values, if they are messages."""
        return (<SchemaRow>self.message.rows[1]).message

    cdef object default(self):
        if self.is_map:
            return {}
        if not self.is_repeated:
            return _DEFAULTS[self.kind]
        if self.kind <= KIND_DOUBLE:
            return np.empty(0, _NUMPY[self.kind])
        return np.empty((0, 2), np.int64) if self.kind == KIND_SPAN else []


cdef class Message:
    """A schema: field numbers to (name, kind).

    A kind is one of the constants or a `Message`; `[kind]` for a repeated field, `{kind: kind}`
    for a map. The fields of a message that holds itself are given later, with `define`.
    """

    def __init__(self, str name not None, fields=None, *, bint is_oneof=False):
        self.name = name
        self.is_oneof = is_oneof
        self.define(fields or {})

    def define(self, fields):
        """Give the fields."""
        self.rows = [SchemaRow(number, *fields[number]) for number in sorted(fields)]
        self._fields = {(<SchemaRow>row).number: row for row in self.rows}
        self._repeated = [row for row in self.rows if (<SchemaRow>row).is_repeated]
        self._defaults = {
            (<SchemaRow>row).name: (<SchemaRow>row).default()
            for row in self.rows if not (<SchemaRow>row).is_repeated
        }

    def __repr__(self):
        return f"<schema of {self.name}>"


def decode(Message message not None, data, path, what, size_t start=0, end=None):
    """Return the message in `data[start:end]` as a dict.

    It has every field of the schema: a scalar that is not there is 0, 0.0, False, "" or b"", a
    submessage None. Of a schema with `is_oneof` it has those that are there. Repeated numbers,
    packed or not, are a NumPy array (int64, bool, float32 or float64), repeated spans an int64
    array of shape (n, 2), a map is a dict, anything else that is repeated a list. Of a field
    that is there twice the last counts. Unknown fields, and known ones of another wire type,
    are skipped.

    Raises `FormatError` with the offset in `data` for bytes that are no protocol buffer.
    """
    cdef const uint8_t[::1] view = data
    cdef size_t size = view.shape[0]
    cdef size_t stop = size if end is None else end
    if start > stop or stop > size:
        raise ValueError(f"expected a part of {size} bytes, got [{start}, {stop})")
    cdef _Decoder decoder = _Decoder.__new__(_Decoder)
    decoder.base = &view[0] if size > 0 else NULL
    decoder.path = path
    decoder.what = what
    cdef fck_reader reader = fck_reader_make(decoder.base, 0)
    if size > 0:
        reader = fck_reader_make(decoder.base + start, stop - start)
    return decoder.read(message, reader, 0)


def hash_field(uint32_t number, data, const int64_t[:, ::1] spans, path, what):
    """Return Python's hash of a length-delimited field of many messages, as an int64 array.

    `spans` are their places in `data`; a message without the field has the hash of b"". For an
    index of millions of names that takes 8 bytes for each. Raises `FormatError`.
    """
    cdef const uint8_t[::1] view = data
    cdef fck_reader reader
    cdef fck_field field
    cdef Py_ssize_t i
    cdef fck_reader found
    array = np.empty(spans.shape[0], np.int64)
    cdef int64_t[::1] hashes = array
    for i in range(spans.shape[0]):
        if not 0 <= spans[i, 0] <= spans[i, 1] <= view.shape[0]:
            raise ValueError(f"expected a part of {view.shape[0]} bytes, got {tuple(spans[i])}")
        found = fck_reader_make(NULL, 0)
        reader = found
        if spans[i, 0] < spans[i, 1]:
            reader = fck_reader_make(&view[spans[i, 0]], spans[i, 1] - spans[i, 0])
        while fck_reader_left(&reader) > 0:
            status = fck_read_field(&reader, &field)
            if status != FCK_OK:
                fail(status, fck_fault_of_field(reader, status), path, what, reader.p - &view[0],
                     None)
            if field.number == number and field.type == FCK_WIRE_BYTES:
                found = field.bytes
        hashes[i] = hash((<const char *>found.p)[:fck_reader_left(&found)])
    return array


cdef class _Decoder:
    """Decodes the messages of one buffer, which outlives it."""

    cdef const uint8_t *base
    cdef object path
    cdef object what

    cdef dict read(self, Message message, fck_reader reader, int depth):
        cdef fck_field field
        cdef SchemaRow row
        cdef dict found = {} if message.is_oneof else message._defaults.copy()
        cdef dict arrays = {}   # name -> chunks of a repeated number, or _Spans
        if depth > _MAX_DEPTH:
            raise self.error(reader.p, "expected messages at most 100 deep, got more")
        while fck_reader_left(&reader) > 0:
            status = fck_read_field(&reader, &field)
            if status != FCK_OK:
                fail(status, fck_fault_of_field(reader, status), self.path, self.what,
                     reader.p - self.base, None)
            row = message._fields.get(field.number)
            if row is None:
                continue
            if row.kind <= KIND_DOUBLE:
                self.read_number(row, &field, found, arrays)
            elif field.type == FCK_WIRE_BYTES:
                self.read_bytes(row, field.bytes, found, arrays, depth)
        for name, chunks in arrays.items():
            found[name] = chunks.join()
        if not message.is_oneof:
            for row in message._repeated:
                if row.name not in found:
                    found[row.name] = row.default()
        return found

    cdef int read_number(self, SchemaRow row, const fck_field *field, dict found,
                         dict arrays) except -1:
        if row.is_repeated:
            chunks = arrays.get(row.name)
            if chunks is None:
                chunks = arrays[row.name] = _Numbers(row.kind)
            if field.type == FCK_WIRE_BYTES and fck_reader_left(&field.bytes) > 0:
                chunks.chunks.append(self.unpack(row.kind, field.bytes))
            elif field.type == _WIRE_TYPES[row.kind]:
                chunks.add(_number(row.kind, field.value))
        elif field.type == _WIRE_TYPES[row.kind]:
            found[row.name] = _number(row.kind, field.value)
        return 0

    cdef int read_bytes(self, SchemaRow row, fck_reader payload, dict found, dict arrays,
                        int depth) except -1:
        cdef _Spans spans
        if row.kind == KIND_SPAN and row.is_repeated:
            spans = arrays.get(row.name)
            if spans is None:
                spans = arrays[row.name] = _Spans()
            spans.add(payload.p - self.base, payload.end - self.base)
            return 0
        if row.kind == KIND_MESSAGE:
            value = self.read(row.message, payload, depth + 1)
        elif row.kind == KIND_SPAN:
            value = (payload.p - self.base, payload.end - self.base)
        elif row.kind == KIND_TEXT:
            value = PyUnicode_DecodeUTF8(<const char *>payload.p, fck_reader_left(&payload),
                                         "surrogateescape")
        else:
            value = (<const char *>payload.p)[:fck_reader_left(&payload)]
        if row.is_map:
            entry = value["value"]
            if entry is None and row.value_message() is not None:
                entry = self.read(row.value_message(), fck_reader_make(payload.end, 0), depth + 1)
            found.setdefault(row.name, {})[value["key"]] = entry
        elif row.is_repeated:
            found.setdefault(row.name, []).append(value)
        else:
            found[row.name] = value
        return 0

    cdef object unpack(self, int kind, fck_reader payload):
        """The numbers of a packed field, as an array of its own."""
        cdef size_t size = fck_reader_left(&payload)
        cdef const uint8_t *begin = payload.p
        cdef size_t count = 0
        cdef size_t i
        cdef int64_t[::1] numbers
        cdef uint8_t[::1] raw
        cdef fck_status status = FCK_OK
        if kind == KIND_FLOAT or kind == KIND_DOUBLE:
            dtype = _PACKED[kind]
            if size % dtype.itemsize:
                raise self.error(begin, f"expected items of {dtype.itemsize} bytes, got {size}")
            array = np.empty(size // dtype.itemsize, dtype)
            if size > 0:
                raw = array.view(np.uint8)
                memcpy(&raw[0], begin, size)
            return array.astype(_NUMPY[kind], copy=False)
        with nogil:
            for i in range(size):
                count += begin[i] < 0x80  # the last byte of a varint
        array = np.empty(count, np.int64)
        if count > 0:
            numbers = array
            with nogil:
                for i in range(count):
                    status = fck_read_varint64(&payload, <uint64_t *>&numbers[i])
                    if status != FCK_OK:
                        break
        if status != FCK_OK or fck_reader_left(&payload) > 0:
            raise self.error(payload.p, "expected packed varints, got one that does not end")
        return array.astype(np.bool_) if kind == KIND_BOOL else array

    cdef object error(self, const uint8_t *p, problem):
        return FormatError(self.path, self.what, problem, offset=p - self.base)


cdef class _Numbers:
    """A repeated number that is being read: packed chunks, and runs of single ones."""

    cdef readonly int kind
    cdef readonly list chunks

    def __init__(self, int kind):
        self.kind = kind
        self.chunks = []

    cpdef int add(self, value) except -1:
        if not self.chunks or not isinstance(self.chunks[-1], list):
            self.chunks.append([])
        self.chunks[-1].append(value)
        return 0

    cpdef object join(self):
        dtype = _NUMPY[self.kind]
        arrays = [np.asarray(chunk, dtype) for chunk in self.chunks]
        return arrays[0] if len(arrays) == 1 else np.concatenate([np.empty(0, dtype), *arrays])


cdef class _Spans:
    """Repeated spans that are being read; millions of them take no Python objects."""

    cdef fck_buf pairs

    def __dealloc__(self):
        fck_buf_free(&self.pairs)

    cdef int add(self, int64_t start, int64_t end) except -1:
        cdef int64_t[2] pair
        pair[0] = start
        pair[1] = end
        check(fck_buf_append(&self.pairs, <const uint8_t *>pair, sizeof(pair)), "", "")
        return 0

    cpdef object join(self):
        cdef int64_t[:, ::1] spans
        array = np.empty((self.pairs.size // 16, 2), np.int64)
        spans = array
        memcpy(&spans[0, 0], self.pairs.data, self.pairs.size)
        return array


cdef object _number(int kind, uint64_t value):
    cdef uint32_t low = <uint32_t>value
    cdef float single
    cdef double real
    if kind == KIND_INT:
        return <int64_t>value
    if kind == KIND_BOOL:
        return value != 0
    if kind == KIND_FLOAT:
        memcpy(&single, &low, 4)
        return single
    memcpy(&real, &value, 8)
    return real
