/* SPDX-License-Identifier: MIT */

/* One call of an allocation or of the system fails: the Nth that a program makes.
 *
 * With -Dfail_calls=true this file is linked into every program, with --wrap for each name in the
 * table below: that reaches our own calls and nothing else. Built as a library for LD_PRELOAD
 * (-DPRELOAD) it reaches those of the libraries as well: SQLite's writes, sd-event's allocations.
 *
 * FAIL_CALLS names a file that is mapped and shared with whoever drives the test: a slot for each
 * program, by its name, with the number of calls so far, which of them shall fail, and, afterwards,
 * what failed where. Counting can be switched on at any time, so that one operation of a running
 * daemon can be looked at. A child between fork and exec counts for its parent. The stack is kept
 * as addresses within the module that made the call; addr2line makes names of them.
 *
 * Not in the table is what cannot fail as it is used, such as writing to an eventfd or waiting with
 * WNOHANG: nobody could do anything about it.
 *
 * A debugger or seccomp-unotify was rejected: both are slow, see no allocations, and change the
 * timing. */

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define FRAMES 24
#define SLOTS  8

typedef struct Slot {
        char program[32];
        _Atomic uint64_t is_armed;
        _Atomic uint64_t n_calls;
        uint64_t first, n_failing; /* calls number first, first + 1, …: so many */
        uint64_t which;            /* of the errors in the table, modulo their number */
        uint64_t kinds;            /* bit of Kind */
        _Atomic uint64_t n_failed;
        int32_t pid, error;
        char call[32];
        uint64_t frames[FRAMES];
        char module[160];
} Slot;

_Static_assert(sizeof(Slot) == 480, "the driver reads this");

typedef enum Kind {
        MEMORY = 1,
        SYSTEM = 2,
} Kind;

static Slot *slot;
static __thread bool is_busy; /* what is below may call what is wrapped */

static void begin(void) __attribute__((constructor));

