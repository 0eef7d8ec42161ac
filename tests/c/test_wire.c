/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include "support.h"
#include "test.h"

enum { kMaxVarint = 10 };

static bytes encode_varint(uint64_t value) {
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_append_varint(&b, value));
  const bytes encoded = bytes_copy(b.data, b.size);
  fck_buf_free(&b);
  return encoded;
}

/* How many groups of 7 bits a value has; 0 has one. */
static size_t group_count(uint64_t value) {
  size_t count = 1;
  while ((value >>= 7) > 0) count++;
  return count;
}

static void check_varint(uint64_t value) {
  const bytes encoded = encode_varint(value);
  fck_reader r = bytes_reader(encoded);
  uint64_t decoded = ~value;

  CHECK_EQ(group_count(value), encoded.size); /* the shortest form */
  CHECK_EQ(encoded.size, fck_varint_size(value));
  CHECK_EQ(FCK_OK, fck_read_varint64(&r, &decoded));
  CHECK_EQ(value, decoded);
  CHECK_EQ(0, fck_reader_left(&r));
}

static void check_varint32(uint64_t value) {
  const bytes encoded = encode_varint(value);
  fck_reader r = bytes_reader(encoded);
  uint32_t decoded = 77;
  if (value <= UINT32_MAX) {
    CHECK_EQ(FCK_OK, fck_read_varint32(&r, &decoded));
    CHECK_EQ(value, decoded);
    CHECK_EQ(0, fck_reader_left(&r));
    return;
  }
  CHECK_EQ(FCK_E_VARINT, fck_read_varint32(&r, &decoded));
  CHECK_EQ(77, decoded);
  CHECK_EQ(encoded.size, fck_reader_left(&r));
}

static void check_truncated_varint(uint64_t value) {
  const bytes encoded = encode_varint(value);
  for (size_t size = 0; size < encoded.size; size++) {
    const bytes cut = bytes_cut(encoded, size);
    fck_reader r = bytes_reader(cut);
    uint64_t out64 = 77;
    uint32_t out32 = 77;

    CHECK_EQ(FCK_E_TRUNCATED, fck_read_varint64(&r, &out64));
    CHECK_EQ(FCK_E_TRUNCATED, fck_read_varint32(&r, &out32));
    CHECK(r.p == cut.data && r.end == cut.data + size);
    CHECK(out64 == 77 && out32 == 77);
  }
}

static void for_each_power_of_two_and_its_neighbours(void (*check)(uint64_t)) {
  check(0);
  for (unsigned bit = 0; bit < 64; bit++) {
    const uint64_t power = UINT64_C(1) << bit;
    check(power - 1);
    check(power);
    check(power + 1);
  }
  check(UINT64_MAX);
}

static void test_varint64_round_trip(void) {
  for_each_power_of_two_and_its_neighbours(check_varint);
}

static void test_varint32_takes_32_bits_and_no_more(void) {
  for_each_power_of_two_and_its_neighbours(check_varint32);
}

static void test_varint_cut_at_every_length_is_truncated(void) {
  for_each_power_of_two_and_its_neighbours(check_truncated_varint);
}

static void test_varint_encoding_is_fixed(void) {
  static const struct {
    uint64_t value;
    const char *hex;
  } kVectors[] = {
      {0, "00"},
      {127, "7f"},
      {128, "8001"},
      {300, "ac02"},
      {16383, "ff7f"},
      {16384, "808001"},
      {UINT32_MAX, "ffffffff0f"},
      {INT64_MAX, "ffffffffffffffff7f"},
      {UINT64_MAX, "ffffffffffffffffff01"},
      {(uint64_t)-5, "fbffffffffffffffff01"},
  };
  for (size_t i = 0; i < COUNT_OF(kVectors); i++) {
    const bytes encoded = encode_varint(kVectors[i].value);
    CHECK_HEX(kVectors[i].hex, encoded.data, encoded.size);
  }
}

static void test_varint_with_more_bits_than_its_type_is_refused(void) {
  static const char *const kTooLong[] = {
      "ffffffffffffffffff02",   "ffffffffffffffffff7f",   "80808080808080808002",
      "8080808080808080808000", "8080808080808080808001", "ffffffffffffffffffffffffff",
      "80808080808080808081",
  };
  for (size_t i = 0; i < COUNT_OF(kTooLong); i++) {
    const bytes b = bytes_from_hex(kTooLong[i]);
    fck_reader r = bytes_reader(b);
    uint64_t out = 77;

    CHECK_EQ(FCK_E_VARINT, fck_read_varint64(&r, &out));
    CHECK(r.p == b.data && out == 77);
  }
}

