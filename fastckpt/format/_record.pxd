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


cdef uint32_t unmask_crc(uint32_t masked) noexcept
cdef tuple shape_of(const fck_entry *entry)
cdef Entry entry_of(const fck_entry *entry, path, what)
cdef bytes key_of(str name)
cdef str exact_name(name)
cdef str name_of(const unsigned char *key, size_t size)
