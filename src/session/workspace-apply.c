/* SPDX-License-Identifier: MIT */

/* Making a folder like a tree, in three passes over sorted lists:
 *
 *   1. backwards over `before`: what target lacks goes, contents before their folder;
 *   2. forwards over target: folders, then files and links that differ from `current`, each written
 * under a temporary name and renamed, so that no reader ever sees half a file;
 *   3. backwards over target's folders: permissions and owners, last because a folder may be
 * read-only.
 *
 * Only what `before` recorded is ever removed or overwritten; so everything a restore destroys is
 * in the store, and ignored files, sockets, other file systems stay. What stands in the way and is
 * not recorded (a folder with ignored files where target has a file) stays too, and its path is
 * reported. Every pass finds its work done if it is repeated, which is what makes an interrupted
 * restore finishable.
 *
 * Paths that fail one by one (permissions, something in the way) are counted; what would fail for
 * all (a full disk, no memory, a damaged store) ends the work with its error. */

#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "session/workspace-internal.h"

typedef struct Apply {
        WorkspaceApply *a;
        WorkspaceCursor cursor;
        struct stat root;
} Apply;

static void apply_done(Apply *x) {
        workspace_cursor_done(&x->cursor);
}

/* True for errors that concern one path. */
static bool is_of_path(int r) {
        static const int errors[] = { EACCES, EPERM, ENOENT,    ENOTDIR, EISDIR,       ELOOP, EBUSY,
                                      EEXIST, ENXIO, ENOTEMPTY, ETXTBSY, ENAMETOOLONG, EXDEV };

        ARRAY_FOREACH(e, errors)
                if (r == -*e)
                        return true;
        return false;
}

/* The owner of a folder may take its own rights away; give them back until pass 3. */
static void loosen(int dir_fd) {
        struct stat st;

        if (fstat(dir_fd, &st) == 0 && (st.st_mode & 0700) != 0700)
                (void) fchmod(dir_fd, (st.st_mode & 03777) | 0700);
}

static void report(Apply *x, const WorkspaceEntry *e) {
        if (x->a->n_blocked++ > 0)
                (void) buf_puts(x->a->blocked, ", ");
        (void) buf_puts(x->a->blocked, e->path);
}

/* ---- pass 1 ---- */

static bool is_to_go(const Apply *x, const WorkspaceEntry *e) {
        const WorkspaceEntry *t = workspace_list_find(x->a->target, e->path);

        if (e->path[0] == '\0' || e->kind == WORKSPACE_SKIP)
                return false;
        if (t && t->kind != WORKSPACE_SKIP &&
            (t->kind == WORKSPACE_FOLDER) == (e->kind == WORKSPACE_FOLDER))
                return false;
        return !workspace_list_skipped(x->a->target, e->path) &&
               !workspace_list_skipped(x->a->current, e->path);
}

static int remove_entry(Apply *x, const WorkspaceEntry *e) {
        int flags = e->kind == WORKSPACE_FOLDER ? AT_REMOVEDIR : 0;
        const char *name;
        int fd = workspace_cursor_enter_parent(&x->cursor, e->path, &name);

        if (fd < 0)
                return fd;
        int r = unlinkat(fd, name, flags);
        if (r < 0 && errno == EACCES) {
                loosen(fd);
                r = unlinkat(fd, name, flags);
        }
        if (r < 0)
                return errno_neg();
        x->a->n_changed += flags == 0;
        return 0;
}

static int remove_what_target_lacks(Apply *x) {
        for (size_t i = x->a->before->n; i-- > 0;) {
                const WorkspaceEntry *e = &x->a->before->entries[i];
                if (!is_to_go(x, e))
                        continue;
                int r = remove_entry(x, e);
                /* not there; or a folder that holds what is not ours to remove */
                if (r == -ENOENT || r == -ENOTDIR || r == -ENOTEMPTY || r == -EEXIST)
                        continue;
                if (r < 0 && !is_of_path(r))
                        return r;
                if (r < 0)
                        report(x, e);
        }
        workspace_cursor_leave(&x->cursor);
        return 0;
}

/* ---- pass 2 ---- */

/* Failing is no error: only root can give everything away, and some file systems have no owners.
 * name "": what fd is. */
static void set_owner(const Apply *x, const WorkspaceEntry *e, int fd, const char *name) {
        uid_t uid = e->foreign ? e->uid : x->root.st_uid;
        gid_t gid = e->foreign ? e->gid : x->root.st_gid;
        int flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
        struct stat st;

        if (fstatat(fd, name, &st, flags) == 0 && (st.st_uid != uid || st.st_gid != gid))
                (void) !fchownat(fd, name, uid, gid, flags);
}