static void test_varint_in_a_longer_form_than_needed_is_read(void) {
  static const struct {
    const char *hex;
    uint32_t value;
  } kVectors[] = {
      {"8000", 0},
      {"818000", 1},
      {"80808080808080808000", 0},
      {"ffffffff8f00", UINT32_MAX},
  };
  for (size_t i = 0; i < COUNT_OF(kVectors); i++) {
    const bytes b = bytes_from_hex(kVectors[i].hex);
    fck_reader r32 = bytes_reader(b);
    fck_reader r64 = r32;
    uint32_t out32 = 77;
    uint64_t out64 = 77;

    CHECK_EQ(FCK_OK, fck_read_varint32(&r32, &out32));
    CHECK_EQ(FCK_OK, fck_read_varint64(&r64, &out64));
    CHECK_EQ(kVectors[i].value, out32);
    CHECK_EQ(kVectors[i].value, out64);
    CHECK_EQ(0, fck_reader_left(&r32));
    CHECK_EQ(0, fck_reader_left(&r64));
  }
}

static void test_varint_leaves_what_follows(void) {
  const bytes b = bytes_from_hex("ac02 05 ff");
  fck_reader r = bytes_reader(b);
  uint64_t first = 0;
  uint32_t second = 0;

  CHECK_EQ(FCK_OK, fck_read_varint64(&r, &first));
  CHECK_EQ(FCK_OK, fck_read_varint32(&r, &second));
  CHECK(first == 300 && second == 5);
  CHECK_EQ(1, fck_reader_left(&r));
}

static void test_fixed_numbers_are_little_endian(void) {
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_append_fixed32(&b, UINT32_C(0x04030201)));
  CHECK_EQ(FCK_OK, fck_append_fixed32(&b, UINT32_MAX));
  CHECK_EQ(FCK_OK, fck_append_fixed64(&b, UINT64_C(0xdb4775248b80fb57)));

  CHECK_HEX("01020304 ffffffff 57fb808b247547db", b.data, b.size);
  fck_buf_free(&b);
}

static void check_fixed(uint64_t value) {
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_append_fixed32(&b, (uint32_t)value));
  CHECK_EQ(FCK_OK, fck_append_fixed64(&b, value));
  fck_reader r = fck_reader_make(b.data, b.size);
  uint32_t out32 = 0;
  uint64_t out64 = 0;

  CHECK_EQ(12, b.size);
  CHECK_EQ(FCK_OK, fck_read_fixed32(&r, &out32));
  CHECK_EQ(FCK_OK, fck_read_fixed64(&r, &out64));
  CHECK_EQ((uint32_t)value, out32);
  CHECK_EQ(value, out64);
  CHECK_EQ(0, fck_reader_left(&r));
  fck_buf_free(&b);
}

static void test_fixed_numbers_round_trip(void) {
  for_each_power_of_two_and_its_neighbours(check_fixed);
}

static void test_fixed_numbers_cut_short_are_truncated(void) {
  const bytes b = bytes_from_hex("0102030405060708");
  for (size_t size = 0; size < 8; size++) {
    const bytes cut = bytes_cut(b, size);
    fck_reader r = bytes_reader(cut);
    uint32_t out32 = 77;
    uint64_t out64 = 77;
    if (size < 4) CHECK_EQ(FCK_E_TRUNCATED, fck_read_fixed32(&r, &out32));
    CHECK_EQ(FCK_E_TRUNCATED, fck_read_fixed64(&r, &out64));
    CHECK(r.p == cut.data && out32 == 77 && out64 == 77);
  }
}

