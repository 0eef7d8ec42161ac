from fastckpt.format._csrc cimport fck_buf, fck_entry, fck_reader
from fastckpt.format._table cimport Table
from libc.stdint cimport int64_t, uint32_t


cdef class Row:
    cdef readonly object dtype      # dtypes.DType
    cdef readonly str name
    cdef readonly uint32_t item_size
    cdef readonly uint32_t swap_size
    cdef object _numpy              # np.dtype; None until it is first used

    cdef object numpy(self)


cdef class TensorInfo:
    cdef Row _row
    cdef readonly str name
    cdef readonly tuple shape
    cdef readonly int64_t nbytes
    cdef bint _is_located       # whether offset and crc32c say something
    cdef int _shard
    cdef int64_t _offset
    cdef uint32_t _crc32c
    cdef readonly tuple slices


cdef Row row_of(int number, str path, str name)
cdef bint is_hidden(const fck_buf *key, frozenset hidden) except -1
cdef int decode(str path, str name, fck_reader record, fck_entry *entry) except -1
cdef TensorInfo info_of(source, str path, str name, const fck_entry *entry)
