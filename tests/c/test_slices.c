/* SPDX-License-Identifier: Apache-2.0
 *
 * Slices of partitioned tensors: in an entry, and as the ordered code of their keys.
 */
#include <string.h>

#include "entry.h"
#include "support.h"
#include "test.h"

/* ---- In an entry ---- */

static void test_slices_are_read_in_order(void) {
  fck_reader message = bytes_reader(
      bytes_from_hex("0801 3a06 0a021002 0a00 1200 3a08 0a0408021003 0a00 4007 3a00 3a02 0a00"));
  fck_slice part;
  bool found = false;

  CHECK_EQ(FCK_OK, fck_entry_next_slice(&message, &part, &found)); /* 0,2:- */
  CHECK(found && part.rank == 2);
  CHECK(part.start[0] == 0 && part.length[0] == 2);
  CHECK(part.start[1] == 0 && part.length[1] == FCK_WHOLE);
  CHECK_EQ(FCK_OK, fck_entry_next_slice(&message, &part, &found)); /* 2,3:- */
  CHECK(found && part.rank == 2);
  CHECK(part.start[0] == 2 && part.length[0] == 3);
  CHECK(part.start[1] == 0 && part.length[1] == FCK_WHOLE);
  CHECK_EQ(FCK_OK, fck_entry_next_slice(&message, &part, &found)); /* of a scalar */
  CHECK(found && part.rank == 0);
  CHECK_EQ(FCK_OK, fck_entry_next_slice(&message, &part, &found)); /* - */
  CHECK(found && part.rank == 1 && part.length[0] == FCK_WHOLE);
  CHECK_EQ(FCK_OK, fck_entry_next_slice(&message, &part, &found));
  CHECK(!found);
  CHECK_EQ(FCK_OK, fck_entry_next_slice(&message, &part, &found));
  CHECK(!found);
}

static void test_message_without_slices_has_none(void) {
  fck_reader message = bytes_reader(bytes_from_hex("080112002804"));
  fck_slice part;
  bool found = true;

  CHECK_EQ(FCK_OK, fck_entry_next_slice(&message, &part, &found));
  CHECK(!found);
  CHECK_EQ(0, fck_reader_left(&message));
}

static void test_extent_of_length_0_is_not_the_whole_dimension(void) {
  fck_reader message = bytes_reader(bytes_from_hex("3a04 0a02 1000 3a08 0a06 1805 0803 1004"));
  fck_slice part;
  bool found = false;

  CHECK_EQ(FCK_OK, fck_entry_next_slice(&message, &part, &found));
  CHECK(found && part.length[0] == 0);
  CHECK_EQ(FCK_OK, fck_entry_next_slice(&message, &part, &found)); /* with an unknown field */
  CHECK(found && part.start[0] == 3 && part.length[0] == 4);
}

static void test_largest_extent_is_read(void) {
  fck_reader message =
      bytes_reader(bytes_from_hex("3a16 0a14 08ffffffffffffffff7f 10ffffffffffffffff7f"));
  fck_slice part;
  bool found = false;

  CHECK_EQ(FCK_OK, fck_entry_next_slice(&message, &part, &found));
  CHECK(found && part.start[0] == INT64_MAX && part.length[0] == INT64_MAX);
}

static void check_bad_slice(const char *hex, fck_status expected) {
  fck_reader message = bytes_reader(bytes_from_hex(hex));
  fck_slice part;
  bool found = false;

  CHECK_EQ(expected, fck_entry_next_slice(&message, &part, &found));
  CHECK(!found);
}

static void test_bad_slices_are_refused(void) {
  check_bad_slice("3a0d 0a0b 08 ffffffffffffffffff01", FCK_E_RANGE); /* start -1 */
  check_bad_slice("3a0d 0a0b 10 ffffffffffffffffff01", FCK_E_RANGE); /* length -1, spelt out */
  check_bad_slice("3801", FCK_E_WIRE);
  check_bad_slice("3d 01020304", FCK_E_WIRE);
  check_bad_slice("3a02 0801", FCK_E_WIRE);      /* an extent */
  check_bad_slice("3a04 0a02 0a00", FCK_E_WIRE); /* a start */
  check_bad_slice("3a07 0a05 15 01020304", FCK_E_WIRE);
  check_bad_slice("3a02 0a05", FCK_E_TRUNCATED);
  check_bad_slice("3a05 0a00", FCK_E_TRUNCATED);
  check_bad_slice("3a03 0a01 08", FCK_E_TRUNCATED);
  check_bad_slice("3a0d 0a0b 08 ffffffffffffffffff02", FCK_E_VARINT);
  check_bad_slice("3a02 0000", FCK_E_WIRE);
}

