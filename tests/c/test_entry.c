/* SPDX-License-Identifier: Apache-2.0
 *
 * Headers and entries as they should be. What can be wrong with them is test_entry_hostile.c's,
 * and slices are test_slices.c's.
 */
#include "entry.h"

#include <string.h>

#include "support.h"
#include "test.h"
#include "wire.h"

/* ---- Header ---- */

static void check_header(const char *hex, fck_header expected) {
  fck_header header;

  CHECK_EQ(FCK_OK, fck_header_decode(bytes_reader(bytes_from_hex(hex)), &header));
  CHECK_EQ(expected.num_shards, header.num_shards);
  CHECK_EQ(expected.endianness, header.endianness);
  CHECK_EQ(expected.producer, header.producer);
  CHECK_EQ(expected.min_consumer, header.min_consumer);
  CHECK_EQ(expected.is_refused, header.is_refused);
}

static void test_header_is_decoded(void) {
  check_header("08011a020801", (fck_header){1, FCK_LITTLE_ENDIAN, 1, 0, false});
  check_header("080110011a020801", (fck_header){1, FCK_BIG_ENDIAN, 1, 0, false});
  check_header("", (fck_header){0, FCK_LITTLE_ENDIAN, 0, 0, false});
  check_header("08ffffffff07", (fck_header){INT32_MAX, 0, 0, 0, false});
  check_header("08ffffffffffffffffff01", (fck_header){-1, 0, 0, 0, false});
  check_header("08011a0408051002", (fck_header){1, 0, 5, 2, false});
  check_header("08011a00", (fck_header){1, 0, 0, 0, false});
}

static void test_header_knows_whether_it_refuses_this_version(void) {
  check_header("1a021801", (fck_header){0, 0, 0, 0, true});
  check_header("1a021802", (fck_header){0, 0, 0, 0, false});
  check_header("1a04 1802 1801", (fck_header){0, 0, 0, 0, true});
  check_header("1a05 1a03 020301", (fck_header){0, 0, 0, 0, true}); /* packed */
  check_header("1a05 1a03 020304", (fck_header){0, 0, 0, 0, false});
  check_header("1a02 1a00", (fck_header){0, 0, 0, 0, false});
  check_header("1a021801 1a020801", (fck_header){0, 0, 1, 0, true}); /* parts are merged */
}

static void test_header_skips_unknown_fields(void) {
  check_header("2007 0802 2a03616263 35 01020304 39 0102030405060708 1a02 2005",
               (fck_header){2, 0, 0, 0, false});
}

static void test_header_takes_the_last_of_repeated_fields(void) {
  check_header("0802 0803", (fck_header){3, 0, 0, 0, false});
}

static void check_header_encoding(int32_t num_shards, int32_t endianness, const char *expected) {
  fck_buf out = {0};

  CHECK_EQ(FCK_OK, fck_header_encode(num_shards, endianness, &out));
  CHECK_HEX(expected, out.data, out.size);
  fck_buf_free(&out);
}

static void test_header_encoding_is_fixed(void) {
  check_header_encoding(1, FCK_LITTLE_ENDIAN, "08011a020801");
  check_header_encoding(1, FCK_BIG_ENDIAN, "080110011a020801");
  check_header_encoding(300, FCK_LITTLE_ENDIAN, "08ac021a020801");
}

/* ---- Entry ---- */

static fck_entry decode(const char *hex) {
  fck_entry entry;
  CHECK_EQ(FCK_OK, fck_entry_decode(bytes_reader(bytes_from_hex(hex)), &entry));
  return entry;
}

static void test_entry_without_fields_is_a_scalar_of_nothing(void) {
  const fck_entry entry = decode("");

  CHECK(entry.dtype == 0 && entry.rank == 0 && entry.shard_id == 0 && entry.offset == 0);
  CHECK(entry.size == 0 && entry.masked_crc32c == 0 && entry.slice_count == 0);
}

