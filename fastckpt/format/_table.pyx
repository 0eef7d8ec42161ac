"""The sorted table that holds an index, read block by block.

The grammar is in csrc/sstable.h. This layer adds what C leaves out: checksums, decompression,
memory and messages. It knows no tensor. The only user of `snappy`.
"""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport uint8_t, uint64_t

from fastckpt.format._csrc cimport (
    FCK_FOOTER_SIZE, FCK_OK, FCK_TRAILER_SIZE, cbool, fck_block, fck_block_find, fck_block_iter,
    fck_block_iter_begin, fck_block_iter_next, fck_block_open, fck_block_verify, fck_buf,
    fck_buf_free, fck_fault_of_block, fck_fault_of_block_entry, fck_footer_append,
    fck_footer_decode, fck_handle, fck_handle_check, fck_index_find, fck_index_free, fck_index_get,
    fck_index_key, fck_index_load, fck_key, fck_reader, fck_status,
)
from fastckpt.format._status cimport check, fail

from fastckpt.format.checksum import crc32c, unmask
from fastckpt.errors import CheckpointError, ChecksumError, Fault, FormatError, UnsupportedError

# One for each thread that reads a V1 checkpoint.
cdef size_t _MAX_RECENT = 8

# A snappy copy makes at most 64 bytes of 3; what claims more than this is a bomb.
cdef uint64_t _MAX_SNAPPY_RATIO = 32


