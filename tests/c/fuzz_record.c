/* SPDX-License-Identifier: Apache-2.0
 *
 * The records of an index, for the targets that come across any.
 */
#include <stdio.h>
#include <stdlib.h>

#include "entry.h"
#include "fuzz.h"
#include "wire.h"

enum { kSmallestField = 2 /* bytes of a field in a message: tag and payload */ };

void require(bool condition, const char *what, const char *file, int line) {
  if (condition) return;
  fprintf(stderr, "%s:%d: broken invariant %s\n", file, line, what);
  abort();
}

void require_numbers(fck_status status, fck_fault fault) {
  const bool is_cut = status == FCK_E_TRUNCATED || status == FCK_E_SHARED;
  const bool is_surplus = status == FCK_E_TRAILING || status == FCK_E_RANK;
  if (is_cut) REQUIRE("I3", fault.wanted > fault.found);
  if (is_surplus) REQUIRE("I3", fault.wanted < fault.found);
  if (status == FCK_E_RANGE) REQUIRE("I3", fault.found > INT32_MAX);
}

static bool is_same_slice(const fck_slice *a, const fck_slice *b) {
  const size_t size = a->rank * sizeof *a->start;
  return a->rank == b->rank && memcmp(a->start, b->start, size) == 0 &&
         memcmp(a->length, b->length, size) == 0;
}

static void check_same_entry(const fck_entry *a, const fck_entry *b) {
  REQUIRE("I3", a->dtype == b->dtype && a->shard_id == b->shard_id && a->rank == b->rank);
  REQUIRE("I3", a->offset == b->offset && a->size == b->size);
  REQUIRE("I3", a->masked_crc32c == b->masked_crc32c);
  REQUIRE("I3", memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0);
}

/* Two slices of a tensor have one key only if they are one. */
static void compare_keys(const fck_slice *a, const fck_slice *b) {
  static const uint8_t kName[] = {'v', 0, 0xff};
  fck_buf keys[2] = {{0}, {0}};
  REQUIRE("I2", fck_slice_key(kName, sizeof kName, a, &keys[0]) == FCK_OK);
  REQUIRE("I2", fck_slice_key(kName, sizeof kName, b, &keys[1]) == FCK_OK);
  REQUIRE("I5", keys[0].data[0] == 0);
  const int order = fck_compare(keys[0].data, keys[0].size, keys[1].data, keys[1].size);
  REQUIRE("I5", (order == 0) == is_same_slice(a, b));
  fck_buf_free(&keys[0]);
  fck_buf_free(&keys[1]);
}

/* Reads the slices, as many as the entry says, and appends them to *out. Returns whether all of
 * them decode. */
static bool copy_slices(const fck_entry *entry, fck_buf *out) {
  fck_reader left = entry->message;
  fck_slice before = {0};
  for (size_t count = 0;; count++) {
    fck_slice part;
    bool found = false;
    const fck_reader begin = left;
    const fck_status status = fck_entry_next_slice(&left, &part, &found);
    if (status != FCK_OK) {
      require_numbers(status, fck_fault_of_message(begin, FCK_MESSAGE_SLICES, status));
      return false;
    }
    if (!found) {
      REQUIRE("I5", count == entry->slice_count);
      return true;
    }
    REQUIRE("I4", (count + 1) * kSmallestField <= fck_reader_left(&entry->message));
    REQUIRE("I1", part.rank <= FCK_MAX_RANK);
    REQUIRE("I2", fck_entry_append_slice(&part, out) == FCK_OK);
    compare_keys(&before, &part);
    before = part;
  }
}

static void check_same_slices(const fck_entry *a, const fck_entry *b) {
  fck_reader left_a = a->message, left_b = b->message;
  bool found_a = true, found_b = true;
  REQUIRE("I3", a->slice_count == b->slice_count);
  while (found_a) {
    fck_slice slice_a, slice_b;
    REQUIRE("I3", fck_entry_next_slice(&left_a, &slice_a, &found_a) == FCK_OK);
    REQUIRE("I3", fck_entry_next_slice(&left_b, &slice_b, &found_b) == FCK_OK);
    REQUIRE("I3", found_a == found_b && (!found_a || is_same_slice(&slice_a, &slice_b)));
  }
}

/* What was decoded can be encoded, and decodes to the same. */
static void reencode(const fck_entry *entry) {
  fck_buf out = {0};
  fck_entry again;
  REQUIRE("I2", fck_entry_encode(entry, &out) == FCK_OK);
  const bool has_slices = copy_slices(entry, &out);
  REQUIRE("I3", fck_entry_decode(fck_reader_make(out.data, out.size), &again) == FCK_OK);
  check_same_entry(entry, &again);
  if (has_slices) check_same_slices(entry, &again);
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

static void walk_fields(fck_reader message) {
  const size_t size = fck_reader_left(&message);
  size_t count = 0;
  while (fck_reader_left(&message) > 0) {
    fck_field field;
    int32_t number = 0;
    const fck_status status = fck_read_field(&message, &field);
    if (status != FCK_OK) {
      require_numbers(status, fck_fault_of_field(message, status));
      return;
    }
    count++;
    REQUIRE("I4", count * kSmallestField <= size);
    REQUIRE("I1", field.number > 0);
    if (field.type == FCK_WIRE_VARINT && fck_field_int32(&field, &number) == FCK_OK) {
      REQUIRE("I3", (uint64_t)(int64_t)number == field.value);
    }
  }
}

static void use_header(fck_reader record) {
  fck_header header, again;
  fck_buf out = {0};
  const fck_status status = fck_header_decode(record, &header);
  REQUIRE("I1", status != FCK_E_MEMORY);
  if (status != FCK_OK) {
    require_numbers(status, fck_fault_of_message(record, FCK_MESSAGE_HEADER, status));
    return;
  }
  REQUIRE("I2", fck_header_encode(header.num_shards, header.endianness, &out) == FCK_OK);
  REQUIRE("I3", fck_header_decode(fck_reader_make(out.data, out.size), &again) == FCK_OK);
  REQUIRE("I3", again.num_shards == header.num_shards && again.endianness == header.endianness);
  REQUIRE("I3", again.producer == FCK_VERSION && !again.is_refused);
  fck_buf_free(&out);
}

void use_record(fck_reader record) {
  fck_entry entry;
  walk_fields(record);
  use_header(record);
  const fck_status status = fck_entry_decode(record, &entry);
  REQUIRE("I1", status != FCK_E_MEMORY);
  if (status != FCK_OK) {
    require_numbers(status, fck_fault_of_message(record, FCK_MESSAGE_ENTRY, status));
    return;
  }
  REQUIRE("I1", entry.rank <= FCK_MAX_RANK);
  measure(&entry);
  reencode(&entry);
}