static void test_entry_of_every_field_is_decoded(void) {
  const fck_entry entry =
      decode("0809 120b 1203 08ac02 1200 1202 0803 1805 20808001 288002 35bbd79f11");

  CHECK_EQ(9, entry.dtype);
  CHECK_EQ(3, entry.rank);
  CHECK(entry.dims[0] == 300 && entry.dims[1] == 0 && entry.dims[2] == 3);
  CHECK_EQ(5, entry.shard_id);
  CHECK_EQ(16384, entry.offset);
  CHECK_EQ(256, entry.size);
  CHECK_EQ(0x119fd7bb, entry.masked_crc32c);
}

static void test_entry_skips_unknown_fields_of_every_type(void) {
  const fck_entry entry = decode(
      "4007 4a03616263 55 01020304 59 0102030405060708 c03e01" /* 8, 9, 10, 11 and 1000 */
      "0801"
      "120c 3807 1208 0805 1200 2007 3a00"); /* in the shape, in a dim */

  CHECK_EQ(1, entry.dtype);
  CHECK_EQ(1, entry.rank);
  CHECK_EQ(5, entry.dims[0]);
}

static void test_name_of_a_dim_is_skipped_whatever_it_is(void) {
  CHECK_EQ(5, decode("1206 1204 0805 1000").dims[0]);
  CHECK_EQ(5, decode("1209 1207 15 01020304 0805").dims[0]);
}

static void test_entry_takes_the_last_number_and_all_dims(void) {
  const fck_entry entry = decode("0801 0803 1204 12020802 2801 2802 1206 12040803 0804");

  CHECK_EQ(3, entry.dtype);
  CHECK_EQ(2, entry.size);
  CHECK_EQ(2, entry.rank); /* as protocol buffers merge a message that comes in parts */
  CHECK(entry.dims[0] == 2 && entry.dims[1] == 4);
}

static void test_entry_keeps_negative_numbers_for_its_caller_to_judge(void) {
  const fck_entry entry = decode(
      "08ffffffffffffffffff01 18feffffffffffffffff01 20ffffffffffffffffff01"
      "2880808080808080808001");

  CHECK_EQ(-1, entry.dtype);
  CHECK_EQ(-2, entry.shard_id);
  CHECK_EQ(-1, entry.offset);
  CHECK(entry.size == INT64_MIN);
}

static void test_entry_with_known_rank_flag_is_decoded(void) {
  CHECK_EQ(1, decode("1206 12020802 1800").rank);
}

static void test_entry_counts_its_slices(void) {
  CHECK_EQ(2, decode("0801 3a00 1200 3a020a00").slice_count);
}

static void test_entry_borrows_its_message(void) {
  const bytes b = bytes_from_hex("0801 3a00");
  fck_entry entry;

  CHECK_EQ(FCK_OK, fck_entry_decode(bytes_reader(b), &entry));
  CHECK(entry.message.p == b.data && entry.message.end == b.data + b.size);
}

static void test_largest_dim_and_most_dims_are_decoded(void) {
  fck_buf b = {0};
  fck_entry entry = {0};
  entry.dtype = 1;
  entry.rank = FCK_MAX_RANK;
  for (uint32_t i = 0; i < FCK_MAX_RANK; i++) entry.dims[i] = INT64_MAX - (int64_t)i;
  CHECK_EQ(FCK_OK, fck_entry_encode(&entry, &b));
  fck_entry decoded;

  CHECK_EQ(FCK_OK, fck_entry_decode(fck_reader_make(b.data, b.size), &decoded));
  CHECK_EQ(FCK_MAX_RANK, decoded.rank);
  CHECK_EQ(0, memcmp(entry.dims, decoded.dims, sizeof entry.dims));
  fck_buf_free(&b);
}

/* ---- Encoding ---- */

static void check_entry_encoding(const fck_entry *entry, const char *expected) {
  fck_buf out = {0};

  CHECK_EQ(FCK_OK, fck_entry_encode(entry, &out));
  CHECK_HEX(expected, out.data, out.size);
  fck_buf_free(&out);
}

