/* SPDX-License-Identifier: Apache-2.0
 *
 * Headers and entries that break the grammar (docs/security.md, I1 and I3).
 */
#include <string.h>

#include "entry.h"
#include "test.h"
#include "wire.h"

static void check_bad_header(const char *hex, fck_status expected) {
  const fck_header before = {77, 78, 79, 80, true};
  fck_header header = before;

  CHECK_EQ(expected, fck_header_decode(bytes_reader(bytes_from_hex(hex)), &header));
  CHECK(header.num_shards == 77 && header.endianness == 78 && header.producer == 79);
  CHECK(header.min_consumer == 80 && header.is_refused);
}

static void check_bad_entry(const char *hex, fck_status expected) {
  fck_entry entry;

  CHECK_EQ(expected, fck_entry_decode(bytes_reader(bytes_from_hex(hex)), &entry));
}

/* Whether a message may end after `size` bytes: between two of its fields. */
static bool is_field_border(bytes message, size_t size) {
  fck_reader r = bytes_reader(message);
  while (fck_reader_left(&r) > 0 && (size_t)(r.p - message.data) < size) {
    fck_field field;
    CHECK_EQ(FCK_OK, fck_read_field(&r, &field));
  }
  return (size_t)(r.p - message.data) == size;
}

static void test_header_cut_at_every_length_is_truncated(void) {
  const bytes whole = bytes_from_hex("08ac02 1001 1a06 0801 1000 1801 2a03616263");
  for (size_t size = 0; size < whole.size; size++) {
    fck_header header = {77, 0, 0, 0, false};
    const bool is_border = is_field_border(whole, size);
    const fck_status status = fck_header_decode(bytes_reader(bytes_cut(whole, size)), &header);

    CHECK_EQ(is_border ? FCK_OK : FCK_E_TRUNCATED, status);
    if (!is_border) CHECK_EQ(77, header.num_shards);
  }
}

static void test_header_fields_of_another_wire_type_are_refused(void) {
  static const char *const kHeaders[] = {
      "0d 01020304", "09 0102030405060708", "0a 00",       "15 01020304", "12 00",
      "18 01",       "1d 01020304",         "1a 02 0a 00", "1a 02 12 00", "1a 05 1d 01020304",
  };
  for (size_t i = 0; i < COUNT_OF(kHeaders); i++) check_bad_header(kHeaders[i], FCK_E_WIRE);
}

static void test_header_numbers_beyond_32_bits_are_refused(void) {
  static const char *const kHeaders[] = {
      "088080808008",           /* 2**31 */
      "08ffffffff0f",           /* 2**32 - 1 */
      "08fffffffff7ffffffff01", /* -2**31 - 1 */
      "108080808008",           "1a06 088080808008", "1a06 108080808008",
  };
  for (size_t i = 0; i < COUNT_OF(kHeaders); i++) check_bad_header(kHeaders[i], FCK_E_RANGE);
}

static void test_header_of_garbage_is_refused(void) {
  check_bad_header("ff", FCK_E_TRUNCATED);
  check_bad_header("00", FCK_E_WIRE);
  check_bad_header("0801 0b0c", FCK_E_WIRE);
  check_bad_header("1a 05 0801", FCK_E_TRUNCATED);
  check_bad_header("1a 01 08", FCK_E_TRUNCATED);
  check_bad_header("1a 03 1a 01 80", FCK_E_TRUNCATED); /* in packed bad_consumers */
  check_bad_header("1a 0c 1a 0a ffffffffffffffffff02", FCK_E_VARINT);
}

static void test_entry_cut_at_every_length_is_truncated(void) {
  const bytes whole = bytes_from_hex(
      "0809 120b 120508ac021a00 12001800 1805 20808001 288002 35bbd79f11"
      "3a08 0a04 08021003 0a00 4a03616263");
  fck_entry entry;
  CHECK_EQ(FCK_OK, fck_entry_decode(bytes_reader(whole), &entry));
  for (size_t size = 0; size < whole.size; size++) {
    const fck_status status = fck_entry_decode(bytes_reader(bytes_cut(whole, size)), &entry);
    CHECK_EQ(is_field_border(whole, size) ? FCK_OK : FCK_E_TRUNCATED, status);
  }
}

static void test_entry_fields_of_another_wire_type_are_refused(void) {
  static const char *const kEntries[] = {
      "0d 01020304", /* dtype */
      "0a 01 01",
      "10 01", /* shape */
      "15 01020304",
      "1d 01020304", /* shard_id */
      "1a 01 01",
      "21 0102030405060708", /* offset */
      "22 01 01",
      "29 0102030405060708", /* size */
      "2a 01 01",
      "30 05", /* crc32c */
      "31 0102030405060708",
      "32 04 01020304",
      "38 01", /* slices */
      "3d 01020304",
      "12 02 1a 00", /* unknown_rank */
      "12 02 10 01", /* a dim */
      "12 05 15 01020304",
      "12 04 12 02 0a 00", /* a dim's size */
      "12 07 12 05 0d 01020304",
  };
  for (size_t i = 0; i < COUNT_OF(kEntries); i++) check_bad_entry(kEntries[i], FCK_E_WIRE);
}

