/* SPDX-License-Identifier: Apache-2.0
 *
 * Putting tables together. The grammar is in sstable.h; sstable_read.c reads what this writes.
 */
#include <string.h>

#include "sstable.h"
#include "wire.h"

fck_status fck_block_builder_init(fck_block_builder *b, uint32_t interval) {
  b->interval = interval;
  return fck_block_builder_reset(b);
}

void fck_block_builder_free(fck_block_builder *b) {
  fck_buf_free(&b->data);
  fck_buf_free(&b->restarts);
  fck_buf_free(&b->last_key);
}

fck_status fck_block_builder_reset(fck_block_builder *b) {
  b->data.size = 0;
  b->restarts.size = 0;
  b->last_key.size = 0;
  b->since_restart = 0;
  b->entry_count = 0;
  return fck_append_fixed32(&b->restarts, 0); /* even an empty block has one restart */
}

static size_t shared_size(const fck_buf *last_key, const uint8_t *key, size_t key_size) {
  const size_t shorter = last_key->size < key_size ? last_key->size : key_size;
  size_t shared = 0;
  while (shared < shorter && last_key->data[shared] == key[shared]) shared++;
  return shared;
}

static fck_status start_restart(fck_block_builder *b) {
  if (b->data.size > UINT32_MAX) return FCK_E_RANGE;
  b->since_restart = 0;
  return fck_append_fixed32(&b->restarts, (uint32_t)b->data.size);
}

fck_status fck_block_builder_add(fck_block_builder *b, const uint8_t *key, size_t key_size,
                                 const uint8_t *value, size_t value_size) {
  if (key_size > UINT32_MAX || value_size > UINT32_MAX) return FCK_E_RANGE;
  if (b->entry_count > 0 && fck_compare(b->last_key.data, b->last_key.size, key, key_size) >= 0) {
    return FCK_E_ORDER;
  }
  size_t shared = 0;
  if (b->since_restart < b->interval) {
    shared = shared_size(&b->last_key, key, key_size);
  } else {
    FCK_TRY(start_restart(b));
  }
  const uint8_t *key_tail = key_size > 0 ? key + shared : key;
  FCK_TRY(fck_append_varint(&b->data, shared));
  FCK_TRY(fck_append_varint(&b->data, key_size - shared));
  FCK_TRY(fck_append_varint(&b->data, value_size));
  FCK_TRY(fck_buf_append(&b->data, key_tail, key_size - shared));
  FCK_TRY(fck_buf_append(&b->data, value, value_size));
  fck_buf_truncate(&b->last_key, shared);
  FCK_TRY(fck_buf_append(&b->last_key, key_tail, key_size - shared));
  b->since_restart++;
  b->entry_count++;
  return FCK_OK;
}

size_t fck_block_builder_size(const fck_block_builder *b) {
  return b->data.size + b->restarts.size + 4;
}

fck_status fck_block_builder_finish(fck_block_builder *b) {
  const uint32_t restart_count = (uint32_t)(b->restarts.size / 4);
  FCK_TRY(fck_buf_append(&b->data, b->restarts.data, b->restarts.size));
  return fck_append_fixed32(&b->data, restart_count);
}

/* Sets *out to the first `size` bytes of a, the last of them one larger. */
static fck_status set_incremented(const uint8_t *a, size_t size, fck_buf *out) {
  out->size = 0;
  FCK_TRY(fck_buf_append(out, a, size));
  out->data[size - 1]++;
  return FCK_OK;
}

fck_status fck_separator(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                         fck_buf *out) {
  const size_t shorter = a_size < b_size ? a_size : b_size;
  size_t i = 0;
  while (i < shorter && a[i] == b[i]) i++;
  if (i < shorter && a[i] < 0xff && a[i] + 1 < b[i]) return set_incremented(a, i + 1, out);
  out->size = 0;
  return fck_buf_append(out, a, a_size);
}

fck_status fck_successor(const uint8_t *a, size_t a_size, fck_buf *out) {
  for (size_t i = 0; i < a_size; i++) {
    if (a[i] != 0xff) return set_incremented(a, i + 1, out);
  }
  out->size = 0;
  return fck_buf_append(out, a, a_size);
}

fck_status fck_handle_append(fck_buf *b, fck_handle handle) {
  FCK_TRY(fck_append_varint(b, handle.offset));
  return fck_append_varint(b, handle.size);
}

fck_status fck_footer_append(fck_buf *b, fck_handle metaindex, fck_handle index) {
  static const uint8_t kPadding[FCK_FOOTER_SIZE - 8] = {0};
  const size_t start = b->size;
  FCK_TRY(fck_handle_append(b, metaindex));
  FCK_TRY(fck_handle_append(b, index));
  FCK_TRY(fck_buf_append(b, kPadding, sizeof kPadding - (b->size - start)));
  return fck_append_fixed64(b, FCK_TABLE_MAGIC);
}
