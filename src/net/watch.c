/* SPDX-License-Identifier: MIT */

/* libmicrohttpd takes a suspended connection out of its epoll set, so nobody would notice that the
 * client of a long poll or of a quiet stream has left. We put the very same fd into an epoll set of
 * our own, for EPOLLRDHUP only. A dup() is not needed for that: an fd may be in any number of epoll
 * sets, and what leaves libmicrohttpd's set stays in ours.
 *
 * Most requests wait a few hundred microseconds for a commit and their owners do not care: only
 * those are watched whose owner asked and that still wait one turn of the loop later. A stream
 * stays in the set until it ends, whether it waits or not, so that a busy one costs one epoll_ctl()
 * and not two for each event.
 *
 * A client that closes only its sending side looks the same as one that left, and is treated so:
 * libmicrohttpd drops such a connection when it is resumed.
 *
 * One event for each epoll_wait(): what is called for one request may end another one, whose event
 * would then be in our array with a dangling pointer. */

#include <sys/epoll.h>

#include "net/http-internal.h"

#define WATCH_BATCH 64

static int on_watch(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        HttpServer *s = OBJ_CAST(HttpServer, userdata, HTTP_SERVER_MAGIC);
        struct epoll_event event;

        for (unsigned i = 0; i < WATCH_BATCH && epoll_wait(s->watch_fd, &event, 1, 0) == 1; i++) {
                HttpRequest *req = OBJ_CAST(HttpRequest, event.data.ptr, HTTP_REQUEST_MAGIC);

                http_watch_stop(req);
                http_request_hangup(req);
        }
        return 0;
}

static void watch_start(HttpServer *s, HttpRequest *req) {
        struct epoll_event event = { .events = EPOLLRDHUP, .data.ptr = req };

        if (!req->suspended || req->watched)
                return;
        req->watched = epoll_ctl(s->watch_fd, EPOLL_CTL_ADD, req->conn->fd, &event) == 0;
}

static int on_watch_later(sd_event_source *source, void *userdata) {
        HttpServer *s = OBJ_CAST(HttpServer, userdata, HTTP_SERVER_MAGIC);

        LIST_FOREACH(l, &s->watch_later) {
                list_remove(l);
                watch_start(s, LIST_ENTRY(l, HttpRequest, watch_link));
        }
        return 0;
}

void http_watch_later(HttpRequest *req) {
        HttpServer *s = req->server;

        if (req->watched || list_is_linked(&req->watch_link))
                return;
        list_append(&s->watch_later, &req->watch_link);
        (void) sd_event_source_set_enabled(s->watch_later_source, SD_EVENT_ONESHOT);
}

void http_watch_stop(HttpRequest *req) {
        list_remove(&req->watch_link);
        if (req->watched)
                (void) epoll_ctl(req->server->watch_fd, EPOLL_CTL_DEL, req->conn->fd, NULL);
        req->watched = false;
}

int http_watch_init(HttpServer *s) {
        s->watch_fd = epoll_create1(EPOLL_CLOEXEC);
        if (s->watch_fd < 0)
                return errno_neg();

        int r = sd_event_add_io(s->event, &s->watch_source, s->watch_fd, EPOLLIN, on_watch, s);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(s->watch_source, "http-watch");

        r = sd_event_add_defer(s->event, &s->watch_later_source, on_watch_later, s);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(s->watch_later_source, "http-watch-later");
        return sd_event_source_set_enabled(s->watch_later_source, SD_EVENT_OFF);
}

void http_watch_done(HttpServer *s) {
        sd_event_source_disable_unref(s->watch_later_source);
        sd_event_source_disable_unref(s->watch_source);
        s->watch_fd = fd_close(s->watch_fd);
}
