/* SPDX-License-Identifier: Apache-2.0
 *
 * What holds a table together: handles, the footer, the index. Its blocks are test_block.c's.
 */
#include "sstable.h"

#include <string.h>

#include "test.h"

/* ---- Handles and footers ---- */

static void test_handle_must_lie_in_the_file_with_its_trailer(void) {
  static const struct {
    fck_handle handle;
    uint64_t file_size;
    bool is_inside;
  } kVectors[] = {
      {{0, 0}, 5, true},
      {{0, 0}, 4, false},
      {{0, 0}, 0, false},
      {{0, 8}, 13, true},
      {{0, 9}, 13, false},
      {{1, 8}, 13, false},
      {{8, 0}, 13, true},
      {{9, 0}, 13, false},
      {{13, 0}, 13, false},
      {{UINT64_MAX, 0}, 100, false},
      {{0, UINT64_MAX}, 100, false},
      {{UINT64_MAX, UINT64_MAX}, 100, false},
      {{1, UINT64_MAX}, 100, false},       /* the sum is 0 */
      {{50, UINT64_MAX - 49}, 100, false}, /* the sum is 0, at a possible offset */
      {{50, UINT64_MAX - 40}, 100, false}, /* the sum is 9 */
      {{UINT64_MAX - 4, 5}, 100, false},   /* the end wraps to 0 */
      {{UINT64_MAX - 9, 5}, 100, false},   /* the end of the trailer wraps to 0 */
      {{UINT64_MAX / 2 + 1, UINT64_MAX / 2 + 1}, 100, false},
      {{0, UINT64_MAX - 5}, UINT64_MAX, true},
      {{0, UINT64_MAX - 4}, UINT64_MAX, false},
      {{UINT64_MAX - 5, 0}, UINT64_MAX, true},
  };
  for (size_t i = 0; i < COUNT_OF(kVectors); i++) {
    const fck_status expected = kVectors[i].is_inside ? FCK_OK : FCK_E_HANDLE;
    CHECK_EQ(expected, fck_handle_check(kVectors[i].handle, kVectors[i].file_size));
  }
}

static bool is_same_handle(fck_handle a, fck_handle b) {
  return a.offset == b.offset && a.size == b.size;
}

static void test_footer_round_trip(void) {
  static const fck_handle kHandles[] = {
      {0, 0}, {127, 128}, {531995, 8}, {UINT32_MAX, 1}, {UINT64_MAX, UINT64_MAX},
  };
  for (size_t i = 0; i < COUNT_OF(kHandles); i++) {
    for (size_t j = 0; j < COUNT_OF(kHandles); j++) {
      fck_buf b = {0};
      CHECK_EQ(FCK_OK, fck_buf_append(&b, (const uint8_t *)"table", 5));
      CHECK_EQ(FCK_OK, fck_footer_append(&b, kHandles[i], kHandles[j]));
      fck_handle metaindex, index;

      CHECK_EQ(5 + FCK_FOOTER_SIZE, b.size);
      CHECK_EQ(FCK_OK, fck_footer_decode(b.data + 5, &metaindex, &index));
      CHECK(is_same_handle(kHandles[i], metaindex) && is_same_handle(kHandles[j], index));
      fck_buf_free(&b);
    }
  }
}

static void test_footer_encoding_is_fixed(void) {
  fck_buf b = {0};
  const fck_handle metaindex = {84, 8};
  const fck_handle index = {97, 14};
  CHECK_EQ(FCK_OK, fck_footer_append(&b, metaindex, index));

  CHECK_HEX(
      "5408 610e"
      "000000000000000000000000000000000000000000000000000000000000000000000000"
      "57fb808b247547db",
      b.data, b.size);
  fck_buf_free(&b);
}

static void check_bad_footer(bytes footer, fck_status expected) {
  const fck_handle before = {77, 88};
  fck_handle metaindex = before;
  fck_handle index = before;

  CHECK_EQ(expected, fck_footer_decode(footer.data, &metaindex, &index));
  CHECK(is_same_handle(before, metaindex) && is_same_handle(before, index));
}

static void test_footer_without_the_magic_is_refused(void) {
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_footer_append(&b, (fck_handle){1, 2}, (fck_handle){3, 4}));
  for (size_t bit = 0; bit < 64; bit++) {
    const bytes footer = bytes_copy(b.data, b.size);
    footer.data[40 + bit / 8] ^= (uint8_t)(1 << bit % 8);
    check_bad_footer(footer, FCK_E_MAGIC);
  }
  fck_buf_free(&b);
}

