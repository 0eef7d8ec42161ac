/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

#include "wire.h"

/* ---- Header ---- */

/* Takes one value of bad_consumers, which stands alone or packed with others. */
static fck_status read_bad_consumers(const fck_field *field, fck_header *out) {
  if (field->type == FCK_WIRE_VARINT) {
    if (field->value == FCK_VERSION) out->is_refused = true;
    return FCK_OK;
  }
  if (field->type != FCK_WIRE_BYTES) return FCK_E_WIRE;
  fck_reader packed = field->bytes;
  while (fck_reader_left(&packed) > 0) {
    uint64_t value;
    FCK_TRY(fck_read_varint64(&packed, &value));
    if (value == FCK_VERSION) out->is_refused = true;
  }
  return FCK_OK;
}

static fck_status decode_version(fck_reader message, fck_header *out) {
  while (fck_reader_left(&message) > 0) {
    fck_field field;
    FCK_TRY(fck_read_field(&message, &field));
    if (field.number == 3) {
      FCK_TRY(read_bad_consumers(&field, out));
      continue;
    }
    if (field.number > 2) continue;
    if (field.type != FCK_WIRE_VARINT) return FCK_E_WIRE;
    FCK_TRY(fck_field_int32(&field, field.number == 1 ? &out->producer : &out->min_consumer));
  }
  return FCK_OK;
}

fck_status fck_header_decode(fck_reader message, fck_header *out) {
  fck_header header = {0, FCK_LITTLE_ENDIAN, 0, 0, false};
  while (fck_reader_left(&message) > 0) {
    fck_field field;
    FCK_TRY(fck_read_field(&message, &field));
    if (field.number > 3) continue;
    if (field.type != (field.number == 3 ? FCK_WIRE_BYTES : FCK_WIRE_VARINT)) return FCK_E_WIRE;
    switch (field.number) {
      case 1:
        FCK_TRY(fck_field_int32(&field, &header.num_shards));
        break;
      case 2:
        FCK_TRY(fck_field_int32(&field, &header.endianness));
        break;
      default:
        FCK_TRY(decode_version(field.bytes, &header));
    }
  }
  *out = header;
  return FCK_OK;
}

fck_status fck_header_encode(int32_t num_shards, int32_t endianness, fck_buf *out) {
  static const uint8_t kVersion[] = {0x08, FCK_VERSION}; /* VersionDef { producer: 1 } */
  FCK_TRY(fck_append_int(out, 1, num_shards));
  FCK_TRY(fck_append_int(out, 2, endianness));
  return fck_append_bytes(out, 3, kVersion, sizeof kVersion);
}

/* ---- Shape ---- */

static fck_status decode_dim(fck_reader message, fck_entry *out) {
  uint64_t size = 0;
  while (fck_reader_left(&message) > 0) {
    fck_field field;
    FCK_TRY(fck_read_field(&message, &field));
    if (field.number != 1) continue;
    if (field.type != FCK_WIRE_VARINT) return FCK_E_WIRE;
    size = field.value;
  }
  if (size > INT64_MAX) return FCK_E_DIM;
  if (out->rank == FCK_MAX_RANK) return FCK_E_RANK;
  out->dims[out->rank++] = (int64_t)size;
  return FCK_OK;
}

static fck_status decode_shape(fck_reader message, fck_entry *out) {
  while (fck_reader_left(&message) > 0) {
    fck_field field;
    FCK_TRY(fck_read_field(&message, &field));
    if (field.number == 2) {
      if (field.type != FCK_WIRE_BYTES) return FCK_E_WIRE;
      FCK_TRY(decode_dim(field.bytes, out));
    } else if (field.number == 3) {
      if (field.type != FCK_WIRE_VARINT) return FCK_E_WIRE;
      if (field.value != 0) return FCK_E_DIM;
    }
  }
  return FCK_OK;
}

static fck_status append_dim(int64_t size, fck_buf *out) {
  FCK_TRY(fck_append_tag(out, 2, FCK_WIRE_BYTES));
  FCK_TRY(fck_append_varint(out, size == 0 ? 0 : 1 + fck_varint_size((uint64_t)size)));
  return fck_append_int(out, 1, size);
}

/* How many bytes append_dim writes. */
static size_t dim_size(int64_t size) { return size == 0 ? 2 : 3 + fck_varint_size((uint64_t)size); }

static fck_status append_shape(const fck_entry *entry, fck_buf *out) {
  size_t size = 0;
  for (uint32_t i = 0; i < entry->rank; i++) size += dim_size(entry->dims[i]);
  FCK_TRY(fck_append_tag(out, 2, FCK_WIRE_BYTES));
  FCK_TRY(fck_append_varint(out, size));
  for (uint32_t i = 0; i < entry->rank; i++) FCK_TRY(append_dim(entry->dims[i], out));
  return FCK_OK;
}

