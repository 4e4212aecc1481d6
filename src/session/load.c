/* SPDX-License-Identifier: MIT */

/* Start: memory from the store, and what a dead daemon left half done. Everything that was
 * acknowledged is in the rows, so this is one query for all sessions, one for the runs that may
 * still live, one for the intents. The daemon is shown each open run (found()) and decides by
 * looking at the machine: adopted, or over. Only after that do the verbs that were under way go on.
 *
 * A session whose row says it has a process while no run is open cannot be written by this version
 * (both change in one transaction), but a repaired database may hold it: such a session is started
 * again, or comes to rest if it was being stopped, instead of being believed for ever.
 *
 * The same reading serves a single session after a failed commit. */

#include "session/session-internal.h"

static int load_max_id(SessionManager *m) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(m->reader, &c, STATE_MAX_ID, NULL, 0);

        if (r >= 0)
                r = store_next(c);
        if (r > 0)
                id_set_floor(store_id(c, 0));
        return MIN(r, 0);
}

/* Changed after its newest checkpoint? Ids ascend with time. */
static void note_change(Session *s) {
        const SessionInfo *i = &s->info;
        uint64_t said = MAX(i->head, i->vars);
        bool changed = said > i->checkpoint || i->run > i->checkpoint;

        s->changed_since =
                i->status == SESSION_RUNNING && changed ? MAX(clock_monotonic(), (usec_t) 1) : 0;
}

static int load_session(SessionManager *m, StoreCursor *c) {
        Session *s;
        int r = session_new(m, store_id(c, 0), &s);

        if (r < 0)
                return r;
        r = session_from_row(s, c);
        if (r < 0) {
                session_forget(s, r);
                return r;
        }
        note_change(s);
        return 0;
}

static int load_sessions(SessionManager *m) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(m->reader, &c, STATE_SESSION_LOAD_ALL, NULL, 0);

        while (r >= 0 && (r = store_next(c)) > 0)
                r = load_session(m, c);
        return r;
}

static int load_runs(SessionManager *m) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(m->reader, &c, STATE_RUN_LIST_OPEN, NULL, 0);

        while (r >= 0 && (r = store_next(c)) > 0) {
                Session *s = session_get(m, store_id(c, 1));
                if (s && !s->open_run && s->info.run == store_id(c, 0))
                        r = open_run_load(s, c);
        }
        return r;
}

static int load_intents(SessionManager *m) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(m->reader, &c, STATE_INTENT_LIST, NULL, 0);

        while (r >= 0 && (r = store_next(c)) > 0) {
                Session *s = session_get(m, store_id(c, 1));
                if (s)
                        r = op_recover(s, store_id(c, 0), store_text(c, 2, NULL), store_span(c, 3));
        }
        return r;
}

/* ---- what cannot be ---- */

static SessionSubstate repaired(const Session *s) {
        switch (s->info.substate) { /* NOLINT: only these claim to have a process */
        case SUBSTATE_STARTING:
        case SUBSTATE_ACTIVE:
                return s->info.has_agent && s->manager->ops ? SUBSTATE_BACKOFF : SUBSTATE_EXITED;
        case SUBSTATE_STOPPING:
                return SUBSTATE_EXITED;
        case SUBSTATE_FROZEN:
                return SUBSTATE_PARKED;
        case SUBSTATE_NEW:
        case SUBSTATE_QUEUED:
        case SUBSTATE_IDLE:
        case SUBSTATE_WAITING:
        case SUBSTATE_BACKOFF:
        case SUBSTATE_PARKED:
        case SUBSTATE_BUDGET:
        case SUBSTATE_CREDENTIALS:
        case SUBSTATE_EXITED:
        case SUBSTATE_ARCHIVED:
        case SUBSTATE_FAILED:
        case SUBSTATE_OOM:
        case SUBSTATE_WATCHDOG:
        case SUBSTATE_SANDBOX:
        case SUBSTATE_LOST:
        case SUBSTATE_QUARANTINED:
        case _SUBSTATE_MAX:
        case _SUBSTATE_INVALID:
                break;
        }
        return s->info.substate;
}

static int repair(Session *s) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        SessionSubstate to = repaired(s);

        if (s->open_run || s->ops || to == s->info.substate)
                return 0;
        int r = session_txn_new(s->manager, s, &t);
        if (r < 0)
                return r;
        if (to == SUBSTATE_BACKOFF)
                t->next.restart_at = t->now;
        session_set_state(t, to, "its process was gone");
        return session_txn_submit(TAKE_PTR(t), s->info.id, NULL, NULL);
}

/* ---- the daemon's part ---- */

typedef struct Found {
        SessionManager *manager;
        void (*fn)(Session *s, const RunInfo *run, void *userdata);
        void *userdata;
} Found;

static int show_run(const RunInfo *run, void *userdata) {
        Found *f = userdata;
        Session *s = session_get(f->manager, run->session);

        if (s && f->fn)
                f->fn(s, run, f->userdata);
        return 0;
}

static int show_runs(Found *f) {
        SessionManager *m = f->manager;

        for (size_t i = 0; i < m->n_sorted; i++) {
                const OpenRun *run = m->sorted[i]->open_run;
                int r = run ? session_run_get(m, run->id, show_run, f) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int go_on(SessionManager *m) {
        for (uint64_t id = 0;;) {
                Session *s = session_next(m, id);
                if (!s)
                        return 0;
                id = s->info.id;
                int r = repair(s);
                if (r < 0)
                        return r;
                session_rearm(s);
                ops_resume(s);
        }
}

int session_manager_load(SessionManager *m,
                         void (*found)(Session *s, const RunInfo *run, void *userdata),
                         void *userdata) {
        static int (*const steps[])(SessionManager *) = {
                load_max_id,    boot_id_load,    namespaces_load, tokens_load,
                body_keys_load, events_load,     load_sessions,   load_runs,
                load_intents,   unfinished_load, sweep_load,
        };
        Found f = { m, found, userdata };

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                int r = steps[i](m);
                if (r < 0)
                        return r;
        }
        int r = show_runs(&f);
        if (r < 0)
                return r;
        collect_load(m);
        return go_on(m);
}

/* ---- one session again ---- */

static int reread_run(Session *s) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(s->manager->reader, &c, STATE_RUN_ONE, STORE_ID(s->info.run));

        if (s->open_run) {
                OpenRun *run = TAKE_PTR(s->open_run);
                open_run_unindex(s->manager, run);
                free(run);
        }
        if (r >= 0)
                r = store_next(c);
        if (r <= 0 || store_int(c, 3) >= RUN_ENDED)
                return MIN(r, 0);
        return open_run_load(s, c);
}

int session_reread(Session *s) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        assert(s->inflight == 0);
        int r = STORE_QUERY(s->manager->reader, &c, STATE_SESSION_LOAD_ONE, STORE_ID(s->info.id));
        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        r = session_from_row(s, c);
        s->has_vars_bound = false;
        if (r >= 0)
                r = reread_run(s);
        if (r < 0)
                return r;
        free(s->jump);
        s->jump = NULL;
        s->is_tainted = s->is_deleting = false;
        note_change(s);
        session_rearm_later(s);
        return 0;
}
