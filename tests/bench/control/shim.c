/* A wall clock that jumps and a disk that stalls, put in front of the C library with LD_PRELOAD.
 *
 * SHIM_FILE is mapped: an offset of CLOCK_REALTIME in ns, and how long each fsync takes more, in
 * ns (both little-endian int64). Whoever writes the file changes them while the process runs.
 * CLOCK_MONOTONIC and CLOCK_BOOTTIME are left alone, as a real jump leaves them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *told; /* offset, stall */

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("SHIM_FILE");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *found = mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (found != MAP_FAILED) told = found;
}

#define REAL(name, type)         \
  static __typeof__(type) *real; \
  if (!real) real = (__typeof__(type) *)dlsym(RTLD_NEXT, name)

int clock_gettime(clockid_t clock, struct timespec *at) {
  REAL("clock_gettime", int(clockid_t, struct timespec *));
  int done = real(clock, at);
  if (!done && told && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    int64_t ns = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + told[0];
    at->tv_sec = ns / 1000000000;
    at->tv_nsec = ns % 1000000000;
  }
  return done;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  (void)zone;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}

static void stall(void) {
  if (!told || told[1] <= 0) return;
  struct timespec span = {told[1] / 1000000000, told[1] % 1000000000};
  nanosleep(&span, NULL);
}

#define SYNC(name)              \
  int name(int file) {          \
    REAL(#name, int(int));      \
    stall();                    \
    return real(file);          \
  }
SYNC(fsync)
SYNC(fdatasync)
