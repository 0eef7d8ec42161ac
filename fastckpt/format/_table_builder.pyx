"""Building a sorted table, byte for byte as TensorFlow's writer does (docs/format.md, "Table
container")."""

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastckpt.format._csrc cimport (
    FCK_E_ORDER, FCK_OK, fck_block_builder, fck_block_builder_add, fck_block_builder_finish,
    fck_block_builder_free, fck_block_builder_init, fck_block_builder_reset, fck_block_builder_size,
    fck_buf, fck_buf_append, fck_buf_free, fck_compare, fck_append_fixed32, fck_fault,
    fck_footer_append, fck_handle, fck_handle_append, fck_separator, fck_status, fck_successor,
)
from fastckpt.format._status cimport check, explain
from fastckpt.format._table cimport BLOCK_SIZE

from fastckpt.errors import FormatError
from fastckpt.format.checksum import crc32c, mask

# What TensorFlow's writer uses; byte identity needs the same.
cdef uint32_t _DATA_INTERVAL = 16
cdef uint32_t _INDEX_INTERVAL = 1


cdef class TableBuilder:
    """Builds a table.

    `add` in strictly increasing order of keys, then `finish` once. Keeps the table in memory.
    """

    cdef fck_block_builder data
    cdef fck_block_builder index
    cdef fck_buf table         # blocks that are done
    cdef fck_buf separator
    cdef fck_handle pending    # the last block that is done: the index entry is due with the
    cdef bint is_pending       # next key, since a short separator needs both neighbours
    cdef bint is_empty
    cdef uint64_t base         # where `table` begins in its file

    def __cinit__(self):
        self.is_pending = False
        self.is_empty = True
        self._check(fck_block_builder_init(&self.data, _DATA_INTERVAL))
        self._check(fck_block_builder_init(&self.index, _INDEX_INTERVAL))

    def __dealloc__(self):
        fck_block_builder_free(&self.data)
        fck_block_builder_free(&self.index)
        fck_buf_free(&self.table)
        fck_buf_free(&self.separator)

    def add(self, bytes key not None, bytes value not None):
        """Add an entry. Raises `ValueError` when the key is not larger than the one before."""
        cdef const uint8_t *key_data = <const uint8_t *><const char *>key
        cdef const uint8_t *value_data = <const uint8_t *><const char *>value
        cdef size_t key_size = len(key)
        cdef size_t value_size = len(value)
        if not self.is_empty and key_size + value_size >= 2 * BLOCK_SIZE:
            self._flush()
        if self.is_pending:
            if fck_compare(self.data.last_key.data, self.data.last_key.size,
                           key_data, key_size) >= 0:
                self._check(FCK_E_ORDER)
            self._check(fck_separator(self.data.last_key.data, self.data.last_key.size,
                                      key_data, key_size, &self.separator))
            self._add_index_entry()
            self._check(fck_block_builder_reset(&self.data))
        self.is_empty = False
        self._check(fck_block_builder_add(&self.data, key_data, key_size,
                                          value_data, value_size))
        if fck_block_builder_size(&self.data) >= BLOCK_SIZE:
            self._flush()

    def finish(self):
        """Return the table's bytes."""
        cdef fck_handle metaindex
        self._flush()
        self._append_empty_block(&metaindex)
        if self.is_pending:
            self._check(fck_successor(self.data.last_key.data, self.data.last_key.size,
                                      &self.separator))
            self._add_index_entry()
        return self._end(metaindex)

    def finish_over(self, blocks, uint64_t base):
        """Return the bytes that end a table whose data blocks were written before, up to `base`:
        an index block and a footer. `blocks` are (offset, size without trailer, a key that is no
        smaller than the last one of the block and smaller than the first of the next)."""
        cdef fck_handle metaindex
        cdef bytes key
        self.base = base
        self._append_empty_block(&metaindex)
        for offset, size, key in blocks:
            self.pending = fck_handle(offset, size)
            self.separator.size = 0
            self._check(fck_buf_append(&self.separator, <const uint8_t *><const char *>key,
                                       len(key)))
            self._add_index_entry()
        return self._end(metaindex)

    cdef bytes _end(self, fck_handle metaindex):
        """Append the index block and the footer; return all."""
        cdef fck_handle index
        self._append_block(&self.index, &index)
        self._check(fck_footer_append(&self.table, metaindex, index))
        return (<const char *>self.table.data)[:self.table.size]

    cdef int _flush(self) except -1:
        """End the data block, unless it is empty or ended already."""
        if self.is_pending or self.data.entry_count == 0:
            return 0
        self._append_block(&self.data, &self.pending)
        self.is_pending = True
        return 0

    cdef int _add_index_entry(self) except -1:
        cdef fck_buf value = fck_buf(NULL, 0, 0)
        try:
            self._check(fck_handle_append(&value, self.pending))
            self._check(fck_block_builder_add(&self.index, self.separator.data,
                                              self.separator.size, value.data, value.size))
        finally:
            fck_buf_free(&value)
        self.is_pending = False
        return 0

    cdef int _append_empty_block(self, fck_handle *handle) except -1:
        """Append the metaindex, which nobody reads."""
        cdef fck_block_builder empty
        empty.data = empty.restarts = empty.last_key = fck_buf(NULL, 0, 0)
        try:
            self._check(fck_block_builder_init(&empty, _DATA_INTERVAL))
            return self._append_block(&empty, handle)
        finally:
            fck_block_builder_free(&empty)

    cdef int _append_block(self, fck_block_builder *block, fck_handle *handle) except -1:
        """Append a block and its trailer, uncompressed."""
        cdef uint8_t no_compression = 0
        self._check(fck_block_builder_finish(block))
        handle.offset = self.base + self.table.size
        handle.size = block.data.size
        self._check(fck_buf_append(&self.table, block.data.data, block.data.size))
        self._check(fck_buf_append(&self.table, &no_compression, 1))
        covered = PyMemoryView_FromMemory(
            <char *>self.table.data + (handle.offset - self.base), handle.size + 1, PyBUF_READ)
        self._check(fck_append_fixed32(&self.table, mask(crc32c(covered))))
        return 0

    cdef int _check(self, fck_status status) except -1:
        """A builder's faults are its caller's, or memory's."""
        if status != FCK_OK:
            try:
                check(status, "", "")
            except FormatError:
                raise ValueError(f"table: {explain(status, fck_fault(0, 0))}") from None
        return 0
