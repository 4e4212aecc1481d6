/* SPDX-License-Identifier: MIT */

/* Runs: the lives of a session's process. The row of a run (with the hash of its token and the next
 * fencing number) is committed before the daemon is told to start anything, and the end is committed before
 * the keeper may forget it, so that at any instant the store knows of every process that may exist.
 *
 * What happens after an end is decided in this order: a verb that somebody asked for and that waits for
 * it; a pause; a stop that was under way when the daemon died; only then the restart policy's word. */

#include "base/proc.h"
#include "session/session-internal.h"

int boot_id_load(SessionManager *m) {
        static_assert(sizeof(m->boot_id) >= PROC_BOOT_ID_SIZE, "it fits");
        return proc_boot_id(m->boot_id);
}

int session_run_check(const Session *s, uint64_t run) {
        if (run == 0 || (s->open_run && s->open_run->id == run))
                return 0;
        return SESSION_E_STALE_RUN;
}

/* ---- beginning ---- */

void txn_run_new(SessionTxn *t, const char *reason) {
        OpenRun *run = calloc(1, sizeof(OpenRun));

        if (!run) {
                t->error = -ENOMEM;
                return;
        }
        run->id = id_new();
        run->session = t->session;
        run->state = RUN_INTENT;
        token_of_run_new(t->token, run->hash);
        t->new_run = run;
        t->next.run = run->id;
        t->next.fence++;
        STORE_ADD(t->store, STATE_RUN_INSERT, STORE_ID(run->id), STORE_ID(t->next.id),
                  STORE_INT(t->next.fence), STORE_INT(RUN_INTENT), STORE_BLOB(run->hash, HASH_SIZE),
                  STORE_TEXT(NULL), STORE_TEXT(t->manager->boot_id), STORE_INT((int64_t) t->now));
        session_set_state(t, SUBSTATE_STARTING, reason);
        t->flags |= TXN_CHANGED;
}

void txn_start(SessionTxn *t, const char *reason) {
        if (t->next.has_agent && t->manager->ops)
                txn_run_new(t, reason);
        else if (t->next.substate != SUBSTATE_IDLE)
                session_set_state(t, SUBSTATE_IDLE, reason);
        t->flags |= TXN_CHANGED;
}

void txn_start_asked(SessionTxn *t) {
        t->next.restarts = 0;
        t->next.start_window = 0;
        t->next.start_count = 0;
        txn_start(t, NULL);
}

int session_backoff_due(Session *s) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;

        if (s->ops)
                return -EBUSY; /* the verb decides */
        int r = session_txn_new(s->manager, s, &t);
        if (r < 0)
                return r;
        txn_start(t, NULL);
        r = session_txn_submit(TAKE_PTR(t), s->info.id, NULL, NULL);
        if (r == 0)
                s->manager->stats.restarts++;
        return r;
}

static void started_event(SessionTxn *t, pid_t pid) {
        JsonWriter w = txn_event_data(t);

        json_w_kv_id(&w, "run", t->next.run);
        json_w_kv_uint(&w, "number", t->next.fence);
        json_w_kv_int(&w, "pid", pid);
        txn_event(t, EVENT_RUN_STARTED, &w);
}

/* A transaction about the open run; SESSION_E_STALE_RUN: that is another one. */
static int open_run_txn(Session *s, uint64_t run, SessionTxn **ret) {
        OBJ_CHECK(s, SESSION_MAGIC);
        int r = session_make_true(s);
        if (r < 0)
                return r;
        if (!s->open_run || s->open_run->id != run)
                return SESSION_E_STALE_RUN;
        return session_txn_new(s->manager, s, ret);
}

int session_run_started(
        Session *s, uint64_t run, const RunIdentity *id, SessionDoneFn done, void *userdata) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        int r = open_run_txn(s, run, &t);

        if (r != 0)
                return r;
        t->run_state = s->open_run->state == RUN_STOPPING ? RUN_STOPPING : RUN_ALIVE;
        STORE_ADD(t->store, STATE_RUN_UPDATE_STARTED, STORE_ID(run), STORE_INT(t->run_state),
                  STORE_ID(id->cgroup_id), STORE_INT(id->pid), STORE_ID(id->pidfd_id),
                  STORE_ID(id->start_time), STORE_INT((int64_t) t->now));
        t->next.heartbeat_at = t->now;
        started_event(t, id->pid);
        if (t->next.substate == SUBSTATE_STARTING)
                session_set_state(t, SUBSTATE_ACTIVE, NULL);
        return session_txn_submit(TAKE_PTR(t), run, done, userdata);
}

