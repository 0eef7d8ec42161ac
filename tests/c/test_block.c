/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks as they are built and read back, against a sorted array as their model. What can be
 * wrong with a block is test_block_hostile.c's.
 */
#include <stdlib.h>
#include <string.h>

#include "sstable.h"
#include "support.h"
#include "test.h"

/* ---- Blocks against a model ---- */

enum { kMaxPairs = 600, kLongTail = 150 };

typedef struct pair {
  bytes key;
  bytes value;
} pair;

typedef struct model {
  pair pairs[kMaxPairs];
  size_t count;
} model;

static int compare_pairs(const void *a, const void *b) {
  const bytes x = ((const pair *)a)->key;
  const bytes y = ((const pair *)b)->key;
  return fck_compare(x.data, x.size, y.data, y.size);
}

/* A key that begins like `last`, for as long as it happens. */
static bytes make_key(bytes last, uint64_t *state) {
  static const uint8_t kAlphabet[] = {0x00, 0x01, 'a', 'b', 0x7f, 0x80, 0xfe, 0xff};
  const size_t shared = random_below(state, last.size + 1);
  const size_t tail = random_below(state, 30) == 0 ? kLongTail : random_below(state, 5);
  const bytes key = bytes_allocate(shared + tail);
  if (shared > 0) memcpy(key.data, last.data, shared);
  for (size_t i = 0; i < tail; i++) key.data[shared + i] = kAlphabet[next_random(state) % 8];
  return key;
}

static bytes make_value(uint64_t *state) {
  const size_t size = random_below(state, 20) == 0 ? 300 : random_below(state, 20);
  const bytes value = bytes_allocate(size);
  for (size_t i = 0; i < size; i++) value.data[i] = (uint8_t)next_random(state);
  return value;
}

/* Fills a model with the empty key and up to `count` - 1 others. */
static void fill_model(model *m, size_t count, uint64_t seed) {
  uint64_t state = seed;
  bytes last = bytes_allocate(0);
  for (size_t i = 0; i < count; i++) {
    m->pairs[i] = (pair){last, make_value(&state)};
    last = make_key(last, &state);
  }
  qsort(m->pairs, count, sizeof *m->pairs, compare_pairs);
  m->count = 0;
  for (size_t i = 0; i < count; i++) {
    const bool is_new = i == 0 || compare_pairs(&m->pairs[i], &m->pairs[m->count - 1]) != 0;
    if (is_new) m->pairs[m->count++] = m->pairs[i];
  }
}

static const pair *model_find(const model *m, bytes key) {
  const pair wanted = {key, {NULL, 0}};
  return bsearch(&wanted, m->pairs, m->count, sizeof wanted, compare_pairs);
}

/* Builds a block of the pairs; the builder's size is the block's at every step. */
static bytes build(const model *m, uint32_t interval) {
  fck_block_builder b = {0};
  CHECK_EQ(FCK_OK, fck_block_builder_init(&b, interval));
  for (size_t i = 0; i < m->count; i++) {
    const pair *p = &m->pairs[i];
    CHECK_EQ(FCK_OK,
             fck_block_builder_add(&b, p->key.data, p->key.size, p->value.data, p->value.size));
  }
  CHECK_EQ(m->count, b.entry_count);
  const size_t size = fck_block_builder_size(&b);
  CHECK_EQ(FCK_OK, fck_block_builder_finish(&b));
  CHECK_EQ(size, b.data.size);
  const bytes block = bytes_copy(b.data.data, b.data.size);
  fck_block_builder_free(&b);
  return block;
}

static void check_iteration(const model *m, const fck_block *block) {
  fck_block_iter iter = {0};
  fck_block_iter_begin(&iter, block);
  bool has_entry = false;
  for (size_t i = 0; i < m->count; i++) {
    const pair *p = &m->pairs[i];
    CHECK_EQ(FCK_OK, fck_block_iter_next(&iter, &has_entry));
    CHECK(has_entry);
    CHECK_EQ(0, fck_compare(p->key.data, p->key.size, iter.key.data, iter.key.size));
    CHECK_EQ(0,
             fck_compare(p->value.data, p->value.size, iter.value.p, fck_reader_left(&iter.value)));
  }
  CHECK_EQ(FCK_OK, fck_block_iter_next(&iter, &has_entry));
  CHECK(!has_entry);
  fck_buf_free(&iter.key);
}