static int write_content(Apply *x, int dir_fd, const WorkspaceEntry *e, const char *data, size_t n) {
        _cleanup_close_ int fd = openat(dir_fd, x->a->temporary,
                                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return errno_neg();
        int r = fd_write_all(fd, data, n);
        if (r < 0)
                return r;
        set_owner(x, e, fd, "");
        return fchmod(fd, e->mode) < 0 ? errno_neg() : 0;
}

static int write_link(Apply *x, int dir_fd, const WorkspaceEntry *e, const char *target) {
        if (symlinkat(target, dir_fd, x->a->temporary) < 0)
                return errno_neg();
        set_owner(x, e, dir_fd, x->a->temporary);
        return 0;
}

static int write_temporary(Apply *x, int dir_fd, const WorkspaceEntry *e) {
        _cleanup_free_ char *data = NULL;
        size_t n;
        int r = x->a->module->read(x->a->store, WORKSPACE_OBJECT_BLOB, e->oid, &data, &n);

        if (r < 0)
                return r == -ENOENT ? -EBADMSG : r;
        for (unsigned attempt = 0; attempt < 2; attempt++) {
                r = e->kind == WORKSPACE_LINK ? write_link(x, dir_fd, e, data)
                                              : write_content(x, dir_fd, e, data, n);
                if (r == -EACCES)
                        loosen(dir_fd);
                else if (r != -EEXIST)
                        break;
                else if (unlinkat(dir_fd, x->a->temporary, 0) < 0 && errno != ENOENT)
                        return errno_neg(); /* of an earlier attempt, and the disk keeps it */
        }
        x->a->bytes_written += r >= 0 ? n : 0;
        return r;
}

static int write_entry(Apply *x, const WorkspaceEntry *e) {
        const char *name;
        int fd = workspace_cursor_enter_parent(&x->cursor, e->path, &name);

        if (fd < 0)
                return fd;
        int r = write_temporary(x, fd, e);
        if (r >= 0 && renameat(fd, x->a->temporary, fd, name) < 0)
                r = errno_neg();
        if (r < 0)
                (void) unlinkat(fd, x->a->temporary, 0);
        else
                x->a->n_changed++;
        return r;
}

static int make_folder(Apply *x, const WorkspaceEntry *e) {
        const char *name;
        struct stat st;
        int fd = workspace_cursor_enter_parent(&x->cursor, e->path, &name);

        if (fd < 0)
                return fd;
        int r = mkdirat(fd, name, 0700);
        if (r < 0 && errno == EACCES) {
                loosen(fd);
                r = mkdirat(fd, name, 0700);
        }
        if (r == 0)
                return 0;
        r = errno_neg();
        if (r == -EEXIST && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
                return 0;
        return r;
}

/* Permissions of a file whose content is right; by a descriptor, lest a link be followed. */
static int set_file_mode(Apply *x, const WorkspaceEntry *e) {
        char self[64];
        const char *name;
        struct stat st;
        int dir_fd = workspace_cursor_enter_parent(&x->cursor, e->path, &name);

        if (dir_fd < 0)
                return dir_fd;
        _cleanup_close_ int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return errno_neg();
        if (!S_ISREG(st.st_mode))
                return -EEXIST;
        (void) snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        if (chmod(self, e->mode) < 0)
                return errno_neg();
        x->a->n_changed++;
        return 0;
}

static int bring_back(Apply *x, const WorkspaceEntry *e) {
        const WorkspaceEntry *now = workspace_list_find(x->a->current, e->path);

        if (workspace_list_skipped(x->a->current, e->path))
                return -EEXIST;
        if (e->kind == WORKSPACE_FOLDER)
                return make_folder(x, e);
        if (!now || now->kind != e->kind || memcmp(now->oid, e->oid, WORKSPACE_OID_SIZE) != 0)
                return write_entry(x, e);
        if (e->kind == WORKSPACE_FILE && now->mode != e->mode)
                return set_file_mode(x, e);
        return 0;
}

static int write_what_differs(Apply *x) {
        for (size_t i = 0; i < x->a->target->n; i++) {
                const WorkspaceEntry *e = &x->a->target->entries[i];
                if (e->path[0] == '\0' || e->kind == WORKSPACE_SKIP)
                        continue;
                int r = bring_back(x, e);
                if (r < 0 && !is_of_path(r))
                        return r;
                if (r < 0)
                        report(x, e);
        }
        return 0;
}

/* ---- pass 3 ---- */

static void set_folder(Apply *x, const WorkspaceEntry *e) {
        int fd = workspace_cursor_enter(&x->cursor, e->path);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return;
        if (e->path[0] != '\0')
                set_owner(x, e, fd, "");
        if ((st.st_mode & 03777) != e->mode)
                (void) fchmod(fd, e->mode);
}

static void set_folders(Apply *x) {
        for (size_t i = x->a->target->n; i-- > 0;) {
                const WorkspaceEntry *e = &x->a->target->entries[i];
                if (e->kind == WORKSPACE_FOLDER && !workspace_list_skipped(x->a->current, e->path))
                        set_folder(x, e);
        }
}

int workspace_apply(WorkspaceApply *a) {
        _cleanup_(apply_done) Apply x = {
                .a = a,
                .cursor = WORKSPACE_CURSOR_INIT(a->root_fd),
        };

        if (fstat(a->root_fd, &x.root) < 0)
                return errno_neg();
        int r = remove_what_target_lacks(&x);
        if (r >= 0)
                r = write_what_differs(&x);
        if (r < 0)
                return r;
        set_folders(&x);
        /* once for all, instead of an fsync for each of a thousand files */
        return syncfs(a->root_fd) < 0 ? errno_neg() : 0;
}
