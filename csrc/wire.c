/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

fck_status fck_read_varint64_slow(fck_reader *r, uint64_t *out) {
  uint64_t value = 0;
  const uint8_t *p = r->p;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (p == r->end) return FCK_E_TRUNCATED;
    const uint8_t byte = *p++;
    if (shift == 63 && byte > 1) return FCK_E_VARINT; /* bits beyond 64 */
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      r->p = p;
      *out = value;
      return FCK_OK;
    }
  }
  return FCK_E_VARINT;
}

fck_status fck_read_varint32_slow(fck_reader *r, uint32_t *out) {
  fck_reader ahead = *r;
  uint64_t value;
  FCK_TRY(fck_read_varint64(&ahead, &value));
  if (value > UINT32_MAX) return FCK_E_VARINT;
  *r = ahead;
  *out = (uint32_t)value;
  return FCK_OK;
}

fck_status fck_read_fixed32(fck_reader *r, uint32_t *out) {
  if (fck_reader_left(r) < 4) return FCK_E_TRUNCATED;
  const uint8_t *p = r->p;
  *out = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
  r->p += 4;
  return FCK_OK;
}

fck_status fck_read_fixed64(fck_reader *r, uint64_t *out) {
  if (fck_reader_left(r) < 8) return FCK_E_TRUNCATED;
  uint64_t value = 0;
  for (unsigned i = 0; i < 8; i++) value |= (uint64_t)r->p[i] << (8 * i);
  *out = value;
  r->p += 8;
  return FCK_OK;
}

/* Reads what a tag of this type announces. */
static inline fck_status read_payload(fck_reader *r, fck_wire_type type, uint64_t *value,
                                      fck_reader *bytes) {
  uint32_t fixed32;
  uint64_t size;
  switch (type) {
    case FCK_WIRE_VARINT:
      return fck_read_varint64(r, value);
    case FCK_WIRE_FIXED64:
      return fck_read_fixed64(r, value);
    case FCK_WIRE_BYTES:
      FCK_TRY(fck_read_varint64(r, &size));
      return fck_read_bytes(r, size, bytes);
    case FCK_WIRE_FIXED32:
      FCK_TRY(fck_read_fixed32(r, &fixed32));
      *value = fixed32;
      return FCK_OK;
  }
  return FCK_E_WIRE; /* 3 and 4 are groups, which no checkpoint has; 6 and 7 do not exist */
}

fck_status fck_read_field(fck_reader *r, fck_field *out) {
  fck_reader ahead = *r;
  fck_reader bytes = {NULL, NULL};
  uint64_t value = 0;
  uint32_t tag;
  FCK_TRY(fck_read_varint32(&ahead, &tag));
  if (tag >> 3 == 0) return FCK_E_WIRE;
  FCK_TRY(read_payload(&ahead, (fck_wire_type)(tag & 7), &value, &bytes));
  *r = ahead;
  out->number = tag >> 3;
  out->type = (fck_wire_type)(tag & 7);
  out->value = value;
  out->bytes = bytes;
  return FCK_OK;
}

fck_status fck_field_int32(const fck_field *field, int32_t *out) {
  const int64_t value = (int64_t)field->value;
  if (value < INT32_MIN || value > INT32_MAX) return FCK_E_RANGE;
  *out = (int32_t)value;
  return FCK_OK;
}

size_t fck_varint_size(uint64_t value) {
  size_t size = 1;
  while (value >= 0x80) {
    value >>= 7;
    size++;
  }
  return size;
}

fck_status fck_append_varint(fck_buf *b, uint64_t value) {
  FCK_TRY(fck_buf_reserve(b, 10));
  uint8_t *p = b->data + b->size;
  while (value >= 0x80) {
    *p++ = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  *p++ = (uint8_t)value;
  b->size = (size_t)(p - b->data);
  return FCK_OK;
}

static fck_status append_fixed(fck_buf *b, uint64_t value, unsigned size) {
  FCK_TRY(fck_buf_reserve(b, size));
  for (unsigned i = 0; i < size; i++) b->data[b->size + i] = (uint8_t)(value >> (8 * i));
  b->size += size;
  return FCK_OK;
}

fck_status fck_append_fixed32(fck_buf *b, uint32_t value) { return append_fixed(b, value, 4); }

fck_status fck_append_fixed64(fck_buf *b, uint64_t value) { return append_fixed(b, value, 8); }

fck_status fck_append_tag(fck_buf *b, uint32_t number, fck_wire_type type) {
  return fck_append_varint(b, (uint64_t)number << 3 | (uint64_t)type);
}

fck_status fck_append_int(fck_buf *b, uint32_t number, int64_t value) {
  if (value == 0) return FCK_OK;
  FCK_TRY(fck_append_tag(b, number, FCK_WIRE_VARINT));
  return fck_append_varint(b, (uint64_t)value);
}

fck_status fck_append_bytes(fck_buf *b, uint32_t number, const uint8_t *data, size_t size) {
  FCK_TRY(fck_append_tag(b, number, FCK_WIRE_BYTES));
  FCK_TRY(fck_append_varint(b, size));
  return fck_buf_append(b, data, size);
}
