from fastckpt.format._csrc cimport fck_buf, fck_entry
from fastckpt.format._record cimport TensorInfo


cdef bint is_hidden(const fck_buf *key, frozenset hidden) except -1
cdef TensorInfo find_info(source, path, str name, const fck_entry *entry)