cdef class Table:
    """A table that is read block by block, each when it is first needed, and verified then.

    `file` offers `path`, `size` and `read(offset, size, what)`. Once a block is loaded it is
    kept, so a table grows to the size of its file at most (times the ratio of its compression).
    Raises `FormatError` for a table that breaks the grammar, `ChecksumError` for a block that
    is not what was written, `UnsupportedError` for an unknown compression.

    Threads may share a table. What it keeps is changed in critical sections of its own (the GIL,
    or a lock where Python has none), and what is verified never changes again, so that pointers
    to it stay good. Blocks are read and verified outside of them, perhaps by two threads at once.
    """

    def __cinit__(self):
        self.loaded = NULL
        self.contents = []
        self.recent = {}

    def __init__(self, file):
        self.file = file
        cdef fck_handle metaindex, index
        cdef fck_block view
        cdef size_t entry_count, offset
        cdef fck_status status
        if file.size < FCK_FOOTER_SIZE:
            raise FormatError(
                file.path, "table footer",
                f"expected at least {FCK_FOOTER_SIZE} bytes, got a file of {file.size}",
                fault=Fault.TRUNCATED,
            )
        at = file.size - FCK_FOOTER_SIZE
        footer = file.read(at, FCK_FOOTER_SIZE, "table footer")
        what = "table footer"
        check(fck_footer_decode(<const uint8_t *><const char *>footer, &metaindex, &index),
              file.path, what, offset=at)
        check(fck_handle_check(index, file.size), file.path, what, offset=at)
        at = index.offset
        what = "index block"
        _content = _read_block(file, index, &view, what)  # keeps alive what the view borrows
        status = fck_block_verify(&view, NULL, NULL, &entry_count, &offset)
        if status != FCK_OK:
            fail(status, fck_fault_of_block_entry(&view, offset, status), file.path,
                 f"entry at {offset} of the {what}", at, None)
        check(fck_index_load(&view, file.size, &self.index), file.path, what, offset=at)
        self.loaded = <LoadedBlock *>PyMem_Calloc(self.index.count + 1, sizeof(LoadedBlock))
        if self.loaded == NULL:
            raise MemoryError()
        self.contents = [None] * self.index.count

    def __dealloc__(self):
        fck_index_free(&self.index)
        PyMem_Free(self.loaded)

    cdef size_t block_count(self) noexcept:
        return self.index.count

    cdef const LoadedBlock *block(self, size_t i) except NULL:
        """A verified block. REQUIRES: i < block_count. Borrowed from the table."""
        cdef bint is_verified
        with cython.critical_section(self):
            is_verified = self.loaded[i].is_verified
        if not is_verified:
            self._verify(i)
        return &self.loaded[i]

    cdef bint find(self, const uint8_t *key, size_t size, fck_reader *value) except -1:
        """Whether the key is there; *value is borrowed from the table."""
        cdef size_t i = fck_index_find(&self.index, key, size)
        cdef cbool found = False
        if i == self.index.count:
            return False
        cdef const LoadedBlock *block = self.block(i)
        cdef fck_status status = fck_block_find(&block.view, key, size, &found, value)
        if status != FCK_OK:
            check(status, self.file.path, f"block {i}")
        return found

    cdef LoadedBlock _load(self, size_t i) except *:
        """Read a block, its checksum verified, unless another thread has."""
        cdef LoadedBlock block
        cdef fck_handle handle = fck_index_get(&self.index, i).block
        content = None
        with cython.critical_section(self):
            if self.contents[i] is not None:
                return self.loaded[i]
        content = _read_block(self.file, handle, &block.view, f"block {i}")
        block.is_verified = False
        with cython.critical_section(self):
            if self.contents[i] is None:
                self.contents[i] = content
                self.loaded[i] = block
            return self.loaded[i]

    cdef int _verify(self, size_t i) except -1:
        """Verify all that is in a block."""
        cdef LoadedBlock block = self._load(i)
        self._verify_block(i, &block)
        block.is_verified = True
        with cython.critical_section(self):
            if not self.loaded[i].is_verified:
                self.loaded[i] = block
        return 0

    cdef int _verify_block(self, size_t i, LoadedBlock *block) except -1:
        """Verify the entries of a block that was opened, and count them. The block is the
        caller's own: other threads run meanwhile."""
        cdef fck_key up_to = fck_index_key(&self.index, i)
        cdef fck_key after
        cdef size_t offset = 0
        cdef fck_status status
        if i > 0:
            after = fck_index_key(&self.index, i - 1)
        with nogil:
            status = fck_block_verify(&block.view, &after if i > 0 else NULL, &up_to,
                                      &block.entry_count, &offset)
        if status != FCK_OK:
            at = fck_index_get(&self.index, i).block.offset
            fail(status, fck_fault_of_block_entry(&block.view, offset, status), self.file.path,
                 f"entry at {offset} of block {i}", at, None)
        return 0

    def first(self):
        """Return (key, value) of the first entry, or None; the rest of its block may be broken."""
        cdef fck_block_iter it
        cdef cbool has_entry = False
        if self.index.count == 0:
            return None
        cdef LoadedBlock block = self._load(0)
        it.key = fck_buf(NULL, 0, 0)
        fck_block_iter_begin(&it, &block.view)
        try:
            check(fck_block_iter_next(&it, &has_entry), self.file.path, "first entry")
            return _item(&it) if has_entry else None
        finally:
            fck_buf_free(&it.key)

    def get(self, bytes key not None):
        """Return the value of a key, or None."""
        cdef fck_reader value
        if not self.find(<const uint8_t *><const char *>key, len(key), &value):
            return None
        return (<const char *>value.p)[:value.end - value.p]

    def read_once(self, bytes key not None):
        """Return the value of a key, or None, without keeping what was loaded for it; only the
        last few small blocks stay. For V1 checkpoints, whose values are the tensors."""
        cdef const uint8_t *key_data = <const uint8_t *><const char *>key
        cdef size_t i = fck_index_find(&self.index, key_data, len(key))
        cdef fck_block view
        cdef fck_reader value
        cdef cbool found = False
        if i == self.index.count:
            return None
        _content = self._open_once(i, &view)  # keeps alive what the view borrows
        check(fck_block_find(&view, key_data, len(key), &found, &value), self.file.path,
              f"block {i}")
        return (<const char *>value.p)[:value.end - value.p] if found else None

    cdef bytes _open_once(self, size_t i, fck_block *view):
        """Open a block, verified, as a view of the bytes that are returned."""
        cdef LoadedBlock block
        recent = self.recent.get(i)
        if recent is not None:
            content, size = recent
            check(fck_block_open(<const uint8_t *><const char *>content, size, view),
                  self.file.path, f"block {i}")
            return content
        with cython.critical_section(self):
            if self.loaded[i].is_verified:
                view[0] = self.loaded[i].view
                return self.contents[i]
        content = _read_block(self.file, fck_index_get(&self.index, i).block, &block.view,
                              f"block {i}")
        self._verify_block(i, &block)
        view[0] = block.view
        size = block.view.entries_size + 4 * (block.view.restart_count + 1)
        if size <= 2 * BLOCK_SIZE:
            with cython.critical_section(self):
                if len(self.recent) >= _MAX_RECENT:
                    self.recent.pop(next(iter(self.recent)), None)
                self.recent[i] = (content, size)
        return content

    def items(self):
        """Yield (key, value) in key order. Raises when a broken block is reached."""
        for i in range(self.index.count):
            yield from self.block_items(i)

    def blocks(self):
        """Yield the (key, value) pairs of each block, or the `CheckpointError` that it raises."""
        for i in range(self.index.count):
            try:
                yield self.block_items(i)
            except CheckpointError as error:
                yield error

    def block_items(self, size_t i):
        """Return (key, value) of every entry of block i."""
        if i >= self.index.count:
            raise IndexError(i)
        cdef Cursor cursor = Cursor(self, i, i + 1)
        items = []
        while cursor.step():
            items.append(_item(&cursor.it))
        return items


