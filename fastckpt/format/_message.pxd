from libc.stdint cimport uint32_t


cdef enum:
    KIND_INT
    KIND_BOOL
    KIND_FLOAT
    KIND_DOUBLE
    KIND_TEXT
    KIND_BYTES
    KIND_SPAN
    KIND_MESSAGE


cdef class SchemaRow:
    cdef uint32_t number
    cdef str name
    cdef int kind
    cdef Message message    # of the kind KIND_MESSAGE, and of a map's entries
    cdef bint is_repeated
    cdef bint is_map

    cdef Message value_message(self)
    cdef object default(self)


cdef class Message:
    cdef readonly str name
    cdef dict _fields       # number -> SchemaRow
    cdef list rows          # in the order of their numbers
    cdef dict _defaults     # of the fields whose default cannot change
    cdef list _repeated     # the other fields
    cdef bint is_oneof
