/* SPDX-License-Identifier: MIT */
#pragma once

/* Files and descriptors. Everything is CLOEXEC at birth. */

#include <dirent.h>
#include <sys/stat.h>

#include "base/buf.h"

/* For _cleanup_(). */
static inline void dir_closep(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

/* Creates the folder and its missing parents with mode; an existing folder is fine. */
int fs_mkdir_p(const char *path, mode_t mode);
/* What was made, renamed or removed in the folder is on disk afterwards. */
int fs_sync_folder(const char *path);
/* The same for the folder that holds path. */
int fs_sync_parent(const char *path);
/* Whole file, at most max bytes (-E2BIG), NUL-terminated. dir_fd may be AT_FDCWD. */
int fs_read_file(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len);
/* The same for an open file, from where it stands. */
int fd_read_all(int fd, size_t max, char **ret, size_t *ret_len);
/* Write to a temporary name beside, fsync, rename, fsync the folder. */
int fs_write_file_atomic(int dir_fd, const char *path, const void *data, size_t n, mode_t mode);
/* Plain write of a short string to an existing file such as a cgroup attribute. */
int fs_write_attribute(int dir_fd, const char *path, const char *value);
/* All bytes or an error; retries EINTR and short writes. */
int fd_write_all(int fd, const void *data, size_t n);
/* -ENODATA if the end comes first. */
int fd_read_exact(int fd, void *data, size_t n);
int fd_set_nonblock(int fd, bool on);
/* Removes a folder with everything in it, not following links; a missing one is success. -ENOTDIR
 * if path is no folder (a link to one is none), -EXDEV at a mount point inside, -ESTALE if somebody
 * moves its folders meanwhile. Who keeps adding files gets -ENOTEMPTY. */
int fs_remove_tree(int dir_fd, const char *path);
/* Gives the open folder and everything in it to a user, the folder last: so its owner says whether
 * all of it was given. Links are given and not followed. -EXDEV at a mount point inside, -ELOOP
 * where folders lie deeper than any of ours. */
int fs_chown_tree(int fd, uid_t uid, gid_t gid);
/* `a/b`, freshly allocated. */
char *path_join(const char *a, const char *b);
/* Absolute, `~`-expanded, `.` and `..` and double slashes removed textually. */
int path_absolute(const char *path, char **ret);
/* The folder of the running program, from /proc/self/exe; owned by the caller. */
int path_of_program_dir(char **ret);
