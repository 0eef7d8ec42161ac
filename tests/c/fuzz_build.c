/* SPDX-License-Identifier: Apache-2.0
 *
 * From keys and values to a table and back: what was put in is what comes out, and
 * memory that is refused on the way is FCK_E_MEMORY.
 *
 *   input := interval(1 byte) allowed(1 byte) item*
 *   item  := shared(1 byte) tail_size(1 byte) value_size(1 byte) tail value
 *
 * A key begins with `shared` bytes of the one before, so that sharing is common. An even
 * interval byte means one block, an odd one a new block for each value whose size is a multiple
 * of four. `allowed` is how many allocations succeed; 255: all.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "sstable.h"
#include "support.h"

enum { kMaxItems = 512 };

typedef struct item {
  size_t key_offset; /* into keys */
  size_t key_size;
  const uint8_t *value; /* borrowed from the input */
  size_t value_size;
  bool ends_block;
} item;

typedef struct items {
  uint8_t *keys;
  size_t count;
  item all[kMaxItems];
} items;

static const uint8_t *key_of(const items *list, size_t i) {
  return list->keys + list->all[i].key_offset;
}

static int compare(const items *list, size_t a, size_t b) {
  return fck_compare(key_of(list, a), list->all[a].key_size, key_of(list, b),
                     list->all[b].key_size);
}

/* Splits the input. Items whose key is not larger than the one before are dropped. */
static void split(fck_reader r, items *list, bool has_many_blocks) {
  size_t used = 0;
  list->count = 0;
  list->keys = malloc(kMaxItems * 512);
  if (list->keys == NULL) return;
  while (list->count + 1 < kMaxItems && fck_reader_left(&r) >= 3) {
    item *const next = &list->all[list->count];
    const item *const before = list->count > 0 ? next - 1 : NULL;
    size_t shared = r.p[0];
    const size_t tail_size = r.p[1];
    const size_t value_size = r.p[2];
    r.p += 3;
    fck_reader tail, value;
    if (fck_read_bytes(&r, tail_size, &tail) != FCK_OK) break;
    if (fck_read_bytes(&r, value_size, &value) != FCK_OK) break;
    if (before == NULL) shared = 0;
    if (before != NULL && shared > before->key_size) shared = before->key_size;
    *next = (item){used, shared + tail_size, value.p, value_size,
                   has_many_blocks && value_size % 4 == 0};
    if (shared > 0) memmove(list->keys + used, key_of(list, list->count - 1), shared);
    if (tail_size > 0) memcpy(list->keys + used + shared, tail.p, tail_size);
    if (before != NULL && compare(list, list->count - 1, list->count) >= 0) continue;
    used += next->key_size;
    list->count++;
  }
}

typedef struct table {
  fck_buf file;
  fck_block_builder data;
  fck_block_builder index;
  fck_buf separator;
  fck_buf value;
} table;

static fck_status append_block(table *t, fck_block_builder *block, fck_handle *handle) {
  static const uint8_t kTrailer[FCK_TRAILER_SIZE] = {0};
  const size_t size = fck_block_builder_size(block);
  FCK_TRY(fck_block_builder_finish(block));
  REQUIRE("I3", block->data.size == size);
  *handle = (fck_handle){t->file.size, block->data.size};
  FCK_TRY(fck_buf_append(&t->file, block->data.data, block->data.size));
  return fck_buf_append(&t->file, kTrailer, sizeof kTrailer);
}

/* Ends a block whose last item is `last`. */
static fck_status flush(table *t, const items *list, size_t last) {
  fck_handle handle;
  FCK_TRY(append_block(t, &t->data, &handle));
  FCK_TRY(fck_block_builder_reset(&t->data));
  if (last + 1 < list->count) {
    FCK_TRY(fck_separator(key_of(list, last), list->all[last].key_size, key_of(list, last + 1),
                          list->all[last + 1].key_size, &t->separator));
  } else {
    FCK_TRY(fck_successor(key_of(list, last), list->all[last].key_size, &t->separator));
  }
  t->value.size = 0;
  FCK_TRY(fck_handle_append(&t->value, handle));
  return fck_block_builder_add(&t->index, t->separator.data, t->separator.size, t->value.data,
                               t->value.size);
}