/* ---- ending ---- */

typedef struct EndJob {
        SessionDoneFn done;
        void *userdata;
} EndJob;

static void on_end(int r, Session *s, uint64_t id, void *userdata) {
        _cleanup_free_ EndJob *job = userdata;

        if (job->done)
                job->done(r, s, id, job->userdata);
        if (r >= 0 && s)
                op_run_ended(s);
}

static void ended_event(SessionTxn *t, const RunEnd *end) {
        JsonWriter w = txn_event_data(t);

        json_w_kv_id(&w, "run", t->next.run);
        json_w_kv_uint(&w, "number", t->next.fence);
        json_w_kv_string(&w, "result", end->result_word);
        if (end->exit_code >= 0)
                json_w_kv_int(&w, "exit_code", end->exit_code);
        if (end->exit_signal > 0)
                json_w_kv_int(&w, "exit_signal", end->exit_signal);
        json_w_kv_uint(&w, "leftovers", end->leftovers);
        txn_event(t, EVENT_RUN_ENDED, &w);
}

static SessionSubstate policy_target(RunNext next) {
        switch (next) {
        case RUN_NEXT_STOPPED:
                return SUBSTATE_EXITED;
        case RUN_NEXT_FAILED:
                return SUBSTATE_FAILED;
        case RUN_NEXT_LOST:
                return SUBSTATE_LOST;
        case RUN_NEXT_BACKOFF:
                return SUBSTATE_BACKOFF;
        }
        abort();
}

static void end_by_policy(SessionTxn *t, const RunEnd *end) {
        t->next.restarts = end->restarts;
        t->next.start_window = end->start_window;
        t->next.start_count = end->start_count;
        if (end->next == RUN_NEXT_BACKOFF)
                t->next.restart_at = end->restart_at;
        session_set_state(t, policy_target(end->next), end->reason);
}

static void end_state(SessionTxn *t, const RunEnd *end) {
        Session *s = t->session;
        SessionSubstate asked = op_end_target(s);

        if (asked == SUBSTATE_STARTING && t->next.has_agent)
                txn_start_asked(t);
        else if (asked == SUBSTATE_STARTING) /* the command was edited away; the verb goes on */
                session_set_state(t, SUBSTATE_EXITED, NULL);
        else if (asked != _SUBSTATE_INVALID)
                session_set_state(t, asked, NULL);
        else if (t->next.status == SESSION_PAUSED)
                session_set_state(t, SUBSTATE_PARKED, end->reason);
        else if (t->next.substate == SUBSTATE_STOPPING)
                session_set_state(t, SUBSTATE_EXITED, NULL);
        else
                end_by_policy(t, end);
        if (asked == SUBSTATE_PARKED ? s->ops->kind == OP_PAUSE : asked == SUBSTATE_STARTING)
                op_intent_remove(s->ops, t); /* with this the verb is done */
}

static void end_row(SessionTxn *t, uint64_t run, const RunEnd *end) {
        StoreValue code = end->exit_code >= 0 ? STORE_INT(end->exit_code) : (StoreValue){};

        STORE_ADD(t->store, STATE_RUN_UPDATE_ENDED, STORE_ID(run), STORE_INT(RUN_ENDED),
                  STORE_INT((int64_t) (end->time ? end->time : t->now)), STORE_INT(end->result), code,
                  STORE_INT(end->exit_signal), STORE_INT(end->leftovers), STORE_TEXT(end->reason));
        t->flags |= TXN_END_RUN;
        ended_event(t, end);
}

int session_run_ended(Session *s, uint64_t run, const RunEnd *end, SessionDoneFn done, void *userdata) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;

        OBJ_CHECK(s, SESSION_MAGIC);
        int r = session_make_true(s);
        if (r < 0)
                return r;
        if (!s->open_run || s->open_run->id != run)
                return SESSION_E_STALE_RUN;
        _cleanup_free_ EndJob *job = malloc(sizeof(EndJob));
        if (!job)
                return -ENOMEM;
        *job = (EndJob){ done, userdata };
        r = session_txn_new(s->manager, s, &t);
        if (r < 0)
                return r;
        end_row(t, run, end);
        end_state(t, end);
        r = session_txn_submit(TAKE_PTR(t), run, on_end, job);
        if (r == 0)
                (void) TAKE_PTR(job);
        return r;
}

