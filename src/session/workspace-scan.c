/* SPDX-License-Identifier: MIT */

/* Walking a folder that its agent may be changing, without trusting anything in it.
 *
 * Folders still to be read are a stack of our own, so depth costs no C stack; each is reached by a
 * cursor that follows no link. What disappears between two calls was not there. What cannot be
 * recorded becomes an entry of kind WORKSPACE_SKIP with its reason: a restore must leave alone what
 * it never had.
 *
 * `.git` is skipped at every depth and not even listed: the agent's repositories are its own, and a
 * restore neither needs nor touches them. Other file systems mounted inside are listed and left
 * out; they may be somebody's home. nftw() was rejected: it works with path names, which can be
 * swapped. */

#include <dirent.h>
#include <fcntl.h>

#include "base/fs.h"
#include "session/workspace-internal.h"

#define IGNORE_SIZE_MAX ((size_t) 1 << 20)

typedef struct Pending {
        size_t entry; /* index in the list */
        const WorkspaceIgnore *ignore;
        unsigned depth;
        bool all_ignored; /* looked into only for what is wanted */
} Pending;

typedef struct Scan {
        const WorkspaceReader *reader;
        WorkspaceList *list;
        WorkspaceCursor cursor;
        struct stat root;
        Pending *pending;
        size_t n_pending, cap_pending;
        WorkspaceIgnore **ignores; /* owned */
        size_t n_ignores;
} Scan;

/* The folder that is being read. */
typedef struct Place {
        const Pending *pending;
        int fd;
        Buf *path;          /* of the folder with its slash, then of the entry */
        size_t path_length; /* of the folder's part */
        const WorkspaceIgnore *ignore;
} Place;

static void scan_done(Scan *s) {
        workspace_cursor_done(&s->cursor);
        free(s->pending);
        for (size_t i = 0; i < s->n_ignores; i++)
                workspace_ignore_free(s->ignores[i]);
        free(s->ignores);
}

static int push(Scan *s, Pending p) {
        if (s->n_pending == s->cap_pending) {
                size_t cap = MAX(s->cap_pending * 2, (size_t) 32);
                Pending *grown = reallocarray(s->pending, cap, sizeof(Pending));
                if (!grown)
                        return -ENOMEM;
                s->pending = grown;
                s->cap_pending = cap;
        }
        s->pending[s->n_pending++] = p;
        return 0;
}

/* The .gitignore of the folder, or what holds above it. A link or anything else that is no file
 * counts as none, as in git; so does one that cannot be read. */
