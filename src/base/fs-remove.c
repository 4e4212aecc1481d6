/* SPDX-License-Identifier: MIT */

/* Removing a tree that an agent made, without trusting it: an agent may nest folders thousands
 * deep, take their permissions away, plant symbolic links, and rename folders while we walk.
 *
 * Only one folder is open at a time. Going down opens the child with O_NOFOLLOW and notes who it
 * is; going up opens ".." and checks device and inode against the note, so a folder that was moved
 * meanwhile ends the walk with -ESTALE instead of deleting elsewhere. Recursion and nftw() were
 * rejected: the one runs out of stack or descriptors at depth, the other works with path names that
 * can be swapped.
 *
 * A mount point inside the tree ends the walk with -EXDEV: it may be somebody's bind-mounted home.
 */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"

typedef struct Level {
        dev_t device;
        ino_t inode;
        char *name; /* in its parent */
} Level;

typedef struct Walk {
        DIR *dir; /* of the innermost level */
        Level *levels;
        size_t n, cap;
} Walk;

static void walk_done(Walk *w) {
        if (w->dir)
                (void) closedir(w->dir);
        for (size_t i = 0; i < w->n; i++)
                free(w->levels[i].name);
        free(w->levels);
}

#define OPEN_FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* For a folder that its owner made unreadable. */
static int open_by_force(int at, const char *name) {
        _cleanup_close_ int pinned = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        char self[64];

        if (pinned < 0)
                return errno_neg();
        (void) snprintf(self, sizeof(self), "/proc/self/fd/%d", pinned);
        if (chmod(self, 0700) < 0)
                return errno_neg();
        int fd = openat(at, name, OPEN_FOLDER);
        return fd < 0 ? errno_neg() : fd;
}

static int open_folder(int at, const char *name, struct stat *ret_st) {
        _cleanup_close_ int fd = openat(at, name, OPEN_FOLDER);

        if (fd < 0 && errno == EACCES)
                fd = open_by_force(at, name);
        else if (fd < 0)
                return errno_neg();
        if (fd < 0)
                return fd;
        if (fstat(fd, ret_st) < 0)
                return errno_neg();
        if ((ret_st->st_mode & 0700) != 0700)
                (void) fchmod(fd, 0700);
        return TAKE_FD(fd);
}

/* Takes fd over in every case. */
static int walk_use(Walk *w, int fd) {
        DIR *dir = fdopendir(fd);

        if (!dir) {
                int r = errno_neg();
                (void) fd_close(fd);
                return r;
        }
        if (w->dir)
                (void) closedir(w->dir);
        w->dir = dir;
        return 0;
}

static int walk_down(Walk *w, int at, const char *name) {
        struct stat st;
        _cleanup_close_ int fd = open_folder(at, name, &st);

        if (fd < 0)
                return fd;
        if (w->n > 0 && st.st_dev != w->levels[0].device)
                return -EXDEV;
        if (w->n == w->cap) {
                size_t cap = w->cap > 0 ? w->cap * 2 : 16;
                Level *levels = reallocarray(w->levels, cap, sizeof(Level));
                if (!levels)
                        return -ENOMEM;
                w->levels = levels;
                w->cap = cap;
        }
        char *copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        w->levels[w->n++] = (Level){ st.st_dev, st.st_ino, copy };
        return walk_use(w, TAKE_FD(fd));
}

/* Leaves the innermost folder, which is empty now, and removes it from its parent. */
static int walk_up(Walk *w) {
        const Level *parent = &w->levels[w->n - 2];
        _cleanup_close_ int fd = openat(dirfd(w->dir), "..", OPEN_FOLDER);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return errno_neg();
        if (st.st_dev != parent->device || st.st_ino != parent->inode)
                return -ESTALE;
        w->n--;
        _cleanup_free_ char *name = TAKE_PTR(w->levels[w->n].name);
        if (unlinkat(fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return errno_neg();
        return walk_use(w, TAKE_FD(fd));
}

static bool is_folder(int at, const struct dirent *e) {
        struct stat st;

        if (e->d_type != DT_UNKNOWN)
                return e->d_type == DT_DIR;
        return fstatat(at, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Removes what is in the innermost folder up to the first folder in it that is not empty; 1 after
 * having gone down into that one, 0 when all is removed. */
static int walk_empty(Walk *w) {
        for (;;) {
                errno = 0;
                const struct dirent *e = readdir(w->dir);
                if (!e)
                        return errno > 0 ? errno_neg() : 0;
                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;

                bool folder = is_folder(dirfd(w->dir), e);
                if (unlinkat(dirfd(w->dir), e->d_name, folder ? AT_REMOVEDIR : 0) == 0 ||
                    errno == ENOENT)
                        continue;
                if (!folder || (errno != ENOTEMPTY && errno != EEXIST))
                        return errno_neg();
                int r = walk_down(w, dirfd(w->dir), e->d_name);
                return r < 0 ? r : 1;
        }
}

int fs_remove_tree(int dir_fd, const char *path) {
        _cleanup_(walk_done) Walk w = {};
        int r = walk_down(&w, dir_fd, path);

        while (r == 0 || r == 1) {
                r = walk_empty(&w);
                if (r != 0)
                        continue;
                if (w.n == 1)
                        break;
                r = walk_up(&w);
        }
        if (r == 0 && unlinkat(dir_fd, path, AT_REMOVEDIR) < 0)
                r = errno_neg();
        return r == -ENOENT ? 0 : r;
}
