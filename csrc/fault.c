/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include "wire.h"

static const fck_fault kNoNumbers = {0, 0};

/* ---- Messages ---- */

/* `needed` bytes more than were read so far. */
static fck_fault truncated(const fck_reader *left, uint64_t needed) {
  const fck_fault fault = {needed, fck_reader_left(left)};
  return fault;
}

static fck_fault cut_varint(const fck_reader *left) {
  return truncated(left, (uint64_t)fck_reader_left(left) + 1);
}

fck_fault fck_fault_of_field(fck_reader r, fck_status status) {
  uint32_t tag;
  uint64_t size;
  if (status != FCK_E_TRUNCATED) return kNoNumbers;
  if (fck_read_varint32(&r, &tag) != FCK_OK) return cut_varint(&r);
  switch (tag & 7) {
    case FCK_WIRE_FIXED64:
      return truncated(&r, 8);
    case FCK_WIRE_FIXED32:
      return truncated(&r, 4);
    case FCK_WIRE_BYTES:
      if (fck_read_varint64(&r, &size) == FCK_OK) return truncated(&r, size);
      return cut_varint(&r);
    default:
      return cut_varint(&r);
  }
}

/* The messages within a record; kFields has their fields. */
typedef enum message_kind {
  kHeader,
  kVersion,
  kEntry,
  kShape,
  kDim,
  kSlices,
  kSlice,
  kExtent,
} message_kind;

typedef enum field_kind {
  kInt32,
  kSize, /* of 63 bits */
  kOther,
  kFixed,
  kPacked, /* or not packed */
  kUnknownRank,
  kMessage,
} field_kind;

typedef struct field_row {
  message_kind message;
  uint32_t number;
  field_kind kind;
  message_kind child;
} field_row;

static const field_row kFields[] = {
    {kHeader, 1, kInt32, kHeader},    {kHeader, 2, kInt32, kHeader},
    {kHeader, 3, kMessage, kVersion}, {kVersion, 1, kInt32, kVersion},
    {kVersion, 2, kInt32, kVersion},  {kVersion, 3, kPacked, kVersion},
    {kEntry, 1, kInt32, kEntry},      {kEntry, 2, kMessage, kShape},
    {kEntry, 3, kInt32, kEntry},      {kEntry, 4, kOther, kEntry},
    {kEntry, 5, kOther, kEntry},      {kEntry, 6, kFixed, kEntry},
    {kShape, 2, kMessage, kDim},      {kShape, 3, kUnknownRank, kShape},
    {kDim, 1, kSize, kDim},           {kSlices, 7, kMessage, kSlice},
    {kSlice, 1, kMessage, kExtent},   {kExtent, 1, kSize, kExtent},
    {kExtent, 2, kSize, kExtent},
};

static const field_row *find_row(message_kind message, uint32_t number) {
  for (size_t i = 0; i < sizeof kFields / sizeof *kFields; i++) {
    if (kFields[i].message == message && kFields[i].number == number) return &kFields[i];
  }
  return NULL;
}

static fck_wire_type type_of(field_kind kind) {
  if (kind == kMessage) return FCK_WIRE_BYTES;
  return kind == kFixed ? FCK_WIRE_FIXED32 : FCK_WIRE_VARINT;
}

/* Whether a number is what the status is about. */
static bool is_refused(field_kind kind, uint64_t value, fck_status status) {
  const int64_t number = (int64_t)value;
  if (kind == kInt32) return status == FCK_E_RANGE && (number < INT32_MIN || number > INT32_MAX);
  if (kind == kSize) return (status == FCK_E_RANGE || status == FCK_E_DIM) && number < 0;
  return false;
}

/* The state of a search for a fault. */
typedef struct search {
  fck_status status;
  uint64_t rank; /* dimensions so far: those of a shape that is there twice add up */
  fck_fault fault;
} search;

static bool find_fault(fck_reader message, message_kind kind, search *s);

static bool found(search *s, uint64_t wanted, uint64_t got) {
  s->fault = (fck_fault){wanted, got};
  return true;
}

static bool find_in_packed(fck_reader packed, search *s) {
  uint64_t value;
  while (fck_reader_left(&packed) > 0) {
    if (fck_read_varint64(&packed, &value) == FCK_OK) continue;
    if (s->status == FCK_E_TRUNCATED) s->fault = cut_varint(&packed);
    return true;
  }
  return false;
}

