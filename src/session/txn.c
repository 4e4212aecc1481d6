/* SPDX-License-Identifier: MIT */

/* A change of a session, kept together: the rows, the events, and what memory will be. Verbs write
 * into `next`, a copy of the session's info; it becomes the session's own when the store has taken
 * the transaction, so a change that is refused (queue full, out of memory) leaves nothing behind,
 * and there is no undo code anywhere. From then on memory is ahead of the disk until the
 * completion.
 *
 * When a transaction fails, what memory holds was built on something that is not there. Then the
 * session is tainted: as soon as none of its transactions is under way it is read again from the
 * store, and only then are the callers told, so that they see the truth. The store says on_failed()
 * once for a lost commit; the deferred event source is for a single transaction that was refused
 * (STORE_E_CONFLICT), of which the store tells nobody else.
 *
 * Undo records beside each change were rejected: the store is the undo record. */

#include "session/session-internal.h"

int session_make_true(Session *s) {
        if (!s->is_tainted)
                return 0;
        return s->inflight > 0 ? -EAGAIN : session_reread(s);
}

int session_txn_new(SessionManager *m, Session *s, SessionTxn **ret) {
        int r = s ? session_make_true(s) : 0;
        if (r < 0)
                return r;

        _cleanup_(session_txn_freep) SessionTxn *t = calloc(1, sizeof(SessionTxn));
        if (!t)
                return -ENOMEM;
        t->magic = SESSION_TXN_MAGIC;
        t->manager = m;
        t->session = s;
        t->json = BUF_INIT(1 << 20);
        t->events_tail = &t->events;
        t->now = clock_realtime();
        if (s) {
                t->next = s->info;
                t->session_id = s->info.id;
                t->next_vars_since = s->vars_since;
        }
        t->store = store_txn_new(m->store);
        if (!t->store)
                return -ENOMEM;
        *ret = TAKE_PTR(t);
        return 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): value is taken over */
void txn_set_string(SessionTxn *t, const char **field, const char *old, char *value) {
        if (*field != old)
                free((void *) (uintptr_t) *field);
        *field = value;
}

/* Frees the strings of `of` that `other` does not hold. */
static void strings_free_other(const SessionInfo *of, const SessionInfo *other) {
        if (of->name != other->name)
                free((void *) (uintptr_t) of->name);
        if (of->reason != other->reason)
                free((void *) (uintptr_t) of->reason);
        if (of->workspace != other->workspace)
                free((void *) (uintptr_t) of->workspace);
        if (of->labels.p != other->labels.p)
                free((void *) (uintptr_t) of->labels.p);
}

SessionTxn *session_txn_free(SessionTxn *t) {
        if (!t)
                return NULL;
        OBJ_CHECK(t, SESSION_TXN_MAGIC);
        /* Never submitted: what it prepared is dropped. Afterwards they are the session's. */
        if (t->session && !t->is_submitted)
                strings_free_other(&t->next, &t->session->info);
        store_txn_free(t->store);
        body_unclaim(t->manager, &t->body_file);
        buf_done(&t->json);
        events_free(t->events);
        free(t->new_run);
        free(t->jump);
        free(t->void_intents.ids);
        vars_pending_free(t->vars);
        config_info_done(&t->config.info);
        explicit_bzero(t->token, sizeof(t->token));
        t->magic = 0;
        free(t);
        return NULL;
}

static void defer_arm(SessionManager *m) {
        (void) sd_event_source_set_enabled(m->defer, SD_EVENT_ONESHOT);
}

void session_taint(Session *s) {
        SessionManager *m = s->manager;

        if (s->is_tainted)
                return;
        if (m->n_tainted == m->cap_tainted) {
                size_t cap = m->cap_tainted ? m->cap_tainted * 2 : 16;
                Session **list = reallocarray(m->tainted, cap, sizeof(Session *));
                /* Without memory for the list session_txn_new() still finds the flag and reads it again. */
                if (list) {
                        m->tainted = list;
                        m->cap_tainted = cap;
                }
        }
        if (m->n_tainted < m->cap_tainted)
                m->tainted[m->n_tainted++] = s;
        s->is_tainted = true;
}