static void check_find(const model *m, const fck_block *block, bytes key) {
  const pair *expected = model_find(m, key);
  bool found = expected == NULL;
  fck_reader value = {NULL, NULL};

  CHECK_EQ(FCK_OK, fck_block_find(block, key.data, key.size, &found, &value));
  CHECK_EQ(expected != NULL, found);
  if (expected == NULL || !found) return;
  CHECK_EQ(expected->value.size, fck_reader_left(&value));
  CHECK_EQ(
      0, fck_compare(expected->value.data, expected->value.size, value.p, fck_reader_left(&value)));
}

/* Looks for a key and for those around it: nearly all of them are absent. */
static void check_find_around(const model *m, const fck_block *block, bytes key) {
  static const uint8_t kMore[] = {0x00, 0x01, 'a', 0xff};
  check_find(m, block, key);
  for (size_t i = 0; i < COUNT_OF(kMore); i++) {
    const bytes longer = bytes_allocate(key.size + 1);
    if (key.size > 0) memcpy(longer.data, key.data, key.size);
    longer.data[key.size] = kMore[i];
    check_find(m, block, longer);
  }
  for (size_t size = key.size; size-- > 0;) {
    check_find(m, block, bytes_cut(key, size));
    const bytes larger = bytes_cut(key, size + 1);
    larger.data[size]++;
    check_find(m, block, larger);
    const bytes smaller = bytes_cut(key, size + 1);
    smaller.data[size]--;
    check_find(m, block, smaller);
  }
}

static void check_block(const model *m, uint32_t interval) {
  const bytes data = build(m, interval);
  const bytes of_ff = bytes_allocate(300);
  memset(of_ff.data, 0xff, of_ff.size);
  fck_block block;
  size_t entry_count = 0;
  size_t offset = 0;

  CHECK_EQ(FCK_OK, fck_block_open(data.data, data.size, &block));
  CHECK_EQ(m->count == 0 ? 1 : (m->count + interval - 1) / interval, block.restart_count);
  CHECK_EQ(FCK_OK, fck_block_verify(&block, NULL, NULL, &entry_count, &offset));
  CHECK_EQ(m->count, entry_count);
  check_iteration(m, &block);
  for (size_t size = 0; size <= of_ff.size; size += 100) {
    check_find(m, &block, bytes_cut(of_ff, size));
  }
  for (size_t i = 0; i < m->count; i++) check_find_around(m, &block, m->pairs[i].key);
}

static void check_models(uint32_t interval) {
  static const size_t kCounts[] = {0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 250};
  static model m;
  for (size_t i = 0; i < COUNT_OF(kCounts); i++) {
    fill_model(&m, kCounts[i], 1000 * interval + i);
    check_block(&m, interval);
  }
}

static void test_block_with_restart_interval_1(void) { check_models(1); }

static void test_block_with_restart_interval_2(void) { check_models(2); }

static void test_block_with_restart_interval_16(void) { check_models(16); }

static void test_block_with_restart_interval_1000(void) { check_models(1000); }

static void test_iterator_walks_one_block_after_the_other(void) {
  static model first, second;
  fill_model(&first, 20, 1);
  fill_model(&second, 30, 2);
  const bytes first_data = build(&first, 16);
  const bytes second_data = build(&second, 16);
  fck_block blocks[2];
  CHECK_EQ(FCK_OK, fck_block_open(first_data.data, first_data.size, &blocks[0]));
  CHECK_EQ(FCK_OK, fck_block_open(second_data.data, second_data.size, &blocks[1]));
  fck_block_iter iter = {0};
  size_t count = 0;
  for (size_t i = 0; i < 2; i++) {
    bool has_entry = true;
    fck_block_iter_begin(&iter, &blocks[i]);
    while (has_entry) {
      CHECK_EQ(FCK_OK, fck_block_iter_next(&iter, &has_entry));
      count += has_entry;
    }
  }

  CHECK_EQ(first.count + second.count, count);
  fck_buf_free(&iter.key);
}

