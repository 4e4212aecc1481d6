/* SPDX-License-Identifier: MIT */

/* A SessionState. Its head is small; its messages may be a million. So it is made in pieces: the
 * head, the messages from old to new, then the tool calls of those messages. The calls are gathered
 * while the messages are written, as long as they fit into a small buffer; beyond that the messages
 * are read a second time. Nodes never change, so both readings see the same. */

#include "api/api-internal.h"

#define HISTORY_MAX ((size_t) 1 << 20)

typedef enum Phase {
        PHASE_HEAD,
        PHASE_MESSAGES,
        PHASE_HISTORY_BEGIN,
        PHASE_HISTORY,
        PHASE_END,
} Phase;

struct SessionView {
        SessionManager *sessions;
        const SessionInfo *info; /* until the head is written */
        Phase phase;
        MessageWalk walk, again; /* `again`: where the second reading begins */
        JsonWriter w;
        Buf history; /* tool calls with commas between them */
        bool has_calls;
        uint64_t message_count;
        ConfigInfo config; /* for what it has of the history */
};

/* ---- the head ---- */

static int write_variables(JsonWriter *w, SessionManager *m, const SessionInfo *i) {
        json_w_key(w, "memory");
        int r = session_vars(m, i->vars, w->buf);
        w->comma = true;
        return r;
}

static void write_config(JsonWriter *w, const ConfigInfo *c) {
        json_w_kv_string(w, "model", c->model);
        json_w_kv_raw(w, "system_prompt", c->system_prompt);
        json_w_kv_raw(w, "tools", c->tools.p ? c->tools : JSON_LITERAL("[]"));
        json_w_kv_raw(w, "agent", c->agent);
}

/* A history of its own holds for the messages it was recorded with, not for a point before their end. */
static bool has_history(const ConfigInfo *c, uint64_t message_count) {
        return c->history.p && message_count >= c->history_depth;
}

static uint64_t tool_call_count(const ConfigInfo *c, const SessionInfo *i) {
        int64_t extra = has_history(c, i->message_count) ? c->history_extra : 0;

        return i->tool_call_count + (uint64_t) extra;
}

static int write_head(JsonWriter *w, SessionManager *m, const SessionInfo *i, ConfigInfo *ret) {
        _cleanup_(config_info_done) ConfigInfo config = {};
        int r = session_config(m, i->config, &config);

        if (r < 0)
                return r;
        json_w_object_begin(w);
        json_w_kv_id(w, "session_id", i->id);
        json_w_kv_string(w, "name", i->name);
        write_config(w, &config);
        json_w_kv_string(w, "status", session_status_to_string(i->status));
        json_w_kv_string(w, "substate", session_substate_to_string(i->substate));
        json_w_kv_string(w, "reason", i->reason);
        r = write_variables(w, m, i);
        json_w_kv_time(w, "created_at", i->created_at);
        json_w_kv_time(w, "updated_at", i->updated_at);
        json_w_kv_string(w, "namespace", session_namespace_name(m, i->namespace_id));
        json_w_kv_raw(w, "labels", i->labels.p ? i->labels : JSON_LITERAL("{}"));
        json_w_kv_string(w, "workspace", i->workspace);
        json_w_kv_id(w, "branch", i->branch);
        json_w_kv_id_or_null(w, "run", i->run);
        json_w_kv_uint(w, "restarts", i->restarts);
        json_w_kv_time(w, "heartbeat_at", i->status == SESSION_RUNNING ? i->heartbeat_at : 0);
        json_w_kv_time(w, "restart_at", i->substate == SUBSTATE_BACKOFF ? i->restart_at : 0);
        json_w_kv_id_or_null(w, "last_checkpoint", i->checkpoint);
        json_w_kv_uint(w, "message_count", i->message_count);
        json_w_kv_uint(w, "tool_call_count", tool_call_count(&config, i));
        if (r >= 0 && ret) {
                *ret = config;
                config = (ConfigInfo){};
        }
        return r;
}

int view_session_head(JsonWriter *w, SessionManager *m, const SessionInfo *i) {
        return write_head(w, m, i, NULL);
}

/* ---- walking messages ---- */

typedef struct WalkStep {
        MessageWalk *walk;
        NodeFn fn;
        void *userdata;
        size_t left;
} WalkStep;

static int on_node(const NodeInfo *n, void *userdata) {
        WalkStep *step = userdata;
        int r = step->fn(n, step->userdata);

        if (r < 0)
                return r;
        step->walk->after = step->walk->last = n->id;
        step->walk->from_start = true;
        step->left--;
        return r > 0 || step->left == 0 ? 1 : 0;
}

/* The session room takes the last ones unless it is told where to begin, so the first ones are
 * asked for as all, and stopped. */
int message_walk(MessageWalk *walk, NodeFn fn, void *userdata) {
        WalkStep step = { walk, fn, userdata, walk->limit };

        if (walk->limit == 0)
                return 0;
        int r = session_nodes(walk->sessions, walk->head, walk->after, walk->before,
                              walk->from_start ? SIZE_MAX : walk->limit, on_node, &step);
        if (r < 0)
                return r;
        if (walk->limit != SIZE_MAX)
                walk->limit = step.left;
        return r > 0 && step.left > 0 ? 1 : 0;
}

