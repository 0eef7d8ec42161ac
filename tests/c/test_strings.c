/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "string_payload.h"
#include "test.h"

enum { kMaxCount = 8 };

static void check_lengths(const char *hex, size_t count, const uint64_t *expected) {
  const bytes payload = bytes_from_hex(hex);
  const bytes room = bytes_allocate(count * sizeof(uint64_t));
  uint64_t *const lengths = (uint64_t *)(void *)room.data;
  fck_reader r = bytes_reader(payload);

  CHECK_EQ(FCK_OK, fck_strings_decode_lengths(&r, count, count > 0 ? lengths : NULL));
  CHECK_EQ(0, count > 0 ? memcmp(expected, lengths, room.size) : 0);
  uint64_t total = FCK_LENGTH_CHECKSUM_SIZE;
  for (size_t i = 0; i < count; i++) total += expected[i];
  CHECK(r.end == payload.data + payload.size);
  CHECK_EQ(total, fck_reader_left(&r)); /* it stands at the checksum */
}

static void test_lengths_are_read(void) {
  check_lengths("d8ea82a2", 0, NULL);
  check_lengths("00 a67b113a", 1, (const uint64_t[]){0});
  check_lengths("010200 abfbc9d8 616263", 3, (const uint64_t[]){1, 2, 0});
  check_lengths("020003 1b428bca 616278797a", 3, (const uint64_t[]){2, 0, 3});
  check_lengths("8000 00000000", 1, (const uint64_t[]){0}); /* in a longer form than needed */
}

static void test_length_of_two_bytes_is_read(void) {
  const bytes payload = bytes_allocate(2 + 4 + 130);
  memset(payload.data, 'c', payload.size);
  memcpy(payload.data, "\x82\x01", 2);
  fck_reader r = bytes_reader(payload);
  uint64_t length = 0;

  CHECK_EQ(FCK_OK, fck_strings_decode_lengths(&r, 1, &length));
  CHECK_EQ(130, length);
  CHECK_EQ(134, fck_reader_left(&r));
}

static void check_bad_lengths(bytes payload, size_t count, fck_status expected) {
  uint64_t lengths[kMaxCount];
  fck_reader r = bytes_reader(payload);

  CHECK_EQ(expected, fck_strings_decode_lengths(&r, count, lengths));
  CHECK(r.p == payload.data && r.end == payload.data + payload.size);
}

static void test_payload_cut_at_every_length_is_truncated(void) {
  const bytes payload = bytes_from_hex("020003 1b428bca 616278797a");
  for (size_t size = 0; size < payload.size; size++) {
    check_bad_lengths(bytes_cut(payload, size), 3, FCK_E_TRUNCATED);
  }
  check_bad_lengths(bytes_from_hex(""), 0, FCK_E_TRUNCATED);
  check_bad_lengths(bytes_from_hex("d8ea82"), 0, FCK_E_TRUNCATED);
}

static void test_bytes_left_over_are_refused(void) {
  check_bad_lengths(bytes_from_hex("020003 1b428bca 616278797a 00"), 3, FCK_E_TRAILING);
  check_bad_lengths(bytes_from_hex("d8ea82a2 00"), 0, FCK_E_TRAILING);
  check_bad_lengths(bytes_from_hex("00 a67b113a 00"), 1, FCK_E_TRAILING);
}

static void test_length_beyond_the_payload_is_truncated(void) {
  check_bad_lengths(bytes_from_hex("01 00000000"), 1, FCK_E_TRUNCATED); /* less the checksum */
  check_bad_lengths(bytes_from_hex("04 00000000"), 1, FCK_E_TRUNCATED);
  check_bad_lengths(bytes_from_hex("05 00000000"), 1, FCK_E_TRUNCATED);
  check_bad_lengths(bytes_from_hex("ffffffff0f 00000000 61"), 1, FCK_E_TRUNCATED);
  check_bad_lengths(bytes_from_hex("ffffffffffffffffff01 00000000 61"), 1, FCK_E_TRUNCATED);
  check_bad_lengths(bytes_from_hex("ffffffffffffffffff02 00000000 61"), 1, FCK_E_VARINT);
}

static void test_lengths_whose_sum_wraps_are_truncated(void) {
  check_bad_lengths(bytes_from_hex("01 ffffffffffffffffff01 00000000 616263"), 2, /* 0 */
                    FCK_E_TRUNCATED);
  check_bad_lengths(bytes_from_hex("ffffffffffffffffff01 01 00000000 616263"), 2, FCK_E_TRUNCATED);
  check_bad_lengths(bytes_from_hex("04 ffffffffffffffffff01 00000000 616263"), 2, /* 3 */
                    FCK_E_TRUNCATED);
  check_bad_lengths(bytes_from_hex("80808080808080808001 80808080808080808001 00000000 616263"),
                    2, /* 0 */
                    FCK_E_TRUNCATED);
}

static void test_more_strings_than_there_are_bytes_are_truncated(void) {
  const bytes room = bytes_allocate(1000 * sizeof(uint64_t));
  const bytes payload = bytes_from_hex("000000 00000000");
  fck_reader r = bytes_reader(payload);

  CHECK_EQ(FCK_E_TRUNCATED, fck_strings_decode_lengths(&r, 1000, (uint64_t *)(void *)room.data));
  CHECK(r.p == payload.data);
}

static void check_checked_length(uint64_t length, bool is_big_endian, const char *expected) {
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_strings_append_checked_length(&b, length, is_big_endian));
  CHECK_HEX(expected, b.data, b.size);
  fck_buf_free(&b);
}

static void test_checksum_sees_lengths_of_4_bytes_or_8(void) {
  check_checked_length(0, false, "00000000");
  check_checked_length(0, true, "00000000");
  check_checked_length(0x01020304, false, "04030201");
  check_checked_length(0x01020304, true, "01020304");
  check_checked_length(UINT32_MAX, false, "ffffffff");
  check_checked_length(UINT32_MAX, true, "ffffffff");
  check_checked_length((uint64_t)UINT32_MAX + 1, false, "0000000001000000");
  check_checked_length((uint64_t)UINT32_MAX + 1, true, "0000000100000000");
  check_checked_length(UINT64_C(0x0102030405060708), false, "0807060504030201");
  check_checked_length(UINT64_C(0x0102030405060708), true, "0102030405060708");
}

static void test_checked_lengths_are_appended(void) {
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_strings_append_checked_length(&b, 2, false));
  CHECK_EQ(FCK_OK, fck_strings_append_checked_length(&b, 0, false));

  CHECK_HEX("02000000 00000000", b.data, b.size);
  fck_buf_free(&b);
}

static const test_case kCases[] = {
    TEST_CASE(test_lengths_are_read),
    TEST_CASE(test_length_of_two_bytes_is_read),
    TEST_CASE(test_payload_cut_at_every_length_is_truncated),
    TEST_CASE(test_bytes_left_over_are_refused),
    TEST_CASE(test_length_beyond_the_payload_is_truncated),
    TEST_CASE(test_lengths_whose_sum_wraps_are_truncated),
    TEST_CASE(test_more_strings_than_there_are_bytes_are_truncated),
    TEST_CASE(test_checksum_sees_lengths_of_4_bytes_or_8),
    TEST_CASE(test_checked_lengths_are_appended),
};

const test_suite kStringsSuite = TEST_SUITE("strings", kCases);
