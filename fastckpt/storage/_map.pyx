"""A map of a file, as a buffer. Python's own keeps a descriptor for each until 3.13.

For POSIX; elsewhere stage.py uses the standard library's.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.exc cimport PyErr_SetFromErrno
from posix.mman cimport (
    MAP_FAILED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap,
)


@cython.final
cdef class Map:
    """The first `size` bytes, 1 at least, of an open file.

    A writable map is private: what is written into it never reaches the file. The descriptor may
    be closed. Unmapped when the last view of the buffer is gone. Raises `OSError`.
    """

    cdef void *_address
    cdef size_t _size
    cdef bint _is_writable

    def __cinit__(self, int fd, Py_ssize_t size, *, bint writable):
        if size <= 0:
            raise ValueError(f"expected a size above 0, got {size}")
        cdef int access = PROT_READ | PROT_WRITE if writable else PROT_READ
        self._address = mmap(NULL, <size_t>size, access,
                             MAP_PRIVATE if writable else MAP_SHARED, fd, 0)
        if self._address == MAP_FAILED:
            PyErr_SetFromErrno(OSError)
        self._size = <size_t>size
        self._is_writable = writable

    def __dealloc__(self):
        if self._size > 0:
            munmap(self._address, self._size)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self._address, <Py_ssize_t>self._size,
                          not self._is_writable, flags)
