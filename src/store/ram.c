/* SPDX-License-Identifier: MIT */

/* The folder behind `memory:`: a private one in /dev/shm, so that the store runs the very code that
 * it runs on a disk: WAL, snapshots that do not hold up the writer, a reader per thread.
 *
 * Rejected: SQLite's in-memory VFS (memdb). It has no WAL: an open cursor blocks the commit, so
 * code that passes its tests there can deadlock on a disk, and the other way round.
 *
 * A process that was killed leaves its folder behind; the next one that comes here removes it. In
 * use is one whose lock file is locked, or which is too young to have been locked yet. */

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "store/store-internal.h"

#define FOLDER_PREFIX "agentd-memory-"
#define YOUNG_USEC    USEC_PER_MINUTE

static bool is_abandoned(int dir_fd, const char *name) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_free_ char *lock_name = path_join(name, "db.lock");
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (!lock_name || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
            (usec_t) st.st_ctim.tv_sec * USEC_PER_SEC + YOUNG_USEC > clock_realtime())
                return false;
        fd = openat(dir_fd, lock_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? errno == ENOENT : fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static void remove_abandoned(const char *parent) {
        _cleanup_(dir_closep) DIR *dir = opendir(parent);

        if (!dir)
                return;
        for (struct dirent *e; (e = readdir(dir));)
                if (str_startswith(e->d_name, FOLDER_PREFIX) && is_abandoned(dirfd(dir), e->d_name))
                        (void) fs_remove_tree(dirfd(dir), e->d_name);
}

int store_ram_folder(char **ret) {
        static const char *const parents[] = { "/dev/shm", "/tmp" };
        int r = -ENOENT;

        ARRAY_FOREACH(parent, parents) {
                _cleanup_free_ char *folder = str_printf("%s/" FOLDER_PREFIX "XXXXXX", *parent);

                if (!folder)
                        return -ENOMEM;
                remove_abandoned(*parent);
                if (mkdtemp(folder)) {
                        *ret = TAKE_PTR(folder);
                        return 0;
                }
                r = errno_neg();
        }
        return r;
}