/* Removing one twice does no harm, forgetting one would make a failed verb again at the next start. */
static void void_intents_take(SessionTxn *t) {
        t->void_intents = t->manager->void_intents;
        t->manager->void_intents = (IntentList){};
        for (size_t i = 0; i < t->void_intents.n; i++)
                STORE_ADD(t->store, STATE_INTENT_DELETE, STORE_ID(t->void_intents.ids[i]));
}

static void void_intents_return(SessionTxn *t) {
        IntentList *back = &t->void_intents, *list = &t->manager->void_intents;
        uint64_t *ids = back->n ? reallocarray(list->ids, list->n + back->n, sizeof(uint64_t)) : NULL;

        if (!ids)
                return;
        memcpy(ids + list->n, back->ids, back->n * sizeof(uint64_t));
        list->ids = ids;
        list->n += back->n;
        void_intents_arm(t->manager);
}

void void_intents_sweep(SessionManager *m) {
        SessionTxn *t;

        if (m->void_intents.n == 0)
                return;
        if (session_txn_new(m, NULL, &t) < 0 || session_txn_submit(t, 0, NULL, NULL) < 0)
                void_intents_arm(m);
}

static void txn_failed(SessionTxn *t, int r) {
        SessionManager *m = t->manager;

        t->error = r == STORE_E_CONFLICT ? -ESTALE : r;
        void_intents_return(t);
        if (t->namespace && !t->namespace->is_stored)
                t->namespace->is_submitted = false;
        if (t->session)
                session_taint(t->session);
        t->next_failed = NULL;
        *m->failed_tail = t;
        m->failed_tail = &t->next_failed;
        defer_arm(m);
}

static void txn_done(SessionTxn *t) {
        SessionManager *m = t->manager;
        Session *s = t->session;

        if (t->namespace)
                t->namespace->is_stored = true;
        if (s)
                s->info.is_committed = true;
        config_committed(t);
        events_publish(m, t->events);
        if (t->done)
                t->done(0, s, t->id, t->userdata);
        if (t->token[0] && !m->is_closing)
                m->ops->start(s, t->next.run, t->token, m->ops_userdata);
        if (t->flags & TXN_LITTER && t->next.workspace)
                collect_needed(m, t->next.namespace_id);
        if (t->flags & TXN_DELETE) {
                session_forget(s, SESSION_E_NOT_FOUND);
                sweep_session(m, t->session_id);
        }
}

static void on_commit(int r, uint64_t commit, void *userdata) {
        SessionTxn *t = OBJ_CAST(SessionTxn, userdata, SESSION_TXN_MAGIC);
        Session *s = t->session;

        (void) commit;
        assert(t->manager->inflight > 0);
        t->manager->inflight--;
        t->manager->n_tree_txns -= t->flags & TXN_TREE ? 1 : 0;
        if (s) {
                OBJ_CHECK(s, SESSION_MAGIC);
                assert(s->inflight > 0);
                s->inflight--;
                if (t->vars)
                        vars_pending_done(s, TAKE_PTR(t->vars));
        }
        if (r != 0) {
                txn_failed(t, r);
                return;
        }
        txn_done(t);
        session_txn_free(t);
}

static void txn_add_rows(SessionTxn *t) {
        const SessionInfo *i = &t->next;

        if (t->flags & (TXN_CREATE | TXN_ROW) && !(t->flags & TXN_DELETE))
                txn_add_session_row(t);
        if (t->flags & TXN_NAME)
                STORE_ADD(t->store, STATE_SESSION_UPDATE_NAME, STORE_ID(i->id), STORE_INT(0),
                          STORE_TEXT(i->name), STORE_INT((int64_t) t->now));
        if (t->flags & TXN_BRANCH)
                STORE_ADD(t->store, STATE_BRANCH_UPDATE, STORE_ID(i->branch), STORE_ID(i->head),
                          STORE_ID(i->vars), STORE_ID(i->config));
}

static void apply_changes(Session *s, unsigned flags) {
        if (flags & TXN_CHECKPOINTED)
                s->changed_since = 0;
        if (flags & TXN_CHANGED && s->changed_since == 0)
                s->changed_since = MAX(clock_monotonic(), (usec_t) 1);
}

