/* SPDX-License-Identifier: MIT */

/* Events, as a page (JSON) or followed (text/event-stream).
 *
 * A stream keeps no events: it keeps the id of the last one it sent, and reads on from the store
 * when its reader takes more. A commit only wakes it. So resuming by Last-Event-ID is the same code
 * as going on, a reader can neither miss an event nor see one twice, and ten thousand readers that
 * do not read cost nothing but their place. A queue in memory per reader was rejected for these
 * reasons. Who falls behind by more than BEHIND_MAX events is told so (`event: slow`) and cut; who
 * comes back to events that are no longer kept is told with `event: reset` and goes on with the
 * oldest.
 *
 * A comment line goes out when nothing else did for half a minute, so that proxies and dead peers
 * are noticed. */

#include "api/handlers.h"
#include "base/id.h"
#include "base/str.h"

#define EVENTS_MAGIC    0x45564e54U
#define PAGE            256
#define PAGE_DEFAULT    1000
#define BEHIND_MAX      100000
#define KEEP_ALIVE_USEC (30 * USEC_PER_SEC)

/* ---- a page ---- */

typedef struct EventPage {
        SessionManager *sessions;
        JsonWriter w;
        uint64_t last;
        size_t left;
        bool more;
} EventPage;

static int page_event(const EventInfo *e, void *userdata) {
        EventPage *p = userdata;

        if (p->left == 0) {
                p->more = true;
                return 1;
        }
        p->left--;
        p->last = e->id;
        view_event(&p->w, p->sessions, e);
        return 0;
}

static void reply_page(ApiCall *c, uint64_t namespace_id, uint64_t after, FieldInt limit) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        EventPage p = {
                .sessions = c->api->sessions,
                .w = JSON_WRITER(&body),
                .left = limit.set ? (size_t) limit.v : PAGE_DEFAULT,
        };
        bool reset = false;

        json_w_array_begin(&p.w);
        int r = session_events(p.sessions, namespace_id, c->session_id, after, p.left + 1,
                               page_event, &p, &reset);
        json_w_array_end(&p.w);
        if (r < 0) {
                buf_done(&body);
                api_fail_result(c, r);
                return;
        }
        if (reset)
                http_reply_header(c->req, "Agentd-Events", "reset");
        if (p.more)
                api_reply_next_id(c, "after", p.last);
        api_reply(c, &body);
}

/* ---- a stream ---- */

typedef struct EventStream {
        uint32_t magic;
        ApiStream base;
        HttpStream *stream;
        SessionManager *sessions;
        SessionSubscription *subscription;
        sd_event_source *keep_alive;
        uint64_t namespace_id, session, last;
        uint64_t behind; /* published since the last time that all were sent */
        Buf *out;        /* while pulling */
        bool is_begun, is_reset_told, keep_alive_due, is_ending;
} EventStream;

static EventStream *event_stream_free(EventStream *s) {
        if (!s)
                return NULL;
        session_unsubscribe(s->subscription);
        sd_event_source_disable_unref(s->keep_alive);
        api_stream_done(&s->base);
        s->magic = 0;
        free(s);
        return NULL;
}

static void wake(EventStream *s) {
        if (s->stream)
                http_stream_wake(s->stream);
}

static int on_event(const EventInfo *e, void *userdata) {
        EventStream *s = OBJ_CAST(EventStream, userdata, EVENTS_MAGIC);

        s->behind++;
        wake(s);
        return 0;
}

static int on_keep_alive(sd_event_source *source, uint64_t usec, void *userdata) {
        EventStream *s = OBJ_CAST(EventStream, userdata, EVENTS_MAGIC);

        s->keep_alive_due = true;
        wake(s);
        return 0;
}

static void on_end(ApiStream *base) {
        EventStream *s = container_of(base, EventStream, base);

        s->is_ending = true;
        wake(s);
}

static int send_event(const EventInfo *e, void *userdata) {
        EventStream *s = userdata;
        JsonWriter w = JSON_WRITER(s->out);
        char id[ID_STRING_SIZE];

        (void) buf_printf(s->out, "id: %s\nevent: %s\ndata: ", id_format(e->id, id),
                          session_event_to_string(e->type));
        view_event(&w, s->sessions, e);
        (void) buf_puts(s->out, "\n\n");
        s->last = e->id;
        return s->out->len >= API_PIECE;
}

