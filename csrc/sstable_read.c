/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking tables apart. The grammar is in sstable.h; sstable_build.c writes what this reads.
 */
#include "sstable.h"
#include "wire.h"

static fck_status read_handle(fck_reader *r, fck_handle *out) {
  fck_handle handle;
  FCK_TRY(fck_read_varint64(r, &handle.offset));
  FCK_TRY(fck_read_varint64(r, &handle.size));
  *out = handle;
  return FCK_OK;
}

fck_status fck_footer_decode(const uint8_t *footer, fck_handle *metaindex, fck_handle *index) {
  const size_t handles_size = FCK_FOOTER_SIZE - sizeof(uint64_t);
  fck_reader end = fck_reader_make(footer + handles_size, sizeof(uint64_t));
  uint64_t magic;
  FCK_TRY(fck_read_fixed64(&end, &magic));
  if (magic != FCK_TABLE_MAGIC) return FCK_E_MAGIC;
  fck_reader r = fck_reader_make(footer, handles_size);
  fck_handle first;
  FCK_TRY(read_handle(&r, &first));
  FCK_TRY(read_handle(&r, index));
  *metaindex = first;
  return FCK_OK;
}

fck_status fck_handle_check(fck_handle handle, uint64_t file_size) {
  if (file_size < FCK_TRAILER_SIZE) return FCK_E_HANDLE;
  const uint64_t room = file_size - FCK_TRAILER_SIZE;
  if (handle.offset > room || handle.size > room - handle.offset) return FCK_E_HANDLE;
  return FCK_OK;
}

fck_status fck_block_open(const uint8_t *data, size_t size, fck_block *out) {
  if (size < 4) return FCK_E_TRUNCATED;
  fck_reader tail = fck_reader_make(data + size - 4, 4);
  uint32_t restart_count;
  FCK_TRY(fck_read_fixed32(&tail, &restart_count));
  const size_t room = (size - 4) / 4;
  if (restart_count == 0 || restart_count > room) return FCK_E_RESTART;
  out->data = data;
  out->restart_count = restart_count;
  out->entries_size = size - 4 - 4 * (size_t)restart_count;
  return FCK_OK;
}