/* ---- Entry ---- */

static fck_wire_type entry_field_type(uint32_t number) {
  if (number == 6) return FCK_WIRE_FIXED32;
  return number == 2 || number == 7 ? FCK_WIRE_BYTES : FCK_WIRE_VARINT;
}

static fck_status decode_entry_field(const fck_field *field, fck_entry *out) {
  switch (field->number) {
    case 1:
      return fck_field_int32(field, &out->dtype);
    case 2:
      return decode_shape(field->bytes, out);
    case 3:
      return fck_field_int32(field, &out->shard_id);
    case 4:
      out->offset = (int64_t)field->value;
      return FCK_OK;
    case 5:
      out->size = (int64_t)field->value;
      return FCK_OK;
    case 6:
      out->masked_crc32c = (uint32_t)field->value;
      return FCK_OK;
    default:
      out->slice_count++;
      return FCK_OK;
  }
}

fck_status fck_entry_decode(fck_reader message, fck_entry *out) {
  out->dtype = 0; /* dims stay as they are: the first `rank` of them get written */
  out->shard_id = 0;
  out->offset = 0;
  out->size = 0;
  out->masked_crc32c = 0;
  out->rank = 0;
  out->slice_count = 0;
  out->message = message;
  while (fck_reader_left(&message) > 0) {
    fck_field field;
    FCK_TRY(fck_read_field(&message, &field));
    if (field.number > 7) continue;
    if (field.type != entry_field_type(field.number)) return FCK_E_WIRE;
    FCK_TRY(decode_entry_field(&field, out));
  }
  return FCK_OK;
}

fck_status fck_entry_measure(const fck_entry *entry, uint32_t item_size, uint64_t *count,
                             uint64_t *size) {
  uint64_t product = item_size;
  bool is_empty = false;
  for (uint32_t i = 0; i < entry->rank; i++) {
    const uint64_t dim = (uint64_t)entry->dims[i];
    is_empty = is_empty || dim == 0;
    if (dim > 1 && product > (uint64_t)INT64_MAX / dim) return FCK_E_OVERFLOW;
    if (dim > 1) product *= dim;
  }
  *count = is_empty ? 0 : product / item_size;
  *size = is_empty ? 0 : product;
  return FCK_OK;
}

fck_status fck_entry_encode(const fck_entry *entry, fck_buf *out) {
  FCK_TRY(fck_append_int(out, 1, entry->dtype));
  FCK_TRY(append_shape(entry, out));
  FCK_TRY(fck_append_int(out, 3, entry->shard_id));
  FCK_TRY(fck_append_int(out, 4, entry->offset));
  FCK_TRY(fck_append_int(out, 5, entry->size));
  if (entry->masked_crc32c == 0) return FCK_OK;
  FCK_TRY(fck_append_tag(out, 6, FCK_WIRE_FIXED32));
  return fck_append_fixed32(out, entry->masked_crc32c);
}

/* ---- Slices ---- */

static fck_status decode_extent(fck_reader message, fck_slice *out) {
  uint64_t start = 0;
  uint64_t length = 0;
  bool is_whole = true;
  while (fck_reader_left(&message) > 0) {
    fck_field field;
    FCK_TRY(fck_read_field(&message, &field));
    if (field.number > 2) continue;
    if (field.type != FCK_WIRE_VARINT) return FCK_E_WIRE;
    if (field.number == 1) {
      start = field.value;
    } else {
      length = field.value;
      is_whole = false;
    }
  }
  if (start > INT64_MAX || length > INT64_MAX) return FCK_E_RANGE;
  if (out->rank == FCK_MAX_RANK) return FCK_E_RANK;
  out->start[out->rank] = (int64_t)start;
  out->length[out->rank] = is_whole ? (int64_t)FCK_WHOLE : (int64_t)length;
  out->rank++;
  return FCK_OK;
}

static fck_status decode_slice(fck_reader message, fck_slice *out) {
  out->rank = 0;
  while (fck_reader_left(&message) > 0) {
    fck_field field;
    FCK_TRY(fck_read_field(&message, &field));
    if (field.number != 1) continue;
    if (field.type != FCK_WIRE_BYTES) return FCK_E_WIRE;
    FCK_TRY(decode_extent(field.bytes, out));
  }
  return FCK_OK;
}

fck_status fck_entry_next_slice(fck_reader *message, fck_slice *out, bool *found) {
  while (fck_reader_left(message) > 0) {
    fck_field field;
    FCK_TRY(fck_read_field(message, &field));
    if (field.number != 7) continue;
    if (field.type != FCK_WIRE_BYTES) return FCK_E_WIRE;
    FCK_TRY(decode_slice(field.bytes, out));
    *found = true;
    return FCK_OK;
  }
  *found = false;
  return FCK_OK;
}

