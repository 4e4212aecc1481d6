/* SPDX-License-Identifier: MIT */

/* Giving a tree to a user, as root. Everything goes through open folders and O_NOFOLLOW, so that no
 * name in the tree can lead out of it, whoever wrote it; nftw() works with path names and was
 * rejected. A file with a second name may have that name anywhere on its file system, and giving it
 * away would give away what the other name stands for, so the kernel's protected_hardlinks has to
 * hold, as for every chown -R.
 *
 * A recursion: the trees are our own data folders, a few levels deep. */

#include <dirent.h>
#include <fcntl.h>

#include "base/fs.h"
#include "base/str.h"

#define DEPTH_MAX 64

typedef struct Owner {
        uid_t uid;
        gid_t gid;
        dev_t device;
} Owner;

/* As deep as DEPTH_MAX. NOLINTBEGIN(misc-no-recursion) */
static int give_content(int fd, const Owner *o, unsigned depth);

static int give_entry(int dir, const char *name, const Owner *o, unsigned depth) {
        struct stat st;

        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno_neg();
        if (st.st_dev != o->device)
                return -EXDEV;
        if (S_ISDIR(st.st_mode)) {
                _cleanup_close_ int fd =
                        openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                int r = fd < 0 ? errno_neg() : give_content(fd, o, depth + 1);
                if (r < 0)
                        return r;
        }
        return fchownat(dir, name, o->uid, o->gid, AT_SYMLINK_NOFOLLOW) < 0 ? errno_neg() : 0;
}

static int give_content(int fd, const Owner *o, unsigned depth) {
        _cleanup_(dir_closep) DIR *d = NULL;
        int own;

        if (depth > DEPTH_MAX)
                return -ELOOP;
        own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (own < 0)
                return errno_neg();
        d = fdopendir(own);
        if (!d) {
                (void) fd_close(own);
                return -ENOMEM;
        }
        for (;;) {
                errno = 0;
                const struct dirent *e = readdir(d);
                if (!e)
                        return errno > 0 ? errno_neg() : 0;
                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                int r = give_entry(fd, e->d_name, o, depth);
                if (r < 0)
                        return r;
        }
}
/* NOLINTEND(misc-no-recursion) */

int fs_chown_tree(int fd, uid_t uid, gid_t gid) {
        Owner o = { .uid = uid, .gid = gid };
        struct stat st;

        if (fstat(fd, &st) < 0)
                return errno_neg();
        o.device = st.st_dev;
        int r = give_content(fd, &o, 0);
        if (r < 0)
                return r;
        return fchown(fd, uid, gid) < 0 ? errno_neg() : 0;
}
