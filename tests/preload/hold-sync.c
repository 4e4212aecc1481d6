/* SPDX-License-Identifier: MIT */

/* A disk that is slow, broken or full, for tests: loaded into the daemon by LD_PRELOAD, it looks at
 * every sync and write of a database's log (a file whose name ends in "-wal").
 *
 * HOLD_SYNC names a folder, and files in it say what happens, from one call to the next:
 *   hold         while it is there, syncs wait
 *   fail-sync    holds an errno (a number): syncs fail with it
 *   fail-write   the same for writes
 *   syncs        gets a byte for each sync that began
 * Other programs that inherit the environment (the keeper, agents) are left alone.
 *
 * A file system of its own would be nearer to a real disk, but needs root and cannot wait. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *folder(void) {
        return strcmp(program_invocation_short_name, "agentd-daemon") == 0 ? getenv("HOLD_SYNC")
                                                                           : NULL;
}

static bool is_log(int fd) {
        char link[32], path[4096];
        ssize_t n;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        return n >= 4 && memcmp(path + n - 4, "-wal", 4) == 0;
}

static int open_control(const char *name, int flags) {
        char path[4096];

        snprintf(path, sizeof(path), "%s/%s", folder(), name);
        return open(path, flags | O_CLOEXEC, 0600);
}

static bool is_there(const char *name) {
        int fd = open_control(name, O_RDONLY);

        if (fd >= 0)
                close(fd);
        return fd >= 0;
}

/* The errno in the file; 0: no fault is wanted. */
static int fault(const char *name) {
        char text[16] = "";
        int fd = open_control(name, O_RDONLY);

        if (fd < 0)
                return 0;
        ssize_t n = read(fd, text, sizeof(text) - 1);
        close(fd);
        return n > 0 ? atoi(text) : 0;
}

static void count(void) {
        int fd = open_control("syncs", O_WRONLY | O_APPEND | O_CREAT);

        if (fd < 0 || write(fd, ".", 1) != 1)
                abort();
        close(fd);
}

static int sync_log(int fd, long call) {
        const struct timespec pause = { .tv_nsec = 1000000 };

        if (folder() && is_log(fd)) {
                count();
                while (is_there("hold"))
                        nanosleep(&pause, NULL);
                int error = fault("fail-sync");
                if (error != 0) {
                        errno = error;
                        return -1;
                }
        }
        return (int) syscall(call, fd);
}

int fsync(int fd) {
        return sync_log(fd, SYS_fsync);
}

int fdatasync(int fd) {
        return sync_log(fd, SYS_fdatasync);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset) {
        int error = folder() && is_log(fd) ? fault("fail-write") : 0;

        if (error == 0)
                return syscall(SYS_pwrite64, fd, data, n, offset);
        errno = error;
        return -1;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset) {
        return pwrite64(fd, data, n, offset);
}
