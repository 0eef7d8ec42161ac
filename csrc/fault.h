/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers behind a status, for messages: how much was wanted and how much was found.
 *
 * A decoder returns only a status, so that good input pays nothing. These functions read refused
 * bytes a second time, up to the fault. Both numbers are 0 for a status that has none:
 *
 *   status            wanted                         found
 *   FCK_E_TRUNCATED   bytes that are needed          bytes that are left
 *   FCK_E_TRAILING    bytes that are needed          bytes that are there
 *   FCK_E_WIRE        wire type of a known field     wire type (both 0 for an impossible tag)
 *   FCK_E_RANGE       -                              the number, as int64
 *   FCK_E_DIM         -                              the dimension, as int64; 0: unknown rank
 *   FCK_E_RANK        FCK_MAX_RANK                   dimensions
 *   FCK_E_SHARED      bytes that the key shares      bytes of the previous key
 *   FCK_E_EXPANSION   most bytes of keys             -
 *   FCK_E_RESTART     restarts that fit              restarts that are claimed
 */
#ifndef FASTCKPT_FAULT_H_
#define FASTCKPT_FAULT_H_

#include "entry.h"
#include "fck.h"
#include "sstable.h"
#include "string_payload.h"

typedef struct fck_fault {
  uint64_t wanted;
  uint64_t found;
} fck_fault;

/* The messages that entry.h decodes. */
typedef enum fck_message {
  FCK_MESSAGE_HEADER,
  FCK_MESSAGE_ENTRY,  /* without its slices, as fck_entry_decode reads it */
  FCK_MESSAGE_SLICES, /* an entry's slices only, as fck_entry_next_slice reads them */
} fck_message;

/* The fault of a field that fck_read_field refused. */
fck_fault fck_fault_of_field(fck_reader r, fck_status status);

/* The fault of a message that its decoder refused. */
fck_fault fck_fault_of_message(fck_reader message, fck_message kind, fck_status status);

/* The fault of a block that fck_block_open refused. */
fck_fault fck_fault_of_block(const uint8_t *data, size_t size, fck_status status);

/* The fault of an entry that fck_block_verify refused; `offset` is its *error_offset. */
fck_fault fck_fault_of_block_entry(const fck_block *block, size_t offset, fck_status status);

/* The fault of a payload that fck_strings_decode_lengths refused. */
fck_fault fck_fault_of_strings(fck_reader payload, size_t count, fck_status status);

#endif /* FASTCKPT_FAULT_H_ */