static void test_separator_and_successor_lie_where_they_should(void) {
  static model m;
  fill_model(&m, kMaxPairs, 42);
  fck_buf out = {0};
  for (size_t i = 0; i + 1 < m.count; i++) {
    const bytes a = m.pairs[i].key;
    const bytes b = m.pairs[i + 1].key;
    CHECK_EQ(FCK_OK, fck_separator(a.data, a.size, b.data, b.size, &out));
    CHECK(fck_compare(out.data, out.size, a.data, a.size) >= 0);
    CHECK(fck_compare(out.data, out.size, b.data, b.size) < 0);
    CHECK(out.size <= a.size);
    CHECK_EQ(FCK_OK, fck_successor(a.data, a.size, &out));
    CHECK(fck_compare(out.data, out.size, a.data, a.size) >= 0);
    CHECK(out.size <= a.size);
  }
  fck_buf_free(&out);
}

/* ---- The builder ---- */

static fck_status add_text(fck_block_builder *b, const char *key, const char *value) {
  return fck_block_builder_add(b, (const uint8_t *)key, strlen(key), (const uint8_t *)value,
                               strlen(value));
}

static void test_builder_shares_prefixes_between_restarts(void) {
  fck_block_builder b = {0};
  CHECK_EQ(FCK_OK, fck_block_builder_init(&b, 3));
  CHECK_EQ(FCK_OK, add_text(&b, "a", "1"));
  CHECK_EQ(FCK_OK, add_text(&b, "ab", ""));
  CHECK_EQ(FCK_OK, add_text(&b, "abc", "23"));
  CHECK_EQ(FCK_OK, add_text(&b, "abd", "4"));
  CHECK_EQ(FCK_OK, add_text(&b, "b", "5"));
  CHECK_EQ(FCK_OK, fck_block_builder_finish(&b));

  CHECK_HEX(
      "00 01 01 61 31"
      "01 01 00 62"
      "02 01 02 63 3233"
      "00 03 01 616264 34" /* a restart: the fourth entry writes all of its key */
      "00 01 01 62 35"
      "00000000 0f000000 02000000",
      b.data.data, b.data.size);
  fck_block_builder_free(&b);
}

static void test_empty_block_has_one_restart(void) {
  fck_block_builder b = {0};
  CHECK_EQ(FCK_OK, fck_block_builder_init(&b, 16));
  CHECK_EQ(8, fck_block_builder_size(&b));
  CHECK_EQ(FCK_OK, fck_block_builder_finish(&b));

  CHECK_HEX("00000000 01000000", b.data.data, b.data.size);
  fck_block_builder_free(&b);
}

static void test_builder_forgets_entries_on_reset(void) {
  fck_block_builder b = {0};
  CHECK_EQ(FCK_OK, fck_block_builder_init(&b, 1));
  CHECK_EQ(FCK_OK, add_text(&b, "x", "1"));
  CHECK_EQ(FCK_OK, add_text(&b, "y", "2"));
  CHECK_EQ(FCK_OK, fck_block_builder_finish(&b));
  CHECK_EQ(FCK_OK, fck_block_builder_reset(&b));
  CHECK_EQ(0, b.entry_count);
  CHECK_EQ(8, fck_block_builder_size(&b));
  CHECK_EQ(FCK_OK, add_text(&b, "a", "3")); /* smaller than what was there */
  CHECK_EQ(FCK_OK, fck_block_builder_finish(&b));

  CHECK_HEX("00 01 01 61 33 00000000 01000000", b.data.data, b.data.size);
  fck_block_builder_free(&b);
}

static void test_builder_refuses_keys_out_of_order(void) {
  static const char *const kNotLarger[] = {"b", "a", "az", ""};
  for (uint32_t interval = 1; interval <= 16; interval += 15) {
    for (size_t i = 0; i < COUNT_OF(kNotLarger); i++) {
      fck_block_builder b = {0};
      CHECK_EQ(FCK_OK, fck_block_builder_init(&b, interval));
      CHECK_EQ(FCK_OK, add_text(&b, "b", ""));
      CHECK_EQ(FCK_E_ORDER, add_text(&b, kNotLarger[i], ""));
      fck_block_builder_free(&b);
    }
  }
}

