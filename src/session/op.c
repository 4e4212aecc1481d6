/* SPDX-License-Identifier: MIT */

/* Verbs. Most take several commits, some wait for a process to die or for files to be recorded, so
 * each is a small object with its next step, and a session's verbs run one after the other: what
 * one began, the next does not find half done. A verb is checked against the state table when it is
 * asked for, and again when its turn comes; then the state may have changed and its caller is told
 * so by done().
 *
 * What a verb does after the process's end is written down as an intent in the same transaction
 * that says the process is to end, and removed in the one that does it. A daemon that dies in
 * between finds the intent and makes the verb again, without a caller.
 *
 * Rejected: a thread or a coroutine for each verb (neither survives a restart, and a step is four
 * lines), and refusing a verb while another is under way (a client that stops what is just being
 * paused means it). */

#include "base/str.h"
#include "session/session-internal.h"

#define QUEUE_MAX 64

#define ALREADY SESSION_E_ALREADY_RUNNING
#define NOT_RUN SESSION_E_NOT_RUNNING
#define WRONG   SESSION_E_WRONG_STATE
#define RUNNING SESSION_E_RUNNING
#define NOTHING VERB_NOTHING

/* In the order of SessionStatus: created, running, paused, stopped, error. */
static const int verdicts[_OP_KIND_MAX][_SESSION_STATUS_MAX] = {
        [OP_START] = { 0, ALREADY, WRONG, 0, 0 },
        [OP_PAUSE] = { NOT_RUN, 0, NOT_RUN, NOT_RUN, NOT_RUN },
        [OP_RESUME] = { WRONG, 0, 0, 0, 0 },
        [OP_STOP] = { 0, 0, 0, NOTHING, 0 },
        [OP_RESTART] = { 0, 0, 0, 0, 0 },
        [OP_ARCHIVE] = { 0, WRONG, WRONG, 0, 0 },
        [OP_DELETE] = { 0, RUNNING, RUNNING, 0, 0 },
        [OP_RESTORE] = { 0, RUNNING, 0, 0, 0 },
        [OP_FORK] = { 0, 0, 0, 0, 0 },
        [OP_FILES] = { 0, 0, 0, 0, 0 },
};

static void (*const begins[_OP_KIND_MAX])(SessionOp *op) = {
        [OP_START] = op_begin_start,     [OP_PAUSE] = op_begin_pause,
        [OP_RESUME] = op_begin_resume,   [OP_STOP] = op_begin_stop,
        [OP_RESTART] = op_begin_restart, [OP_ARCHIVE] = op_begin_archive,
        [OP_DELETE] = op_begin_delete,   [OP_RESTORE] = op_begin_restore,
        [OP_FORK] = op_begin_fork,       [OP_FILES] = op_begin_files,
};

/* The words of intents: stored, so they stay. */
static const char *const intent_words[_OP_KIND_MAX] = {
        [OP_PAUSE] = "pause",   [OP_RESUME] = "resume",   [OP_RESTART] = "restart",
        [OP_DELETE] = "delete", [OP_RESTORE] = "restore", [OP_FILES] = "files",
};

int verb_check(const Session *s, OpKind kind, const OpArgs *args) {
        const SessionInfo *i = &s->info;
        int verdict = verdicts[kind][i->status];

        if (kind == OP_PAUSE && i->substate == SUBSTATE_STOPPING)
                return SESSION_E_NOT_RUNNING;
        if (kind == OP_RESUME && i->status == SESSION_RUNNING && !args->checkpoint)
                return SESSION_E_ALREADY_RUNNING;
        if ((kind == OP_START || kind == OP_RESUME || kind == OP_RESTART) && !args->checkpoint &&
            session_is_unfinished(s))
                return SESSION_E_UNFINISHED;
        if (kind == OP_RESTART && !i->has_agent)
                return SESSION_E_NO_AGENT;
        if (kind == OP_ARCHIVE && i->substate == SUBSTATE_ARCHIVED)
                return VERB_NOTHING;
        if (kind == OP_DELETE && args->force)
                return 0;
        return verdict;
}

/* ---- life ---- */

void op_free(SessionOp *op) {
        free((void *) (uintptr_t) op->args.name);
        free((void *) (uintptr_t) op->args.workspace);
        op->magic = 0;
        free(op);
}

static int op_new(Session *s, OpKind kind, const OpArgs *args, SessionOp **ret) {
        SessionOp *op = calloc(1, sizeof(SessionOp));

        if (!op)
                return -ENOMEM;
        op->magic = SESSION_OP_MAGIC;
        op->kind = kind;
        op->session = s;
        op->args = *args;
        op->args.name = args->name ? strdup(args->name) : NULL;
        op->args.workspace = args->workspace ? strdup(args->workspace) : NULL;
        op->has_key = s->manager->request_key != NULL;
        if (op->has_key)
                op->key = *s->manager->request_key;
        if ((args->name && !op->args.name) || (args->workspace && !op->args.workspace)) {
                op_free(op);
                return -ENOMEM;
        }
        *ret = op;
        return 0;
}

