/* SPDX-License-Identifier: MIT */

/* A waiting request costs its connection, a subscription to its session's events and a timer. It is
 * woken by the event of the commit that it waits for, so there is no moment between looking and
 * waiting in which a message could be missed: looking and subscribing happen in one turn of the
 * loop.
 *
 * It ends by a message, by its time, or when the client leaves, and then everything of it goes at
 * once; the answer itself is the one of an ordinary read. */

#include "api/wait.h"

#define WAIT_MAGIC 0x57414954U

typedef struct Wait {
        uint32_t magic;
        ApiStream stream;
        ApiCall *call;
        SessionSubscription *subscription;
        sd_event_source *timer, *deferred;
} Wait;

static Wait *wait_free(Wait *w) {
        if (!w)
                return NULL;
        session_unsubscribe(w->subscription);
        sd_event_source_disable_unref(w->timer);
        sd_event_source_disable_unref(w->deferred);
        api_stream_done(&w->stream);
        w->magic = 0;
        free(w);
        return NULL;
}

/* An ordinary read from here on. */
static void finish(Wait *w) {
        ApiCall *c = w->call;
        Session *s = session_get(c->api->sessions, c->session_id);

        wait_free(w);
        http_request_on_gone(c->req, NULL, NULL);
        if (s)
                api_settled(c, s, api_message_reply_after);
        else
                api_fail(c, ERROR_SESSION_NOT_FOUND);
}

static void on_end(ApiStream *s) {
        finish(container_of(s, Wait, stream));
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        finish(OBJ_CAST(Wait, userdata, WAIT_MAGIC));
        return 0;
}

static int on_deferred(sd_event_source *source, void *userdata) {
        finish(OBJ_CAST(Wait, userdata, WAIT_MAGIC));
        return 0;
}

/* Events are published from within the session room: answer when that is done. */
static int on_event(const EventInfo *e, void *userdata) {
        Wait *w = OBJ_CAST(Wait, userdata, WAIT_MAGIC);
        bool is_news = e->type == EVENT_MESSAGE || e->type == EVENT_RESTORED ||
                       e->type == EVENT_SESSION_DELETED;

        if (is_news && !w->deferred)
                (void) sd_event_add_defer(w->call->api->event, &w->deferred, on_deferred, w);
        return 0;
}

static void on_gone(HttpRequest *req, void *userdata) {
        Wait *w = OBJ_CAST(Wait, userdata, WAIT_MAGIC);

        wait_free(w);
        http_reply(req, 204, NULL, NULL); /* to nobody: lets go of the request */
}

void api_wait_for_message(ApiCall *c, uint64_t after, usec_t timeout) {
        Wait *w = calloc(1, sizeof(*w));

        if (!w) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        w->magic = WAIT_MAGIC;
        w->call = c;
        c->position = after;
        if (!api_stream_begin(c, &w->stream, on_end)) {
                wait_free(w);
                return;
        }
        int r = session_subscribe(c->api->sessions, 0, c->session_id, on_event, w, &w->subscription);
        if (r >= 0)
                r = sd_event_add_time_relative(c->api->event, &w->timer, CLOCK_MONOTONIC, timeout,
                                               0, on_time, w);
        if (r < 0) {
                wait_free(w);
                api_fail_result(c, r);
                return;
        }
        http_request_on_gone(c->req, on_gone, w);
}
