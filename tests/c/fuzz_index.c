/* SPDX-License-Identifier: Apache-2.0
 *
 * Gives any bytes to everything in csrc/ that reads, and checks the invariants of
 * docs/security.md that csrc/ answers for:
 *
 *   I1  no read outside of the bytes given      AddressSanitizer, on inputs of exact size
 *   I2  memory within a multiple of the input   the allocator of support.c
 *   I3  no arithmetic that wraps unnoticed      UndefinedBehaviorSanitizer, and sums made here
 *   I4  work within a multiple of the input     steps, counted here
 *   I5  listing and look-up agree               every key that is listed is looked up
 *
 * csrc/ does not look at checksums, so that no checksum keeps a mutation from being read. The
 * corpus/ has index files that TensorFlow wrote and broken ones (copies of tests/golden/), and
 * some blocks, records and payloads by themselves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "sstable.h"
#include "string_payload.h"
#include "support.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(invariant, condition) require(condition, invariant ": " #condition, __LINE__)

static void require(bool condition, const char *what, int line) {
  if (condition) return;
  fprintf(stderr, "fuzz_index.c:%d: broken invariant %s\n", line, what);
  abort();
}

enum {
  kSmallestEntry = 3, /* bytes of an entry in a block: three lengths */
  kSmallestField = 2, /* bytes of a field in a message: tag and payload */
  kSlack = 16384,     /* bytes: a slice key of 254 dimensions, and what buffers begin with */
};

/* ---- Records ---- */

static void check_same_entry(const fck_entry *a, const fck_entry *b) {
  REQUIRE("I3", a->dtype == b->dtype && a->shard_id == b->shard_id && a->rank == b->rank);
  REQUIRE("I3", a->offset == b->offset && a->size == b->size);
  REQUIRE("I3", a->masked_crc32c == b->masked_crc32c);
  REQUIRE("I3", memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0);
}

/* What was decoded can be encoded, and decodes to the same. */
static void reencode(const fck_entry *entry) {
  fck_buf out = {0};
  fck_entry again;
  REQUIRE("I2", fck_entry_encode(entry, &out) == FCK_OK);
  REQUIRE("I3", fck_entry_decode(fck_reader_make(out.data, out.size), &again) == FCK_OK);
  check_same_entry(entry, &again);
  fck_buf_free(&out);
}

static void measure(const fck_entry *entry) {
  static const uint32_t kItemSizes[] = {1, 2, 4, 8, 16};
  for (size_t i = 0; i < sizeof kItemSizes / sizeof *kItemSizes; i++) {
    uint64_t count = 0;
    uint64_t size = 0;
    if (fck_entry_measure(entry, kItemSizes[i], &count, &size) != FCK_OK) return;
    REQUIRE("I3", size <= INT64_MAX && size / kItemSizes[i] == count);
    REQUIRE("I3", size % kItemSizes[i] == 0);
  }
}

static void walk_slices(fck_entry entry) {
  const size_t message_size = fck_reader_left(&entry.message);
  fck_buf key = {0};
  size_t count = 0;
  for (;;) {
    fck_slice part;
    bool found = false;
    if (fck_entry_next_slice(&entry.message, &part, &found) != FCK_OK) break;
    if (!found) {
      REQUIRE("I5", count == entry.slice_count);
      break;
    }
    count++;
    REQUIRE("I4", count * kSmallestField <= message_size);
    REQUIRE("I1", part.rank <= FCK_MAX_RANK);
    key.size = 0;
    REQUIRE("I2", fck_slice_key((const uint8_t *)"v\0\xff", 3, &part, &key) == FCK_OK);
  }
  fck_buf_free(&key);
}

static void walk_fields(fck_reader message) {
  const size_t size = fck_reader_left(&message);
  size_t count = 0;
  while (fck_reader_left(&message) > 0) {
    fck_field field;
    if (fck_read_field(&message, &field) != FCK_OK) return;
    count++;
    REQUIRE("I4", count * kSmallestField <= size);
    REQUIRE("I1", field.number > 0);
  }
}

static void use_record(fck_reader record) {
  fck_header header;
  fck_entry entry;
  walk_fields(record);
  const fck_status header_status = fck_header_decode(record, &header);
  const fck_status status = fck_entry_decode(record, &entry);
  REQUIRE("I1", header_status != FCK_E_MEMORY && status != FCK_E_MEMORY);
  if (status != FCK_OK) return;
  REQUIRE("I1", entry.rank <= FCK_MAX_RANK);
  measure(&entry);
  reencode(&entry);
  walk_slices(entry);
}

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
  if (fck_block_open(data, size, &block) != FCK_OK) return false;
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

/* ---- Strings ---- */

static void use_strings(const uint8_t *data, size_t size) {
  uint64_t lengths[256];
  if (size == 0) return;
  const size_t count = data[0];
  fck_reader r = fck_reader_make(data + 1, size - 1);
  const size_t left = fck_reader_left(&r);
  if (fck_strings_decode_lengths(&r, count, lengths) != FCK_OK) {
    REQUIRE("I1", fck_reader_left(&r) == left);
    return;
  }
  uint64_t total = FCK_LENGTH_CHECKSUM_SIZE;
  for (size_t i = 0; i < count; i++) {
    REQUIRE("I3", lengths[i] <= size);
    total += lengths[i];
  }
  REQUIRE("I3", total == fck_reader_left(&r));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  allocator_reset();
  use_table(data, size);
  use_block(data, size, NULL, 0);
  use_record(fck_reader_make(data, size));
  use_strings(data, size);
  REQUIRE("I2", g_allocator.live_count == 0);
  REQUIRE("I2", g_allocator.largest <= 2 * FCK_MAX_KEY_EXPANSION * size + kSlack);
  return 0;
}
