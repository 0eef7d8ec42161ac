/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole index files that TensorFlow wrote, built here from tensors and taken apart again.
 */
#include <stdio.h>
#include <string.h>

#include "entry.h"
#include "sstable.h"
#include "string_payload.h"
#include "support.h"
#include "table_writer.h"
#include "test.h"
#include "wire.h"

enum { kFloat32 = 1, kUint8 = 4, kInt8 = 6, kString = 7, kInt64 = 9, kBool = 10 };

static const char *const kHeader = "08011a020801";

/* ---- Records ---- */

static uint32_t payload_crc(bytes payload) { return crc32c_extend(0, payload.data, payload.size); }

/* The CRC of a payload of strings: each length goes in with a fixed width. */
static uint32_t strings_crc(bytes payload, size_t count) {
  const bytes room = bytes_allocate((count + 1) * sizeof(uint64_t));
  uint64_t *const lengths = (uint64_t *)(void *)room.data;
  fck_reader r = bytes_reader(payload);
  fck_buf covered = {0};
  CHECK_EQ(FCK_OK, fck_strings_decode_lengths(&r, count, lengths));
  for (size_t i = 0; i < count; i++) {
    CHECK_EQ(FCK_OK, fck_strings_append_checked_length(&covered, lengths[i], false));
  }
  uint32_t crc = crc32c_extend(0, covered.data, covered.size);
  fck_buf_free(&covered);
  fck_reader ahead = r;
  uint32_t length_checksum = 0;
  CHECK_EQ(FCK_OK, fck_read_fixed32(&ahead, &length_checksum));
  CHECK_EQ(crc32c_mask(crc), length_checksum);
  return crc32c_extend(crc, r.p, fck_reader_left(&r));
}

/* The record of a tensor with this payload. */
static bytes encode_tensor(fck_entry entry, const char *payload_hex) {
  const bytes payload = bytes_from_hex(payload_hex);
  uint64_t count = 0;
  uint64_t size = 0;
  CHECK_EQ(FCK_OK, fck_entry_measure(&entry, 1, &count, &size));
  const bool is_string = entry.dtype == kString;
  const uint32_t crc = is_string ? strings_crc(payload, (size_t)count) : payload_crc(payload);
  entry.size = (int64_t)payload.size;
  entry.masked_crc32c = crc32c_mask(crc);
  fck_buf out = {0};
  CHECK_EQ(FCK_OK, fck_entry_encode(&entry, &out));
  const bytes record = bytes_copy(out.data, out.size);
  fck_buf_free(&out);
  return record;
}

static void test_records_of_payloads_are_fixed(void) {
  static const struct {
    int32_t dtype;
    int64_t count;
    const char *payload;
    const char *record;
  } kVectors[] = {
      {kString, 1, "00a67b113a", "0807120412020801280535bd6707be"},
      {kString, 0, "d8ea82a2", "080712021200280435f6c10c64"},
      {kString, 3, "010200abfbc9d8616263", "0807120412020803280a35adbfe42f"},
      {kFloat32, 3, "0000803f000000000000803f", "0801120412020803280c355f337556"},
      {kInt64, 3, "0100000000000000 0000000000000000 0100000000000000",
       "0809120412020803281835e8d91149"},
      {kBool, 3, "010001", "080a12041202080328033575599106"},
      {kUint8, 3, "010001", "080412041202080328033575599106"},
      {kInt8, 3, "010001", "080612041202080328033575599106"},
      {14, 3, "803f0000803f", "080e120412020803280635ed3945cd"}, /* bfloat16 */
      {19, 3, "003c0000003c", "08131204120208032806351d2120d9"}, /* float16 */
      {29, 3, "010307", "081d120412020803280335e9346f9d"},       /* int4 */
      {kFloat32, 0, "", "080112021200 35d8ea82a2"},
  };
  for (size_t i = 0; i < COUNT_OF(kVectors); i++) {
    const fck_entry entry = {.dtype = kVectors[i].dtype, .rank = 1, .dims = {kVectors[i].count}};
    const bytes record = encode_tensor(entry, kVectors[i].payload);
    CHECK_HEX(kVectors[i].record, record.data, record.size);
  }
}

/* ---- Tables taken apart ---- */

