/* SPDX-License-Identifier: MIT */

/* Packs: writing one, and keeping their number small.
 *
 * Each snapshot that found something new adds a pack, and looking an object up costs a step per
 * pack. When there are more than PACKS_MAX, the smallest are merged into one: as many as keep a
 * geometric row, so that an object is rewritten O(log n) times in its life. Packs above
 * MERGED_SIZE_MAX are left alone for ever, which bounds what a merge costs. Merging also finds the
 * deltas between versions of a file, which arrived in different packs.
 *
 * A merge is safe at any instant: the new pack is on disk before an old one goes, and an object in
 * two packs is no error. Rejected: running `git gc` (a program more, and it drops what no ref
 * reaches). */

#include <dirent.h>
#include <fcntl.h>
#include <git2/sys/odb_backend.h>
#include <git2/sys/repository.h>

#include "base/fs.h"
#include "base/str.h"
#include "session/workspace-module-internal.h"

#define PACKS_MAX       20
#define MERGED_SIZE_MAX ((uint64_t) 64 << 20)

void pack_list_done(PackList *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->packs[i].name);
        free(l->packs);
}

void oid_list_done(OidList *l) {
        free(l->oids);
}

int store_write_pack(git_odb *odb,
                     const char *folder,
                     const git_oid *oids,
                     size_t n,
                     char ret_name[static GIT_OID_HEXSZ + 1]) {
        git_repository *repository = NULL;
        git_packbuilder *builder = NULL;

        errno = 0;
        int r = git_repository_wrap_odb(&repository, odb);
        if (r >= 0)
                r = git_packbuilder_new(&builder, repository);
        if (r >= 0)
                (void) git_packbuilder_set_threads(builder, 1);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = git_packbuilder_insert(builder, &oids[i], NULL);
        if (r >= 0)
                r = git_packbuilder_write(builder, folder, 0, NULL, NULL);
        if (r >= 0)
                memcpy(ret_name, git_packbuilder_name(builder), GIT_OID_HEXSZ + 1);
        r = r < 0 ? module_error(r) : 0;
        git_packbuilder_free(builder);
        git_repository_free(repository);
        return r;
}

static int pack_list_add(PackList *l, const char *name, uint64_t size_bytes) {
        if (l->n == l->cap) {
                size_t cap = MAX(l->cap * 2, (size_t) 32);
                Pack *grown = reallocarray(l->packs, cap, sizeof(Pack));
                if (!grown)
                        return -ENOMEM;
                l->packs = grown;
                l->cap = cap;
        }
        l->packs[l->n] = (Pack){ strdup(name), size_bytes };
        if (!l->packs[l->n].name)
                return -ENOMEM;
        l->n++;
        return 0;
}

static bool has_ending(const char *s, const char *ending) {
        size_t n = strlen(s), k = strlen(ending);

        return n >= k && streq(s + n - k, ending);
}

/* What a crash left: libgit2's temporary names, and one half of a pack. */
static void remove_if_left_behind(int dir_fd, const char *name) {
        _cleanup_free_ char *other = NULL;

        if (str_startswith(name, "pack_git2_")) {
                (void) unlinkat(dir_fd, name, 0);
                return;
        }
        if (has_ending(name, ".pack"))
                other = str_printf("%.*s.idx", (int) (strlen(name) - strlen(".pack")), name);
        else if (has_ending(name, ".idx"))
                other = str_printf("%.*s.pack", (int) (strlen(name) - strlen(".idx")), name);
        if (other && faccessat(dir_fd, other, F_OK, 0) < 0 && errno == ENOENT)
                (void) unlinkat(dir_fd, name, 0);
}

