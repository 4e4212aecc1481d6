/* SPDX-License-Identifier: MIT */

/* Lists to git trees and back.
 *
 * Trees are written and parsed here, in git's raw format ("MODE NAME\0" and 20 bytes of id, sorted
 * as if folders ended in a slash), because libgit2's builder refuses names that are legal in a
 * folder (`.GIT`, `git~1`) and because a sorted list gives all trees in one pass with a stack of
 * open folders. What comes back is checked as if somebody else had written it: a name with a slash
 * must not get near a restore.
 *
 * The tree that names a snapshot is the wrapper { files: tree, manifest: blob }. */

#include "base/str.h"
#include "session/workspace-internal.h"

#define TREE_SIZE_MAX ((size_t) 512 << 20)

#define MODE_FOLDER  "40000"
#define MODE_FILE    "100644"
#define MODE_PROGRAM "100755"
#define MODE_LINK    "120000"

/* ---- writing ---- */

typedef struct Child {
        const char *name; /* in an entry's path; not terminated */
        size_t n;
        const char *mode;
        uint8_t oid[WORKSPACE_OID_SIZE];
} Child;

typedef struct OpenFolder {
        const char *path;
        Child *children;
        size_t n, cap;
} OpenFolder;

typedef struct Writer {
        const WorkspaceModule *module;
        WorkspaceStore *store;
        OpenFolder folders[WORKSPACE_DEPTH_MAX + 1];
        size_t depth; /* index of the innermost */
        Buf raw;
        uint8_t root[WORKSPACE_OID_SIZE];
} Writer;

static Writer *writer_free(Writer *w) {
        if (!w)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(w->folders); i++)
                free(w->folders[i].children);
        buf_done(&w->raw);
        free(w);
        return NULL;
}
DEFINE_CLEANUP(Writer *, writer_free);

static int compare_children(const void *a, const void *b) {
        const Child *x = a, *y = b;
        int c = memcmp(x->name, y->name, MIN(x->n, y->n));

        if (c != 0)
                return c;
        /* what follows the shorter name: a slash if it is a folder, else nothing */
        uint8_t next_x = (uint8_t) (x->n > y->n ? x->name[y->n] : x->mode[0] == '4' ? '/' : '\0');
        uint8_t next_y = (uint8_t) (y->n > x->n ? y->name[x->n] : y->mode[0] == '4' ? '/' : '\0');
        return next_x - next_y;
}

static int add_child(OpenFolder *f, Child child) {
        if (f->n == f->cap) {
                size_t cap = MAX(f->cap * 2, (size_t) 16);
                Child *grown = reallocarray(f->children, cap, sizeof(Child));
                if (!grown)
                        return -ENOMEM;
                f->children = grown;
                f->cap = cap;
        }
        f->children[f->n++] = child;
        return 0;
}

static Child child_of(const char *path, const char *mode, const uint8_t *oid) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        Child c = { .name = name, .n = strlen(name), .mode = mode };

        if (oid)
                memcpy(c.oid, oid, WORKSPACE_OID_SIZE);
        return c;
}

static int write_children(Writer *w, OpenFolder *f, uint8_t ret_oid[static WORKSPACE_OID_SIZE]) {
        if (f->n > 1)
                qsort(f->children, f->n, sizeof(Child), compare_children);
        buf_clear(&w->raw);
        for (size_t i = 0; i < f->n; i++) {
                const Child *c = &f->children[i];
                (void) buf_puts(&w->raw, c->mode);
                (void) buf_putc(&w->raw, ' ');
                (void) buf_append(&w->raw, c->name, c->n);
                (void) buf_putc(&w->raw, '\0');
                (void) buf_append(&w->raw, c->oid, WORKSPACE_OID_SIZE);
        }
        if (buf_error(&w->raw) < 0)
                return buf_error(&w->raw);
        return w->module->write(w->store, WORKSPACE_OBJECT_TREE, f->n > 0 ? w->raw.data : "",
                                w->raw.len, ret_oid);
}