/* A record decodes, and encodes to the same bytes. */
static void check_entry_round_trip(fck_reader record) {
  fck_entry entry;
  fck_slice part;
  fck_buf out = {0};
  bool found = true;
  CHECK_EQ(FCK_OK, fck_entry_decode(record, &entry));
  CHECK_EQ(FCK_OK, fck_entry_encode(&entry, &out));
  while (found) {
    CHECK_EQ(FCK_OK, fck_entry_next_slice(&entry.message, &part, &found));
    if (found) CHECK_EQ(FCK_OK, fck_entry_append_slice(&part, &out));
  }
  CHECK_EQ(0, fck_compare(record.p, fck_reader_left(&record), out.data, out.size));
  fck_buf_free(&out);
}

static void check_trailer(bytes file, fck_handle handle) {
  fck_reader r = fck_reader_make(file.data + handle.offset + handle.size, FCK_TRAILER_SIZE);
  const uint32_t crc = crc32c_extend(0, file.data + handle.offset, handle.size + 1);
  uint32_t stored = 0;
  CHECK_EQ(0, *r.p++);
  CHECK_EQ(FCK_OK, fck_read_fixed32(&r, &stored));
  CHECK_EQ(crc32c_mask(crc), stored);
}

static fck_block open_block(bytes file, fck_handle handle) {
  fck_block block = {NULL, 0, 0};
  CHECK_EQ(FCK_OK, fck_handle_check(handle, file.size));
  check_trailer(file, handle);
  CHECK_EQ(FCK_OK, fck_block_open(file.data + handle.offset, handle.size, &block));
  return block;
}

/* Reads every entry of block i; adds their number to *count. */
static void check_data_block(bytes file, const fck_index *index, size_t i, size_t *count) {
  const fck_block block = open_block(file, fck_index_get(index, i)->block);
  const fck_key up_to = fck_index_key(index, i);
  const fck_key after = fck_index_key(index, i > 0 ? i - 1 : 0);
  size_t entry_count = 0;
  size_t offset = 0;
  CHECK_EQ(FCK_OK, fck_block_verify(&block, i > 0 ? &after : NULL, &up_to, &entry_count, &offset));
  *count += entry_count;
  fck_block_iter iter = {0};
  bool has_entry = true;
  fck_block_iter_begin(&iter, &block);
  while (has_entry) {
    CHECK_EQ(FCK_OK, fck_block_iter_next(&iter, &has_entry));
    if (!has_entry) break;
    CHECK_EQ(i, fck_index_find(index, iter.key.data, iter.key.size));
    if (iter.key.size == 0) {
      CHECK_HEX(kHeader, iter.value.p, fck_reader_left(&iter.value));
    } else {
      check_entry_round_trip(iter.value);
    }
  }
  fck_buf_free(&iter.key);
}

/* Takes a table apart; returns the number of its blocks and sets that of its entries. */
static size_t check_table(bytes file, size_t *count) {
  fck_handle metaindex, index_handle;
  CHECK_EQ(FCK_OK,
           fck_footer_decode(file.data + file.size - FCK_FOOTER_SIZE, &metaindex, &index_handle));
  CHECK_EQ(0, open_block(file, metaindex).entries_size);
  const fck_block block = open_block(file, index_handle);
  fck_index index = {0};
  size_t entry_count = 0;
  size_t offset = 0;
  CHECK_EQ(FCK_OK, fck_block_verify(&block, NULL, NULL, &entry_count, &offset));
  CHECK_EQ(FCK_OK, fck_index_load(&block, file.size, &index));
  CHECK_EQ(entry_count, index.count);
  *count = 0;
  for (size_t i = 0; i < index.count; i++) check_data_block(file, &index, i, count);
  fck_index_free(&index);
  return entry_count;
}

/* ---- Tables put together ---- */

static void begin(table_writer *w) {
  table_begin(w);
  table_add(w, bytes_from_hex(""), bytes_from_hex(kHeader));
}

static bytes text(const char *s) { return bytes_copy(s, strlen(s)); }

static void add(table_writer *w, const char *name, fck_entry entry, const char *payload) {
  table_add(w, text(name), encode_tensor(entry, payload));
}

static void check_file(table_writer *w, size_t expected_count, const char *expected) {
  const bytes file = table_finish(w);
  size_t count = 0;

  CHECK_HEX(expected, file.data, file.size);
  CHECK_EQ(1, check_table(file, &count));
  CHECK_EQ(expected_count, count);
}

#define NO_TENSORS_INDEX "0000000001000000 00c0f2a1b0"
#define FOOTER_PADDING "000000000000000000000000000000000000000000000000000000000000000000000000"
#define FOOTER_MAGIC "57fb808b247547db"