static void test_footer_with_a_bad_varint_is_refused(void) {
  fck_buf b = {0};
  CHECK_EQ(FCK_OK, fck_footer_append(&b, (fck_handle){1, 2}, (fck_handle){3, 4}));
  for (size_t i = 0; i < 4; i++) { /* each of the four numbers in turn */
    const bytes footer = bytes_copy(b.data, b.size);
    memset(footer.data + i, 0xff, 40 - i);
    check_bad_footer(footer, FCK_E_VARINT);
  }
  fck_buf_free(&b);
}

/* ---- Keys of the index ---- */

static void check_separator(const char *a_hex, const char *b_hex, const char *expected) {
  const bytes a = bytes_from_hex(a_hex);
  const bytes b = bytes_from_hex(b_hex);
  fck_buf out = {0};
  CHECK_EQ(FCK_OK, fck_buf_append(&out, (const uint8_t *)"old", 3));

  CHECK_EQ(FCK_OK, fck_separator(a.data, a.size, b.data, b.size, &out));
  CHECK_HEX(expected, out.data, out.size);
  fck_buf_free(&out);
}

static void test_separator_is_fixed(void) {
  check_separator("616263", "616266", "616264");         /* abc, abf: abd */
  check_separator("616263", "616264", "616263");         /* abc, abd: abc */
  check_separator("616263", "61626364", "616263");       /* abc, abcd: abc */
  check_separator("616263646566", "61627a7a", "616264"); /* abcdef, abzz: abd */
  check_separator("", "61", "");
  check_separator("61ff", "62", "61ff");
  check_separator("61ff", "63", "62");
  check_separator("ff01", "ff03", "ff02");
  check_separator("00fe", "00ff", "00fe");
  /* "the quick brown fox", "the who": "the r" */
  check_separator("74686520717569636b2062726f776e20666f78", "7468652077686f", "7468652072");
}

static void check_successor(const char *a_hex, const char *expected) {
  const bytes a = bytes_from_hex(a_hex);
  fck_buf out = {0};

  CHECK_EQ(FCK_OK, fck_successor(a.data, a.size, &out));
  CHECK_HEX(expected, out.data, out.size);
  fck_buf_free(&out);
}

static void test_successor_is_fixed(void) {
  check_successor("77", "78");
  check_successor("", "");
  check_successor("ffff", "ffff");
  check_successor("ffff7a", "ffff7b");
  check_successor("0076", "01");
  check_successor("fefe", "ff");
}

/* ---- Index blocks ---- */

typedef struct index_row {
  const char *key;
  const char *value; /* hex */
} index_row;

static fck_status load_index(const index_row *rows, size_t count, uint64_t file_size,
                             fck_index *out) {
  fck_block_builder b = {0};
  CHECK_EQ(FCK_OK, fck_block_builder_init(&b, 1));
  for (size_t i = 0; i < count; i++) {
    const bytes value = bytes_from_hex(rows[i].value);
    CHECK_EQ(FCK_OK, fck_block_builder_add(&b, (const uint8_t *)rows[i].key, strlen(rows[i].key),
                                           value.data, value.size));
  }
  CHECK_EQ(FCK_OK, fck_block_builder_finish(&b));
  const bytes data = bytes_copy(b.data.data, b.data.size);
  fck_block_builder_free(&b);
  fck_block block;
  CHECK_EQ(FCK_OK, fck_block_open(data.data, data.size, &block));
  return fck_index_load(&block, file_size, out);
}

