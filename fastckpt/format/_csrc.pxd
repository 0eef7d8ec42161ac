# What the Cython modules use of csrc/*.h; the headers are the reference.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "<stdbool.h>" nogil:
    ctypedef bint cbool "bool"


cdef extern from "fck.h" nogil:
    ctypedef enum fck_status:
        FCK_OK
        FCK_E_MEMORY
        FCK_E_TRUNCATED
        FCK_E_VARINT
        FCK_E_WIRE
        FCK_E_RANGE
        FCK_E_MAGIC
        FCK_E_HANDLE
        FCK_E_RESTART
        FCK_E_SHARED
        FCK_E_ORDER
        FCK_E_EXPANSION
        FCK_E_RANK
        FCK_E_DIM
        FCK_E_TRAILING
        FCK_E_OVERFLOW

    ctypedef struct fck_reader:
        const uint8_t *p
        const uint8_t *end

    fck_reader fck_reader_make(const uint8_t *data, size_t size)
    size_t fck_reader_left(const fck_reader *r)
    fck_status fck_read_bytes(fck_reader *r, uint64_t n, fck_reader *out)

    ctypedef struct fck_buf:
        uint8_t *data
        size_t size
        size_t capacity

    void fck_buf_free(fck_buf *b)
    fck_status fck_buf_append(fck_buf *b, const uint8_t *data, size_t n)
    int fck_compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)


cdef extern from "wire.h" nogil:
    ctypedef enum fck_wire_type:
        FCK_WIRE_VARINT
        FCK_WIRE_FIXED64
        FCK_WIRE_BYTES
        FCK_WIRE_FIXED32

    ctypedef struct fck_field:
        uint32_t number
        fck_wire_type type
        uint64_t value
        fck_reader bytes

    fck_status fck_read_field(fck_reader *r, fck_field *out)
    fck_status fck_append_tag(fck_buf *b, uint32_t number, fck_wire_type type)
    fck_status fck_append_bytes(fck_buf *b, uint32_t number, const uint8_t *data, size_t size)
    fck_status fck_read_varint64(fck_reader *r, uint64_t *out)
    fck_status fck_append_varint(fck_buf *b, uint64_t value)
    fck_status fck_append_fixed32(fck_buf *b, uint32_t value)
    fck_status fck_append_fixed64(fck_buf *b, uint64_t value)


cdef extern from "sstable.h" nogil:
    enum:
        FCK_FOOTER_SIZE
        FCK_TRAILER_SIZE

    ctypedef struct fck_handle:
        uint64_t offset
        uint64_t size

    fck_status fck_footer_decode(const uint8_t *footer, fck_handle *metaindex, fck_handle *index)
    fck_status fck_handle_check(fck_handle handle, uint64_t file_size)

    ctypedef struct fck_block:
        const uint8_t *data
        size_t entries_size
        uint32_t restart_count

    fck_status fck_block_open(const uint8_t *data, size_t size, fck_block *out)

    ctypedef struct fck_block_iter:
        const fck_block *block
        fck_buf key
        fck_reader value

    void fck_block_iter_begin(fck_block_iter *it, const fck_block *block)
    fck_status fck_block_iter_next(fck_block_iter *it, cbool *has_entry)

    ctypedef struct fck_key:
        const uint8_t *data
        size_t size

    fck_status fck_block_verify(const fck_block *block, const fck_key *after, const fck_key *up_to,
                                size_t *entry_count, size_t *error_offset)
    fck_status fck_block_find(const fck_block *block, const uint8_t *key, size_t key_size,
                              cbool *found, fck_reader *value)

    ctypedef struct fck_index_entry:
        fck_handle block

    ctypedef struct fck_index:
        size_t count

    fck_status fck_index_load(const fck_block *block, uint64_t file_size, fck_index *out)
    void fck_index_free(fck_index *index)
    const fck_index_entry *fck_index_get(const fck_index *index, size_t i)
    fck_key fck_index_key(const fck_index *index, size_t i)
    size_t fck_index_find(const fck_index *index, const uint8_t *key, size_t key_size)

    ctypedef struct fck_block_builder:
        fck_buf data
        fck_buf restarts
        fck_buf last_key
        size_t entry_count

    fck_status fck_block_builder_init(fck_block_builder *b, uint32_t interval)
    void fck_block_builder_free(fck_block_builder *b)
    fck_status fck_block_builder_reset(fck_block_builder *b)
    fck_status fck_block_builder_add(fck_block_builder *b, const uint8_t *key, size_t key_size,
                                     const uint8_t *value, size_t value_size)
    size_t fck_block_builder_size(const fck_block_builder *b)
    fck_status fck_block_builder_finish(fck_block_builder *b)
    fck_status fck_separator(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                             fck_buf *out)
    fck_status fck_successor(const uint8_t *a, size_t a_size, fck_buf *out)
    fck_status fck_handle_append(fck_buf *b, fck_handle handle)
    fck_status fck_footer_append(fck_buf *b, fck_handle metaindex, fck_handle index)


cdef extern from "entry.h" nogil:
    enum:
        FCK_MAX_RANK
        FCK_LITTLE_ENDIAN
        FCK_BIG_ENDIAN
        FCK_VERSION

    ctypedef struct fck_header:
        int32_t num_shards
        int32_t endianness
        int32_t producer
        int32_t min_consumer
        cbool is_refused

    fck_status fck_header_decode(fck_reader message, fck_header *out)
    fck_status fck_header_encode(int32_t num_shards, int32_t endianness, fck_buf *out)

    ctypedef struct fck_entry:
        int32_t dtype
        int32_t shard_id
        int64_t offset
        int64_t size
        uint32_t masked_crc32c
        uint32_t rank
        size_t slice_count
        fck_reader message
        int64_t dims[FCK_MAX_RANK]

    fck_status fck_entry_decode(fck_reader message, fck_entry *out)
    fck_status fck_entry_measure(const fck_entry *entry, uint32_t item_size, uint64_t *count,
                                 uint64_t *size)
    fck_status fck_entry_encode(const fck_entry *entry, fck_buf *out)

    ctypedef struct fck_slice:
        uint32_t rank
        int64_t start[FCK_MAX_RANK]
        int64_t length[FCK_MAX_RANK]

    fck_status fck_entry_next_slice(fck_reader *message, fck_slice *out, cbool *found)
    fck_status fck_entry_append_slice(const fck_slice *slice, fck_buf *out)
    fck_status fck_slice_key(const uint8_t *name, size_t name_size, const fck_slice *slice,
                             fck_buf *out)


cdef extern from "string_payload.h" nogil:
    fck_status fck_strings_decode_lengths(fck_reader *r, size_t count, uint64_t *lengths)
    fck_status fck_strings_append_checked_length(fck_buf *b, uint64_t length, cbool is_big_endian)


cdef extern from "fault.h" nogil:
    ctypedef struct fck_fault:
        uint64_t wanted
        uint64_t found

    ctypedef enum fck_message:
        FCK_MESSAGE_HEADER
        FCK_MESSAGE_ENTRY
        FCK_MESSAGE_SLICES

    fck_fault fck_fault_of_field(fck_reader r, fck_status status)
    fck_fault fck_fault_of_message(fck_reader message, fck_message kind, fck_status status)
    fck_fault fck_fault_of_block(const uint8_t *data, size_t size, fck_status status)
    fck_fault fck_fault_of_block_entry(const fck_block *block, size_t offset, fck_status status)
    fck_fault fck_fault_of_strings(fck_reader payload, size_t count, fck_status status)
