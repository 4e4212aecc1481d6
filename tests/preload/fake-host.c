/* SPDX-License-Identifier: MIT */

/* Another machine, for tests of `agentd doctor`: loaded into it by LD_PRELOAD.
 *
 * FAKE_HOST names what is different, in words: nfs, tmpfs (the file system of every folder), full,
 * low (its free space), no-pidfd, no-info, no-clone3 (the kernel), user (not root, on a machine of
 * systemd), linger (the user's services go on). Real mounts and kernels of all these kinds are not
 * to be had in a test. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PIDFD_GET_INFO_NUMBER 11
#define USER                  65534

static bool is(const char *word) {
        const char *all = getenv("FAKE_HOST");

        return all && strstr(all, word);
}

long syscall(long number, ...) {
        long (*next)(long, ...) = (long (*)(long, ...)) dlsym(RTLD_NEXT, "syscall");
        long a[6];
        va_list ap;

        va_start(ap, number);
        for (size_t i = 0; i < 6; i++)
                a[i] = va_arg(ap, long);
        va_end(ap);
        if (number == SYS_clone3 && is("no-clone3")) {
                errno = ENOSYS;
                return -1;
        }
        return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int statfs64(const char *path, struct statfs64 *st) {
        if (syscall(SYS_statfs, path, st) < 0)
                return -1;
        if (is("nfs"))
                st->f_type = 0x6969;
        if (is("tmpfs"))
                st->f_type = 0x01021994;
        if (is("full") || is("low"))
                st->f_bavail = (is("full") ? 1UL << 20 : 1UL << 28) / (unsigned long) st->f_bsize;
        else
                st->f_bavail = (1UL << 40) / (unsigned long) st->f_bsize;
        return 0;
}

int statfs(const char *path, struct statfs *st) {
        return statfs64(path, (struct statfs64 *) st);
}

int pidfd_open(pid_t pid, unsigned flags) {
        if (is("no-pidfd")) {
                errno = ENOSYS;
                return -1;
        }
        return (int) syscall(SYS_pidfd_open, pid, flags);
}

int ioctl(int fd, unsigned long request, ...) {
        va_list ap;

        va_start(ap, request);
        void *argument = va_arg(ap, void *);
        va_end(ap);
        if (is("no-info") && (request & 0xff) == PIDFD_GET_INFO_NUMBER &&
            (request >> 8 & 0xff) == 0xff) {
                errno = ENOTTY;
                return -1;
        }
        return (int) syscall(SYS_ioctl, fd, request, argument);
}

uid_t geteuid(void) {
        return is("user") ? USER : (uid_t) syscall(SYS_geteuid);
}

int access(const char *path, int mode) {
        if (is("user") && strcmp(path, "/run/systemd/system") == 0)
                return 0;
        if (is("user") && strncmp(path, "/var/lib/systemd/linger/", 24) == 0) {
                errno = ENOENT;
                return is("linger") ? 0 : -1;
        }
        return (int) syscall(SYS_access, path, mode);
}
