/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers of a fault, from what a decoder refused.
 */
#include <string.h>

#include "fault.h"
#include "test.h"
#include "wire.h"

static void check_fault(uint64_t wanted, uint64_t found, fck_fault fault) {
  CHECK_EQ(wanted, fault.wanted);
  CHECK_EQ(found, fault.found);
}

/* ---- Messages ---- */

static void check_field(const char *hex, fck_status expected, uint64_t wanted, uint64_t found) {
  const fck_reader begin = bytes_reader(bytes_from_hex(hex));
  fck_reader r = begin;
  fck_field field;
  const fck_status status = fck_read_field(&r, &field);

  CHECK_EQ(expected, status);
  check_fault(wanted, found, fck_fault_of_field(begin, status));
}

static void test_cut_field_says_what_it_needs(void) {
  check_field("08", FCK_E_TRUNCATED, 1, 0);
  check_field("08 ffff", FCK_E_TRUNCATED, 3, 2); /* the varint goes on */
  check_field("8a", FCK_E_TRUNCATED, 2, 1);      /* so does the tag */
  check_field("35 010203", FCK_E_TRUNCATED, 4, 3);
  check_field("09 0102", FCK_E_TRUNCATED, 8, 2);
  check_field("12 0a 0102", FCK_E_TRUNCATED, 10, 2);
  check_field("12", FCK_E_TRUNCATED, 1, 0);
  check_field("12 ffffffffffffffffff01 00", FCK_E_TRUNCATED, UINT64_MAX, 1);
}

static void test_field_that_cannot_be_has_no_numbers(void) {
  check_field("00", FCK_E_WIRE, 0, 0);
  check_field("0b", FCK_E_WIRE, 0, 0);
  check_field("08 ffffffffffffffffff02", FCK_E_VARINT, 0, 0);
}

static void check_entry(const char *hex, fck_status expected, uint64_t wanted, uint64_t found) {
  const fck_reader message = bytes_reader(bytes_from_hex(hex));
  fck_entry entry;
  const fck_status status = fck_entry_decode(message, &entry);

  CHECK_EQ(expected, status);
  check_fault(wanted, found, fck_fault_of_message(message, FCK_MESSAGE_ENTRY, status));
}

static void test_fault_of_an_entry_is_found_in_the_messages_within(void) {
  check_entry("0801 1205 0801", FCK_E_TRUNCATED, 5, 2);
  check_entry("0801 1203 120408", FCK_E_TRUNCATED, 4, 1); /* a dim that outgrows its shape */
  check_entry("0801 1204 1202 0880 2007", FCK_E_TRUNCATED, 2, 1);
  check_entry("08ffffffff7f", FCK_E_RANGE, 0, 0x7ffffffffULL);
  check_entry("18ffffffffffffffffff01 088080808008", FCK_E_RANGE, 0, 0x80000000ULL);
  check_entry("120d 120b 08ffffffffffffffffff01", FCK_E_DIM, 0, (uint64_t)-1);
  check_entry("1202 1801", FCK_E_DIM, 0, 0); /* of unknown rank */
  check_entry("0a00", FCK_E_WIRE, FCK_WIRE_VARINT, FCK_WIRE_BYTES);
  check_entry("3001", FCK_E_WIRE, FCK_WIRE_FIXED32, FCK_WIRE_VARINT);
}

static void check_rank(bytes data, uint64_t rank) {
  fck_entry entry;

  CHECK_EQ(FCK_E_RANK, fck_entry_decode(bytes_reader(data), &entry));
  check_fault(FCK_MAX_RANK, rank,
              fck_fault_of_message(bytes_reader(data), FCK_MESSAGE_ENTRY, FCK_E_RANK));
}

static void test_number_of_dimensions_is_counted(void) {
  const size_t rank = FCK_MAX_RANK + 46;
  const bytes data = bytes_allocate(3 + 2 * rank);
  memcpy(data.data, "\x12\xd8\x04", 3); /* 600 bytes */
  for (size_t i = 0; i < rank; i++) memcpy(data.data + 3 + 2 * i, "\x12\x00", 2);
  check_rank(data, rank);
}

static void test_dimensions_of_a_repeated_shape_add_up(void) {
  const bytes data = bytes_allocate(2 * 203);
  memcpy(data.data, "\x12\xc8\x01", 3); /* 200 bytes, twice */
  for (size_t i = 3; i < 203; i += 2) memcpy(data.data + i, "\x12\x00", 2);
  memcpy(data.data + 203, data.data, 203);
  fck_entry entry;

  CHECK_EQ(FCK_OK, fck_entry_decode(bytes_reader(data), &entry));
  CHECK_EQ(200, entry.rank);
  const bytes four = bytes_allocate(2 * data.size);
  memcpy(four.data, data.data, data.size);
  memcpy(four.data + data.size, data.data, data.size);
  check_rank(four, 300); /* the fourth shape is not read any more */
}

static void check_slices(const char *hex, fck_status expected, uint64_t wanted, uint64_t found) {
  const fck_reader message = bytes_reader(bytes_from_hex(hex));
  fck_reader r = message;
  fck_slice slice;
  bool has_slice;
  const fck_status status = fck_entry_next_slice(&r, &slice, &has_slice);

  CHECK_EQ(expected, status);
  check_fault(wanted, found, fck_fault_of_message(message, FCK_MESSAGE_SLICES, status));
}

