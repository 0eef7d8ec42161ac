/* Stands between a process and the C library's file-system calls (LD_PRELOAD), and lets one of
 * them go wrong: the process is killed, the call fails, or it does half of its work.
 *
 * Only calls on paths under one folder count, only of the classes that are asked for, and only
 * after faults_arm(); a process that forks and arms in the child tries one fault for each fork.
 * Nothing is kept about descriptors: their paths are those that /proc has.
 *
 * With a log, each call that went well is a record, and data that was written is in it:
 *   name TAB inode TAB offset TAB length TAB path TAB second path LF, then `length` bytes.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CHANGE = 1, KEEP = 2, READ = 4 };               /* classes of calls */
enum { NOTHING, KILL_BEFORE, KILL_AFTER, FAIL, HALF }; /* what becomes of the one */

static struct {
  char root[PATH_MAX];
  size_t length;
  int classes, action, code, log;
  long at;
} plan = {.log = -1};
static atomic_bool armed;
static atomic_long count;
static __thread int is_due; /* this thread is to be killed after its call */
static __thread int inside; /* the calls that this file makes itself do not count */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER; /* records of threads stay whole */
static char struck[64];                                  /* the name of the call that went wrong */

/* Counts from here on. The call number `at`, from 0, meets `action`. */
void faults_arm(const char *root, int classes, long at, int action, int code, int log) {
  snprintf(plan.root, sizeof plan.root, "%s", root);
  plan.length = strlen(plan.root);
  plan.classes = classes, plan.at = at, plan.action = action, plan.code = code, plan.log = log;
  struck[0] = 0;
  atomic_store(&count, 0);
  atomic_store(&armed, 1);
}

/* Ends it, and returns how many calls there were. */
long faults_disarm(void) {
  atomic_store(&armed, 0);
  return atomic_load(&count);
}

const char *faults_struck(void) { return struck; }

static int is_under(const char *path) {
  return !strncmp(path, plan.root, plan.length) && (path[plan.length] == '/' || !path[plan.length]);
}

static void path_of(int fd, char *out) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, out, PATH_MAX - 1);
  out[size > 0 ? size : 0] = 0;
}

/* Writes the absolute path that a call means, and returns whether it is one of ours. */
static int resolve(int folder, const char *path, char *out) {
  if (!atomic_load(&armed) || inside) return 0;
  int kept = errno;
  out[0] = 0;
  if (path && path[0] == '/') {
    snprintf(out, PATH_MAX, "%s", path);
  } else if (folder == AT_FDCWD) {
    if (getcwd(out, PATH_MAX / 2) && path) strcat(strcat(out, "/"), path);
  } else {
    path_of(folder, out);
    if (path && out[0]) strncat(strcat(out, "/"), path, PATH_MAX - strlen(out) - 2);
  }
  errno = kept;
  return is_under(out);
}

enum verdict { PASS, FAILED, HALVED };

/* Counts a call; kills, or says what is to become of it. `is_data` can be halved. */
static enum verdict meet(int class, const char *name, int is_data) {
  if (!(plan.classes & class)) return PASS;
  if (atomic_fetch_add(&count, 1) != plan.at) return PASS;
  is_due = plan.action == KILL_AFTER;
  snprintf(struck, sizeof struck, "%s", name);
  if (plan.action == KILL_BEFORE) kill(getpid(), SIGKILL);
  if (plan.action == HALF) return is_data ? HALVED : PASS;
  if (plan.action != FAIL) return PASS;
  errno = plan.code;
  return FAILED;
}

static void die_if_due(int class) {
  if (is_due && (plan.classes & class)) kill(getpid(), SIGKILL);
}

static void put(const void *data, size_t size) {
  if (write(plan.log, data, size) != (ssize_t)size) abort();
}

