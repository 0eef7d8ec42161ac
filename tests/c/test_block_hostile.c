/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks that break the grammar: what fck_block_verify refuses and where, and that walking and
 * searching them stays within their bytes (docs/security.md, I1, I2, I4, I5).
 */
#include <string.h>

#include "sstable.h"
#include "support.h"
#include "test.h"

/* Walks and searches a block that need not be well-formed; only the bounds matter. */
static void use_unverified(const fck_block *block) {
  static const char *const kKeys[] = {"", "a", "ab", "b", "c", "\xff\xff"};
  fck_block_iter iter = {0};
  bool has_entry = true;
  size_t steps = 0;
  fck_block_iter_begin(&iter, block);
  while (has_entry && fck_block_iter_next(&iter, &has_entry) == FCK_OK) {
    steps++;
    if (steps > block->entries_size) break;
  }
  CHECK(steps <= block->entries_size / 3 + 1);
  fck_buf_free(&iter.key);
  for (size_t i = 0; i < COUNT_OF(kKeys); i++) {
    bool found = true;
    fck_reader value = {block->data, block->data + 1};
    const fck_status status =
        fck_block_find(block, (const uint8_t *)kKeys[i], strlen(kKeys[i]), &found, &value);
    const bool is_written = value.p != block->data || value.end != block->data + 1;
    CHECK(status == FCK_OK || found);
    CHECK(is_written == (status == FCK_OK && found));
  }
}

static fck_status verify(const fck_block *block, const char *after, const char *up_to,
                         size_t *entry_count, size_t *offset) {
  const fck_key low = {(const uint8_t *)after, after != NULL ? strlen(after) : 0};
  const fck_key high = {(const uint8_t *)up_to, up_to != NULL ? strlen(up_to) : 0};
  return fck_block_verify(block, after != NULL ? &low : NULL, up_to != NULL ? &high : NULL,
                          entry_count, offset);
}

static void check_good(const char *hex, size_t expected_count) {
  const bytes data = bytes_from_hex(hex);
  fck_block block;
  size_t entry_count = 77;
  size_t offset = 88;

  CHECK_EQ(FCK_OK, fck_block_open(data.data, data.size, &block));
  CHECK_EQ(FCK_OK, verify(&block, NULL, NULL, &entry_count, &offset));
  CHECK_EQ(expected_count, entry_count);
  CHECK_EQ(88, offset);
}

static void check_bad(const char *hex, fck_status expected, size_t expected_offset) {
  const bytes data = bytes_from_hex(hex);
  fck_block block;
  size_t entry_count = 77;
  size_t offset = 88;

  CHECK_EQ(FCK_OK, fck_block_open(data.data, data.size, &block));
  CHECK_EQ(expected, verify(&block, NULL, NULL, &entry_count, &offset));
  CHECK_EQ(77, entry_count);
  CHECK_EQ(expected_offset, offset);
  use_unverified(&block);
}

/* ---- Opening ---- */

static void check_unopened(bytes data, fck_status expected) {
  const fck_block before = {data.data, 77, 88};
  fck_block block = before;

  CHECK_EQ(expected, fck_block_open(data.data, data.size, &block));
  CHECK(block.data == data.data && block.entries_size == 77 && block.restart_count == 88);
}

static void test_block_without_a_restart_count_is_truncated(void) {
  const bytes data = bytes_from_hex("01000000");
  for (size_t size = 0; size < 4; size++) check_unopened(bytes_cut(data, size), FCK_E_TRUNCATED);
}

static void test_block_with_an_impossible_restart_count_is_refused(void) {
  static const char *const kBlocks[] = {
      "00000000",                    /* none */
      "01000000",                    /* one, but nothing before it */
      "000000 01000000",             /* one byte too few */
      "00000000 00000000",           /* none, with room for one */
      "00000000 02000000",           /* two, with room for one */
      "000100 61 00000000 ffffffff", /* 4 times it wraps to -4 */
      "000100 61 00000000 00000040", /* 4 times it wraps to 0 */
      "000100 61 00000000 01000040", /* 4 times it wraps to 4 */
      "000100 61 00000000 00000080",
  };
  for (size_t i = 0; i < COUNT_OF(kBlocks); i++) {
    check_unopened(bytes_from_hex(kBlocks[i]), FCK_E_RESTART);
  }
}

static void test_block_is_split_into_entries_and_restarts(void) {
  const bytes data = bytes_from_hex("000100 61  000100 62  00000000 04000000  02000000");
  fck_block block;

  CHECK_EQ(FCK_OK, fck_block_open(data.data, data.size, &block));
  CHECK(block.data == data.data && block.entries_size == 8 && block.restart_count == 2);
}

