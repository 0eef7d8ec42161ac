/* SPDX-License-Identifier: Apache-2.0
 *
 * The payload of a string tensor. The first two bytes are the number of elements.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "string_payload.h"
#include "support.h"
#include "wire.h"

/* What the lengths are made of again is what was read, unless a varint was longer than needed. */
static void encode_again(const uint64_t *lengths, size_t count, fck_reader written) {
  fck_buf out = {0};
  fck_buf checked = {0};
  for (size_t i = 0; i < count; i++) {
    REQUIRE("I2", fck_append_varint(&out, lengths[i]) == FCK_OK);
    REQUIRE("I2", fck_strings_append_checked_length(&checked, lengths[i], i % 2 > 0) == FCK_OK);
  }
  REQUIRE("I3", out.size <= fck_reader_left(&written));
  if (out.size == fck_reader_left(&written) && out.size > 0) {
    REQUIRE("I3", memcmp(out.data, written.p, out.size) == 0);
  }
  REQUIRE("I3", checked.size == 4 * count); /* no input is as long as 4 GiB */
  fck_buf_free(&out);
  fck_buf_free(&checked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  allocator_reset();
  const size_t count = data[0] + 256 * (size_t)data[1];
  uint64_t *const lengths = calloc(count + 1, sizeof *lengths);
  if (lengths == NULL) return 0;
  fck_reader r = fck_reader_make(data + 2, size - 2);
  const uint8_t *const begin = r.p;
  const size_t left = fck_reader_left(&r);
  const fck_status status = fck_strings_decode_lengths(&r, count, lengths);
  if (status != FCK_OK) {
    require_numbers(status, fck_fault_of_strings(r, count, status));
    REQUIRE("I1", fck_reader_left(&r) <= left);
  } else {
    uint64_t total = FCK_LENGTH_CHECKSUM_SIZE;
    for (size_t i = 0; i < count; i++) {
      REQUIRE("I3", lengths[i] <= size);
      total += lengths[i];
    }
    REQUIRE("I3", total == fck_reader_left(&r));
    const fck_reader written = {begin, r.p};
    encode_again(lengths, count, written);
  }
  free(lengths);
  REQUIRE("I2", g_allocator.live_count == 0);
  return 0;
}