static void begin(void) {
        const char *path = getenv("FAIL_CALLS");
        struct stat st;
        void *first[1];

        if (!path)
                return;
        is_busy = true;
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t) (SLOTS * sizeof(Slot)))
                abort();
        Slot *all = mmap(NULL, SLOTS * sizeof(Slot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (all == MAP_FAILED)
                abort();
        (void) close(fd);
        (void) backtrace(first, 1); /* loads libgcc */
        for (size_t i = 0; i < SLOTS; i++)
                if (strcmp(all[i].program, program_invocation_short_name) == 0)
                        slot = &all[i];
        is_busy = false;
}

static void tell(const char *call, int error) {
        void *stack[FRAMES + 2];
        Dl_info own = {}, info;
        int n = backtrace(stack, FRAMES + 2), used = 0;

        for (int i = 2; i < n; i++) {
                if (dladdr(stack[i], &info) == 0)
                        continue;
                if (used == 0) {
                        own = info;
                        (void) snprintf(slot->module, sizeof(slot->module), "%s", info.dli_fname);
                }
                if (info.dli_fbase == own.dli_fbase)
                        slot->frames[used++] =
                                (uint64_t) ((char *) stack[i] - (char *) info.dli_fbase);
        }
        (void) snprintf(slot->call, sizeof(slot->call), "%s", call);
        slot->pid = (int32_t) getpid();
        slot->error = error;
        atomic_fetch_add(&slot->n_failed, 1);
}

/* The error that this call shall have; 0: none. Never inlined: tell() leaves out two frames. */
__attribute__((noinline)) static int fate(Kind kind, const char *call, const int *errors, size_t n) {
        if (!slot || is_busy || !atomic_load(&slot->is_armed) || !(slot->kinds & kind))
                return 0;
        uint64_t number = atomic_fetch_add(&slot->n_calls, 1) + 1;
        if (number < slot->first || number - slot->first >= slot->n_failing)
                return 0;
        is_busy = true;
        int error = errors[slot->which % n];
        tell(call, error);
        is_busy = false;
        errno = error;
        return error;
}

/* What is below: DECLARE() it, then FIND() it before REAL() is called. */
#ifdef PRELOAD
#        define NAME(name)               name
#        define LIBC(name)               __libc_##name
#        define EXPORTED                 __attribute__((visibility("default")))
#        define DECLARE(r, name, params) static r(*real_##name) params
#        define FIND(r, name, params) \
                (real_##name = real_##name ?: (r(*) params) dlsym(RTLD_NEXT, #name))
#        define REAL(name) real_##name
#else
#        define NAME(name) __wrap_##name
#        define LIBC(name) __real_##name
#        define EXPORTED
#        define DECLARE(r, name, params) extern r __real_##name params
#        define FIND(r, name, params)    (void) 0
#        define REAL(name)               __real_##name
#endif

#define ERRORS(...) \
        ((const int[]){ __VA_ARGS__ }), sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int)

/* CALL(what it returns, its name, parameters, arguments, what it returns when it fails, errors…) */
#define CALL(r, name, params, args, failure, ...)                  \
        DECLARE(r, name, params);                                  \
        EXPORTED r NAME(name) params;                              \
        r NAME(name) params {                                      \
                FIND(r, name, params);                             \
                if (fate(SYSTEM, #name, ERRORS(__VA_ARGS__)) != 0) \
                        return failure;                            \
                return REAL(name) args;                            \
        }

/* For what returns its error. */
#define CALL_SAYS(r, name, params, args, ...)                         \
        DECLARE(r, name, params);                                     \
        EXPORTED r NAME(name) params;                                 \
        r NAME(name) params {                                         \
                FIND(r, name, params);                                \
                int error = fate(SYSTEM, #name, ERRORS(__VA_ARGS__)); \
                return error != 0 ? error : REAL(name) args;          \
        }

/* For what may have fewer arguments: those that are not there are read from registers or the stack,
 * and passed on to somebody who does not look at them. */
#define CALL_VAR(r, name, params, last, args, ...)                 \
        DECLARE(r, name, params);                                  \
        EXPORTED r NAME(name) params;                              \
        r NAME(name) params {                                      \
                long more[6];                                      \
                va_list list;                                      \
                va_start(list, last);                              \
                for (size_t i = 0; i < 6; i++)                     \
                        more[i] = va_arg(list, long);              \
                va_end(list);                                      \
                FIND(r, name, params);                             \
                if (fate(SYSTEM, #name, ERRORS(__VA_ARGS__)) != 0) \
                        return -1;                                 \
                return REAL(name) args;                            \
        }

/* For memory. dlsym() allocates, so these are asked for by the names that the C library keeps for itself. */
#define CALL_MEM(name, params, args)                          \
        extern void *LIBC(name) params;                       \
        EXPORTED void *NAME(name) params;                     \
        void *NAME(name) params {                             \
                if (fate(MEMORY, #name, ERRORS(ENOMEM)) != 0) \
                        return NULL;                          \
                return LIBC(name) args;                       \
        }

/* One line each: meson.build reads the names. */
/* clang-format off */
CALL_MEM(malloc, (size_t n), (n))
CALL_MEM(calloc, (size_t n, size_t size), (n, size))
CALL_MEM(realloc, (void *p, size_t n), (p, n))

#ifndef PRELOAD /* which end in malloc() */
CALL_MEM(reallocarray, (void *p, size_t n, size_t size), (p, n, size))
CALL_MEM(strdup, (const char *s), (s))
CALL_MEM(strndup, (const char *s, size_t n), (s, n))
#endif

CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1, EMFILE, ENOBUFS)
CALL(int, socketpair, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds), -1, EMFILE, ENOMEM)
CALL(int, accept4, (int fd, struct sockaddr *addr, socklen_t *n, int flags), (fd, addr, n, flags), -1, EMFILE, ECONNABORTED)
CALL(int, bind, (int fd, const struct sockaddr *addr, socklen_t n), (fd, addr, n), -1, EADDRINUSE, EACCES)
CALL(int, listen, (int fd, int n), (fd, n), -1, EADDRINUSE)
CALL(int, connect, (int fd, const struct sockaddr *addr, socklen_t n), (fd, addr, n), -1, EAGAIN, ECONNREFUSED)
CALL(int, getsockopt, (int fd, int level, int name, void *p, socklen_t *n), (fd, level, name, p, n), -1, ENOBUFS)
CALL(int, setsockopt, (int fd, int level, int name, const void *p, socklen_t n), (fd, level, name, p, n), -1, ENOBUFS)
CALL(int, getsockname, (int fd, struct sockaddr *addr, socklen_t *n), (fd, addr, n), -1, ENOBUFS)
CALL(int, getpeername, (int fd, struct sockaddr *addr, socklen_t *n), (fd, addr, n), -1, ENOBUFS)
CALL(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), -1, ENOBUFS, EAGAIN, EPIPE)
CALL(ssize_t, sendto, (int fd, const void *p, size_t n, int flags, const struct sockaddr *addr, socklen_t size), (fd, p, n, flags, addr, size), -1, ENOBUFS, EAGAIN)
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags), -1, EAGAIN, ENOBUFS, ETOOMANYREFS)
CALL(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), -1, ENOMEM, ECONNRESET)
CALL(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags), -1, ENOMEM, EINTR)
CALL(int, poll, (struct pollfd *fds, nfds_t n, int msec), (fds, n, msec), -1, EINTR, ENOMEM)
CALL(int, epoll_create1, (int flags), (flags), -1, EMFILE, ENOMEM)
CALL(int, epoll_ctl, (int epoll, int op, int fd, struct epoll_event *event), (epoll, op, fd, event), -1, ENOMEM, ENOSPC)
CALL(int, epoll_wait, (int epoll, struct epoll_event *events, int n, int msec), (epoll, events, n, msec), -1, EINTR)
CALL(int, eventfd, (unsigned n, int flags), (n, flags), -1, EMFILE)
CALL(int, eventfd_read, (int fd, uint64_t *value), (fd, value), -1, EAGAIN)
CALL(int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags), -1, EMFILE)
CALL(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1, EMFILE, ENOMEM)
CALL(int, pipe2, (int fds[2], int flags), (fds, flags), -1, EMFILE)
CALL(int, dup2, (int from, int to), (from, to), -1, EMFILE)
CALL(int, pidfd_open, (pid_t pid, unsigned flags), (pid, flags), -1, EMFILE, ENOMEM)
CALL(int, pidfd_send_signal, (int fd, int signo, siginfo_t *info, unsigned flags), (fd, signo, info, flags), -1, EPERM)
CALL(int, kill, (pid_t pid, int signo), (pid, signo), -1, EPERM)
CALL(pid_t, fork, (void), (), -1, EAGAIN, ENOMEM)
CALL(int, fexecve, (int fd, char *const *argv, char *const *env), (fd, argv, env), -1, ENOMEM, EACCES)
CALL(int, execv, (const char *path, char *const *argv), (path, argv), -1, ENOMEM, EACCES)
CALL(int, setrlimit64, (__rlimit_resource_t what, const struct rlimit64 *limit), (what, limit), -1, EPERM)
CALL(DIR *, opendir, (const char *path), (path), NULL, EMFILE, ENOMEM)
CALL(DIR *, fdopendir, (int fd), (fd), NULL, ENOMEM)
CALL(struct dirent64 *, readdir64, (DIR *dir), (dir), NULL, EIO)
CALL(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), -1, EIO, EINTR)
CALL(ssize_t, pread64, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at), -1, EIO)
CALL(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), -1, ENOSPC, EINTR)
CALL(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at), -1, ENOSPC, EIO)
CALL(ssize_t, splice, (int from, off64_t *from_at, int to, off64_t *to_at, size_t n, unsigned flags), (from, from_at, to, to_at, n, flags), -1, ENOMEM)
CALL(int, fsync, (int fd), (fd), -1, EIO)
CALL(int, fdatasync, (int fd), (fd), -1, EIO)
CALL(int, syncfs, (int fd), (fd), -1, EIO)
CALL(int, ftruncate64, (int fd, off64_t n), (fd, n), -1, EIO)
CALL(int, stat64, (const char *path, struct stat64 *st), (path, st), -1, EACCES, ENOMEM)
CALL(int, fstat64, (int fd, struct stat64 *st), (fd, st), -1, EIO)
CALL(int, fstatat64, (int fd, const char *path, struct stat64 *st, int flags), (fd, path, st, flags), -1, EACCES, ENOMEM)
CALL(int, statfs64, (const char *path, struct statfs64 *st), (path, st), -1, EIO)
CALL(int, access, (const char *path, int mode), (path, mode), -1, EIO)
CALL(int, faccessat, (int fd, const char *path, int mode, int flags), (fd, path, mode, flags), -1, EIO)
CALL(ssize_t, readlink, (const char *path, char *p, size_t n), (path, p, n), -1, EACCES)
CALL(ssize_t, readlinkat, (int fd, const char *path, char *p, size_t n), (fd, path, p, n), -1, EACCES)
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), -1, ENOSPC, EACCES)
CALL(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode), -1, ENOSPC, EACCES)
CALL(int, mkfifo, (const char *path, mode_t mode), (path, mode), -1, ENOSPC)
CALL(int, rename, (const char *from, const char *to), (from, to), -1, ENOSPC, EACCES)
CALL(int, renameat, (int from_fd, const char *from, int to_fd, const char *to), (from_fd, from, to_fd, to), -1, ENOSPC, EACCES)
CALL(int, symlinkat, (const char *target, int fd, const char *path), (target, fd, path), -1, ENOSPC)
CALL(int, unlink, (const char *path), (path), -1, EIO, EACCES)
CALL(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags), -1, EIO, EACCES)
CALL(int, rmdir, (const char *path), (path), -1, EBUSY)
CALL(int, chmod, (const char *path, mode_t mode), (path, mode), -1, EPERM)
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode), -1, EPERM)
CALL(int, getrlimit64, (__rlimit_resource_t what, struct rlimit64 *limit), (what, limit), -1, EPERM)
CALL(int, timerfd_create, (int clock, int flags), (clock, flags), -1, EMFILE)

CALL_SAYS(int, pthread_create, (pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *p), (thread, attr, f, p), EAGAIN)
CALL_SAYS(int, posix_spawn, (pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr, char *const *argv, char *const *env), (pid, path, actions, attr, argv, env), EAGAIN, ENOMEM)

CALL_VAR(int, open64, (const char *path, int flags, ...), flags, (path, flags, more[0]), EMFILE, EACCES)
CALL_VAR(int, openat64, (int fd, const char *path, int flags, ...), flags, (fd, path, flags, more[0]), EMFILE, EACCES)
CALL_VAR(int, fcntl64, (int fd, int what, ...), what, (fd, what, more[0]), EMFILE, ENOLCK)
CALL_VAR(int, ioctl, (int fd, unsigned long what, ...), what, (fd, what, more[0]), EIO)
CALL_VAR(int, prctl, (int what, ...), what, (what, more[0], more[1], more[2], more[3]), EINVAL)
CALL_VAR(long, syscall, (long number, ...), number, (number, more[0], more[1], more[2], more[3], more[4], more[5]), EAGAIN, ENOSYS)
/* clang-format on */
