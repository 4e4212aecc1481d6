/* SPDX-License-Identifier: MIT */

/* Our HTTP server with next to nothing behind it, to be measured beside bench-http-bare and with
 * other clients.
 *
 *   GET  /health         a body made for each request, answered at once
 *   GET  /later          the same, answered in the next turn of the loop (suspend and resume)
 *   GET  /echo/{value}   a path value
 *   POST /body           the length of the body
 *   GET  /stream?n=N     N lines as a stream
 *
 *   bench-http-server PORT */

#include <netinet/in.h>
#include <stdio.h>

#include "base/log.h"
#include "base/str.h"
#include "net/http.h"

typedef void (*Handler)(HttpRequest *req);

typedef struct Row {
        HttpMethod method;
        const char *pattern;
        Handler handler;
} Row;

static sd_event *event;

static void reply_health(HttpRequest *req) {
        Buf body = BUF_INIT(4096);
        JsonWriter w = JSON_WRITER(&body);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "status", "healthy");
        json_w_kv_uint(&w, "uptime_seconds", clock_monotonic() / USEC_PER_SEC);
        json_w_kv_int(&w, "active_sessions", 0);
        json_w_object_end(&w);
        http_reply(req, 200, "application/json", &body);
}

/* All that wait are answered in one go, as after a group commit. */
static HttpRequest *waiting[4096];
static size_t n_waiting;
static sd_event_source *later_source;

static int on_later(sd_event_source *source, void *userdata) {
        size_t n = n_waiting;

        n_waiting = 0;
        for (size_t i = 0; i < n; i++)
                reply_health(waiting[i]);
        return 0;
}

static void reply_later(HttpRequest *req) {
        if (n_waiting == ELEMENTSOF(waiting) ||
            sd_event_source_set_enabled(later_source, SD_EVENT_ONESHOT) < 0) {
                http_reply_static(req, 503, NULL, "", 0);
                return;
        }
        waiting[n_waiting++] = req;
}

static void reply_echo(HttpRequest *req) {
        Buf body = BUF_INIT(64 * 1024);

        (void) buf_puts(&body, http_path_value(req, "value"));
        http_reply(req, 200, "text/plain", &body);
}

static void reply_body(HttpRequest *req) {
        Buf body = BUF_INIT(4096);

        (void) buf_printf(&body, "%zu\n", http_body(req).n);
        http_reply(req, 200, "text/plain", &body);
}

typedef struct Lines {
        uint64_t n, done;
} Lines;

static int lines_pull(HttpStream *stream, Buf *out, size_t max, void *userdata) {
        Lines *lines = userdata;

        while (lines->done < lines->n && out->len < max)
                (void) buf_printf(out, "line %llu\n", (unsigned long long) lines->done++);
        return lines->done < lines->n ? 1 : HTTP_STREAM_END;
}

static void lines_done(HttpStream *stream, void *userdata) {
        free(userdata);
}

static void reply_stream(HttpRequest *req) {
        static const HttpStreamOps ops = { lines_pull, lines_done };
        Lines *lines = calloc(1, sizeof(*lines));
        const char *n = http_query_value(req, "n");

        if (!lines || (n && str_to_u64(n, &lines->n) < 0)) {
                free(lines);
                http_reply_static(req, 422, NULL, "", 0);
                return;
        }
        (void) http_reply_stream(req, 200, "text/plain", &ops, lines);
}

static const Row rows[] = {
        { HTTP_GET, "/health", reply_health },     { HTTP_GET, "/later", reply_later },
        { HTTP_GET, "/echo/{value}", reply_echo }, { HTTP_POST, "/body", reply_body },
        { HTTP_GET, "/stream", reply_stream },
};

static void on_request(HttpRequest *req, void *userdata) {
        const Row *row = http_route_data(req);

        row->handler(req);
}

static int listen_on(const char *port) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int one = 1;

        in.sin_port = htons((uint16_t) strtoul(port, NULL, 10));
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            bind(fd, (const struct sockaddr *) &in, sizeof(in)) < 0 || listen(fd, SOMAXCONN) < 0)
                return errno_neg();
        return TAKE_FD(fd);
}

int main(int argc, char **argv) {
        _cleanup_(http_router_freep) HttpRouter *router = http_router_new();
        _cleanup_(http_server_freep) HttpServer *server = NULL;
        HttpConfig config = { .request = on_request, .router = router };

        if (argc != 2 || !router || sd_event_default(&event) < 0)
                return 2;
        ARRAY_FOREACH(row, rows)
                if (http_router_add(router, row->method, row->pattern, row) < 0)
                        return 1;

        _cleanup_close_ int fd = listen_on(argv[1]);
        if (fd < 0)
                return -log_error(fd, "Cannot listen on port %s", argv[1]) != 0;
        int r = sd_event_add_defer(event, &later_source, on_later, NULL);
        if (r >= 0)
                r = http_server_new(&server, event, &config);
        if (r >= 0)
                r = http_server_listen(server, fd);
        if (r < 0)
                return -log_error(r, "Cannot start") != 0;
        return sd_event_loop(event) < 0;
}