static void test_entry_encoding_is_fixed(void) {
  const uint32_t of_nothing = UINT32_C(0xa282ead8);
  fck_entry entry = {.dtype = 1, .size = 4, .masked_crc32c = UINT32_C(0x2bdaa581)};
  check_entry_encoding(&entry, "080112002804 3581a5da2b");
  entry = (fck_entry){.dtype = 1, .rank = 1, .offset = 4, .masked_crc32c = of_nothing};
  check_entry_encoding(&entry, "08011202 1200 2004 35d8ea82a2");
  entry = (fck_entry){
      .dtype = 1, .rank = 3, .dims = {2, 0, 3}, .offset = 4, .masked_crc32c = of_nothing};
  check_entry_encoding(&entry, "0801 120a 12020802 1200 12020803 2004 35d8ea82a2");
  entry = (fck_entry){.dtype = 1,
                      .rank = 2,
                      .dims = {300, 1},
                      .offset = 8,
                      .size = 1200,
                      .masked_crc32c = UINT32_C(0x5fd53c11)};
  check_entry_encoding(&entry, "0801 1209 120308ac02 12020801 2008 28b009 35113cd55f");
  entry = (fck_entry){.dtype = 6, .shard_id = 3, .size = 1};
  check_entry_encoding(&entry, "0806 1200 1803 2801"); /* a checksum of 0 is left out */
  entry = (fck_entry){.dtype = 1, .rank = 2, .dims = {5, 4}};
  check_entry_encoding(&entry, "0801 1208 12020805 12020804"); /* partitioned */
}

static void test_entry_is_appended(void) {
  const fck_entry entry = {.dtype = 1, .size = 4};
  fck_buf out = {0};
  CHECK_EQ(FCK_OK, fck_buf_append(&out, (const uint8_t *)"old", 3));
  CHECK_EQ(FCK_OK, fck_entry_encode(&entry, &out));
  CHECK_EQ(FCK_OK, fck_header_encode(1, FCK_LITTLE_ENDIAN, &out));

  CHECK_HEX("6f6c64 080112002804 08011a020801", out.data, out.size);
  fck_buf_free(&out);
}

static fck_entry random_entry(uint64_t *state) {
  fck_entry entry = {0};
  entry.dtype = (int32_t)(next_random(state) >> 33);
  entry.shard_id = (int32_t)(next_random(state) >> 33);
  entry.offset = (int64_t)(next_random(state) >> random_below(state, 64));
  entry.size = (int64_t)(next_random(state) >> random_below(state, 64));
  entry.masked_crc32c = (uint32_t)next_random(state);
  entry.rank = (uint32_t)random_below(state, FCK_MAX_RANK + 1);
  for (uint32_t i = 0; i < entry.rank; i++) {
    entry.dims[i] = (int64_t)(next_random(state) >> (1 + random_below(state, 63)));
  }
  return entry;
}

static void test_random_entries_round_trip(void) {
  uint64_t state = 1;
  for (size_t i = 0; i < 500; i++) {
    const fck_entry entry = random_entry(&state);
    fck_buf b = {0};
    CHECK_EQ(FCK_OK, fck_entry_encode(&entry, &b));
    const bytes exact = bytes_copy(b.data, b.size);
    fck_buf_free(&b);
    fck_entry decoded;

    CHECK_EQ(FCK_OK, fck_entry_decode(bytes_reader(exact), &decoded));
    CHECK_EQ(entry.dtype, decoded.dtype);
    CHECK_EQ(entry.shard_id, decoded.shard_id);
    CHECK_EQ(entry.offset, decoded.offset);
    CHECK_EQ(entry.size, decoded.size);
    CHECK_EQ(entry.masked_crc32c, decoded.masked_crc32c);
    CHECK_EQ(entry.rank, decoded.rank);
    CHECK_EQ(0, memcmp(entry.dims, decoded.dims, entry.rank * sizeof *entry.dims));
    CHECK_EQ(0, decoded.slice_count);
  }
}

/* ---- Measuring ---- */

static void check_measure(fck_entry entry, uint32_t item_size, uint64_t expected_count) {
  uint64_t count = 77;
  uint64_t size = 88;

  CHECK_EQ(FCK_OK, fck_entry_measure(&entry, item_size, &count, &size));
  CHECK_EQ(expected_count, count);
  CHECK_EQ(expected_count * item_size, size);
}

