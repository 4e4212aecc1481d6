/* SPDX-License-Identifier: MIT */

/* What differs between two points of a session. The session room finds the points and compares the
 * files off the loop thread; the rest is read here while the answer is written: variables and
 * configuration of two versions, and a page of the messages that only one of both has.
 *
 * Messages are one list, the removed ones and then the added ones, so that one cursor leads through
 * both: `after` is looked for in the first conversation, then in the second. */

#include "api/handlers.h"
#include "base/str.h"

#define PAGE_BYTES_MAX ((size_t) 8 << 20)
#define PAGE_DEFAULT   100

typedef struct DiffCall {
        ApiCall *call;
        SessionDiff diff;
        JsonWriter w;
        size_t left;   /* of the page */
        uint64_t last; /* message that was written; 0: none */
        const char *change;
} DiffCall;

/* ---- messages ---- */

static int on_message(const NodeInfo *n, void *userdata) {
        DiffCall *d = userdata;

        json_w_object_begin(&d->w);
        json_w_kv_string(&d->w, "change", d->change);
        json_w_key(&d->w, "message");
        view_message(&d->w, n);
        json_w_object_end(&d->w);
        d->left--;
        d->last = n->id;
        return d->w.buf->len >= PAGE_BYTES_MAX;
}

/* The messages of one side behind `after`. */
static int write_side(DiffCall *d, const SessionSide *side, const char *change, uint64_t after) {
        MessageWalk walk = {
                .sessions = d->call->api->sessions,
                .head = side->head,
                .after = after,
                .from_start = true,
                .limit = d->left,
        };

        if (side->message_count <= d->diff.common)
                return 0;
        d->change = change;
        int r = message_walk(&walk, on_message, d);
        if (r > 0)
                d->left = 0; /* the page is full of bytes */
        return r < 0 ? r : 0;
}

/* Where the list begins: behind `after`, which is in one of the sides; or at its beginning. Ids
 * ascend along a conversation, so what is not behind the ancestor is in both. */
static int write_items(DiffCall *d, uint64_t after) {
        const SessionDiff *diff = &d->diff;
        bool to_has_own = diff->to.message_count > diff->common;
        int r = -ENOENT;

        if (after > 0 && after <= diff->ancestor)
                return -ENOENT;
        if (after == 0)
                r = write_side(d, &diff->from, "removed", diff->ancestor);
        else if (diff->from.message_count > diff->common)
                r = write_side(d, &diff->from, "removed", after);
        if (r >= 0)
                return write_side(d, &diff->to, "added", diff->ancestor);
        return r == -ENOENT && to_has_own ? write_side(d, &diff->to, "added", after) : r;
}

/* Is there a message behind the last one of the page? */
static bool has_more(const DiffCall *d) {
        const SessionDiff *diff = &d->diff;
        uint64_t end = diff->to.message_count > diff->common ? diff->to.head : diff->from.head;

        return d->last > 0 && d->last != end;
}

static int write_messages(DiffCall *d, const InputDiff *in) {
        const SessionDiff *diff = &d->diff;

        json_w_object_begin(&d->w);
        json_w_kv_id_or_null(&d->w, "ancestor", diff->ancestor);
        json_w_kv_uint(&d->w, "common", diff->common);
        json_w_kv_uint(&d->w, "removed", diff->from.message_count - diff->common);
        json_w_kv_uint(&d->w, "added", diff->to.message_count - diff->common);
        json_w_key(&d->w, "items");
        json_w_array_begin(&d->w);
        int r = write_items(d, in->after.v);
        json_w_array_end(&d->w);
        json_w_object_end(&d->w);
        return r;
}

/* ---- variables, configuration ---- */

