/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdlib.h>

allocator_probe g_allocator = {0, 0, SIZE_MAX};

void allocator_reset(void) {
  g_allocator.largest = 0;
  g_allocator.allowed = SIZE_MAX;
}

void *probed_realloc(void *memory, size_t size) {
  if (g_allocator.allowed == 0 || size > PTRDIFF_MAX) return NULL;
  if (g_allocator.allowed != SIZE_MAX) g_allocator.allowed--;
  void *moved = realloc(memory, size);
  if (moved == NULL) return NULL;
  if (memory == NULL) g_allocator.live_count++;
  if (size > g_allocator.largest) g_allocator.largest = size;
  return moved;
}

void probed_free(void *memory) {
  if (memory != NULL) g_allocator.live_count--;
  free(memory);
}

uint64_t next_random(uint64_t *state) {
  *state += UINT64_C(0x9e3779b97f4a7c15);
  uint64_t z = *state;
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

size_t random_below(uint64_t *state, size_t limit) { return (size_t)(next_random(state) % limit); }

uint32_t crc32c_extend(uint32_t crc, const uint8_t *data, size_t size) {
  crc = ~crc;
  for (size_t i = 0; i < size; i++) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (UINT32_C(0x82f63b78) & (0 - (crc & 1)));
  }
  return ~crc;
}

uint32_t crc32c_mask(uint32_t crc) { return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8); }
