/* SPDX-License-Identifier: MIT */

/* libmicrohttpd inside sd-event. It runs without a thread of its own: its epoll fd is one event
 * source of ours, and each readiness is one MHD_run(), which serves every connection that is ready.
 *
 * One daemon without a listening socket serves all listeners; we accept ourselves (accept.c). One
 * daemon for each listener was rejected: the limits are for all of them together, the peer has to
 * be identified at accept, and one epoll fd is one system call less for each turn of the loop. The
 * mode with an internal thread was rejected too: it hangs when 128 connections are ready at once,
 * and it would bring a second thread into code that touches domain objects.
 *
 * What has to be known about 0.9.75:
 *  - MHD_resume_connection() wakes nobody in this mode, and MHD_get_timeout() does not count what
 * is to be resumed: so whoever resumes also kicks (a deferred event source).
 *  - MHD_get_timeout() is relative and in milliseconds. 0 means: there is more to do right now.
 *  - A response queued in the first call for a request closes the connection; see request.c.
 *  - Suspended connections are in no epoll set and have no timeout; see watch.c.
 *  - MHD_stop_daemon() panics if a connection is suspended. */

#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/http-internal.h"

#define BODY_MAX_DEFAULT               ((size_t) 8 * 1024 * 1024)
#define BODY_MEMORY_MAX_DEFAULT        ((size_t) 256 * 1024 * 1024)
#define CONNECTIONS_MAX_DEFAULT        4096
#define CONNECTIONS_PER_IP_MAX_DEFAULT 64
#define IDLE_TIMEOUT_DEFAULT_USEC      (30 * USEC_PER_SEC)
#define REQUEST_TIMEOUT_DEFAULT_USEC   (60 * USEC_PER_SEC)
/* libmicrohttpd's timeouts are unsigned seconds. */
#define MHD_TIMEOUT_MAX_SEC ((usec_t) 24 * 3600)

static void call_idle(HttpServer *s) {
        if (!s->is_draining || !s->idle || s->stats.connections_now > 0)
                return;

        void (*idle)(void *) = TAKE_PTR(s->idle);
        /* May free the server. */
        idle(s->idle_userdata);
}

static void server_run(HttpServer *s) {
        usec_t due = USEC_INFINITY, now;
        MHD_UNSIGNED_LONG_LONG timeout_msec;

        assert(!s->is_running);
        if (s->is_kicked)
                (void) sd_event_source_set_enabled(s->kick_source, SD_EVENT_OFF);
        s->is_kicked = false;
        s->is_running = true;
        (void) MHD_run(s->daemon);
        s->is_running = false;

        if (MHD_get_timeout(s->daemon, &timeout_msec) == MHD_YES) {
                if (timeout_msec == 0)
                        http_server_kick(s);
                else if (sd_event_now(s->event, CLOCK_MONOTONIC, &now) >= 0)
                        due = now + timeout_msec * USEC_PER_MSEC;
        }
        http_deadline_arm(s, due);
        call_idle(s);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        server_run(OBJ_CAST(HttpServer, userdata, HTTP_SERVER_MAGIC));
        return 0;
}

static int on_kick(sd_event_source *source, void *userdata) {
        server_run(OBJ_CAST(HttpServer, userdata, HTTP_SERVER_MAGIC));
        return 0;
}

void http_server_kick(HttpServer *s) {
        if (s->is_kicked)
                return;
        s->is_kicked = true;
        (void) sd_event_source_set_enabled(s->kick_source, SD_EVENT_ONESHOT);
}

_printf_(2, 0) static void log_mhd(void *cls, const char *format, va_list ap) {
        char line[512];

        if (log_level() < LOG_LEVEL_DEBUG)
                return;
        (void) vsnprintf(line, sizeof(line), format, ap);
        line[strcspn(line, "\n")] = '\0';
        log_debug("libmicrohttpd: %s", line);
}

static void default_error_body(
        Buf *out, unsigned status, const char *code, const char *sentence, void *userdata) {
        JsonWriter w = JSON_WRITER(out);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "detail", sentence);
        json_w_kv_string(&w, "code", code);
        json_w_object_end(&w);
}

static void config_fill(HttpConfig *c) {
        c->body_max = c->body_max ?: BODY_MAX_DEFAULT;
        c->body_memory_max = c->body_memory_max ?: BODY_MEMORY_MAX_DEFAULT;
        c->connections_max = c->connections_max ?: CONNECTIONS_MAX_DEFAULT;
        c->connections_per_ip_max = c->connections_per_ip_max ?: CONNECTIONS_PER_IP_MAX_DEFAULT;
        c->idle_timeout_usec = c->idle_timeout_usec ?: IDLE_TIMEOUT_DEFAULT_USEC;
        c->request_timeout_usec = c->request_timeout_usec ?: REQUEST_TIMEOUT_DEFAULT_USEC;
        c->error_body = c->error_body ?: default_error_body;
}

