/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs every suite and ends with the line "N passed, N failed".
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

extern const test_suite kFckSuite, kWireSuite, kSstableSuite, kBlockSuite, kHostileBlockSuite,
    kEntrySuite, kHostileEntrySuite, kSliceSuite, kStringsSuite, kFaultSuite, kGoldenSuite;

static const test_suite *const kSuites[] = {
    &kFckSuite,          &kWireSuite,  &kSstableSuite,      &kBlockSuite,
    &kHostileBlockSuite, &kEntrySuite, &kHostileEntrySuite, &kSliceSuite,
    &kStringsSuite,      &kFaultSuite, &kGoldenSuite,
};

enum { kMaxReports = 10 }; /* per case: a check in a loop may fail a thousand times */

static const char *g_case_name;
static size_t g_failed_checks;

static bool is_reported(test_place place) {
  g_failed_checks++;
  if (g_failed_checks > kMaxReports) return false;
  printf("%s:%d: %s: %s: ", place.file, place.line, g_case_name, place.text);
  return true;
}

void test_check(bool condition, test_place place) {
  if (!condition && is_reported(place)) printf("expected to hold\n");
}

void test_check_equal(uint64_t expected, uint64_t actual, test_place place) {
  if (expected == actual || !is_reported(place)) return;
  printf("expected %llu, got %llu\n", (unsigned long long)expected, (unsigned long long)actual);
}

void test_check_hex(const char *expected, const uint8_t *data, size_t size, test_place place) {
  const bytes b = bytes_from_hex(expected);
  const bool is_equal = b.size == size && (size == 0 || memcmp(b.data, data, size) == 0);
  if (is_equal || !is_reported(place)) return;
  printf("expected %s, got ", expected);
  for (size_t i = 0; i < size; i++) printf("%02x", data[i]);
  printf("\n");
}

/* What the running case allocated. */
typedef struct memory {
  struct memory *next;
  void *data;
} memory;

static memory *g_memory;

static void *checked(void *pointer) {
  if (pointer != NULL) return pointer;
  printf("out of memory\n");
  exit(1);
}

bytes bytes_allocate(size_t size) {
  memory *const node = checked(malloc(sizeof *node));
  uint8_t *const data = checked(malloc(size > 0 ? size : 1));
  *node = (memory){g_memory, data};
  g_memory = node;
  const bytes b = {size > 0 ? data : data + 1, size}; /* of none, the first is one too many */
  return b;
}

static void free_memory(void) {
  while (g_memory != NULL) {
    memory *const node = g_memory;
    g_memory = node->next;
    free(node->data);
    free(node);
  }
}

bytes bytes_copy(const void *data, size_t size) {
  const bytes b = bytes_allocate(size);
  if (size > 0) memcpy(b.data, data, size);
  return b;
}

static unsigned hex_digit(char c) {
  const char *const digits = "0123456789abcdef";
  const char *const found = strchr(digits, c);
  if (found == NULL) {
    printf("%s: '%c' is not a hexadecimal digit\n", g_case_name, c);
    exit(1);
  }
  return (unsigned)(found - digits);
}

bytes bytes_from_hex(const char *hex) {
  size_t digit_count = 0;
  for (const char *c = hex; *c != '\0'; c++) digit_count += *c != ' ';
  const bytes b = bytes_allocate((digit_count + 1) / 2);
  if (b.size > 0) memset(b.data, 0, b.size);
  size_t i = 0;
  for (const char *c = hex; *c != '\0'; c++) {
    if (*c == ' ') continue;
    b.data[i / 2] = (uint8_t)((unsigned)b.data[i / 2] << 4 | hex_digit(*c));
    i++;
  }
  return b;
}

bytes bytes_cut(bytes b, size_t size) { return bytes_copy(b.data, size); }

fck_reader bytes_reader(bytes b) { return fck_reader_make(b.data, b.size); }

static bool run_case(const test_suite *suite, const test_case *test) {
  g_case_name = test->name;
  g_failed_checks = 0;
  allocator_reset();
  test->run();
  free_memory();
  CHECK_EQ(0, g_allocator.live_count);
  g_allocator.live_count = 0;
  if (g_failed_checks > 0) printf("FAILED %s: %s\n", suite->name, test->name);
  return g_failed_checks == 0;
}

int main(void) {
  size_t passed = 0;
  size_t failed = 0;
  for (size_t i = 0; i < COUNT_OF(kSuites); i++) {
    for (size_t j = 0; j < kSuites[i]->count; j++) {
      if (run_case(kSuites[i], &kSuites[i]->cases[j])) {
        passed++;
      } else {
        failed++;
      }
    }
  }
  printf("%zu passed, %zu failed\n", passed, failed);
  return passed > 0 && failed == 0 ? 0 : 1;
}