/* Ends the innermost folder. An empty one is no part of a tree; the manifest has it. */
static int close_folder(Writer *w) {
        OpenFolder *f = &w->folders[w->depth];
        uint8_t oid[WORKSPACE_OID_SIZE];

        if (f->n > 0 || w->depth == 0) {
                int r = write_children(w, f, oid);
                if (r < 0)
                        return r;
        }
        if (w->depth == 0) {
                memcpy(w->root, oid, WORKSPACE_OID_SIZE);
                return 0;
        }
        w->depth--;
        if (f->n == 0)
                return 0;
        f->n = 0;
        return add_child(&w->folders[w->depth], child_of(f->path, MODE_FOLDER, oid));
}

static bool is_below(const char *path, const char *folder) {
        const char *rest = str_startswith(path, folder);

        return rest && (folder[0] == '\0' || rest[0] == '/');
}

static int add_to_trees(Writer *w, const WorkspaceEntry *e) {
        while (!is_below(e->path, w->folders[w->depth].path)) {
                int r = close_folder(w);
                if (r < 0)
                        return r;
        }
        if (e->kind == WORKSPACE_FOLDER) {
                assert(w->depth < WORKSPACE_DEPTH_MAX);
                w->folders[++w->depth].path = e->path;
                return 0;
        }
        if (!workspace_entry_is_stored(e))
                return 0;
        const char *mode = e->kind == WORKSPACE_LINK ? MODE_LINK
                           : e->mode & 0100          ? MODE_PROGRAM
                                                     : MODE_FILE;
        return add_child(&w->folders[w->depth], child_of(e->path, mode, e->oid));
}

static int write_wrapper(Writer *w,
                         const WorkspaceList *l,
                         uint8_t ret_oid[static WORKSPACE_OID_SIZE]) {
        _cleanup_buf_ Buf text = BUF_INIT(TREE_SIZE_MAX);
        Child children[] = { child_of("files", MODE_FOLDER, w->root),
                             child_of("manifest", MODE_FILE, NULL) };
        OpenFolder wrapper = { .children = children, .n = ELEMENTSOF(children) };
        int r = workspace_manifest_write(l, &text);

        if (r < 0)
                return r;
        r = w->module->write(w->store, WORKSPACE_OBJECT_BLOB, text.data, text.len, children[1].oid);
        return r < 0 ? r : write_children(w, &wrapper, ret_oid);
}

int workspace_tree_write(const WorkspaceModule *module,
                         WorkspaceStore *store,
                         const WorkspaceList *l,
                         uint8_t ret_oid[static WORKSPACE_OID_SIZE]) {
        _cleanup_(writer_freep) Writer *w = calloc(1, sizeof(Writer));
        int r = 0;

        if (!w)
                return -ENOMEM;
        w->module = module;
        w->store = store;
        w->raw = BUF_INIT(TREE_SIZE_MAX);
        w->folders[0].path = "";
        for (size_t i = 0; r >= 0 && i < l->n; i++)
                if (l->entries[i].path[0] != '\0')
                        r = add_to_trees(w, &l->entries[i]);
        while (r >= 0 && w->depth > 0)
                r = close_folder(w);
        if (r >= 0)
                r = close_folder(w);
        return r < 0 ? r : write_wrapper(w, l, ret_oid);
}

/* ---- reading ---- */

typedef struct RawEntry {
        const char *mode, *name;
        size_t n_mode;
        const uint8_t *oid;
} RawEntry;

/* The next entry of a raw tree: 1, 0 at its end, -EBADMSG. The tree is NUL-terminated behind n. */
static int next_raw(const char **p, const char *end, RawEntry *ret) {
        if (*p == end)
                return 0;
        const char *space = memchr(*p, ' ', (size_t) (end - *p));
        const char *nul = space ? memchr(space, '\0', (size_t) (end - space)) : NULL;
        if (!nul || end - nul <= WORKSPACE_OID_SIZE)
                return -EBADMSG;
        *ret = (RawEntry){ *p, space + 1, (size_t) (space - *p), (const uint8_t *) nul + 1 };
        *p = nul + 1 + WORKSPACE_OID_SIZE;
        return 1;
}

static bool has_mode(const RawEntry *e, const char *mode) {
        return strlen(mode) == e->n_mode && memcmp(e->mode, mode, e->n_mode) == 0;
}