/* ---- Restarts ---- */

/* Three entries of five bytes, "a" "ab" "c", at 0, 5 and 10. */
#define ENTRIES "0001016131 0101016232 0001016333"

static void test_restarts_may_leave_out_entries_that_share_nothing(void) {
  check_good(ENTRIES "00000000 01000000", 3);
  check_good(ENTRIES "00000000 0a000000 02000000", 3);
}

static void check_found(const fck_block *block, const char *key) {
  bool found = false;
  fck_reader value;
  CHECK_EQ(FCK_OK, fck_block_find(block, (const uint8_t *)key, strlen(key), &found, &value));
  CHECK(found);
}

/* A builder shares all it can; a reader must not count on it. */
static void test_entries_may_share_less_than_they_could(void) {
  const bytes data = bytes_from_hex(
      "000300 616263"
      "000300 616264" /* abd */
      "010200 6265"   /* abe */
      "010300 626561" /* abea */
      "020100 66"     /* abf */
      "00000000 01000000");
  static const char *const kKeys[] = {"abc", "abd", "abe", "abea", "abf"};
  fck_block block;
  size_t entry_count = 0;
  size_t offset = 0;

  CHECK_EQ(FCK_OK, fck_block_open(data.data, data.size, &block));
  CHECK_EQ(FCK_OK, verify(&block, NULL, NULL, &entry_count, &offset));
  for (size_t i = 0; i < COUNT_OF(kKeys); i++) check_found(&block, kKeys[i]);
}

static void test_first_restart_must_be_the_first_entry(void) {
  check_bad(ENTRIES "0a000000 01000000", FCK_E_RESTART, 0);
  check_bad(ENTRIES "0f000000 01000000", FCK_E_RESTART, 0);
  check_bad("0001016131 0001016232 05000000 01000000", FCK_E_RESTART, 0);
}

static void test_restart_between_entries_is_refused(void) {
  check_bad(ENTRIES "00000000 01000000 02000000", FCK_E_RESTART, 5);
  check_bad(ENTRIES "00000000 09000000 02000000", FCK_E_RESTART, 10);
  check_bad(ENTRIES "00000000 0b000000 02000000", FCK_E_RESTART, 15);
}

static void test_restart_at_an_entry_that_shares_is_refused(void) {
  check_bad(ENTRIES "00000000 05000000 02000000", FCK_E_RESTART, 5);
  check_bad(ENTRIES "00000000 05000000 0a000000 03000000", FCK_E_RESTART, 5);
  /* sharing nothing in two bytes: no builder writes that, and find reads the number anew */
  check_bad("0001016131 800001016232 00000000 05000000 02000000", FCK_E_RESTART, 5);
}

static void test_restarts_that_do_not_increase_are_refused(void) {
  check_bad(ENTRIES "00000000 00000000 02000000", FCK_E_RESTART, 5);
  check_bad(ENTRIES "00000000 0a000000 0a000000 03000000", FCK_E_RESTART, 15);
  check_bad(ENTRIES "00000000 0a000000 00000000 03000000", FCK_E_RESTART, 15);
  check_bad(ENTRIES "0a000000 00000000 02000000", FCK_E_RESTART, 0);
}

static void test_restart_beyond_the_entries_is_refused(void) {
  check_bad(ENTRIES "00000000 0f000000 02000000", FCK_E_RESTART, 15);
  check_bad(ENTRIES "00000000 10000000 02000000", FCK_E_RESTART, 15);
  check_bad(ENTRIES "00000000 ffffffff 02000000", FCK_E_RESTART, 15);
}

static void test_empty_block_has_one_restart_at_0(void) {
  check_good("00000000 01000000", 0);
  check_bad("01000000 01000000", FCK_E_RESTART, 0);
  check_bad("00000000 00000000 02000000", FCK_E_RESTART, 0);
}

/* ---- Entries ---- */

static void test_entry_that_shares_more_than_there_is_is_refused(void) {
  check_bad("01000000 00000000 01000000", FCK_E_SHARED, 0);
  check_bad("0001016131 0201016232 00000000 01000000", FCK_E_SHARED, 5);
  check_bad("0001016131 ffffffff0f010162 32 00000000 01000000", FCK_E_SHARED, 5);
}