static void test_slice_of_rank_255_is_refused(void) {
  const size_t size = 2 * (FCK_MAX_RANK + 1);
  const bytes message = bytes_allocate(3 + size);
  message.data[0] = 0x3a;
  message.data[1] = (uint8_t)(size | 0x80);
  message.data[2] = (uint8_t)(size >> 7);
  for (size_t i = 0; i < size; i += 2) memcpy(message.data + 3 + i, "\x0a\0", 2);
  fck_reader r = bytes_reader(message);
  fck_slice part;
  bool found = false;

  CHECK_EQ(FCK_E_RANK, fck_entry_next_slice(&r, &part, &found));
  CHECK(!found);
}

static void check_slice_encoding(const fck_slice *slice, const char *expected) {
  fck_buf out = {0};

  CHECK_EQ(FCK_OK, fck_entry_append_slice(slice, &out));
  CHECK_HEX(expected, out.data, out.size);
  fck_buf_free(&out);
}

static void test_slice_encoding_is_fixed(void) {
  const fck_slice rows = {2, {0, 0}, {2, FCK_WHOLE}};
  const fck_slice tile = {2, {2, 0}, {3, 4}};
  const fck_slice empty = {1, {0}, {0}};
  const fck_slice scalar = {0, {0}, {0}};
  const fck_slice large = {1, {300}, {20000}};
  check_slice_encoding(&rows, "3a06 0a021002 0a00");
  check_slice_encoding(&tile, "3a0a 0a0408021003 0a021004");
  check_slice_encoding(&empty, "3a04 0a021000");
  check_slice_encoding(&scalar, "3a00");
  check_slice_encoding(&large, "3a09 0a07 08ac02 10a09c01");
}

static void test_random_slices_round_trip(void) {
  uint64_t state = 3;
  for (size_t i = 0; i < 300; i++) {
    fck_slice slice = {0};
    slice.rank = (uint32_t)random_below(&state, FCK_MAX_RANK + 1);
    for (uint32_t axis = 0; axis < slice.rank; axis++) {
      const bool is_whole = random_below(&state, 4) == 0;
      const uint64_t start = next_random(&state) >> (1 + random_below(&state, 63));
      const uint64_t length = next_random(&state) >> (1 + random_below(&state, 63));
      slice.start[axis] = is_whole ? 0 : (int64_t)start;
      slice.length[axis] = is_whole ? FCK_WHOLE : (int64_t)length;
    }
    fck_buf b = {0};
    CHECK_EQ(FCK_OK, fck_entry_append_slice(&slice, &b));
    fck_reader r = bytes_reader(bytes_copy(b.data, b.size));
    fck_buf_free(&b);
    fck_slice decoded;
    bool found = false;

    CHECK_EQ(FCK_OK, fck_entry_next_slice(&r, &decoded, &found));
    CHECK(found && decoded.rank == slice.rank);
    CHECK_EQ(0, memcmp(slice.start, decoded.start, slice.rank * sizeof *slice.start));
    CHECK_EQ(0, memcmp(slice.length, decoded.length, slice.rank * sizeof *slice.length));
    CHECK_EQ(0, fck_reader_left(&r));
  }
}

/* ---- Keys: ordered code ---- */

static void check_key(const char *name_hex, const fck_slice *slice, const char *expected) {
  const bytes name = bytes_from_hex(name_hex);
  fck_buf out = {0};

  CHECK_EQ(FCK_OK, fck_slice_key(name.data, name.size, slice, &out));
  CHECK_HEX(expected, out.data, out.size);
  fck_buf_free(&out);
}

