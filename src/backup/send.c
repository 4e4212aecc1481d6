/* SPDX-License-Identifier: MIT */

/* A backup for somebody who is not on this machine.
 *
 * It is made whole before its first byte goes out. To send it while it is made was rejected: what the
 * daemon removes meanwhile makes a snapshot too old, and then all is made again (backup.c), which is
 * no longer possible for what was sent; a failure could not be told from a broken line; and a slow
 * reader would keep all that from being removed. The price is room for the file while it is sent.
 *
 * Its folder is DATA/tmp_backup.RANDOM, locked as long as this process lives; those without a lock
 * are of processes that were killed, and go. The file has no name any more once it is sent. */

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>

#include "backup/backup-internal.h"
#include "backup/backup.h"
#include "base/fs.h"
#include "base/str.h"

#define PREFIX "tmp_backup."
#define PIECE  ((size_t) 256 << 10)

typedef struct Sending {
        int fd;
        const BackupOptions *options;
} Sending;

/* A pipe without a reader says so without being written to. */
static int check_reader(uint64_t bytes, void *userdata) {
        const Sending *s = userdata;
        struct pollfd p = { .fd = s->fd };

        if (poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLNVAL))
                return -EPIPE;
        return s->options->progress ? s->options->progress(bytes, s->options->userdata) : 0;
}

/* Whoever made it lives as long as it is locked. */
static void remove_if_left(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
                (void) fs_remove_tree(AT_FDCWD, path);
}

static int remove_left(const char *data_dir) {
        _cleanup_(dir_closep) DIR *d = opendir(data_dir);
        struct dirent *e;

        if (!d)
                return errno_neg();
        while ((e = readdir(d))) {
                _cleanup_free_ char *path = NULL;
                if (!str_startswith(e->d_name, PREFIX))
                        continue;
                path = path_join(data_dir, e->d_name);
                if (!path)
                        return -ENOMEM;
                remove_if_left(path);
        }
        return 0;
}

/* The lock is taken a moment behind the name; who is removed in between begins again. */
static int make_folder(const char *data_dir, char **ret, int *ret_lock) {
        for (;;) {
                _cleanup_free_ char *path = path_join(data_dir, PREFIX "XXXXXX");
                _cleanup_close_ int fd = -EBADF;
                if (!path)
                        return -ENOMEM;
                if (!mkdtemp(path))
                        return errno_neg();
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && access(path, F_OK) == 0) {
                        *ret = TAKE_PTR(path);
                        *ret_lock = TAKE_FD(fd);
                        return 0;
                }
        }
}

static int copy(int from, int to) {
        _cleanup_free_ char *piece = malloc(PIECE);

        if (!piece)
                return -ENOMEM;
        for (;;) {
                ssize_t n = read(from, piece, PIECE);
                if (n <= 0)
                        return n < 0 ? errno_neg() : 0;
                int r = fd_write_all(to, piece, (size_t) n);
                if (r < 0)
                        return r;
        }
}

static int make(const BackupPlaces *p,
                const char *folder,
                const BackupOptions *o,
                BackupResult *ret,
                int *ret_fd,
                char **ret_message) {
        _cleanup_free_ char *path = path_join(folder, "backup.tar.zst");

        if (!path)
                return -ENOMEM;
        int r = backup_write(p, path, o, ret, ret_message);
        if (r < 0)
                return r;
        *ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return *ret_fd < 0 ? errno_neg() : 0;
}

int backup_send(const BackupPlaces *p,
                int fd,
                const BackupOptions *o,
                BackupResult *ret,
                char **ret_message) {
        _cleanup_close_ int lock = -EBADF, file = -EBADF;
        _cleanup_free_ char *folder = NULL;
        Sending sending = { fd, o };
        BackupOptions options = *o;

        options.progress = check_reader;
        options.userdata = &sending;
        int r = remove_left(p->data_dir);
        if (r >= 0)
                r = make_folder(p->data_dir, &folder, &lock);
        if (r < 0)
                return backup_say(ret_message, r,
                                  str_printf("cannot work in %s: %s", p->data_dir, strerror(-r)));
        r = make(p, folder, &options, ret, &file, ret_message);
        (void) fs_remove_tree(AT_FDCWD, folder);
        return r < 0 ? r : copy(file, fd);
}