static int write_variables(DiffCall *d) {
        _cleanup_buf_ Buf from = BUF_INIT(API_REPLY_MAX), to = BUF_INIT(API_REPLY_MAX);
        SessionManager *m = d->call->api->sessions;

        if (d->diff.from.vars == d->diff.to.vars)
                return view_diff_values(&d->w, JSON_LITERAL("{}"), JSON_LITERAL("{}"));
        int r = session_vars(m, d->diff.from.vars, &from);
        if (r >= 0)
                r = session_vars(m, d->diff.to.vars, &to);
        return r < 0 ? r
                     : view_diff_values(&d->w, (JsonSpan){ from.data, from.len },
                                        (JsonSpan){ to.data, to.len });
}

static int write_configuration(DiffCall *d) {
        _cleanup_(config_info_done) ConfigInfo from = {}, to = {};
        SessionManager *m = d->call->api->sessions;
        int r = session_config(m, d->diff.from.config, &from);

        if (r >= 0)
                r = session_config(m, d->diff.to.config, &to);
        if (r >= 0)
                view_diff_config(&d->w, &from, &to);
        return r;
}

/* ---- the whole ---- */

static int write_diff(DiffCall *d, const InputDiff *in) {
        JsonWriter *w = &d->w;

        json_w_object_begin(w);
        json_w_kv_id(w, "session_id", d->call->session_id);
        json_w_key(w, "from");
        view_diff_point(w, &d->diff.from);
        json_w_key(w, "to");
        view_diff_point(w, &d->diff.to);
        json_w_key(w, "messages");
        int r = write_messages(d, in);
        if (r < 0)
                return r == -ENOENT ? SESSION_E_NO_NODE : r;
        json_w_key(w, "variables");
        r = write_variables(d);
        json_w_key(w, "configuration");
        if (r >= 0)
                r = write_configuration(d);
        json_w_key(w, "files");
        view_diff_files(w, &d->diff);
        json_w_object_end(w);
        return r;
}

static void reply(DiffCall *d) {
        const InputDiff *in = d->call->in;
        Buf body = BUF_INIT(API_REPLY_MAX);

        d->w = JSON_WRITER(&body);
        d->left = in->limit.set ? (size_t) in->limit.v : PAGE_DEFAULT;
        int r = write_diff(d, in);
        session_diff_done(&d->diff);
        if (r != 0) {
                buf_done(&body);
                d->call->subject = http_query_value(d->call->req, "after");
                api_fail_result(d->call, r);
                return;
        }
        if (has_more(d))
                api_reply_next_id(d->call, "after", d->last);
        api_reply(d->call, &body);
}

static void on_compared(int r, SessionDiff *diff, void *userdata) {
        DiffCall *d = userdata;

        if (r == 0) {
                reply(d);
                return;
        }
        session_diff_done(diff);
        api_fail_result(d->call, r);
}

/* 0, or answered. */
static int find_point(ApiCall *c, FieldStr text, SessionSide *ret) {
        bool is_now = !text.s || streq(text.s, "now");
        uint64_t id = is_now ? 0 : api_id(text);
        int r = is_now || id ? session_point(c->session, &c->info, id, ret) : SESSION_E_NO_NODE;

        c->subject = text.s;
        if (r == SESSION_E_NO_NODE)
                api_fail(c, ERROR_POINT_NOT_FOUND);
        else if (r != 0)
                api_fail_result(c, r);
        return r;
}

void api_diff(ApiCall *c) {
        const InputDiff *in = c->in;
        DiffCall *d = field_arena_alloc(c->arena, sizeof(*d));

        if (!d) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        d->call = c;
        if (find_point(c, in->from, &d->diff.from) != 0 || find_point(c, in->to, &d->diff.to) != 0)
                return;
        d->diff.files.limit = in->limit.set ? (size_t) in->limit.v : PAGE_DEFAULT;
        d->diff.files.skip = (size_t) in->files_skip.v;
        d->diff.files.with_patches = in->patch.v;
        int r = session_diff(c->session, &d->diff, on_compared, d);
        if (r == 1)
                reply(d);
        else if (r < 0)
                api_fail_result(c, r);
}