/* ---- the queue ---- */

static size_t queue_append(Session *s, SessionOp *op) {
        SessionOp **at = &s->ops;
        size_t n = 0;

        for (; *at; at = &(*at)->next)
                n++;
        if (n < QUEUE_MAX)
                *at = op;
        return n;
}

/* True if it is over already; then result_code says how. */
static bool op_begin(SessionOp *op) {
        op->in_begin = true;
        begins[op->kind](op);
        op->in_begin = false;
        return op->is_finished;
}

/* A key that no transaction took along, because there was nothing to do, is written down first. */
static void op_tell(SessionOp *op, int r) {
        Session *s = op->session;
        bool is_gone = s->is_deleting;

        if (r == 0 && op->has_key && !is_gone && !s->manager->is_closing) {
                r = session_request_key_commit(s->manager, s, &op->key, op->done, op->userdata);
                if (r == 0)
                        return;
        }
        op->done(r, is_gone ? NULL : s, op->result, op->userdata);
}

/* Takes the first verb out and tells its caller. */
static void op_end(SessionOp *op, int r) {
        Session *s = op->session;

        assert(s->ops == op && !op->is_busy);
        s->ops = op->next;
        if (r != 0 && !s->manager->is_closing)
                op_intent_void(op);
        if (op->done)
                op_tell(op, r);
        op_free(op);
}

static void run_queue(Session *s) {
        while (s->ops && !s->is_deleting && !s->manager->is_closing) {
                SessionOp *op = s->ops;
                int verdict = op->intent ? 0 : verb_check(s, op->kind, &op->args);
                if (verdict != 0)
                        op_end(op, verdict == VERB_NOTHING ? 0 : verdict);
                else if (op_begin(op))
                        op_end(op, op->result_code);
                else
                        return;
        }
}

void op_finish(SessionOp *op, int r) {
        Session *s = op->session;

        if (op->in_begin) {
                op->is_finished = true;
                op->result_code = r;
                return;
        }
        op_end(op, r);
        run_queue(s);
}

