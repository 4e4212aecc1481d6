/* SPDX-License-Identifier: MIT */

/* Server and clients share one thread on purpose: a test decides what happens between two turns of
 * the loop (a hang-up between request and answer, a wake between two pulls), which no sleeping in
 * several threads can do reliably. Nothing waits for time; a turn that sees no event for ten
 * seconds fails the test. */

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/test-http.h"

#define TURN_USEC (10 * USEC_PER_MSEC)

/* ---- routes ---- */

static void reply_text(HttpRequest *req, const char *text) {
        Buf body = BUF_INIT(64 * 1024 * 1024);

        assert_int_equal(buf_puts(&body, text), 0);
        http_reply(req, 200, "text/plain", &body);
}

static void handle_echo(TestServer *t, HttpRequest *req) {
        JsonSpan body = http_body(req);
        Buf out = BUF_INIT(64 * 1024 * 1024);

        assert_int_equal(buf_append(&out, body.p, body.n), 0);
        http_reply_header(req, "X-Seen",
                          http_header(req, "X-Mark") ? http_header(req, "X-Mark") : "-");
        http_reply(req, 200, "text/plain", &out);
}

static void handle_value(TestServer *t, HttpRequest *req) {
        const char *q = http_query_value(req, "q");
        Buf out = BUF_INIT(4096);

        assert_int_equal(buf_printf(&out, "%s|%s|%s|%s", http_path(req), http_path_value(req, "id"),
                                    http_path_value(req, "name"), q ? q : "(none)"),
                         0);
        http_reply(req, 200, "text/plain", &out);
}

static void on_gone(HttpRequest *req, void *userdata) {
        TestServer *t = userdata;

        t->n_gone++;
        if (!t->reply_when_gone)
                return;
        for (size_t i = 0; i < t->n_held; i++)
                if (t->held[i] == req)
                        t->held[i] = NULL;
        reply_text(req, "too late");
}

static void on_destroy(void *data) {
        TestServer *t = data;

        t->n_destroyed++;
}

static void handle_hold(TestServer *t, HttpRequest *req) {
        assert_true(t->n_held < ELEMENTSOF(t->held));
        t->held[t->n_held++] = req;
        http_request_set_data(req, t, on_destroy);
        http_request_on_gone(req, on_gone, t);
}

static int stream_pull(HttpStream *stream, Buf *out, size_t max, void *userdata) {
        TestServer *t = userdata;

        t->n_pulls++;
        assert_int_equal(buf_puts(out, t->stream_text), 0);
        t->stream_text[0] = '\0';
        if (t->stream_failed)
                return -EIO;
        return t->stream_end ? HTTP_STREAM_END : 0;
}

static int flood_pull(HttpStream *stream, Buf *out, size_t max, void *userdata) {
        TestServer *t = userdata;
        size_t n = MIN(max, t->flood);
        char *to = buf_reserve(out, n);

        assert_non_null(to);
        memset(to, 'x', n);
        out->len += n;
        t->flood -= n;
        t->n_pulls++;
        return t->flood > 0 ? 1 : HTTP_STREAM_END;
}

static void stream_done(HttpStream *stream, void *userdata) {
        TestServer *t = userdata;

        t->n_streams_done++;
        t->stream = NULL;
}

static void handle_stream(TestServer *t, HttpRequest *req) {
        static const HttpStreamOps ops = { stream_pull, stream_done };

        t->stream = http_reply_stream(req, 200, "text/event-stream", &ops, t);
}

static void handle_flood(TestServer *t, HttpRequest *req) {
        static const HttpStreamOps ops = { flood_pull, stream_done };

        (void) http_reply_stream(req, 200, "application/octet-stream", &ops, t);
}

static void handle_big(TestServer *t, HttpRequest *req) {
        Buf body = BUF_INIT(64 * 1024 * 1024);
        size_t n = 8 * 1024 * 1024;

        memset(buf_reserve(&body, n), 'y', n);
        body.len = n;
        http_reply(req, 200, "application/octet-stream", &body);
}

static void handle_hello(TestServer *t, HttpRequest *req) {
        http_reply_static(req, 200, "text/plain", "hello", 5);
}

static void handle_nothing(TestServer *t, HttpRequest *req) {
        http_reply(req, 204, NULL, NULL);
}