static void test_builder_refuses_the_empty_key_twice(void) {
  fck_block_builder b = {0};
  CHECK_EQ(FCK_OK, fck_block_builder_init(&b, 16));
  CHECK_EQ(FCK_OK, fck_block_builder_add(&b, NULL, 0, NULL, 0));
  CHECK_EQ(FCK_E_ORDER, fck_block_builder_add(&b, NULL, 0, NULL, 0));
  fck_block_builder_free(&b);
}

#if SIZE_MAX > UINT32_MAX
/* Lengths and restarts have 32 bits; what does not fit is refused before a byte of it is read. */
static void test_builder_refuses_what_32_bits_cannot_hold(void) {
  const size_t too_much = (size_t)UINT32_MAX + 1;
  const uint8_t byte = 'a';
  fck_block_builder b = {0};
  CHECK_EQ(FCK_OK, fck_block_builder_init(&b, 1));
  CHECK_EQ(FCK_E_RANGE, fck_block_builder_add(&b, &byte, too_much, &byte, 1));
  CHECK_EQ(FCK_E_RANGE, fck_block_builder_add(&b, &byte, 1, &byte, too_much));
  CHECK_EQ(FCK_OK, fck_block_builder_add(&b, &byte, 1, &byte, 1));
  const size_t size = b.data.size;
  b.data.size = too_much; /* as if there were so many bytes of entries */
  CHECK_EQ(FCK_E_RANGE, add_text(&b, "b", ""));
  b.data.size = size;
  fck_block_builder_free(&b);
}
#endif

/* Builds a block and unpacks it as an index, whatever memory there is. */
static fck_status build_and_load(void) {
  fck_block_builder b = {0};
  fck_index index = {0};
  fck_buf handle = {0};
  fck_block block;
  size_t entry_count = 0;
  size_t offset = 0;
  fck_status status = fck_block_builder_init(&b, 4);
  for (uint8_t i = 0; status == FCK_OK && i < 40; i++) {
    const uint8_t key[2] = {(uint8_t)(i / 10), i};
    handle.size = 0;
    status = fck_handle_append(&handle, (fck_handle){(uint64_t)i * 20, 15});
    if (status == FCK_OK) {
      status = fck_block_builder_add(&b, key, sizeof key, handle.data, handle.size);
    }
  }
  if (status == FCK_OK) status = fck_block_builder_finish(&b);
  if (status == FCK_OK) status = fck_block_open(b.data.data, b.data.size, &block);
  if (status == FCK_OK) status = fck_block_verify(&block, NULL, NULL, &entry_count, &offset);
  if (status == FCK_OK) status = fck_index_load(&block, 800, &index);
  if (status == FCK_OK) CHECK_EQ(40, index.count);
  fck_buf_free(&handle);
  fck_index_free(&index);
  fck_block_builder_free(&b);
  return status;
}

static void test_every_allocation_may_fail(void) {
  size_t allowed = 0;
  for (;; allowed++) {
    g_allocator.allowed = allowed;
    const fck_status status = build_and_load();
    CHECK_EQ(0, g_allocator.live_count);
    if (status == FCK_OK) break;
    CHECK_EQ(FCK_E_MEMORY, status);
  }
  CHECK(allowed > 5);
}

static const test_case kCases[] = {
    TEST_CASE(test_block_with_restart_interval_1),
    TEST_CASE(test_block_with_restart_interval_2),
    TEST_CASE(test_block_with_restart_interval_16),
    TEST_CASE(test_block_with_restart_interval_1000),
    TEST_CASE(test_iterator_walks_one_block_after_the_other),
    TEST_CASE(test_separator_and_successor_lie_where_they_should),
    TEST_CASE(test_builder_shares_prefixes_between_restarts),
    TEST_CASE(test_empty_block_has_one_restart),
    TEST_CASE(test_builder_forgets_entries_on_reset),
    TEST_CASE(test_builder_refuses_keys_out_of_order),
    TEST_CASE(test_builder_refuses_the_empty_key_twice),
#if SIZE_MAX > UINT32_MAX
    TEST_CASE(test_builder_refuses_what_32_bits_cannot_hold),
#endif
    TEST_CASE(test_every_allocation_may_fail),
};

const test_suite kBlockSuite = TEST_SUITE("block", kCases);
