/* SPDX-License-Identifier: MIT */

/* A disk that is slow, full, broken, read-only, or whose power goes: for tests, loaded into the
 * daemon or the keeper by LD_PRELOAD in front of the calls that change files.
 *
 * DISK_TROUBLE names a folder. Its file `control` (struct Control, mapped and shared, written by
 * tests/lib/disk.py) holds rules: a pattern of paths, kinds of calls, and what becomes of them:
 * they are counted, wait, take longer, or fail, from one number to another. With a trace asked for,
 * its file `trace` gets a record of each change in the order in which they happened, from which
 * tests/lib/powercut.py builds every disk that a power cut could have left.
 *
 * A call is named by the path behind its descriptor, so whoever writes is covered: SQLite, libgit2
 * and ourselves. What is written through a memory map is not seen; of what a power cut may take,
 * only SQLite's shared index is, which is made anew after one.
 *
 * A file system of its own would be nearer to a real disk, but needs root and cannot wait; and
 * device-mapper's error targets are not to be had in a container. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
        OPEN = 1 << 0, /* that creates */
        WRITE = 1 << 1,
        SYNC = 1 << 2,
        TRUNCATE = 1 << 3,
        RENAME = 1 << 4,
        UNLINK = 1 << 5,
        MKDIR = 1 << 6,
        LINK = 1 << 7,
        SPLICE = 1 << 8,
        CREATED = 1 << 9, /* in the trace only */
        SYNC_ALL = 1 << 10,
};

#define RULES        4
#define PATH_BYTES   1024
#define PATTERN_SIZE 128

struct Rule {
        char pattern[PATTERN_SIZE];
        uint32_t kinds;
        int32_t error;
        uint32_t is_short; /* a write that fails puts a half down first */
        uint32_t hold;
        uint64_t delay_usec;
        uint64_t from, upto;
        uint64_t calls, failures;
};

struct Control {
        char programs[64]; /* names with a space before and behind each */
        uint64_t trace;    /* not 0: write one */
        uint64_t records;
        struct Rule rules[RULES];
};

struct Record {
        uint32_t kind, n_path, n_other, pad;
        uint64_t inode, offset, n_data;
};

static struct Control *control;
static int trace_fd = -1;
static pthread_mutex_t trace_mutex = PTHREAD_MUTEX_INITIALIZER;

static int plain_open(const char *folder, const char *name, int flags) {
        char path[PATH_BYTES];

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        return (int) syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

__attribute__((constructor)) static void start(void) {
        const char *folder = getenv("DISK_TROUBLE");
        char name[64];

        if (!folder)
                return;
        int fd = plain_open(folder, "control", O_RDWR);
        if (fd < 0)
                return;
        struct Control *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void) close(fd);
        if (c == MAP_FAILED)
                abort();
        snprintf(name, sizeof(name), " %s ", program_invocation_short_name);
        if (!strstr(c->programs, name))
                return;
        if (c->trace)
                trace_fd = plain_open(folder, "trace", O_WRONLY | O_APPEND | O_CREAT);
        control = c;
}

/* ---- paths ---- */

static void path_of_fd(int fd, char path[static PATH_BYTES]) {
        char link[32];

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, PATH_BYTES - 1);
        path[n > 0 ? n : 0] = '\0';
}

static void path_at(int dir_fd, const char *name, char path[static PATH_BYTES]) {
        char dir[PATH_BYTES] = "";

        if (name[0] != '/' && dir_fd == AT_FDCWD) {
                if (!getcwd(dir, sizeof(dir)))
                        dir[0] = '\0';
        } else if (name[0] != '/')
                path_of_fd(dir_fd, dir);
        if ((size_t) snprintf(path, PATH_BYTES, "%s%s%s", dir, name[0] == '/' ? "" : "/", name) >=
            PATH_BYTES)
                abort();
}

/* ---- trouble ---- */

static void pause_usec(uint64_t usec) {
        const struct timespec t = { .tv_sec = (time_t) (usec / 1000000),
                                    .tv_nsec = (long) (usec % 1000000) * 1000 };
        (void) nanosleep(&t, NULL);
}

/* Meets the rules; 0, or the errno with which the call is to fail. */
static int trouble(uint32_t kind, const char *path, bool *ret_short) {
        int error = 0;

        for (struct Rule *r = control->rules; r < control->rules + RULES; r++) {
                if (!(__atomic_load_n(&r->kinds, __ATOMIC_ACQUIRE) & kind) ||
                    fnmatch(r->pattern, path, 0) != 0)
                        continue;
                uint64_t n = __atomic_add_fetch(&r->calls, 1, __ATOMIC_SEQ_CST);
                while (__atomic_load_n(&r->hold, __ATOMIC_SEQ_CST))
                        pause_usec(1000);
                if (r->delay_usec)
                        pause_usec(r->delay_usec);
                if (r->error == 0 || n < r->from || n > r->upto)
                        continue;
                __atomic_add_fetch(&r->failures, 1, __ATOMIC_SEQ_CST);
                error = r->error;
                if (ret_short)
                        *ret_short = r->is_short;
        }
        return error;
}