static void handle_smuggle(TestServer *t, HttpRequest *req) {
        http_reply_header(req, "X-Bad", "1\r\nSet-Cookie: a=b");
        http_reply_header(req, "X-Good", "1");
        http_reply(req, 200, NULL, NULL);
}

typedef struct TestRoute {
        HttpMethod method;
        const char *pattern;
        void (*handle)(TestServer *t, HttpRequest *req);
} TestRoute;

static const TestRoute routes[] = {
        { HTTP_GET, "/hello", handle_hello },
        { HTTP_DELETE, "/hello", handle_nothing },
        { HTTP_POST, "/echo", handle_echo },
        { HTTP_GET, "/things/{id}/parts/{name}", handle_value },
        { HTTP_GET, "/hold", handle_hold },
        { HTTP_POST, "/hold", handle_hold },
        { HTTP_GET, "/stream", handle_stream },
        { HTTP_GET, "/flood", handle_flood },
        { HTTP_GET, "/big", handle_big },
        { HTTP_GET, "/smuggle", handle_smuggle },
};

static void on_request(HttpRequest *req, void *userdata) {
        TestServer *t = userdata;
        const TestRoute *route = http_route_data(req);

        t->n_requests++;
        t->peer = *http_peer(req);
        route->handle(t, req);
}

/* ---- server ---- */

static void listen_tcp(TestServer *t) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t n = sizeof(in);

        t->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(t->listen_fd >= 0);
        assert_int_equal(bind(t->listen_fd, (struct sockaddr *) &in, sizeof(in)), 0);
        assert_int_equal(listen(t->listen_fd, 512), 0);
        assert_int_equal(getsockname(t->listen_fd, (struct sockaddr *) &in, &n), 0);
        t->port = ntohs(in.sin_port);
        assert_int_equal(http_server_listen(t->server, t->listen_fd), 0);
}

static struct sockaddr_un unix_address(const TestServer *t) {
        struct sockaddr_un un = { .sun_family = AF_UNIX };

        assert_true(strlen(t->unix_path) < sizeof(un.sun_path));
        memcpy(un.sun_path, t->unix_path, strlen(t->unix_path));
        return un;
}

static void listen_unix(TestServer *t) {
        t->folder = test_folder();
        t->unix_path = path_join(t->folder, "socket");
        struct sockaddr_un un = unix_address(t);

        t->unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(t->unix_fd >= 0);
        assert_int_equal(bind(t->unix_fd, (struct sockaddr *) &un, sizeof(un)), 0);
        assert_int_equal(listen(t->unix_fd, 64), 0);
        assert_int_equal(http_server_listen(t->server, t->unix_fd), 0);
}

void test_server_start(TestServer *t, const HttpConfig *config) {
        HttpConfig c = config ? *config : (HttpConfig){};

        *t = (TestServer){};
        assert_true(sd_event_new(&t->event) >= 0);
        t->router = http_router_new();
        assert_non_null(t->router);
        ARRAY_FOREACH(route, routes)
                assert_int_equal(http_router_add(t->router, route->method, route->pattern, route), 0);
        c.request = on_request;
        c.userdata = t;
        c.router = t->router;
        assert_int_equal(http_server_new(&t->server, t->event, &c), 0);
        listen_tcp(t);
        listen_unix(t);
}

void test_server_stop(TestServer *t) {
        t->server = http_server_free(t->server);
        t->router = http_router_free(t->router);
        t->listen_fd = fd_close(t->listen_fd);
        t->unix_fd = fd_close(t->unix_fd);
        t->event = sd_event_unref(t->event);
        free(t->unix_path);
        test_folder_done(&t->folder);
}

void test_turn(TestServer *t) {
        assert_true(sd_event_run(t->event, TURN_USEC) >= 0);
}

/* ---- clients ---- */

static void client_connect(TestClient *c, int domain, const void *address, socklen_t n) {
        *c = (TestClient){ .in = BUF_INIT(64 * 1024 * 1024) };
        c->fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(c->fd >= 0);
        assert_int_equal(connect(c->fd, address, n), 0);
        assert_int_equal(fd_set_nonblock(c->fd, true), 0);
}

void test_client_open(TestServer *t, TestClient *c) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

        in.sin_port = htons(t->port);
        client_connect(c, AF_INET, &in, sizeof(in));
}

void test_client_open_unix(TestServer *t, TestClient *c) {
        struct sockaddr_un un = unix_address(t);

        client_connect(c, AF_UNIX, &un, sizeof(un));
}

