/* SPDX-License-Identifier: MIT */

/* What deleted sessions leave behind: messages, large bodies, variables and configurations, which
 * forks may share and which are therefore not deleted with the session.
 *
 * A branch has messages of its own: those behind the one that it began at. Every other path through
 * them belongs to a branch that begins at one of them, or to one that begins on such a branch. So
 * the deletion turns a session's branches into dead ones, in the same transaction, and the sweep
 * shortens each from its end, up to the first message at which some branch, living or dead,
 * begins. A dead branch goes when nothing of its own is left and nothing begins on it; then those
 * that it held up are looked at again. The last one of a session takes the variables and
 * configurations with it: as long as a fork lives, directly or by forks in between, there is a dead
 * branch that it began on. So nothing is marked and nothing counted: appends cost nothing for it,
 * and the work is in proportion to what is removed.
 *
 * The rows of dead branches are the only state, and each batch moves them on in the transaction
 * that removes, so a crash loses nothing. Batches are small and come one by one, each behind
 * whatever was submitted meanwhile.
 *
 * A body goes when no message has its key. Its file goes after that commit, unless a transaction
 * under way is about to use it again. Mark and sweep over all heads was rejected: with a hundred
 * thousand sessions every deletion would read them all. */

#include "session/session-internal.h"

#define BATCH      256
#define FILES_ONCE 16
#define RETRY_USEC USEC_PER_SEC

typedef struct DeadBranch {
        uint64_t id, session, namespace_id, head, origin_node, origin_branch;
        bool is_origin, has_others, has_values;
} DeadBranch;

/* ---- what is to be looked at ---- */

static void wake(SessionManager *m) {
        if (!m->is_sweeping)
                sweep_arm(m, clock_monotonic());
}

static int push(SessionManager *m, uint64_t id) {
        if (m->n_dead == m->cap_dead) {
                size_t cap = m->cap_dead ? 2 * m->cap_dead : 64;
                uint64_t *grown = reallocarray(m->dead, cap, sizeof(uint64_t));
                if (!grown)
                        return -ENOMEM; /* at the next start, then */
                m->dead = grown;
                m->cap_dead = cap;
        }
        m->dead[m->n_dead++] = id;
        return 0;
}

static int push_query(SessionManager *m, unsigned statement, const StoreValue *values, size_t n) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(m->reader, &c, statement, values, n);

        while (r >= 0 && (r = store_next(c)) > 0)
                r = push(m, store_id(c, 0));
        return r;
}

void sweep_session(SessionManager *m, uint64_t session) {
        StoreValue id = STORE_ID(session);

        (void) push_query(m, STATE_DEAD_BRANCH_LIST_SESSION, &id, 1);
        wake(m);
}

int sweep_load(SessionManager *m) {
        int r = push_query(m, STATE_DEAD_BRANCH_LIST, NULL, 0);

        m->has_dead_bodies = true; /* perhaps */
        wake(m);
        return r;
}

void sweep_done(SessionManager *m) {
        free(m->dead);
        m->dead = NULL;
        m->n_dead = m->cap_dead = 0;
}

bool sweep_is_idle(const SessionManager *m) {
        return m->n_dead == 0 && !m->is_sweeping && !m->has_dead_bodies;
}

/* 1: it is there. */
static int dead_load(SessionManager *m, uint64_t id, DeadBranch *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(m->reader, &c, STATE_DEAD_BRANCH_ONE, STORE_ID(id));

        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r;
        *ret = (DeadBranch){
                .id = id,
                .session = store_id(c, 0),
                .namespace_id = store_id(c, 1),
                .head = store_id(c, 2),
                .origin_node = store_id(c, 3),
                .origin_branch = store_id(c, 4),
                .is_origin = store_int(c, 5) != 0,
                .has_others = store_int(c, 6) != 0,
                .has_values = store_int(c, 7) != 0,
        };
        return 1;
}

/* ---- one batch ---- */

static void on_batch(int r, Session *s, uint64_t id, void *userdata) {
        SessionManager *m = OBJ_CAST(SessionManager, userdata, SESSION_MANAGER_MAGIC);

        m->is_sweeping = false;
        if (r < 0 && id > 0)
                (void) push(m, id);
        sweep_arm(m, clock_monotonic() + (r < 0 ? RETRY_USEC : 0));
}

static int submit(SessionManager *m, SessionTxn *t, uint64_t id, SessionDoneFn done) {
        int r = session_txn_submit(t, id, done, m);

        m->is_sweeping = r == 0;
        return r;
}

static void remove_node(SessionTxn *t, uint64_t namespace_id, uint64_t id, const void *key, size_t n) {
        STORE_ADD(t->store, STATE_NODE_DELETE, STORE_ID(id));
        if (n == 0)
                return;
        STORE_ADD(t->store, STATE_DEAD_BODY_INSERT, STORE_ID(namespace_id), STORE_BLOB(key, n));
        STORE_ADD(t->store, STATE_BODY_DELETE_UNUSED, STORE_ID(namespace_id), STORE_BLOB(key, n));
        t->manager->has_dead_bodies = true;
}

