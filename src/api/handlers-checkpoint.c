/* SPDX-License-Identifier: MIT */

/* Checkpoints, branches, forks and runs: rows that never change but for a checkpoint's label and pin. */

#include "api/handlers.h"

/* ---- lists ---- */

static int list_checkpoint(const CheckpointInfo *i, void *userdata) {
        ApiList *l = userdata;

        if (!api_list_item(l, i->id))
                return 1;
        view_checkpoint(&l->w, i);
        return 0;
}

static int page_checkpoints(ApiList *l, Session *s, size_t limit) {
        return session_checkpoints(s, l->after, limit, list_checkpoint, l);
}

void api_checkpoint_list(ApiCall *c) {
        const InputPage *in = c->in;

        api_reply_list(c, in->limit, SIZE_MAX, in->after, page_checkpoints);
}

static int list_branch(const BranchInfo *i, void *userdata) {
        ApiList *l = userdata;

        if (!api_list_item(l, i->id))
                return 1;
        view_branch(&l->w, i);
        return 0;
}

static int page_branches(ApiList *l, Session *s, size_t limit) {
        return session_branches(s, l->after, limit, list_branch, l);
}

void api_branch_list(ApiCall *c) {
        const InputPage *in = c->in;

        api_reply_list(c, in->limit, 1000, in->after, page_branches);
}

/* A fork that is being deleted has its row still: no item, but a row of the page. */
static int list_fork(const ForkInfo *f, void *userdata) {
        ApiList *l = userdata;
        const Session *s = session_get(l->sessions, f->session);

        if (!s) {
                l->after = f->branch;
                l->n++;
                return 0;
        }
        if (!api_list_item(l, f->branch))
                return 1;
        view_fork(&l->w, f, session_info(s));
        return 0;
}

static int page_forks(ApiList *l, Session *s, size_t limit) {
        return session_forks(s, l->after, limit, list_fork, l);
}

void api_fork_list(ApiCall *c) {
        const InputPage *in = c->in;

        api_reply_list(c, in->limit, 1000, in->after, page_forks);
}

/* One that has ended may still be there, for its output. */
static void write_one(JsonWriter *w, SupManager *sup, const RunInfo *i) {
        const SupRun *run = sup ? sup_run_find(sup, i->id) : NULL;
        bool lives = run && i->state != RUN_ENDED;
        SupUsage u;

        view_run(w, i, lives && sup_run_usage(run, &u) >= 0 ? &u : NULL, run);
}

static int list_run(const RunInfo *i, void *userdata) {
        ApiList *l = userdata;

        if (!api_list_item(l, i->id))
                return 1;
        write_one(&l->w, l->sup, i);
        return 0;
}

static int page_runs(ApiList *l, Session *s, size_t limit) {
        return session_runs(s, l->after, limit, list_run, l);
}

void api_run_list(ApiCall *c) {
        const InputPage *in = c->in;

        api_reply_list(c, in->limit, 1000, in->after, page_runs);
}

/* ---- one ---- */

typedef struct One {
        uint64_t session;
        SupManager *sup;
        JsonWriter w;
        bool found;
} One;

static int write_run(const RunInfo *i, void *userdata) {
        One *one = userdata;

        one->found = i->session == one->session;
        if (one->found)
                write_one(&one->w, one->sup, i);
        return 0;
}

void api_run_get(ApiCall *c) {
        const InputRun *in = c->in;
        Buf body = BUF_INIT(API_REPLY_MAX);
        One one = { .session = c->session_id, .sup = c->api->config.sup, .w = JSON_WRITER(&body) };
        uint64_t id = api_id(in->run);
        int r = id ? session_run_get(c->api->sessions, id, write_run, &one) : -ENOENT;

        c->subject = in->run.s;
        if (one.found) {
                api_reply(c, &body);
                return;
        }
        buf_done(&body);
        if (r < 0 && r != -ENOENT)
                api_fail_result(c, r);
        else
                api_fail(c, ERROR_RUN_NOT_FOUND);
}

typedef struct Shown {
        JsonWriter w;
        char etag[ETAG_SIZE];
} Shown;

static int write_checkpoint(const CheckpointInfo *i, void *userdata) {
        Shown *shown = userdata;

        view_checkpoint(&shown->w, i);
        api_etag_checkpoint(i, shown->etag);
        return 0;
}

void api_reply_checkpoint(ApiCall *c, Session *s, uint64_t id) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        Shown shown = { .w = JSON_WRITER(&body) };
        int r = s && id ? session_checkpoint_get(s, id, write_checkpoint, &shown)
                        : SESSION_E_NO_CHECKPOINT;

        if (r == 0) {
                if (c->route->id !=
                    ROUTE_CHECKPOINT_GET) /* that one has compared it, and sent it with that */
                        http_reply_header(c->req, "ETag", shown.etag);
                api_reply(c, &body);
                return;
        }
        buf_done(&body);
        api_fail_result(c, r);
}

static int tag_checkpoint(const CheckpointInfo *i, void *userdata) {
        api_etag_checkpoint(i, userdata);
        return 0;
}

