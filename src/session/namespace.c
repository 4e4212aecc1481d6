/* SPDX-License-Identifier: MIT */

/* Namespaces: the walls between owners, few and small, so all of them are in memory by id and by name.
 *
 * A namespace is stored by the first transaction that uses it: creating it apart would be a sync for
 * nothing, and one that is named and never used leaves no trace. Whether the row is on its way is noted,
 * because the statement is an insert that must come once; a failed transaction takes the note back.
 *
 * Namespaces are never removed: the ids of their bodies and repositories hang on them. */

#include "session/session-internal.h"

static int namespace_add(
        SessionManager *m, uint64_t id, const char *name, bool is_stored, Namespace **ret) {
        _cleanup_free_ Namespace *n = calloc(1, sizeof(Namespace) + strlen(name) + 1);

        if (!n)
                return -ENOMEM;
        n->id = id;
        n->is_stored = n->is_submitted = is_stored;
        memcpy(n->name, name, strlen(name) + 1);
        int r = map_put(m->namespaces, id, n);
        if (r < 0)
                return r;
        r = strmap_put(m->namespace_ids, n->name, n);
        if (r < 0) {
                map_remove(m->namespaces, id);
                return r;
        }
        *ret = TAKE_PTR(n);
        return 0;
}

int namespaces_load(SessionManager *m) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        Namespace *n;
        int r = store_query(m->reader, &c, STATE_NAMESPACE_LIST, NULL, 0);

        if (r < 0)
                return r;
        while ((r = store_next(c)) > 0) {
                if (map_get(m->namespaces, store_id(c, 0)))
                        continue;
                r = namespace_add(m, store_id(c, 0), store_text(c, 1, NULL), true, &n);
                if (r < 0)
                        return r;
        }
        return r;
}

void namespaces_free(SessionManager *m) {
        uint64_t id;
        void *value;

        strmap_free(m->namespace_ids);
        if (!m->namespaces)
                return;
        for (size_t cursor = 0; map_next(m->namespaces, &cursor, &id, &value);)
                free(value);
        map_free(m->namespaces);
}

int session_namespace(SessionManager *m, const char *name, bool create, uint64_t *ret) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);

        Namespace *n = strmap_get(m->namespace_ids, name);
        if (!n && !create)
                return -ENOENT;
        if (!n) {
                int r = namespace_add(m, id_new(), name, false, &n);
                if (r < 0)
                        return r;
        }
        *ret = n->id;
        return 0;
}

const char *session_namespace_name(const SessionManager *m, uint64_t id) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);

        const Namespace *n = map_get(m->namespaces, id);
        return n ? n->name : NULL;
}

int namespace_use(SessionTxn *t, uint64_t id) {
        Namespace *n = map_get(t->manager->namespaces, id);

        if (!n)
                return -ENOENT;
        if (n->is_submitted)
                return 0;
        t->namespace = n;
        STORE_ADD(t->store, STATE_NAMESPACE_INSERT, STORE_ID(n->id), STORE_TEXT(n->name));
        return 0;
}
