/* SPDX-License-Identifier: Apache-2.0
 *
 * How libFuzzer changes tables: most often one block, after which the handles, the checksums and
 * the footer are made right again. Bytes that are no table are changed as any bytes are.
 */
#include "fuzz.h"
#include "sstable.h"
#include "support.h"
#include "wire.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

enum { kSpare = 64 /* bytes that a block may grow by */ };

typedef struct source {
  const uint8_t *data;
  size_t size;
  fck_block index_block;
  fck_index index;
} source;

static fck_status open_source(source *s) {
  fck_handle metaindex, handle;
  size_t count = 0, error_offset = 0;
  if (s->size < FCK_FOOTER_SIZE) return FCK_E_TRUNCATED;
  FCK_TRY(fck_footer_decode(s->data + s->size - FCK_FOOTER_SIZE, &metaindex, &handle));
  FCK_TRY(fck_handle_check(handle, s->size));
  FCK_TRY(fck_block_open(s->data + handle.offset, (size_t)handle.size, &s->index_block));
  FCK_TRY(fck_block_verify(&s->index_block, NULL, NULL, &count, &error_offset));
  return fck_index_load(&s->index_block, s->size, &s->index);
}

/* Appends a block with `trailer_type`, changed if is_changed, and sets *handle. */
static fck_status append_block(fck_buf *out, const uint8_t *data, size_t size, uint8_t trailer_type,
                               bool is_changed, fck_handle *handle) {
  FCK_TRY(fck_buf_reserve(out, size + kSpare));
  uint8_t *const block = out->data + out->size;
  if (size > 0) memcpy(block, data, size);
  if (is_changed) size = LLVMFuzzerMutate(block, size, size + kSpare);
  *handle = (fck_handle){out->size, size};
  out->size += size;
  FCK_TRY(fck_buf_append(out, &trailer_type, 1));
  const uint32_t crc = crc32c_extend(0, out->data + handle->offset, size + 1);
  return fck_append_fixed32(out, crc32c_mask(crc));
}

/* Appends the data blocks, of which number `changed` is changed, and their index entries. */
static fck_status append_data(const source *s, size_t changed, fck_buf *out,
                              fck_block_builder *index) {
  fck_buf value = {0};
  fck_status status = FCK_OK;
  for (size_t i = 0; i < s->index.count && status == FCK_OK; i++) {
    const fck_handle old = fck_index_get(&s->index, i)->block;
    const fck_key key = fck_index_key(&s->index, i);
    const uint8_t *const data = s->data + old.offset;
    fck_handle handle;
    value.size = 0;
    status = append_block(out, data, (size_t)old.size, data[old.size], i == changed, &handle);
    if (status == FCK_OK) status = fck_handle_append(&value, handle);
    if (status == FCK_OK) {
      status = fck_block_builder_add(index, key.data, key.size, value.data, value.size);
    }
  }
  fck_buf_free(&value);
  return status;
}

static fck_status rebuild(const source *s, size_t changed, fck_buf *out, fck_block_builder *index) {
  fck_handle handle;
  FCK_TRY(fck_block_builder_init(index, 1));
  FCK_TRY(append_data(s, changed, out, index));
  FCK_TRY(fck_block_builder_finish(index));
  FCK_TRY(
      append_block(out, index->data.data, index->data.size, 0, changed == s->index.count, &handle));
  return fck_footer_append(out, handle, handle);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
  uint64_t random = seed;
  source s = {data, size, {0}, {{0}, {0}, 0}};
  fck_buf out = {0};
  fck_block_builder index = {0};
  allocator_reset();
  bool is_made = random_below(&random, 8) > 0 && open_source(&s) == FCK_OK &&
                 rebuild(&s, random_below(&random, s.index.count + 1), &out, &index) == FCK_OK &&
                 out.size <= max_size;
  if (is_made) memcpy(data, out.data, out.size);
  const size_t new_size = is_made ? out.size : LLVMFuzzerMutate(data, size, max_size);
  fck_index_free(&s.index);
  fck_block_builder_free(&index);
  fck_buf_free(&out);
  return new_size;
}
