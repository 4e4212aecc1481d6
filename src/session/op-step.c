/* SPDX-License-Identifier: MIT */

/* Steps that several verbs take: recording files, bringing them back, and ending the process with a
 * checkpoint first. A snapshot that fails does not keep a verb from stopping an agent: the
 * checkpoint is then without files, which its reader sees, and better than no stop.
 *
 * The process may end by itself at any moment of this: while files are recorded, while the intent
 * to stop is being committed, or afterwards as asked. op_end_target() makes the end the verb's own
 * in all three cases, and each step looks whether its run is still the open one. */

#include "session/session-internal.h"

void op_step_finish(SessionOp *op, int r) {
        op_finish(op, r);
}

static SessionOp *workspace_returns(void *userdata) {
        SessionOp *op = OBJ_CAST(SessionOp, userdata, SESSION_OP_MAGIC);

        op->is_busy = false;
        if (op->session)
                return op;
        op_free(op);
        return NULL;
}

static void on_snapshot(int r, const WorkspaceResult *result, void *userdata) {
        SessionOp *op = workspace_returns(userdata);

        if (!op)
                return;
        op->snapshot_error = MIN(r, 0);
        op->files = files_of_result(op->session->manager, r, result);
        op->has_files = true;
        op->step(op, 0);
}

void op_snapshot(SessionOp *op, OpStep step) {
        Session *s = op->session;

        op->step = step;
        op->is_busy = true;
        if (!op->has_files && !op->has_checkpoint && session_has_files(s)) {
                int r = workspace_snapshot(s->manager->config.workspace, s->info.namespace_id,
                                           s->info.workspace, on_snapshot, op);
                if (r >= 0)
                        return;
                op->snapshot_error = r;
        }
        op->is_busy = false;
        step(op, 0);
}

static void on_files(int r, const WorkspaceResult *result, void *userdata) {
        SessionOp *op = workspace_returns(userdata);

        if (!op)
                return;
        op->is_half = result->is_half;
        memcpy(op->before, result->tree, sizeof(op->before));
        op->step(op, r);
}

static void files_started(SessionOp *op, int r, OpStep step) {
        if (r >= 0)
                return;
        op->is_busy = false;
        step(op, r);
}

void op_restore_files(SessionOp *op, const uint8_t *tree, OpStep step) {
        SessionManager *m = op->session->manager;
        const SessionInfo *i = &op->session->info;

        if (m->is_closing)
                return; /* the intent is for the next start */
        op->step = step;
        op->is_busy = true;
        files_started(op,
                      workspace_restore(m->config.workspace, i->namespace_id, i->workspace, tree,
                                        on_files, op),
                      step);
}

void op_materialize(SessionOp *op, const uint8_t *tree, OpStep step) {
        SessionManager *m = op->session->manager;

        if (m->is_closing)
                return;
        op->step = step;
        op->is_busy = true;
        files_started(op,
                      workspace_materialize(m->config.workspace, op->session->info.namespace_id,
                                            op->args.workspace, tree, on_files, op),
                      step);
}

void op_take_back(SessionOp *op, OpStep step) {
        SessionManager *m = op->session->manager;

        op->step = step;
        op->is_busy = true;
        files_started(op,
                      m->is_closing ? -ESHUTDOWN /* its note is for the next start */
                                    : workspace_take_back(m->config.workspace,
                                                          op->session->info.namespace_id,
                                                          op->args.workspace, on_files, op),
                      step);
}

static void on_settled(int r, const WorkspaceResult *result, void *userdata) {
        /* A note that stays is known to be over at the next start: a session has the folder. */
}

void op_settle_files(const SessionOp *op) {
        SessionManager *m = op->session->manager;

        (void) workspace_settle(m->config.workspace, op->session->info.namespace_id,
                                op->args.workspace, on_settled, NULL);
}

void op_checkpoint(SessionOp *op, SessionTxn *t, CheckpointKind kind) {
        if (op->has_checkpoint)
                return;
        (void) txn_checkpoint(t, kind, checkpoint_label(kind), op->has_files ? &op->files : NULL);
        op->has_checkpoint = true;
        op->has_files = false;
}

/* ---- ending the run ---- */

static bool run_is_over(const SessionOp *op) {
        return !op->session->open_run || op->session->open_run->id != op->run;
}

static void end_wait(SessionOp *op) {
        op->awaits_end = true;
}

/* If the run has ended meanwhile, that is memory's word: its commit is under way behind this one,
 * and only then the verb goes on. Should it fail, the daemon tells of the end again. */
static void end_committed(SessionOp *op, int r) {
        Session *s = op->session;
        SessionManager *m = s->manager;

        if (r < 0) {
                op_finish(op, r);
                return;
        }
        end_wait(op);
        if (!run_is_over(op) && !m->is_closing)
                m->ops->stop(s, op->run, m->ops_userdata);
}

static void end_over(SessionOp *op, int r);

static CheckpointKind end_kind(const SessionOp *op) {
        return op->kind == OP_PAUSE ? CHECKPOINT_PAUSE : CHECKPOINT_STOP;
}

static void end_recorded(SessionOp *op, int r) {
        SessionTxn *t;

        (void) r;
        if (run_is_over(op)) {
                op_settle(op, end_over);
                return;
        }
        t = op_txn(op);
        if (!t)
                return;
        op_checkpoint(op, t, end_kind(op));
        session_set_state(t, SUBSTATE_STOPPING, NULL);
        STORE_ADD(t->store, STATE_RUN_UPDATE_STATE, STORE_ID(op->run), STORE_INT(RUN_STOPPING));
        t->run_state = RUN_STOPPING;
        op_intent_add(op, t, op->kind);
        op_commit(op, t, end_committed);
}

/* Ended while files were recorded; what memory knows of that is on disk now, or was taken back. */
static void end_over(SessionOp *op, int r) {
        (void) r;
        if (run_is_over(op))
                op->after(op, 0);
        else
                end_recorded(op, 0);
}

void op_end_run(SessionOp *op, OpStep after) {
        Session *s = op->session;

        op->after = after;
        op->run = s->open_run ? s->open_run->id : 0;
        if (!s->open_run)
                after(op, 0);
        else if (s->info.substate == SUBSTATE_STOPPING)
                end_wait(op); /* found so at start: the daemon goes on with the stop */
        else
                op_snapshot(op, end_recorded);
}

SessionSubstate op_end_target(const Session *s) {
        const SessionOp *op = s->ops;

        if (!op || !s->open_run || op->run != s->open_run->id)
                return _SUBSTATE_INVALID;
        switch (op->kind) {
        case OP_STOP:
        case OP_DELETE:
                return SUBSTATE_EXITED;
        case OP_PAUSE:
        case OP_RESTORE:
                return SUBSTATE_PARKED;
        case OP_RESUME:
                return op->args.checkpoint ? SUBSTATE_PARKED : _SUBSTATE_INVALID;
        case OP_RESTART:
                return SUBSTATE_STARTING;
        case OP_START:
        case OP_ARCHIVE:
        case OP_FORK:
        case OP_FILES:
        case _OP_KIND_MAX:
        case _OP_KIND_INVALID:
                break;
        }
        return _SUBSTATE_INVALID;
}

void op_run_ended(Session *s) {
        SessionOp *op = s->ops;

        if (!op || (!op->awaits_end && !op->awaits_freeze))
                return;
        op->awaits_end = op->awaits_freeze = false;
        op->after(op, 0);
}