static void test_index_finds_the_only_block_that_can_hold_a_key(void) {
  static const index_row kRows[] = {{"", "00 08"}, {"d", "0d 14"}, {"dd", "26 08"}, {"m", "33 08"}};
  static const struct {
    const char *key;
    size_t block;
  } kVectors[] = {
      {"", 0},   {"a", 1},   {"c", 1}, {"czz", 1}, {"d", 1},     {"d\x01", 2}, {"dc", 2},
      {"dd", 2}, {"dda", 3}, {"l", 3}, {"m", 3},   {"m\x01", 4}, {"z", 4},     {"\xff\xff", 4},
  };
  fck_index index = {0};
  CHECK_EQ(FCK_OK, load_index(kRows, COUNT_OF(kRows), 100, &index));

  CHECK_EQ(4, index.count);
  for (size_t i = 0; i < index.count; i++) {
    const fck_key key = fck_index_key(&index, i);
    CHECK_EQ(0,
             fck_compare((const uint8_t *)kRows[i].key, strlen(kRows[i].key), key.data, key.size));
  }
  CHECK_EQ(0x26, fck_index_get(&index, 2)->block.offset);
  CHECK_EQ(8, fck_index_get(&index, 2)->block.size);
  for (size_t i = 0; i < COUNT_OF(kVectors); i++) {
    CHECK_EQ(kVectors[i].block,
             fck_index_find(&index, (const uint8_t *)kVectors[i].key, strlen(kVectors[i].key)));
  }
  fck_index_free(&index);
}

static void test_index_without_blocks_finds_none(void) {
  fck_index index = {0};
  CHECK_EQ(FCK_OK, load_index(NULL, 0, 100, &index));

  CHECK_EQ(0, index.count);
  CHECK_EQ(0, fck_index_find(&index, (const uint8_t *)"a", 1));
  fck_index_free(&index);
}

static void test_index_allows_bytes_after_a_handle(void) {
  static const index_row kRows[] = {{"a", "00 08 ffff"}, {"b", "0d 08 00"}};
  fck_index index = {0};

  CHECK_EQ(FCK_OK, load_index(kRows, 2, 100, &index));
  CHECK_EQ(8, fck_index_get(&index, 1)->block.size);
  fck_index_free(&index);
}

static void test_index_allows_gaps_between_blocks(void) {
  static const index_row kRows[] = {{"a", "01 08"}, {"b", "20 08"}};
  fck_index index = {0};

  CHECK_EQ(FCK_OK, load_index(kRows, 2, 100, &index));
  fck_index_free(&index);
}

static void check_bad_index(const char *first, const char *second, fck_status expected) {
  const index_row rows[] = {{"a", first}, {"b", second}};
  fck_index index = {0};

  CHECK_EQ(expected, load_index(rows, 2, 100, &index));
  fck_index_free(&index);
}

static void test_index_with_a_bad_handle_is_refused(void) {
  check_bad_index("00 08", "", FCK_E_TRUNCATED);
  check_bad_index("00 08", "0d", FCK_E_TRUNCATED);
  check_bad_index("00 08", "0d 80", FCK_E_TRUNCATED);
  check_bad_index("00 08", "0d ffffffffffffffffff02", FCK_E_VARINT);
  check_bad_index("00 08", "0d 53", FCK_E_HANDLE); /* the trailer ends at 101 */
  check_bad_index("00 08", "0d ffffffffffffffffff01", FCK_E_HANDLE);
  check_bad_index("00 08", "ffffffffffffffffff01 08", FCK_E_HANDLE);
}

/* Blocks that overlap would make the work of reading them all quadratic in the file's size. */
static void test_index_with_overlapping_blocks_is_refused(void) {
  check_bad_index("00 08", "00 08", FCK_E_HANDLE);
  check_bad_index("0d 08", "00 08", FCK_E_HANDLE);
  check_bad_index("00 08", "0c 08", FCK_E_HANDLE); /* on the trailer */
  check_bad_index("00 08", "0d 08", FCK_OK);
}

static const test_case kCases[] = {
    TEST_CASE(test_handle_must_lie_in_the_file_with_its_trailer),
    TEST_CASE(test_footer_round_trip),
    TEST_CASE(test_footer_encoding_is_fixed),
    TEST_CASE(test_footer_without_the_magic_is_refused),
    TEST_CASE(test_footer_with_a_bad_varint_is_refused),
    TEST_CASE(test_separator_is_fixed),
    TEST_CASE(test_successor_is_fixed),
    TEST_CASE(test_index_finds_the_only_block_that_can_hold_a_key),
    TEST_CASE(test_index_without_blocks_finds_none),
    TEST_CASE(test_index_allows_bytes_after_a_handle),
    TEST_CASE(test_index_allows_gaps_between_blocks),
    TEST_CASE(test_index_with_a_bad_handle_is_refused),
    TEST_CASE(test_index_with_overlapping_blocks_is_refused),
};

const test_suite kSstableSuite = TEST_SUITE("sstable", kCases);
