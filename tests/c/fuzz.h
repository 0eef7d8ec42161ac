/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzz targets share. Each fuzz_<target>.c gives any bytes to one part of csrc/, and
 * checks the invariants of docs/security.md that csrc/ answers for:
 *
 *   I1  no read outside of the bytes given      AddressSanitizer, on inputs of exact size
 *   I2  memory within a multiple of the input   the allocator of support.c
 *   I3  no arithmetic that wraps unnoticed      UndefinedBehaviorSanitizer, and sums made here
 *   I4  work within a multiple of the input     steps, counted here
 *   I5  listing and look-up agree               every key that is listed is looked up
 *
 * corpus/<target>/ has the inputs that a target begins with.
 */
#ifndef FASTCKPT_TESTS_FUZZ_H_
#define FASTCKPT_TESTS_FUZZ_H_

#include "fault.h"
#include "fck.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts, so that the fuzzer keeps the input, unless the condition holds. */
#define REQUIRE(invariant, condition) \
  require(condition, invariant ": " #condition, __FILE__, __LINE__)

void require(bool condition, const char *what, const char *file, int line);

/* The numbers of a fault are those of its status: of what is cut off more is wanted than found. */
void require_numbers(fck_status status, fck_fault fault);

/* Gives a record to every decoder of entry.h and wire.h, and what they find to the encoders. */
void use_record(fck_reader record);

#endif /* FASTCKPT_TESTS_FUZZ_H_ */