/* Whether a field that was read has the fault. */
static bool has_fault(const fck_field *field, const field_row *row, search *s) {
  if (row->kind == kPacked && field->type == FCK_WIRE_BYTES) {
    return find_in_packed(field->bytes, s);
  }
  if (field->type != type_of(row->kind)) {
    return s->status == FCK_E_WIRE && found(s, type_of(row->kind), field->type);
  }
  if (row->kind == kMessage) return find_fault(field->bytes, row->child, s);
  if (row->kind == kUnknownRank) return s->status == FCK_E_DIM && field->value != 0;
  return is_refused(row->kind, field->value, s->status) && found(s, 0, field->value);
}

static bool find_fault(fck_reader message, message_kind kind, search *s) {
  const bool has_dims = kind == kShape || kind == kSlice;
  if (kind == kSlice) s->rank = 0;
  while (fck_reader_left(&message) > 0) {
    fck_field field;
    if (fck_read_field(&message, &field) != FCK_OK) {
      s->fault = fck_fault_of_field(message, s->status);
      return true;
    }
    const field_row *row = find_row(kind, field.number);
    if (row == NULL) continue;
    if (has_fault(&field, row, s)) return true;
    s->rank += has_dims && row->kind == kMessage;
  }
  if (s->status != FCK_E_RANK || !has_dims || s->rank <= FCK_MAX_RANK) return false;
  return found(s, FCK_MAX_RANK, s->rank);
}

fck_fault fck_fault_of_message(fck_reader message, fck_message kind, fck_status status) {
  static const message_kind kKinds[] = {kHeader, kEntry, kSlices};
  search s = {status, 0, kNoNumbers};
  find_fault(message, kKinds[kind], &s);
  return s.fault;
}

/* ---- Blocks ---- */

fck_fault fck_fault_of_block(const uint8_t *data, size_t size, fck_status status) {
  uint32_t restarts = 0;
  if (status == FCK_E_TRUNCATED) return (fck_fault){4, size};
  if (status != FCK_E_RESTART || size < 4) return kNoNumbers;
  fck_reader tail = fck_reader_make(data + size - 4, 4);
  if (fck_read_fixed32(&tail, &restarts) != FCK_OK) return kNoNumbers;
  return (fck_fault){(size - 4) / 4, restarts};
}

static fck_fault fault_of_next(const fck_block_iter *iter, fck_status status) {
  fck_reader r = iter->left;
  uint32_t sizes[3] = {0, 0, 0}; /* shared, unshared, value */
  for (size_t i = 0; i < 3; i++) {
    if (fck_read_varint32(&r, &sizes[i]) == FCK_OK) continue;
    return status == FCK_E_TRUNCATED ? cut_varint(&r) : kNoNumbers;
  }
  if (status == FCK_E_SHARED) return (fck_fault){sizes[0], iter->key.size};
  return truncated(&r, (uint64_t)sizes[1] + sizes[2]);
}

fck_fault fck_fault_of_block_entry(const fck_block *block, size_t offset, fck_status status) {
  if (status == FCK_E_EXPANSION) {
    return (fck_fault){(uint64_t)block->entries_size * FCK_MAX_KEY_EXPANSION, 0};
  }
  if (status != FCK_E_SHARED && status != FCK_E_TRUNCATED) return kNoNumbers;
  fck_block_iter iter = {0};
  bool has_entry = true;
  fck_fault fault = kNoNumbers;
  fck_block_iter_begin(&iter, block);
  while (has_entry && iter.left.p < block->data + offset) {
    if (fck_block_iter_next(&iter, &has_entry) != FCK_OK) has_entry = false;
  }
  if (iter.left.p == block->data + offset) fault = fault_of_next(&iter, status);
  fck_buf_free(&iter.key);
  return fault;
}

/* ---- Strings ---- */

fck_fault fck_fault_of_strings(fck_reader payload, size_t count, fck_status status) {
  uint64_t needed = FCK_LENGTH_CHECKSUM_SIZE;
  if (status != FCK_E_TRUNCATED && status != FCK_E_TRAILING) return kNoNumbers;
  for (size_t i = 0; i < count; i++) {
    uint64_t length;
    if (fck_read_varint64(&payload, &length) != FCK_OK) return cut_varint(&payload);
    if (length > UINT64_MAX - needed) return truncated(&payload, UINT64_MAX);
    needed += length;
  }
  return truncated(&payload, needed);
}
