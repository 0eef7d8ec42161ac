/* SPDX-License-Identifier: Apache-2.0
 *
 * The records of a bundle's index (docs/format.md, "Index records" and "Slices"):
 *
 *   key ""        BundleHeaderProto { 1 num_shards, 2 endianness, 3 VersionDef }
 *   tensor name   BundleEntryProto  { 1 dtype, 2 shape, 3 shard_id, 4 offset, 5 size,
 *                                     6 crc32c (fixed32, masked), 7 slices* }
 *   slice key     BundleEntryProto of one slice of a partitioned tensor
 *
 *   VersionDef        { 1 producer, 2 min_consumer, 3 bad_consumers* }
 *   TensorShapeProto  { 2 dim* { 1 size, 2 name }, 3 unknown_rank }
 *   TensorSliceProto  { 1 extent* { 1 start, 2 length } }; an extent without length is the
 *                     whole dimension
 *
 * Unknown fields are skipped, and so is a dimension's name, which nobody writes; any other known
 * field of another wire type is an error.
 */
#ifndef FASTCKPT_ENTRY_H_
#define FASTCKPT_ENTRY_H_

#include "fck.h"

enum {
  FCK_MAX_RANK = 254, /* TensorFlow's own limit */
  FCK_WHOLE = -1,     /* the length of a slice that takes a whole dimension */
  FCK_LITTLE_ENDIAN = 0,
  FCK_BIG_ENDIAN = 1,
  FCK_VERSION = 1, /* the bundle version that this code reads and writes */
};

typedef struct fck_header {
  int32_t num_shards;
  int32_t endianness;
  int32_t producer;
  int32_t min_consumer;
  bool is_refused; /* bad_consumers names FCK_VERSION */
} fck_header;

FCK_MUST_CHECK fck_status fck_header_decode(fck_reader message, fck_header *out);

/* Appends a header of version FCK_VERSION. */
FCK_MUST_CHECK fck_status fck_header_encode(int32_t num_shards, int32_t endianness, fck_buf *out);

/* One tensor, or one slice of one. Dims are never negative. */
typedef struct fck_entry {
  int32_t dtype;
  int32_t shard_id;
  int64_t offset;
  int64_t size;
  uint32_t masked_crc32c;
  uint32_t rank;
  size_t slice_count;
  fck_reader message; /* borrowed: what fck_entry_next_slice reads */
  int64_t dims[FCK_MAX_RANK];
} fck_entry;

/* On error *out is in an unspecified state. */
FCK_MUST_CHECK fck_status fck_entry_decode(fck_reader message, fck_entry *out);

/* Sets *count to the number of elements and *size to their bytes. Neither the dims that are not
 * 0 nor the bytes may multiply beyond 63 bits, also when another dim is 0: that is NumPy's rule.
 * REQUIRES: item_size > 0. */
FCK_MUST_CHECK fck_status fck_entry_measure(const fck_entry *entry, uint32_t item_size,
                                            uint64_t *count, uint64_t *size);

/* Appends the record, without slices: those follow through fck_entry_append_slice. */
FCK_MUST_CHECK fck_status fck_entry_encode(const fck_entry *entry, fck_buf *out);

typedef struct fck_slice {
  uint32_t rank;
  int64_t start[FCK_MAX_RANK];
  int64_t length[FCK_MAX_RANK]; /* FCK_WHOLE, or not negative */
} fck_slice;

/* Reads on in an entry's message to its next slice; *found is false after the last one. On error
 * *message and *out are in an unspecified state. */
FCK_MUST_CHECK fck_status fck_entry_next_slice(fck_reader *message, fck_slice *out, bool *found);

FCK_MUST_CHECK fck_status fck_entry_append_slice(const fck_slice *slice, fck_buf *out);

/* Appends the key under which a slice's own entry stands: ordered code of 0, the tensor's name,
 * the rank, then start and length of each dimension. Such keys begin with a NUL byte. */
FCK_MUST_CHECK fck_status fck_slice_key(const uint8_t *name, size_t name_size,
                                        const fck_slice *slice, fck_buf *out);

#endif /* FASTCKPT_ENTRY_H_ */