static void test_entry_of_garbage_is_refused(void) {
  check_bad_entry("00", FCK_E_WIRE);
  check_bad_entry("0801 00", FCK_E_WIRE);
  check_bad_entry("0801 0b 0c", FCK_E_WIRE);
  check_bad_entry("0801 43 44", FCK_E_WIRE); /* a group, of an unknown number */
  check_bad_entry("0801 46", FCK_E_WIRE);
  check_bad_entry("ffffffffff", FCK_E_TRUNCATED);
  check_bad_entry("ffffffff1f 00", FCK_E_VARINT);
  check_bad_entry("12 02 00 00", FCK_E_WIRE);
  check_bad_entry("12 04 12 02 00 00", FCK_E_WIRE);
  check_bad_entry("12 04 12 03 08 01", FCK_E_TRUNCATED); /* a dim that ends beyond its shape */
  check_bad_entry("12 04 12 02 08 80", FCK_E_TRUNCATED);
  check_bad_entry("12 ffffffffffffffffff01", FCK_E_TRUNCATED);
  check_bad_entry("20 ffffffffffffffffff02", FCK_E_VARINT);
}

static void test_dtype_and_shard_beyond_32_bits_are_refused(void) {
  check_bad_entry("08 8080808008", FCK_E_RANGE);
  check_bad_entry("08 ffffffffffffffff7f", FCK_E_RANGE);
  check_bad_entry("18 8080808008", FCK_E_RANGE);
  check_bad_entry("18 fffffffff7ffffffff01", FCK_E_RANGE);
}

static void test_negative_dim_is_refused(void) {
  check_bad_entry("12 0d 12 0b 08 ffffffffffffffffff01", FCK_E_DIM);
  check_bad_entry("12 0d 12 0b 08 80808080808080808001", FCK_E_DIM); /* -2**63 */
  check_bad_entry("12 11 12 02 08 05 12 0b 08 ffffffffffffffffff01", FCK_E_DIM);
}

static void test_unknown_rank_is_refused(void) {
  check_bad_entry("12 02 18 01", FCK_E_DIM);
  check_bad_entry("12 06 12 02 08 05 18 01", FCK_E_DIM);
}

static void test_rank_255_is_refused(void) {
  const size_t shape_size = 2 * (FCK_MAX_RANK + 1);
  const bytes message = bytes_allocate(3 + shape_size);
  message.data[0] = 0x12;
  message.data[1] = (uint8_t)(shape_size | 0x80);
  message.data[2] = (uint8_t)(shape_size >> 7);
  for (size_t i = 0; i < shape_size; i += 2) memcpy(message.data + 3 + i, "\x12\0", 2);
  fck_entry entry;

  CHECK_EQ(FCK_E_RANK, fck_entry_decode(bytes_reader(message), &entry));
}

static void test_rank_255_in_two_shapes_is_refused(void) {
  const size_t dims = 127;
  const bytes shape = bytes_allocate(3 + 2 * dims);
  memcpy(shape.data, "\x12\xfe\x01", 3);
  for (size_t i = 0; i < dims; i++) memcpy(shape.data + 3 + 2 * i, "\x12\0", 2);
  const bytes twice = bytes_allocate(2 * shape.size + 4);
  memcpy(twice.data, shape.data, shape.size);
  memcpy(twice.data + shape.size, shape.data, shape.size);
  memcpy(twice.data + 2 * shape.size, "\x12\x02\x12\0", 4);
  fck_entry entry;

  CHECK_EQ(FCK_OK, fck_entry_decode(bytes_reader(bytes_cut(twice, 2 * shape.size)), &entry));
  CHECK_EQ(FCK_MAX_RANK, entry.rank);
  CHECK_EQ(FCK_E_RANK, fck_entry_decode(bytes_reader(twice), &entry));
}

static const test_case kCases[] = {
    TEST_CASE(test_header_cut_at_every_length_is_truncated),
    TEST_CASE(test_header_fields_of_another_wire_type_are_refused),
    TEST_CASE(test_header_numbers_beyond_32_bits_are_refused),
    TEST_CASE(test_header_of_garbage_is_refused),
    TEST_CASE(test_entry_cut_at_every_length_is_truncated),
    TEST_CASE(test_entry_fields_of_another_wire_type_are_refused),
    TEST_CASE(test_entry_of_garbage_is_refused),
    TEST_CASE(test_dtype_and_shard_beyond_32_bits_are_refused),
    TEST_CASE(test_negative_dim_is_refused),
    TEST_CASE(test_unknown_rank_is_refused),
    TEST_CASE(test_rank_255_is_refused),
    TEST_CASE(test_rank_255_in_two_shapes_is_refused),
};

const test_suite kHostileEntrySuite = TEST_SUITE("entry_hostile", kCases);
