/* Records what a process does to the files below a directory, in order: an LD_PRELOAD library for
 * `.ci/crash-points`. cc -shared -fPIC -O2 -o recorder.so recorder.c -ldl -pthread
 *
 * RECORD_BELOW  the directory: absolute, there before the process starts
 * RECORD_TO     the recording, appended to; several processes one after the other make one recording
 * RECORD_MARKS  a file: each write to it is a mark, so that what was confirmed stands in the order
 *
 * Each event is a line `OPERATION A B LENGTH` and LENGTH bytes; tests/crash/recording.rs reads it.
 * Changes are made and recorded under one lock, so that their order is true; of a sync the beginning
 * and the end are recorded, for what is written in between may be on the disk or not. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static const char *below, *marks;
static int recording = -1;
static uint64_t syncs;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

static void put(const void *bytes, size_t length)
{
    const char *rest = bytes;
    while (length) {
        ssize_t done = syscall(SYS_write, recording, rest, length);
        if (done <= 0)
            abort();
        rest += done;
        length -= (size_t)done;
    }
}

/* With `order` held, or before there are threads. */
static void event(const char *operation, uint64_t a, uint64_t b, const void *bytes, size_t length)
{
    char line[96];
    int used = snprintf(line, sizeof line, "%s %llu %llu %zu\n", operation, (unsigned long long)a,
                        (unsigned long long)b, length);
    put(line, (size_t)used);
    put(bytes, length);
}

static int is_below(const char *path)
{
    size_t length = below ? strlen(below) : 0;
    return length && !strncmp(path, below, length) && (path[length] == '/' || !path[length]);
}

