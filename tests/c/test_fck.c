/* SPDX-License-Identifier: Apache-2.0 */
#include "fck.h"

#include "support.h"
#include "test.h"

static void test_reader_of_nothing_may_have_no_address(void) {
  fck_reader r = fck_reader_make(NULL, 0);
  fck_reader taken;

  CHECK_EQ(0, fck_reader_left(&r));
  CHECK_EQ(FCK_OK, fck_read_bytes(&r, 0, &taken));
  CHECK_EQ(0, fck_reader_left(&taken));
  CHECK_EQ(FCK_E_TRUNCATED, fck_read_bytes(&r, 1, &taken));
}

static void test_reader_gives_what_is_left_and_no_more(void) {
  static const uint64_t kTooMany[] = {6, 7, UINT32_MAX, UINT64_MAX / 2 + 1, UINT64_MAX};
  const bytes b = bytes_from_hex("0102030405");
  for (size_t i = 0; i < COUNT_OF(kTooMany); i++) {
    fck_reader r = bytes_reader(b);
    fck_reader taken = {b.data + 1, b.data + 2};

    CHECK_EQ(FCK_E_TRUNCATED, fck_read_bytes(&r, kTooMany[i], &taken));
    CHECK(r.p == b.data && r.end == b.data + 5);
    CHECK(taken.p == b.data + 1 && taken.end == b.data + 2);
  }
  for (size_t n = 0; n <= b.size; n++) {
    fck_reader r = bytes_reader(b);
    fck_reader taken = {NULL, NULL};

    CHECK_EQ(FCK_OK, fck_read_bytes(&r, n, &taken));
    CHECK(taken.p == b.data && taken.end == b.data + n);
    CHECK(r.p == b.data + n && r.end == b.data + 5);
  }
}

static void test_buffer_keeps_its_bytes_while_it_grows(void) {
  fck_buf b = {0};
  for (size_t i = 0; i < 5000; i++) {
    const uint8_t byte = (uint8_t)(i * 7);
    CHECK_EQ(FCK_OK, fck_buf_append(&b, &byte, 1));
    CHECK_EQ(i + 1, b.size);
    CHECK(b.capacity >= b.size);
  }
  for (size_t i = 0; i < b.size; i++) CHECK_EQ((uint8_t)(i * 7), b.data[i]);
  fck_buf_free(&b);
}

static void test_buffer_takes_nothing_from_no_address(void) {
  fck_buf b = {0};

  CHECK_EQ(FCK_OK, fck_buf_append(&b, NULL, 0));
  CHECK_EQ(0, b.size);
  fck_buf_free(&b);
}

static void test_buffer_is_empty_and_usable_after_free(void) {
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_buf_append(&b, (const uint8_t *)"abc", 3));
  fck_buf_free(&b);
  CHECK(b.data == NULL && b.size == 0 && b.capacity == 0);
  fck_buf_free(&b);

  CHECK_EQ(FCK_OK, fck_buf_append(&b, (const uint8_t *)"de", 2));
  CHECK_HEX("6465", b.data, b.size);
  fck_buf_free(&b);
}

static void test_reserved_room_is_used_without_another_allocation(void) {
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_buf_reserve(&b, 1000));
  CHECK_EQ(0, b.size);
  g_allocator.allowed = 0;

  for (size_t i = 0; i < 1000; i++) {
    CHECK_EQ(FCK_OK, fck_buf_append(&b, (const uint8_t *)"x", 1));
  }
  CHECK_EQ(FCK_OK, fck_buf_reserve(&b, 0));
  fck_buf_free(&b);
}

static void test_buffer_at_most_doubles(void) {
  fck_buf b = {0};
  for (size_t i = 0; i < 100; i++) {
    CHECK_EQ(FCK_OK, fck_buf_append(&b, (const uint8_t *)"0123456789", 10));
    CHECK(b.capacity <= 2 * b.size || b.capacity == 64);
  }
  fck_buf_free(&b);
}

