/* SPDX-License-Identifier: MIT */

/* What differs between two trees. Both are read into sorted lists and merged, as a restore does it;
 * so what a comparison shows is what a restore would write and remove. Walking the two git trees
 * side by side and entering only folders whose ids differ was rejected: it would skip equal
 * folders, but the manifest (permissions, what was left out) belongs to the whole list anyway.
 *
 * A path that one side has and the other side left out (too large there, ignored, unreadable) is
 * neither added nor removed: nobody knows. It is counted apart.
 *
 * Sizes and patches are made for the listed changes only. A patch is for people, so it is made of
 * small files that are valid UTF-8 without NUL; what one answer carries of them is bounded, and
 * changes behind that have none. */

#include "base/str.h"
#include "session/workspace-internal.h"

#define PATCH_FILE_MAX  ((uint64_t) 256 << 10)
#define PATCH_BYTES_MAX ((size_t) 4 << 20)

typedef struct Differ {
        WorkspaceOperation *o;
        WorkspaceDiff *d;
        WorkspaceStore *store;
        const WorkspaceList *from, *to;
        uint64_t n_seen;    /* changes so far, listed or not */
        size_t patch_bytes; /* of all patches */
        size_t cap;
} Differ;

void workspace_diff_done(WorkspaceDiff *d) {
        for (size_t i = 0; i < d->n_changes; i++) {
                free(d->changes[i].path);
                free(d->changes[i].patch);
        }
        free(d->changes);
        *d = (WorkspaceDiff){};
}

/* ---- one change ---- */

static int side_of(const Differ *x, const WorkspaceEntry *e, WorkspaceSide *ret) {
        if (!e)
                return 0;
        ret->exists = true;
        ret->is_link = e->kind == WORKSPACE_LINK;
        ret->mode = ret->is_link ? 0777 : e->mode;
        return x->o->module->size(x->store, e->oid, &ret->size_bytes);
}

/* 1: *ret is a text that a patch can be made of (NULL: there is no file). */
static int read_text(const Differ *x,
                     const WorkspaceEntry *e,
                     const WorkspaceSide *side,
                     char **ret,
                     size_t *ret_n) {
        if (!e)
                return 1;
        if (side->is_link || side->size_bytes > PATCH_FILE_MAX)
                return 0;
        int r = x->o->module->read(x->store, WORKSPACE_OBJECT_BLOB, e->oid, ret, ret_n);
        if (r < 0)
                return r;
        return !memchr(*ret, '\0', *ret_n) && utf8_is_valid(*ret, *ret_n);
}

static int add_patch(Differ *x, const WorkspaceEntry *a, const WorkspaceEntry *b, WorkspaceChange *c) {
        _cleanup_free_ char *from = NULL, *to = NULL, *patch = NULL;
        size_t n_from = 0, n_to = 0;

        if (a && b && memcmp(a->oid, b->oid, WORKSPACE_OID_SIZE) == 0)
                return 0;
        int r = read_text(x, a, &c->from, &from, &n_from);
        if (r > 0)
                r = read_text(x, b, &c->to, &to, &n_to);
        if (r <= 0)
                return r;
        r = x->o->module->patch(c->path, from, n_from, to, n_to, &patch);
        if (r < 0)
                return r;
        size_t n = strlen(patch);
        if (x->patch_bytes + n > PATCH_BYTES_MAX || !utf8_is_valid(patch, n))
                return 0;
        x->patch_bytes += n;
        c->patch = TAKE_PTR(patch);
        return 0;
}

static int list_change(Differ *x,
                       WorkspaceChangeKind kind,
                       const WorkspaceEntry *a,
                       const WorkspaceEntry *b) {
        WorkspaceDiff *d = x->d;

        if (d->n_changes == x->cap) {
                size_t cap = MAX(x->cap * 2, (size_t) 16);
                WorkspaceChange *grown = reallocarray(d->changes, cap, sizeof(WorkspaceChange));
                if (!grown)
                        return -ENOMEM;
                d->changes = grown;
                x->cap = cap;
        }
        WorkspaceChange *c = &d->changes[d->n_changes];
        *c = (WorkspaceChange){ .kind = kind, .path = strdup(a ? a->path : b->path) };
        if (!c->path)
                return -ENOMEM;
        d->n_changes++;
        int r = side_of(x, a, &c->from);
        if (r >= 0)
                r = side_of(x, b, &c->to);
        return r >= 0 && d->with_patches ? add_patch(x, a, b, c) : r;
}

static int count_change(Differ *x,
                        WorkspaceChangeKind kind,
                        const WorkspaceEntry *a,
                        const WorkspaceEntry *b) {
        uint64_t *const counts[_WORKSPACE_CHANGE_KIND_MAX] = {
                [WORKSPACE_ADDED] = &x->d->added,
                [WORKSPACE_REMOVED] = &x->d->removed,
                [WORKSPACE_MODIFIED] = &x->d->modified,
        };

        (*counts[kind])++;
        if (x->n_seen++ < x->d->skip || x->d->n_changes >= x->d->limit)
                return 0;
        return list_change(x, kind, a, b);
}

/* ---- merging ---- */

static bool entries_equal(const WorkspaceEntry *a, const WorkspaceEntry *b) {
        return a->kind == b->kind && memcmp(a->oid, b->oid, WORKSPACE_OID_SIZE) == 0 &&
               (a->kind == WORKSPACE_LINK || a->mode == b->mode);
}

/* a and b: of one path; one of them may be NULL. */
static int compare(Differ *x, const WorkspaceEntry *a, const WorkspaceEntry *b) {
        if (a && b)
                return entries_equal(a, b) ? 0 : count_change(x, WORKSPACE_MODIFIED, a, b);
        if (workspace_list_skipped(a ? x->to : x->from, a ? a->path : b->path)) {
                x->d->unknown++;
                return 0;
        }
        return count_change(x, a ? WORKSPACE_REMOVED : WORKSPACE_ADDED, a, b);
}

static const WorkspaceEntry *next_stored(const WorkspaceList *l, size_t *i) {
        while (*i < l->n && !workspace_entry_is_stored(&l->entries[*i]))
                (*i)++;
        return *i < l->n ? &l->entries[*i] : NULL;
}

static int merge(Differ *x) {
        size_t i = 0, j = 0;
        int r = 0;

        while (r >= 0) {
                const WorkspaceEntry *a = next_stored(x->from, &i), *b = next_stored(x->to, &j);
                if (!a && !b)
                        break;
                int c = !a ? 1 : !b ? -1 : workspace_path_compare(a->path, b->path);
                i += c <= 0;
                j += c >= 0;
                r = compare(x, c <= 0 ? a : NULL, c >= 0 ? b : NULL);
        }
        return r;
}

int workspace_operation_diff(WorkspaceOperation *o) {
        _cleanup_(workspace_list_done) WorkspaceList from = {}, to = {};
        Differ x = { .o = o, .d = o->diff, .from = &from, .to = &to };

        o->step = "opening the repository";
        int r = o->module->open(&x.store, o->repository);
        if (r < 0)
                return r;
        o->step = "reading the trees";
        r = workspace_tree_read(o->module, x.store, o->diff->from, &from);
        if (r >= 0)
                r = workspace_tree_read(o->module, x.store, o->diff->to, &to);
        o->step = "comparing";
        if (r >= 0)
                r = merge(&x);
        (void) o->module->close(x.store);
        return r;
}
