/* SPDX-License-Identifier: MIT */

/* A folder as a flat, sorted array of paths. Compared to a tree of nodes it makes every later step a
 * loop over one or two arrays: merging with the cache, finding what differs, removing children before parents
 * (backwards), making parents before children (forwards). Nothing recurses, whatever the depth.
 *
 * '/' sorts below every other byte, so a folder's contents follow it without a gap. */

#include "session/workspace-internal.h"

void workspace_list_done(WorkspaceList *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->entries[i].path);
        free(l->entries);
        *l = (WorkspaceList){};
}

int workspace_list_add(WorkspaceList *l, const char *path, WorkspaceKind kind, WorkspaceEntry **ret) {
        if (l->n >= WORKSPACE_ENTRIES_MAX)
                return -E2BIG;
        if (l->n == l->cap) {
                size_t cap = MAX(l->cap * 2, (size_t) 64);
                WorkspaceEntry *grown = reallocarray(l->entries, cap, sizeof(WorkspaceEntry));
                if (!grown)
                        return -ENOMEM;
                l->entries = grown;
                l->cap = cap;
        }
        WorkspaceEntry *e = &l->entries[l->n];
        *e = (WorkspaceEntry){ .path = strdup(path), .kind = (uint8_t) kind };
        if (!e->path)
                return -ENOMEM;
        l->n++;
        *ret = e;
        return 0;
}

static int weight(char c) {
        return c == '\0' ? 0 : c == '/' ? 1 : (uint8_t) c + 2;
}

int workspace_path_compare(const char *a, const char *b) {
        while (*a == *b && *a != '\0') {
                a++;
                b++;
        }
        return weight(*a) - weight(*b);
}

static int compare_entries(const void *a, const void *b) {
        const WorkspaceEntry *x = a, *y = b;

        return workspace_path_compare(x->path, y->path);
}

void workspace_list_sort(WorkspaceList *l) {
        if (l->n > 1)
                qsort(l->entries, l->n, sizeof(WorkspaceEntry), compare_entries);
}

/* path is the first n bytes of what may be longer. */
static int compare_part(const char *path, size_t n, const char *other) {
        size_t i = 0;

        while (i < n && path[i] == other[i])
                i++;
        return weight(i < n ? path[i] : '\0') - weight(other[i]);
}

static WorkspaceEntry *find_part(const WorkspaceList *l, const char *path, size_t n) {
        size_t low = 0, high = l->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int c = compare_part(path, n, l->entries[middle].path);
                if (c == 0)
                        return &l->entries[middle];
                if (c < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return NULL;
}

WorkspaceEntry *workspace_list_find(const WorkspaceList *l, const char *path) {
        return find_part(l, path, strlen(path));
}

const WorkspaceEntry *workspace_list_skipped(const WorkspaceList *l, const char *path) {
        for (size_t n = strlen(path); n > 0; n--) {
                if (path[n] != '\0' && path[n] != '/')
                        continue;
                const WorkspaceEntry *e = find_part(l, path, n);
                if (e && e->kind == WORKSPACE_SKIP)
                        return e;
        }
        return NULL;
}

uint64_t workspace_list_changes(const WorkspaceList *before, const WorkspaceList *now) {
        uint64_t n = 0, n_before = 0, n_known = 0;

        for (size_t i = 0; i < before->n; i++)
                n_before += workspace_entry_is_stored(&before->entries[i]);
        for (size_t i = 0; i < now->n; i++) {
                const WorkspaceEntry *e = &now->entries[i];
                if (!workspace_entry_is_stored(e))
                        continue;
                const WorkspaceEntry *old = workspace_list_find(before, e->path);
                bool known = old && workspace_entry_is_stored(old);
                n_known += known;
                if (!known || old->kind != e->kind || old->mode != e->mode ||
                    memcmp(old->oid, e->oid, WORKSPACE_OID_SIZE) != 0)
                        n++;
        }
        return n + n_before - n_known;
}