/* Adds to t the removal of the last messages of d. *ret_head: where it ends then. 1: it ends there
 * for now, because something begins there. */
static int shorten(SessionTxn *t, const DeadBranch *d, uint64_t *ret_head) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(t->manager->reader, &c, STATE_NODE_SWEEP, STORE_ID(d->head),
                            STORE_INT(BATCH));
        uint64_t head = d->head;

        while (r >= 0 && (r = store_next(c)) > 0) {
                uint64_t id = store_id(c, 0);
                size_t n_key = 0;
                const void *key = store_blob(c, 2, &n_key);
                bool is_own = id != d->origin_node, is_needed = store_int(c, 3) != 0;
                if (!is_own || is_needed) {
                        *ret_head = head;
                        return is_own ? 1 : 0;
                }
                remove_node(t, d->namespace_id, id, key, n_key);
                head = store_id(c, 1);
        }
        /* The whole batch; or a message that is not there any more ends it. */
        *ret_head = head == d->head ? d->origin_node : head;
        return r;
}

/* 0: a batch is under way; 1: nothing to do for now. */
static int sweep_messages(SessionManager *m, const DeadBranch *d) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        uint64_t head = 0;
        int r = session_txn_new(m, NULL, &t);

        if (r >= 0)
                r = shorten(t, d, &head);
        if (r < 0)
                return r;
        if (r > 0 && head == d->head)
                return 1;
        STORE_ADD(t->store, STATE_DEAD_BRANCH_UPDATE, STORE_ID(d->id), STORE_ID(head));
        return submit(m, TAKE_PTR(t), d->id, on_batch);
}

static int sweep_values(SessionManager *m, const DeadBranch *d) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        int r = session_txn_new(m, NULL, &t);

        if (r < 0)
                return r;
        STORE_ADD(t->store, STATE_VARS_DELETE_SESSION, STORE_ID(d->session), STORE_INT(BATCH));
        STORE_ADD(t->store, STATE_CONFIG_DELETE_SESSION, STORE_ID(d->session), STORE_INT(BATCH));
        return submit(m, TAKE_PTR(t), d->id, on_batch);
}

/* Nothing is left of it; what it held up is next. */
static int sweep_branch(SessionManager *m, const DeadBranch *d) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        StoreValue at[] = { STORE_ID(d->origin_branch), STORE_ID(d->origin_node) };
        int r = session_txn_new(m, NULL, &t);

        if (r < 0)
                return r;
        STORE_ADD(t->store, STATE_DEAD_BRANCH_DELETE, STORE_ID(d->id));
        r = submit(m, TAKE_PTR(t), d->id, on_batch);
        if (r < 0)
                return r;
        m->n_dead--; /* its own entry, the last one */
        return push_query(m, STATE_DEAD_BRANCH_LIST_AT, at, ELEMENTSOF(at));
}

static int sweep_one(SessionManager *m, uint64_t id) {
        DeadBranch d;
        int r = dead_load(m, id, &d);

        if (r <= 0)
                return r < 0 ? r : 1;
        if (d.head != d.origin_node)
                return sweep_messages(m, &d);
        if (d.is_origin)
                return 1;
        return d.has_values && !d.has_others ? sweep_values(m, &d) : sweep_branch(m, &d);
}

/* ---- files ---- */

/* 0: a transaction is under way; 1: there are none. */
static int sweep_files(SessionManager *m) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        unsigned n = 0, n_busy = 0;
        int r = session_txn_new(m, NULL, &t);

        if (r >= 0)
                r = STORE_QUERY(m->reader, &c, STATE_DEAD_BODY_LIST, STORE_INT(FILES_ONCE));
        while (r >= 0 && (r = store_next(c)) > 0) {
                size_t n_key = 0;
                const void *key = store_blob(c, 1, &n_key);
                bool is_back = store_int(c, 2) != 0;
                int gone = n_key != HASH_SIZE || is_back ? 0 : body_file_remove(m, key);
                n_busy += gone < 0;
                if (gone < 0)
                        continue;
                STORE_ADD(t->store, STATE_DEAD_BODY_DELETE, STORE_ID(store_id(c, 0)),
                          STORE_BLOB(key, n_key));
                n++;
        }
        c = store_cursor_free(c);
        if (r < 0 || n > 0)
                return r < 0 ? r : submit(m, TAKE_PTR(t), 0, on_batch);
        m->has_dead_bodies = n_busy > 0;
        return n_busy > 0 ? -EBUSY : 1;
}

void sweep_due(SessionManager *m) {
        int r = 1;

        while (!m->is_sweeping && !m->is_closing && !m->is_shutting_down && r > 0 && m->n_dead > 0) {
                r = sweep_one(m, m->dead[m->n_dead - 1]);
                if (r > 0)
                        m->n_dead--;
        }
        if (r > 0 && !m->is_sweeping && m->has_dead_bodies && !m->is_closing)
                r = sweep_files(m);
        if (r < 0)
                sweep_arm(m, clock_monotonic() + RETRY_USEC);
}
