/* A disk that fails when it is told to, put in front of the C library with LD_PRELOAD.
 *
 * Everything that changes a file below DISK_ROOT is one step: a write, a truncation, a sync, a
 * name made, removed or changed. Each step is written to the tape (DISK_TAPE) before it is done,
 * with its bytes, so that a test can work out what a power cut after any step leaves behind. The
 * step that disk_arm names is not done, or done by half, or fails, or kills the process.
 *
 * SQLite's -shm file is not on the tape: it is rebuilt by whoever opens the database first.
 *
 * Tape: records of little-endian u8 kind, u32 file, u64 offset, u32 length, then length bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KILL_BEFORE = 1, KILL_AFTER = 2, KILL_HALF = 3, FAIL_EIO = 4, FAIL_ENOSPC = 5 };
enum { FILES = 4096, DIRECTORY = 0xfffffffe };

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static char root[4096];
static int tape = -1;
static long steps, arm_at = -1, arm_count;
static int arm_what;
static char arm_kind;         /* only steps of this kind count; 0: all */
static uint32_t file_of[FILES]; /* by descriptor; 0: not ours */
static uint32_t files;

#define REAL(name, type)         \
  static __typeof__(type) *real; \
  if (!real) real = (__typeof__(type) *)dlsym(RTLD_NEXT, name)

static ssize_t real_write(int fd, const void *bytes, size_t size) {
  REAL("write", ssize_t(int, const void *, size_t));
  return real(fd, bytes, size);
}

static void record(char kind, uint32_t file, uint64_t offset, const void *bytes, uint32_t size) {
  if (tape < 0) return;
  unsigned char head[17];
  head[0] = (unsigned char)kind;
  memcpy(head + 1, &file, 4);
  memcpy(head + 5, &offset, 8);
  memcpy(head + 13, &size, 4);
  struct iovec parts[2] = {{head, sizeof head}, {(void *)bytes, size}};
  if (writev(tape, parts, size ? 2 : 1) < 0) abort();
}

