/* SPDX-License-Identifier: Apache-2.0
 *
 * Drives a fuzz target where there is no libFuzzer:
 *
 *   fuzz_index [-runs=N] [-seed=N] [-max_total_time=S] [-artifact_prefix=P] FILE...
 *
 * runs it on every file, then N times on one of them with some mutations. Run i depends on the
 * seed and i only. An input that makes the target abort is saved as <P>crash-<run>; given as
 * FILE it is run again. Ends with the line "N passed, N failed".
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { kMaxMutations = 6, kMaxChunk = 32 };

typedef struct input {
  uint8_t *data;
  size_t size;
} input;

typedef struct options {
  unsigned long long runs;
  unsigned long long seed;
  unsigned long long seconds;
  const char *artifact_prefix;
} options;

/* For the handler of SIGABRT: what the target was running on. */
static input g_current;
static unsigned long long g_run;
static const char *g_artifact_prefix = "";

static void save_current(int signal_number) {
  char path[1024];
  (void)signal_number;
  snprintf(path, sizeof path, "%scrash-%llu", g_artifact_prefix, g_run);
  FILE *file = fopen(path, "wb");
  if (file == NULL) return;
  fwrite(g_current.data, 1, g_current.size, file);
  fclose(file);
  fprintf(stderr, "the input of run %llu (%zu bytes) is %s\n", g_run, g_current.size, path);
}

static void *allocate(size_t size) {
  void *memory = malloc(size > 0 ? size : 1);
  if (memory == NULL) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  return memory;
}

static input read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    perror(path);
    exit(1);
  }
  const long size = ftell(file);
  input in = {allocate((size_t)size), (size_t)size};
  rewind(file);
  if (fread(in.data, 1, in.size, file) != in.size) {
    perror(path);
    exit(1);
  }
  fclose(file);
  return in;
}

/* Runs the target on a copy of exactly the input's size, so that a read of one more is seen. */
static void run(const uint8_t *data, size_t size) {
  uint8_t *const memory = allocate(size);
  g_current = (input){size > 0 ? memory : memory + 1, size};
  if (size > 0) memcpy(g_current.data, data, size);
  LLVMFuzzerTestOneInput(g_current.data, size);
  free(memory);
}

/* ---- Mutations of in.data[0..in.size), within a capacity ---- */

static void change_bytes(input *in, uint64_t *random) {
  static const uint8_t kValues[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x08, 0x0a, 0x12};
  const size_t at = random_below(random, in->size);
  switch (random_below(random, 4)) {
    case 0:
      in->data[at] ^= (uint8_t)(1 << random_below(random, 8));
      return;
    case 1:
      in->data[at] = (uint8_t)(in->data[at] + random_below(random, 9) - 4);
      return;
    case 2:
      in->data[at] = kValues[random_below(random, sizeof kValues)];
      return;
    default:
      for (size_t i = at; i < in->size && i < at + 1 + random_below(random, 10); i++) {
        in->data[i] = random_below(random, 2) > 0 ? 0xff : 0x80; /* a varint gets longer */
      }
  }
}

/* Bytes from anywhere in `from` over, or in front of, bytes of the input. */
static void copy_bytes(input *in, size_t capacity, const input *from, bool is_insertion,
                       uint64_t *random) {
  if (from->size == 0) return;
  const size_t source = random_below(random, from->size);
  const size_t at = random_below(random, in->size);
  size_t count = 1 + random_below(random, kMaxChunk);
  if (count > from->size - source) count = from->size - source;
  if (is_insertion) {
    if (count > capacity - in->size) return;
    memmove(in->data + at + count, in->data + at, in->size - at);
    in->size += count;
  } else if (count > in->size - at) {
    count = in->size - at;
  }
  memcpy(in->data + at, from->data + source, count);
}

static void remove_bytes(input *in, uint64_t *random) {
  const size_t at = random_below(random, in->size);
  size_t count = 1 + random_below(random, kMaxChunk);
  if (count > in->size - at) count = in->size - at;
  memmove(in->data + at, in->data + at + count, in->size - at - count);
  in->size -= count;
}

static void mutate(input *in, size_t capacity, const input *other, uint64_t *random) {
  if (in->size == 0) return;
  const size_t choice = random_below(random, 16);
  if (choice < 11) {
    change_bytes(in, random);
  } else if (choice < 14) {
    copy_bytes(in, capacity, other, choice == 13, random);
  } else {
    remove_bytes(in, random);
  }
}

static void run_mutated(const input *corpus, size_t count, uint64_t seed) {
  uint64_t random = seed;
  const input *original = &corpus[random_below(&random, count)];
  const input *other = &corpus[random_below(&random, count)];
  const size_t capacity = original->size + kMaxMutations * kMaxChunk;
  input in = {allocate(capacity), original->size};
  memcpy(in.data, original->data, original->size);
  const size_t mutations = 1 + random_below(&random, kMaxMutations);
  for (size_t i = 0; i < mutations; i++) mutate(&in, capacity, other, &random);
  run(in.data, in.size);
  free(in.data);
}

static bool read_option(const char *argument, const char *name, unsigned long long *out) {
  const size_t size = strlen(name);
  if (strncmp(argument, name, size) != 0) return false;
  *out = strtoull(argument + size, NULL, 10);
  return true;
}

static void read_any_option(const char *argument, options *out) {
  static const char kPrefix[] = "-artifact_prefix=";
  if (read_option(argument, "-runs=", &out->runs)) return;
  if (read_option(argument, "-seed=", &out->seed)) return;
  if (read_option(argument, "-max_total_time=", &out->seconds)) return;
  if (strncmp(argument, kPrefix, sizeof kPrefix - 1) == 0) {
    out->artifact_prefix = argument + sizeof kPrefix - 1;
    return;
  }
  fprintf(stderr, "unknown option %s\n", argument);
  exit(2);
}

int main(int argc, char **argv) {
  options chosen = {0, 1, 3600, ""};
  input *const corpus = allocate((size_t)argc * sizeof *corpus);
  size_t count = 0;
  for (int i = 1; i < argc; i++) {
    if (argv[i][0] == '-') {
      read_any_option(argv[i], &chosen);
    } else {
      corpus[count++] = read_file(argv[i]);
    }
  }
  if (count == 0) {
    fprintf(stderr, "no corpus\n");
    free(corpus);
    return 2;
  }
  g_artifact_prefix = chosen.artifact_prefix;
  signal(SIGABRT, save_current);
  for (size_t i = 0; i < count; i++) run(corpus[i].data, corpus[i].size);
  const time_t start = time(NULL);
  while (g_run < chosen.runs && difftime(time(NULL), start) < (double)chosen.seconds) {
    g_run++;
    run_mutated(corpus, count, chosen.seed * UINT64_C(0x2545f4914f6cdd1d) + g_run);
  }
  printf("%zu inputs, %llu mutations, seed %llu\n", count, g_run, chosen.seed);
  for (size_t i = 0; i < count; i++) free(corpus[i].data);
  free(corpus);
  printf("1 passed, 0 failed\n");
  return 0;
}
