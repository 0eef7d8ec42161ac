from fastckpt.format._csrc cimport fck_block, fck_block_iter, fck_buf, fck_index, fck_reader
from libc.stdint cimport uint8_t


cdef enum:
    BLOCK_SIZE = 262144  # what TensorFlow's writer aims at; byte identity needs the same


cdef struct LoadedBlock:
    fck_block view
    size_t entry_count
    bint is_verified    # view and entry_count mean nothing before


cdef class Table:
    cdef readonly object file
    cdef fck_index index
    cdef LoadedBlock *loaded
    cdef dict recent    # number -> (content, size of the block) of what read_once loaded last
    cdef list contents  # what loaded[i].view borrows from

    cdef size_t block_count(self) noexcept
    cdef const LoadedBlock *block(self, size_t i) except NULL
    cdef bint find(self, const uint8_t *key, size_t size, fck_reader *value) except -1
    cdef LoadedBlock _load(self, size_t i) except *
    cdef int _verify(self, size_t i) except -1
    cdef int _verify_block(self, size_t i, LoadedBlock *block) except -1
    cdef bytes _open_once(self, size_t i, fck_block *view)


cdef class Cursor:
    cdef Table table
    cdef fck_block_iter it  # it.key and it.value are the current entry's, until the next step
    cdef size_t next_block
    cdef size_t end_block

    cdef bint step(self) except -1
