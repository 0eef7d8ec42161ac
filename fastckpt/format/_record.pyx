"""The records of an index: C structs to and from Python values. Knows no file and no NumPy.

The messages are in csrc/entry.h. A slice is a tuple of (start, length), one per dimension, a
length of -1 being the whole dimension.
"""

cimport cython
from cpython.long cimport PyLong_FromLongLong
from cpython.ref cimport Py_INCREF, PyObject
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from fastckpt.format._csrc cimport (
    FCK_BIG_ENDIAN, FCK_LITTLE_ENDIAN, FCK_MAX_RANK, FCK_MESSAGE_ENTRY, FCK_MESSAGE_HEADER,
    FCK_MESSAGE_SLICES, FCK_OK, FCK_VERSION, cbool, fck_buf, fck_buf_free, fck_entry,
    fck_entry_append_slice, fck_entry_decode, fck_entry_encode, fck_entry_measure,
    fck_entry_next_slice, fck_fault, fck_fault_of_message, fck_header, fck_header_decode,
    fck_header_encode, fck_reader, fck_reader_make, fck_slice, fck_slice_key, fck_status,
)
from fastckpt.format._status cimport check, fail

from fastckpt.errors import CheckpointError, Fault, FormatError, UnsupportedError, name_tensor
from fastckpt.format import checksum
from fastckpt.format.dtypes import by_number, dtype_of


cdef extern from "Python.h":
    void PyObject_GC_UnTrack(PyObject *o)

cdef uint32_t _MASK_DELTA = checksum.MASK_DELTA

MAX_STORED_RANK = FCK_MAX_RANK  # dimensions in a file, where there may be more than in an array


cdef class Entry:
    """What the index says of a tensor, or of one slice of one. `crc32c` is not masked."""

    def __init__(self, int dtype, tuple shape not None, int shard_id, int64_t offset,
                 int64_t size, uint32_t crc32c, tuple slices not None=()):
        self.dtype = dtype
        self.shape = shape
        self.shard_id = shard_id
        self.offset = offset
        self.size = size
        self.crc32c = crc32c
        self.slices = slices


cdef uint32_t unmask_crc(uint32_t masked) noexcept:
    """What checksum.unmask does, for the hot path."""
    cdef uint32_t rotated = masked - _MASK_DELTA
    return rotated >> 17 | rotated << 15


cdef uint32_t mask_crc(uint32_t crc) noexcept:
    """What checksum.mask does."""
    return (crc >> 15 | crc << 17) + _MASK_DELTA


cdef tuple shape_of(const fck_entry *entry):
    cdef tuple shape = PyTuple_New(entry.rank)
    cdef uint32_t i
    for i in range(entry.rank):
        dim = PyLong_FromLongLong(entry.dims[i])
        Py_INCREF(dim)  # stolen by the tuple
        PyTuple_SET_ITEM(shape, i, dim)
    # Integers make no cycles. The collector would find that out for each of a hundred thousand.
    PyObject_GC_UnTrack(<PyObject *>shape)
    return shape


cdef Entry entry_of(const fck_entry *entry, path, what):
    slices = _slices_of(entry.message, path, what) if entry.slice_count > 0 else ()
    return Entry(entry.dtype, shape_of(entry), entry.shard_id, entry.offset, entry.size,
                 unmask_crc(entry.masked_crc32c), slices)


cdef tuple _slices_of(fck_reader message, path, what):
    cdef fck_slice part
    cdef cbool found = True
    cdef uint32_t i
    cdef fck_reader left
    cdef fck_status status
    slices = []
    while True:
        left = message
        status = fck_entry_next_slice(&message, &part, &found)
        if status != FCK_OK:
            fail(status, fck_fault_of_message(left, FCK_MESSAGE_SLICES, status), path, what, None,
                 None)
        if not found:
            return tuple(slices)
        slices.append(tuple([(part.start[i], part.length[i]) for i in range(part.rank)]))


cdef fck_reader _reader_of(bytes data):
    return fck_reader_make(<const uint8_t *><const char *>data, len(data))


cdef bytes _take(fck_buf *buffer):
    """The bytes of a buffer, which is freed."""
    try:
        return (<const char *>buffer.data)[:buffer.size] if buffer.size else b""
    finally:
        fck_buf_free(buffer)


cdef int decode(fck_reader record, fck_entry *entry, path, str name) except -1:
    """Decode the record of a tensor. `path` is the file of the index."""
    cdef fck_status status = fck_entry_decode(record, entry)
    if status != FCK_OK:
        fail(status, fck_fault_of_message(record, FCK_MESSAGE_ENTRY, status), path,
             f"entry of tensor {name!r}", None, name)
    return 0


def decode_entry(bytes record not None, path, what):
    """Return the `Entry` of a record. Raises `FormatError`."""
    cdef fck_entry entry
    cdef fck_reader message = _reader_of(record)
    cdef fck_status status = fck_entry_decode(message, &entry)
    if status != FCK_OK:
        fail(status, fck_fault_of_message(message, FCK_MESSAGE_ENTRY, status), path, what, None,
             None)
    return entry_of(&entry, path, what)


