/* SPDX-License-Identifier: Apache-2.0 */
#include "fck.h"

#include <stdlib.h>

enum { kSmallestCapacity = 64 };

void fck_buf_free(fck_buf *b) {
  free(b->data);
  b->data = NULL;
  b->size = 0;
  b->capacity = 0;
}

fck_status fck_buf_grow(fck_buf *b, size_t n) {
  if (n > SIZE_MAX - b->size) return FCK_E_MEMORY;
  const size_t needed = b->size + n;
  size_t capacity = b->capacity < kSmallestCapacity ? (size_t)kSmallestCapacity : b->capacity;
  while (capacity < needed) {
    capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
  }
  uint8_t *data = realloc(b->data, capacity);
  if (data == NULL) return FCK_E_MEMORY;
  b->data = data;
  b->capacity = capacity;
  return FCK_OK;
}

int fck_compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
  const size_t shorter = a_size < b_size ? a_size : b_size;
  const int order = shorter > 0 ? memcmp(a, b, shorter) : 0;
  if (order != 0) return order;
  return (a_size > b_size) - (a_size < b_size);
}