static void test_entry_cut_at_every_length_is_truncated(void) {
  const bytes entries = bytes_from_hex(ENTRIES);
  for (size_t size = 0; size <= entries.size; size++) {
    const bytes data = bytes_allocate(size + 8);
    memcpy(data.data, entries.data, size);
    memcpy(data.data + size, "\0\0\0\0\1\0\0\0", 8);
    fck_block block;
    size_t entry_count = 77;
    size_t offset = 88;
    const bool is_whole = size % 5 == 0;

    CHECK_EQ(FCK_OK, fck_block_open(data.data, data.size, &block));
    CHECK_EQ(is_whole ? FCK_OK : FCK_E_TRUNCATED,
             verify(&block, NULL, NULL, &entry_count, &offset));
    CHECK_EQ(is_whole ? size / 5 : 77, entry_count);
    CHECK_EQ(is_whole ? 88 : size - size % 5, offset);
    use_unverified(&block);
  }
}

static void test_entry_with_impossible_lengths_is_refused(void) {
  check_bad("00 ffffffff0f 00 00000000 01000000", FCK_E_TRUNCATED, 0);
  check_bad("00 00 ffffffff0f 00000000 01000000", FCK_E_TRUNCATED, 0);
  check_bad("00 ffffffff0f 01 61 00000000 01000000", FCK_E_TRUNCATED, 0); /* wraps to 0 */
  check_bad("00 01 ffffffff0f 61 00000000 01000000", FCK_E_TRUNCATED, 0);
  check_bad("00 02 00 61 00000000 01000000", FCK_E_TRUNCATED, 0);
  check_bad("00 01 01 61 00000000 01000000", FCK_E_TRUNCATED, 0);
  check_bad("00 ffffffff1f 00 61 00000000 01000000", FCK_E_VARINT, 0);
  check_bad("00 808080808010 00 00000000 01000000", FCK_E_VARINT, 0);
  check_bad("8080808080808080808001 00000000 01000000", FCK_E_VARINT, 0);
}

static void test_keys_that_do_not_increase_are_refused(void) {
  check_bad("000100 62  000100 61  00000000 01000000", FCK_E_ORDER, 4);   /* b, a */
  check_bad("000100 61  000100 61  00000000 01000000", FCK_E_ORDER, 4);   /* a, a */
  check_bad("000100 61  010000  00000000 01000000", FCK_E_ORDER, 4);      /* a, a by sharing */
  check_bad("000200 6162  010000  00000000 01000000", FCK_E_ORDER, 5);    /* ab, a */
  check_bad("000200 6162  010100 61  00000000 01000000", FCK_E_ORDER, 5); /* ab, aa */
  check_bad("000100 80  000100 7f  00000000 01000000", FCK_E_ORDER, 4);   /* bytes are unsigned */
  check_bad("000000  000000  00000000 01000000", FCK_E_ORDER, 3);         /* the empty key twice */
  check_bad("000100 61  000000  00000000 04000000 02000000", FCK_E_ORDER, 4);
  check_good("000000  000100 61  010100 00  000100 7f  000100 80  00000000 01000000", 5);
}

static void test_keys_must_lie_behind_one_bound_and_up_to_the_other(void) {
  static const struct {
    const char *after;
    const char *up_to;
    fck_status expected;
    size_t offset; /* of the entry beyond the bound; behind the last, if that is */
  } kVectors[] = {
      {NULL, NULL, FCK_OK, 88},       {"", NULL, FCK_OK, 88},          {"a", NULL, FCK_OK, 88},
      {"azzz", "d", FCK_OK, 88},      {"b", NULL, FCK_E_ORDER, 0},     {"ba", NULL, FCK_E_ORDER, 0},
      {"\xff", NULL, FCK_E_ORDER, 0}, {NULL, "d", FCK_OK, 88},         {NULL, "da", FCK_OK, 88},
      {NULL, "\xff", FCK_OK, 88},     {NULL, "czzz", FCK_E_ORDER, 12}, {NULL, "c", FCK_E_ORDER, 12},
      {NULL, "", FCK_E_ORDER, 12},
  };
  const bytes data = bytes_from_hex("000100 62  000100 63  000100 64  00000000 01000000");
  fck_block block;
  CHECK_EQ(FCK_OK, fck_block_open(data.data, data.size, &block));
  for (size_t i = 0; i < COUNT_OF(kVectors); i++) {
    size_t entry_count = 77;
    size_t offset = 88;
    CHECK_EQ(kVectors[i].expected,
             verify(&block, kVectors[i].after, kVectors[i].up_to, &entry_count, &offset));
    CHECK_EQ(kVectors[i].expected == FCK_OK ? 3 : 77, entry_count);
    CHECK_EQ(kVectors[i].offset, offset);
  }
}