def encode_entry(int32_t dtype, tuple shape not None, int32_t shard_id, int64_t offset,
                 int64_t size, uint32_t crc32c, slices=()):
    """Return the record of a tensor. `crc32c` is not masked; beside slices there is none.

    Raises `ValueError` for more than 254 dimensions.
    """
    cdef fck_entry entry
    cdef fck_slice part
    cdef fck_buf out = fck_buf(NULL, 0, 0)
    cdef uint32_t i
    if len(shape) > FCK_MAX_RANK:
        raise ValueError(f"a checkpoint holds at most {FCK_MAX_RANK} dimensions")
    entry.dtype = dtype
    entry.shard_id = shard_id
    entry.offset = offset
    entry.size = size
    entry.masked_crc32c = 0 if slices else mask_crc(crc32c)
    entry.rank = <uint32_t>len(shape)
    for i in range(entry.rank):
        entry.dims[i] = shape[i]
    try:
        check(fck_entry_encode(&entry, &out), "", "")
        for box in slices:
            _fill_slice(&part, box)
            check(fck_entry_append_slice(&part, &out), "", "")
        return (<const char *>out.data)[:out.size]
    finally:
        fck_buf_free(&out)


cdef int _fill_slice(fck_slice *part, tuple box) except -1:
    if len(box) > FCK_MAX_RANK:
        raise ValueError(f"a checkpoint holds at most {FCK_MAX_RANK} dimensions")
    part.rank = 0
    for start, length in box:
        part.start[part.rank] = start
        part.length[part.rank] = length
        part.rank += 1
    return 0


def slice_key(bytes name not None, tuple box not None):
    """Return the key of one slice's own entry."""
    cdef fck_slice part
    cdef fck_buf out = fck_buf(NULL, 0, 0)
    _fill_slice(&part, box)
    try:
        check(fck_slice_key(<const uint8_t *><const char *>name, len(name), &part, &out), "", "")
    except MemoryError:
        fck_buf_free(&out)
        raise
    return _take(&out)


def decode_header(first, path):
    """Return (num_shards, is_big_endian, version) of a table's first entry: (key, record).

    Raises `FormatError` for one that is missing or broken, and `UnsupportedError` for
    one that only a newer reader may read.
    """
    cdef fck_header header
    what = "bundle header"
    if first is None or first[0]:
        raise FormatError(path, what, "expected an entry with the empty key, got none",
                          fault=Fault.MISSING)
    cdef fck_reader message = _reader_of(first[1])
    cdef fck_status status = fck_header_decode(message, &header)
    if status != FCK_OK:
        fail(status, fck_fault_of_message(message, FCK_MESSAGE_HEADER, status), path, what, None,
             None)
    if header.min_consumer > FCK_VERSION or header.is_refused:
        asked = "this version refused" if header.is_refused else f"version {header.min_consumer}"
        raise UnsupportedError(
            path, what, f"expected a bundle that version {FCK_VERSION} may read, got {asked}",
            fault=Fault.VERSION)
    if header.num_shards < 1:
        raise FormatError(path, what, f"expected 1 shard or more, got {header.num_shards}")
    if header.endianness not in (FCK_LITTLE_ENDIAN, FCK_BIG_ENDIAN):
        raise FormatError(path, what, f"expected endianness 0 or 1, got {header.endianness}")
    return header.num_shards, header.endianness == FCK_BIG_ENDIAN, header.producer


def encode_header(int32_t num_shards, *, bint is_big_endian=False):
    """Return the record under the empty key."""
    cdef fck_buf out = fck_buf(NULL, 0, 0)
    cdef int32_t endianness = FCK_BIG_ENDIAN if is_big_endian else FCK_LITTLE_ENDIAN
    check(fck_header_encode(num_shards, endianness, &out), "", "")
    return _take(&out)


cdef bytes key_of(str name):
    """The key of a name: UTF-8, with surrogate escapes for bytes that are not."""
    cdef Py_ssize_t size
    cdef const char *data
    try:
        data = PyUnicode_AsUTF8AndSize(name, &size)
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape")
    return data[:size]


cdef str name_of(const unsigned char *key, size_t size):
    return PyUnicode_DecodeUTF8(<const char *>key, <Py_ssize_t>size, "surrogateescape")


cdef str exact_name(name):
    """A name as `str` itself, also from a subclass such as numpy.str_."""
    if type(name) is str:
        return name
    if isinstance(name, str):
        return str.__str__(name)
    raise TypeError(f"expected a tensor's name of type str, got {type(name).__name__}")


def encode_name(name):
    """Return a tensor's key. Raises `ValueError` for a name that no bytes decode to, `TypeError`
    for one that is not a `str`."""
    try:
        return key_of(exact_name(name))
    except UnicodeEncodeError as error:
        raise ValueError(f"tensor {name!r}: {error}") from None