cdef class Cursor:
    """Walks the entries of blocks [begin, end), all by default. Keeps its table alive."""

    def __cinit__(self, Table table not None, size_t begin=0, end=None):
        self.table = table
        self.next_block = begin
        self.end_block = table.index.count if end is None else end
        self.it.block = NULL

    def __dealloc__(self):
        fck_buf_free(&self.it.key)

    cdef bint step(self) except -1:
        """Go to the next entry; False behind the last one. Raises at a broken block."""
        cdef cbool has_entry = False
        cdef fck_status status
        while True:
            if self.it.block != NULL:
                status = fck_block_iter_next(&self.it, &has_entry)
                if status != FCK_OK:
                    check(status, self.table.file.path, f"block {self.next_block - 1}")
                if has_entry:
                    return True
            if self.next_block >= self.end_block:
                return False
            fck_block_iter_begin(&self.it, &self.table.block(self.next_block).view)
            self.next_block += 1


cdef tuple _item(const fck_block_iter *it):
    key = (<const char *>it.key.data)[:it.key.size] if it.key.size else b""
    return key, (<const char *>it.value.p)[:it.value.end - it.value.p]


cdef bytes _read_block(file, fck_handle handle, fck_block *view, what):
    """Open a block as a view of the bytes that are returned, its checksum verified.

    The handle has been checked against the file's size.
    """
    cdef size_t size = handle.size
    content = file.read(handle.offset, size + FCK_TRAILER_SIZE, what)
    covered = memoryview(content)[:size + 1]  # the compression type is checksummed, too
    expected = unmask(int.from_bytes(content[size + 1:], "little"))
    actual = crc32c(covered)
    if actual != expected:
        raise ChecksumError(file.path, what, expected, actual, offset=handle.offset)
    compression = covered[size]
    if compression == 1:
        content = _decompress(content[:size], file.path, what, handle.offset)
        size = len(content)
    elif compression != 0:
        raise UnsupportedError(
            file.path, what, f"expected compression 0 (none) or 1 (snappy), got {compression}",
            offset=handle.offset, fault=Fault.COMPRESSION)
    cdef const uint8_t *data = <const uint8_t *><const char *>content
    cdef fck_status status = fck_block_open(data, size, view)
    if status != FCK_OK:
        fail(status, fck_fault_of_block(data, size, status), file.path, what, handle.offset, None)
    return content


cdef bytes _decompress(bytes stored, path, what, offset):
    import snappy  # published indexes rarely have compressed blocks

    cdef uint64_t claimed = 0
    cdef int shift = 0
    for byte in stored[:5]:
        claimed |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    if claimed > len(stored) * _MAX_SNAPPY_RATIO:
        raise FormatError(
            path, what,
            f"expected at most {len(stored) * _MAX_SNAPPY_RATIO} bytes from {len(stored)} "
            f"compressed ones, got a claim of {claimed}",
            offset=offset, fault=Fault.TOO_LARGE,
        )
    try:
        return snappy.uncompress(stored)
    except snappy.UncompressError as error:
        raise FormatError(
            path, what, "expected a snappy block, got other bytes", offset=offset) from error


cdef bytes _make_magic():
    cdef fck_buf footer = fck_buf(NULL, 0, 0)
    cdef fck_handle nowhere = fck_handle(0, 0)
    try:
        check(fck_footer_append(&footer, nowhere, nowhere), "", "")
        return (<const char *>footer.data)[footer.size - 8:footer.size]
    finally:
        fck_buf_free(&footer)


TRAILER_SIZE = FCK_TRAILER_SIZE  # bytes that follow each block
TABLE_MAGIC = _make_magic()  # the last bytes of every table
