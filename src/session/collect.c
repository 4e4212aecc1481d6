/* SPDX-License-Identifier: MIT */

/* Garbage of workspaces: recorded files that no checkpoint has any more. Deleting a session or a
 * checkpoint marks the namespace, and so does the start of the daemon, because the mark is only in
 * memory; some time later its repository is looked through as a whole, off the loop thread.
 *
 * Nothing that may still be asked for may go. The list of living trees is read in the pool when the
 * workspace room holds everybody else back, so no new tree can come up meanwhile; it is complete
 * because nothing is begun while a transaction with a tree is under way, and trees that only verbs
 * under way know of are passed along. In doubt it is put off by a second.
 *
 * Reading every tree of a large repository takes its time, and snapshots wait for it; so after a
 * collection there is none for twenty times as long as it took. Counting references was rejected:
 * it would put a write for every file into every checkpoint. */

#include "base/log.h"
#include "session/session-internal.h"

#define RETRY_USEC    USEC_PER_SEC
#define REST_FACTOR   20
#define COLLECT_MAGIC UINT32_C(0x5e55c011)

typedef struct Collection {
        uint32_t magic;
        SessionManager *manager;
        Namespace *namespace;
        usec_t began;
} Collection;

typedef struct TreeList {
        uint8_t (*trees)[WORKSPACE_TREE_SIZE];
        size_t n, cap;
} TreeList;

static void tree_list_done(TreeList *l) {
        free(l->trees);
}

static int tree_list_add(TreeList *l, const uint8_t *tree) {
        if (l->n == l->cap) {
                size_t cap = l->cap ? 2 * l->cap : 16;
                void *grown = reallocarray(l->trees, cap, sizeof(*l->trees));
                if (!grown)
                        return -ENOMEM;
                l->trees = grown;
                l->cap = cap;
        }
        memcpy(l->trees[l->n++], tree, WORKSPACE_TREE_SIZE);
        return 0;
}

/* What verbs under way have recorded or are going to bring back, of whatever namespace. */
static int trees_of_verbs(SessionManager *m, TreeList *l) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < m->n_sorted; i++)
                for (const SessionOp *op = m->sorted[i]->ops; r >= 0 && op; op = op->next) {
                        if (op->has_files && op->files.error == 0)
                                r = tree_list_add(l, op->files.tree);
                        if (r >= 0 && op->point.has_tree)
                                r = tree_list_add(l, op->point.tree);
                }
        return r;
}

/* In a pool thread. */
static int gather(WorkspaceAddFn add, void *list, void *userdata) {
        const Collection *k = OBJ_CAST(Collection, userdata, COLLECT_MAGIC);
        _cleanup_(store_reader_freep) StoreReader *reader = NULL;
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_reader_open(&reader, k->manager->store);

        if (r >= 0)
                r = STORE_QUERY(reader, &c, STATE_CHECKPOINT_TREES, STORE_ID(k->namespace->id));
        while (r >= 0 && (r = store_next(c)) > 0) {
                size_t n = 0;
                const void *tree = store_blob(c, 0, &n);
                r = n == WORKSPACE_TREE_SIZE ? add(tree, list) : -EUCLEAN;
        }
        c = store_cursor_free(c);
        return r;
}

static void on_collected(int r, const WorkspaceResult *result, void *userdata) {
        Collection *k = OBJ_CAST(Collection, userdata, COLLECT_MAGIC);
        SessionManager *m = k->manager;
        usec_t now = clock_monotonic();

        k->namespace->is_collecting = false;
        m->collect_not_before = now + REST_FACTOR * (now - k->began);
        if (r >= 0 && result->changed > 0)
                log_info("Removed %llu recorded files and folders that no checkpoint has any more",
                         (unsigned long long) result->changed);
        if (r < 0)
                collect_needed(m, k->namespace->id);
        k->magic = 0;
        free(k);
}

static int start(SessionManager *m, Namespace *ns, const TreeList *trees) {
        Collection *k = calloc(1, sizeof(Collection));

        if (!k)
                return -ENOMEM;
        *k = (Collection){ COLLECT_MAGIC, m, ns, clock_monotonic() };
        WorkspaceLiving living = {
                .trees = (const uint8_t(*)[WORKSPACE_TREE_SIZE]) trees->trees,
                .n_trees = trees->n,
                .gather = gather,
                .userdata = k,
        };
        int r = workspace_collect_living(m->config.workspace, ns->id, &living, on_collected, k);
        if (r < 0)
                free(k);
        return r;
}

void collect_due(SessionManager *m) {
        _cleanup_(tree_list_done) TreeList trees = {};
        bool again = m->n_tree_txns > 0 || trees_of_verbs(m, &trees) < 0;
        usec_t now = clock_monotonic();
        size_t cursor = 0;
        uint64_t id;
        void *value;

        if (m->is_closing || m->is_shutting_down)
                return;
        if (!again && now < m->collect_not_before) {
                collect_arm(m, m->collect_not_before);
                return;
        }
        while (!again && map_next(m->namespaces, &cursor, &id, &value)) {
                Namespace *ns = value;
                int r = ns->is_littered && !ns->is_collecting ? start(m, ns, &trees) : 1;
                if (r == 0)
                        ns->is_collecting = true;
                if (r == 0 || r == -ENOENT)
                        ns->is_littered = false;
                again = r < 0 && r != -ENOENT;
        }
        if (again)
                collect_arm(m, now + RETRY_USEC);
}

void collect_needed(SessionManager *m, uint64_t namespace_id) {
        Namespace *ns = map_get(m->namespaces, namespace_id);

        if (!ns || !m->config.workspace)
                return;
        ns->is_littered = true;
        if (m->config.collect_interval_usec > 0 && m->collect_timer.index == 0)
                collect_arm(m, clock_monotonic() + m->config.collect_interval_usec);
}

void collect_load(SessionManager *m) {
        size_t cursor = 0;
        uint64_t id;
        void *value;

        while (map_next(m->namespaces, &cursor, &id, &value))
                collect_needed(m, id);
}

void collect_set_interval(SessionManager *m, usec_t interval) {
        bool is_littered = false;
        size_t cursor = 0;
        uint64_t id;
        void *value;

        if (m->config.collect_interval_usec == interval)
                return;
        m->config.collect_interval_usec = interval;
        if (m->collect_timer.index > 0)
                heap_remove(&m->heap, &m->collect_timer);
        while (!is_littered && map_next(m->namespaces, &cursor, &id, &value))
                is_littered = ((Namespace *) value)->is_littered;
        if (is_littered && interval > 0)
                collect_arm(m, clock_monotonic() + interval);
}