static void test_block_without_entries_lies_within_any_bounds(void) {
  const bytes data = bytes_from_hex("00000000 01000000");
  fck_block block;
  size_t entry_count = 77;
  size_t offset = 88;

  CHECK_EQ(FCK_OK, fck_block_open(data.data, data.size, &block));
  CHECK_EQ(FCK_OK, verify(&block, "b", "a", &entry_count, &offset));
  CHECK_EQ(0, entry_count);
}

/* ---- Searching what nobody verified ---- */

static void check_bad_search(const char *hex, const char *key, fck_status expected) {
  const bytes data = bytes_from_hex(hex);
  fck_block block;
  bool found = true;
  fck_reader value = {NULL, NULL};

  CHECK_EQ(FCK_OK, fck_block_open(data.data, data.size, &block));
  CHECK_EQ(expected, fck_block_find(&block, (const uint8_t *)key, strlen(key), &found, &value));
  CHECK(found && value.p == NULL && value.end == NULL);
}

static void test_search_that_meets_a_broken_entry_fails(void) {
  check_bad_search("0001016131 0101016232 00000000 05000000 02000000", "b", FCK_E_RESTART);
  check_bad_search("0001016131 0101016232 05000000 01000000", "b", FCK_E_RESTART);
  check_bad_search("0001016131 0b000000 01000000", "a", FCK_E_RESTART);
  check_bad_search("0001016131 ffffffff 01000000", "a", FCK_E_RESTART);
  check_bad_search("0001016131 05000000 01000000", "a", FCK_E_TRUNCATED);
  check_bad_search("0001056131 00000000 01000000", "a", FCK_E_TRUNCATED);
  check_bad_search("0001016131 00ff 00000000 01000000", "b", FCK_E_TRUNCATED);
  check_bad_search("0001016131 ffffffff1f0000 00000000 01000000", "b", FCK_E_VARINT);
}

/* ---- Bombs ---- */

/* Keys of 1, 2, 3, ... bytes, each sharing all of the one before: what they expand to grows with
 * the square of their number. Returns the block's status; sets what it should be. */
static fck_status verify_staircase(size_t count, fck_status *expected) {
  fck_block_builder b = {0};
  const bytes key = bytes_allocate(count);
  memset(key.data, 'a', count);
  CHECK_EQ(FCK_OK, fck_block_builder_init(&b, UINT32_MAX));
  for (size_t size = 1; size <= count; size++) {
    CHECK_EQ(FCK_OK, fck_block_builder_add(&b, key.data, size, NULL, 0));
  }
  const size_t limit = b.data.size * FCK_MAX_KEY_EXPANSION;
  *expected = count * (count + 1) / 2 > limit ? FCK_E_EXPANSION : FCK_OK;
  CHECK_EQ(FCK_OK, fck_block_builder_finish(&b));
  fck_block block;
  size_t entry_count = 0;
  size_t offset = 0;
  CHECK_EQ(FCK_OK, fck_block_open(b.data.data, b.data.size, &block));
  allocator_reset();
  const fck_status status = verify(&block, NULL, NULL, &entry_count, &offset);
  CHECK(g_allocator.largest <= 2 * b.data.size);
  fck_block_builder_free(&b);
  return status;
}

static void test_keys_may_expand_to_the_limit_and_no_further(void) {
  fck_status last = FCK_OK;
  size_t changes = 0;
  for (size_t count = 400; count < 700; count++) {
    fck_status expected;
    const fck_status status = verify_staircase(count, &expected);
    CHECK_EQ(expected, status);
    changes += status != last;
    last = status;
  }

  CHECK_EQ(FCK_E_EXPANSION, last);
  CHECK_EQ(1, changes);
}

/* A long name and many that differ from it in the end: fine with restarts, a bomb without. */
static fck_status verify_long_prefix(uint32_t interval) {
  fck_block_builder b = {0};
  const bytes key = bytes_allocate(20001);
  memset(key.data, 'a', key.size);
  CHECK_EQ(FCK_OK, fck_block_builder_init(&b, interval));
  for (unsigned i = 0; i < 250; i++) {
    key.data[key.size - 1] = (uint8_t)i;
    CHECK_EQ(FCK_OK, fck_block_builder_add(&b, key.data, key.size, NULL, 0));
  }
  CHECK_EQ(FCK_OK, fck_block_builder_finish(&b));
  fck_block block;
  size_t entry_count = 0;
  size_t offset = 0;
  CHECK_EQ(FCK_OK, fck_block_open(b.data.data, b.data.size, &block));
  const fck_status status = verify(&block, NULL, NULL, &entry_count, &offset);
  fck_block_builder_free(&b);
  return status;
}

