/* SPDX-License-Identifier: MIT */

/* start, resume and restart. A session without a command is running/idle with the commit. One with
 * a command gets a run: the row, the next fencing number and a secret, then the commit, then the
 * daemon is told; the verb is done with the commit of the intent, because how long an agent takes
 * to come up is its own matter and is told by events.
 *
 * resume with a checkpoint on a running session ends the process first; then, as for a stopped one,
 * the session goes to the point and starts. */

#include "session/session-internal.h"

int session_start(Session *s, SessionDoneFn done, void *userdata) {
        return op_submit(s, OP_START, &(OpArgs){}, done, userdata);
}

void op_begin_start(SessionOp *op) {
        SessionTxn *t = op_txn(op);

        if (!t)
                return;
        txn_start_asked(t);
        op_commit(op, t, op_step_finish);
}

/* ---- resume ---- */

int session_resume(Session *s, uint64_t checkpoint, SessionDoneFn done, void *userdata) {
        OpArgs args = { .checkpoint = checkpoint };
        Point p;

        OBJ_CHECK(s, SESSION_MAGIC);
        int r = verb_check(s, OP_RESUME, &args);
        if (r == 0 && checkpoint)
                r = point_find(s, checkpoint, 0, &p);
        if (r == 0 && checkpoint && p.has_tree && workspace_is_shared(s))
                r = SESSION_E_WORKSPACE_BUSY;
        return r != 0 ? r : op_submit(s, OP_RESUME, &args, done, userdata);
}

static void thaw(SessionOp *op, int r) {
        Session *s = op->session;
        SessionManager *m = s->manager;
        uint64_t run = op->run;

        if (r >= 0 && s->open_run && s->open_run->id == run && !m->is_closing)
                m->ops->thaw(s, run, m->ops_userdata);
        op_finish(op, r);
}

static void resume_frozen(SessionOp *op) {
        SessionTxn *t = op_txn(op);

        if (!t)
                return;
        op->run = op->session->open_run->id;
        session_set_state(t, SUBSTATE_ACTIVE, NULL);
        op_commit(op, t, thaw);
}

static void resume_at_point(SessionOp *op, int r) {
        (void) r;
        op_go_to_point(op, true);
}

void op_begin_resume(SessionOp *op) {
        const Session *s = op->session;

        if (op->args.checkpoint)
                op_end_run(op, resume_at_point);
        else if (s->open_run && s->info.substate == SUBSTATE_FROZEN)
                resume_frozen(op);
        else
                op_begin_start(op);
}

/* ---- restart ---- */

int session_restart(Session *s, SessionDoneFn done, void *userdata) {
        return op_submit(s, OP_RESTART, &(OpArgs){}, done, userdata);
}

/* The transaction of the end has started the next run already, unless the process had ended before. */
static void restart_after(SessionOp *op, int r) {
        (void) r;
        if (op->session->open_run || op->session->info.substate == SUBSTATE_IDLE) {
                op_finish(op, 0);
                return;
        }
        SessionTxn *t = op_txn(op);
        if (!t)
                return;
        op_intent_remove(op, t);
        txn_start_asked(t);
        op_commit(op, t, op_step_finish);
}

static void restart_ended(SessionOp *op, int r) {
        if (op->run == 0) /* nothing had to end */
                op_begin_start(op);
        else
                restart_after(op, r);
}

void op_begin_restart(SessionOp *op) {
        const Session *s = op->session;

        /* Found at start, and the daemon has told of the end already: the next run is on its way. */
        if (op->intent && s->open_run && s->info.substate != SUBSTATE_STOPPING)
                restart_after(op, 0);
        else
                op_end_run(op, restart_ended);
}