/* The offset of restart point i. REQUIRES: i < restart_count. */
static uint32_t restart_offset(const fck_block *block, uint32_t i) {
  const uint8_t *p = block->data + block->entries_size + 4 * (size_t)i;
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

typedef struct entry_parts {
  uint32_t shared;
  fck_reader key_tail;
  fck_reader value;
} entry_parts;

static inline fck_status read_entry(fck_reader *r, entry_parts *out) {
  fck_reader ahead = *r;
  uint32_t shared, unshared, value_size;
  if (fck_reader_left(&ahead) >= 3 && (ahead.p[0] | ahead.p[1] | ahead.p[2]) < 0x80) {
    shared = ahead.p[0]; /* three one-byte varints: most entries of most indexes */
    unshared = ahead.p[1];
    value_size = ahead.p[2];
    ahead.p += 3;
  } else {
    FCK_TRY(fck_read_varint32(&ahead, &shared));
    FCK_TRY(fck_read_varint32(&ahead, &unshared));
    FCK_TRY(fck_read_varint32(&ahead, &value_size));
  }
  FCK_TRY(fck_read_bytes(&ahead, unshared, &out->key_tail));
  FCK_TRY(fck_read_bytes(&ahead, value_size, &out->value));
  out->shared = shared;
  *r = ahead;
  return FCK_OK;
}

void fck_block_iter_begin(fck_block_iter *iter, const fck_block *block) {
  iter->block = block;
  iter->left = fck_reader_make(block->data, block->entries_size);
  iter->key.size = 0;
  iter->value = fck_reader_make(block->data, 0);
}

/* Whether a key is larger than the one before it, given what follows the bytes they share. */
static bool is_larger(const fck_reader *old_tail, const fck_reader *tail) {
  const size_t old_size = fck_reader_left(old_tail);
  const size_t size = fck_reader_left(tail);
  if (old_size > 0 && size > 0 && *old_tail->p != *tail->p) { /* as builders write them */
    return *old_tail->p < *tail->p;
  }
  return fck_compare(old_tail->p, old_size, tail->p, size) < 0;
}

fck_status fck_block_iter_next(fck_block_iter *iter, bool *has_entry) {
  if (fck_reader_left(&iter->left) == 0) {
    *has_entry = false;
    return FCK_OK;
  }
  const bool is_first = iter->left.p == iter->block->data;
  entry_parts parts;
  fck_reader ahead = iter->left;
  FCK_TRY(read_entry(&ahead, &parts));
  if (parts.shared > iter->key.size) return FCK_E_SHARED;
  const fck_reader old_tail = fck_reader_make(
      iter->key.size > 0 ? iter->key.data + parts.shared : NULL, iter->key.size - parts.shared);
  if (!is_first && !is_larger(&old_tail, &parts.key_tail)) return FCK_E_ORDER;
  fck_buf_truncate(&iter->key, parts.shared);
  FCK_TRY(fck_buf_append(&iter->key, parts.key_tail.p, fck_reader_left(&parts.key_tail)));
  iter->value = parts.value;
  iter->left = ahead;
  *has_entry = true;
  return FCK_OK;
}

/* What fck_block_verify carries from entry to entry. */
typedef struct verify_state {
  const uint8_t *entry; /* the one that is being looked at */
  uint32_t next_restart;
  size_t entry_count;
  uint64_t key_bytes;
} verify_state;

/* Checks that the entry at `offset` is a restart point exactly when the array says so. */
static fck_status verify_restart(const fck_block *block, size_t offset, const uint8_t *entry,
                                 verify_state *state) {
  if (state->next_restart == block->restart_count) return FCK_OK;
  const uint32_t restart = restart_offset(block, state->next_restart);
  if (restart < offset) return FCK_E_RESTART; /* between entries, or not increasing */
  if (restart > offset) return offset > 0 ? FCK_OK : FCK_E_RESTART; /* the first must be 0 */
  if (*entry != 0) return FCK_E_RESTART; /* it shares bytes: no search can begin here */
  state->next_restart++;
  return FCK_OK;
}

static fck_status verify_entries(const fck_block *block, fck_block_iter *iter, const fck_key *after,
                                 verify_state *state) {
  const uint64_t limit = (uint64_t)block->entries_size * FCK_MAX_KEY_EXPANSION;
  for (;;) {
    bool has_entry;
    state->entry = iter->left.p;
    FCK_TRY(fck_block_iter_next(iter, &has_entry));
    if (!has_entry) return FCK_OK;
    FCK_TRY(verify_restart(block, (size_t)(state->entry - block->data), state->entry, state));
    if (state->entry_count == 0 && after != NULL &&
        fck_compare(after->data, after->size, iter->key.data, iter->key.size) >= 0) {
      return FCK_E_ORDER;
    }
    state->key_bytes += iter->key.size;
    if (state->key_bytes > limit) return FCK_E_EXPANSION;
    state->entry_count++;
  }
}

fck_status fck_block_verify(const fck_block *block, const fck_key *after, const fck_key *up_to,
                            size_t *entry_count, size_t *error_offset) {
  fck_block_iter iter = {0};
  verify_state state = {block->data, 0, 0, 0};
  fck_block_iter_begin(&iter, block);
  fck_status status = verify_entries(block, &iter, after, &state);
  if (status == FCK_OK && up_to != NULL && state.entry_count > 0 &&
      fck_compare(iter.key.data, iter.key.size, up_to->data, up_to->size) > 0) {
    status = FCK_E_ORDER;
  }
  const bool is_empty = state.entry_count == 0; /* its one restart points at no entry */
  const uint32_t seen = is_empty && restart_offset(block, 0) == 0 ? 1 : state.next_restart;
  if (status == FCK_OK && seen != block->restart_count) status = FCK_E_RESTART;
  if (status == FCK_OK) {
    *entry_count = state.entry_count;
  } else {
    *error_offset = (size_t)(state.entry - block->data);
  }
  fck_buf_free(&iter.key);
  return status;
}

/* How a key compares with the target, given that both begin with the same `*matched` bytes and
 * `tail` is the rest of the key: negative, 0 or positive. *matched grows to all they share. */
static int compare_tail(const fck_reader *tail, const fck_key *target, size_t *matched) {
  const size_t tail_size = fck_reader_left(tail);
  const size_t target_left = target->size - *matched;
  const size_t shorter = tail_size < target_left ? tail_size : target_left;
  const uint8_t *rest = shorter > 0 ? target->data + *matched : NULL;
  size_t same = 0;
  while (same < shorter && tail->p[same] == rest[same]) same++;
  *matched += same;
  if (same < shorter) return tail->p[same] < rest[same] ? -1 : 1;
  return (tail_size > target_left) - (tail_size < target_left);
}

/* Reads the entry at restart point i, which shares nothing. */
static fck_status read_restart(const fck_block *block, uint32_t i, fck_reader *r,
                               entry_parts *out) {
  const uint32_t offset = restart_offset(block, i);
  if (offset > block->entries_size) return FCK_E_RESTART;
  *r = fck_reader_make(block->data + offset, block->entries_size - offset);
  FCK_TRY(read_entry(r, out));
  return out->shared == 0 ? FCK_OK : FCK_E_RESTART;
}

/* Sets *out to the last restart point whose key is not beyond the target, or to the first. */
static fck_status find_restart(const fck_block *block, const fck_key *target, uint32_t *out) {
  uint32_t low = 0;
  uint32_t high = block->restart_count - 1;
  while (low < high) {
    const uint32_t middle = low + (high - low + 1) / 2;
    fck_reader r;
    entry_parts parts;
    FCK_TRY(read_restart(block, middle, &r, &parts));
    size_t matched = 0;
    if (compare_tail(&parts.key_tail, target, &matched) <= 0) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  *out = low;
  return FCK_OK;
}

fck_status fck_block_find(const fck_block *block, const uint8_t *key, size_t key_size, bool *found,
                          fck_reader *value) {
  if (block->entries_size == 0) {
    *found = false;
    return FCK_OK;
  }
  const fck_key target = {key, key_size};
  uint32_t restart;
  FCK_TRY(find_restart(block, &target, &restart));
  fck_reader r;
  entry_parts parts;
  FCK_TRY(read_restart(block, restart, &r, &parts));
  /* Invariant: the key before this entry is smaller than the target and has exactly its first
   * `matched` bytes. So an entry that shares more than those differs where its predecessor did,
   * and is still smaller. Any other has the target's first `shared` bytes. */
  size_t matched = 0;
  for (;;) {
    if (parts.shared <= matched) {
      matched = parts.shared;
      const int order = compare_tail(&parts.key_tail, &target, &matched);
      if (order > 0) break;
      if (order == 0) {
        *found = true;
        *value = parts.value;
        return FCK_OK;
      }
    }
    if (fck_reader_left(&r) == 0) break;
    FCK_TRY(read_entry(&r, &parts));
  }
  *found = false;
  return FCK_OK;
}

/* `*end` is where the blocks before this one end: they lie one behind the other, so that reading
 * all of them is reading the file once. */
static fck_status append_index_entry(const fck_block_iter *iter, uint64_t file_size, uint64_t *end,
                                     fck_index *out) {
  fck_reader value = iter->value; /* bytes after the handle are allowed */
  fck_index_entry entry = {out->keys.size, iter->key.size, {0, 0}};
  FCK_TRY(read_handle(&value, &entry.block));
  FCK_TRY(fck_handle_check(entry.block, file_size));
  if (entry.block.offset < *end) return FCK_E_HANDLE;
  *end = entry.block.offset + entry.block.size + FCK_TRAILER_SIZE;
  FCK_TRY(fck_buf_append(&out->keys, iter->key.data, iter->key.size));
  FCK_TRY(fck_buf_append(&out->entries, (const uint8_t *)&entry, sizeof entry));
  out->count++;
  return FCK_OK;
}

fck_status fck_index_load(const fck_block *block, uint64_t file_size, fck_index *out) {
  fck_block_iter iter = {0};
  bool has_entry = true;
  uint64_t end = 0;
  fck_status status = FCK_OK;
  fck_block_iter_begin(&iter, block);
  while (status == FCK_OK && has_entry) {
    status = fck_block_iter_next(&iter, &has_entry);
    if (status == FCK_OK && has_entry) status = append_index_entry(&iter, file_size, &end, out);
  }
  fck_buf_free(&iter.key);
  return status;
}

void fck_index_free(fck_index *index) {
  fck_buf_free(&index->keys);
  fck_buf_free(&index->entries);
  index->count = 0;
}

const fck_index_entry *fck_index_get(const fck_index *index, size_t i) {
  return (const fck_index_entry *)(const void *)index->entries.data + i;
}

fck_key fck_index_key(const fck_index *index, size_t i) {
  const fck_index_entry *entry = fck_index_get(index, i);
  const fck_key key = {entry->key_size > 0 ? index->keys.data + entry->key_offset : NULL,
                       entry->key_size};
  return key;
}

size_t fck_index_find(const fck_index *index, const uint8_t *key, size_t key_size) {
  size_t low = 0;
  size_t high = index->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const fck_key separator = fck_index_key(index, middle);
    if (fck_compare(separator.data, separator.size, key, key_size) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