/* On the way to the allocator a sum may wrap and the doubling may overflow. */
static void test_reserving_the_impossible_changes_nothing(void) {
  static const size_t kSizes[] = {SIZE_MAX,         SIZE_MAX - 1,     SIZE_MAX - 2, SIZE_MAX - 64,
                                  SIZE_MAX / 2 + 2, SIZE_MAX / 2 + 1, SIZE_MAX / 2};
  fck_buf b = {0};
  for (size_t i = 0; i < COUNT_OF(kSizes); i++) {
    CHECK_EQ(FCK_E_MEMORY, fck_buf_reserve(&b, kSizes[i]));
    CHECK(b.data == NULL && b.size == 0 && b.capacity == 0);
  }
  CHECK_EQ(FCK_OK, fck_buf_append(&b, (const uint8_t *)"abc", 3));
  const fck_buf before = b;
  for (size_t i = 0; i < COUNT_OF(kSizes); i++) {
    CHECK_EQ(FCK_E_MEMORY, fck_buf_reserve(&b, kSizes[i]));
    CHECK(b.data == before.data && b.size == 3 && b.capacity == before.capacity);
  }
  CHECK_HEX("616263", b.data, b.size);
  fck_buf_free(&b);
}

static void test_append_without_memory_changes_nothing(void) {
  const bytes more = bytes_copy(
      "0123456789012345678901234567890123456789012345678901234567890123"
      "456789",
      70);
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_buf_append(&b, (const uint8_t *)"abc", 3));
  const fck_buf before = b;
  g_allocator.allowed = 0;

  CHECK_EQ(FCK_E_MEMORY, fck_buf_append(&b, more.data, more.size));
  CHECK(b.data == before.data && b.size == 3 && b.capacity == before.capacity);
  CHECK_HEX("616263", b.data, b.size);
  fck_buf_free(&b);
}

static void test_truncated_buffer_goes_on_from_there(void) {
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_buf_append(&b, (const uint8_t *)"abcdef", 6));
  fck_buf_truncate(&b, 2);
  CHECK_EQ(FCK_OK, fck_buf_append(&b, (const uint8_t *)"z", 1));

  CHECK_HEX("61627a", b.data, b.size);
  fck_buf_free(&b);
}

static int sign(int order) { return (order > 0) - (order < 0); }

static int compare_hex(const char *a_hex, const char *b_hex) {
  const bytes a = bytes_from_hex(a_hex);
  const bytes b = bytes_from_hex(b_hex);
  return sign(fck_compare(a.data, a.size, b.data, b.size));
}

static void test_keys_are_ordered_as_unsigned_bytes_shorter_first(void) {
  static const char *const kOrdered[] = {
      "",   "00", "0000", "0001", "00ff", "01", "61",   "6100", "6161",
      "62", "7f", "80",   "8000", "fe",   "ff", "ff00", "ffff",
  };
  for (size_t i = 0; i < COUNT_OF(kOrdered); i++) {
    for (size_t j = 0; j < COUNT_OF(kOrdered); j++) {
      CHECK_EQ((i > j) - (i < j), compare_hex(kOrdered[i], kOrdered[j]));
    }
  }
}

static void test_comparing_nothing_needs_no_address(void) {
  CHECK_EQ(0, fck_compare(NULL, 0, NULL, 0));
  CHECK(fck_compare(NULL, 0, (const uint8_t *)"a", 1) < 0);
  CHECK(fck_compare((const uint8_t *)"a", 1, NULL, 0) > 0);
}

static const test_case kCases[] = {
    TEST_CASE(test_reader_of_nothing_may_have_no_address),
    TEST_CASE(test_reader_gives_what_is_left_and_no_more),
    TEST_CASE(test_buffer_keeps_its_bytes_while_it_grows),
    TEST_CASE(test_buffer_takes_nothing_from_no_address),
    TEST_CASE(test_buffer_is_empty_and_usable_after_free),
    TEST_CASE(test_reserved_room_is_used_without_another_allocation),
    TEST_CASE(test_buffer_at_most_doubles),
    TEST_CASE(test_reserving_the_impossible_changes_nothing),
    TEST_CASE(test_append_without_memory_changes_nothing),
    TEST_CASE(test_truncated_buffer_goes_on_from_there),
    TEST_CASE(test_keys_are_ordered_as_unsigned_bytes_shorter_first),
    TEST_CASE(test_comparing_nothing_needs_no_address),
};

const test_suite kFckSuite = TEST_SUITE("fck", kCases);
