/* SPDX-License-Identifier: MIT */

/* Going back to a point: restore, and resume with a checkpoint. What is there now becomes a
 * pre-restore checkpoint, then the session moves to a new branch that begins at the point; both in
 * one transaction, so a restore either happened or did not, and can be undone by another.
 *
 * Files follow after that commit, with an intent in it: the conversation says where the session is,
 * and the files are brought there, at the next start if need be. Files first was rejected: a daemon
 * that dies in between would leave files that no checkpoint knows. If bringing the files back
 * fails, the session returns to its old branch and the caller is told; what was written over is in
 * the pre-restore checkpoint. If the files cannot be put back either, see unfinished.c. So nothing
 * is written over when a full or broken disk kept the files that are there now from being recorded:
 * the restore is refused.
 *
 * A frozen process holds the old conversation in its memory, so it is ended first (the session is
 * parked). */

#include "base/log.h"
#include "base/str.h"
#include "session/session-internal.h"

bool workspace_is_shared(const Session *s) {
        SessionManager *m = s->manager;

        if (!s->info.workspace)
                return false;
        for (size_t i = 0; i < m->n_sorted; i++) {
                const Session *other = m->sorted[i];
                if (other != s && other->info.status == SESSION_RUNNING &&
                    streq_ptr(other->info.workspace, s->info.workspace))
                        return true;
        }
        return false;
}

int session_restore(Session *s, uint64_t checkpoint, uint64_t node, SessionDoneFn done, void *userdata) {
        OpArgs args = { .checkpoint = checkpoint, .node = node };
        Point p;

        OBJ_CHECK(s, SESSION_MAGIC);
        if (!checkpoint == !node)
                return -EINVAL;
        int r = verb_check(s, OP_RESTORE, &args);
        if (r == 0)
                r = point_find(s, checkpoint, node, &p);
        if (r == 0 && p.has_tree && workspace_is_shared(s))
                r = SESSION_E_WORKSPACE_BUSY;
        return r != 0 ? r : op_submit(s, OP_RESTORE, &args, done, userdata);
}

static void restored_event(SessionTxn *t, const SessionOp *op) {
        JsonWriter w = txn_event_data(t);

        if (op->args.checkpoint)
                json_w_kv_id(&w, "checkpoint_id", op->args.checkpoint);
        if (op->point.node)
                json_w_kv_id(&w, "node", op->point.node);
        json_w_kv_id(&w, "branch", t->next.branch);
        txn_event(t, EVENT_RESTORED, &w);
}

/* What is of the branch comes from its point; the branch itself is set by the caller. */
static void take_point(SessionTxn *t, const Point *p) {
        t->next.head = p->node;
        t->next.vars = p->vars;
        t->next.config = p->config;
        t->next.message_count = p->message_count;
        t->next.tool_call_count = p->tool_call_count;
        t->next.has_agent = p->has_agent;
        t->next.updated_at = t->now;
        t->next_vars_since = p->vars_since;
        t->flags |= TXN_ROW | TXN_NEW_HEAD | TXN_CHANGED;
}

static void move_to_point(SessionTxn *t, const Point *p) {
        uint64_t old = t->next.branch, branch = id_new();
        char name[sizeof("restore-") + ID_STRING_SIZE] = "restore-";

        id_format(branch, name + strlen(name));
        take_point(t, p);
        branch_add(t, branch, name, p, old);
}

/* ---- files ---- */

/* Errors of the machine, not of the folder. */
static bool is_trouble(int r) {
        return session_disk_is_full(r) || r == -EIO || r == -EROFS || r == -EAGAIN ||
               r == -ENOMEM || r == -EMFILE || r == -ENFILE;
}

/* If the store did not take it, the restore is what it says, and is still to be finished. */
static void failed_committed(SessionOp *op, int r) {
        if (r < 0 && op->old_intent)
                unfinished_keep(op, op->old_intent, op->point.tree);
        else if (op->is_half)
                unfinished_keep(op, op->intent, op->before);
        op_finish(op, r < 0 ? r : op->result_code);
}

static void say_unfinished(SessionOp *op, SessionTxn *t) {
        char *reason = str_printf("a restore failed in the middle (%s) and the files could not be put "
                                  "back; that is tried again until it works",
                                  strerror(-op->result_code));

        if (!reason)
                return;
        txn_set_string(t, &t->next.reason, op->session->info.reason, reason);
        t->flags |= TXN_ROW;
}

