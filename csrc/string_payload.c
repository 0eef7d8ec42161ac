/* SPDX-License-Identifier: Apache-2.0 */
#include "string_payload.h"

#include "wire.h"

fck_status fck_strings_decode_lengths(fck_reader *r, size_t count, uint64_t *lengths) {
  fck_reader ahead = *r;
  uint64_t total = 0;
  for (size_t i = 0; i < count; i++) {
    FCK_TRY(fck_read_varint64(&ahead, &lengths[i]));
    const uint64_t left = fck_reader_left(&ahead);
    if (total > left || lengths[i] > left - total) return FCK_E_TRUNCATED;
    total += lengths[i];
  }
  const size_t left = fck_reader_left(&ahead);
  if (left < FCK_LENGTH_CHECKSUM_SIZE) return FCK_E_TRUNCATED;
  if (total > left - FCK_LENGTH_CHECKSUM_SIZE) return FCK_E_TRUNCATED;
  if (total < left - FCK_LENGTH_CHECKSUM_SIZE) return FCK_E_TRAILING;
  *r = ahead;
  return FCK_OK;
}

fck_status fck_strings_append_checked_length(fck_buf *b, uint64_t length, bool is_big_endian) {
  const unsigned size = length <= UINT32_MAX ? 4 : 8;
  FCK_TRY(fck_buf_reserve(b, size));
  for (unsigned i = 0; i < size; i++) {
    const unsigned shift = 8 * (is_big_endian ? size - 1 - i : i);
    b->data[b->size + i] = (uint8_t)(length >> shift);
  }
  b->size += size;
  return FCK_OK;
}