/* For the test: begin with this folder and tape; forget what was armed. */
void disk_begin(const char *folder, const char *to) {
  REAL("open64", int(const char *, int, ...));
  snprintf(root, sizeof root, "%s", folder);
  tape = real(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  steps = 0;
  arm_at = -1;
}
void disk_arm(long at, int what, long count, char kind) {
  pthread_mutex_lock(&one);
  steps = 0, arm_at = at, arm_what = what, arm_count = count, arm_kind = kind;
  pthread_mutex_unlock(&one);
}
long disk_steps(void) { return steps; }
void disk_mark(const char *text) {
  pthread_mutex_lock(&one);
  record('M', 0, 0, text, (uint32_t)strlen(text));
  pthread_mutex_unlock(&one);
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* Inside the lock. Which fault this step meets, 0 for none. */
static int fault(char kind) {
  if (arm_kind && arm_kind != kind) return 0;
  long at = steps++;
  if (arm_at < 0 || at < arm_at || at >= arm_at + arm_count) return 0;
  if (arm_what == KILL_BEFORE) die();
  return arm_what;
}

static int fails(int what) {
  if (what == FAIL_EIO) errno = EIO;
  else if (what == FAIL_ENOSPC) errno = ENOSPC;
  else return 0;
  return 1;
}

static int ours(const char *path) {
  size_t size = strlen(root), length = strlen(path);
  if (!size || strncmp(path, root, size) || (path[size] && path[size] != '/')) return 0;
  return length < 4 || strcmp(path + length - 4, "-shm");
}

static void opened(int fd, const char *path, int flags, int is_new) {
  if (fd < 0 || fd >= FILES) return;
  struct stat found;
  file_of[fd] = 0;
  if (!ours(path) || fstat(fd, &found)) return;
  if (S_ISDIR(found.st_mode)) {
    file_of[fd] = DIRECTORY;
    return;
  }
  file_of[fd] = ++files;
  record(is_new ? 'N' : 'O', files, 0, path, (uint32_t)strlen(path));
  if (flags & O_TRUNC) record('T', files, 0, NULL, 0);
}

#define OPEN(name)                                                       \
  int name(const char *path, int flags, ...) {                           \
    REAL(#name, int(const char *, int, ...));                        \
    va_list rest;                                                        \
    va_start(rest, flags);                                               \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                        \
    if (!ours(path)) {                                                   \
      int other = real(path, flags, mode);                               \
      if (other >= 0 && other < FILES) file_of[other] = 0;               \
      return other;                                                      \
    }                                                                    \
    pthread_mutex_lock(&one);                                            \
    int is_new = (flags & O_CREAT) && access(path, F_OK);                \
    int what = is_new ? fault('N') : 0;                                  \
    int fd = fails(what) ? -1 : real(path, flags, mode);                 \
    opened(fd, path, flags, is_new);                                     \
    if (what == KILL_AFTER || what == KILL_HALF) die();                  \
    pthread_mutex_unlock(&one);                                          \
    return fd;                                                           \
  }
OPEN(open)
OPEN(open64)

int close(int fd) {
  REAL("close", int(int));
  if (fd >= 0 && fd < FILES) file_of[fd] = 0;
  return real(fd);
}

static ssize_t put(int fd, const void *bytes, size_t size, int64_t at) {
  REAL("pwrite64", ssize_t(int, const void *, size_t, off64_t));
  int64_t offset = at >= 0 ? at : lseek64(fd, 0, SEEK_CUR);
  int what = fault('W');
  if (fails(what)) return -1;
  size_t part = what == KILL_HALF ? size / 2 : size;
  record('W', file_of[fd], (uint64_t)offset, bytes, (uint32_t)part);
  ssize_t done = at >= 0 ? real(fd, bytes, part, at) : real_write(fd, bytes, part);
  if (what) die();
  return done;
}

#define PWRITE(name, offset)                                               \
  ssize_t name(int fd, const void *bytes, size_t size, offset at) {        \
    REAL(#name, ssize_t(int, const void *, size_t, offset));           \
    if (fd < 0 || fd >= FILES || !file_of[fd]) return real(fd, bytes, size, at); \
    pthread_mutex_lock(&one);                                              \
    ssize_t done = put(fd, bytes, size, at);                               \
    pthread_mutex_unlock(&one);                                            \
    return done;                                                           \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *bytes, size_t size) {
  if (fd < 0 || fd >= FILES || !file_of[fd]) return real_write(fd, bytes, size);
  pthread_mutex_lock(&one);
  ssize_t done = put(fd, bytes, size, -1);
  pthread_mutex_unlock(&one);
  return done;
}

#define CHANGE(kind, fd_or_0, offset, bytes, size, call) \
  pthread_mutex_lock(&one);                              \
  int what = fault(kind);                                \
  int done = -1;                                         \
  if (!fails(what)) {                                    \
    if (what != KILL_HALF) {                             \
      record(kind, fd_or_0, offset, bytes, size);        \
      done = call;                                       \
    }                                                    \
    if (what) die();                                     \
  }                                                      \
  pthread_mutex_unlock(&one);                            \
  return done

#define TRUNCATE(name, offset)                                       \
  int name(int fd, offset size) {                                    \
    REAL(#name, int(int, offset));                               \
    if (fd < 0 || fd >= FILES || !file_of[fd]) return real(fd, size); \
    CHANGE('T', file_of[fd], (uint64_t)size, NULL, 0, real(fd, size)); \
  }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                              \
  int name(int fd) {                                            \
    REAL(#name, int(int));                                  \
    if (fd < 0 || fd >= FILES || !file_of[fd]) return real(fd); \
    CHANGE('S', file_of[fd], 0, NULL, 0, real(fd));             \
  }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
  REAL("unlink", int(const char *));
  if (!ours(path)) return real(path);
  if (access(path, F_OK)) return real(path);
  CHANGE('U', 0, 0, path, (uint32_t)strlen(path), real(path));
}

int rename(const char *from, const char *to) {
  REAL("rename", int(const char *, const char *));
  if (!ours(from)) return real(from, to);
  char both[8192];
  int size = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
  CHANGE('R', 0, 0, both, (uint32_t)size, real(from, to));
}