int session_run_output(Session *s, uint64_t run, const char *reason, usec_t since) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        int r = open_run_txn(s, run, &t);

        if (r != 0)
                return r;
        JsonWriter w = txn_event_data(t);
        json_w_kv_id(&w, "run", run);
        json_w_kv_uint(&w, "number", t->next.fence);
        json_w_kv_bool(&w, "held", reason != NULL);
        json_w_kv_time(&w, "since", since);
        if (reason)
                json_w_kv_string(&w, "reason", reason);
        txn_event(t, EVENT_RUN_OUTPUT, &w);
        return session_txn_submit(TAKE_PTR(t), run, NULL, NULL);
}

static int thaw_failed(Session *s) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        int r = session_txn_new(s->manager, s, &t);

        if (r < 0)
                return r;
        session_set_state(t, SUBSTATE_FROZEN, "could not be thawed");
        return session_txn_submit(TAKE_PTR(t), s->info.id, NULL, NULL);
}

void session_run_frozen(Session *s, uint64_t run, bool frozen, int error) {
        OBJ_CHECK(s, SESSION_MAGIC);
        if (!s->open_run || s->open_run->id != run)
                return;
        if (frozen && s->ops && s->ops->awaits_freeze)
                op_frozen(s->ops, error);
        else if (!frozen && error < 0 && s->info.substate == SUBSTATE_ACTIVE)
                (void) thaw_failed(s);
}

/* ---- reading ---- */

RunInfo run_info_from_row(StoreCursor *c) {
        return (RunInfo){
                .id = store_id(c, 0),
                .session = store_id(c, 1),
                .number = (unsigned) store_int(c, 2),
                .state = (RunState) store_int(c, 3),
                .cgroup_id = store_id(c, 6),
                .boot_id = store_text(c, 7, NULL),
                .pid = (pid_t) store_int(c, 8),
                .pidfd_id = store_id(c, 9),
                .start_time = store_id(c, 10),
                .created_at = store_id(c, 11),
                .started_at = store_id(c, 12),
                .ended_at = store_id(c, 13),
                .result = store_is_null(c, 14) ? -1 : (int) store_int(c, 14),
                .exit_code = store_is_null(c, 15) ? -1 : (int) store_int(c, 15),
                .exit_signal = (int) store_int(c, 16),
                .leftovers = (unsigned) store_int(c, 17),
                .reason = store_text(c, 18, NULL),
        };
}

int open_run_load(Session *s, StoreCursor *c) {
        size_t n = 0;
        const void *hash = store_blob(c, 4, &n);

        if (n != HASH_SIZE)
                return -EUCLEAN;
        _cleanup_free_ OpenRun *run = calloc(1, sizeof(OpenRun));
        if (!run)
                return -ENOMEM;
        run->id = store_id(c, 0);
        run->session = s;
        run->state = (RunState) store_int(c, 3);
        memcpy(run->hash, hash, HASH_SIZE);
        int r = open_run_index(s->manager, run);
        if (r >= 0)
                s->open_run = TAKE_PTR(run);
        return r;
}

int session_runs(Session *s, uint64_t after, size_t limit, RunFn fn, void *userdata) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        OBJ_CHECK(s, SESSION_MAGIC);
        int r = STORE_QUERY(s->manager->reader, &c, STATE_RUN_LIST, STORE_ID(s->info.id),
                            STORE_ID(after), STORE_INT((int64_t) MIN(limit, (size_t) INT64_MAX)));
        while (r >= 0 && (r = store_next(c)) > 0) {
                RunInfo info = run_info_from_row(c);
                r = fn(&info, userdata);
                if (r != 0)
                        return r;
        }
        return r;
}

int session_run_get(SessionManager *m, uint64_t run, RunFn fn, void *userdata) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        int r = STORE_QUERY(m->reader, &c, STATE_RUN_ONE, STORE_ID(run));
        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r < 0 ? r : SESSION_E_NOT_FOUND;
        RunInfo info = run_info_from_row(c);
        return fn(&info, userdata);
}