/* 1: there may be more, 0: all was sent. */
static int send_events(EventStream *s) {
        size_t before = s->out->len;
        bool reset = false;
        int r = session_events(s->sessions, s->namespace_id, s->session, s->last, PAGE, send_event,
                               s, &reset);

        if (r < 0)
                return r;
        if (reset && !s->is_reset_told) { /* stands in front of the events that are left */
                _cleanup_buf_ Buf page = BUF_INIT(API_REPLY_MAX);
                (void) buf_append(&page, s->out->data + before, s->out->len - before);
                s->out->len = before;
                (void) buf_puts(s->out, "event: reset\ndata: {}\n\n");
                (void) buf_append(s->out, page.data, page.len);
                s->is_reset_told = true;
        }
        return s->out->len > before;
}

static int event_pull(HttpStream *stream, Buf *out, size_t max, void *userdata) {
        EventStream *s = OBJ_CAST(EventStream, userdata, EVENTS_MAGIC);

        s->out = out;
        if (!s->is_begun)
                (void) buf_puts(out, "retry: 1000\n\n");
        s->is_begun = true;
        if (s->is_ending || api_stream_has_expired(&s->base))
                return HTTP_STREAM_END;
        if (s->behind > BEHIND_MAX) {
                (void) buf_puts(out, "event: slow\ndata: {}\n\n");
                s->is_ending = true;
                return 1;
        }
        int r = send_events(s);
        if (r < 0)
                return r;
        if (r == 0)
                s->behind = 0;
        if (s->keep_alive_due && out->len == 0)
                (void) buf_puts(out, ":\n\n");
        if (out->len > 0) {
                s->keep_alive_due = false;
                (void) sd_event_source_set_time_relative(s->keep_alive, KEEP_ALIVE_USEC);
                (void) sd_event_source_set_enabled(s->keep_alive, SD_EVENT_ONESHOT);
        }
        return r;
}

static void event_done(HttpStream *stream, void *userdata) {
        event_stream_free(OBJ_CAST(EventStream, userdata, EVENTS_MAGIC));
}

static void reply_stream(ApiCall *c, uint64_t namespace_id, uint64_t after) {
        static const HttpStreamOps ops = { .pull = event_pull, .done = event_done };
        EventStream *s = calloc(1, sizeof(*s));

        if (!s) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        s->magic = EVENTS_MAGIC;
        s->sessions = c->api->sessions;
        s->namespace_id = namespace_id;
        s->session = c->session_id;
        s->last = after;
        if (!api_stream_begin(c, &s->base, on_end)) {
                event_stream_free(s);
                return;
        }
        int r = session_subscribe(s->sessions, namespace_id, s->session, on_event, s,
                                  &s->subscription);
        if (r >= 0)
                r = sd_event_add_time_relative(c->api->event, &s->keep_alive, CLOCK_MONOTONIC,
                                               KEEP_ALIVE_USEC, USEC_PER_SEC, on_keep_alive, s);
        if (r < 0) {
                event_stream_free(s);
                api_fail_result(c, r);
                return;
        }
        HttpStream *stream =
                http_reply_stream(c->req, c->route->status, "text/event-stream", &ops, s);
        if (stream)
                s->stream = stream;
}

/* ---- routes ---- */

/* Behind which event: the browser's header, else the parameter, else fallback. */
static uint64_t position(const InputEvents *in, uint64_t fallback) {
        if (in->last_event_id.s)
                return api_id(
                        in->last_event_id); /* check.c has seen to it that it is one, or all zeros */
        return in->after.set ? in->after.v : fallback;
}

static void reply_events(ApiCall *c, uint64_t namespace_id) {
        const InputEvents *in = c->in;
        const char *accept = http_header(c->req, "Accept");

        if (accept && strstr(accept, "text/event-stream"))
                reply_stream(c, namespace_id, position(in, session_last_event(c->api->sessions)));
        else
                reply_page(c, namespace_id, position(in, 0), in->limit);
}

void api_events(ApiCall *c) {
        const InputEvents *in = c->in;
        uint64_t namespace_id;

        if (api_namespace_filter(c, in->namespace, &namespace_id) == 0)
                reply_events(c, namespace_id);
}

void api_session_events(ApiCall *c) {
        reply_events(c, 0);
}
