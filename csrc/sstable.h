/* SPDX-License-Identifier: Apache-2.0
 *
 * The sorted table that holds a bundle's index (docs/format.md, "Table container"):
 *
 *   table    := (block trailer)* footer
 *   block    := entry* restart[0] .. restart[r-1] r          restarts and r are fixed32
 *   entry    := shared unshared value_size key_tail value    the first three are varint32
 *   trailer  := compression_type(1 byte) masked_crc32c(fixed32)
 *   footer   := metaindex_handle index_handle padding magic  48 bytes, the last of the file
 *   handle   := offset size                                  varint64; size is without trailer
 *
 * An entry's key is the first `shared` bytes of the key before it, then key_tail. At a restart
 * point `shared` is 0, so that a search may begin there; restart[i] is the offset of the i-th
 * restart point in the block, and restart[0] is 0. Keys increase strictly.
 *
 * The last block is the index block: one entry per data block, its key at least as large as
 * every key in that block and smaller than every key of the next, its value the block's handle.
 *
 * Checksums and decompression are not done here: the caller hands in a block's plain bytes.
 */
#ifndef FASTCKPT_SSTABLE_H_
#define FASTCKPT_SSTABLE_H_

#include "fck.h"

/* Ends every table, little-endian. */
#define FCK_TABLE_MAGIC UINT64_C(0xdb4775248b80fb57)

enum {
  FCK_FOOTER_SIZE = 48,
  FCK_TRAILER_SIZE = 5,
  /* A writer that restarts every 16 entries expands keys less than 17 times. More than this
   * many times its own size, and a block is a bomb rather than an index. */
  FCK_MAX_KEY_EXPANSION = 64,
};

typedef struct fck_handle {
  uint64_t offset;
  uint64_t size;
} fck_handle;

/* ---- Reading: sstable_read.c ---- */

/* Decodes the 48 bytes that end a table. */
FCK_MUST_CHECK fck_status fck_footer_decode(const uint8_t *footer, fck_handle *metaindex,
                                            fck_handle *index);

/* FCK_E_HANDLE unless the block and its trailer lie within a file of file_size bytes. */
FCK_MUST_CHECK fck_status fck_handle_check(fck_handle handle, uint64_t file_size);

/* A block's parts. Borrows `data`, which must outlive it. */
typedef struct fck_block {
  const uint8_t *data;
  size_t entries_size;
  uint32_t restart_count;
} fck_block;

/* Splits a block into entries and restarts. Nothing else is looked at. */
FCK_MUST_CHECK fck_status fck_block_open(const uint8_t *data, size_t size, fck_block *out);

/* Walks the entries of a block in order. fck_block_iter_begin may be called again to walk
 * another block with the same key buffer; fck_buf_free(&iter.key) ends its life. */
typedef struct fck_block_iter {
  const fck_block *block;
  fck_reader left;  /* entries that were not read yet */
  fck_buf key;      /* owned; the current key */
  fck_reader value; /* borrowed from the block; the current value */
} fck_block_iter;

void fck_block_iter_begin(fck_block_iter *iter, const fck_block *block);

/* Steps to the next entry; *has_entry is false after the last one. Fails with FCK_E_ORDER when
 * the key is not larger than the one before. */
FCK_MUST_CHECK fck_status fck_block_iter_next(fck_block_iter *iter, bool *has_entry);

/* Reads the whole block once. On FCK_OK every entry decodes, keys increase strictly and lie in
 * (after, up_to], restarts are entries that share nothing, keys expand within bounds, and
 * *entry_count is set. `after` may be NULL: no lower bound. On an error *error_offset is the
 * offset in the block of what is wrong. */
typedef struct fck_key {
  const uint8_t *data;
  size_t size;
} fck_key;

FCK_MUST_CHECK fck_status fck_block_verify(const fck_block *block, const fck_key *after,
                                           const fck_key *up_to, size_t *entry_count,
                                           size_t *error_offset);

/* Finds the entry with exactly this key: a binary search over the restarts, then a walk over
 * one interval that compares without rebuilding keys. Safe on any bytes; right on a block that
 * fck_block_verify accepted. */
FCK_MUST_CHECK fck_status fck_block_find(const fck_block *block, const uint8_t *key,
                                         size_t key_size, bool *found, fck_reader *value);

/* The index block, unpacked: what fck_index_find searches. Owns its buffers. */
typedef struct fck_index_entry {
  size_t key_offset; /* into keys */
  size_t key_size;
  fck_handle block;
} fck_index_entry;

typedef struct fck_index {
  fck_buf keys;
  fck_buf entries; /* fck_index_entry[count] */
  size_t count;
} fck_index;

/* Unpacks an index block. FCK_E_HANDLE unless the blocks lie within the file, one behind the
 * other. REQUIRES: fck_block_verify accepted the block; *out is all zero. Free it with
 * fck_index_free, also after an error. */
FCK_MUST_CHECK fck_status fck_index_load(const fck_block *block, uint64_t file_size,
                                         fck_index *out);
void fck_index_free(fck_index *index);

const fck_index_entry *fck_index_get(const fck_index *index, size_t i);

/* The separator key of block i: REQUIRES i < index->count. */
fck_key fck_index_key(const fck_index *index, size_t i);

/* The only block that can hold the key, or index->count if there is none. */
size_t fck_index_find(const fck_index *index, const uint8_t *key, size_t key_size);

/* ---- Building: sstable_build.c ---- */

/* Builds one block at a time. Zero it, then fck_block_builder_init. REQUIRES: interval > 0. */
typedef struct fck_block_builder {
  fck_buf data;      /* owned; entries so far, the whole block after finish */
  fck_buf restarts;  /* owned; fixed32 each */
  fck_buf last_key;  /* owned */
  uint32_t interval; /* entries from one restart to the next */
  uint32_t since_restart;
  size_t entry_count;
} fck_block_builder;

FCK_MUST_CHECK fck_status fck_block_builder_init(fck_block_builder *b, uint32_t interval);
void fck_block_builder_free(fck_block_builder *b);

/* Forgets the entries, keeps the memory. */
FCK_MUST_CHECK fck_status fck_block_builder_reset(fck_block_builder *b);

/* Adds an entry. FCK_E_ORDER unless the key is larger than the one before. The builder is
 * unusable after an error. */
FCK_MUST_CHECK fck_status fck_block_builder_add(fck_block_builder *b, const uint8_t *key,
                                                size_t key_size, const uint8_t *value,
                                                size_t value_size);

/* The size that finish would give. */
size_t fck_block_builder_size(const fck_block_builder *b);

/* Appends the restarts; b->data is the block until the next reset. */
FCK_MUST_CHECK fck_status fck_block_builder_finish(fck_block_builder *b);

/* Sets *out to a short key in [a, b): the index key between two blocks. REQUIRES: a < b.
 * "the quick brown fox", "the who" -> "the r". */
FCK_MUST_CHECK fck_status fck_separator(const uint8_t *a, size_t a_size, const uint8_t *b,
                                        size_t b_size, fck_buf *out);

/* Sets *out to a short key >= a: the index key after the last block. */
FCK_MUST_CHECK fck_status fck_successor(const uint8_t *a, size_t a_size, fck_buf *out);

FCK_MUST_CHECK fck_status fck_handle_append(fck_buf *b, fck_handle handle);

/* Appends the 48 bytes that end a table. */
FCK_MUST_CHECK fck_status fck_footer_append(fck_buf *b, fck_handle metaindex, fck_handle index);

#endif /* FASTCKPT_SSTABLE_H_ */