static void test_slice_key_is_fixed(void) {
  const fck_slice rows = {2, {0, 0}, {2, FCK_WHOLE}};
  const fck_slice more_rows = {2, {2, 0}, {3, FCK_WHOLE}};
  const fck_slice tile = {2, {0, 0}, {2, 4}};
  const fck_slice large = {2, {100, 0}, {9900, FCK_WHOLE}};
  const fck_slice scalar = {0, {0}, {0}};
  check_key("76", &rows, "00 760001 0102 8082 807f");
  check_key("76", &more_rows, "00 760001 0102 8283 807f");
  check_key("612f76", &tile, "00 612f760001 0102 8082 8084");
  check_key("62", &large, "00 620001 0102 c064 e026ac 807f");
  check_key("73", &scalar, "00 730001 00");
}

static void test_name_in_a_slice_key_is_escaped(void) {
  const fck_slice scalar = {0, {0}, {0}};
  check_key("", &scalar, "00 0001 00");
  check_key("76", &scalar, "00 760001 00");
  check_key("00", &scalar, "00 00ff0001 00");
  check_key("ff", &scalar, "00 ff000001 00");
  check_key("610062ff63", &scalar, "00 6100ff62ff00630001 00");
}

static void test_rank_in_a_slice_key_is_counted_in_bytes(void) {
  static const uint32_t kRanks[] = {1, 2, 127, 128, FCK_MAX_RANK};
  static const uint8_t kBytes[] = {0x01, 0x02, 0x7f, 0x80, 0xfe};
  for (size_t i = 0; i < COUNT_OF(kRanks); i++) {
    fck_slice slice = {0};
    slice.rank = kRanks[i];
    fck_buf out = {0};
    CHECK_EQ(FCK_OK, fck_slice_key(NULL, 0, &slice, &out));
    CHECK_EQ(5 + 2 * slice.rank, out.size);
    CHECK_EQ(1, out.data[3]);
    CHECK_EQ(kBytes[i], out.data[4]);
    fck_buf_free(&out);
  }
}

/* The code of a number, as the start of the only dimension of a slice without a name. */
static bytes encode_number(int64_t value) {
  enum { kHead = 5, kTail = 1 }; /* 00 | 00 01 | 01 01 | start | 80, for the length 0 */
  const fck_slice slice = {1, {value}, {0}};
  fck_buf out = {0};
  CHECK_EQ(FCK_OK, fck_slice_key(NULL, 0, &slice, &out));
  const bytes number = bytes_copy(out.data + kHead, out.size - kHead - kTail);
  CHECK_HEX("00 0001 0101", out.data, kHead);
  CHECK_EQ(0x80, out.data[out.size - 1]);
  fck_buf_free(&out);
  return number;
}

static void test_numbers_in_a_slice_key_are_fixed(void) {
  static const struct {
    int64_t value;
    const char *hex;
  } kVectors[] = {
      {0, "80"},
      {1, "81"},
      {-1, "7f"},
      {63, "bf"},
      {64, "c040"},
      {-64, "40"},
      {-65, "3fbf"},
      {8191, "dfff"},
      {8192, "e02000"},
      {-8192, "2000"},
      {-8193, "1fdfff"},
      {(INT64_C(1) << 20) - 1, "efffff"},
      {INT64_C(1) << 20, "f0100000"},
      {INT64_C(1) << 27, "f808000000"},
      {INT64_C(1) << 34, "fc0400000000"},
      {INT64_C(1) << 41, "fe020000000000"},
      {INT64_C(1) << 48, "ff01000000000000"},
      {INT64_C(1) << 55, "ff8080000000000000"},
      {INT64_C(1) << 62, "ffc04000000000000000"},
      {INT64_MAX, "ffc07fffffffffffffff"},
      {INT64_MIN, "003f8000000000000000"},
  };
  for (size_t i = 0; i < COUNT_OF(kVectors); i++) {
    const bytes number = encode_number(kVectors[i].value);
    CHECK_HEX(kVectors[i].hex, number.data, number.size);
  }
}

static void check_sorts_below_its_successor(int64_t value) {
  const bytes number = encode_number(value);
  const bytes next = encode_number(value + 1);
  CHECK(number.size >= 1 && number.size <= 10);
  CHECK(fck_compare(number.data, number.size, next.data, next.size) < 0);
}