static void test_fault_of_a_slice_is_found(void) {
  check_slices("0801 3a05 0a09 0801", FCK_E_TRUNCATED, 5, 4);
  check_slices("3a04 0a03 0801", FCK_E_TRUNCATED, 3, 2);
  check_slices("3a05 0a03 080110", FCK_E_TRUNCATED, 1, 0);
  check_slices("3a0d 0a0b 10ffffffffffffffffff01", FCK_E_RANGE, 0, (uint64_t)-1);
  check_slices("3a02 0801", FCK_E_WIRE, FCK_WIRE_BYTES, FCK_WIRE_VARINT);
}

static void check_header(const char *hex, fck_status expected, uint64_t wanted, uint64_t found) {
  const fck_reader message = bytes_reader(bytes_from_hex(hex));
  fck_header header;
  const fck_status status = fck_header_decode(message, &header);

  CHECK_EQ(expected, status);
  check_fault(wanted, found, fck_fault_of_message(message, FCK_MESSAGE_HEADER, status));
}

static void test_fault_of_a_header_is_found(void) {
  check_header("0801 1a06 0801", FCK_E_TRUNCATED, 6, 2);
  check_header("1a03 1a01ff", FCK_E_TRUNCATED, 2, 1); /* in packed bad_consumers */
  check_header("08808080808080808080 01", FCK_E_RANGE, 0, 1ULL << 63);
  check_header("1a05 1d01020304", FCK_E_WIRE, FCK_WIRE_VARINT, FCK_WIRE_FIXED32);
}

/* ---- Blocks ---- */

static void check_block(const char *hex, fck_status expected, uint64_t wanted, uint64_t found) {
  const bytes data = bytes_from_hex(hex);
  fck_block block;
  size_t entry_count;
  size_t offset = 0;
  CHECK_EQ(FCK_OK, fck_block_open(data.data, data.size, &block));
  const fck_status status = fck_block_verify(&block, NULL, NULL, &entry_count, &offset);

  CHECK_EQ(expected, status);
  check_fault(wanted, found, fck_fault_of_block_entry(&block, offset, status));
}

static void test_key_that_shares_too_much_says_how_much(void) {
  check_block("01000000 00000000 01000000", FCK_E_SHARED, 1, 0);
  check_block("0004016162636431 0901016232 00000000 01000000", FCK_E_SHARED, 9, 4);
  check_block("0001016131 ffffffff0f010162 32 00000000 01000000", FCK_E_SHARED, UINT32_MAX, 1);
}

static void test_cut_entry_says_what_it_needs(void) {
  check_block("00 00000000 01000000", FCK_E_TRUNCATED, 1, 0);
  check_block("000105 6131 00000000 01000000", FCK_E_TRUNCATED, 6, 2);
  check_block("0001016131 0005ff 00000000 01000000", FCK_E_TRUNCATED, 2, 1);
  check_block("00ffffffff0fffffffff0f61 00000000 01000000", FCK_E_TRUNCATED,
              2 * (uint64_t)UINT32_MAX, 1);
}

static void test_block_without_room_for_its_restarts_says_how_many_fit(void) {
  const bytes small = bytes_from_hex("010203");
  const bytes claim = bytes_from_hex("000000000000000077000000");

  check_fault(4, 3, fck_fault_of_block(small.data, small.size, FCK_E_TRUNCATED));
  check_fault(2, 0x77, fck_fault_of_block(claim.data, claim.size, FCK_E_RESTART));
}

/* ---- Strings ---- */

static void check_strings(const char *hex, size_t count, fck_status expected, uint64_t wanted,
                          uint64_t found) {
  const fck_reader payload = bytes_reader(bytes_from_hex(hex));
  fck_reader r = payload;
  uint64_t lengths[4];
  const fck_status status = fck_strings_decode_lengths(&r, count, lengths);

  CHECK_EQ(expected, status);
  check_fault(wanted, found, fck_fault_of_strings(payload, count, status));
}

static void test_strings_say_what_they_need(void) {
  check_strings("02", 2, FCK_E_TRUNCATED, 1, 0);
  check_strings("0203 1b428bca 6162", 2, FCK_E_TRUNCATED, 9, 6);
  check_strings("01 1b428bca 616263", 1, FCK_E_TRAILING, 5, 7);
  check_strings("ffffffffffffffffff01 7f", 2, FCK_E_TRUNCATED, UINT64_MAX, 1);
}

static const test_case kCases[] = {
    TEST_CASE(test_cut_field_says_what_it_needs),
    TEST_CASE(test_field_that_cannot_be_has_no_numbers),
    TEST_CASE(test_fault_of_an_entry_is_found_in_the_messages_within),
    TEST_CASE(test_number_of_dimensions_is_counted),
    TEST_CASE(test_dimensions_of_a_repeated_shape_add_up),
    TEST_CASE(test_fault_of_a_slice_is_found),
    TEST_CASE(test_fault_of_a_header_is_found),
    TEST_CASE(test_key_that_shares_too_much_says_how_much),
    TEST_CASE(test_cut_entry_says_what_it_needs),
    TEST_CASE(test_block_without_room_for_its_restarts_says_how_many_fit),
    TEST_CASE(test_strings_say_what_they_need),
};

const test_suite kFaultSuite = TEST_SUITE("fault", kCases);
