/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to the room: the objects behind http.h and who may do what to them.
 *
 *   http.c      the libmicrohttpd daemon inside sd-event: run, wake, drain
 *   accept.c    listening sockets, limits, HttpConn
 *   deadline.c  connections that owe us something, by deadline; one timer
 *   request.c   from the request line to the request function, and its end
 *   head.c      what the headers decide
 *   encode.c    bodies and answers in gzip and zstd (encoding.c)
 *   values.c    what a handler may ask of a request
 *   reply.c     from http_reply() to the wire
 *   stream.c    replies without an end
 *   watch.c     hang-ups of connections that wait
 *   linger.c    connections that were refused while still sending */

#include <microhttpd.h>

#include "base/list.h"
#include "base/map.h"
#include "base/obj.h"
#include "net/http.h"
#include "net/router.h"

#define HTTP_SERVER_MAGIC  0x53525648u
#define HTTP_CONN_MAGIC    0x4e4e4f43u
#define HTTP_REQUEST_MAGIC 0x51455248u
#define HTTP_STREAM_MAGIC  0x4d525453u

/* Head of a request: request line and headers. libmicrohttpd's pool holds it and the answer's head. */
#define HTTP_HEAD_MAX          ((size_t) 32 * 1024)
#define HTTP_REPLY_HEADERS_MAX ((size_t) 8 * 1024)
#define HTTP_LISTENERS_MAX     8

typedef struct HttpConn HttpConn;
typedef struct HttpPerIp HttpPerIp;

/* Connections that owe us bytes, in the order in which they began to: one list for each kind of
 * debt, each with one duration, so that the first of a list is always the next to be due. */
typedef enum HttpDebt {
        HTTP_DEBT_REQUEST_LINE, /* accepted, or answered: a request line within idle_timeout */
        HTTP_DEBT_REQUEST,      /* its rest within request_timeout */
        HTTP_DEBT_REST, /* refused in the middle of its body: the rest of it, for a moment */
        HTTP_DEBT_EOF,  /* refused: may still send for a moment */
        _HTTP_DEBT_MAX,
} HttpDebt;

typedef struct HttpDeadline {
        ListLink link;
        usec_t due;
} HttpDeadline;

struct HttpConn {
        uint32_t magic;
        HttpServer *server;
        int fd; /* libmicrohttpd's */
        HttpDeadline deadline;
        HttpPerIp *per_ip;    /* remote peers only */
        HttpRequest *request; /* that was begun and not completed; NULL: none */
        bool linger;          /* on close, read on for a moment */
        Peer peer;
};

typedef enum HttpRequestState {
        HTTP_REQUEST_LINE,    /* the request line was read */
        HTTP_REQUEST_BODY,    /* headers accepted, body comes in */
        HTTP_REQUEST_DISCARD, /* refused; the answer is ready, the body is thrown away */
        HTTP_REQUEST_HELD,    /* the request function or its successor owes the answer */
        HTTP_REQUEST_REPLIED, /* the answer is ready for libmicrohttpd */
        HTTP_REQUEST_SENDING, /* libmicrohttpd has it */
        HTTP_REQUEST_ABORTED, /* to be closed at libmicrohttpd's next call */
} HttpRequestState;

struct HttpRequest {
        uint32_t magic;
        HttpRequestState state;
        HttpServer *server; /* NULL: the server was freed while the owner held the request */
        HttpConn *conn;
        struct MHD_Connection *mhd;
        ListLink link; /* server->requests, or server->spare_requests */

        HttpMethod method;
        usec_t begun_at;
        uint64_t number;
        const char *path; /* as written, without the query */
        const char *decoded_path;
        HttpMatch match;
        const char *values[HTTP_PATH_VALUES_MAX]; /* decoded, in text */
        bool bad_query;
        bool in_handler;
        bool suspended;
        bool gone_told;
        bool is_completed; /* by libmicrohttpd, but for the end of the stream */

        bool watched;        /* in the watch's epoll set */
        ListLink watch_link; /* will be, if it still waits soon */

        Buf text;    /* decoded path and values; its memory stays with the object */
        Buf headers; /* of the reply: name NUL value NUL …; the same */
        Buf body;
        size_t body_charged;

        unsigned status;
        struct MHD_Response *response;
        HttpStream *stream;

        void *data;
        void (*data_destroy)(void *);
        void (*gone)(HttpRequest *req, void *userdata);
        void *gone_userdata;
};

struct HttpServer {
        uint32_t magic;
        HttpConfig config;
        sd_event *event;
        struct MHD_Daemon *daemon;
        sd_event_source *io_source;   /* libmicrohttpd's epoll */
        sd_event_source *kick_source; /* runs libmicrohttpd again without an event */
        bool is_running;
        bool is_kicked;