/* The path of an open file in `path`; whether it is one of those to be recorded. */
static int where(int fd, char path[PATH_MAX])
{
    char link[64];
    if (recording < 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return is_below(path);
}

static uint64_t inode(int fd)
{
    struct stat stat_of;
    return fstat(fd, &stat_of) ? 0 : stat_of.st_ino;
}

/* The inode of the directory of `path`, and the name in it. */
static uint64_t parent(const char *path, const char **name)
{
    char directory[PATH_MAX];
    struct stat stat_of;
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (!slash)
        return 0;
    *slash = 0;
    *name = path + (slash - directory) + 1;
    return stat(directory, &stat_of) ? 0 : stat_of.st_ino;
}

/* Records what was there before, as if it had been made and synced now. */
static int there_already(const char *path, const struct stat *stat_of, int kind, struct FTW *depth)
{
    char piece[1 << 16];
    const char *name;
    uint64_t home = depth->level ? parent(path, &name) : 0;
    if (kind == FTW_D && depth->level) {
        event("mkdir", stat_of->st_ino, home, name, strlen(name));
    } else if (kind == FTW_F) {
        ssize_t length;
        off64_t at = 0;
        int fd = REAL(open64)(path, O_RDONLY | O_CLOEXEC);
        event("create", stat_of->st_ino, home, name, strlen(name));
        while ((length = read(fd, piece, sizeof piece)) > 0) {
            event("write", stat_of->st_ino, (uint64_t)at, piece, (size_t)length);
            at += length;
        }
        close(fd);
    }
    return 0;
}

static int durable_already(const char *path, const struct stat *stat_of, int kind, struct FTW *depth)
{
    (void)path, (void)kind, (void)depth;
    event("begin", stat_of->st_ino, ++syncs, "", 0);
    event("end", stat_of->st_ino, syncs, "", 0);
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *to = getenv("RECORD_TO");
    struct stat stat_of;
    below = getenv("RECORD_BELOW");
    marks = getenv("RECORD_MARKS");
    if (!to || !below || !marks || stat(below, &stat_of))
        return;
    int log = REAL(open64)(to, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0)
        abort();
    off64_t before = lseek64(log, 0, SEEK_END);
    recording = log;
    event("root", stat_of.st_ino, (uint64_t)getpid(), "", 0);
    if (before == 0) {
        nftw(below, there_already, 16, FTW_PHYS);
        nftw(below, durable_already, 16, FTW_PHYS);
        event("start", 0, 0, "", 0);
    }
}

static void written(int fd, off64_t at, const void *bytes, ssize_t length)
{
    char path[PATH_MAX];
    if (length > 0 && where(fd, path))
        event("write", inode(fd), (uint64_t)at, bytes, (size_t)length);
    else if (length > 0 && recording >= 0 && !strcmp(path, marks))
        event("mark", 0, 0, bytes, (size_t)length);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at)
{
    pthread_mutex_lock(&order);
    ssize_t done = REAL(pwrite64)(fd, bytes, length, at);
    written(fd, at, bytes, done);
    pthread_mutex_unlock(&order);
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
{
    return pwrite64(fd, bytes, length, at);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    pthread_mutex_lock(&order);
    ssize_t done = REAL(write)(fd, bytes, length);
    if (done > 0)
        written(fd, lseek64(fd, 0, SEEK_CUR) - done, bytes, done);
    pthread_mutex_unlock(&order);
    return done;
}

int ftruncate64(int fd, off64_t length)
{
    char path[PATH_MAX];
    pthread_mutex_lock(&order);
    int done = REAL(ftruncate64)(fd, length);
    if (!done && where(fd, path))
        event("truncate", inode(fd), (uint64_t)length, "", 0);
    pthread_mutex_unlock(&order);
    return done;
}

int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}

static int synced(int fd, int (*sync)(int))
{
    char path[PATH_MAX];
    if (!where(fd, path))
        return sync(fd);
    pthread_mutex_lock(&order);
    uint64_t number = ++syncs;
    event("begin", inode(fd), number, "", 0);
    pthread_mutex_unlock(&order);
    int done = sync(fd);
    pthread_mutex_lock(&order);
    if (!done)
        event("end", inode(fd), number, "", 0);
    pthread_mutex_unlock(&order);
    return done;
}

int fsync(int fd)
{
    return synced(fd, REAL(fsync));
}

int fdatasync(int fd)
{
    return synced(fd, REAL(fdatasync));
}

static int opened(int directory, const char *path, int flags, mode_t mode)
{
    char found[PATH_MAX];
    const char *name;
    if (recording < 0 || !(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE)
        return REAL(openat64)(directory, path, flags, mode);
    pthread_mutex_lock(&order);
    int existed = !faccessat(directory, path, F_OK, AT_SYMLINK_NOFOLLOW);
    int fd = REAL(openat64)(directory, path, flags, mode);
    if (fd >= 0 && where(fd, found)) {
        if (!existed) {
            uint64_t home = parent(found, &name);
            event("create", inode(fd), home, name, strlen(name));
        } else if (flags & O_TRUNC) {
            event("truncate", inode(fd), 0, "", 0);
        }
    }
    pthread_mutex_unlock(&order);
    return fd;
}

#define OPENED(directory)                                                                          \
    mode_t mode = 0;                                                                               \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                           \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode = va_arg(more, mode_t);                                                               \
        va_end(more);                                                                              \
    }                                                                                              \
    return opened(directory, path, flags, mode)

int open(const char *path, int flags, ...)
{
    OPENED(AT_FDCWD);
}

int open64(const char *path, int flags, ...)
{
    OPENED(AT_FDCWD);
}

int openat(int directory, const char *path, int flags, ...)
{
    OPENED(directory);
}

int openat64(int directory, const char *path, int flags, ...)
{
    OPENED(directory);
}

int mkdir(const char *path, mode_t mode)
{
    struct stat stat_of;
    const char *name;
    pthread_mutex_lock(&order);
    int done = REAL(mkdir)(path, mode);
    if (!done && recording >= 0 && is_below(path) && !stat(path, &stat_of)) {
        uint64_t home = parent(path, &name);
        event("mkdir", stat_of.st_ino, home, name, strlen(name));
    }
    pthread_mutex_unlock(&order);
    return done;
}

int rename(const char *from, const char *to)
{
    char names[2 * NAME_MAX + 2];
    const char *old, *new;
    pthread_mutex_lock(&order);
    int done = REAL(rename)(from, to);
    if (!done && recording >= 0 && is_below(from) && is_below(to)) {
        uint64_t old_home = parent(from, &old), new_home = parent(to, &new);
        int used = snprintf(names, sizeof names, "%s\n%s", old, new);
        event("rename", old_home, new_home, names, (size_t)used);
    }
    pthread_mutex_unlock(&order);
    return done;
}

static void removed(const char *path)
{
    const char *name;
    if (recording >= 0 && is_below(path)) {
        uint64_t home = parent(path, &name);
        event("remove", home, 0, name, strlen(name));
    }
}

int unlink(const char *path)
{
    pthread_mutex_lock(&order);
    int done = REAL(unlink)(path);
    if (!done)
        removed(path);
    pthread_mutex_unlock(&order);
    return done;
}

int rmdir(const char *path)
{
    pthread_mutex_lock(&order);
    int done = REAL(rmdir)(path);
    if (!done)
        removed(path);
    pthread_mutex_unlock(&order);
    return done;
}

int unlinkat(int directory, const char *path, int flags)
{
    char found[PATH_MAX];
    pthread_mutex_lock(&order);
    int done = REAL(unlinkat)(directory, path, flags);
    if (!done && *path == '/')
        removed(path);
    else if (!done && where(directory, found))
        event("remove", inode(directory), 0, path, strlen(path));
    pthread_mutex_unlock(&order);
    return done;
}
