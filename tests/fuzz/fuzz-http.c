/* SPDX-License-Identifier: MIT */

/* Bytes from a client against the real server, in one loop with it, over a unix socket. The first
 * byte says in pieces of how many bytes the rest is sent (0: all at once); between two pieces the
 * server takes everything in, so that every cut of a request can be had. Handlers answer at once,
 * later, after the client has left, or by a stream.
 *
 * Whatever was sent: what comes back is HTTP, a handler never sees a path or query that is not safe
 * text, and when the client is gone nothing of it is left in the server. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "net/http.h"
#include "net/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HELD_MAX   64
#define TURNS_MAX  100000
#define INPUT_MAX  (64 * 1024)
#define OUTPUT_MAX (1 << 20)

static sd_event *event;
static HttpServer *server;
static struct sockaddr_un address;
static socklen_t address_size = sizeof(address);
static HttpRequest *held[HELD_MAX];
static size_t n_held;

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

/* ---- the server ---- */

static void check_text(const char *s) {
        require(uri_text_is_safe(s, strlen(s)), "a handler sees text that is not safe\n");
}

static void check_pair(const char *key, const char *value, void *userdata) {
        check_text(key);
        check_text(value);
}

static int pull(HttpStream *stream, Buf *out, size_t max, void *userdata) {
        (void) buf_puts(out, "data: x\n\n");
        return HTTP_STREAM_END;
}

static void stream_done(HttpStream *stream, void *userdata) {}

static void reply_echo(HttpRequest *req) {
        JsonSpan body = http_body(req);
        Buf out = BUF_INIT(OUTPUT_MAX);

        require(body.p != NULL, "no body, not even an empty one\n");
        (void) buf_append(&out, body.p, body.n);
        http_reply(req, 200, "text/plain", &out);
}

static void on_request(HttpRequest *req, void *userdata) {
        static const HttpStreamOps ops = { pull, stream_done };
        const char *kind = http_route_data(req), *value = http_path_value(req, "v");

        check_text(http_path(req));
        require(kind[0] != 'v' || value, "a route without its value\n");
        if (value)
                check_text(value);
        http_query_foreach(req, check_pair, NULL);
        if (kind[0] == 'h' && n_held < HELD_MAX)
                held[n_held++] = req;
        else if (kind[0] == 's')
                (void) http_reply_stream(req, 200, "text/event-stream", &ops, NULL);
        else
                reply_echo(req);
}

static void start(void) {
        static const struct {
                HttpMethod method;
                const char *pattern;
        } routes[] = {
                { HTTP_GET, "/echo" },         { HTTP_POST, "/echo" },
                { HTTP_GET, "/held" },         { HTTP_POST, "/held" },
                { HTTP_GET, "/stream" },       { HTTP_GET, "/value/{v}" },
                { HTTP_DELETE, "/value/{v}" }, { HTTP_PUT, "/value/{v...}" },
        };
        HttpRouter *router = http_router_new();
        HttpConfig config = { .request = on_request, .router = router, .body_max = 4096 };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        require(router && fd >= 0, "no router or socket\n");
        for (size_t i = 0; i < ELEMENTSOF(routes); i++)
                require(http_router_add(router, routes[i].method, routes[i].pattern,
                                        routes[i].pattern + 1) == 0,
                        "no route\n");
        /* Only the family: the kernel chooses an abstract name. */
        address.sun_family = AF_UNIX;
        require(bind(fd, (struct sockaddr *) &address, sizeof(sa_family_t)) == 0 &&
                        getsockname(fd, (struct sockaddr *) &address, &address_size) == 0 &&
                        listen(fd, 16) == 0,
                "no listening socket\n");
        require(sd_event_new(&event) >= 0 && http_server_new(&server, event, &config) >= 0 &&
                        http_server_listen(server, fd) >= 0,
                "no server\n");
        (void) close(fd);
}

/* ---- the client ---- */

static void settle(void) {
        for (unsigned i = 0; i < TURNS_MAX; i++) {
                int r = sd_event_run(event, 0);
                require(r >= 0, "the loop fails\n");
                if (r == 0)
                        return;
        }
        require(false, "the loop does not come to rest\n");
}

static void receive(int fd, Buf *in) {
        char part[4096];
        ssize_t n;

        while ((n = recv(fd, part, sizeof(part), MSG_DONTWAIT)) > 0)
                (void) buf_append(in, part, (size_t) n);
}

static void answer_held(void) {
        while (n_held > 0)
                reply_echo(held[--n_held]);
}

static void send_pieces(int fd, const uint8_t *data, size_t n, size_t piece, Buf *in) {
        unsigned n_full = 0;

        while (n > 0) {
                ssize_t sent = send(fd, data, MIN(n, piece), MSG_DONTWAIT | MSG_NOSIGNAL);
                if (sent < 0 && errno != EAGAIN)
                        return; /* the server has hung up */
                if (sent < 0 && ++n_full > 8)
                        return; /* it reads no more, though it owes nothing */
                if (sent < 0)
                        answer_held(); /* it reads no more before that: small pieces fill a socket soon */
                if (sent > 0) {
                        n_full = 0;
                        data += sent;
                        n -= (size_t) sent;
                }
                settle();
                receive(fd, in);
        }
}

static bool is_empty(void) {
        HttpStats stats;

        http_server_stats(server, &stats);
        return stats.connections_now == 0 && stats.requests_now == 0;
}

static void await_empty(void) {
        for (unsigned i = 0; i < 1000 && !is_empty(); i++)
                require(sd_event_run(event, 10000) >= 0, "the loop fails\n");
        require(is_empty(), "something of a client that is gone is left\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_buf_ Buf in = BUF_INIT(OUTPUT_MAX);
        bool answer_late;

        if (!server)
                start();
        if (size < 1 || size > INPUT_MAX)
                return 0;
        answer_late = data[0] & 1;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        require(fd >= 0 && connect(fd, (struct sockaddr *) &address, address_size) == 0,
                "no connection\n");
        /* Byte by byte only while that is short: libmicrohttpd looks at a line from its start for each. */
        send_pieces(fd, data + 1, size - 1, data[0] ? MAX((size_t) data[0], size / 2048) : size, &in);
        settle();
        if (!answer_late)
                answer_held();
        settle();
        receive(fd, &in);
        (void) shutdown(fd, SHUT_WR);
        settle();
        receive(fd, &in);
        (void) close(fd);
        settle();
        answer_held();
        await_empty();
        require(in.len < 5 || memcmp(in.data, "HTTP/", 5) == 0, "an answer that is not HTTP\n");
        return 0;
}