static int read_ignore(Scan *s, int dir_fd, const char *folder, const WorkspaceIgnore **ignore) {
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t n;

        if (fstatat(dir_fd, ".gitignore", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                return 0;
        _cleanup_close_ int fd = openat(dir_fd, ".gitignore",
                                        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
            (uint64_t) st.st_size > IGNORE_SIZE_MAX)
                return 0;
        text = malloc((size_t) st.st_size + 1);
        if (!text)
                return -ENOMEM;
        ssize_t k = pread(fd, text, (size_t) st.st_size, 0);
        if (k <= 0)
                return 0;
        n = (size_t) k;

        WorkspaceIgnore **grown =
                reallocarray(s->ignores, s->n_ignores + 1, sizeof(WorkspaceIgnore *));
        if (!grown)
                return -ENOMEM;
        s->ignores = grown;
        int r = workspace_ignore_new(&s->ignores[s->n_ignores], *ignore, folder, text, n);
        if (r < 0)
                return r;
        *ignore = s->ignores[s->n_ignores++];
        return 0;
}

static int add_entry(
        Scan *s, const Place *at, WorkspaceKind kind, const struct stat *st, WorkspaceEntry **ret) {
        int r = workspace_list_add(s->list, at->path->data, kind, ret);

        if (r < 0)
                return r;
        /* set-user-id is not recorded: a restore by root must not be a way to get it */
        (*ret)->mode = (uint16_t) (st->st_mode & (kind == WORKSPACE_FOLDER ? 03777 : 0777));
        (*ret)->foreign = st->st_uid != s->root.st_uid || st->st_gid != s->root.st_gid;
        (*ret)->uid = st->st_uid;
        (*ret)->gid = st->st_gid;
        return 0;
}

static int add_skip(Scan *s, const Place *at, WorkspaceSkip why) {
        WorkspaceEntry *e;
        int r = workspace_list_add(s->list, at->path->data, WORKSPACE_SKIP, &e);

        if (r >= 0)
                e->skip = (uint8_t) why;
        return r;
}

static bool is_own(const Scan *s, const struct stat *st) {
        return st->st_ino == s->reader->own_inode && st->st_dev == s->reader->own_device;
}

static int add_folder(Scan *s, const Place *at, const struct stat *st, bool ignored) {
        WorkspaceEntry *e;

        if (is_own(s, st))
                return add_skip(s, at, WORKSPACE_SKIP_OWN);
        if (st->st_dev != s->root.st_dev)
                return add_skip(s, at, WORKSPACE_SKIP_MOUNT);
        if (at->pending->depth == WORKSPACE_DEPTH_MAX)
                return add_skip(s, at, WORKSPACE_SKIP_DEEP);
        int r = add_entry(s, at, WORKSPACE_FOLDER, st, &e);
        if (r < 0)
                return r;
        return push(s, (Pending){ s->list->n - 1, at->ignore, at->pending->depth + 1, ignored });
}

/* True if the cache knows what is in it. */
static bool take_from_cache(Scan *s, WorkspaceEntry *e, const struct stat *st) {
        const WorkspaceReader *rd = s->reader;
        const WorkspaceEntry *old = rd->cache ? workspace_list_find(rd->cache, e->path) : NULL;

        workspace_entry_set_stat(e, st);
        if (!old || old->racy || old->kind != e->kind || !workspace_entry_same_stat(old, e) ||
            !rd->module->has(rd->store, old->oid))
                return false;
        memcpy(e->oid, old->oid, WORKSPACE_OID_SIZE);
        return true;
}

static int read_entry(Scan *s, const Place *at, WorkspaceEntry *e, uint64_t size_max) {
        const char *name = at->path->data + at->path_length;

        if (e->kind == WORKSPACE_LINK)
                return workspace_read_link(s->reader, at->fd, name, e);
        return workspace_read_file(s->reader, at->fd, name, size_max, e);
}

static int add_stored(Scan *s, const Place *at, WorkspaceKind kind, const struct stat *st, bool wanted) {
        uint64_t size_max = wanted ? UINT64_MAX : s->reader->file_size_max;
        WorkspaceEntry *e;

        if (kind == WORKSPACE_FILE && (uint64_t) st->st_size > size_max)
                return add_skip(s, at, WORKSPACE_SKIP_SIZE);
        int r = add_entry(s, at, kind, st, &e);
        if (r < 0)
                return r;
        if (take_from_cache(s, e, st))
                return 0;
        r = read_entry(s, at, e, size_max);
        if (r <= 0)
                return r;

        static const WorkspaceSkip reasons[] = {
                [WORKSPACE_READ_UNREADABLE] = WORKSPACE_SKIP_UNREADABLE,
                [WORKSPACE_READ_CHANGING] = WORKSPACE_SKIP_CHANGING,
                [WORKSPACE_READ_TOO_LARGE] = WORKSPACE_SKIP_SIZE,
        };
        free(e->path);
        s->list->n--;
        return r == WORKSPACE_READ_GONE ? 0 : add_skip(s, at, reasons[r]);
}

/* Paths that a restore will overwrite, and the folders on the way to them. */
static bool is_wanted(const Scan *s, const char *path) {
        const WorkspaceList *wanted = s->reader->wanted;
        const WorkspaceEntry *e = wanted ? workspace_list_find(wanted, path) : NULL;

        return e && e->kind != WORKSPACE_SKIP;
}

static int look_at(Scan *s, const Place *at) {
        const char *path = at->path->data;
        struct stat st;

        if (fstatat(at->fd, path + at->path_length, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                int r = workspace_read_condition(errno);
                return r == WORKSPACE_READ_UNREADABLE ? add_skip(s, at, WORKSPACE_SKIP_UNREADABLE)
                                                      : MIN(r, 0);
        }

        bool ignored = at->pending->all_ignored ||
                       workspace_ignore_match(at->ignore, path, S_ISDIR(st.st_mode));
        bool wanted = is_wanted(s, path);
        if (ignored && !wanted)
                return add_skip(s, at, WORKSPACE_SKIP_IGNORED);
        switch (st.st_mode & S_IFMT) {
        case S_IFDIR:
                return add_folder(s, at, &st, ignored);
        case S_IFREG:
                return add_stored(s, at, WORKSPACE_FILE, &st, wanted);
        case S_IFLNK:
                return add_stored(s, at, WORKSPACE_LINK, &st, wanted);
        case S_IFSOCK:
                return add_skip(s, at, WORKSPACE_SKIP_SOCKET);
        case S_IFIFO:
                return add_skip(s, at, WORKSPACE_SKIP_FIFO);
        default:
                return add_skip(s, at, WORKSPACE_SKIP_DEVICE);
        }
}

static bool is_ours_or_none(const Scan *s, int dir_fd, const char *name) {
        const char *prefix = s->reader->remove_prefix;

        if (streq(name, ".") || streq(name, "..") || streq(name, ".git"))
                return true;
        if (!str_startswith(name, WORKSPACE_TEMPORARY))
                return false;
        if (prefix && str_startswith(name, prefix))
                (void) unlinkat(dir_fd, name, 0);
        return true;
}

static int read_names(Scan *s, Place *at, DIR *dir) {
        for (;;) {
                errno = 0;
                const struct dirent *d = readdir(dir);
                if (!d)
                        return errno > 0 ? errno_neg() : 0;
                if (is_ours_or_none(s, at->fd, d->d_name))
                        continue;
                at->path->len = at->path_length;
                int r = buf_puts(at->path, d->d_name);
                if (r >= 0)
                        r = look_at(s, at);
                if (r < 0)
                        return r;
        }
}

static DIR *open_dir(int fd) {
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;

        if (!dir)
                (void) fd_close(copy);
        return dir;
}

static int scan_folder(Scan *s, const Pending *p) {
        _cleanup_buf_ Buf path = BUF_INIT((size_t) WORKSPACE_DEPTH_MAX * 256 + 256);
        WorkspaceEntry *e = &s->list->entries[p->entry];
        Place at = { .pending = p, .path = &path, .ignore = p->ignore };

        at.fd = workspace_cursor_enter(&s->cursor, e->path);
        _cleanup_(dir_closep) DIR *dir = at.fd >= 0 ? open_dir(at.fd) : NULL;
        if (!dir) {
                int r = at.fd < 0 ? at.fd : errno_neg();
                if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || p->depth == 0)
                        return r;
                /* gone, replaced or forbidden: whatever it is, we have not seen into it */
                e->kind = WORKSPACE_SKIP;
                e->skip = r == -EACCES || r == -EPERM ? WORKSPACE_SKIP_UNREADABLE
                                                      : WORKSPACE_SKIP_CHANGING;
                return 0;
        }
        int r = buf_puts(&path, e->path);
        if (r >= 0 && path.len > 0)
                r = buf_putc(&path, '/');
        at.path_length = path.len;
        if (r >= 0)
                r = read_ignore(s, at.fd, e->path, &at.ignore);
        if (r >= 0)
                r = read_names(s, &at, dir);
        return r;
}

int workspace_scan(const WorkspaceReader *rd, WorkspaceList *ret) {
        _cleanup_(workspace_list_done) WorkspaceList list = {};
        _cleanup_(scan_done) Scan s = {
                .reader = rd,
                .list = &list,
                .cursor = WORKSPACE_CURSOR_INIT(rd->root_fd),
        };
        WorkspaceEntry *root;

        if (fstat(rd->root_fd, &s.root) < 0)
                return errno_neg();
        if (is_own(&s, &s.root))
                return -EINVAL;
        int r = workspace_list_add(&list, "", WORKSPACE_FOLDER, &root);
        if (r < 0)
                return r;
        root->mode = (uint16_t) (s.root.st_mode & 03777);
        root->foreign = s.root.st_uid != geteuid() || s.root.st_gid != getegid();
        root->uid = s.root.st_uid;
        root->gid = s.root.st_gid;
        r = push(&s, (Pending){});
        while (r >= 0 && s.n_pending > 0) {
                Pending p = s.pending[--s.n_pending];
                r = scan_folder(&s, &p);
        }
        if (r < 0)
                return r;
        workspace_list_sort(&list);
        *ret = list;
        list = (WorkspaceList){};
        return 0;
}
