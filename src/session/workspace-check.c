/* SPDX-License-Identifier: MIT */

/* Each object is read whole, which is when libgit2 compares its hash. What was found is kept by the
 * first eight bytes of its id (a hash: two of a repository that agree in them are not to be
 * expected), so the checkpoints of a day, which share nearly everything, cost one reading.
 *
 * A tree is asked for by depth first, and its answer is the worst of what is in it: whoever shares a
 * damaged folder is damaged, too. Only GONE is told apart, because then nothing is left to save. */

#include "session/workspace-check.h"

#include "base/fs.h"
#include "base/map.h"
#include "base/str.h"
#include "session/workspace-internal.h"

struct WorkspaceCheck {
        const WorkspaceModule *module;
        char *data_dir;
        uint64_t namespace_id; /* of the store */
        WorkspaceStore *store;
        Map *found; /* first bytes of an object's id: WorkspaceFault + 1 */
};

WorkspaceCheck *workspace_check_free(WorkspaceCheck *c) {
        if (!c)
                return NULL;
        if (c->store)
                (void) c->module->close(c->store);
        if (c->module)
                c->module->stop();
        map_free(c->found);
        free(c->data_dir);
        free(c);
        return NULL;
}

int workspace_check_new(WorkspaceCheck **ret, const char *data_dir, char **ret_message) {
        _cleanup_(workspace_check_freep) WorkspaceCheck *c = calloc(1, sizeof(*c));
        const WorkspaceModule *module;
        char error[512] = "";

        if (!c)
                return -ENOMEM;
        c->data_dir = strdup(data_dir);
        if (!c->data_dir)
                return -ENOMEM;
        int r = workspace_module_load(NULL, &module, error, sizeof(error));
        if (r < 0) {
                *ret_message = strdup(error);
                return r;
        }
        r = module->start();
        if (r < 0)
                return r;
        c->module = module;
        *ret = TAKE_PTR(c);
        return 0;
}

/* ---- objects ---- */

static uint64_t key_of(const uint8_t *oid) {
        uint64_t key;

        memcpy(&key, oid, sizeof(key));
        return key ? key : 1;
}

static bool is_fault(int r) {
        return r == -ENOENT || r == -EBADMSG || r == -EIO || r == -EUCLEAN || r == -EINVAL;
}

static int check_object(WorkspaceCheck *c, const uint8_t *oid, bool is_tree, unsigned depth);

/* An entry of git's raw tree: mode, space, name, NUL, id. NOLINTBEGIN(misc-no-recursion) */
static int check_entries(WorkspaceCheck *c, const char *p, size_t n, unsigned depth) {
        const char *end = p + n;
        int worst = WORKSPACE_SOUND;

        while (p < end) {
                const char *name_end = memchr(p, '\0', (size_t) (end - p));
                if (!name_end || end - name_end <= WORKSPACE_OID_SIZE)
                        return WORKSPACE_DAMAGED;
                bool is_tree = str_startswith(p, "40000 ") != NULL;
                int r = check_object(c, (const uint8_t *) name_end + 1, is_tree, depth + 1);
                if (r < 0)
                        return r;
                worst = r != WORKSPACE_SOUND ? WORKSPACE_DAMAGED : worst;
                p = name_end + 1 + WORKSPACE_OID_SIZE;
        }
        return worst;
}

static int read_object(WorkspaceCheck *c, const uint8_t *oid, bool is_tree, unsigned depth) {
        _cleanup_free_ char *data = NULL;
        size_t n = 0;

        if (depth > WORKSPACE_DEPTH_MAX + 2)
                return WORKSPACE_DAMAGED;
        int r = c->module->read(c->store, is_tree ? WORKSPACE_OBJECT_TREE : WORKSPACE_OBJECT_BLOB,
                                oid, &data, &n);
        if (r < 0)
                return is_fault(r) ? WORKSPACE_GONE : r;
        return is_tree ? check_entries(c, data, n, depth) : WORKSPACE_SOUND;
}

static int check_object(WorkspaceCheck *c, const uint8_t *oid, bool is_tree, unsigned depth) {
        uintptr_t known = (uintptr_t) map_get(c->found, key_of(oid));

        if (known > 0)
                return (int) known - 1;
        int fault = read_object(c, oid, is_tree, depth);
        if (fault < 0)
                return fault;
        int r = map_put(c->found, key_of(oid), (void *) (uintptr_t) (fault + 1));
        return r < 0 ? r : fault;
}
/* NOLINTEND(misc-no-recursion) */

/* ---- repositories ---- */

static int open_store(WorkspaceCheck *c, uint64_t namespace_id) {
        _cleanup_free_ char *path = str_printf("%s/workspaces/%016llx.git", c->data_dir,
                                               (unsigned long long) namespace_id);

        if (!path)
                return -ENOMEM;
        if (c->store)
                c->store = c->module->close(c->store);
        map_free(c->found);
        c->found = map_new();
        c->namespace_id = namespace_id;
        if (!c->found)
                return -ENOMEM;
        if (access(path, F_OK) < 0) /* opening it would make it */
                return errno_neg();
        return c->module->open(&c->store, path);
}

int workspace_check_tree(WorkspaceCheck *c,
                         uint64_t namespace_id,
                         const uint8_t tree[static WORKSPACE_TREE_SIZE],
                         bool again) {
        if (!c->store || c->namespace_id != namespace_id || again) {
                int r = open_store(c, namespace_id);
                if (r < 0)
                        return is_fault(r) ? WORKSPACE_GONE : r;
        }
        return check_object(c, tree, true, 0);
}
