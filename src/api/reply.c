/* SPDX-License-Identifier: MIT */

/* Answers that are not errors, and the way to them through pending commits.
 *
 * What a session's object says in memory may be ahead of the disk. To show only what is on disk
 * without stopping writers, the state is copied first, with everything submitted so far, and shown
 * when that much is committed: what is submitted meanwhile is neither waited for nor shown. */

#include <stdio.h>

#include "api/api-internal.h"
#include "base/id.h"
#include "base/str.h"

void api_send(ApiCall *c, unsigned status, const char *content_type, Buf *body) {
        if (!api_keyed_store(c, status, content_type, body))
                http_reply(c->req, status, content_type, body);
}

void api_reply(ApiCall *c, Buf *body) {
        if (buf_error(body) < 0) {
                int r = buf_error(body);
                buf_done(body);
                api_fail_result(c, r);
                return;
        }
        api_send(c, c->route->status, "application/json", body);
}

void api_reply_status(ApiCall *c, const char *status) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "status", status);
        json_w_object_end(&w);
        api_reply(c, &body);
}

void api_reply_etag(ApiCall *c, uint64_t version) {
        char etag[ETAG_SIZE];

        api_etag_version(version, etag);
        http_reply_header(c->req, "ETag", etag);
}

void api_submitted(ApiCall *c, int r) {
        if (r != 0)
                api_fail_result(c, r);
}

/* ---- Link ---- */

typedef struct LinkWriter {
        Buf url;
        const char *skip; /* the parameter that gets another value */
        char separator;
} LinkWriter;

static bool is_path(char c) {
        return uri_is_unreserved(c) || c == '/' || c == ':' || c == '@';
}

static void put_parameter(LinkWriter *l, const char *key, const char *value) {
        (void) buf_putc(&l->url, l->separator);
        l->separator = '&';
        (void) str_put_percent(&l->url, key, uri_is_unreserved);
        (void) buf_putc(&l->url, '=');
        (void) str_put_percent(&l->url, value, uri_is_unreserved);
}

static void keep_parameter(const char *key, const char *value, void *userdata) {
        LinkWriter *l = userdata;

        if (!streq(key, l->skip))
                put_parameter(l, key, value);
}

void api_reply_next(ApiCall *c, const char *parameter, const char *value) {
        LinkWriter l = { .url = BUF_INIT(16384), .skip = parameter, .separator = '?' };

        (void) buf_putc(&l.url, '<');
        (void) str_put_percent(&l.url, http_path(c->req), is_path);
        http_query_foreach(c->req, keep_parameter, &l);
        put_parameter(&l, parameter, value);
        (void) buf_puts(&l.url, ">; rel=\"next\"");
        if (buf_error(&l.url) == 0)
                http_reply_header(c->req, "Link", l.url.data);
        buf_done(&l.url);
}

void api_reply_next_id(ApiCall *c, const char *parameter, uint64_t id) {
        char text[ID_STRING_SIZE];

        api_reply_next(c, parameter, id_format(id, text));
}

/* ---- what is on disk ---- */

#define RETRIES_MAX 5

/* A copy that lives as long as the call; NULL stays NULL. */
static int keep_text(ApiCall *c, const char **s, size_t n) {
        char *copy;

        if (!*s)
                return 0;
        copy = field_arena_alloc(c->arena, n + 1);
        if (!copy)
                return -ENOMEM;
        memcpy(copy, *s, n);
        *s = copy;
        return 0;
}

static int snapshot(ApiCall *c, const Session *s) {
        SessionInfo i = *session_info(s);
        int r = keep_text(c, &i.name, strlen(i.name));

        if (r >= 0)
                r = keep_text(c, &i.reason, i.reason ? strlen(i.reason) : 0);
        if (r >= 0)
                r = keep_text(c, &i.workspace, i.workspace ? strlen(i.workspace) : 0);
        if (r >= 0)
                r = keep_text(c, &i.labels.p, i.labels.n);
        if (r >= 0)
                c->info = i;
        return r;
}

typedef struct Settle {
        ApiCall *call;
        ApiHandler fn;
        unsigned tries;
} Settle;

static void settle(Settle *t);

/* A failure is not this answer's: what was submitted never came to the disk and memory was set back
 * to what is there, so it is read again. */
static void on_settled(int r, Session *s, uint64_t id, void *userdata) {
        Settle *t = userdata;
        ApiCall *c = t->call;

        c->session = c->session_id ? session_get(c->api->sessions, c->session_id) : NULL;
        if (c->session_id && !c->session)
                api_fail(c, ERROR_SESSION_NOT_FOUND);
        else if (r == 0)
                t->fn(c);
        else if (t->tries >= RETRIES_MAX)
                api_fail_result(c, r);
        else
                settle(t);
}