/* ---- the whole ---- */

int session_view_new(SessionView **ret, SessionManager *m, const SessionInfo *i, size_t messages) {
        SessionView *v = calloc(1, sizeof(*v));

        if (!v)
                return -ENOMEM;
        *v = (SessionView){
                .sessions = m,
                .info = i,
                .walk = { .sessions = m, .head = i->head, .limit = messages },
                .history = BUF_INIT(HISTORY_MAX),
                .message_count = i->message_count,
        };
        v->again = v->walk;
        *ret = v;
        return 0;
}

SessionView *session_view_free(SessionView *v) {
        if (!v)
                return NULL;
        buf_done(&v->history);
        config_info_done(&v->config);
        free(v);
        return NULL;
}

static void gather_calls(SessionView *v, JsonSpan calls) {
        JsonIter it = json_iter(calls);
        JsonSpan call;

        while (json_next(&it, NULL, &call)) {
                if (v->history.len > 0)
                        (void) buf_putc(&v->history, ',');
                (void) buf_append(&v->history, call.p, call.n);
                v->has_calls = true;
        }
}

/* Its calls are not in the history that the configuration has. */
static bool has_calls_of_its_own(const SessionView *v, const NodeInfo *n) {
        return n->calls.p &&
               !(has_history(&v->config, v->message_count) && n->depth <= v->config.history_depth);
}

static int on_message(const NodeInfo *n, void *userdata) {
        SessionView *v = userdata;

        view_message(&v->w, n);
        if (has_calls_of_its_own(v, n))
                gather_calls(v, n->calls);
        return v->w.buf->len >= API_PIECE;
}

static int on_message_calls(const NodeInfo *n, void *userdata) {
        SessionView *v = userdata;
        JsonIter it;
        JsonSpan call;

        if (!has_calls_of_its_own(v, n))
                return 0;
        it = json_iter(n->calls);
        while (json_next(&it, NULL, &call))
                json_w_raw(&v->w, call);
        return v->w.buf->len >= API_PIECE;
}

/* What was recorded apart comes first, if the messages shown reach back to where it ends. */
static void write_recorded(SessionView *v) {
        JsonIter it = json_iter(v->config.history);
        size_t shown = v->again.limit;
        JsonSpan call;

        if (shown == 0 || !has_history(&v->config, v->message_count) ||
            v->message_count - v->config.history_depth >= shown)
                return;
        while (json_next(&it, NULL, &call))
                json_w_raw(&v->w, call);
}

static int write_messages(SessionView *v) {
        int r = message_walk(&v->walk, on_message, v);

        if (r != 0)
                return r;
        json_w_array_end(&v->w);
        json_w_key(&v->w, "tool_history");
        json_w_array_begin(&v->w);
        write_recorded(v);
        return 0;
}

/* What was gathered, or nothing yet. */
static bool write_gathered(SessionView *v) {
        if (buf_error(&v->history) < 0) {
                v->walk = v->again;
                return false;
        }
        if (v->has_calls)
                json_w_raw(&v->w, (JsonSpan){ v->history.data, v->history.len });
        return true;
}

/* One step: 1: in the same phase again, 0: on to the next. */
static int step(SessionView *v) {
        int r;

        switch (v->phase) {
        case PHASE_HEAD:
                r = write_head(&v->w, v->sessions, v->info, &v->config);
                v->info = NULL;
                json_w_key(&v->w, "messages");
                json_w_array_begin(&v->w);
                return MIN(r, 0);
        case PHASE_MESSAGES:
                return write_messages(v);
        case PHASE_HISTORY_BEGIN:
                if (write_gathered(v))
                        v->phase = PHASE_HISTORY;
                return 0;
        case PHASE_HISTORY:
                return message_walk(&v->walk, on_message_calls, v);
        case PHASE_END:
                break;
        }
        return 0;
}

int session_view_next(SessionView *v, Buf *out) {
        v->w.buf = out;
        while (v->phase != PHASE_END && out->len < API_PIECE) {
                int r = step(v);
                if (r < 0)
                        return r;
                if (r == 0)
                        v->phase++;
        }
        if (v->phase != PHASE_END)
                return API_PULL_MORE;
        json_w_array_end(&v->w);
        json_w_object_end(&v->w);
        return API_PULL_END;
}

/* ---- as an answer ---- */

typedef struct SessionPull {
        ApiPull pull;
        SessionView *view;
} SessionPull;

static int session_pull_next(ApiPull *p, Buf *out) {
        return session_view_next(container_of(p, SessionPull, pull)->view, out);
}

static ApiPull *session_pull_free(ApiPull *p) {
        SessionPull *s = container_of(p, SessionPull, pull);

        session_view_free(s->view);
        free(s);
        return NULL;
}

void api_reply_session(ApiCall *c, size_t messages) {
        SessionPull *p = calloc(1, sizeof(*p));
        int r = p ? session_view_new(&p->view, c->api->sessions, &c->info, messages) : -ENOMEM;

        if (r < 0) {
                free(p);
                api_fail_result(c, r);
                return;
        }
        p->pull.next = session_pull_next;
        p->pull.destroy = session_pull_free;
        api_reply_pull(c, &p->pull, "application/json");
}
