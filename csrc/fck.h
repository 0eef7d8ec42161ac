/* SPDX-License-Identifier: Apache-2.0
 *
 * The ground of the C core: status codes, the one bounds-checked cursor that every
 * decoder reads through, and the one growable buffer that every encoder appends to.
 *
 * Rules that hold for all of csrc/:
 *   - no I/O, no globals, no threads, no Python; memory comes from fck_buf only;
 *   - a function that can fail returns fck_status and must be checked;
 *   - outputs are written on FCK_OK only, unless the comment says otherwise;
 *   - bytes from disk are hostile: lengths are compared with what is left, never added first.
 */
#ifndef FASTCKPT_FCK_H_
#define FASTCKPT_FCK_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define FCK_MUST_CHECK __attribute__((warn_unused_result))
#else
#define FCK_MUST_CHECK
#endif

/* Status codes. Their numbers are part of the interface with _status.pxd. */
typedef enum fck_status {
  FCK_OK = 0,
  FCK_E_MEMORY = 1,     /* the allocator refused */
  FCK_E_TRUNCATED = 2,  /* fewer bytes are left than the grammar asks for */
  FCK_E_VARINT = 3,     /* a varint with more bits than its type */
  FCK_E_WIRE = 4,       /* a protobuf tag with field number 0 or an unused wire type */
  FCK_E_RANGE = 5,      /* a number outside of what its field can hold */
  FCK_E_MAGIC = 6,      /* the last 8 bytes are not the table magic */
  FCK_E_HANDLE = 7,     /* a block handle points outside of the file */
  FCK_E_RESTART = 8,    /* the restart array does not fit its block or its entries */
  FCK_E_SHARED = 9,     /* an entry shares more key bytes than the key before it has */
  FCK_E_ORDER = 10,     /* keys are not strictly increasing */
  FCK_E_EXPANSION = 11, /* prefix-compressed keys expand beyond FCK_MAX_KEY_EXPANSION */
  FCK_E_RANK = 12,      /* more dimensions than FCK_MAX_RANK */
  FCK_E_DIM = 13,       /* a negative dimension, or a shape of unknown rank */
  FCK_E_TRAILING = 14,  /* bytes are left over after the last thing the grammar allows */
  FCK_E_OVERFLOW = 15,  /* a product of dimensions beyond 63 bits */
} fck_status;

/* Bytes that are still to be read: [p, end). Borrowed, never owned. */
typedef struct fck_reader {
  const uint8_t *p;
  const uint8_t *end;
} fck_reader;

/* data may be NULL when size is 0. */
static inline fck_reader fck_reader_make(const uint8_t *data, size_t size) {
  const fck_reader r = {data, size > 0 ? data + size : data};
  return r;
}

static inline size_t fck_reader_left(const fck_reader *r) { return (size_t)(r->end - r->p); }

/* Takes the next n bytes as a reader of their own. *r is unchanged on error. */
FCK_MUST_CHECK static inline fck_status fck_read_bytes(fck_reader *r, uint64_t n, fck_reader *out) {
  if (n > fck_reader_left(r)) return FCK_E_TRUNCATED;
  *out = fck_reader_make(r->p, (size_t)n);
  r->p = out->end;
  return FCK_OK;
}

/* Bytes that grow. All zero is a valid empty buffer; fck_buf_free gives the memory back. */
typedef struct fck_buf {
  uint8_t *data;
  size_t size;
  size_t capacity;
} fck_buf;

void fck_buf_free(fck_buf *b);

/* Makes room for n more bytes than there is capacity for. On error *b is unchanged. */
FCK_MUST_CHECK fck_status fck_buf_grow(fck_buf *b, size_t n);

/* Makes room for n more bytes; size does not change. On error *b is unchanged. */
FCK_MUST_CHECK static inline fck_status fck_buf_reserve(fck_buf *b, size_t n) {
  return n <= b->capacity - b->size ? FCK_OK : fck_buf_grow(b, n);
}

/* Appends n bytes; data may be NULL when n is 0. On error *b is unchanged. */
FCK_MUST_CHECK static inline fck_status fck_buf_append(fck_buf *b, const uint8_t *data, size_t n) {
  const fck_status status = fck_buf_reserve(b, n);
  if (status != FCK_OK) return status;
  if (n > 0) memcpy(b->data + b->size, data, n);
  b->size += n;
  return FCK_OK;
}

/* Leaves the first `size` bytes. REQUIRES: size <= b->size. */
static inline void fck_buf_truncate(fck_buf *b, size_t size) { b->size = size; }

/* memcmp order over unsigned bytes, the shorter first on a tie: the order of every key. */
int fck_compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size);

#define FCK_TRY(expression)                                \
  do {                                                     \
    const fck_status fck_try_status_ = (expression);       \
    if (fck_try_status_ != FCK_OK) return fck_try_status_; \
  } while (0)

#endif /* FASTCKPT_FCK_H_ */