static void settle(Settle *t) {
        ApiCall *c = t->call;
        int r = c->session ? snapshot(c, c->session) : 0;

        t->tries++;
        if (r >= 0)
                r = session_settle(c->api->sessions, c->session, on_settled, t);
        if (r == 1)
                t->fn(c);
        else if (r < 0)
                api_fail_result(c, r);
}

void api_settled(ApiCall *c, Session *s, ApiHandler fn) {
        Settle *t = field_arena_alloc(c->arena, sizeof(*t));

        if (!t) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        *t = (Settle){ c, fn, 0 };
        c->session = s;
        c->session_id = s ? session_info(s)->id : 0;
        settle(t);
}

static void reply_state(ApiCall *c) {
        char etag[ETAG_SIZE];

        api_etag_session(&c->info, etag);
        http_reply_header(c->req, "ETag", etag);
        api_reply_session(c, 50);
}

void api_done_session(int r, Session *s, uint64_t id, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);

        if (r == 0 && id && !c->session_id)
                s = session_get(c->api->sessions, id);
        if (r == 0 && !s)
                r = SESSION_E_NOT_FOUND;
        if (r != 0)
                api_fail_result(c, r);
        else
                api_settled(c, s, reply_state);
}

/* ---- namespaces ---- */

int api_namespace(ApiCall *c, FieldStr name, bool create, uint64_t *ret) {
        const char *wanted = name.s ? name.s : "default";
        uint64_t own = c->caller.namespace_id;

        if (own && (!name.s || streq(name.s, session_namespace_name(c->api->sessions, own)))) {
                *ret = own;
                return 0;
        }
        int r = own ? -ENOENT : session_namespace(c->api->sessions, wanted, create, ret);
        if (r == 0)
                return 0;
        c->subject = wanted;
        if (r == -ENOENT)
                api_fail(c, ERROR_NAMESPACE_NOT_FOUND);
        else
                api_fail_result(c, r);
        return 1;
}

int api_namespace_filter(ApiCall *c, FieldStr name, uint64_t *ret) {
        if (name.s || c->caller.namespace_id)
                return api_namespace(c, name, false, ret);
        *ret = 0;
        return 0;
}

/* ---- without an end ---- */

bool api_stream_begin(ApiCall *c, ApiStream *s, void (*end)(ApiStream *s)) {
        Api *a = c->api;

        if (a->is_quiescing || a->n_streams >= a->streams_max) {
                api_fail(c, a->is_quiescing ? ERROR_SHUTTING_DOWN : ERROR_TOO_MANY_STREAMS);
                return false;
        }
        *s = (ApiStream){
                .api = a,
                .end = end,
                .token = c->caller.token,
                .run = c->caller.run,
                .expires_at = c->caller.expires_at,
        };
        list_append(&a->streams, &s->link);
        a->n_streams++;
        return true;
}

void api_stream_done(ApiStream *s) {
        if (!list_is_linked(&s->link))
                return;
        list_remove(&s->link);
        s->api->n_streams--;
}

bool api_stream_has_expired(const ApiStream *s) {
        return s->expires_at > 0 && s->expires_at <= clock_realtime();
}

void api_streams_end_of_token(Api *a, uint64_t token) {
        LIST_FOREACH(l, &a->streams) {
                ApiStream *s = LIST_ENTRY(l, ApiStream, link);
                if (s->token == token)
                        s->end(s);
        }
}

/* Its token is dead from that commit on, and what was begun with it is no better than a new request. */
static int on_event(const EventInfo *e, void *userdata) {
        Api *a = OBJ_CAST(Api, userdata, API_MAGIC);
        _cleanup_free_ char *text = NULL;
        uint64_t run;

        if (e->type != EVENT_RUN_ENDED || !e->data.p || list_is_empty(&a->streams))
                return 0;
        JsonSpan id = json_get(e->data, "run");
        if (!id.p || !json_is(id, JSON_KIND_STRING) || json_string_dup(id, &text, NULL) < 0 ||
            id_parse(text, &run) < 0)
                return 0;
        LIST_FOREACH(l, &a->streams) {
                ApiStream *s = LIST_ENTRY(l, ApiStream, link);
                if (s->run == run)
                        s->end(s);
        }
        return 0;
}

int api_streams_watch_runs(Api *a) {
        return session_subscribe(a->sessions, 0, 0, on_event, a, &a->runs);
}
