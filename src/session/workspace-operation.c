/* SPDX-License-Identifier: MIT */

/* Snapshot, restore, materialize and recovery, as one pool thread does them from beginning to end.
 *
 * A restore starts with a snapshot of what is there (its tree is the result, so that the caller can
 * go back), then notes on disk what it is going to do, then does it. A crash leaves the note;
 * recovery scans the folder afresh, without the cache, and applies again what still differs. If
 * applying fails the folder is brought back to how it was; if that fails too (the disk is full),
 * the note is turned round and recovery will do it.
 *
 * Materializing into an empty folder is the same with nothing before; after a crash it is taken
 * back, because the session that wanted it was never committed. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "session/workspace-internal.h"

#define TEXT_MAX ((size_t) 64 << 20)

typedef struct Work {
        WorkspaceOperation *o;
        WorkspaceStore *store;
        int root_fd;
        struct stat own; /* the daemon's data folder */
} Work;

static void work_done(Work *w) {
        if (w->store)
                (void) w->o->module->close(w->store);
        w->root_fd = fd_close(w->root_fd);
}

static int work_open(Work *w) {
        w->o->step = "opening the folder";
        w->root_fd = open(w->o->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (w->root_fd < 0)
                return errno_neg();
        w->o->step = "looking at the data folder";
        if (stat(w->o->data_dir, &w->own) < 0)
                return errno_neg();
        w->o->step = "opening the repository";
        return w->o->module->open(&w->store, w->o->repository);
}

/* ---- for people ---- */

/* The names of a list's skipped paths but the ignored ones, which are no news. */
static uint64_t name_skipped(const WorkspaceList *l, Buf *names) {
        uint64_t n = 0;

        for (size_t i = 0; i < l->n; i++) {
                const WorkspaceEntry *e = &l->entries[i];
                if (e->kind != WORKSPACE_SKIP || e->skip == WORKSPACE_SKIP_IGNORED)
                        continue;
                (void) buf_printf(names, "%s%s (%s)", n > 0 ? ", " : "", e->path,
                                  workspace_skip_to_string((WorkspaceSkip) e->skip));
                n++;
        }
        return n;
}

static void say(WorkspaceOperation *o, uint64_t n, const char *what, const Buf *names) {
        size_t used = strlen(o->result.message);

        if (n == 0 || !names->data)
                return;
        int k = snprintf(o->result.message + used, sizeof(o->result.message) - used, "%s%llu %s: %s",
                         used > 0 ? "; " : "", (unsigned long long) n, what, names->data);
        if (k > 0 && (size_t) k >= sizeof(o->result.message) - used)
                memcpy(o->result.message + sizeof(o->result.message) - 4, "...", 4);
}

static void count_list(WorkspaceOperation *o, const WorkspaceList *l) {
        for (size_t i = 0; i < l->n; i++) {
                const WorkspaceEntry *e = &l->entries[i];
                if (!workspace_entry_is_stored(e))
                        continue;
                o->result.files++;
                o->result.bytes += e->size_bytes;
        }
}

/* ---- snapshot ---- */

static bool cache_is_current(const WorkspaceList *cache, const WorkspaceList *now) {
        size_t n = 0;

        for (size_t i = 0; i < now->n; i++) {
                const WorkspaceEntry *e = &now->entries[i];
                if (!workspace_entry_is_stored(e))
                        continue;
                const WorkspaceEntry *old = n < cache->n ? &cache->entries[n++] : NULL;
                if (!old || !streq(old->path, e->path) || old->racy != e->racy ||
                    old->mode != e->mode || !workspace_entry_same_stat(old, e))
                        return false;
        }
        return n == cache->n;
}

static int flush(Work *w) {
        uint64_t n;

        w->o->step = "writing to the repository";
        int r = w->o->module->flush(w->store, &n);
        w->o->store_grew |= r >= 0 && n > 0;
        return r;
}

/* Records the folder; wanted: what a restore is going to overwrite, or NULL. */
static int record(Work *w, const WorkspaceList *wanted, WorkspaceList *ret, uint8_t *ret_tree) {
        _cleanup_(workspace_list_done) WorkspaceList cache = {}, list = {};
        WorkspaceReader reader = {
                .module = w->o->module,
                .store = w->store,
                .root_fd = w->root_fd,
                .file_size_max = w->o->file_size_max,
                .own_device = w->own.st_dev,
                .own_inode = w->own.st_ino,
                .cache = &cache,
                .wanted = wanted,
        };

        workspace_cache_load(w->o->cache_path, &cache);
        w->o->step = "reading the folder";
        int r = workspace_scan(&reader, &list);
        if (r < 0)
                return r;
        r = workspace_tree_write(w->o->module, w->store, &list, ret_tree);
        if (r >= 0)
                r = flush(w);
        if (r < 0)
                return r;
        w->o->result.changed = workspace_list_changes(&cache, &list);
        /* without a cache the next snapshot takes longer, nothing else */
        if (!cache_is_current(&cache, &list))
                (void) workspace_cache_save(w->o->cache_path, &list);
        *ret = list;
        list = (WorkspaceList){};
        return 0;
}

int workspace_operation_snapshot(WorkspaceOperation *o) {
        _cleanup_(work_done) Work w = { .o = o, .root_fd = -EBADF };
        _cleanup_(workspace_list_done) WorkspaceList list = {};
        _cleanup_buf_ Buf names = BUF_INIT(TEXT_MAX);
        int r = work_open(&w);

        if (r >= 0)
                r = record(&w, NULL, &list, o->result.tree);
        if (r < 0)
                return r;
        count_list(o, &list);
        o->result.skipped = name_skipped(&list, &names);
        say(o, o->result.skipped, "not recorded", &names);
        return 0;
}

/* ---- restore ---- */

static int apply(Work *w,
                 const WorkspaceList *before,
                 const WorkspaceList *current,
                 const WorkspaceList *target) {
        _cleanup_buf_ Buf blocked = BUF_INIT(TEXT_MAX), never = BUF_INIT(TEXT_MAX);
        WorkspaceApply a = {
                .module = w->o->module,
                .store = w->store,
                .root_fd = w->root_fd,
                .before = before,
                .current = current,
                .target = target,
                .temporary = w->o->temporary,
                .blocked = &blocked,
        };
        int r = workspace_apply(&a);

        if (r < 0)
                return r;
        uint64_t n_never = name_skipped(target, &never);
        w->o->result.changed = a.n_changed;
        w->o->result.bytes = a.bytes_written;
        w->o->result.skipped = a.n_blocked + n_never;
        say(w->o, a.n_blocked, "could not be brought back", &blocked);
        say(w->o, n_never, "never recorded", &never);
        return 0;
}

/* Applies to a folder in an unknown state. */
static int apply_afresh(Work *w, const WorkspaceList *before, const WorkspaceList *target) {
        _cleanup_(workspace_list_done) WorkspaceList current = {};
        WorkspaceReader reader = {
                .module = w->o->module,
                .store = w->store,
                .root_fd = w->root_fd,
                .file_size_max = w->o->file_size_max,
                .own_device = w->own.st_dev,
                .own_inode = w->own.st_ino,
                .wanted = target,
                .remove_prefix = w->o->temporary,
        };
        int r = workspace_scan(&reader, &current);

        return r < 0 ? r : apply(w, before, &current, target);
}

/* Applying failed: back to `before`, now or at the next start. */
static void take_back(Work *w,
                      const WorkspaceIntent *intent,
                      const WorkspaceList *before,
                      const WorkspaceList *target) {
        WorkspaceIntent undo = *intent;
        WorkspaceResult result = w->o->result;

        undo.undo = true;
        (void) workspace_intent_write(w->o->intent_path, &undo);
        int r = apply_afresh(w, target, before);
        if (r >= 0)
                (void) workspace_intent_remove(w->o->intent_path);
        w->o->result = result;
        w->o->result.is_half = r < 0;
}

static int apply_noted(Work *w,
                       const WorkspaceIntent *intent,
                       const WorkspaceList *before,
                       const WorkspaceList *target) {
        w->o->step = "noting the restore";
        int r = workspace_intent_write(w->o->intent_path, intent);

        if (r < 0)
                return r;
        w->o->step = "writing to the folder";
        r = apply(w, before, before, target);
        if (r < 0) {
                take_back(w, intent, before, target);
                return r;
        }
        /* The files are there now, so that is what is told. A note that cannot be taken away is
         * known to be over at the next start, because nobody waits for it any more. */
        if (!w->o->keeps_note)
                (void) workspace_intent_remove(w->o->intent_path);
        return 0;
}

static int read_tree(Work *w, const uint8_t *tree, WorkspaceList *ret) {
        w->o->step = "reading the tree";
        return workspace_tree_read(w->o->module, w->store, tree, ret);
}

static WorkspaceIntent intent_of(const WorkspaceOperation *o, const uint8_t *target) {
        WorkspaceIntent i = { .namespace_id = o->namespace_id, .folder = o->folder };

        memcpy(i.before, o->result.tree, WORKSPACE_OID_SIZE);
        memcpy(i.target, target, WORKSPACE_OID_SIZE);
        return i;
}

static bool parent_exists(const char *folder) {
        const char *slash = strrchr(folder, '/');
        _cleanup_free_ char *parent = slash ? strndup(folder, (size_t) (slash - folder)) : NULL;

        return parent && *parent && access(parent, F_OK) == 0;
}

int workspace_operation_restore(WorkspaceOperation *o,
                                const uint8_t target[static WORKSPACE_OID_SIZE]) {
        _cleanup_(work_done) Work w = { .o = o, .root_fd = -EBADF };
        _cleanup_(workspace_list_done) WorkspaceList before = {}, wanted = {};

        if (access(o->folder, F_OK) < 0 && errno == ENOENT && parent_exists(o->folder))
                return workspace_operation_materialize(o, target);
        int r = work_open(&w);

        if (r >= 0)
                r = read_tree(&w, target, &wanted);
        if (r >= 0)
                r = record(&w, &wanted, &before, o->result.tree);
        if (r < 0)
                return r;
        count_list(o, &wanted);
        if (memcmp(o->result.tree, target, WORKSPACE_OID_SIZE) == 0) {
                o->result.changed = 0;
                return 0;
        }
        WorkspaceIntent intent = intent_of(o, target);
        return apply_noted(&w, &intent, &before, &wanted);
}

/* ---- materialize ---- */

static int add_root(WorkspaceList *l, int root_fd) {
        WorkspaceEntry *e;
        struct stat st;

        if (fstat(root_fd, &st) < 0)
                return errno_neg();
        int r = workspace_list_add(l, "", WORKSPACE_FOLDER, &e);
        if (r >= 0)
                e->mode = (uint16_t) (st.st_mode & 03777);
        return r;
}

static int check_empty(int root_fd) {
        int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(dir_closep) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        unsigned n = 0;

        if (!dir) {
                int r = errno_neg();
                (void) fd_close(fd);
                return r;
        }
        while (n <= 2 && readdir(dir))
                n++;
        return n > 2 ? -ENOTEMPTY : 0;
}

int workspace_operation_materialize(WorkspaceOperation *o,
                                    const uint8_t target[static WORKSPACE_OID_SIZE]) {
        _cleanup_(work_done) Work w = { .o = o, .root_fd = -EBADF };
        _cleanup_(workspace_list_done) WorkspaceList nothing = {}, wanted = {};

        o->step = "making the folder";
        bool is_new = access(o->folder, F_OK) < 0;
        int r = fs_mkdir_p(o->folder, 0755);
        if (r >= 0)
                r = work_open(&w);
        if (r >= 0)
                r = check_empty(w.root_fd);
        if (r >= 0)
                r = add_root(&nothing, w.root_fd);
        if (r >= 0)
                r = read_tree(&w, target, &wanted);
        if (r < 0)
                return r;
        /* a folder we made belongs to whom the recorded one belonged to; fails for all but root */
        if (is_new && wanted.entries[0].foreign)
                (void) !fchown(w.root_fd, wanted.entries[0].uid, wanted.entries[0].gid);
        count_list(o, &wanted);
        memcpy(o->result.tree, target, WORKSPACE_OID_SIZE);
        WorkspaceIntent intent = intent_of(o, target);
        intent.fresh = true;
        return apply_noted(&w, &intent, &nothing, &wanted);
}

/* ---- recovery ---- */

static int read_intended(Work *w,
                         const WorkspaceIntent *intent,
                         WorkspaceList *ret_before,
                         WorkspaceList *ret_target) {
        int r = read_tree(w, intent->target, ret_target);

        if (r < 0)
                return r;
        if (intent->fresh)
                return add_root(ret_before, w->root_fd);
        return read_tree(w, intent->before, ret_before);
}

int workspace_operation_recover(WorkspaceOperation *o, const WorkspaceIntent *intent) {
        _cleanup_(work_done) Work w = { .o = o, .root_fd = -EBADF };
        _cleanup_(workspace_list_done) WorkspaceList before = {}, target = {};
        int r = work_open(&w);

        if (w.root_fd == -1 && r == -ENOENT) {
                r = workspace_intent_remove(o->intent_path);
                return r < 0 ? r : 1;
        }
        if (r >= 0)
                r = read_intended(&w, intent, &before, &target);
        if (r < 0)
                return r;
        o->step = "writing to the folder";
        if (intent->undo || intent->fresh)
                r = apply_afresh(&w, &target, &before);
        else
                r = apply_afresh(&w, &before, &target);
        return r < 0 ? r : workspace_intent_remove(o->intent_path);
}

int workspace_operation_settle(WorkspaceOperation *o) {
        o->step = "removing a note";
        return workspace_intent_remove(o->intent_path);
}

int workspace_operation_take_back(WorkspaceOperation *o) {
        _cleanup_(workspace_intent_done) WorkspaceIntent intent = {};
        int r = workspace_intent_read(o->intent_path, &intent);

        return r < 0 ? r : workspace_operation_recover(o, &intent);
}
