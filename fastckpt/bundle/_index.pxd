from fastckpt.format._csrc cimport fck_entry
from fastckpt.format._record cimport TensorInfo
from fastckpt.format._table cimport Table
from libc.stdint cimport uint64_t


cdef class Shard:
    cdef readonly object file
    cdef readonly object map    # an array of its bytes; None if it is not mapped
    cdef char *data
    cdef uint64_t size
    cdef int fd                 # open for as long as this is; -1 if it is not kept open


cdef class StoredBundle:
    cdef readonly str prefix
    cdef readonly str path
    cdef readonly int num_shards
    cdef readonly int version
    cdef readonly bint is_big_endian
    cdef readonly bint is_mapped
    cdef bint _is_writable
    cdef dict shards            # number -> Shard, as they are opened
    cdef Table _table           # None when closed
    cdef frozenset _slice_keys  # keys of slices; None until it is first needed

    cdef TensorInfo describe(self, str name, const fck_entry *entry)
    cdef bint look_up(self, str name, fck_entry *entry) except -1
    cdef int find(self, str name, fck_entry *entry) except -1
    cdef Shard shard(self, int number, what)
    cdef Shard _open_shard(self, int number, what)
    cdef Table _open_table(self)
