/* SPDX-License-Identifier: Apache-2.0
 *
 * The test framework: a case is a function without arguments, a suite an array of cases, and a
 * check that fails says where and lets its case go on.
 *
 * A case also fails if it leaves memory of csrc/ allocated.
 */
#ifndef FASTCKPT_TESTS_TEST_H_
#define FASTCKPT_TESTS_TEST_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fck.h"

typedef struct test_case {
  const char *name;
  void (*run)(void);
} test_case;

typedef struct test_suite {
  const char *name;
  const test_case *cases;
  size_t count;
} test_suite;

#define TEST_CASE(function) {#function, function}
#define TEST_SUITE(name, cases) {name, cases, sizeof(cases) / sizeof *(cases)}
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

typedef struct test_place {
  const char *file;
  int line;
  const char *text;
} test_place;

#define PLACE(text) ((test_place){__FILE__, __LINE__, text})

#define CHECK(condition) test_check(condition, PLACE(#condition))
#define CHECK_EQ(expected, actual) \
  test_check_equal((uint64_t)(expected), (uint64_t)(actual), PLACE(#actual))
#define CHECK_HEX(expected, data, size) test_check_hex(expected, data, size, PLACE(#data))

void test_check(bool condition, test_place place);
void test_check_equal(uint64_t expected, uint64_t actual, test_place place);

/* Compares bytes with hexadecimal digits; blanks between them mean nothing. */
void test_check_hex(const char *expected, const uint8_t *data, size_t size, test_place place);

/* Bytes in an allocation of exactly their size, so that AddressSanitizer sees a read of one too
 * many. They are freed at the end of the case. */
typedef struct bytes {
  uint8_t *data;
  size_t size;
} bytes;

bytes bytes_allocate(size_t size);
bytes bytes_copy(const void *data, size_t size);
bytes bytes_from_hex(const char *hex);

/* The first `size` bytes. REQUIRES: size <= b.size. */
bytes bytes_cut(bytes b, size_t size);

fck_reader bytes_reader(bytes b);

#endif /* FASTCKPT_TESTS_TEST_H_ */