void api_checkpoint_get(ApiCall *c) {
        const InputCheckpoint *in = c->in;
        uint64_t id = api_id(in->cp);
        char etag[ETAG_SIZE];

        c->subject = in->cp.s;
        if (id && session_checkpoint_get(c->session, id, tag_checkpoint, etag) == 0 &&
            api_not_modified(c, etag))
                return;
        api_reply_checkpoint(c, c->session, api_id(in->cp));
}

/* ---- changes ---- */

static void on_checkpoint(int r, Session *s, uint64_t id, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);

        if (r != 0)
                api_fail_result(c, r);
        else
                api_reply_checkpoint(c, s, id);
}

void api_checkpoint_create(ApiCall *c) {
        const InputCheckpointCreate *in = c->in;

        api_submitted(c, session_checkpoint(c->session, c->caller.run, CHECKPOINT_MANUAL,
                                            in->label.s ? in->label.s : in->body_label.s,
                                            on_checkpoint, c));
}

/* -ESTALE: it was there when the request came, and deleted or changed by another one before this
 * one's commit. Who said what it had to be is told that it is not; who did not, that it is gone. */
static void fail_change(ApiCall *c, int r) {
        bool is_gone = r == -ESTALE && !http_header(c->req, "If-Match");

        api_fail_result(c, is_gone ? SESSION_E_NO_CHECKPOINT : r);
}

static void on_patched(int r, Session *s, uint64_t id, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);

        if (r != 0)
                fail_change(c, r);
        else
                on_checkpoint(r, s, api_id(((const InputCheckpoint *) c->in)->cp), userdata);
}

/* What If-Match was compared with, copied for the call. */
typedef struct Expected {
        CheckpointInfo info;
        char etag[ETAG_SIZE];
        FieldArena *arena;
} Expected;

static int keep_expected(const CheckpointInfo *i, void *userdata) {
        Expected *e = userdata;
        size_t n = i->label ? strlen(i->label) + 1 : 0;
        char *label = n > 0 ? field_arena_alloc(e->arena, n) : NULL;

        if (n > 0 && !label)
                return -ENOMEM;
        if (n > 0)
                memcpy(label, i->label, n);
        api_etag_checkpoint(i, e->etag);
        e->info = (CheckpointInfo){ .id = i->id, .pinned = i->pinned, .label = label };
        return 0;
}

/* *ret: what the checkpoint must be like, NULL: it does not matter. 0, or answered and 1. */
static int expect(ApiCall *c, uint64_t id, const CheckpointInfo **ret) {
        Expected *e = field_arena_alloc(c->arena, sizeof(*e));
        int r = id ? 0 : SESSION_E_NO_CHECKPOINT;

        *ret = NULL;
        if (r == 0 && !http_header(c->req, "If-Match"))
                return 0;
        if (r == 0 && !e)
                r = -ENOMEM;
        if (r == 0) {
                e->arena = c->arena;
                r = session_checkpoint_get(c->session, id, keep_expected, e);
        }
        if (r != 0) {
                api_fail_result(c, r);
                return 1;
        }
        *ret = &e->info;
        return !api_if_match(c, e->etag);
}

void api_checkpoint_patch(ApiCall *c) {
        const InputCheckpoint *in = c->in;
        uint64_t id = api_id(in->cp);

        const CheckpointInfo *expected;

        c->subject = in->cp.s;
        if (expect(c, id, &expected) == 0)
                api_submitted(c, session_checkpoint_patch(c->session, id, in->label.s,
                                                          in->pinned.set ? &in->pinned.v : NULL,
                                                          expected, on_patched, c));
}

static void on_deleted(int r, Session *s, uint64_t id, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);

        if (r != 0)
                fail_change(c, r);
        else
                api_reply_status(c, "deleted");
}

void api_checkpoint_delete(ApiCall *c) {
        const InputCheckpoint *in = c->in;
        uint64_t id = api_id(in->cp);

        const CheckpointInfo *expected;

        c->subject = in->cp.s;
        if (expect(c, id, &expected) == 0)
                api_submitted(c, session_checkpoint_delete(c->session, id, expected, on_deleted, c));
}

/* ---- the state at a checkpoint ---- */

/* What a checkpoint pins replaces what is now. */
static int take_point(const CheckpointInfo *i, void *userdata) {
        SessionInfo *s = userdata;

        s->config = i->config;
        s->branch = i->branch;
        s->head = i->node;
        s->vars = i->vars;
        s->run = i->run;
        s->checkpoint = i->id;
        s->message_count = i->message_count;
        s->tool_call_count = i->tool_call_count;
        s->updated_at = i->created_at;
        return 0;
}

void api_checkpoint_state(ApiCall *c) {
        const InputCheckpoint *in = c->in;
        uint64_t id = api_id(in->cp);
        size_t messages = 0;

        c->subject = in->cp.s;
        (void) api_message_limit(in->messages, SIZE_MAX, &messages);
        int r = id ? session_checkpoint_get(c->session, id, take_point, &c->info)
                   : SESSION_E_NO_CHECKPOINT;
        if (r != 0)
                api_fail_result(c, r);
        else
                api_reply_session(c, messages);
}
