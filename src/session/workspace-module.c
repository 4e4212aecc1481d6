/* SPDX-License-Identifier: MIT */

/* Git's object database as a store, through libgit2.
 *
 * Small objects are collected in memory (libgit2's mempack back end) and written as one pack at the
 * end, with two fsyncs; 1,000 files of 2 KB took 0.33 s and 1.2 MB that way, and 0.8 s and 5 MB as
 * loose objects with one fsync each. The queue is written out whenever it holds QUEUE_BYTES_MAX, so
 * that a workspace of any size needs bounded memory. Large objects go straight to loose objects:
 * packing them would copy them through memory for a delta search that rarely finds anything.
 *
 * Only the object database is opened, not the repository: no configuration is read, no template
 * copied, nobody's $HOME consulted. The few files that make git accept the folder as a bare
 * repository are written here, with a configuration that keeps `git gc` from dropping our objects:
 * they have no refs, the daemon's database refers to them.
 *
 * git_mempack_dump() was rejected: in libgit2 1.5 it packs only what commits reach. */

#include <fcntl.h>
#include <git2/sys/mempack.h>
#include <git2/sys/odb_backend.h>

#include "base/fs.h"
#include "session/workspace-module-internal.h"

#define QUEUE_BYTES_MAX ((size_t) 16 << 20)
#define PACKED_SIZE_MAX ((size_t) 512 << 10)

struct WorkspaceStream {
        WorkspaceStore *store;
        git_odb_stream *git;
};

/* What a disk said is in errno, or, when cleaning up has set that anew, at the message's end. */
static int disk_error(int error, const char *message) {
        static const int known[] = { ENOSPC, EDQUOT, EFBIG, EROFS };

        ARRAY_FOREACH(k, known)
                if (*k == error || strstr(message, strerror(*k)))
                        return -*k;
        return -EIO;
}

int module_error(int r) {
        const git_error *e = git_error_last();

        if (r == GIT_ENOTFOUND)
                return -ENOENT;
        if (e && e->klass == GIT_ERROR_NOMEMORY)
                return -ENOMEM;
        if (e && e->klass == GIT_ERROR_OS && errno > 0 && errno != ENOENT)
                return -errno;
        return disk_error(errno, e && e->message ? e->message : "");
}

static const char *module_error_text(void) {
        const git_error *e = git_error_last();

        return e && e->message ? e->message : "no details";
}

static int module_start(void) {
        static const int levels[] = { GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM,
                                      GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL };

        errno = 0;
        int r = git_libgit2_init();
        if (r < 0)
                return module_error(r);
        (void) git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
        ARRAY_FOREACH(level, levels)
                (void) git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, *level, "");
        return 0;
}

static void module_stop(void) {
        (void) git_libgit2_shutdown();
}

/* ---- the repository ---- */

static const struct {
        const char *name, *text;
} repository_files[] = {
        { "description", "Workspaces of agentd: trees of agents' folders, named by its database.\n" },
        { "config", "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
                    "[gc]\n\tauto = 0\n\tpruneExpire = never\n" },
        /* the last one: git takes the folder for a repository once this is there */
        { "HEAD", "ref: refs/heads/main\n" },
};