/* An intent of its own for putting back what the failed restore left half done. */
static void undo_intent_add(SessionOp *op, SessionTxn *t) {
        Point target = op->point;

        memcpy(op->point.tree, op->before, sizeof(op->before));
        op->starts_after = false;
        op->old_branch = 0;
        op_intent_add(op, t, OP_FILES);
        op->point = target;
}

static void files_failed(SessionOp *op, int error) {
        Point old = {};
        int r = op->old_branch ? point_of_branch(op->session, op->old_branch, &old) : 0;
        SessionTxn *t;

        if (r < 0 || (op->is_again && is_trouble(error))) {
                if (op->intent && is_trouble(error))
                        unfinished_keep(op, op->intent, op->point.tree);
                op_finish(op, error);
                return;
        }
        op->result_code = error;
        r = op->session->manager->is_closing
                    ? -ESHUTDOWN
                    : session_txn_new(op->session->manager, op->session, &t);
        if (r < 0) {
                if (op->intent)
                        unfinished_keep(op, op->intent, op->point.tree);
                op_finish(op, error);
                return;
        }
        op_intent_remove(op, t);
        if (op->old_branch) {
                take_point(t, &old);
                t->next.branch = op->old_branch;
        }
        op->old_intent = op->intent;
        if (op->is_half) {
                undo_intent_add(op, t);
                say_unfinished(op, t);
        }
        op_commit(op, t, failed_committed);
}

/* The files are there; only the store does not know it yet. */
static void done_committed(SessionOp *op, int r) {
        if (r < 0 && op->is_again)
                unfinished_keep(op, op->intent, op->point.tree);
        op_finish(op, r);
}

static void say_finished(SessionOp *op, SessionTxn *t) {
        log_notice("The files of %s are restored", op->session->info.name);
        txn_set_string(t, &t->next.reason, op->session->info.reason, NULL);
        t->flags |= TXN_ROW;
}

static void files_done(SessionOp *op, int r) {
        SessionTxn *t;

        if (r < 0) {
                files_failed(op, r);
                return;
        }
        t = op_txn(op);
        if (!t)
                return;
        op_intent_remove(op, t);
        if (op->is_again)
                say_finished(op, t);
        if (op->starts_after)
                txn_start_asked(t);
        op_commit(op, t, done_committed);
}

void op_begin_files(SessionOp *op) {
        unfinished_drop(op->session);
        if (session_has_files(op->session) && op->point.has_tree)
                op_restore_files(op, op->point.tree, files_done);
        else
                files_done(op, 0);
}

static void files_next(SessionOp *op, int r) {
        if (r >= 0)
                unfinished_drop(op->session);
        if (r < 0)
                op_finish(op, r);
        else
                op_restore_files(op, op->point.tree, files_done);
}

/* ---- the conversation ---- */

static void point_recorded(SessionOp *op, int r) {
        bool has_files = op->point.has_tree && session_has_files(op->session);
        SessionTxn *t;

        (void) r;
        if (has_files && is_trouble(op->snapshot_error)) {
                op_finish(op, op->snapshot_error);
                return;
        }
        t = op_txn(op);
        if (!t)
                return;
        op->has_checkpoint = false;
        op_checkpoint(op, t, CHECKPOINT_PRE_RESTORE);
        op->old_branch = t->next.branch;
        op_intent_remove(op, t);
        if (has_files)
                unfinished_replace(op->session, t);
        move_to_point(t, &op->point);
        restored_event(t, op);
        if (has_files)
                op_intent_add(op, t, OP_FILES);
        else if (op->starts_after)
                txn_start_asked(t);
        op_commit(op, t, has_files ? files_next : op_step_finish);
}

void op_go_to_point(SessionOp *op, bool start) {
        int r = point_find(op->session, op->args.checkpoint, op->args.node, &op->point);

        if (r != 0) {
                op_finish(op, r);
                return;
        }
        op->starts_after = start;
        op->has_checkpoint = op->has_files = false;
        op->snapshot_error = 0;
        op_snapshot(op, point_recorded);
}

static void restore_ended(SessionOp *op, int r) {
        (void) r;
        op_go_to_point(op, false);
}

void op_begin_restore(SessionOp *op) {
        op_end_run(op, restore_ended);
}