static void test_long_shared_prefix_needs_restarts(void) {
  CHECK_EQ(FCK_OK, verify_long_prefix(1));
  CHECK_EQ(FCK_OK, verify_long_prefix(16));
  CHECK_EQ(FCK_E_EXPANSION, verify_long_prefix(1000));
}

/* ---- Any damage ---- */

/* Every key that the walk gives is found, with the value that the walk gives. */
static void check_walk_and_find_agree(const fck_block *block) {
  fck_block_iter iter = {0};
  bool has_entry = true;
  fck_block_iter_begin(&iter, block);
  while (has_entry) {
    CHECK_EQ(FCK_OK, fck_block_iter_next(&iter, &has_entry));
    if (!has_entry) break;
    bool found = false;
    fck_reader value = {NULL, NULL};
    CHECK_EQ(FCK_OK, fck_block_find(block, iter.key.data, iter.key.size, &found, &value));
    CHECK(found && value.p == iter.value.p && value.end == iter.value.end);
  }
  fck_buf_free(&iter.key);
}

static void test_block_with_any_byte_changed_is_refused_or_consistent(void) {
  fck_block_builder b = {0};
  CHECK_EQ(FCK_OK, fck_block_builder_init(&b, 4));
  for (unsigned i = 0; i < 14; i++) {
    const uint8_t key[] = {'k', 'e', 'y', (uint8_t)('0' + i / 5), (uint8_t)('0' + i)};
    CHECK_EQ(FCK_OK, fck_block_builder_add(&b, key, sizeof key, key + 3, i % 3));
  }
  CHECK_EQ(FCK_OK, fck_block_builder_finish(&b));
  const bytes data = bytes_copy(b.data.data, b.data.size);
  fck_block_builder_free(&b);
  size_t accepted = 0;
  for (size_t i = 0; i < data.size; i++) {
    const uint8_t original = data.data[i];
    for (unsigned change = 1; change < 256; change++) {
      data.data[i] = (uint8_t)(original ^ change);
      fck_block block;
      size_t entry_count = 0;
      size_t offset = 0;
      if (fck_block_open(data.data, data.size, &block) != FCK_OK) continue;
      if (verify(&block, NULL, NULL, &entry_count, &offset) == FCK_OK) {
        accepted++;
        check_walk_and_find_agree(&block);
      } else {
        CHECK(offset <= block.entries_size);
      }
      use_unverified(&block);
    }
    data.data[i] = original;
  }
  CHECK(accepted > 0); /* a value may change, and some keys */
}

static const test_case kCases[] = {
    TEST_CASE(test_block_without_a_restart_count_is_truncated),
    TEST_CASE(test_block_with_an_impossible_restart_count_is_refused),
    TEST_CASE(test_block_is_split_into_entries_and_restarts),
    TEST_CASE(test_restarts_may_leave_out_entries_that_share_nothing),
    TEST_CASE(test_entries_may_share_less_than_they_could),
    TEST_CASE(test_first_restart_must_be_the_first_entry),
    TEST_CASE(test_restart_between_entries_is_refused),
    TEST_CASE(test_restart_at_an_entry_that_shares_is_refused),
    TEST_CASE(test_restarts_that_do_not_increase_are_refused),
    TEST_CASE(test_restart_beyond_the_entries_is_refused),
    TEST_CASE(test_empty_block_has_one_restart_at_0),
    TEST_CASE(test_entry_that_shares_more_than_there_is_is_refused),
    TEST_CASE(test_entry_cut_at_every_length_is_truncated),
    TEST_CASE(test_entry_with_impossible_lengths_is_refused),
    TEST_CASE(test_keys_that_do_not_increase_are_refused),
    TEST_CASE(test_keys_must_lie_behind_one_bound_and_up_to_the_other),
    TEST_CASE(test_block_without_entries_lies_within_any_bounds),
    TEST_CASE(test_search_that_meets_a_broken_entry_fails),
    TEST_CASE(test_keys_may_expand_to_the_limit_and_no_further),
    TEST_CASE(test_long_shared_prefix_needs_restarts),
    TEST_CASE(test_block_with_any_byte_changed_is_refused_or_consistent),
};

const test_suite kHostileBlockSuite = TEST_SUITE("block_hostile", kCases);