static int note_pack(PackList *l, int dir_fd, const char *name) {
        struct stat st;

        if (!has_ending(name, ".pack") || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        _cleanup_free_ char *stem = strndup(name, strlen(name) - strlen(".pack"));
        return stem ? pack_list_add(l, stem, (uint64_t) st.st_size) : -ENOMEM;
}

int store_list_packs(const char *folder, PackList *ret) {
        _cleanup_(dir_closep) DIR *dir = opendir(folder);
        int r = 0;

        if (!dir)
                return errno_neg();
        for (const struct dirent *e; r >= 0 && (e = readdir(dir));) {
                remove_if_left_behind(dirfd(dir), e->d_name);
                r = note_pack(ret, dirfd(dir), e->d_name);
        }
        return r;
}

/* libgit2's names for loose objects that were being written. */
static void remove_loose_leftovers(const char *folder) {
        _cleanup_(dir_closep) DIR *dir = opendir(folder);

        if (!dir)
                return;
        for (const struct dirent *e; (e = readdir(dir));)
                if (str_startswith(e->d_name, "tmp_object_git2_"))
                        (void) unlinkat(dirfd(dir), e->d_name, 0);
}

static int compare_size(const void *a, const void *b) {
        const Pack *x = a, *y = b;

        return (x->size_bytes > y->size_bytes) - (x->size_bytes < y->size_bytes);
}

/* How many of the packs, sorted by size, are to be merged. */
static size_t choose_packs(const PackList *l) {
        uint64_t sum = 0;
        size_t n = 0;

        if (l->n <= PACKS_MAX)
                return 0;
        while (n < l->n && sum + l->packs[n].size_bytes <= MERGED_SIZE_MAX &&
               (n < 2 || l->packs[n].size_bytes <= 2 * sum))
                sum += l->packs[n++].size_bytes;
        return n >= 2 ? n : 0;
}

int oid_list_add(OidList *l, const git_oid *oid) {
        if (l->n == l->cap) {
                size_t cap = MAX(l->cap * 2, (size_t) 256);
                git_oid *grown = reallocarray(l->oids, cap, sizeof(git_oid));
                if (!grown)
                        return -ENOMEM;
                l->oids = grown;
                l->cap = cap;
        }
        l->oids[l->n++] = *oid;
        return 0;
}

static int note_oid(const git_oid *oid, void *userdata) {
        return oid_list_add(userdata, oid) < 0 ? -1 : 0;
}

int store_open_pack(git_odb *odb, const char *folder, const char *name, OidList *oids) {
        _cleanup_free_ char *path = str_printf("%s/%s.idx", folder, name);
        git_odb_backend *backend;

        if (!path)
                return -ENOMEM;
        errno = 0;
        int r = git_odb_backend_one_pack(&backend, path);
        if (r < 0)
                return module_error(r);
        r = git_odb_add_backend(odb, backend, 1);
        if (r < 0) {
                r = module_error(r);
                backend->free(backend);
                return r;
        }
        r = backend->foreach(backend, note_oid, oids);
        return r < 0 ? module_error(r) : 0;
}

static int merge_packs(const char *folder,
                       const PackList *l,
                       size_t n,
                       char ret_name[static GIT_OID_HEXSZ + 1]) {
        _cleanup_(oid_list_done) OidList oids = {};
        git_odb *odb;

        errno = 0;
        int r = git_odb_new(&odb);
        if (r < 0)
                return module_error(r);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = store_open_pack(odb, folder, l->packs[i].name, &oids);
        if (r >= 0)
                r = store_write_pack(odb, folder, oids.oids, oids.n, ret_name);
        git_odb_free(odb);
        return r;
}

int store_remove_pack(const char *folder, const char *name) {
        static const char *const endings[] = { "idx", "pack" };

        ARRAY_FOREACH(ending, endings) {
                _cleanup_free_ char *path = str_printf("%s/%s.%s", folder, name, *ending);
                if (!path)
                        return -ENOMEM;
                if (unlink(path) < 0 && errno != ENOENT)
                        return errno_neg();
        }
        return 0;
}

int store_tidy(WorkspaceStore *s) {
        _cleanup_(pack_list_done) PackList l = {};
        char merged[sizeof("pack-") + GIT_OID_HEXSZ] = "pack-";

        remove_loose_leftovers(s->object_dir);
        int r = store_list_packs(s->pack_dir, &l);
        if (r < 0)
                return r;
        if (l.n > 1)
                qsort(l.packs, l.n, sizeof(Pack), compare_size);
        size_t n = choose_packs(&l);
        if (n == 0)
                return 0;
        assert(l.packs);
        r = merge_packs(s->pack_dir, &l, n, merged + strlen("pack-"));
        for (size_t i = 0; r >= 0 && i < n; i++)
                /* the same objects have the same name: then it is the merged pack itself */
                if (!streq(l.packs[i].name, merged))
                        r = store_remove_pack(s->pack_dir, l.packs[i].name);
        if (r < 0)
                return r;
        errno = 0;
        r = git_odb_refresh(s->disk);
        return r < 0 ? module_error(r) : 0;
}
