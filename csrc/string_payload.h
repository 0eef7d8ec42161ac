/* SPDX-License-Identifier: Apache-2.0
 *
 * The payload of a string tensor of n elements (docs/format.md, "DT_STRING"):
 *
 *   varint64 length[0] .. length[n-1]   fixed32 length_checksum   bytes[0] .. bytes[n-1]
 *
 * The checksum is not over the varints: each length goes in as 4 bytes in the file's byte order,
 * or as 8 when it does not fit. fck_strings_append_checked_length gives those bytes.
 */
#ifndef FASTCKPT_STRING_PAYLOAD_H_
#define FASTCKPT_STRING_PAYLOAD_H_

#include "fck.h"

enum { FCK_LENGTH_CHECKSUM_SIZE = 4 };

/* Reads the lengths of a payload and leaves *r at the length checksum. On FCK_OK `count` lengths,
 * the checksum and the bytes of every string are exactly what the payload holds. `lengths` must
 * have room for count. FCK_E_TRUNCATED: the strings need more than there is; FCK_E_TRAILING: less.
 * On error some of `lengths` may be written. */
FCK_MUST_CHECK fck_status fck_strings_decode_lengths(fck_reader *r, size_t count,
                                                     uint64_t *lengths);

/* Appends one length as the checksum sees it. */
FCK_MUST_CHECK fck_status fck_strings_append_checked_length(fck_buf *b, uint64_t length,
                                                            bool is_big_endian);

#endif /* FASTCKPT_STRING_PAYLOAD_H_ */