static void test_table_without_tensors(void) {
  table_writer w;
  begin(&w);

  check_file(&w, 1,
             "00000608011a0208010000000001000000 00629457f9" NO_TENSORS_INDEX
             "000002001100000000010000 0000ccbf8b5d 1608230d" FOOTER_PADDING FOOTER_MAGIC);
}

static void test_table_of_a_scalar(void) {
  table_writer w;
  begin(&w);
  add(&w, "a", (fck_entry){.dtype = kFloat32}, "0000803f");

  check_file(
      &w, 2,
      "00000608011a02080100010b610801120028043581a5da2b0000000001000000 0074ef79b2" NO_TENSORS_INDEX
      "0001026200200000000001000000 0030d3691c 2508320e" FOOTER_PADDING FOOTER_MAGIC);
}

static void test_table_of_strings(void) {
  table_writer w;
  begin(&w);
  add(&w, "s", (fck_entry){.dtype = kString, .rank = 1, .dims = {3}}, "0200031b428bca616278797a");

  check_file(&w, 2,
             "00000608011a02080100010f730807120412020803280c3510adc43f0000000001000000 "
             "007ede926d" NO_TENSORS_INDEX
             "0001027400240000000001000000 0070bd1276 2908360e" FOOTER_PADDING FOOTER_MAGIC);
}

static bytes key_of_slice(const char *name, const fck_slice *slice) {
  fck_buf key = {0};
  CHECK_EQ(FCK_OK, fck_slice_key((const uint8_t *)name, strlen(name), slice, &key));
  const bytes copy = bytes_copy(key.data, key.size);
  fck_buf_free(&key);
  return copy;
}

static void test_table_of_a_partitioned_tensor(void) {
  const fck_slice parts[] = {{1, {0}, {2}}, {1, {2}, {1}}};
  const fck_entry first = {.dtype = kInt8, .rank = 1, .dims = {2}};
  const fck_entry second = {.dtype = kInt8, .rank = 1, .dims = {1}, .offset = 2};
  const fck_entry whole = {.dtype = kInt8, .rank = 1, .dims = {3}};
  fck_buf record = {0};
  table_writer w;
  begin(&w);
  table_add(&w, key_of_slice("v", &parts[0]), encode_tensor(first, "0102"));
  table_add(&w, key_of_slice("v", &parts[1]), encode_tensor(second, "03"));
  CHECK_EQ(FCK_OK, fck_entry_encode(&whole, &record));
  for (size_t i = 0; i < 2; i++) CHECK_EQ(FCK_OK, fck_entry_append_slice(&parts[i], &record));
  table_add(&w, text("v"), bytes_copy(record.data, record.size));
  fck_buf_free(&record);

  check_file(&w, 4,
             "00000608011a02080100080f00760001010180820806120412020802280235c9f226e1"
             "060211828108061204120208012002280135336dcde3"
             "0001167608061204120208033a040a0210023a060a040802100100000000010000000060283a5"
             "e" NO_TENSORS_INDEX
             "00010277005b0000000001000000005d3d1133 60086d0e" FOOTER_PADDING FOOTER_MAGIC);
}

static void test_table_of_an_empty_tensor(void) {
  table_writer w;
  begin(&w);
  add(&w, "b", (fck_entry){.dtype = kBool, .rank = 1, .dims = {2}}, "0100");
  add(&w, "e", (fck_entry){.dtype = kFloat32, .rank = 2, .dims = {0, 2}}, "");

  check_file(&w, 3,
             "00000608011a02080100010f62080a1204120208022802355fb0ce81"
             "00010f650801120612001202080235d8ea82a2000000000100000000b3c20fa9" NO_TENSORS_INDEX
             "0001026600370000000001000000002279ef0d 3c08490e" FOOTER_PADDING FOOTER_MAGIC);
}

static void test_table_of_keys_that_share_a_prefix(void) {
  table_writer w;
  begin(&w);
  add(&w, "abc", (fck_entry){.dtype = kUint8, .offset = 8}, "01");
  add(&w, "abd", (fck_entry){.dtype = kUint8, .offset = 9}, "02");
  add(&w, "x", (fck_entry){.dtype = kInt64}, "0700000000000000");

  check_file(&w, 4,
             "00000608011a02080100030d616263080412002008280135052b2843"
             "02010d640804120020092801356451d0e9"
             "00010b7808091200280835bbd79f110000000001000000009b95e47c" NO_TENSORS_INDEX
             "000102790044000000000100000000f84abe4c 4908560e" FOOTER_PADDING FOOTER_MAGIC);
}