static void test_entry_is_measured(void) {
  check_measure((fck_entry){.rank = 0}, 8, 1);
  check_measure((fck_entry){.rank = 1, .dims = {0}}, 8, 0);
  check_measure((fck_entry){.rank = 2, .dims = {300, 7}}, 16, 2100);
  check_measure((fck_entry){.rank = 3, .dims = {5, 0, 9}}, 4, 0);
  check_measure((fck_entry){.rank = 3, .dims = {1, 1, 1}}, 1, 1);
  check_measure((fck_entry){.rank = 1, .dims = {INT64_MAX}}, 1, INT64_MAX);
  check_measure((fck_entry){.rank = 1, .dims = {INT64_MAX / 2}}, 2, INT64_MAX / 2);
  check_measure((fck_entry){.rank = 2, .dims = {INT64_C(1) << 31, INT64_C(1) << 31}}, 1,
                UINT64_C(1) << 62);
  check_measure((fck_entry){.rank = 2, .dims = {0, INT64_MAX}}, 1, 0);
}

static void check_overflow(fck_entry entry, uint32_t item_size) {
  uint64_t count = 77;
  uint64_t size = 88;

  CHECK_EQ(FCK_E_OVERFLOW, fck_entry_measure(&entry, item_size, &count, &size));
  CHECK(count == 77 && size == 88);
}

static void test_size_beyond_63_bits_is_refused(void) {
  const int64_t k2to31 = INT64_C(1) << 31;
  const int64_t k2to32 = INT64_C(1) << 32;
  check_overflow((fck_entry){.rank = 1, .dims = {INT64_MAX}}, 2);
  check_overflow((fck_entry){.rank = 1, .dims = {INT64_MAX / 2 + 1}}, 2);
  check_overflow((fck_entry){.rank = 1, .dims = {INT64_C(1) << 59}}, 16);
  check_overflow((fck_entry){.rank = 2, .dims = {k2to31, k2to32}}, 1);    /* 2**63 */
  check_overflow((fck_entry){.rank = 2, .dims = {k2to32, k2to32}}, 1);    /* 0 in 64 bits */
  check_overflow((fck_entry){.rank = 3, .dims = {k2to32, k2to32, 0}}, 1); /* NumPy's rule */
  check_overflow((fck_entry){.rank = 3, .dims = {0, k2to32, k2to32}}, 1);
  check_overflow((fck_entry){.rank = 4, .dims = {k2to32, 1, k2to32, 1}}, 4);
}

static const test_case kCases[] = {
    TEST_CASE(test_header_is_decoded),
    TEST_CASE(test_header_knows_whether_it_refuses_this_version),
    TEST_CASE(test_header_skips_unknown_fields),
    TEST_CASE(test_header_takes_the_last_of_repeated_fields),
    TEST_CASE(test_header_encoding_is_fixed),
    TEST_CASE(test_entry_without_fields_is_a_scalar_of_nothing),
    TEST_CASE(test_entry_of_every_field_is_decoded),
    TEST_CASE(test_entry_skips_unknown_fields_of_every_type),
    TEST_CASE(test_name_of_a_dim_is_skipped_whatever_it_is),
    TEST_CASE(test_entry_takes_the_last_number_and_all_dims),
    TEST_CASE(test_entry_keeps_negative_numbers_for_its_caller_to_judge),
    TEST_CASE(test_entry_with_known_rank_flag_is_decoded),
    TEST_CASE(test_entry_counts_its_slices),
    TEST_CASE(test_entry_borrows_its_message),
    TEST_CASE(test_largest_dim_and_most_dims_are_decoded),
    TEST_CASE(test_entry_encoding_is_fixed),
    TEST_CASE(test_entry_is_appended),
    TEST_CASE(test_random_entries_round_trip),
    TEST_CASE(test_entry_is_measured),
    TEST_CASE(test_size_beyond_63_bits_is_refused),
};

const test_suite kEntrySuite = TEST_SUITE("entry", kCases);