static fck_status build(table *t, const items *list, uint32_t interval) {
  fck_handle handle;
  FCK_TRY(fck_block_builder_init(&t->data, interval));
  FCK_TRY(fck_block_builder_init(&t->index, 1));
  for (size_t i = 0; i < list->count; i++) {
    const item *const each = &list->all[i];
    FCK_TRY(fck_block_builder_add(&t->data, key_of(list, i), each->key_size, each->value,
                                  each->value_size));
    if (each->ends_block || i + 1 == list->count) FCK_TRY(flush(t, list, i));
  }
  FCK_TRY(append_block(t, &t->index, &handle));
  return fck_footer_append(&t->file, handle, handle);
}

/* Looks up every item, where it has to be. */
static void check_items(const table *t, const items *list, const fck_index *index) {
  for (size_t i = 0; i < list->count; i++) {
    const item *const each = &list->all[i];
    const size_t number = fck_index_find(index, key_of(list, i), each->key_size);
    REQUIRE("I5", number < index->count);
    const fck_handle handle = fck_index_get(index, number)->block;
    const fck_key up_to = fck_index_key(index, number);
    const fck_key after = fck_index_key(index, number > 0 ? number - 1 : 0);
    fck_block block;
    fck_reader value;
    size_t count = 0, error_offset = 0;
    bool found = false;
    REQUIRE("I5", fck_block_open(t->file.data + handle.offset, handle.size, &block) == FCK_OK);
    const fck_status status =
        fck_block_verify(&block, number > 0 ? &after : NULL, &up_to, &count, &error_offset);
    if (status == FCK_E_EXPANSION) continue; /* a bomb, if a small one */
    REQUIRE("I5", status == FCK_OK);
    REQUIRE("I5",
            fck_block_find(&block, key_of(list, i), each->key_size, &found, &value) == FCK_OK);
    REQUIRE("I5", found && fck_reader_left(&value) == each->value_size);
    REQUIRE("I5", each->value_size == 0 || memcmp(value.p, each->value, each->value_size) == 0);
  }
}

static void read_back(const table *t, const items *list) {
  fck_handle metaindex, handle;
  fck_block block;
  fck_index index = {0};
  size_t count = 0, error_offset = 0;
  const uint8_t *const footer = t->file.data + t->file.size - FCK_FOOTER_SIZE;
  REQUIRE("I5", fck_footer_decode(footer, &metaindex, &handle) == FCK_OK);
  REQUIRE("I5", fck_handle_check(handle, t->file.size) == FCK_OK);
  REQUIRE("I5", fck_block_open(t->file.data + handle.offset, handle.size, &block) == FCK_OK);
  REQUIRE("I5", fck_block_verify(&block, NULL, NULL, &count, &error_offset) == FCK_OK);
  REQUIRE("I5", fck_index_load(&block, t->file.size, &index) == FCK_OK);
  check_items(t, list, &index);
  fck_index_free(&index);
}

/* A key that is there already is not added again. */
static void refuse_last(const items *list, uint32_t interval) {
  const size_t last = list->count - 1;
  fck_block_builder b = {0};
  if (fck_block_builder_init(&b, interval) == FCK_OK &&
      fck_block_builder_add(&b, key_of(list, last), list->all[last].key_size, NULL, 0) == FCK_OK) {
    const fck_status status =
        fck_block_builder_add(&b, key_of(list, last), list->all[last].key_size, NULL, 0);
    REQUIRE("I5", status == FCK_E_ORDER);
  }
  fck_block_builder_free(&b);
}

static void free_table(table *t) {
  fck_buf_free(&t->file);
  fck_block_builder_free(&t->data);
  fck_block_builder_free(&t->index);
  fck_buf_free(&t->separator);
  fck_buf_free(&t->value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  static items list;
  table t = {0};
  const uint32_t interval = 1 + data[0] / 2;
  split(fck_reader_make(data + 2, size - 2), &list, data[0] % 2 > 0);
  allocator_reset();
  if (data[1] < 255) g_allocator.allowed = data[1];
  const fck_status status = list.keys != NULL ? build(&t, &list, interval) : FCK_E_MEMORY;
  REQUIRE("I5", status == FCK_OK || (status == FCK_E_MEMORY && data[1] < 255));
  allocator_reset();
  if (status == FCK_OK) read_back(&t, &list);
  if (list.count > 0) refuse_last(&list, interval);
  free_table(&t);
  free(list.keys);
  REQUIRE("I2", g_allocator.live_count == 0);
  return 0;
}