unsigned http_timeout_sec(const HttpServer *s) {
        usec_t sec = (s->config.idle_timeout_usec + USEC_PER_SEC - 1) / USEC_PER_SEC;

        return (unsigned) MIN(sec, MHD_TIMEOUT_MAX_SEC);
}

static int daemon_start(HttpServer *s) {
        s->daemon = MHD_start_daemon(
                MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
                        MHD_USE_ERROR_LOG,
                0, NULL, NULL, http_request_access, s, MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL,
                MHD_OPTION_CONNECTION_LIMIT, s->config.connections_max + 1,
                MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_HEAD_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                http_timeout_sec(s), MHD_OPTION_URI_LOG_CALLBACK, http_request_begin, s,
                MHD_OPTION_UNESCAPE_CALLBACK, http_request_unescape, s, MHD_OPTION_NOTIFY_COMPLETED,
                http_request_completed, s, MHD_OPTION_NOTIFY_CONNECTION, http_conn_notify, s,
                MHD_OPTION_END);
        return s->daemon ? 0 : -ENOMEM;
}

static int daemon_attach(HttpServer *s) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);

        assert(info && info->epoll_fd >= 0);
        int r = sd_event_add_io(s->event, &s->io_source, info->epoll_fd, EPOLLIN, on_io, s);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(s->io_source, "http");

        r = sd_event_add_defer(s->event, &s->kick_source, on_kick, s);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(s->kick_source, "http-kick");
        return sd_event_source_set_enabled(s->kick_source, SD_EVENT_OFF);
}

int http_server_new(HttpServer **ret, sd_event *event, const HttpConfig *config) {
        assert(config->request && config->router);

        _cleanup_(http_server_freep) HttpServer *s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->magic = HTTP_SERVER_MAGIC;
        s->config = *config;
        config_fill(&s->config);
        s->event = sd_event_ref(event);
        s->watch_fd = -EBADF;
        list_init(&s->requests);
        list_init(&s->spare_requests);
        list_init(&s->watch_later);
        list_init(&s->lingers);

        s->per_ip = map_new();
        if (!s->per_ip)
                return -ENOMEM;
        int r = http_deadline_init(s);
        if (r < 0)
                return r;
        r = http_watch_init(s);
        if (r < 0)
                return r;
        r = daemon_start(s);
        if (r < 0)
                return r;
        r = daemon_attach(s);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

void http_server_configure(HttpServer *s, const HttpConfig *config) {
        HttpConfig c = *config;

        OBJ_CHECK(s, HTTP_SERVER_MAGIC);
        config_fill(&c);
        s->config.body_max = c.body_max;
        s->config.body_memory_max = c.body_memory_max;
        s->config.compress_max = c.compress_max;
        s->config.connections_per_ip_max = c.connections_per_ip_max;
        s->config.idle_timeout_usec = c.idle_timeout_usec;
        s->config.request_timeout_usec = c.request_timeout_usec;
        http_deadlines_shorten(s);
}

/* libmicrohttpd's end calls back for every connection, so all of our parts must still be there. */
static void daemon_stop(HttpServer *s) {
        LIST_FOREACH(l, &s->requests) {
                HttpRequest *req = LIST_ENTRY(l, HttpRequest, link);

                if (req->suspended)
                        http_request_resume(req);
        }
        MHD_stop_daemon(s->daemon);
        s->daemon = NULL;
}

HttpServer *http_server_free(HttpServer *s) {
        if (!s)
                return NULL;
        OBJ_CHECK(s, HTTP_SERVER_MAGIC);
        assert(!s->is_running);

        s->idle = NULL;
        http_accept_stop(s);
        if (s->daemon)
                daemon_stop(s);
        http_watch_done(s);
        http_linger_done(s);
        http_request_free_spares(s);
        map_free(s->per_ip);
        sd_event_source_disable_unref(s->timer_source);
        sd_event_source_disable_unref(s->kick_source);
        sd_event_source_disable_unref(s->io_source);
        sd_event_unref(s->event);
        s->magic = 0;
        free(s);
        return NULL;
}

void http_server_drain(HttpServer *s, void (*idle)(void *userdata), void *userdata) {
        OBJ_CHECK(s, HTTP_SERVER_MAGIC);
        s->is_draining = true;
        s->idle = idle;
        s->idle_userdata = userdata;
        http_accept_stop(s);

        /* The end of the reading direction lets a request that has already arrived be served. */
        LIST_FOREACH(l, &s->debts[HTTP_DEBT_REQUEST_LINE]) {
                HttpDeadline *d = LIST_ENTRY(l, HttpDeadline, link);

                (void) shutdown(container_of(d, HttpConn, deadline)->fd, SHUT_RD);
        }
        call_idle(s);
}

void http_server_stats(const HttpServer *s, HttpStats *ret) {
        OBJ_CHECK(s, HTTP_SERVER_MAGIC);
        *ret = s->stats;
}
