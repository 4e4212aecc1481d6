/* SPDX-License-Identifier: MIT */

/* Requests that come before the daemon is ready. The listening sockets are open all along, also
 * while a daemon starts after another one died, but which cgroups belong to runs is known only when
 * the keeper has listed them. Until then an agent's process would be taken for the user it runs as.
 * So everything but the public routes waits: usually some milliseconds, and at most HOLD_USEC, then
 * it is told to come again.
 *
 * Answering 503 at once was rejected: every client would have to know that a restart is going on.
 */

#include "api/api-internal.h"

#define HELD_MAGIC 0x48454c44U
#define HOLD_USEC  (10 * USEC_PER_SEC)

typedef struct Held {
        uint32_t magic;
        ListLink link;
        HttpRequest *req;
} Held;

static HttpRequest *held_free(Held *h) {
        HttpRequest *req = h->req;

        list_remove(&h->link);
        http_request_on_gone(req, NULL, NULL);
        h->magic = 0;
        free(h);
        return req;
}

static void on_gone(HttpRequest *req, void *userdata) {
        http_reply(held_free(OBJ_CAST(Held, userdata, HELD_MAGIC)), 204, NULL, NULL);
}

void api_hold_drop(Api *a) {
        a->held_timer = sd_event_source_disable_unref(a->held_timer);
        LIST_FOREACH(l, &a->held)
                api_fail_request(held_free(LIST_ENTRY(l, Held, link)), ERROR_NOT_READY, NULL, NULL);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        api_hold_drop(OBJ_CAST(Api, userdata, API_MAGIC));
        return 0;
}

void api_hold(Api *a, HttpRequest *req) {
        Held *h = a->is_quiescing ? NULL : calloc(1, sizeof(*h));

        if (h && !a->held_timer &&
            sd_event_add_time_relative(a->event, &a->held_timer, CLOCK_MONOTONIC, HOLD_USEC, 0,
                                       on_time, a) < 0) {
                free(h);
                h = NULL;
        }
        if (!h) {
                api_fail_request(req, ERROR_NOT_READY, NULL, NULL);
                return;
        }
        *h = (Held){ .magic = HELD_MAGIC, .req = req };
        list_append(&a->held, &h->link);
        http_request_on_gone(req, on_gone, h);
}

void api_became_ready(Api *a) {
        OBJ_CHECK(a, API_MAGIC);
        a->was_ready = true;
        a->held_timer = sd_event_source_disable_unref(a->held_timer);
        LIST_FOREACH(l, &a->held)
                api_dispatch(a, held_free(LIST_ENTRY(l, Held, link)));
}
