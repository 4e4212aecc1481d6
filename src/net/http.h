/* SPDX-License-Identifier: MIT */
#pragma once

/* An HTTP/1.1 server on libmicrohttpd inside our sd-event loop, single-threaded.
 *
 * It collects a request's body (with limits), finds the route's row in the router, and calls the
 * one request function. That function answers at once or later; the connection is suspended
 * meanwhile. X-Request-Id comes back on every answer to a head that could be read (up to 128 bytes
 * of text). Every request gets exactly one http_reply*() call; it frees the body and the handler's
 * data, and after it the HttpRequest must not be touched (streams: until their done callback).
 *
 * If the client goes away before the answer, the `gone` callback (if set) is called once, and the
 * request object stays valid until http_reply*() is called, which then does nothing but free. So an
 * owner may ignore hang-ups, and a long poll may use them. A client that closes only its sending
 * side counts as gone.
 *
 * http_server_free() may be called while requests are held: it calls `gone` for them, closes what
 * is open and leaves the request objects to their owners, without headers, query and peer. Not from
 * within a callback of the server, except idle(). */

#include <systemd/sd-event.h>

#include "base/json.h"

typedef struct HttpServer HttpServer;
typedef struct HttpRequest HttpRequest;

typedef enum HttpMethod {
        HTTP_GET,
        HTTP_HEAD, /* a HEAD request is routed as GET and its body is left out */
        HTTP_POST,
        HTTP_PUT,
        HTTP_PATCH,
        HTTP_DELETE,
        HTTP_OPTIONS,
        _HTTP_METHOD_MAX,
        _HTTP_METHOD_INVALID = -EINVAL,
} HttpMethod;

const char *http_method_to_string(HttpMethod m);

/* ---- router: patterns such as "/sessions/{id}/variables/{name}"; knows no route itself ---- */

typedef struct HttpRouter HttpRouter;
HttpRouter *http_router_new(void);
HttpRouter *http_router_free(HttpRouter *r);
DEFINE_CLEANUP(HttpRouter *, http_router_free);
/* pattern and data must live as long as the router. A literal segment wins over a parameter. A last
 * segment "{name...}" takes the rest of the path with its slashes. -EEXIST for a duplicate. */
int http_router_add(HttpRouter *r, HttpMethod method, const char *pattern, const void *data);

/* ---- who is at the other end; found at accept ---- */

typedef enum PeerKind {
        PEER_UNIX,  /* SO_PEERCRED was read: uid and pid are the kernel's word */
        PEER_LOCAL, /* loopback TCP; uid from sock_diag by the exact 4-tuple */
        PEER_REMOTE,
} PeerKind;

enum {
        PEER_HAS_UID = 1 << 0, /* uid is known: for TCP only of an ESTABLISHED socket with an inode */
        PEER_HAS_CGROUP = 1 << 1, /* cgroup_id is known */
};

typedef struct Peer {
        PeerKind kind;
        unsigned flags;
        uid_t uid;
        pid_t pid;          /* PEER_UNIX only */
        uint64_t cgroup_id; /* cgroup v2 id (inode of its folder) of the peer's process or socket */
        char address[64];   /* for logs: "127.0.0.1:40312", "unix" */
} Peer;

/* ---- server ---- */

typedef void (*HttpRequestFn)(HttpRequest *req, void *userdata);

/* An answer was given, or a stream begun: data of the route that matched (NULL: none did), its
 * status, and the time since the request line came. */
typedef void (*HttpRepliedFn)(
        const void *route_data, HttpMethod method, unsigned status, usec_t duration, void *userdata);

typedef struct HttpConfig {
        HttpRequestFn request; /* complete request with a matched route */
        HttpRepliedFn replied; /* may be NULL */
        void *userdata;
        const HttpRouter *router;
        size_t body_max;        /* bytes; beyond: 413. 0: 8 MiB */
        size_t body_memory_max; /* of all requests under way together; beyond: 503. 0: 256 MiB */
        unsigned connections_max; /* 0: 4096; up to 32 of them (an eighth) are kept for this machine */
        unsigned connections_per_ip_max; /* remote addresses only (an IPv6 /64 is one); 0: 64 */
        usec_t idle_timeout_usec; /* from accept or the last answer to the end of the next request line; and,
                                   * in whole seconds, no progress in reading or writing. 0: 30 s */
        usec_t request_timeout_usec; /* from there to the request's last byte: ends a slow-loris; 0: 60 s */
        /* Whole answers from 1 KiB to this many bytes are compressed for clients that ask for it;
         * the loop thread does it. Streams never are. 0: none. */
        size_t compress_max;
        /* Errors the server answers itself go through this, so that they have the API's shape. status, a
         * stable code word and a sentence; must append a JSON body. NULL: {"detail", "code"}.
         *   404 not_found, 405 method_not_allowed (with Allow), 413 body_too_large, 422 invalid_url,
         *   400 bad_request (two Host or Content-Length headers and the like), 431 too_many_headers,
         *   415 unsupported_encoding, 400 bad_encoding (Content-Encoding),
         *   503 busy (bodies), too_many_connections, out_of_memory; 500 reply_too_large
         * Not so 400, 414 and 431 for a head that libmicrohttpd cannot parse or hold (32 KiB): its own text. */
        void (*error_body)(
                Buf *out, unsigned status, const char *code, const char *sentence, void *userdata);
} HttpConfig;

