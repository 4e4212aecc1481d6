/* SPDX-License-Identifier: MIT */

/* Making sessions: from nothing, or as a fork. A new session is its row, a first configuration, a
 * first branch (`main`) and, if it was given any, a first version of its variables with all of
 * them; one transaction. A fork shares configuration, variables and messages by their ids and so
 * costs three rows, however long the conversation is.
 *
 * A fork of a session with a workspace gets the files of its point in a folder of its own, before
 * its row is committed: a fork that exists has its files. If the daemon dies in between a folder is
 * left that nothing refers to, and the caller was never told of a fork. */

#include "base/fs.h"
#include "base/str.h"
#include "session/session-internal.h"

static int born_strings(SessionInfo *i, const Birth *b) {
        i->name = strdup(b->name);
        i->workspace = b->workspace ? strdup(b->workspace) : NULL;
        i->labels.p = b->labels.p ? strndup(b->labels.p, b->labels.n) : NULL;
        i->labels.n = b->labels.n;
        if (!i->name || (b->workspace && !i->workspace) || (b->labels.p && !i->labels.p))
                return -ENOMEM;
        return 0;
}

static int born_txn(SessionManager *m, const Birth *b, Session *s, SessionTxn **ret) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        int r = session_txn_new(m, s, &t);

        if (r < 0)
                return r;
        t->flags |= TXN_CREATE;
        t->next.namespace_id = b->namespace_id;
        t->next.status = SESSION_CREATED;
        t->next.substate = SUBSTATE_NEW;
        t->next.created_at = t->next.updated_at = t->now;
        r = born_strings(&t->next, b);
        if (r >= 0)
                r = namespace_use(t, b->namespace_id);
        if (r >= 0)
                *ret = TAKE_PTR(t);
        return r;
}

int session_born(SessionManager *m, const Birth *b, Session **ret, SessionTxn **ret_txn) {
        const Namespace *n = map_get(m->namespaces, b->namespace_id);
        Session *s;

        if (n && n->sessions >= m->config.sessions_max)
                return SESSION_E_LIMIT;
        int r = session_new(m, id_new(), &s);
        if (r < 0)
                return r;
        s->is_deleting = true; /* nobody sees it before it is submitted */
        r = born_txn(m, b, s, ret_txn);
        if (r < 0) {
                session_forget(s, r);
                return r;
        }
        *ret = s;
        return 0;
}

void created_event(SessionTxn *t, uint64_t forked_from) {
        JsonWriter w = txn_event_data(t);

        json_w_kv_string(&w, "name", t->next.name);
        if (forked_from)
                json_w_kv_id(&w, "forked_from", forked_from);
        txn_event(t, EVENT_SESSION_CREATED, &w);
}

static int create_rows(SessionTxn *t, const SessionCreate *c) {
        ConfigInfo config = {
                .model = (char *) (uintptr_t) c->model,
                .system_prompt = c->system_prompt,
                .tools = c->tools,
                .agent = c->agent,
        };
        config_add(t, 0, &config);

        int r = vars_create(t, c->variables);
        if (r != 0)
                return r;
        branch_add(t, id_new(), "main", NULL, 0);
        created_event(t, 0);
        if (c->start)
                txn_start_asked(t);
        txn_request_key(t, t->next.id);
        return 0;
}

