/* SPDX-License-Identifier: Apache-2.0 */
#include "table_writer.h"

#include "support.h"
#include "wire.h"

enum { kBlockSize = 262144, kDataInterval = 16, kIndexInterval = 1 };

void table_begin(table_writer *w) {
  *w = (table_writer){.is_empty = true};
  CHECK_EQ(FCK_OK, fck_block_builder_init(&w->data, kDataInterval));
  CHECK_EQ(FCK_OK, fck_block_builder_init(&w->index, kIndexInterval));
}

/* Appends a block with its trailer. */
static fck_handle append_block(table_writer *w, fck_block_builder *block) {
  const uint8_t kUncompressed = 0;
  CHECK_EQ(FCK_OK, fck_block_builder_finish(block));
  const fck_handle handle = {w->file.size, block->data.size};
  CHECK_EQ(FCK_OK, fck_buf_append(&w->file, block->data.data, block->data.size));
  CHECK_EQ(FCK_OK, fck_buf_append(&w->file, &kUncompressed, 1));
  const uint32_t crc = crc32c_extend(0, w->file.data + handle.offset, handle.size + 1);
  CHECK_EQ(FCK_OK, fck_append_fixed32(&w->file, crc32c_mask(crc)));
  return handle;
}

static void flush(table_writer *w) {
  if (w->is_pending || w->data.entry_count == 0) return;
  w->pending = append_block(w, &w->data);
  w->is_pending = true;
}

static void add_index_entry(table_writer *w, const fck_buf *key) {
  fck_buf value = {0};
  CHECK_EQ(FCK_OK, fck_handle_append(&value, w->pending));
  CHECK_EQ(FCK_OK, fck_block_builder_add(&w->index, key->data, key->size, value.data, value.size));
  fck_buf_free(&value);
  w->is_pending = false;
}

void table_add(table_writer *w, bytes key, bytes value) {
  if (!w->is_empty && key.size + value.size >= 2 * kBlockSize) flush(w);
  if (w->is_pending) {
    const fck_buf *last = &w->data.last_key;
    fck_buf separator = {0};
    CHECK_EQ(FCK_OK, fck_separator(last->data, last->size, key.data, key.size, &separator));
    add_index_entry(w, &separator);
    fck_buf_free(&separator);
    CHECK_EQ(FCK_OK, fck_block_builder_reset(&w->data));
  }
  w->is_empty = false;
  CHECK_EQ(FCK_OK, fck_block_builder_add(&w->data, key.data, key.size, value.data, value.size));
  if (fck_block_builder_size(&w->data) >= kBlockSize) flush(w);
}

bytes table_finish(table_writer *w) {
  fck_block_builder empty = {0};
  flush(w);
  CHECK_EQ(FCK_OK, fck_block_builder_init(&empty, kDataInterval));
  const fck_handle metaindex = append_block(w, &empty);
  fck_block_builder_free(&empty);
  if (w->is_pending) {
    const fck_buf *last = &w->data.last_key;
    fck_buf successor = {0};
    CHECK_EQ(FCK_OK, fck_successor(last->data, last->size, &successor));
    add_index_entry(w, &successor);
    fck_buf_free(&successor);
  }
  const fck_handle index = append_block(w, &w->index);
  CHECK_EQ(FCK_OK, fck_footer_append(&w->file, metaindex, index));
  const bytes file = bytes_copy(w->file.data, w->file.size);
  fck_block_builder_free(&w->data);
  fck_block_builder_free(&w->index);
  fck_buf_free(&w->file);
  return file;
}
