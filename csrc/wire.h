/* SPDX-License-Identifier: Apache-2.0
 *
 * The protobuf wire format, as far as checkpoints use it, and the varints and fixed-width
 * numbers that the table format shares with it (docs/format.md, "Primitives").
 *
 *   message := field*
 *   field   := tag payload
 *   tag     := varint(number << 3 | type)
 *   payload := type 0: varint64 | type 1: 8 bytes | type 2: varint64 n, n bytes | type 5: 4 bytes
 *
 * Numbers are little-endian. A negative int32, int64 or enum is sign-extended to 64 bits and
 * takes ten varint bytes.
 */
#ifndef FASTCKPT_WIRE_H_
#define FASTCKPT_WIRE_H_

#include "fck.h"

typedef enum fck_wire_type {
  FCK_WIRE_VARINT = 0,
  FCK_WIRE_FIXED64 = 1,
  FCK_WIRE_BYTES = 2,
  FCK_WIRE_FIXED32 = 5,
} fck_wire_type;

/* One field of a message. `value` holds the payload of types 0, 1 and 5; `bytes` that of 2. */
typedef struct fck_field {
  uint32_t number;
  fck_wire_type type;
  uint64_t value;
  fck_reader bytes;
} fck_field;

/* Each reads one number. On error *r is unchanged and *out is not written. */
FCK_MUST_CHECK fck_status fck_read_fixed32(fck_reader *r, uint32_t *out);
FCK_MUST_CHECK fck_status fck_read_fixed64(fck_reader *r, uint64_t *out);
FCK_MUST_CHECK fck_status fck_read_varint64_slow(fck_reader *r, uint64_t *out);
FCK_MUST_CHECK fck_status fck_read_varint32_slow(fck_reader *r, uint32_t *out);

/* Nearly every tag, length and number takes one byte: that case is inlined, any other is slow. */
FCK_MUST_CHECK static inline fck_status fck_read_varint64(fck_reader *r, uint64_t *out) {
  if (r->p == r->end || *r->p >= 0x80) return fck_read_varint64_slow(r, out);
  *out = *r->p++;
  return FCK_OK;
}

FCK_MUST_CHECK static inline fck_status fck_read_varint32(fck_reader *r, uint32_t *out) {
  if (r->p == r->end || *r->p >= 0x80) return fck_read_varint32_slow(r, out);
  *out = *r->p++;
  return FCK_OK;
}

/* Reads one field of any kind, so that an unknown one is skipped by reading it.
 * REQUIRES: bytes are left. */
FCK_MUST_CHECK fck_status fck_read_field(fck_reader *r, fck_field *out);

/* The value of a varint field as the int32 or enum that it was written from. */
FCK_MUST_CHECK fck_status fck_field_int32(const fck_field *field, int32_t *out);

FCK_MUST_CHECK fck_status fck_append_varint(fck_buf *b, uint64_t value);
FCK_MUST_CHECK fck_status fck_append_fixed32(fck_buf *b, uint32_t value);
FCK_MUST_CHECK fck_status fck_append_fixed64(fck_buf *b, uint64_t value);
FCK_MUST_CHECK fck_status fck_append_tag(fck_buf *b, uint32_t number, fck_wire_type type);

/* Appends a varint field, unless value is 0: proto3 does not write defaults. */
FCK_MUST_CHECK fck_status fck_append_int(fck_buf *b, uint32_t number, int64_t value);

/* Appends a length-delimited field. */
FCK_MUST_CHECK fck_status fck_append_bytes(fck_buf *b, uint32_t number, const uint8_t *data,
                                           size_t size);

/* How many bytes fck_append_varint writes: 1 to 10. */
size_t fck_varint_size(uint64_t value);

#endif /* FASTCKPT_WIRE_H_ */
