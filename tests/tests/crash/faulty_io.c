/* Has the file operations of a process fail, for tests: preloaded into it with LD_PRELOAD.
 *
 * FAULTY_IO_PLAN names a file of one line, which may change at any time and counts anew then:
 *
 *     OPERATION NAME ERROR AFTER TIMES
 *
 * From then on, of the calls of OPERATION (write, short, sync, truncate, create) on files whose path
 * contains NAME, the first AFTER succeed and the next TIMES fail with errno ERROR; -1 is for ever.
 * `create` is to open a file that need not be there: a log whose next segment can't be made.
 * `short` writes half, and fails at what is left. `space NAME ERROR BYTES 0` lets such files grow by
 * so many bytes in all, counted since the process began; what the log gives back counts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char line[512], operation[32], name[256];
static long failure, after, times, calls, grown;

#define NEXT(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

/* Reads the plan; 1 if there is one. */
static int plan(void) {
    const char *path = getenv("FAULTY_IO_PLAN");
    char now[512] = "";
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t length = read(fd, now, sizeof now - 1);
    close(fd);
    if (length <= 0) return 0;
    if (strcmp(now, line) != 0) {
        strcpy(line, now);
        calls = 0;
        operation[0] = 0;
        sscanf(line, "%31s %255s %ld %ld %ld", operation, name, &failure, &after, &times);
    }
    return operation[0] != 0;
}

/* Whether a file's path contains this. */
static int is_in(const char *part, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strstr(path, part) != NULL;
}

/* Whether a file is one that the plan is about. */
static int meant(int fd) { return is_in(name, fd); }

/* What becomes of one call: 0 it is made, 1 it fails. */
static int fails(const char *what, int fd) {
    int failing = 0;
    int before = errno;
    pthread_mutex_lock(&lock);
    if (plan() && strcmp(operation, what) == 0 && meant(fd)) {
        calls++;
        failing = calls > after && (times < 0 || calls <= after + times);
    }
    pthread_mutex_unlock(&lock);
    errno = failing ? (int)failure : before;
    return failing;
}

/* Whether there is no space for a write that ends there. */
static int is_full(int fd, off_t end) {
    int full = 0;
    int before = errno;
    struct stat file;
    pthread_mutex_lock(&lock);
    if (plan() && strcmp(operation, "space") == 0 && meant(fd) && fstat(fd, &file) == 0) {
        long growth = end > file.st_size ? (long)(end - file.st_size) : 0;
        full = growth > 0 && grown + growth > after;
        if (!full) grown += growth;
    }
    pthread_mutex_unlock(&lock);
    errno = full ? (int)failure : before;
    return full;
}

ssize_t write(int fd, const void *data, size_t length) {
    /* Output and pipes are not looked at: this is called before anything is set up. */
    if (fd > 2) {
        if (fails("write", fd)) return -1;
        if (length > 1 && fails("short", fd)) length /= 2;
        off_t place = lseek(fd, 0, SEEK_CUR);
        if (place >= 0 && is_full(fd, place + (off_t)length)) return -1;
    }
    return NEXT(write)(fd, data, length);
}

static int refused(int fd, size_t *length, off_t place) {
    if (fails("write", fd)) return 1;
    if (*length > 1 && fails("short", fd)) *length /= 2;
    return is_full(fd, place + (off_t)*length);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t place) {
    return refused(fd, &length, place) ? -1 : NEXT(pwrite)(fd, data, length, place);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t place) {
    return refused(fd, &length, place) ? -1 : NEXT(pwrite64)(fd, data, length, place);
}

int fsync(int fd) { return fails("sync", fd) ? -1 : NEXT(fsync)(fd); }

int fdatasync(int fd) { return fails("sync", fd) ? -1 : NEXT(fdatasync)(fd); }

/* The log gives space back. The database has some that was not counted, as it was not written. */
static void shrinks(int fd, off_t length) {
    int before = errno;
    struct stat file;
    pthread_mutex_lock(&lock);
    if (plan() && strcmp(operation, "space") == 0 && meant(fd) && is_in("-wal", fd) &&
        fstat(fd, &file) == 0 && file.st_size > length) {
        grown -= (long)(file.st_size - length);
    }
    pthread_mutex_unlock(&lock);
    errno = before;
}

int ftruncate(int fd, off_t length) {
    if (fails("truncate", fd)) return -1;
    shrinks(fd, length);
    return NEXT(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    if (fails("truncate", fd)) return -1;
    shrinks(fd, (off_t)length);
    return NEXT(ftruncate64)(fd, length);
}

/* The same by its path. The files of other programs, and the plan's own, have no such name. */
static int refused_path(const char *path, int flags) {
    int failing = 0;
    int before = errno;
    if (!(flags & O_CREAT)) return 0;
    pthread_mutex_lock(&lock);
    if (plan() && strcmp(operation, "create") == 0 && strstr(path, name)) {
        calls++;
        failing = calls > after && (times < 0 || calls <= after + times);
    }
    pthread_mutex_unlock(&lock);
    errno = failing ? (int)failure : before;
    return failing;
}

#define MODE                                                      \
    mode_t mode = 0;                                              \
    if (flags & O_CREAT) {                                        \
        va_list arguments;                                        \
        va_start(arguments, flags);                               \
        mode = va_arg(arguments, mode_t);                         \
        va_end(arguments);                                        \
    }

int open(const char *path, int flags, ...) {
    MODE
    return refused_path(path, flags) ? -1 : NEXT(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE
    return refused_path(path, flags) ? -1 : NEXT(open64)(path, flags, mode);
}