        sd_event_source *listen_sources[HTTP_LISTENERS_MAX];
        int listen_fds[HTTP_LISTENERS_MAX];
        size_t n_listeners;
        sd_event_source *accept_retry_source;
        HttpConn *accepting;  /* handed to libmicrohttpd right now */
        HttpRequest *parsing; /* whose request line libmicrohttpd is taking apart */
        Map *per_ip;          /* remote address -> HttpPerIp */

        sd_event_source *timer_source;
        usec_t timer_due;
        ListLink debts[_HTTP_DEBT_MAX];

        int watch_fd;
        sd_event_source *watch_source;
        sd_event_source *watch_later_source;
        ListLink watch_later;

        ListLink lingers;
        size_t n_lingers;

        ListLink requests;
        ListLink spare_requests;
        size_t n_spare_requests;
        size_t body_memory;

        bool is_draining;
        void (*idle)(void *userdata);
        void *idle_userdata;
        HttpStats stats;
};

/* http.c */
/* libmicrohttpd will run soon, whatever its sockets do: it does not wake itself after a resume. */
void http_server_kick(HttpServer *s);

/* accept.c */
void http_accept_stop(HttpServer *s);
/* libmicrohttpd's MHD_NotifyConnectionCallback. */
void http_conn_notify(void *cls,
                      struct MHD_Connection *mhd,
                      void **socket_context,
                      enum MHD_ConnectionNotificationCode code);

/* deadline.c */
int http_deadline_init(HttpServer *s);
/* After the timeouts changed: nobody has more time left than he would get now. */
void http_deadlines_shorten(HttpServer *s);
/* The idle timeout as libmicrohttpd takes it. */
unsigned http_timeout_sec(const HttpServer *s);
void http_deadline_set(HttpServer *s, HttpDeadline *d, HttpDebt debt);
void http_deadline_clear(HttpDeadline *d);
/* Arms the timer if it is not, or is later than the first deadline or libmicrohttpd's own. */
void http_deadline_arm(HttpServer *s, usec_t mhd_due);

/* request.c: libmicrohttpd's callbacks */
void *http_request_begin(void *cls, const char *uri, struct MHD_Connection *mhd);
size_t http_request_unescape(void *cls, struct MHD_Connection *mhd, char *text);
enum MHD_Result http_request_access(void *cls,
                                    struct MHD_Connection *mhd,
                                    const char *url,
                                    const char *method,
                                    const char *version,
                                    const char *upload,
                                    size_t *upload_size,
                                    void **request);
void http_request_completed(void *cls,
                            struct MHD_Connection *mhd,
                            void **request,
                            enum MHD_RequestTerminationCode code);
/* The client hung up while the request waited. */
void http_request_hangup(HttpRequest *req);
void http_request_suspend(HttpRequest *req);
void http_request_resume(HttpRequest *req);
/* Its stream is over; libmicrohttpd says so after the request's own end. */
void http_request_stream_done(HttpRequest *req);
/* Frees what a request holds for its owner: body and data. */
void http_request_drop_owned(HttpRequest *req);
/* Frees a request that outlived its server. */
void http_request_free_orphan(HttpRequest *req);
void http_request_free_spares(HttpServer *s);

/* head.c */
/* Looks at the headers, finds the route and decodes path values. False: the request was answered
 * (or aborted) and *ret_rest_is_small says whether its body should be read and thrown away. */
bool http_head_accept(HttpRequest *req, const char *url, const char *method, bool *ret_rest_is_small);
/* 413. */
void http_head_refuse_size(HttpRequest *req);

/* encode.c */
/* Takes the body out of its Content-Encoding. False: it was answered. */
bool http_request_expand(HttpRequest *req);
/* The bytes as the client likes them best; sets Content-Encoding and Vary. False: as they are. *ret
 * is then untouched. */
bool http_reply_compress(
        HttpRequest *req, const char *content_type, const void *data, size_t n, Buf *ret);

/* values.c */
/* Decodes path values. 0, -ENOMEM, or -EINVAL if one is not text. */
int http_request_decode(HttpRequest *req);

/* reply.c */
/* An answer of the server's own; does what http_reply() does. */
void http_reply_error(HttpRequest *req, unsigned status, const char *code, const char *sentence);
struct MHD_Response *http_response_static(const void *data, size_t n);
bool http_reply_has_header(const HttpRequest *req, const char *name);
/* Adds the content type and the headers set so far, and makes it the request's answer. Takes response. */
void http_reply_with(HttpRequest *req,
                     unsigned status,
                     const char *content_type,
                     struct MHD_Response *response);

/* stream.c */
void http_stream_hangup(HttpStream *stream);

/* watch.c */
int http_watch_init(HttpServer *s);
void http_watch_done(HttpServer *s);
/* Watches for a hang-up from the next turn of the loop on, if the request still waits then. */
void http_watch_later(HttpRequest *req);
void http_watch_stop(HttpRequest *req);

/* linger.c */
/* Takes over what is left of a connection; dup()s the fd. */
void http_linger_start(HttpServer *s, int fd);
void http_linger_expire(HttpDeadline *d);
void http_linger_done(HttpServer *s);