int http_server_new(HttpServer **ret, sd_event *event, const HttpConfig *config);
/* Takes up the limits and timeouts of config from now on, but for connections_max. What is under
 * way keeps the body_max that it began with; a timeout that became shorter counts for it too. */
void http_server_configure(HttpServer *s, const HttpConfig *config);
HttpServer *http_server_free(HttpServer *s);
DEFINE_CLEANUP(HttpServer *, http_server_free);
/* Serves a listening socket (TCP or unix; told apart by SO_DOMAIN). The fd is duplicated, and made
 * non-blocking for all who share it. -E2BIG beyond 8 of them. */
int http_server_listen(HttpServer *s, int fd);
/* No new connections; idle ones are closed, requests under way go on, and their answers close the
 * connection. idle(userdata) is called once no connection is left (at once if none is). Streams are
 * their owners' to end. */
void http_server_drain(HttpServer *s, void (*idle)(void *userdata), void *userdata);
typedef struct HttpStats {
        uint64_t requests, connections, refused;
        unsigned connections_now, requests_now;
} HttpStats;
void http_server_stats(const HttpServer *s, HttpStats *ret);

/* ---- request ---- */

const void *http_route_data(const HttpRequest *req);
HttpMethod http_method(const HttpRequest *req);
const char *http_path(const HttpRequest *req); /* decoded, without the query */
/* Percent-decoded; NULL if absent. Path values that decode to invalid UTF-8 or hold NUL were
 * answered with 422 before the request function; the same goes for the query. */
const char *http_path_value(const HttpRequest *req, const char *name);
const char *http_query_value(const HttpRequest *req, const char *name);
const char *http_header(const HttpRequest *req, const char *name);
/* Calls fn for each query key and value. */
void http_query_foreach(const HttpRequest *req,
                        void (*fn)(const char *key, const char *value, void *u),
                        void *u);
/* Raw bytes, out of their Content-Encoding (gzip, zstd); p never NULL, n may be 0; not checked. */
JsonSpan http_body(const HttpRequest *req);
const Peer *http_peer(const HttpRequest *req);
uint64_t http_request_number(const HttpRequest *req); /* ascending, for the log */
/* Freed by the reply, or when a stream is done; for handler state. */
void http_request_set_data(HttpRequest *req, void *data, void (*destroy)(void *));
void *http_request_data(const HttpRequest *req);
void http_request_on_gone(HttpRequest *req,
                          void (*gone)(HttpRequest *req, void *userdata),
                          void *userdata);

/* ---- reply ---- */

/* Both strings are copied. Before the reply. */
void http_reply_header(HttpRequest *req, const char *name, const char *value);
/* Takes the body's memory over (body is empty afterwards). content_type static; NULL with an empty body. */
void http_reply(HttpRequest *req, unsigned status, const char *content_type, Buf *body);
/* Static bytes, never freed. */
void http_reply_static(
        HttpRequest *req, unsigned status, const char *content_type, const void *data, size_t n);

/* A stream. pull() is called when the client can take more: append to out (at most about max bytes)
 * and return 1 (more may come at once), 0 (nothing now: it is called again after
 * http_stream_wake()), or -errno/ HTTP_STREAM_END to end it. done() is called once when it is over,
 * however it ended; the stream's userdata is the callee's to free there. Nothing may be asked of
 * the stream after it. http_reply_stream() returns NULL if nobody will read (HEAD, a client that is
 * gone, no memory); done() has then been called already, with a stream that may be NULL. */
#define HTTP_STREAM_END 2
typedef struct HttpStream HttpStream;
typedef struct HttpStreamOps {
        int (*pull)(HttpStream *stream, Buf *out, size_t max, void *userdata);
        void (*done)(HttpStream *stream, void *userdata);
} HttpStreamOps;
HttpStream *http_reply_stream(HttpRequest *req,
                              unsigned status,
                              const char *content_type,
                              const HttpStreamOps *ops,
                              void *userdata);
void http_stream_wake(HttpStream *stream);