void test_client_done(TestClient *c) {
        c->fd = fd_close(c->fd);
        buf_done(&c->in);
}

void test_client_send(TestClient *c, const char *text) {
        size_t n = strlen(text);

        assert_int_equal(send(c->fd, text, n, MSG_NOSIGNAL), (ssize_t) n);
}

size_t test_client_send_all(TestServer *t, TestClient *c, const void *data, size_t n) {
        const char *p = data;
        size_t sent = 0;

        for (unsigned turns = 0; sent < n; turns++) {
                ssize_t r = send(c->fd, p + sent, n - sent, MSG_NOSIGNAL);

                if (r < 0 && errno != EAGAIN)
                        return sent;
                if (r > 0)
                        sent += (size_t) r;
                assert_true(turns < 1000000);
                assert_true(sd_event_run(t->event, 1) >= 0);
                test_client_poll(c);
        }
        return sent;
}

void test_client_poll(TestClient *c) {
        for (;;) {
                char *to = buf_reserve(&c->in, 65536);
                assert_non_null(to);

                ssize_t n = recv(c->fd, to, 65536, 0);
                if (n > 0) {
                        c->in.len += (size_t) n;
                        continue;
                }
                if (n == 0 || errno != EAGAIN)
                        c->eof = true;
                to[0] = '\0';
                return;
        }
}

static bool polled_eof(TestClient *c) {
        test_client_poll(c);
        return c->eof;
}

void test_client_wait_eof(TestServer *t, TestClient *c) {
        TEST_UNTIL(t, polled_eof(c));
}

/* Decodes chunks up to the last; false if they are not all there. *used counts the bytes they took. */
static bool take_chunks(const char *p, const char *end, Buf *out, const char **rest) {
        for (;;) {
                const char *line = memmem(p, (size_t) (end - p), "\r\n", 2);
                if (!line)
                        return false;

                size_t n = strtoul(p, NULL, 16);
                p = line + 2;
                if ((size_t) (end - p) < n + 2)
                        return false;
                assert_int_equal(buf_append(out, p, n), 0);
                assert_memory_equal(p + n, "\r\n", 2);
                p += n + 2;
                if (n == 0) {
                        *rest = p;
                        return true;
                }
        }
}

static bool take_body(TestClient *c, const char *head_end, Buf *out, const char **rest) {
        const char *end = c->in.data + c->in.len, *length;

        if (memmem(c->in.data, (size_t) (head_end - c->in.data), "Transfer-Encoding: chunked", 26))
                return take_chunks(head_end, end, out, rest);
        length = memmem(c->in.data, (size_t) (head_end - c->in.data), "Content-Length: ", 16);
        if (!length) {
                *rest = head_end;
                return true;
        }

        size_t n = strtoul(length + 16, NULL, 10);
        if ((size_t) (end - head_end) < n)
                return false;
        assert_int_equal(buf_append(out, head_end, n), 0);
        *rest = head_end + n;
        return true;
}

static bool take_answer(TestClient *c, bool has_body, Buf *out) {
        test_client_poll(c);
        const char *end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4), *rest;

        buf_clear(out);
        if (!end)
                return false;
        end += 4;
        rest = end;
        assert_int_equal(buf_append(out, c->in.data, (size_t) (end - c->in.data)), 0);
        if (has_body && !take_body(c, end, out, &rest))
                return false;
        buf_consume(&c->in, (size_t) (rest - c->in.data));
        return true;
}

char *test_client_answer(TestServer *t, TestClient *c) {
        _cleanup_buf_ Buf out = BUF_INIT(64 * 1024 * 1024);

        TEST_UNTIL(t, take_answer(c, true, &out));
        return buf_take(&out, NULL);
}

char *test_client_head(TestServer *t, TestClient *c) {
        _cleanup_buf_ Buf out = BUF_INIT(64 * 1024);

        TEST_UNTIL(t, take_answer(c, false, &out));
        return buf_take(&out, NULL);
}

char *test_ask(TestServer *t, TestClient *c, const char *request, unsigned status) {
        char expected[32];

        (void) snprintf(expected, sizeof(expected), "HTTP/1.1 %u ", status);
        test_client_send(c, request);
        char *answer = test_client_answer(t, c);
        assert_memory_equal(answer, expected, strlen(expected));
        return answer;
}

const char *test_body(const char *answer) {
        const char *end = strstr(answer, "\r\n\r\n");

        assert_non_null(end);
        return end + 4;
}