static int make_repository(const char *path) {
        static const char *const folders[] = { "refs", "refs/heads", "objects", "objects/info",
                                               "objects/pack" };
        _cleanup_free_ char *head = path_join(path, "HEAD");

        if (!head)
                return -ENOMEM;
        if (access(head, F_OK) == 0)
                return 0;
        int made = fs_mkdir_p(path, 0700);
        if (made >= 0)
                made = fs_sync_parent(path);
        if (made < 0)
                return made;
        ARRAY_FOREACH(folder, folders) {
                _cleanup_free_ char *p = path_join(path, *folder);
                int r = p ? fs_mkdir_p(p, 0700) : -ENOMEM;
                if (r >= 0)
                        r = fs_sync_parent(p);
                if (r < 0)
                        return r;
        }
        ARRAY_FOREACH(f, repository_files) {
                _cleanup_free_ char *p = path_join(path, f->name);
                int r = p ? fs_write_file_atomic(AT_FDCWD, p, f->text, strlen(f->text), 0600)
                          : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the queue ---- */

static int queue_open(WorkspaceStore *s) {
        git_odb_backend *memory;

        if (s->queue)
                return 0;
        errno = 0;
        int r = git_odb_new(&s->queue);
        if (r < 0)
                return module_error(r);
        r = git_mempack_new(&memory);
        if (r >= 0) {
                r = git_odb_add_backend(s->queue, memory, 1);
                if (r < 0)
                        memory->free(memory);
        }
        if (r >= 0)
                return 0;
        r = module_error(r);
        git_odb_free(s->queue);
        s->queue = NULL;
        return r;
}

static void queue_drop(WorkspaceStore *s) {
        git_odb_free(s->queue);
        s->queue = NULL;
        s->n_queued = s->bytes_queued = 0;
}

int store_flush_queue(WorkspaceStore *s) {
        char name[GIT_OID_HEXSZ + 1];

        if (s->n_queued == 0)
                return 0;
        int r = store_write_pack(s->queue, s->pack_dir, s->queued, s->n_queued, name);
        if (r < 0)
                return r;
        queue_drop(s);
        errno = 0;
        r = git_odb_refresh(s->disk);
        return r < 0 ? module_error(r) : 0;
}

static int queue_add(
        WorkspaceStore *s, git_object_t type, const void *data, size_t n, const git_oid *oid) {
        git_oid stored;
        int r = queue_open(s);

        if (r < 0)
                return r;
        if (s->n_queued == s->cap_queued) {
                size_t cap = MAX(s->cap_queued * 2, (size_t) 64);
                git_oid *grown = reallocarray(s->queued, cap, sizeof(git_oid));
                if (!grown)
                        return -ENOMEM;
                s->queued = grown;
                s->cap_queued = cap;
        }
        errno = 0;
        r = git_odb_write(&stored, s->queue, data, n, type);
        if (r < 0)
                return module_error(r);
        s->queued[s->n_queued++] = *oid;
        s->bytes_queued += n + sizeof(git_oid);
        return s->bytes_queued >= QUEUE_BYTES_MAX ? store_flush_queue(s) : 0;
}

/* ---- the table ---- */

static WorkspaceStore *store_close(WorkspaceStore *s) {
        if (!s)
                return NULL;
        git_odb_free(s->queue);
        git_odb_free(s->disk);
        free(s->queued);
        free(s->pack_dir);
        free(s->object_dir);
        free(s);
        return NULL;
}
DEFINE_CLEANUP(WorkspaceStore *, store_close);

static int store_open(WorkspaceStore **ret, const char *path) {
        _cleanup_(store_closep) WorkspaceStore *s = calloc(1, sizeof(WorkspaceStore));

        if (!s)
                return -ENOMEM;
        s->object_dir = path_join(path, "objects");
        s->pack_dir = path_join(path, "objects/pack");
        if (!s->object_dir || !s->pack_dir)
                return -ENOMEM;
        int r = make_repository(path);
        if (r < 0)
                return r;
        errno = 0;
        r = git_odb_open(&s->disk, s->object_dir);
        if (r < 0)
                return module_error(r);
        *ret = TAKE_PTR(s);
        return 0;
}

static bool has_oid(WorkspaceStore *s, const git_oid *oid) {
        return git_odb_exists_ext(s->disk, oid, GIT_ODB_LOOKUP_NO_REFRESH) ||
               (s->queue && git_odb_exists_ext(s->queue, oid, GIT_ODB_LOOKUP_NO_REFRESH));
}

static bool store_has(WorkspaceStore *s, const uint8_t oid[static WORKSPACE_OID_SIZE]) {
        git_oid id;

        (void) git_oid_fromraw(&id, oid);
        return has_oid(s, &id);
}

static git_object_t git_type(WorkspaceObject kind) {
        return kind == WORKSPACE_OBJECT_TREE ? GIT_OBJECT_TREE : GIT_OBJECT_BLOB;
}

static int store_write(WorkspaceStore *s,
                       WorkspaceObject kind,
                       const void *data,
                       size_t n,
                       uint8_t ret_oid[static WORKSPACE_OID_SIZE]) {
        git_oid oid;

        errno = 0;
        int r = git_odb_hash(&oid, data, n, git_type(kind));
        if (r < 0)
                return module_error(r);
        if (!has_oid(s, &oid)) {
                s->n_written++;
                if (n <= PACKED_SIZE_MAX)
                        r = queue_add(s, git_type(kind), data, n, &oid);
                else {
                        s->loose_written = true;
                        r = git_odb_write(&oid, s->disk, data, n, git_type(kind));
                        r = r < 0 ? module_error(r) : 0;
                }
        }
        if (r >= 0)
                memcpy(ret_oid, oid.id, WORKSPACE_OID_SIZE);
        return r;
}

static WorkspaceStream *stream_drop(WorkspaceStream *w) {
        if (w)
                git_odb_stream_free(w->git);
        free(w);
        return NULL;
}
DEFINE_CLEANUP(WorkspaceStream *, stream_drop);

static int stream_new(WorkspaceStore *s, uint64_t size_bytes, WorkspaceStream **ret) {
        _cleanup_(stream_dropp) WorkspaceStream *w = calloc(1, sizeof(WorkspaceStream));

        if (!w)
                return -ENOMEM;
        w->store = s;
        errno = 0;
        int r = git_odb_open_wstream(&w->git, s->disk, size_bytes, GIT_OBJECT_BLOB);
        if (r < 0)
                return module_error(r);
        *ret = TAKE_PTR(w);
        return 0;
}

static int stream_write(WorkspaceStream *w, const void *data, size_t n) {
        errno = 0;
        int r = git_odb_stream_write(w->git, data, n);
        return r < 0 ? module_error(r) : 0;
}

static int stream_finish(WorkspaceStream *w, uint8_t ret_oid[static WORKSPACE_OID_SIZE]) {
        _cleanup_(stream_dropp) WorkspaceStream *owned = w;
        git_oid oid;

        if (w->git->received_bytes != w->git->declared_size)
                return -EINVAL;
        errno = 0;
        int r = git_odb_stream_finalize_write(&oid, w->git);
        if (r < 0)
                return module_error(r);
        owned->store->loose_written = true;
        owned->store->n_written++;
        memcpy(ret_oid, oid.id, WORKSPACE_OID_SIZE);
        return 0;
}

static int store_flush(WorkspaceStore *s, uint64_t *ret_n) {
        int r = store_flush_queue(s);

        /* What is relied on may be of an operation that failed at just this sync. */
        if (r >= 0)
                r = fs_sync_folder(s->pack_dir);
        /* libgit2 syncs a loose object and the folder it is in, but not the folder of a new folder */
        if (r >= 0 && s->loose_written)
                r = fs_sync_folder(s->object_dir);
        if (r < 0)
                return r;
        s->loose_written = false;
        *ret_n = s->n_written;
        return 0;
}

static int store_read(WorkspaceStore *s,
                      WorkspaceObject kind,
                      const uint8_t oid[static WORKSPACE_OID_SIZE],
                      char **ret,
                      size_t *ret_n) {
        git_odb_object *object;
        git_oid id;

        (void) git_oid_fromraw(&id, oid);
        errno = 0;
        int r = git_odb_read(&object, s->disk, &id);
        if (r == GIT_ENOTFOUND && s->queue)
                r = git_odb_read(&object, s->queue, &id);
        if (r == GIT_EMISMATCH)
                return -EBADMSG;
        if (r < 0)
                return module_error(r);

        size_t n = git_odb_object_size(object);
        char *data = git_odb_object_type(object) == git_type(kind) ? malloc(n + 1) : NULL;
        if (data) {
                memcpy(data, git_odb_object_data(object), n);
                data[n] = '\0';
                *ret = data;
                *ret_n = n;
        } else
                r = git_odb_object_type(object) == git_type(kind) ? -ENOMEM : -EBADMSG;
        git_odb_object_free(object);
        return r;
}

extern _public_ const WorkspaceModule workspace_module;
const WorkspaceModule workspace_module = {
        .version = WORKSPACE_MODULE_VERSION,
        .start = module_start,
        .stop = module_stop,
        .error_text = module_error_text,
        .open = store_open,
        .close = store_close,
        .has = store_has,
        .write = store_write,
        .stream_new = stream_new,
        .stream_write = stream_write,
        .stream_finish = stream_finish,
        .stream_drop = stream_drop,
        .flush = store_flush,
        .read = store_read,
        .size = store_size,
        .patch = store_patch,
        .tidy = store_tidy,
        .collect = store_collect,
};
