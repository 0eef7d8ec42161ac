/* SPDX-License-Identifier: Apache-2.0
 *
 * What the unit tests and the fuzz target share: the allocator that csrc/ is made to use here,
 * a seeded source of numbers, and CRC-32C, which csrc/ leaves to its callers.
 */
#ifndef FASTCKPT_TESTS_SUPPORT_H_
#define FASTCKPT_TESTS_SUPPORT_H_

#include <stddef.h>
#include <stdint.h>

/* The Makefile compiles csrc/ so that its realloc and free are these. The probe counts what is
 * allocated, remembers the largest request, and refuses every request from the `allowed`-th on;
 * one beyond PTRDIFF_MAX is refused in any case. */
typedef struct allocator_probe {
  size_t live_count;
  size_t largest;
  size_t allowed;
} allocator_probe;

extern allocator_probe g_allocator;

void *probed_realloc(void *memory, size_t size);
void probed_free(void *memory);

/* Allows every request again and forgets the largest one. */
void allocator_reset(void);

/* splitmix64: the next number after *state. */
uint64_t next_random(uint64_t *state);

/* A number in [0, limit). REQUIRES: limit > 0. */
size_t random_below(uint64_t *state, size_t limit);

/* CRC-32C of more bytes, after those that gave `crc` (0 for none). */
uint32_t crc32c_extend(uint32_t crc, const uint8_t *data, size_t size);

/* The form in which checkpoints store a CRC. */
uint32_t crc32c_mask(uint32_t crc);

#endif /* FASTCKPT_TESTS_SUPPORT_H_ */