int session_create(SessionManager *m, const SessionCreate *c, SessionDoneFn done, void *userdata) {
        Birth b = { c->namespace_id, c->name, c->workspace, c->labels };
        SessionTxn *t;
        Session *s;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        if (m->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;
        int r = session_born(m, &b, &s, &t);
        if (r != 0)
                return r;
        r = create_rows(t, c);
        if (r == 0)
                r = session_txn_submit(t, s->info.id, done, userdata);
        else
                session_txn_free(t);
        if (r != 0)
                session_forget(s, r);
        return r;
}

/* ---- fork ---- */

static int fork_name(const Session *s, const char *name, char **ret) {
        *ret = name ? strdup(name) : str_printf("%s-fork", s->info.name);
        return *ret ? 0 : -ENOMEM;
}

static void fork_rows(SessionTxn *t, const Session *source, const Point *p) {
        Point origin = *p;

        t->next.config = p->config;
        t->next.vars = p->vars;
        t->next.head = p->node;
        t->next.message_count = p->message_count;
        t->next.tool_call_count = p->tool_call_count;
        t->next.has_agent = p->has_agent;
        t->next_vars_since = p->vars_since;
        branch_add(t, id_new(), "main", &origin, source->info.branch);
        created_event(t, source->info.id);
}

/* The new session's transaction, not submitted; session_forget(*ret) if it never is. */
static int fork_txn(
        Session *source, const OpArgs *args, const Point *p, Session **ret, SessionTxn **ret_txn) {
        _cleanup_free_ char *name = NULL;
        int r = fork_name(source, args->name, &name);
        Birth b = { source->info.namespace_id, name, args->workspace, source->info.labels };

        if (r >= 0)
                r = session_born(source->manager, &b, ret, ret_txn);
        if (r != 0)
                return r;
        fork_rows(*ret_txn, source, p);
        /* The head may be so new that the store does not have it yet. */
        if (p->node == source->info.head)
                (*ret_txn)->jump = jump_path_copy(source->jump);
        return 0;
}

static bool folder_is_taken(const SessionManager *m, const char *folder) {
        for (size_t i = 0; i < m->n_sorted; i++)
                if (m->sorted[i]->info.substate != SUBSTATE_ARCHIVED &&
                    streq_ptr(m->sorted[i]->info.workspace, folder))
                        return true;
        return false;
}

static int fork_at_once(
        Session *s, const OpArgs *args, const Point *p, SessionDoneFn done, void *userdata) {
        Session *fork;
        SessionTxn *t;
        int r = fork_txn(s, args, p, &fork, &t);

        if (r != 0)
                return r;
        txn_request_key(t, fork->info.id);
        r = session_txn_submit(t, fork->info.id, done, userdata);
        if (r != 0)
                session_forget(fork, r);
        return r;
}

int session_fork(Session *s,
                 uint64_t checkpoint,
                 uint64_t node,
                 const char *name,
                 const char *workspace,
                 SessionDoneFn done,
                 void *userdata) {
        OpArgs args = { .checkpoint = checkpoint, .node = node, .name = name, .workspace = workspace };
        Point p;

        OBJ_CHECK(s, SESSION_MAGIC);
        if (s->manager->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;
        if (checkpoint && node)
                return -EINVAL;
        int r = point_find(s, checkpoint, node, &p);
        if (r != 0)
                return r;
        if (s->info.workspace && !workspace)
                return SESSION_E_NO_WORKSPACE;
        if (workspace && folder_is_taken(s->manager, workspace))
                return SESSION_E_WORKSPACE_BUSY;
        if (workspace)
                return op_submit(s, OP_FORK, &args, done, userdata);
        return fork_at_once(s, &args, &p, done, userdata);
}

static void fork_taken_back(SessionOp *op, int r) {
        (void) r;
        op_finish(op, op->result_code);
}

/* Nobody's files are left in a folder that was to be the fork's. */
static void fork_failed(SessionOp *op, int r) {
        op->result_code = r;
        if (op->is_materialized)
                op_take_back(op, fork_taken_back);
        else
                op_finish(op, r);
}

static void fork_committed(SessionOp *op, int r) {
        if (r < 0) {
                fork_failed(op, r);
                return;
        }
        if (op->is_materialized)
                op_settle_files(op);
        op_finish(op, r);
}

static void fork_commit(SessionOp *op) {
        bool is_taken = folder_is_taken(op->session->manager, op->args.workspace);
        Session *fork;
        SessionTxn *t;
        int r = is_taken ? (int) SESSION_E_WORKSPACE_BUSY
                         : fork_txn(op->session, &op->args, &op->point, &fork, &t);

        if (r != 0) {
                fork_failed(op, r);
                return;
        }
        op->result = fork->info.id;
        op_commit(op, t, fork_committed);
        /* op may be gone: a refused transaction has ended it. */
        if (fork->inflight == 0)
                session_forget(fork, -ECANCELED);
}

static void fork_files(SessionOp *op, int r) {
        if (r < 0)
                op_finish(op, r);
        else
                fork_commit(op);
}

static void fork_materialized(SessionOp *op, int r) {
        op->is_materialized = r >= 0;
        fork_files(op, r);
}

static void fork_recorded(SessionOp *op, int r) {
        (void) r;
        if (op->has_files && op->files.error == 0) {
                memcpy(op->point.tree, op->files.tree, sizeof(op->point.tree));
                op->point.has_tree = true;
        }
        if (op->point.has_tree && op->session->manager->config.workspace)
                op_materialize(op, op->point.tree, fork_materialized);
        else
                fork_files(op, fs_mkdir_p(op->args.workspace, 0777));
}

void op_begin_fork(SessionOp *op) {
        int r = point_find(op->session, op->args.checkpoint, op->args.node, &op->point);

        if (r != 0)
                op_finish(op, r);
        else if (op->args.checkpoint || op->args.node)
                fork_recorded(op, 0);
        else
                op_snapshot(op, fork_recorded);
}