/* Appends a record; what was written is read back from the file itself. */
static void note(const char *name, int fd, const char *path, const char *second, off_t offset,
                 size_t length) {
  if (plan.log < 0) return;
  int kept = errno;
  inside = 1;
  pthread_mutex_lock(&turn);
  struct stat status = {0};
  if (fd >= 0)
    fstat(fd, &status);
  else
    lstat(second[0] ? second : path, &status);
  char line[3 * PATH_MAX], again[64];
  int size = snprintf(line, sizeof line, "%s\t%lu\t%ld\t%zu\t%s\t%s\n", name,
                      (unsigned long)status.st_ino, (long)offset, length, path, second);
  put(line, (size_t)size);
  if (length) {
    snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
    int copy = open(again, O_RDONLY | O_CLOEXEC);
    char *data = malloc(length);
    if (!data || pread(copy, data, length, offset) != (ssize_t)length) abort();
    put(data, length);
    free(data);
    close(copy);
  }
  pthread_mutex_unlock(&turn);
  inside = 0;
  errno = kept;
}

#define REAL(type, name, ...)       \
  static type (*real)(__VA_ARGS__); \
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name)

/* A call on paths: `where` finds one, or two. */
#define ON_PATH(type, bad, name, class, params, args, where, second) \
  type name params {                                                 \
    static type(*real) params;                                       \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);            \
    char path[PATH_MAX] = "", other[PATH_MAX] = "";                  \
    (void)other;                                                     \
    if (!(where)) return real args;                                  \
    (void)(second);                                                  \
    if (meet(class, #name, 0) == FAILED) return bad;                 \
    type result = real args;                                         \
    if (result != bad) note(#name, -1, path, other, 0, 0);           \
    die_if_due(class);                                               \
    return result;                                                   \
  }

#define AT(fd, name) resolve(fd, name, path)
#define TO(fd, name) resolve(fd, name, other)
#define HERE(name) AT(AT_FDCWD, name)

ON_PATH(int, -1, rename, CHANGE, (const char *a, const char *b), (a, b), HERE(a), TO(AT_FDCWD, b))
ON_PATH(int, -1, renameat, CHANGE, (int d, const char *a, int e, const char *b), (d, a, e, b),
        AT(d, a), TO(e, b))
ON_PATH(int, -1, renameat2, CHANGE, (int d, const char *a, int e, const char *b, unsigned f),
        (d, a, e, b, f), AT(d, a), TO(e, b))
ON_PATH(int, -1, link, CHANGE, (const char *a, const char *b), (a, b), HERE(a), TO(AT_FDCWD, b))
ON_PATH(int, -1, linkat, CHANGE, (int d, const char *a, int e, const char *b, int f),
        (d, a, e, b, f), AT(d, a), TO(e, b))
ON_PATH(int, -1, symlink, CHANGE, (const char *a, const char *b), (a, b), HERE(b), 0)
ON_PATH(int, -1, unlink, CHANGE, (const char *a), (a), HERE(a), 0)
ON_PATH(int, -1, unlinkat, CHANGE, (int d, const char *a, int f), (d, a, f), AT(d, a), 0)
ON_PATH(int, -1, mkdir, CHANGE, (const char *a, mode_t m), (a, m), HERE(a), 0)
ON_PATH(int, -1, mkdirat, CHANGE, (int d, const char *a, mode_t m), (d, a, m), AT(d, a), 0)
ON_PATH(int, -1, rmdir, CHANGE, (const char *a), (a), HERE(a), 0)
ON_PATH(int, -1, truncate, CHANGE, (const char *a, off_t n), (a, n), HERE(a), 0)
ON_PATH(int, -1, truncate64, CHANGE, (const char *a, off64_t n), (a, n), HERE(a), 0)
ON_PATH(int, -1, chmod, KEEP, (const char *a, mode_t m), (a, m), HERE(a), 0)
ON_PATH(int, -1, fchmodat, KEEP, (int d, const char *a, mode_t m, int f), (d, a, m, f), AT(d, a), 0)
ON_PATH(int, -1, utimensat, KEEP, (int d, const char *a, const struct timespec t[2], int f),
        (d, a, t, f), AT(d, a), 0)
ON_PATH(DIR *, NULL, opendir, READ, (const char *a), (a), HERE(a), 0)

/* Opening changes something only if it makes a file or cuts it short. */
#define OPEN(name, params, folder, real_args)                                 \
  int name params {                                                           \
    static int (*real)(REAL_##name);                                          \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                     \
    va_list rest;                                                             \
    va_start(rest, flags);                                                    \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                             \
    char path[PATH_MAX] = "";                                                 \
    if (!resolve(folder, file, path)) return real real_args;                  \
    int is_new = (flags & O_CREAT) && access(path, F_OK);                     \
    int class = is_new || (flags & O_TRUNC)       ? CHANGE                    \
                : (flags & O_ACCMODE) == O_RDONLY ? READ                      \
                                                  : KEEP;                     \
    if (meet(class, #name, 0) == FAILED) return -1;                           \
    int result = real real_args;                                              \
    if (result >= 0 && class == CHANGE)                                       \
      note(is_new ? "create" : "ftruncate", result, path, "", 0, 0);          \
    die_if_due(class);                                                        \
    return result;                                                            \
  }

#define REAL_open const char *, int, ...
#define REAL_open64 const char *, int, ...
#define REAL_openat int, const char *, int, ...
#define REAL_openat64 int, const char *, int, ...
OPEN(open, (const char *file, int flags, ...), AT_FDCWD, (file, flags, mode))
OPEN(open64, (const char *file, int flags, ...), AT_FDCWD, (file, flags, mode))
OPEN(openat, (int at, const char *file, int flags, ...), at, (at, file, flags, mode))
OPEN(openat64, (int at, const char *file, int flags, ...), at, (at, file, flags, mode))

/* A call on a descriptor. `length` is the variable to halve, `offset` where the data went. */
#define ON_FD(type, name, class, params, args, length, offset, told)                           \
  type name params {                                                                           \
    static type(*real) params;                                                                 \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                      \
    char path[PATH_MAX] = "";                                                                  \
    if (!resolve(fd, NULL, path)) return real args;                                            \
    enum verdict verdict = meet(class, #name, sizeof(length) > 1);                             \
    if (verdict == FAILED) return -1;                                                          \
    if (verdict == HALVED) length = (length + 1) / 2;                                          \
    type result = real args;                                                                   \
    if (result >= 0 && class != READ) note(told, fd, path, "", offset, WRITTEN(told, result)); \
    die_if_due(class);                                                                         \
    return result;                                                                             \
  }

#define WRITTEN(told, result) (!strcmp(told, "data") ? (size_t)(result) : 0)
#define MOVED (lseek(fd, 0, SEEK_CUR) - result)
static char whole; /* what cannot be halved */

ON_FD(ssize_t, write, CHANGE, (int fd, const void *p, size_t n), (fd, p, n), n, MOVED, "data")
ON_FD(ssize_t, pwrite, CHANGE, (int fd, const void *p, size_t n, off_t o), (fd, p, n, o), n, o,
      "data")
ON_FD(ssize_t, pwrite64, CHANGE, (int fd, const void *p, size_t n, off64_t o), (fd, p, n, o), n, o,
      "data")
ON_FD(ssize_t, writev, CHANGE, (int fd, const struct iovec *v, int n), (fd, v, n), n, MOVED, "data")
ON_FD(ssize_t, pwritev, CHANGE, (int fd, const struct iovec *v, int n, off_t o), (fd, v, n, o), n,
      o, "data")
ON_FD(ssize_t, pwritev64v2, CHANGE, (int fd, const struct iovec *v, int n, off64_t o, int f),
      (fd, v, n, o, f), n, o, "data")
ON_FD(ssize_t, sendfile, CHANGE, (int fd, int from, off_t *o, size_t n), (fd, from, o, n), n, MOVED,
      "data")
ON_FD(ssize_t, sendfile64, CHANGE, (int fd, int from, off64_t *o, size_t n), (fd, from, o, n), n,
      MOVED, "data")
ON_FD(int, ftruncate, CHANGE, (int fd, off_t n), (fd, n), whole, n, "ftruncate")
ON_FD(int, ftruncate64, CHANGE, (int fd, off64_t n), (fd, n), whole, n, "ftruncate")
ON_FD(int, flock, KEEP, (int fd, int how), (fd, how), whole, 0, "flock")
ON_FD(int, fchmod, KEEP, (int fd, mode_t m), (fd, m), whole, 0, "fchmod")
ON_FD(int, futimens, KEEP, (int fd, const struct timespec t[2]), (fd, t), whole, 0, "futimens")
ON_FD(ssize_t, read, READ, (int fd, void *p, size_t n), (fd, p, n), n, 0, "read")
ON_FD(ssize_t, pread, READ, (int fd, void *p, size_t n, off_t o), (fd, p, n, o), n, 0, "read")
ON_FD(ssize_t, pread64, READ, (int fd, void *p, size_t n, off64_t o), (fd, p, n, o), n, 0, "read")
ON_FD(int, fstat, READ, (int fd, struct stat *s), (fd, s), whole, 0, "fstat")
ON_FD(int, fstat64, READ, (int fd, struct stat64 *s), (fd, s), whole, 0, "fstat")

/* A read into one buffer, as os.preadv makes it, is halved in the buffer. */
ssize_t preadv64v2(int fd, const struct iovec *parts, int number, off64_t offset, int flags) {
  REAL(ssize_t, preadv64v2, int, const struct iovec *, int, off64_t, int);
  char path[PATH_MAX] = "";
  if (!resolve(fd, NULL, path)) return real(fd, parts, number, offset, flags);
  enum verdict verdict = meet(READ, "preadv64v2", 1);
  if (verdict == FAILED) return -1;
  struct iovec half = parts[0];
  half.iov_len = (half.iov_len + 1) / 2;
  return verdict == HALVED ? real(fd, &half, 1, offset, flags)
                           : real(fd, parts, number, offset, flags);
}

/* What fcopyfile of other systems is: copy_file_range, and a clone through an ioctl. */
ssize_t copy_file_range(int from, off64_t *at, int fd, off64_t *to, size_t length, unsigned flags) {
  REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
  char path[PATH_MAX] = "";
  if (!resolve(fd, NULL, path)) return real(from, at, fd, to, length, flags);
  enum verdict verdict = meet(CHANGE, "copy_file_range", 1);
  if (verdict == FAILED) return -1;
  if (verdict == HALVED) length = (length + 1) / 2;
  ssize_t result = real(from, at, fd, to, length, flags);
  if (result > 0)
    note("data", fd, path, "", (to ? *to : lseek(fd, 0, SEEK_CUR)) - result, (size_t)result);
  die_if_due(CHANGE);
  return result;
}

int ioctl(int fd, unsigned long request, ...) {
  REAL(int, ioctl, int, unsigned long, ...);
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  char path[PATH_MAX] = "";
  int is_clone = request == 0x40049409UL && resolve(fd, NULL, path);
  if (is_clone && meet(CHANGE, "ioctl", 0) == FAILED) return -1;
  int result = real(fd, request, argument);
  struct stat status;
  if (is_clone && result == 0 && fstat(fd, &status) == 0)
    note("data", fd, path, "", 0, (size_t)status.st_size);
  if (is_clone) die_if_due(CHANGE);
  return result;
}

void *mmap64(void *address, size_t length, int access, int flags, int fd, off64_t offset) {
  REAL(void *, mmap64, void *, size_t, int, int, int, off64_t);
  char path[PATH_MAX] = "";
  if (fd >= 0 && resolve(fd, NULL, path) && meet(READ, "mmap64", 0) == FAILED) return MAP_FAILED;
  return real(address, length, access, flags, fd, offset);
}

/* A close that fails has closed, as on Linux; only of what was written does it fail. */
int close(int fd) {
  REAL(int, close, int);
  char path[PATH_MAX] = "";
  if (!resolve(fd, NULL, path)) return real(fd);
  int is_written = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
  enum verdict verdict = meet(KEEP, "close", 0);
  if (!is_written) verdict = PASS;
  int code = errno, result = real(fd);
  die_if_due(KEEP);
  if (verdict == FAILED) return errno = code, -1;
  return result;
}

/* The machine's disk is not waited for: who is killed loses nothing that the system has, and what a
 * power loss would take is reckoned from the log. */
#define SYNC(name)                                        \
  int name(int fd) {                                      \
    static int (*real)(int);                              \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name); \
    char path[PATH_MAX] = "";                             \
    if (!resolve(fd, NULL, path)) return real(fd);        \
    if (meet(KEEP, #name, 0) == FAILED) return -1;        \
    note("fsync", fd, path, "", 0, 0);                    \
    die_if_due(KEEP);                                     \
    return 0;                                             \
  }

SYNC(fsync)
SYNC(fdatasync)

void sync(void) {
  REAL(void, sync, void);
  if (!atomic_load(&armed) || inside) return real();
  meet(KEEP, "sync", 0);
  note("sync", -1, plan.root, "", 0, 0);
  die_if_due(KEEP);
}
