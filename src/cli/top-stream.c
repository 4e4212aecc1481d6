/* SPDX-License-Identifier: MIT */

/* The streams of `agentd top`: events, and the log that is looked at. As sse_follow() does it, a
 * stream that ends is opened again behind the last event that was read; but nothing here waits, and
 * nothing is printed, since the screen is in use. Giving up is the user's: the head line says that
 * there is no answer. */

#include <stdio.h>

#include "base/id.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/table.h"
#include "cli/top-internal.h"

#define AGAIN_USEC (200 * USEC_PER_MSEC)
#define LINE_BYTES ((size_t) 4096) /* of a log line; a terminal shows less */
#define LINES_TEXT "200"

static int on_data(long status, const char *data, size_t n, void *userdata) {
        TopStream *s = userdata;

        if (status != 200)
                return 0;
        s->top->dirty = true;
        feed_heard(s->top, 0);
        return sse_feed(&s->sse, data, n, s->fn, s->top);
}

static void on_done(int error, long status, const Buf *body, void *userdata) {
        TopStream *s = userdata;

        s->job = NULL;
        s->again_at = clock_monotonic() + AGAIN_USEC;
        s->refused = status >= 400 && status < 500;
        /* What was missed meanwhile comes by Last-Event-ID; only a daemon that stays away is told. */
        if (error < 0 && error != -ECONNRESET)
                feed_heard(s->top, error);
        s->top->dirty = true;
}

static void connect_stream(TopStream *s) {
        HttpJobOptions o = {
                .path = s->sse.id[0] ? s->again : s->path,
                .accept = "text/event-stream",
                .last_event_id = s->sse.id[0] ? s->sse.id : NULL,
                .on_data = on_data,
                .on_done = on_done,
                .userdata = s,
        };

        sse_reset(&s->sse);
        if (http_many_start(s->top->many, &o, &s->job) < 0)
                cli_out_of_memory();
}

/* NOLINTNEXTLINE(readability-non-const-parameter): they are taken over */
void stream_open(TopStream *s, Top *t, char *path, char *again, const char *last_id, SseFn fn) {
        if (!path || !again)
                cli_out_of_memory();
        *s = (TopStream){ .top = t, .fn = fn, .path = path, .again = again, .is_on = true };
        sse_init(&s->sse);
        (void) snprintf(s->sse.id, sizeof(s->sse.id), "%s", last_id ? last_id : "");
        connect_stream(s);
}

void stream_close(TopStream *s) {
        if (!s->is_on)
                return;
        if (s->job)
                http_many_cancel(s->top->many, s->job);
        sse_done(&s->sse);
        free(s->path);
        free(s->again);
        *s = (TopStream){};
}

void stream_tick(TopStream *s, usec_t now) {
        if (s->is_on && !s->job && !s->refused && now >= s->again_at)
                connect_stream(s);
}

/* ---- the log ---- */

static void add_line(Top *t, const char *text, size_t n) {
        Buf line = BUF_INIT(8 * LINE_BYTES);
        char **place = &t->lines[t->n_lines++ % TOP_LINES_MAX];

        (void) str_put_clean(&line, text, MIN(n, LINE_BYTES), 0);
        if (buf_append(&line, "", 0) < 0)
                cli_out_of_memory();
        free(*place);
        *place = buf_take(&line, NULL);
        if (!*place)
                cli_out_of_memory();
        /* Who looks back goes on looking at the same lines. */
        if (t->scroll > 0)
                t->scroll = MIN(t->scroll + 1, (size_t) TOP_LINES_MAX);
}

static int on_line(const SseEvent *e, void *userdata) {
        Top *t = userdata;
        _cleanup_buf_ Buf text = BUF_INIT((size_t) 4 << 20);
        JsonSpan line, token;

        if (!streq(e->event, "message") ||
            json_check(e->data, e->n, JSON_DEPTH_MAX, &line, NULL) < 0 ||
            !json_is(line, JSON_KIND_OBJECT))
                return 0;
        token = json_get(line, "text");
        if (json_is(token, JSON_KIND_STRING) && json_string_decode(token, &text) >= 0)
                add_line(t, text.data ? text.data : "", text.len);
        return 0;
}

void log_open(Top *t) {
        char id[ID_STRING_SIZE];

        log_close(t);
        (void) id_format(t->opened, id);
        stream_open(&t->log, t, str_printf("/sessions/%s/logs?follow=1&lines=" LINES_TEXT, id),
                    str_printf("/sessions/%s/logs?follow=1", id), NULL, on_line);
}

void log_close(Top *t) {
        stream_close(&t->log);
        ARRAY_FOREACH(line, t->lines)
                free(TAKE_PTR(*line));
        t->n_lines = t->scroll = 0;
}
