/* SPDX-License-Identifier: MIT */

/* libmicrohttpd's timeout starts anew with every byte, so a client that sends one byte every few
 * seconds keeps its slot for ever. Here every connection that owes us something is in one list with
 * others that owe the same, oldest first: entering and leaving is O(1) for each request, and only
 * the heads are ever looked at.
 *
 * What is due is cut with shutdown(): libmicrohttpd sees the end of the socket in its next run and
 * cleans up in its own way. A 408 answer was rejected, because libmicrohttpd cannot queue one in
 * the middle of a request and because a client that is that slow does not read it.
 *
 * There is one timer for all of it and for libmicrohttpd's own timeouts (which catch readers that
 * take no bytes of an answer). It is only ever moved to an earlier time; when it goes off too early
 * it is set again. So a busy server arms it once in a while and not once in a request, and a server
 * without connections has no timer at all. */

#include <sys/socket.h>

#include "base/log.h"
#include "net/http-internal.h"

#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)
#define LINGER_USEC         (2 * USEC_PER_SEC)

static usec_t event_now(const HttpServer *s) {
        usec_t now = 0;

        (void) sd_event_now(s->event, CLOCK_MONOTONIC, &now);
        return now;
}

static usec_t debt_duration(const HttpServer *s, HttpDebt debt) {
        if (debt == HTTP_DEBT_REQUEST_LINE)
                return s->config.idle_timeout_usec;
        return debt == HTTP_DEBT_REQUEST ? s->config.request_timeout_usec : LINGER_USEC;
}

void http_deadline_set(HttpServer *s, HttpDeadline *d, HttpDebt debt) {
        list_remove(&d->link);
        d->due = event_now(s) + debt_duration(s, debt);
        list_append(&s->debts[debt], &d->link);
}

void http_deadline_clear(HttpDeadline *d) {
        list_remove(&d->link);
}

static usec_t first_due(const HttpServer *s) {
        usec_t due = USEC_INFINITY;

        for (size_t i = 0; i < _HTTP_DEBT_MAX; i++)
                if (!list_is_empty(&s->debts[i]))
                        due = MIN(due, LIST_ENTRY(s->debts[i].next, HttpDeadline, link)->due);
        return due;
}

void http_deadline_arm(HttpServer *s, usec_t mhd_due) {
        usec_t due = MIN(first_due(s), mhd_due);

        if (due >= s->timer_due)
                return;
        if (sd_event_source_set_time(s->timer_source, due) < 0 ||
            sd_event_source_set_enabled(s->timer_source, SD_EVENT_ONESHOT) < 0)
                return;
        s->timer_due = due;
}

static void expire(HttpDebt debt, HttpDeadline *d) {
        list_remove(&d->link);
        if (debt == HTTP_DEBT_EOF) {
                http_linger_expire(d);
                return;
        }

        HttpConn *conn = container_of(d, HttpConn, deadline);
        OBJ_CHECK(conn, HTTP_CONN_MAGIC);
        log_debug("http: %s: too slow, closing", conn->peer.address);
        (void) shutdown(conn->fd, SHUT_RDWR);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpServer *s = OBJ_CAST(HttpServer, userdata, HTTP_SERVER_MAGIC);
        usec_t now = event_now(s);

        s->timer_due = USEC_INFINITY;
        for (HttpDebt debt = 0; debt < _HTTP_DEBT_MAX; debt++)
                LIST_FOREACH(l, &s->debts[debt]) {
                        HttpDeadline *d = LIST_ENTRY(l, HttpDeadline, link);

                        if (d->due > now)
                                break;
                        expire(debt, d);
                }
        /* Its own timeouts may be due as well; its run arms the timer again. */
        http_server_kick(s);
        return 0;
}

/* The lists stay in order: what is cut is cut to the same time. */
void http_deadlines_shorten(HttpServer *s) {
        for (HttpDebt debt = 0; debt < _HTTP_DEBT_MAX; debt++) {
                usec_t latest = event_now(s) + debt_duration(s, debt);
                LIST_FOREACH(l, &s->debts[debt]) {
                        HttpDeadline *d = LIST_ENTRY(l, HttpDeadline, link);
                        d->due = MIN(d->due, latest);
                }
        }
        http_deadline_arm(s, USEC_INFINITY);
}

int http_deadline_init(HttpServer *s) {
        for (size_t i = 0; i < _HTTP_DEBT_MAX; i++)
                list_init(&s->debts[i]);
        s->timer_due = USEC_INFINITY;

        int r = sd_event_add_time(s->event, &s->timer_source, CLOCK_MONOTONIC, 0,
                                  TIMER_ACCURACY_USEC, on_timer, s);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(s->timer_source, "http-timer");
        return sd_event_source_set_enabled(s->timer_source, SD_EVENT_OFF);
}
