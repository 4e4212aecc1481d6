/* SPDX-License-Identifier: MIT */

/* Whole files and plain descriptors. Reading grows a buffer until the end of the file instead of
 * trusting st_size, which is 0 in /proc and in cgroups. Writing atomically follows the only order
 * that survives a power cut: temporary file in the same folder, its fsync, rename, fsync of the
 * folder.
 *
 * Temporary names come from getrandom(2) and O_EXCL; O_TMPFILE with linkat() was rejected because
 * it cannot replace an existing name. */

#include "base/fs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/str.h"

#define READ_STEP 4096

static int mkdir_one(const char *path, mode_t mode) {
        struct stat st;

        if (mkdir(path, mode) == 0)
                return 0;
        if (errno != EEXIST)
                return errno_neg();
        if (stat(path, &st) < 0)
                return errno_neg();
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int fs_mkdir_p(const char *path, mode_t mode) {
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        if (copy[0] == '\0')
                return -EINVAL;
        for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
                *p = '\0';
                int r = mkdir_one(copy, mode);
                if (r < 0)
                        return r;
                *p = '/';
        }
        return mkdir_one(copy, mode);
}

/* Reads to the end of the file; max + 1 bytes are asked for, to tell "full" from "too long". */
static int read_to_end(int fd, size_t max, Buf *b) {
        for (;;) {
                size_t room = MIN((size_t) MAX(b->len, (size_t) READ_STEP), max + 1 - b->len);
                char *p = buf_reserve(b, room);
                if (!p)
                        return b->error;

                ssize_t n = read(fd, p, room);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno_neg();
                if (n == 0)
                        return 0;
                b->len += (size_t) n;
                if (b->len > max)
                        return -E2BIG;
        }
}

int fd_read_all(int fd, size_t max, char **ret, size_t *ret_len) {
        size_t limit = MIN(max, (size_t) SSIZE_MAX - 1);
        _cleanup_buf_ Buf b = BUF_INIT(limit + 1);

        int r = read_to_end(fd, limit, &b);
        if (r < 0)
                return r;
        char *data = buf_take(&b, ret_len);
        if (!data)
                return -ENOMEM;
        *ret = data;
        return 0;
}

int fs_read_file(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len) {
        _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        return fd < 0 ? errno_neg() : fd_read_all(fd, max, ret, ret_len);
}

int fd_write_all(int fd, const void *data, size_t n) {
        const char *p = data;

        while (n > 0) {
                ssize_t k = write(fd, p, n);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return errno_neg();
                p += k;
                n -= (size_t) k;
        }
        return 0;
}

int fd_read_exact(int fd, void *data, size_t n) {
        char *p = data;

        while (n > 0) {
                ssize_t k = read(fd, p, n);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return errno_neg();
                if (k == 0)
                        return -ENODATA;
                p += k;
                n -= (size_t) k;
        }
        return 0;
}

int fd_set_nonblock(int fd, bool on) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return errno_neg();
        int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        if (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0)
                return errno_neg();
        return 0;
}

int fs_write_attribute(int dir_fd, const char *path, const char *value) {
        _cleanup_close_ int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        size_t n = strlen(value);
        ssize_t k;

        if (fd < 0)
                return errno_neg();
        /* the kernel takes an attribute in one write: a second one would be a second value */
        do
                k = write(fd, value, n);
        while (k < 0 && errno == EINTR);
        if (k < 0)
                return errno_neg();
        return (size_t) k == n ? 0 : -EIO;
}

/* Opens the folder that holds path. */
static int open_parent(int dir_fd, const char *path) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *parent = NULL;

        if (!slash)
                parent = strdup(".");
        else
                parent = strndup(path, slash == path ? 1 : (size_t) (slash - path));
        if (!parent)
                return -ENOMEM;
        int fd = openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? errno_neg() : fd;
}

int fs_sync_folder(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 || fsync(fd) < 0 ? errno_neg() : 0;
}

int fs_sync_parent(const char *path) {
        _cleanup_close_ int fd = open_parent(AT_FDCWD, path);

        if (fd < 0)
                return fd;
        return fsync(fd) < 0 ? errno_neg() : 0;
}

/* Writes a fresh file of that name, complete and on disk; removes it again if anything fails. */
static int write_new_file(int dir_fd, const char *name, const void *data, size_t n, mode_t mode) {
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
                return errno_neg();
        int r = fd_write_all(fd, data, n);
        /* fchmod() and not the mode of open(): the umask shall not change what the caller asked for
         */
        if (r == 0 && fchmod(fd, mode) < 0)
                r = errno_neg();
        if (r == 0 && fsync(fd) < 0)
                r = errno_neg();
        if (r < 0)
                (void) unlinkat(dir_fd, name, 0);
        return r;
}

int fs_write_file_atomic(int dir_fd, const char *path, const void *data, size_t n, mode_t mode) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        char temporary[sizeof(".tmp-") + 16] = ".tmp-";
        uint64_t random;

        if (name[0] == '\0')
                return -EINVAL;
        _cleanup_close_ int parent = open_parent(dir_fd, path);
        if (parent < 0)
                return parent;
        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
                return errno_neg();
        hex_encode(&random, sizeof(random), temporary + strlen(temporary));

        int r = write_new_file(parent, temporary, data, n, mode);
        if (r < 0)
                return r;
        if (renameat(parent, temporary, parent, name) < 0) {
                r = errno_neg();
                (void) unlinkat(parent, temporary, 0);
                return r;
        }
        return fsync(parent) < 0 ? errno_neg() : 0;
}