static void test_field_of_every_type_is_read(void) {
  const bytes b = bytes_from_hex(
      "08 ac02"             /* 1: varint 300 */
      "11 0102030405060708" /* 2: fixed64 */
      "1a 03 616263"        /* 3: "abc" */
      "22 00"               /* 4: "" */
      "2d 01020304"         /* 5: fixed32 */
      "f8ffffff0f 07"       /* 2^29 - 1, the largest number: varint 7 */
  );
  fck_reader r = bytes_reader(b);
  fck_field field;

  CHECK_EQ(FCK_OK, fck_read_field(&r, &field));
  CHECK(field.number == 1 && field.type == FCK_WIRE_VARINT && field.value == 300);
  CHECK_EQ(FCK_OK, fck_read_field(&r, &field));
  CHECK(field.number == 2 && field.type == FCK_WIRE_FIXED64);
  CHECK_EQ(UINT64_C(0x0807060504030201), field.value);
  CHECK_EQ(FCK_OK, fck_read_field(&r, &field));
  CHECK(field.number == 3 && field.type == FCK_WIRE_BYTES);
  CHECK_HEX("616263", field.bytes.p, fck_reader_left(&field.bytes));
  CHECK_EQ(FCK_OK, fck_read_field(&r, &field));
  CHECK(field.number == 4 && fck_reader_left(&field.bytes) == 0);
  CHECK_EQ(FCK_OK, fck_read_field(&r, &field));
  CHECK(field.number == 5 && field.type == FCK_WIRE_FIXED32 && field.value == 0x04030201);
  CHECK_EQ(FCK_OK, fck_read_field(&r, &field));
  CHECK(field.number == (1u << 29) - 1 && field.value == 7);
  CHECK_EQ(0, fck_reader_left(&r));
}

static void check_bad_field(const char *hex, fck_status expected) {
  const bytes b = bytes_from_hex(hex);
  fck_reader r = bytes_reader(b);
  const fck_field before = {77, FCK_WIRE_FIXED32, 88, {b.data, b.data}};
  fck_field field = before;

  CHECK_EQ(expected, fck_read_field(&r, &field));
  CHECK(r.p == b.data && r.end == b.data + b.size);
  CHECK(field.number == 77 && field.type == FCK_WIRE_FIXED32 && field.value == 88);
  CHECK(field.bytes.p == b.data && field.bytes.end == b.data);
}

static void test_field_number_zero_is_refused(void) {
  static const char *const kTags[] = {"00", "0000", "01 0102030405060708", "02 00", "05 01020304"};
  for (size_t i = 0; i < COUNT_OF(kTags); i++) check_bad_field(kTags[i], FCK_E_WIRE);
}

static void test_groups_and_unused_wire_types_are_refused(void) {
  static const char *const kTags[] = {"0b 0c", "0c", "0e 00", "0f 00", "1b 08 01 1c"};
  for (size_t i = 0; i < COUNT_OF(kTags); i++) check_bad_field(kTags[i], FCK_E_WIRE);
}

static void test_tag_beyond_32_bits_is_refused(void) {
  check_bad_field("8080808010 00", FCK_E_VARINT);
  check_bad_field("ffffffffffffffffff01 00", FCK_E_VARINT);
}

static void test_field_that_claims_more_bytes_than_are_left_is_truncated(void) {
  check_bad_field("0a 01", FCK_E_TRUNCATED);
  check_bad_field("0a 04 616263", FCK_E_TRUNCATED);
  check_bad_field("0a ffffffff07 616263", FCK_E_TRUNCATED);
  check_bad_field("0a ffffffffffffffffff01 616263", FCK_E_TRUNCATED);
  check_bad_field("0a ffffffffffffffffff02 616263", FCK_E_VARINT);
}

static void test_field_cut_at_every_length_is_truncated(void) {
  static const char *const kFields[] = {
      "08 ac02", "11 0102030405060708", "1a 03 616263", "2d 01020304", "f8ffffff0f 8001",
  };
  for (size_t i = 0; i < COUNT_OF(kFields); i++) {
    const bytes b = bytes_from_hex(kFields[i]);
    for (size_t size = 0; size < b.size; size++) {
      fck_reader r = bytes_reader(bytes_cut(b, size));
      fck_field field;
      CHECK_EQ(FCK_E_TRUNCATED, fck_read_field(&r, &field));
      CHECK_EQ(size, fck_reader_left(&r));
    }
  }
}

static void test_int32_field_has_the_range_of_its_type(void) {
  static const struct {
    int64_t value;
    bool is_in_range;
  } kVectors[] = {
      {0, true},           {1, true},          {-1, true},
      {INT32_MAX, true},   {INT32_MIN, true},  {(int64_t)INT32_MAX + 1, false},
      {UINT32_MAX, false}, {INT64_MAX, false}, {(int64_t)INT32_MIN - 1, false},
      {INT64_MIN, false},
  };
  for (size_t i = 0; i < COUNT_OF(kVectors); i++) {
    const fck_field field = {1, FCK_WIRE_VARINT, (uint64_t)kVectors[i].value, {NULL, NULL}};
    int32_t out = 77;
    const fck_status expected = kVectors[i].is_in_range ? FCK_OK : FCK_E_RANGE;

    CHECK_EQ(expected, fck_field_int32(&field, &out));
    CHECK_EQ(kVectors[i].is_in_range ? kVectors[i].value : 77, out);
  }
}

