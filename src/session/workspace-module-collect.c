/* SPDX-License-Identifier: MIT */

/* Collecting garbage: mark everything that the given trees reach, then drop the rest. Our objects
 * have no refs that git's own collector could start from.
 *
 * Marking comes first and in full; when it fails (a tree is missing, the disk cannot be read)
 * nothing is removed. A pack whose objects all live stays as it is, one without a living object
 * goes, any other is written again with the living and goes then; so a crash at any moment leaves
 * too much, never too little. */

#include <dirent.h>
#include <fcntl.h>

#include "base/fs.h"
#include "base/str.h"
#include "session/workspace-module-internal.h"

/* Ids are hashes, so any of their bytes spread well; the null id marks a free slot. */
typedef struct OidSet {
        git_oid *slots;
        size_t n, n_slots;
} OidSet;

typedef struct Collector {
        WorkspaceStore *store;
        OidSet living;
        OidList trees; /* still to be read */
        uint64_t n_removed;
} Collector;

static void collector_done(Collector *c) {
        free(c->living.slots);
        oid_list_done(&c->trees);
}

/* ---- the set ---- */

static git_oid *set_probe(const OidSet *s, const git_oid *oid) {
        size_t i;

        memcpy(&i, oid->id, sizeof(i));
        for (i &= s->n_slots - 1;; i = (i + 1) & (s->n_slots - 1))
                if (git_oid_is_zero(&s->slots[i]) || git_oid_equal(&s->slots[i], oid))
                        return &s->slots[i];
}

static bool set_has(const OidSet *s, const git_oid *oid) {
        return s->n > 0 && git_oid_equal(set_probe(s, oid), oid);
}

static int set_grow(OidSet *s) {
        OidSet grown = { .n = s->n, .n_slots = MAX(s->n_slots * 2, (size_t) 1024) };

        grown.slots = calloc(grown.n_slots, sizeof(git_oid));
        if (!grown.slots)
                return -ENOMEM;
        for (size_t i = 0; i < s->n_slots; i++)
                if (!git_oid_is_zero(&s->slots[i]))
                        *set_probe(&grown, &s->slots[i]) = s->slots[i];
        free(s->slots);
        *s = grown;
        return 0;
}

/* 1 if it is new. */
static int set_add(OidSet *s, const git_oid *oid) {
        if (s->n + 1 > s->n_slots / 4 * 3) {
                int r = set_grow(s);
                if (r < 0)
                        return r;
        }
        git_oid *slot = set_probe(s, oid);
        if (git_oid_equal(slot, oid))
                return 0;
        *slot = *oid;
        s->n++;
        return 1;
}

/* ---- marking ---- */

static int mark(Collector *c, const git_oid *oid, bool is_tree) {
        int r = set_add(&c->living, oid);

        return r > 0 && is_tree ? oid_list_add(&c->trees, oid) : MIN(r, 0);
}

/* The entries of a raw tree: "MODE NAME\0" and the id; folders have mode 40000. */
static int mark_entries(Collector *c, const char *p, size_t n) {
        const char *end = p + n;
        git_oid oid;

        while (p < end) {
                const char *nul = memchr(p, '\0', (size_t) (end - p));
                if (!nul || end - nul <= GIT_OID_RAWSZ)
                        return -EBADMSG;
                (void) git_oid_fromraw(&oid, (const unsigned char *) nul + 1);
                int r = mark(c, &oid, p[0] == '4');
                if (r < 0)
                        return r;
                p = nul + 1 + GIT_OID_RAWSZ;
        }
        return 0;
}

static int mark_tree(Collector *c, const git_oid *oid) {
        git_odb_object *object;

        errno = 0;
        int r = git_odb_read(&object, c->store->disk, oid);
        if (r < 0)
                return r == GIT_EMISMATCH ? -EBADMSG : module_error(r);
        if (git_odb_object_type(object) == GIT_OBJECT_TREE)
                r = mark_entries(c, git_odb_object_data(object), git_odb_object_size(object));
        else
                r = -EBADMSG;
        git_odb_object_free(object);
        return r;
}

/* ---- sweeping ---- */

static int sweep_pack(Collector *c, git_odb *odb, const char *name) {
        _cleanup_(oid_list_done) OidList oids = {};
        char kept[sizeof("pack-") + GIT_OID_HEXSZ] = "pack-";
        size_t n_living = 0;
        int r = store_open_pack(odb, c->store->pack_dir, name, &oids);

        if (r < 0)
                return r;
        for (size_t i = 0; i < oids.n; i++)
                if (set_has(&c->living, &oids.oids[i]))
                        oids.oids[n_living++] = oids.oids[i];
        if (n_living == oids.n)
                return 0;
        if (n_living > 0) {
                r = store_write_pack(odb, c->store->pack_dir, oids.oids, n_living,
                                     kept + strlen("pack-"));
                if (r < 0)
                        return r;
        }
        c->n_removed += oids.n - n_living;
        return store_remove_pack(c->store->pack_dir, name);
}

static int sweep_packs(Collector *c) {
        _cleanup_(pack_list_done) PackList l = {};
        int r = store_list_packs(c->store->pack_dir, &l);

        for (size_t i = 0; r >= 0 && i < l.n; i++) {
                git_odb *odb;
                errno = 0;
                r = git_odb_new(&odb);
                if (r < 0)
                        return module_error(r);
                r = sweep_pack(c, odb, l.packs[i].name);
                git_odb_free(odb);
        }
        return r;
}

/* The loose objects whose ids begin with the two digits. */
static int sweep_loose(Collector *c, const char *digits) {
        _cleanup_free_ char *path = path_join(c->store->object_dir, digits);
        _cleanup_(dir_closep) DIR *dir = path ? opendir(path) : NULL;
        char hex[GIT_OID_HEXSZ + 1];
        git_oid oid;

        if (!path)
                return -ENOMEM;
        if (!dir)
                return errno == ENOENT ? 0 : errno_neg();
        for (const struct dirent *e; (e = readdir(dir));) {
                if (strlen(e->d_name) != GIT_OID_HEXSZ - 2)
                        continue;
                memcpy(hex, digits, 2);
                memcpy(hex + 2, e->d_name, sizeof(hex) - 2);
                if (git_oid_fromstr(&oid, hex) < 0 || set_has(&c->living, &oid))
                        continue;
                if (unlinkat(dirfd(dir), e->d_name, 0) == 0)
                        c->n_removed++;
        }
        return 0;
}

static int sweep(Collector *c) {
        char digits[3];
        int r = sweep_packs(c);

        for (unsigned i = 0; r >= 0 && i < 256; i++) {
                hex_encode(&(uint8_t){ (uint8_t) i }, 1, digits);
                r = sweep_loose(c, digits);
        }
        return r;
}

int store_collect(WorkspaceStore *s,
                  const uint8_t (*trees)[WORKSPACE_OID_SIZE],
                  size_t n_trees,
                  uint64_t *ret_n) {
        _cleanup_(collector_done) Collector c = { .store = s };
        git_oid oid;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n_trees; i++) {
                (void) git_oid_fromraw(&oid, trees[i]);
                r = mark(&c, &oid, true);
        }
        while (r >= 0 && c.trees.n > 0) {
                oid = c.trees.oids[--c.trees.n];
                r = mark_tree(&c, &oid);
        }
        if (r >= 0)
                r = sweep(&c);
        if (r >= 0)
                *ret_n = c.n_removed;
        return r;
}