static void test_numbers_in_a_slice_key_sort_as_they_count(void) {
  for (unsigned bit = 0; bit < 63; bit++) {
    const int64_t power = INT64_C(1) << bit;
    for (int64_t near = -2; near <= 1; near++) {
      check_sorts_below_its_successor(power + near);
      check_sorts_below_its_successor(-power + near);
    }
  }
  check_sorts_below_its_successor(INT64_MAX - 1);
  check_sorts_below_its_successor(INT64_MIN);
  uint64_t state = 7;
  for (size_t i = 0; i < 2000; i++) {
    const int64_t a = (int64_t)(next_random(&state) >> random_below(&state, 64));
    const int64_t b = -(int64_t)(next_random(&state) >> (1 + random_below(&state, 63)));
    const bytes x = encode_number(a);
    const bytes y = encode_number(b);
    const int order = fck_compare(x.data, x.size, y.data, y.size);
    CHECK_EQ((a > b) - (a < b), (order > 0) - (order < 0));
  }
}

static void test_no_number_is_the_beginning_of_another(void) {
  uint64_t state = 11;
  bytes last = encode_number(0);
  for (size_t i = 0; i < 2000; i++) {
    const bytes number = encode_number((int64_t)(next_random(&state) >> random_below(&state, 64)));
    const size_t shorter = number.size < last.size ? number.size : last.size;
    CHECK(number.size == last.size || memcmp(number.data, last.data, shorter) != 0);
    last = number;
  }
}

static void test_slice_key_is_appended(void) {
  const fck_slice scalar = {0, {0}, {0}};
  fck_buf out = {0};
  CHECK_EQ(FCK_OK, fck_buf_append(&out, (const uint8_t *)"old", 3));
  CHECK_EQ(FCK_OK, fck_slice_key((const uint8_t *)"s", 1, &scalar, &out));

  CHECK_HEX("6f6c64 00 730001 00", out.data, out.size);
  fck_buf_free(&out);
}

static fck_status encode_all(const fck_entry *entry, const fck_slice *slice, fck_buf *out) {
  FCK_TRY(fck_header_encode(1, FCK_BIG_ENDIAN, out));
  FCK_TRY(fck_entry_encode(entry, out));
  FCK_TRY(fck_entry_append_slice(slice, out));
  return fck_slice_key((const uint8_t *)"n\0n\xff", 4, slice, out);
}

/* Bytes are there one at a time, so that every append in turn is the one that fails. */
static void test_every_append_may_fail(void) {
  const fck_entry entry = {.dtype = 1,
                           .rank = 2,
                           .dims = {300, 4},
                           .shard_id = 1,
                           .offset = 2,
                           .size = 3,
                           .masked_crc32c = 4};
  const fck_slice slice = {2, {5, 0}, {6, FCK_WHOLE}};
  fck_buf whole = {0};
  CHECK_EQ(FCK_OK, encode_all(&entry, &slice, &whole));
  for (size_t room = 0; room < whole.size; room++) {
    fck_buf out = {0};
    CHECK_EQ(FCK_OK, fck_buf_reserve(&out, 2 * whole.size));
    out.size = out.capacity - room;
    memset(out.data, 0, out.size);
    g_allocator.allowed = 0;
    CHECK_EQ(FCK_E_MEMORY, encode_all(&entry, &slice, &out));
    CHECK(out.size <= out.capacity);
    allocator_reset();
    fck_buf_free(&out);
  }
  fck_buf_free(&whole);
}

static const test_case kCases[] = {
    TEST_CASE(test_slices_are_read_in_order),
    TEST_CASE(test_message_without_slices_has_none),
    TEST_CASE(test_extent_of_length_0_is_not_the_whole_dimension),
    TEST_CASE(test_largest_extent_is_read),
    TEST_CASE(test_bad_slices_are_refused),
    TEST_CASE(test_slice_of_rank_255_is_refused),
    TEST_CASE(test_slice_encoding_is_fixed),
    TEST_CASE(test_random_slices_round_trip),
    TEST_CASE(test_slice_key_is_fixed),
    TEST_CASE(test_name_in_a_slice_key_is_escaped),
    TEST_CASE(test_rank_in_a_slice_key_is_counted_in_bytes),
    TEST_CASE(test_numbers_in_a_slice_key_are_fixed),
    TEST_CASE(test_numbers_in_a_slice_key_sort_as_they_count),
    TEST_CASE(test_no_number_is_the_beginning_of_another),
    TEST_CASE(test_slice_key_is_appended),
    TEST_CASE(test_every_append_may_fail),
};

const test_suite kSliceSuite = TEST_SUITE("slices", kCases);