static void test_table_with_a_second_restart(void) {
  table_writer w;
  begin(&w);
  for (int i = 0; i < 20; i++) {
    char name[16], payload[16];
    snprintf(name, sizeof name, "k%02d", i);
    snprintf(payload, sizeof payload, "%02x", (unsigned)i);
    add(&w, name, (fck_entry){.dtype = kUint8, .offset = i}, payload);
  }
  const bytes file = table_finish(&w);
  size_t count = 0;

  CHECK_EQ(450, file.size);
  CHECK_EQ(1, check_table(file, &count));
  CHECK_EQ(21, count);
  CHECK_HEX("00000000 09010000 02000000", file.data + 364 - 12, 12);
  CHECK_HEX("0001036c 00ec02", file.data + 364 + 5 + 13, 7); /* the index: "l", (0, 364) */
  CHECK_HEX("f10208 fe020f", file.data + 450 - 48, 6);       /* handles (369, 8), (382, 15) */
}

static void check_large_file(table_writer *w, size_t size, uint32_t crc, size_t blocks,
                             size_t entries) {
  const bytes file = table_finish(w);
  size_t count = 0;

  CHECK_EQ(size, file.size);
  CHECK_EQ(crc, crc32c_extend(0, file.data, file.size));
  CHECK_EQ(blocks, check_table(file, &count));
  CHECK_EQ(entries, count);
}

static void test_table_of_several_blocks(void) {
  table_writer w;
  begin(&w);
  for (int i = 0; i < 12000; i++) {
    char name[48];
    snprintf(name, sizeof name, "w%05d/xxxxxxxxxxxxxxxxxxxxxxxx", i);
    add(&w, name, (fck_entry){.dtype = kFloat32, .offset = 4 * (int64_t)i}, "0000803f");
  }

  check_large_file(&w, 532164, UINT32_C(0xbb04a1f8), 3, 12001);
}

static void test_table_of_keys_larger_than_a_block(void) {
  static const size_t kSizes[] = {600000, 10, 524288, 300000, 10};
  table_writer w;
  begin(&w);
  for (size_t i = 0; i < COUNT_OF(kSizes); i++) {
    const bytes key = bytes_allocate(kSizes[i]);
    memset(key.data, 'a' + (int)i, key.size);
    const fck_entry entry = {.dtype = kFloat32, .offset = 4 * (int64_t)i};
    table_add(&w, key, encode_tensor(entry, "0000803f"));
  }

  check_large_file(&w, 2848922, UINT32_C(0xbc1074ff), 6, 6);
}

/* A checkpoint of tf.train.Checkpoint: "v" and the object graph, a scalar string of 64 bytes. */
static void test_table_of_an_object_based_checkpoint(void) {
  table_writer w;
  begin(&w);
  add(&w, "_CHECKPOINTABLE_OBJECT_GRAPH", (fck_entry){.dtype = kString, .offset = 8},
      "3b58afe0ab"
      "0a070a0508011201760a30122e0a0e5641524941424c455f56414c55451a1c762f2e41545452494255544553"
      "2f5641524941424c455f56414c5545");
  add(&w, "v/.ATTRIBUTES/VARIABLE_VALUE", (fck_entry){.dtype = kFloat32, .rank = 1, .dims = {2}},
      "0000803f00000040");

  check_file(&w, 3,
             "00000608011a020801"
             "001c0d5f434845434b504f494e5441424c455f4f424a4543545f4752415048"
             "080712002008284035a1678162"
             "001c0f762f2e415454524942555445532f5641524941424c455f56414c5545"
             "0801120412020802280835593ce5350000000001000000 00a40ff9fb" NO_TENSORS_INDEX
             "00010277006b0000000001000000 00b95fa82b 70087d0e" FOOTER_PADDING FOOTER_MAGIC);
}

static const test_case kCases[] = {
    TEST_CASE(test_records_of_payloads_are_fixed),
    TEST_CASE(test_table_without_tensors),
    TEST_CASE(test_table_of_a_scalar),
    TEST_CASE(test_table_of_strings),
    TEST_CASE(test_table_of_a_partitioned_tensor),
    TEST_CASE(test_table_of_an_empty_tensor),
    TEST_CASE(test_table_of_keys_that_share_a_prefix),
    TEST_CASE(test_table_with_a_second_restart),
    TEST_CASE(test_table_of_several_blocks),
    TEST_CASE(test_table_of_keys_larger_than_a_block),
    TEST_CASE(test_table_of_an_object_based_checkpoint),
};

const test_suite kGoldenSuite = TEST_SUITE("golden", kCases);
