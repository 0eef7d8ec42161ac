/* SPDX-License-Identifier: Apache-2.0
 *
 * The records of an index: headers, entries, the slices of an entry and their keys.
 */
#include "entry.h"
#include "fuzz.h"
#include "support.h"

/* bytes: keys and slices of 254 dimensions, and what buffers begin with */
enum { kSlack = 65536, kLargestGrowth = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  allocator_reset();
  use_record(fck_reader_make(data, size));
  REQUIRE("I2", g_allocator.live_count == 0);
  REQUIRE("I2", g_allocator.largest <= kLargestGrowth * size + kSlack);
  return 0;
}