/* Memory takes what the store was given. Nothing here can fail: room was made before. */
static void txn_apply(SessionTxn *t) {
        Session *s = t->session;
        SessionInfo old = s->info;

        if (t->flags & TXN_END_RUN)
                open_run_remove(s);
        else if (s->open_run && t->run_state != RUN_INTENT)
                s->open_run->state = t->run_state;
        if (t->new_run)
                s->open_run = TAKE_PTR(t->new_run);
        session_apply(s, &t->next);
        strings_free_other(&old, &s->info);
        s->vars_since = t->next_vars_since;
        if (t->vars)
                vars_pending_add(s, t->vars);
        apply_changes(s, t->flags);
        if (t->flags & TXN_NEW_HEAD)
                s->has_vars_bound = false;
        if (t->jump || t->flags & TXN_NEW_HEAD) {
                free(s->jump);
                s->jump = TAKE_PTR(t->jump);
        }
        s->is_deleting = t->flags & TXN_DELETE;
        s->inflight++;
        session_rearm(s);
}

int session_txn_submit(SessionTxn *txn, uint64_t id, SessionDoneFn done, void *userdata) {
        _cleanup_(session_txn_freep) SessionTxn *t = txn;
        SessionManager *m = t->manager;
        int r = t->error ? t->error : buf_error(&t->json);

        t->id = id;
        t->done = done;
        t->userdata = userdata;
        if (t->session)
                txn_add_rows(t);
        if (r >= 0 && t->new_run)
                r = open_run_index(m, t->new_run);
        if (r < 0)
                return r;
        void_intents_take(t);
        r = store_submit(m->store, TAKE_PTR(t->store), on_commit, t);
        if (r < 0) {
                void_intents_return(t);
                if (t->new_run)
                        open_run_unindex(m, t->new_run);
                return r;
        }
        m->inflight++;
        m->n_tree_txns += t->flags & TXN_TREE ? 1 : 0;
        if (t->namespace)
                t->namespace->is_submitted = true;
        if (t->session)
                txn_apply(t);
        t->is_submitted = true;
        (void) TAKE_PTR(t);
        return 0;
}

static void on_barrier(int r, uint64_t commit, void *userdata) {
        SessionTxn *t = OBJ_CAST(SessionTxn, userdata, SESSION_TXN_MAGIC);

        (void) commit;
        t->session = t->session_id ? session_get(t->manager, t->session_id) : NULL;
        if (r != 0) {
                t->session = NULL;
                txn_failed(t, r);
                return;
        }
        t->done(0, t->session, t->id, t->userdata);
        session_txn_free(t);
}

int session_txn_barrier(SessionManager *m, Session *s, uint64_t id, SessionDoneFn done, void *userdata) {
        SessionTxn *t = calloc(1, sizeof(SessionTxn));

        if (!t)
                return -ENOMEM;
        t->magic = SESSION_TXN_MAGIC;
        t->is_submitted = true;
        t->manager = m;
        t->session_id = s ? s->info.id : 0;
        t->id = id;
        t->done = done;
        t->userdata = userdata;
        int r = store_barrier(m->store, on_barrier, t);
        if (r < 0)
                session_txn_free(t);
        return r;
}

static void reread_tainted(SessionManager *m) {
        for (size_t i = 0; i < m->n_tainted;) {
                Session *s = m->tainted[i];
                int r = session_make_true(s);
                if (r == -ENOENT)
                        session_forget(s, -ESTALE); /* takes it from the list */
                else if (r < 0)
                        i++;
                else
                        m->tainted[i] = m->tainted[--m->n_tainted];
        }
}

void session_manager_reload(SessionManager *m) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        reread_tainted(m);

        SessionTxn *list = m->failed;
        m->failed = NULL;
        m->failed_tail = &m->failed;
        while (list) {
                SessionTxn *t = list;
                Session *s = t->session_id ? session_get(m, t->session_id) : NULL;
                list = t->next_failed;
                if (t->done)
                        t->done(t->error, s, t->id, t->userdata);
                session_txn_free(t);
        }
}
