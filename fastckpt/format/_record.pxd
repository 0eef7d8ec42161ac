from fastckpt.format._csrc cimport fck_entry, fck_reader
from libc.stdint cimport int64_t, uint32_t


cdef class Entry:
    cdef readonly int dtype
    cdef readonly tuple shape
    cdef readonly int shard_id
    cdef readonly int64_t offset
    cdef readonly int64_t size
    cdef readonly uint32_t crc32c
    cdef readonly tuple slices


cdef class Row:
    cdef readonly object dtype      # dtypes.DType
    cdef readonly str name
    cdef readonly uint32_t item_size
    cdef readonly uint32_t swap_size
    cdef object _numpy              # np.dtype; None until it is first used
    cdef object _stored             # the same in the byte order of data files

    cdef object numpy(self)
    cdef object stored(self)


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

    cdef Row _known_row(self)


cdef uint32_t unmask_crc(uint32_t masked) noexcept
cdef tuple shape_of(const fck_entry *entry)
cdef Entry entry_of(const fck_entry *entry, path, what)
cdef bytes key_of(str name)
cdef str exact_name(name)
cdef str name_of(const unsigned char *key, size_t size)
cdef Row row_of(int number, path, str name)
cdef int decode(fck_reader record, fck_entry *entry, path, str name) except -1
cdef TensorInfo info_of(const fck_entry *entry, path, str name)