static void test_appended_fields_are_fixed(void) {
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_append_int(&b, 1, 0)); /* a default: not written */
  CHECK_EQ(0, b.size);
  CHECK_EQ(FCK_OK, fck_append_int(&b, 1, 300));
  CHECK_EQ(FCK_OK, fck_append_int(&b, 2, -1));
  CHECK_EQ(FCK_OK, fck_append_bytes(&b, 3, (const uint8_t *)"abc", 3));
  CHECK_EQ(FCK_OK, fck_append_bytes(&b, 4, NULL, 0));
  CHECK_EQ(FCK_OK, fck_append_tag(&b, 6, FCK_WIRE_FIXED32));
  CHECK_EQ(FCK_OK, fck_append_tag(&b, 16, FCK_WIRE_BYTES));
  CHECK_EQ(FCK_OK, fck_append_tag(&b, (1u << 29) - 1, FCK_WIRE_FIXED32));

  CHECK_HEX("08ac02 10ffffffffffffffffff01 1a03616263 2200 35 8201 fdffffff0f", b.data, b.size);
  fck_buf_free(&b);
}

static void test_appending_without_memory_changes_nothing(void) {
  fck_buf b = {0};
  g_allocator.allowed = 0;

  CHECK_EQ(FCK_E_MEMORY, fck_append_varint(&b, 1));
  CHECK_EQ(FCK_E_MEMORY, fck_append_fixed32(&b, 1));
  CHECK_EQ(FCK_E_MEMORY, fck_append_fixed64(&b, 1));
  CHECK_EQ(FCK_E_MEMORY, fck_append_tag(&b, 1, FCK_WIRE_VARINT));
  CHECK_EQ(FCK_E_MEMORY, fck_append_int(&b, 1, 1));
  CHECK_EQ(FCK_E_MEMORY, fck_append_bytes(&b, 1, NULL, 0));
  CHECK(b.data == NULL && b.size == 0 && b.capacity == 0);
}

static void test_varint_needs_no_more_room_than_it_asks_for(void) {
  for (size_t used = 0; used < 64; used++) { /* 64 is the first capacity */
    fck_buf b = {0};
    CHECK_EQ(FCK_OK, fck_buf_reserve(&b, 1));
    b.size = used;
    CHECK_EQ(FCK_OK, fck_append_varint(&b, UINT64_MAX));
    CHECK_EQ(used + kMaxVarint, b.size);
    CHECK(b.size <= b.capacity);
    fck_buf_free(&b);
  }
}

static const test_case kCases[] = {
    TEST_CASE(test_varint64_round_trip),
    TEST_CASE(test_varint32_takes_32_bits_and_no_more),
    TEST_CASE(test_varint_cut_at_every_length_is_truncated),
    TEST_CASE(test_varint_encoding_is_fixed),
    TEST_CASE(test_varint_with_more_bits_than_its_type_is_refused),
    TEST_CASE(test_varint_in_a_longer_form_than_needed_is_read),
    TEST_CASE(test_varint_leaves_what_follows),
    TEST_CASE(test_fixed_numbers_are_little_endian),
    TEST_CASE(test_fixed_numbers_round_trip),
    TEST_CASE(test_fixed_numbers_cut_short_are_truncated),
    TEST_CASE(test_field_of_every_type_is_read),
    TEST_CASE(test_field_number_zero_is_refused),
    TEST_CASE(test_groups_and_unused_wire_types_are_refused),
    TEST_CASE(test_tag_beyond_32_bits_is_refused),
    TEST_CASE(test_field_that_claims_more_bytes_than_are_left_is_truncated),
    TEST_CASE(test_field_cut_at_every_length_is_truncated),
    TEST_CASE(test_int32_field_has_the_range_of_its_type),
    TEST_CASE(test_appended_fields_are_fixed),
    TEST_CASE(test_appending_without_memory_changes_nothing),
    TEST_CASE(test_varint_needs_no_more_room_than_it_asks_for),
};

const test_suite kWireSuite = TEST_SUITE("wire", kCases);