static bool fails(uint32_t kind, const char *path) {
        int error = path[0] == '/' ? trouble(kind, path, NULL) : 0;

        if (error != 0)
                errno = error;
        return error != 0;
}

/* ---- the trace ---- */

static void trace_begin(void) {
        if (control && trace_fd >= 0)
                (void) pthread_mutex_lock(&trace_mutex);
}

static void put(struct Record r, const char *path, const char *other, const void *data) {
        r.n_path = (uint32_t) strlen(path);
        r.n_other = other ? (uint32_t) strlen(other) : 0;
        struct iovec v[] = { { &r, sizeof(r) },
                             { (void *) (uintptr_t) path, r.n_path },
                             { (void *) (uintptr_t) other, r.n_other },
                             { (void *) (uintptr_t) data, r.n_data } };
        size_t n = sizeof(r) + r.n_path + r.n_other + r.n_data;
        if (syscall(SYS_writev, trace_fd, v, 4) != (long) n)
                abort();
        __atomic_add_fetch(&control->records, 1, __ATOMIC_SEQ_CST);
}

/* Keeps errno, which is the call's. */
static long trace_end(
        long result, struct Record r, const char *path, const char *other, const void *data) {
        int saved = errno;

        if (trace_fd < 0)
                return result;
        if (result >= 0 && path[0] == '/')
                put(r, path, other, data);
        (void) pthread_mutex_unlock(&trace_mutex);
        errno = saved;
        return result;
}

