/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded before libc (LD_PRELOAD): the n-th call of a process on a file below a folder fails, as a failing disk's does.
 *
 * FAILING_IO_UNDER is the folder, FAILING_IO_PLAN a file that holds a struct plan, which a test changes while the
 * process runs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

struct plan {
    long left;     /* calls until one fails; 0: none will */
    long error;    /* its errno */
    char what[32]; /* the call that failed */
};

static struct plan *plan;
static char under[PATH_MAX];

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("FAILING_IO_PLAN"), *folder = getenv("FAILING_IO_UNDER");
    if (!file || !folder || !realpath(folder, under)) return;
    int fd = open(file, O_RDWR | O_CLOEXEC);
    void *mapped = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) plan = mapped;
}

static int is_under(const char *path) {
    size_t length = strlen(under);
    return !strncmp(path, under, length) && (path[length] == '/' || !path[length]);
}

static int where(int fd, char *path) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return length > 0;
}

static int fails(const char *what) {
    if (__sync_sub_and_fetch(&plan->left, 1) != 0) return 0;
    strncpy(plan->what, what, sizeof plan->what - 1);
    errno = (int)plan->error;
    return 1;
}

static int fails_at(const char *what, int fd) {
    char path[PATH_MAX];
    return plan && plan->left > 0 && where(fd, path) && is_under(path) && fails(what);
}

static int fails_in(const char *what, int folder, const char *name) {
    char path[PATH_MAX];
    if (!plan || plan->left <= 0) return 0;
    if (name[0] == '/') return is_under(name) && fails(what);
    return folder != AT_FDCWD && where(folder, path) && is_under(path) && fails(what);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define ON_FD(type, name, parameters, arguments)             \
    type name parameters {                                   \
        return fails_at(#name, fd) ? -1 : REAL(name) arguments; \
    }
#define ON_NAME(name, folder, path, parameters, arguments)            \
    int name parameters {                                             \
        return fails_in(#name, folder, path) ? -1 : REAL(name) arguments; \
    }

ON_FD(ssize_t, read, (int fd, void *to, size_t count), (fd, to, count))
ON_FD(ssize_t, readv, (int fd, const struct iovec *to, int count), (fd, to, count))
ON_FD(ssize_t, pread, (int fd, void *to, size_t count, off_t at), (fd, to, count, at))
ON_FD(ssize_t, pread64, (int fd, void *to, size_t count, off64_t at), (fd, to, count, at))
ON_FD(ssize_t, write, (int fd, const void *from, size_t count), (fd, from, count))
ON_FD(ssize_t, writev, (int fd, const struct iovec *from, int count), (fd, from, count))
ON_FD(ssize_t, pwrite, (int fd, const void *from, size_t count, off_t at), (fd, from, count, at))
ON_FD(ssize_t, pwrite64, (int fd, const void *from, size_t count, off64_t at), (fd, from, count, at))
ON_FD(int, fsync, (int fd), (fd))
ON_FD(int, fdatasync, (int fd), (fd))
ON_FD(int, ftruncate, (int fd, off_t length), (fd, length))
ON_FD(int, ftruncate64, (int fd, off64_t length), (fd, length))
ON_FD(int, fallocate, (int fd, int mode, off_t at, off_t count), (fd, mode, at, count))
ON_FD(int, fallocate64, (int fd, int mode, off64_t at, off64_t count), (fd, mode, at, count))
ON_FD(ssize_t, sendfile, (int to, int fd, off_t *at, size_t count), (to, fd, at, count))
ON_FD(ssize_t, sendfile64, (int to, int fd, off64_t *at, size_t count), (to, fd, at, count))
ON_NAME(mkdir, AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
ON_NAME(mkdirat, fd, path, (int fd, const char *path, mode_t mode), (fd, path, mode))
ON_NAME(unlink, AT_FDCWD, path, (const char *path), (path))
ON_NAME(unlinkat, fd, path, (int fd, const char *path, int flags), (fd, path, flags))
ON_NAME(link, AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_NAME(linkat, fd, to, (int of, const char *from, int fd, const char *to, int flags), (of, from, fd, to, flags))
ON_NAME(rename, AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_NAME(renameat, fd, to, (int of, const char *from, int fd, const char *to), (of, from, fd, to))

#define OPENS(name, folder, first, with)                            \
    int name(first const char *path, int flags, ...) {              \
        va_list more;                                               \
        va_start(more, flags);                                      \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                               \
        return fails_in(#name, folder, path) ? -1 : REAL(name)(with path, flags, mode); \
    }
#define COMMA ,
OPENS(open, AT_FDCWD, , )
OPENS(open64, AT_FDCWD, , )
OPENS(openat, fd, int fd COMMA, fd COMMA)
OPENS(openat64, fd, int fd COMMA, fd COMMA)
