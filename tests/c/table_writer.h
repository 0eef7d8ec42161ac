/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole tables, put together from csrc/'s parts by the rules of docs/format.md, "Table
 * container", so that they can be compared with the files that TensorFlow writes. In the library
 * fastckpt/format/_table.pyx does this.
 */
#ifndef FASTCKPT_TESTS_TABLE_WRITER_H_
#define FASTCKPT_TESTS_TABLE_WRITER_H_

#include "sstable.h"
#include "test.h"

typedef struct table_writer {
  fck_block_builder data;
  fck_block_builder index;
  fck_buf file;
  fck_handle pending; /* the block that waits for its index key */
  bool is_pending;
  bool is_empty;
} table_writer;

void table_begin(table_writer *w);
void table_add(table_writer *w, bytes key, bytes value);

/* The table's bytes; w needs nothing more. */
bytes table_finish(table_writer *w);

#endif /* FASTCKPT_TESTS_TABLE_WRITER_H_ */