static uint64_t inode_of(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* ---- opening ---- */

static bool is_there(const char *path) {
        struct stat st;
        return lstat(path, &st) == 0;
}

static int do_open(int dir_fd, const char *name, int flags, mode_t mode) {
        char path[PATH_BYTES];

        if (!control || !(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE)
                return (int) syscall(SYS_openat, dir_fd, name, flags, mode);
        path_at(dir_fd, name, path);
        bool is_new = (flags & O_CREAT) && !is_there(path);
        if (!is_new && !(flags & O_TRUNC))
                return (int) syscall(SYS_openat, dir_fd, name, flags, mode);
        if (is_new && fails(OPEN, path))
                return -1;
        trace_begin();
        int fd = (int) syscall(SYS_openat, dir_fd, name, flags, mode);
        uint64_t inode = fd >= 0 ? inode_of(fd) : 0;
        struct Record r = { .kind = is_new ? CREATED : TRUNCATE, .inode = inode };
        return (int) trace_end(fd, r, path, NULL, NULL);
}

#define OPEN_BODY(dir, name, flags)              \
        mode_t mode = 0;                         \
        if ((flags) & (O_CREAT | O_TMPFILE)) {   \
                va_list ap;                      \
                va_start(ap, flags);             \
                mode = (mode_t) va_arg(ap, int); \
                va_end(ap);                      \
        }                                        \
        return do_open(dir, name, flags, mode)

int open64(const char *name, int flags, ...) {
        OPEN_BODY(AT_FDCWD, name, flags);
}
int open(const char *name, int flags, ...) {
        OPEN_BODY(AT_FDCWD, name, flags);
}
int openat64(int dir, const char *name, int flags, ...) {
        OPEN_BODY(dir, name, flags);
}
int openat(int dir, const char *name, int flags, ...) {
        OPEN_BODY(dir, name, flags);
}

/* ---- writing ---- */

/* offset < 0: where the descriptor stands. */
static long plain_write(int fd, const void *data, size_t n, off_t offset) {
        return offset < 0 ? syscall(SYS_write, fd, data, n)
                          : syscall(SYS_pwrite64, fd, data, n, offset);
}

static long do_write(int fd, const void *data, size_t n, off_t offset) {
        char path[PATH_BYTES];
        bool is_short = false;
        int error;

        if (!control)
                return plain_write(fd, data, n, offset);
        path_of_fd(fd, path);
        if (path[0] != '/')
                return plain_write(fd, data, n, offset);
        error = trouble(WRITE, path, &is_short);
        if (error != 0 && (!is_short || n < 2)) {
                errno = error;
                return -1;
        }
        if (error != 0)
                n /= 2;
        trace_begin();
        long r = plain_write(fd, data, n, offset);
        off_t at = offset < 0 ? lseek(fd, 0, SEEK_CUR) - (r > 0 ? r : 0) : offset;
        return trace_end(r,
                         (struct Record){ .kind = WRITE,
                                          .inode = inode_of(fd),
                                          .offset = (uint64_t) at,
                                          .n_data = r > 0 ? (uint64_t) r : 0 },
                         path, NULL, data);
}

ssize_t write(int fd, const void *data, size_t n) {
        return do_write(fd, data, n, -1);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset) {
        return do_write(fd, data, n, offset);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t offset) {
        return do_write(fd, data, n, offset);
}

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags) {
        char path[PATH_BYTES] = "";

        if (control)
                path_of_fd(out, path);
        if (control && fails(SPLICE, path))
                return -1;
        return syscall(SYS_splice, in, in_at, out, out_at, n, flags);
}

int ftruncate64(int fd, off64_t size) {
        char path[PATH_BYTES];

        if (!control)
                return (int) syscall(SYS_ftruncate, fd, size);
        path_of_fd(fd, path);
        if (fails(TRUNCATE, path))
                return -1;
        trace_begin();
        return (int) trace_end(
                syscall(SYS_ftruncate, fd, size),
                (struct Record){ .kind = TRUNCATE, .inode = inode_of(fd), .offset = (uint64_t) size },
                path, NULL, NULL);
}
int ftruncate(int fd, off_t size) {
        return ftruncate64(fd, size);
}

/* ---- syncing ---- */

static int do_sync(int fd, long call) {
        char path[PATH_BYTES];

        if (!control)
                return (int) syscall(call, fd);
        path_of_fd(fd, path);
        if (fails(SYNC, path))
                return -1;
        trace_begin();
        return (int) trace_end(syscall(call, fd),
                               (struct Record){ .kind = call == SYS_syncfs ? SYNC_ALL : SYNC,
                                                .inode = inode_of(fd) },
                               path, NULL, NULL);
}

int fsync(int fd) {
        return do_sync(fd, SYS_fsync);
}
int fdatasync(int fd) {
        return do_sync(fd, SYS_fdatasync);
}
int syncfs(int fd) {
        return do_sync(fd, SYS_syncfs);
}

/* ---- names ---- */

static bool begin_name(uint32_t kind, int dir, const char *name, char path[static PATH_BYTES]) {
        path_at(dir, name, path);
        if (fails(kind, path))
                return false;
        trace_begin();
        return true;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
        char path[PATH_BYTES], other[PATH_BYTES];

        if (!control)
                return (int) syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
        path_at(from_dir, from, path);
        if (!begin_name(RENAME, to_dir, to, other))
                return -1;
        return (int) trace_end(syscall(SYS_renameat2, from_dir, from, to_dir, to, flags),
                               (struct Record){ .kind = RENAME }, path, other, NULL);
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
        return renameat2(from_dir, from, to_dir, to, 0);
}
int rename(const char *from, const char *to) {
        return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
        char path[PATH_BYTES], other[PATH_BYTES];

        if (!control)
                return (int) syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
        path_at(from_dir, from, path);
        if (!begin_name(LINK, to_dir, to, other))
                return -1;
        return (int) trace_end(syscall(SYS_linkat, from_dir, from, to_dir, to, flags),
                               (struct Record){ .kind = LINK }, path, other, NULL);
}
int link(const char *from, const char *to) {
        return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *name, int flags) {
        char path[PATH_BYTES];

        if (!control)
                return (int) syscall(SYS_unlinkat, dir, name, flags);
        if (!begin_name(UNLINK, dir, name, path))
                return -1;
        return (int) trace_end(syscall(SYS_unlinkat, dir, name, flags),
                               (struct Record){ .kind = UNLINK }, path, NULL, NULL);
}
int unlink(const char *name) {
        return unlinkat(AT_FDCWD, name, 0);
}
int rmdir(const char *name) {
        return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

int mkdirat(int dir, const char *name, mode_t mode) {
        char path[PATH_BYTES];

        if (!control)
                return (int) syscall(SYS_mkdirat, dir, name, mode);
        path_at(dir, name, path);
        if (is_there(path)) /* fails by itself and writes nothing */
                return (int) syscall(SYS_mkdirat, dir, name, mode);
        if (!begin_name(MKDIR, dir, name, path))
                return -1;
        return (int) trace_end(syscall(SYS_mkdirat, dir, name, mode),
                               (struct Record){ .kind = MKDIR }, path, NULL, NULL);
}
int mkdir(const char *name, mode_t mode) {
        return mkdirat(AT_FDCWD, name, mode);
}