static bool name_is_sound(const char *name) {
        return name[0] != '\0' && !streq(name, ".") && !streq(name, "..") && !streq(name, ".git") &&
               !strchr(name, '/') && strlen(name) <= 255;
}

static int add_raw(WorkspaceList *l, const char *folder, const RawEntry *raw) {
        _cleanup_free_ char *path = NULL;
        WorkspaceKind kind = WORKSPACE_FILE;
        WorkspaceEntry *e;

        if (!name_is_sound(raw->name))
                return -EBADMSG;
        if (has_mode(raw, MODE_FOLDER))
                kind = WORKSPACE_FOLDER;
        else if (has_mode(raw, MODE_LINK))
                kind = WORKSPACE_LINK;
        else if (!has_mode(raw, MODE_FILE) && !has_mode(raw, MODE_PROGRAM))
                return -EBADMSG;
        path = folder[0] != '\0' ? str_printf("%s/%s", folder, raw->name) : strdup(raw->name);
        if (!path)
                return -ENOMEM;
        int r = workspace_list_add(l, path, kind, &e);
        if (r < 0)
                return r;
        e->mode = kind == WORKSPACE_LINK ? 0777 : has_mode(raw, MODE_FILE) ? 0644 : 0755;
        memcpy(e->oid, raw->oid, WORKSPACE_OID_SIZE);
        return 0;
}

/* Adds what is in the folder of entry i, whose tree is named by its oid. */
static int expand(const WorkspaceModule *module, WorkspaceStore *store, WorkspaceList *l, size_t i) {
        const char *folder = l->entries[i].path;
        _cleanup_free_ char *data = NULL;
        RawEntry raw;
        size_t n, depth = 1;
        int r = module->read(store, WORKSPACE_OBJECT_TREE, l->entries[i].oid, &data, &n);

        if (r < 0)
                return r;
        for (const char *p = folder; *p != '\0'; p++)
                depth += *p == '/';
        if (depth > WORKSPACE_DEPTH_MAX)
                return -EBADMSG;
        const char *p = data;
        while ((r = next_raw(&p, data + n, &raw)) > 0) {
                r = add_raw(l, folder, &raw);
                if (r < 0)
                        return r;
        }
        return r;
}

/* The members of the wrapper. */
static int read_wrapper(const WorkspaceModule *module,
                        WorkspaceStore *store,
                        const uint8_t *oid,
                        WorkspaceList *ret) {
        WorkspaceEntry *e;
        int r = workspace_list_add(ret, "", WORKSPACE_FOLDER, &e);

        if (r < 0)
                return r;
        memcpy(e->oid, oid, WORKSPACE_OID_SIZE);
        r = expand(module, store, ret, 0);
        if (r < 0)
                return r;
        if (ret->n != 3 || !streq(ret->entries[1].path, "files") ||
            ret->entries[1].kind != WORKSPACE_FOLDER || !streq(ret->entries[2].path, "manifest"))
                return -EBADMSG;
        return 0;
}

int workspace_tree_read(const WorkspaceModule *module,
                        WorkspaceStore *store,
                        const uint8_t oid[static WORKSPACE_OID_SIZE],
                        WorkspaceList *ret) {
        _cleanup_(workspace_list_done) WorkspaceList list = {}, wrapper = {};
        _cleanup_free_ char *text = NULL;
        WorkspaceEntry *root;
        size_t n;
        int r = read_wrapper(module, store, oid, &wrapper);

        if (r < 0)
                return r;
        r = workspace_list_add(&list, "", WORKSPACE_FOLDER, &root);
        if (r < 0)
                return r;
        root->mode = 0755;
        memcpy(root->oid, wrapper.entries[1].oid, WORKSPACE_OID_SIZE);
        for (size_t i = 0; r >= 0 && i < list.n; i++)
                if (list.entries[i].kind == WORKSPACE_FOLDER)
                        r = expand(module, store, &list, i);
        if (r >= 0)
                r = module->read(store, WORKSPACE_OBJECT_BLOB, wrapper.entries[2].oid, &text, &n);
        if (r < 0)
                return r;
        workspace_list_sort(&list);
        r = workspace_manifest_read(&list, text, n);
        if (r < 0)
                return r;
        *ret = list;
        list = (WorkspaceList){};
        return 0;
}
