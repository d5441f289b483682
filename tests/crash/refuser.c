/* Fails reads of the files below a directory with EIO, whichever thread makes them: an LD_PRELOAD library
 * for `.ci/fault-injection`. cc -shared -fPIC -O2 -o refuser.so refuser.c -ldl
 *
 * REFUSE_BELOW  the directory: absolute
 * REFUSE_FROM   the first read that fails, from 1
 * REFUSE_COUNT  how many do, one after the other
 * REFUSE_TO     a file: each read that failed is a line in it */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long reads;
static const char *below;
static long from, count;
static int to = -1;

__attribute__((constructor)) static void begin(void)
{
    const char *first = getenv("REFUSE_FROM"), *many = getenv("REFUSE_COUNT");
    const char *path = getenv("REFUSE_TO");
    below = getenv("REFUSE_BELOW");
    if (!below || !first || !many || !path)
        abort();
    from = atol(first);
    count = atol(many);
    to = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (to < 0)
        abort();
}

static int is_below(int fd)
{
    char link[64], path[PATH_MAX];
    size_t length = strlen(below);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t found = readlink(link, path, sizeof path - 1);
    if (found <= (ssize_t)length)
        return 0;
    path[found] = 0;
    return !strncmp(path, below, length) && path[length] == '/';
}

static int is_refused(int fd, const char *call)
{
    int before = errno;
    if (to < 0 || !is_below(fd))
        return 0;
    long number = atomic_fetch_add(&reads, 1) + 1;
    if (number < from || number >= from + count) {
        errno = before;
        return 0;
    }
    char line[64];
    int used = snprintf(line, sizeof line, "%ld %s\n", number, call);
    if (syscall(SYS_write, to, line, (size_t)used) != used)
        abort();
    errno = EIO;
    return 1;
}

ssize_t read(int fd, void *bytes, size_t length)
{
    return is_refused(fd, "read") ? -1 : syscall(SYS_read, fd, bytes, length);
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset)
{
    return is_refused(fd, "pread64") ? -1 : syscall(SYS_pread64, fd, bytes, length, offset);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t offset)
{
    return pread64(fd, bytes, length, offset);
}