def decode_name(bytes key not None):
    """Return a tensor's name."""
    return name_of(<const unsigned char *><const char *>key, len(key))


# ---- What is said of a tensor

cdef int _NUM_DTYPES = 64


cdef class Row:
    """A row of dtypes.py, as the hot path reads it."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.name = dtype.name
        self.item_size = dtype.item_size
        self.swap_size = dtype.swap_size

    cdef object numpy(self):
        with cython.critical_section(self):  # or a thread may get what another one replaces
            if self._numpy is None:
                self._numpy = self.dtype.numpy
            return self._numpy

    cdef object stored(self):
        with cython.critical_section(self):
            if self._stored is None:
                self._stored = self.dtype.stored
            return self._stored


cdef list _ROWS = [
    Row(by_number(number)) if by_number(number) else None
    for number in range(_NUM_DTYPES)
]


cdef Row row_of(int number, path, str name):
    """The row of a tensor's dtype; `path` is the file that lists the tensor."""
    row = _ROWS[number] if 0 <= number < _NUM_DTYPES else None
    if row is None:
        try:
            dtype_of(number, path, f"entry of tensor {name!r}")
        except CheckpointError as error:
            name_tensor(error, name)
            raise
    return row


@cython.no_gc  # holds nothing that could hold it; a hundred thousand would keep the GC busy
cdef class TensorInfo:
    """What an index says of a tensor. Made without touching the data.

    `dtype` is the NumPy dtype of the tensor, in native byte order (object for strings, variants
    and resources), `tf_dtype` the name that `tf.DType.name` gives. `nbytes` is the size in the
    data files. `shard`, `offset` (bytes in that shard) and `crc32c` (not masked) are None for a
    partitioned tensor, whose `slices` holds a tuple of `slice` objects per part; it is empty
    for every other tensor. A V1 file encodes its tensors: `offset` and `crc32c` are None.
    """

    def __init__(self, *arguments, **options):
        raise TypeError("a TensorInfo comes from Checkpoint.info or infos; it cannot be made")

    cdef Row _known_row(self):
        if self._row is None:  # made by __new__ alone
            raise TypeError("a TensorInfo comes from Checkpoint.info or infos; this one is empty")
        return self._row

    @property
    def dtype(self):
        return self._known_row().numpy()

    @property
    def tf_dtype(self):
        return self._known_row().name

    @property
    def shard(self):
        return None if self.slices else self._shard

    @property
    def offset(self):
        return None if self.slices or not self._is_located else self._offset

    @property
    def crc32c(self):
        return None if self.slices or not self._is_located else self._crc32c

    def _fields(self):
        offset, crc = (self._offset, self._crc32c) if self._is_located else (None, None)
        number = self._known_row().dtype.number
        return (self.name, number, self.shape, self.nbytes, self._shard, offset, crc, self.slices)

    def __eq__(self, other):
        if not isinstance(other, TensorInfo):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self):
        return hash((self.name, self.tf_dtype, self.shape, self._shard, self._offset))

    def __reduce__(self):
        return make_info, self._fields()

    def __repr__(self):
        return (f"TensorInfo(name={self.name!r}, dtype={self.dtype}, tf_dtype={self.tf_dtype!r}, "
                f"shape={self.shape}, nbytes={self.nbytes}, shard={self.shard}, "
                f"offset={self.offset}, crc32c={self.crc32c}, slices={self.slices})")


def make_info(str name, int dtype, tuple shape, int64_t nbytes, int shard, offset, crc32c,
              tuple slices):
    """Return a `TensorInfo`. `dtype` is the number of a known one; offset and crc32c are both
    numbers or both None."""
    cdef TensorInfo info = TensorInfo.__new__(TensorInfo)
    info._row = row_of(dtype, "", name)
    info.name = name
    info.shape = shape
    info.nbytes = nbytes
    info._is_located = offset is not None
    info._shard = shard
    if info._is_located:
        info._offset = offset
        info._crc32c = crc32c
    info.slices = slices
    return info


cdef TensorInfo info_of(const fck_entry *entry, path, str name):
    """The `TensorInfo` of an entry, as if the tensor was not partitioned. `path` is the file of the
    index. Raises `UnsupportedError` for an unknown dtype, `FormatError` for an impossible size."""
    cdef Row row = row_of(entry.dtype, path, name)
    cdef uint64_t count, size
    cdef uint32_t item_size = row.item_size if row.item_size else 1
    cdef fck_status status = fck_entry_measure(entry, item_size, &count, &size)
    if status != FCK_OK:
        fail(status, fck_fault(0, 0), path, f"entry of tensor {name!r}", None, name)
    cdef TensorInfo info = TensorInfo.__new__(TensorInfo)
    info._row = row
    info.name = name
    info.shape = shape_of(entry)
    info.nbytes = entry.size
    info._is_located = True
    info._shard = entry.shard_id
    info._offset = entry.offset
    info._crc32c = unmask_crc(entry.masked_crc32c)
    info.slices = ()
    return info
