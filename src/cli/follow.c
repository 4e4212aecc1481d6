/* SPDX-License-Identifier: MIT */

/* A stream that outlives the daemon it comes from.
 *
 * The id of the last complete event is all that is needed to go on, with the same daemon or with the
 * next one, so losing the connection is nothing to tell anybody: it is opened again with
 * Last-Event-ID. Only a daemon that stays away for a minute ends it. An answer that refuses (no such
 * session, no permission) ends it at once; one that says "not now" (5xx) is a lost connection. */

#include <poll.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/sse.h"

#define GIVE_UP_USEC     (60 * USEC_PER_SEC)
#define SHORT_USEC       (2 * USEC_PER_SEC)
#define AGAIN_FIRST_MSEC 50
#define AGAIN_MAX_MSEC   1000
#define REFUSAL_MAX      ((size_t) 64 * 1024)

typedef struct Follow {
        Sse sse;
        SseFn fn;
        void *userdata;
        long status;
        Buf refusal;
        usec_t lost_at; /* monotonic; when the last connection that worked ended */
        bool worked;    /* one ever did */
        int result;     /* of fn */
} Follow;

static int on_data(long status, const char *data, size_t n, void *userdata) {
        Follow *f = userdata;

        f->status = status;
        if (status != 200) {
                (void) buf_append(&f->refusal, data, MIN(n, REFUSAL_MAX - f->refusal.len));
                return 0;
        }
        f->worked = true;
        f->result = sse_feed(&f->sse, data, n, f->fn, f->userdata);
        if (fflush(stdout) != 0 && f->result == 0)
                f->result = -EPIPE;
        return f->result;
}

/* Once, until the connection ends: 0 to try again, else the exit status. */
static int stream_once(Cli *c, HttpClient *client, Follow *f, const char *path) {
        usec_t begin = clock_monotonic();

        f->status = 0;
        buf_clear(&f->refusal);
        sse_reset(&f->sse);
        int r = http_client_stream(client, "GET", path, "text/event-stream",
                                   f->sse.id[0] ? f->sse.id : NULL, on_data, f);
        if (f->result > 0)
                return f->result;
        if (f->result < 0)
                return cli_error(c, CLI_FAILURE, "the stream cannot be read: %s",
                                 strerror(-f->result));
        if (f->status != 0 && f->status != 200 && f->status < 500)
                return ask_refused(c, f->status, f->refusal.data, f->refusal.len);
        /* A connection that was open for a while worked, even if nothing happened meanwhile. One that
         * was taken and then cut worked as well: its daemon died, the first time included; but it does
         * not begin the minute anew, or a daemon that dies of the question would be asked for ever. */
        usec_t now = clock_monotonic();
        if (f->status == 200 || now - begin > SHORT_USEC) {
                f->worked = true;
                f->lost_at = now;
        } else if (r == -ECONNRESET || r == -EPIPE)
                f->worked = true;
        if (f->worked && now - f->lost_at < GIVE_UP_USEC)
                return 0;
        return f->status >= 500 ? ask_refused(c, f->status, f->refusal.data, f->refusal.len)
                                : ask_no_answer(c, r < 0 ? r : -ECONNRESET);
}

int sse_follow(Cli *c, const SsePaths *paths, const char *last_id, SseFn fn, void *userdata) {
        Follow f = { .fn = fn,
                     .userdata = userdata,
                     .refusal = BUF_INIT(REFUSAL_MAX),
                     .lost_at = clock_monotonic() };
        HttpClient *client;
        int wait = AGAIN_FIRST_MSEC;

        int r = ask_client(c, &client);
        if (r != 0)
                return r;
        sse_init(&f.sse);
        (void) snprintf(f.sse.id, sizeof(f.sse.id), "%s", last_id ? last_id : "");
        for (;;) {
                const char *path = f.sse.id[0] ? paths->again
                                   : f.worked  ? paths->fresh
                                               : paths->first;

                r = stream_once(c, client, &f, path);
                if (r != 0)
                        break;
                wait = f.status == 200 ? AGAIN_FIRST_MSEC : MIN(2 * wait, AGAIN_MAX_MSEC);
                (void) poll(NULL, 0, wait);
        }
        sse_done(&f.sse);
        buf_done(&f.refusal);
        return r;
}
