/* SPDX-License-Identifier: MIT */

/* One process per database: PATH.lock.
 *
 * An open file description lock is released by the kernel with the descriptor, so a crash leaves no
 * stale lock, and unlike a POSIX lock it is not lost when some library of ours opens and closes the
 * same file. A file of its own, because SQLite uses POSIX locks on the database. The file stays
 * when the lock is released: removing it would let two processes hold locks on two files of the
 * same name. The pid in it is for the message only. */

#include <fcntl.h>
#include <stdio.h>

#include "base/log.h"
#include "base/str.h"
#include "store/offline.h"
#include "store/store-internal.h"

static int refuse(const char *path, int fd, char **ret_message) {
        char pid[16] = {};
        ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

        if (n > 0)
                pid[strcspn(pid, "\n")] = '\0';
        return store_fail(ret_message, -EBUSY, "%s is in use by process %s, which holds %s.lock",
                          path, n > 0 ? pid : "(unknown)", path);
}

int store_lock(const char *path, int *ret_fd, char **ret_message) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = -EBADF;
        char pid[16];
        int r, n;

        name = str_printf("%s.lock", path);
        if (!name)
                return -ENOMEM;
        fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
                r = errno_neg();
                return store_fail(ret_message, r, "cannot open %s: %s", name, strerror(-r));
        }
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
                r = errno_neg();
                if (r == -EAGAIN || r == -EACCES)
                        return refuse(path, fd, ret_message);
                return store_fail(ret_message, r, "cannot lock %s: %s", name, strerror(-r));
        }
        n = snprintf(pid, sizeof(pid), "%d\n", (int) getpid());
        /* The lock counts, not what is written in it: a full disk must not keep readers out. */
        if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t) n, 0) < 0)
                log_debug("cannot write %s: %s", name, strerror(errno));
        *ret_fd = TAKE_FD(fd);
        return 0;
}

bool store_is_in_use(const char *path) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_free_ char *name = str_printf("%s.lock", path);
        _cleanup_close_ int fd = name ? open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -EBADF;

        return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