/* The body of one extent: nothing for a whole dimension; else start unless 0, and length always,
 * because it is the member of a oneof. */
static fck_status append_extent(int64_t start, int64_t length, fck_buf *out) {
  FCK_TRY(fck_append_int(out, 1, start));
  if (length == FCK_WHOLE) return FCK_OK;
  FCK_TRY(fck_append_tag(out, 2, FCK_WIRE_VARINT));
  return fck_append_varint(out, (uint64_t)length);
}

static size_t extent_size(int64_t start, int64_t length) {
  const size_t start_size = start == 0 ? 0 : 1 + fck_varint_size((uint64_t)start);
  return start_size + (length == FCK_WHOLE ? 0 : 1 + fck_varint_size((uint64_t)length));
}

fck_status fck_entry_append_slice(const fck_slice *slice, fck_buf *out) {
  size_t size = 0;
  for (uint32_t i = 0; i < slice->rank; i++) {
    const size_t extent = extent_size(slice->start[i], slice->length[i]);
    size += 1 + fck_varint_size(extent) + extent;
  }
  FCK_TRY(fck_append_tag(out, 7, FCK_WIRE_BYTES));
  FCK_TRY(fck_append_varint(out, size));
  for (uint32_t i = 0; i < slice->rank; i++) {
    FCK_TRY(fck_append_tag(out, 1, FCK_WIRE_BYTES));
    FCK_TRY(fck_append_varint(out, extent_size(slice->start[i], slice->length[i])));
    FCK_TRY(append_extent(slice->start[i], slice->length[i], out));
  }
  return FCK_OK;
}

/* ---- Ordered code: bytes that sort as the values do ---- */

/* A count of significant bytes, then those bytes, most significant first. */
static fck_status append_ordered_uint(fck_buf *b, uint64_t value) {
  uint8_t bytes[9];
  uint8_t count = 0;
  for (uint64_t rest = value; rest > 0; rest >>= 8) count++;
  bytes[0] = count;
  for (uint8_t i = 0; i < count; i++) bytes[1 + i] = (uint8_t)(value >> (8 * (count - 1 - i)));
  return fck_buf_append(b, bytes, (size_t)count + 1);
}

/* 00 becomes 00 ff and ff becomes ff 00; 00 01 ends the string. */
static fck_status append_ordered_string(fck_buf *b, const uint8_t *data, size_t size) {
  static const uint8_t kEscapes[2][2] = {{0x00, 0xff}, {0xff, 0x00}};
  static const uint8_t kEnd[2] = {0x00, 0x01};
  for (size_t i = 0; i < size; i++) {
    const bool is_escaped = data[i] == 0x00 || data[i] == 0xff;
    const uint8_t *bytes = is_escaped ? kEscapes[data[i] & 1] : data + i;
    FCK_TRY(fck_buf_append(b, bytes, is_escaped ? 2 : 1));
  }
  return fck_buf_append(b, kEnd, sizeof kEnd);
}

/* Two's complement in n bytes, 7 bits of value to a byte, the first n bits inverted by ones: a
 * value that is not negative begins with exactly n one-bits, a negative one with n zero-bits. */
static fck_status append_ordered_int(fck_buf *b, int64_t value) {
  const uint64_t magnitude = value < 0 ? ~(uint64_t)value : (uint64_t)value;
  unsigned bits = 0;
  for (uint64_t rest = magnitude; rest > 0; rest >>= 1) bits++;
  const unsigned n = bits / 7 + 1; /* 1 to 10 */
  const uint8_t sign = value < 0 ? 0xff : 0x00;
  uint8_t bytes[10];
  for (unsigned i = 0; i < n; i++) {
    const unsigned shift = 8 * (n - 1 - i);
    bytes[i] = (uint8_t)(shift < 64 ? (uint64_t)value >> shift : sign);
  }
  for (unsigned i = 0; i < n; i++) bytes[i / 8] ^= (uint8_t)(0x80 >> (i % 8));
  return fck_buf_append(b, bytes, n);
}

fck_status fck_slice_key(const uint8_t *name, size_t name_size, const fck_slice *slice,
                         fck_buf *out) {
  FCK_TRY(append_ordered_uint(out, 0));
  FCK_TRY(append_ordered_string(out, name, name_size));
  FCK_TRY(append_ordered_uint(out, slice->rank));
  for (uint32_t i = 0; i < slice->rank; i++) {
    FCK_TRY(append_ordered_int(out, slice->start[i]));
    FCK_TRY(append_ordered_int(out, slice->length[i]));
  }
  return FCK_OK;
}
