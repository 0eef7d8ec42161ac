/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables: footer, index block, data blocks, and the records in them.
 *
 * csrc/ does not look at checksums, so that no checksum keeps a mutation from being read. With
 * libFuzzer, fuzz_index_mutator.c keeps the handles right, too. The corpus has index files that
 * TensorFlow wrote and broken ones (copies of tests/golden/), and some blocks by themselves.
 */
#include "fuzz.h"
#include "sstable.h"
#include "support.h"

enum {
  kSmallestEntry = 3, /* bytes of an entry in a block: three lengths */
  kSlack = 65536,     /* bytes: slice keys of 254 dimensions, and what buffers begin with */
};

/* ---- Blocks ---- */

static bool find(const fck_block *block, const uint8_t *key, size_t size, fck_reader *value) {
  bool found = false;
  REQUIRE("I5", fck_block_find(block, key, size, &found, value) == FCK_OK);
  return found;
}

/* Walks a verified block. Each key is found with its value; the smallest key behind it, itself
 * and a NUL, is found only if it is the next. Returns the number of entries. */
static size_t walk_verified(const fck_block *block, const fck_index *index, size_t number) {
  fck_block_iter iter = {0};
  fck_buf next = {0};
  size_t count = 0;
  bool is_next_there = false;
  for (fck_block_iter_begin(&iter, block);; count++) {
    bool has_entry = false;
    REQUIRE("I5", fck_block_iter_next(&iter, &has_entry) == FCK_OK);
    if (!has_entry) break;
    fck_reader value = {NULL, NULL};
    REQUIRE("I5", find(block, iter.key.data, iter.key.size, &value));
    REQUIRE("I5", value.p == iter.value.p && value.end == iter.value.end);
    REQUIRE("I5", index == NULL || fck_index_find(index, iter.key.data, iter.key.size) == number);
    const bool is_next =
        count > 0 && fck_compare(next.data, next.size, iter.key.data, iter.key.size) == 0;
    REQUIRE("I5", is_next == is_next_there);
    next.size = 0;
    REQUIRE("I2", fck_buf_append(&next, iter.key.data, iter.key.size) == FCK_OK);
    REQUIRE("I2", fck_buf_append(&next, (const uint8_t *)"", 1) == FCK_OK);
    is_next_there = find(block, next.data, next.size, &value);
    use_record(iter.value);
  }
  REQUIRE("I5", !is_next_there);
  fck_buf_free(&next);
  fck_buf_free(&iter.key);
  return count;
}

/* Walks and searches a block that nobody verified: it need only end, and stay within its bytes. */
static void use_unverified(const fck_block *block) {
  fck_block_iter iter = {0};
  bool has_entry = true;
  size_t count = 0;
  fck_block_iter_begin(&iter, block);
  while (has_entry && fck_block_iter_next(&iter, &has_entry) == FCK_OK) {
    if (!has_entry) break;
    count++;
    REQUIRE("I4", count * kSmallestEntry <= block->entries_size);
    REQUIRE("I2", iter.key.size <= block->entries_size);
    bool found = false;
    fck_reader value;
    const fck_status status = fck_block_find(block, iter.key.data, iter.key.size, &found, &value);
    REQUIRE("I1", status != FCK_OK || !found ||
                      (value.p >= block->data && value.end <= block->data + block->entries_size));
  }
  fck_buf_free(&iter.key);
}

/* Returns whether the block is well-formed. */
static bool use_block(const uint8_t *data, size_t size, const fck_index *index, size_t number) {
  fck_block block;
  const fck_status opened = fck_block_open(data, size, &block);
  if (opened != FCK_OK) {
    require_numbers(opened, fck_fault_of_block(data, size, opened));
    return false;
  }
  fck_key after, up_to;
  if (index != NULL) {
    up_to = fck_index_key(index, number);
    after = fck_index_key(index, number > 0 ? number - 1 : 0);
  }
  size_t entry_count = 0;
  size_t error_offset = SIZE_MAX;
  const fck_status status =
      fck_block_verify(&block, index != NULL && number > 0 ? &after : NULL,
                       index != NULL ? &up_to : NULL, &entry_count, &error_offset);
  if (status != FCK_OK) {
    REQUIRE("I1", error_offset <= block.entries_size);
    require_numbers(status, fck_fault_of_block_entry(&block, error_offset, status));
    use_unverified(&block);
    return false;
  }
  REQUIRE("I4", entry_count * kSmallestEntry <= block.entries_size);
  REQUIRE("I5", walk_verified(&block, index, number) == entry_count);
  return true;
}

/* ---- Tables ---- */

static void use_index(const uint8_t *data, size_t size, const fck_index *index) {
  uint64_t total = 0;
  for (size_t i = 0; i < index->count; i++) {
    const fck_handle handle = fck_index_get(index, i)->block;
    REQUIRE("I1", fck_handle_check(handle, size) == FCK_OK);
    total += handle.size + FCK_TRAILER_SIZE;
    REQUIRE("I4", total <= size); /* reading every block is reading the file once */
    const fck_key key = fck_index_key(index, i);
    REQUIRE("I5", fck_index_find(index, key.data, key.size) == i);
    use_block(data + handle.offset, (size_t)handle.size, index, i);
  }
}

static void use_table(const uint8_t *data, size_t size) {
  fck_handle metaindex, handle;
  fck_block block;
  fck_index index = {0};
  size_t entry_count = 0;
  size_t error_offset = 0;
  if (size < FCK_FOOTER_SIZE) return;
  if (fck_footer_decode(data + size - FCK_FOOTER_SIZE, &metaindex, &handle) != FCK_OK) return;
  if (fck_handle_check(handle, size) != FCK_OK) return;
  if (fck_block_open(data + handle.offset, (size_t)handle.size, &block) != FCK_OK) return;
  if (fck_block_verify(&block, NULL, NULL, &entry_count, &error_offset) != FCK_OK) return;
  if (fck_index_load(&block, size, &index) == FCK_OK) {
    REQUIRE("I5", index.count == entry_count);
    use_index(data, size, &index);
  }
  fck_index_free(&index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  allocator_reset();
  use_table(data, size);
  use_block(data, size, NULL, 0);
  REQUIRE("I2", g_allocator.live_count == 0);
  REQUIRE("I2", g_allocator.largest <= 2 * FCK_MAX_KEY_EXPANSION * size + kSlack);
  return 0;
}