int op_submit(Session *s, OpKind kind, const OpArgs *args, SessionDoneFn done, void *userdata) {
        SessionOp *op;
        int r;

        OBJ_CHECK(s, SESSION_MAGIC);
        if (s->manager->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;
        r = verb_check(s, kind, args);
        if (r == VERB_NOTHING && s->manager->request_key)
                return session_request_key_commit(s->manager, s, s->manager->request_key, done,
                                                  userdata);
        if (r == VERB_NOTHING)
                return session_txn_barrier(s->manager, s, s->info.id, done, userdata);
        if (r == 0)
                r = op_new(s, kind, args, &op);
        if (r != 0)
                return r;
        op->done = done;
        op->userdata = userdata;
        op->result = s->info.id;
        size_t before = queue_append(s, op);
        if (before >= QUEUE_MAX) {
                op_free(op);
                return -EBUSY;
        }
        if (before > 0 || !op_begin(op))
                return 0;
        /* Refused by its first step: the caller hears it from here. */
        r = op->result_code;
        s->ops = op->next;
        op_free(op);
        assert(r != 0);
        return r;
}

void ops_abandon(Session *s, int r) {
        while (s->ops) {
                SessionOp *op = s->ops;
                s->ops = op->next;
                if (op->done)
                        op->done(r, NULL, 0, op->userdata);
                op->session = NULL;
                op->done = NULL;
                if (!op->is_busy)
                        op_free(op);
        }
}

/* ---- commits ---- */

static void on_committed(int r, Session *s, uint64_t id, void *userdata) {
        SessionOp *op = OBJ_CAST(SessionOp, userdata, SESSION_OP_MAGIC);

        (void) s;
        (void) id;
        op->is_busy = false;
        if (op->session)
                op->step(op, r);
        else
                op_free(op);
}

SessionTxn *op_txn(SessionOp *op) {
        SessionManager *m = op->session->manager;
        SessionTxn *t;
        int r = m->is_closing ? -ESHUTDOWN : session_txn_new(m, op->session, &t);

        if (r >= 0)
                return t;
        op_finish(op, r);
        return NULL;
}

void op_settle(SessionOp *op, OpStep step) {
        Session *s = op->session;

        op->is_busy = true;
        op->step = step;

        int r = session_txn_barrier(s->manager, s, 0, on_committed, op);
        if (r == 0)
                return;
        op->is_busy = false;
        op_finish(op, r);
}

void op_commit(SessionOp *op, SessionTxn *t, OpStep step) {
        op->is_busy = true;
        op->step = step;
        if (op->has_key)
                request_key_add(t->store, &state_request_keys, &op->key, op->result);
        op->has_key = false;

        int r = session_txn_submit(t, op->session->info.id, on_committed, op);
        if (r == 0)
                return;
        op->is_busy = false;
        step(op, r);
}

/* ---- intents ---- */

void op_intent_add(SessionOp *op, SessionTxn *t, OpKind kind) {
        _cleanup_buf_ Buf data = BUF_INIT(4096);
        JsonWriter w = JSON_WRITER(&data);
        char hex[2 * WORKSPACE_TREE_SIZE + 1];

        if (!intent_words[kind])
                return;
        json_w_object_begin(&w);
        json_w_kv_id_or_null(&w, "checkpoint", op->args.checkpoint);
        json_w_kv_id_or_null(&w, "node", op->args.node);
        json_w_kv_id_or_null(&w, "old_branch", op->old_branch);
        json_w_kv_bool(&w, "start", op->starts_after);
        hex_encode(op->point.tree, WORKSPACE_TREE_SIZE, hex);
        json_w_kv_string(&w, "tree", hex);
        json_w_object_end(&w);
        if (buf_error(&data) < 0) {
                t->error = buf_error(&data);
                return;
        }
        op->intent = id_new();
        STORE_ADD(t->store, STATE_INTENT_INSERT, STORE_ID(op->intent), STORE_ID(op->session->info.id),
                  STORE_TEXT(intent_words[kind]), STORE_TEXT_N(data.data, data.len));
}

void op_intent_remove(SessionOp *op, SessionTxn *t) {
        /* It may be removed twice: the statement does not mind, and a transaction may fail. */
        if (op->intent > 0)
                STORE_ADD(t->store, STATE_INTENT_DELETE, STORE_ID(op->intent));
}

void op_intent_void(SessionOp *op) {
        IntentList *list = &op->session->manager->void_intents;
        uint64_t *ids = op->intent ? reallocarray(list->ids, list->n + 1, sizeof(uint64_t)) : NULL;

        if (!ids) /* or no memory: then it is made again at the next start */
                return;
        list->ids = ids;
        list->ids[list->n++] = op->intent;
        void_intents_arm(op->session->manager);
}

static uint64_t data_id(JsonSpan data, const char *name) {
        _cleanup_free_ char *text = NULL;
        JsonSpan v = json_get(data, name);
        uint64_t id;

        if (!v.p || !json_is(v, JSON_KIND_STRING) || json_string_dup(v, &text, NULL) < 0)
                return 0;
        return id_parse(text, &id) < 0 ? 0 : id;
}

static void data_tree(JsonSpan data, Point *p) {
        _cleanup_free_ char *text = NULL;
        JsonSpan v = json_get(data, "tree");

        if (!v.p || !json_is(v, JSON_KIND_STRING) || json_string_dup(v, &text, NULL) < 0)
                return;
        p->has_tree = strlen(text) == 2 * WORKSPACE_TREE_SIZE &&
                      hex_decode(text, 2 * WORKSPACE_TREE_SIZE, p->tree) >= 0;
}

static OpKind kind_of_word(const char *word) {
        for (size_t i = 0; i < _OP_KIND_MAX; i++)
                if (streq_ptr(intent_words[i], word))
                        return (OpKind) i;
        return _OP_KIND_INVALID;
}

int op_recover(Session *s, uint64_t intent, const char *kind, JsonSpan data) {
        OpKind k = kind_of_word(kind);
        OpArgs args = { .force = true };
        JsonSpan start = json_get(data, "start");
        SessionOp *op;

        if (k < 0)
                return 0; /* another room's */
        args.checkpoint = data_id(data, "checkpoint");
        args.node = data_id(data, "node");
        int r = op_new(s, k, &args, &op);
        if (r < 0)
                return r;
        op->intent = intent;
        op->is_again = true;
        op->run = s->open_run ? s->open_run->id : 0;
        op->old_branch = data_id(data, "old_branch");
        op->has_checkpoint = true;
        op->result = s->info.id;
        data_tree(data, &op->point);
        if (start.p)
                (void) json_bool(start, &op->starts_after);
        if (queue_append(s, op) >= QUEUE_MAX) {
                op_free(op);
                return -EUCLEAN;
        }
        return 0;
}

int op_files_again(Session *s, uint64_t intent, const uint8_t tree[static WORKSPACE_TREE_SIZE]) {
        SessionOp *op;
        int r = op_new(s, OP_FILES, &(OpArgs){}, &op);

        if (r < 0)
                return r;
        assert(!s->ops);
        op->intent = intent;
        op->is_again = op->has_checkpoint = op->point.has_tree = true;
        memcpy(op->point.tree, tree, sizeof(op->point.tree));
        op->result = s->info.id;
        s->ops = op;
        return 0;
}

void ops_resume(Session *s) {
        run_queue(s);
}
