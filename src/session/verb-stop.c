/* SPDX-License-Identifier: MIT */

/* pause, stop, archive and delete.
 *
 * Pausing a process freezes it where the kernel can (done when it is frozen), else parks the
 * session: the process is ended and the next resume starts a new run. A process whose exec is not
 * confirmed is parked too, because what a half-started process would do when thawed nobody can say.
 * If freezing fails, the session is parked: who asks for a pause wants it to stop working.
 *
 * Deleting removes the rows that are the session's alone; messages, variables and configurations
 * may be shared with forks and are left to the sweep. */

#include "session/session-internal.h"

static SessionTxn *state_txn(SessionOp *op, CheckpointKind kind, SessionSubstate to) {
        SessionTxn *t = op_txn(op);

        if (!t)
                return NULL;
        op_checkpoint(op, t, kind);
        if (t->next.substate != to)
                session_set_state(t, to, NULL);
        op_intent_remove(op, t);
        return t;
}

/* ---- pause ---- */

int session_pause(Session *s, SessionDoneFn done, void *userdata) {
        return op_submit(s, OP_PAUSE, &(OpArgs){}, done, userdata);
}

static void park(SessionOp *op, int r) {
        SessionTxn *t;

        (void) r;
        if (op->has_checkpoint && op->session->info.substate == SUBSTATE_PARKED) {
                op_finish(op, 0); /* the transaction of the end did it all */
                return;
        }
        t = state_txn(op, CHECKPOINT_PAUSE, SUBSTATE_PARKED);
        if (t)
                op_commit(op, t, op_step_finish);
}

static bool run_is_open(const SessionOp *op) {
        return op->session->open_run && op->session->open_run->id == op->run;
}

static void pause_checkpointed(SessionOp *op, int r) {
        Session *s = op->session;
        SessionManager *m = s->manager;

        if (r < 0) {
                op_finish(op, r);
                return;
        }
        op->after = park;
        if (!run_is_open(op)) /* its end is being committed */
                op->awaits_end = true;
        else {
                op->awaits_freeze = true;
                if (!m->is_closing)
                        m->ops->freeze(s, op->run, m->ops_userdata);
        }
}

static void pause_recorded(SessionOp *op, int r) {
        SessionTxn *t;

        (void) r;
        if (!run_is_open(op)) {
                park(op, 0);
                return;
        }
        t = op_txn(op);
        if (!t)
                return;
        op_checkpoint(op, t, CHECKPOINT_PAUSE);
        op_commit(op, t, pause_checkpointed);
}

static void frozen_committed(SessionOp *op, int r) {
        op_finish(op, r);
}

void op_frozen(SessionOp *op, int error) {
        SessionTxn *t;

        op->awaits_freeze = false;
        if (error < 0) {
                op_end_run(op, park);
                return;
        }
        t = state_txn(op, CHECKPOINT_PAUSE, SUBSTATE_FROZEN);
        if (t)
                op_commit(op, t, frozen_committed);
}

void op_begin_pause(SessionOp *op) {
        Session *s = op->session;
        SessionManager *m = s->manager;
        bool may_freeze = s->open_run && s->info.substate == SUBSTATE_ACTIVE && op->intent == 0 &&
                          m->ops->can_freeze(m->ops_userdata);

        if (may_freeze) {
                op->run = s->open_run->id;
                op_snapshot(op, pause_recorded);
        } else if (s->open_run)
                op_end_run(op, park);
        else
                op_snapshot(op, park);
}

/* ---- stop ---- */

int session_stop(Session *s, SessionDoneFn done, void *userdata) {
        return op_submit(s, OP_STOP, &(OpArgs){}, done, userdata);
}

static void stop_ended(SessionOp *op, int r) {
        SessionTxn *t;

        (void) r;
        if (op->has_checkpoint && op->session->info.status == SESSION_STOPPED) {
                op_finish(op, 0);
                return;
        }
        t = state_txn(op, CHECKPOINT_STOP, SUBSTATE_EXITED);
        if (t)
                op_commit(op, t, op_step_finish);
}

void op_begin_stop(SessionOp *op) {
        if (op->session->open_run)
                op_end_run(op, stop_ended);
        else
                op_snapshot(op, stop_ended);
}

/* ---- archive ---- */

#define ARCHIVE_KEEPS 5

int session_archive(Session *s, SessionDoneFn done, void *userdata) {
        return op_submit(s, OP_ARCHIVE, &(OpArgs){}, done, userdata);
}

void op_begin_archive(SessionOp *op) {
        SessionTxn *t = op_txn(op);
        int r;

        if (!t)
                return;
        session_set_state(t, SUBSTATE_ARCHIVED, NULL);
        r = txn_thin_to(t, ARCHIVE_KEEPS);
        if (r < 0)
                t->error = r;
        op_commit(op, t, op_step_finish);
}

/* ---- delete ---- */

int session_delete(Session *s, bool force, SessionDoneFn done, void *userdata) {
        return op_submit(s, OP_DELETE, &(OpArgs){ .force = force }, done, userdata);
}

static void delete_rows(SessionTxn *t) {
        StoreValue id = STORE_ID(t->next.id);
        JsonWriter w = txn_event_data(t);

        json_w_kv_string(&w, "name", t->next.name);
        txn_event(t, EVENT_SESSION_DELETED, &w);
        STORE_ADD(t->store, STATE_SESSION_DELETE, id, STORE_INT(0));
        STORE_ADD(t->store, STATE_DEAD_BRANCH_INSERT_SESSION, id, STORE_ID(t->next.namespace_id));
        STORE_ADD(t->store, STATE_BRANCH_DELETE_SESSION, id);
        STORE_ADD(t->store, STATE_CHECKPOINT_DELETE_SESSION, id);
        STORE_ADD(t->store, STATE_RUN_DELETE_SESSION, id);
        t->flags |= TXN_DELETE | TXN_LITTER;
}

static void delete_ended(SessionOp *op, int r) {
        SessionTxn *t = op_txn(op);

        (void) r;
        if (!t)
                return;
        op_intent_remove(op, t);
        delete_rows(t);
        op_commit(op, t, op_step_finish);
}

void op_begin_delete(SessionOp *op) {
        op->has_checkpoint = true; /* of what is about to go there is none */
        op_end_run(op, delete_ended);
}
