/* SPDX-License-Identifier: MIT */

/* One request from its request line to the request function.
 *
 * libmicrohttpd calls the access handler once with the headers, then with pieces of the body, then
 * once more for the answer. A response queued in the first call means "I do not want the body" and
 * closes the connection; so an ordinary answer waits for the last call, even if there is no body.
 * The first call is used for exactly its purpose: what is refused before its body is read.
 *
 * When the function has not answered on return the connection is suspended, and the answer resumes
 * it: libmicrohttpd then calls the access handler once again.
 *
 * A client that hangs up does not free its waiting request: the connection stays suspended until
 * the owner replies, so that everything the owner may ask of the request (headers, path, body)
 * stays where it is and no second owner of that memory is needed. Only the end of the server
 * orphans a request that is still held. */

#include <sys/socket.h>

#include "base/log.h"
#include "net/http-internal.h"
#include "net/uri.h"

#define SPARE_REQUESTS_MAX 128
#define TEXT_MAX           (2 * HTTP_HEAD_MAX)

/* ---- objects ---- */

static void conn_owes(HttpConn *conn, HttpDebt debt) {
        http_deadline_set(conn->server, &conn->deadline, debt);
}

static HttpRequest *request_new(HttpServer *s) {
        if (list_is_empty(&s->spare_requests)) {
                HttpRequest *req = calloc(1, sizeof(*req));

                if (!req)
                        return NULL;
                req->text = BUF_INIT(TEXT_MAX);
                req->headers = BUF_INIT(HTTP_REPLY_HEADERS_MAX);
                return req;
        }

        HttpRequest *req = LIST_ENTRY(s->spare_requests.next, HttpRequest, link);
        Buf text = req->text, headers = req->headers;

        list_remove(&req->link);
        s->n_spare_requests--;
        *req = (HttpRequest){ .text = text, .headers = headers };
        buf_clear(&req->text);
        buf_clear(&req->headers);
        return req;
}

static void request_free(HttpRequest *req) {
        buf_done(&req->text);
        buf_done(&req->headers);
        req->magic = 0;
        free(req);
}

void http_request_drop_owned(HttpRequest *req) {
        buf_done(&req->body);
        if (req->server)
                req->server->body_memory -= req->body_charged;
        req->body_charged = 0;
        if (req->data_destroy)
                req->data_destroy(req->data);
        req->data_destroy = NULL;
        req->data = NULL;
        req->gone = NULL;
}

/* Back to the spares. */
static void request_release(HttpRequest *req) {
        HttpServer *s = req->server;

        assert(!req->response);
        http_request_drop_owned(req);
        req->magic = 0;
        if (s->n_spare_requests >= SPARE_REQUESTS_MAX) {
                request_free(req);
                return;
        }
        list_append(&s->spare_requests, &req->link);
        s->n_spare_requests++;
}

void http_request_free_spares(HttpServer *s) {
        LIST_FOREACH(l, &s->spare_requests) {
                list_remove(l);
                request_free(LIST_ENTRY(l, HttpRequest, link));
        }
}

void http_request_free_orphan(HttpRequest *req) {
        assert(!req->server);
        http_request_drop_owned(req);
        request_free(req);
}

/* ---- suspending ---- */

void http_request_suspend(HttpRequest *req) {
        MHD_suspend_connection(req->mhd);
        req->suspended = true;
}

void http_request_resume(HttpRequest *req) {
        assert(req->suspended);
        req->suspended = false;
        MHD_resume_connection(req->mhd);
        http_server_kick(req->server);
}

void http_request_hangup(HttpRequest *req) {
        if (req->stream) {
                http_stream_hangup(req->stream);
                return;
        }
        if (req->state != HTTP_REQUEST_HELD || req->gone_told)
                return;

        log_debug("http: %s: request %llu: client left", req->conn->peer.address,
                  (unsigned long long) req->number);
        req->gone_told = true;
        if (req->gone)
                req->gone(req, req->gone_userdata);
}

/* ---- the request line ---- */

void *http_request_begin(void *cls, const char *uri, struct MHD_Connection *mhd) {
        HttpServer *s = OBJ_CAST(HttpServer, cls, HTTP_SERVER_MAGIC);
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        HttpConn *conn = OBJ_CAST(HttpConn, info->socket_context, HTTP_CONN_MAGIC);

        conn_owes(conn, HTTP_DEBT_REQUEST);
        s->parsing = NULL;
        HttpRequest *req = request_new(s);
        if (!req)
                return NULL;
        req->magic = HTTP_REQUEST_MAGIC;
        req->server = s;
        req->conn = conn;
        req->mhd = mhd;
        req->path = uri;
        req->begun_at = clock_monotonic();
        req->number = ++s->stats.requests;
        s->stats.requests_now++;
        list_append(&s->requests, &req->link);
        conn->request = req;
        return s->parsing = req;
}

/* libmicrohttpd hands over each key and value of the query, and last the path. The path stays as it is. */
size_t http_request_unescape(void *cls, struct MHD_Connection *mhd, char *text) {
        HttpServer *s = OBJ_CAST(HttpServer, cls, HTTP_SERVER_MAGIC);
        size_t n = strlen(text);

        if (!s->parsing || text == s->parsing->path)
                return n;
        n = uri_decode(text, n, text);
        if (!uri_text_is_safe(text, n))
                s->parsing->bad_query = true;
        return n;
}

/* ---- the headers ---- */

static enum MHD_Result queue_reply(HttpRequest *req) {
        struct MHD_Response *response = TAKE_PTR(req->response);

        assert(req->state == HTTP_REQUEST_REPLIED);
        req->state = HTTP_REQUEST_SENDING;
        enum MHD_Result r = MHD_queue_response(req->mhd, req->status, response);
        MHD_destroy_response(response);
        return r;
}

static enum MHD_Result take_headers(HttpRequest *req, const char *url, const char *method) {
        bool rest_is_small;

        if (http_head_accept(req, url, method, &rest_is_small)) {
                req->state = HTTP_REQUEST_BODY;
                req->body = BUF_INIT(req->server->config.body_max);
                return MHD_YES;
        }
        if (req->state == HTTP_REQUEST_ABORTED)
                return MHD_NO;
        if (rest_is_small) {
                req->state = HTTP_REQUEST_DISCARD;
                return MHD_YES;
        }
        req->conn->linger = true;
        return queue_reply(req);
}

/* ---- the body ---- */

static void take_body(HttpRequest *req, const char *data, size_t n) {
        HttpServer *s = req->server;

        size_t before = req->body.cap, left = s->config.body_memory_max;

        left -= MIN(s->body_memory, left);
        if (n > s->config.body_max - req->body.len)
                http_head_refuse_size(req);
        else if (n > left || buf_append(&req->body, data, n) < 0)
                http_reply_error(req, MHD_HTTP_SERVICE_UNAVAILABLE, "busy",
                                 "Too many request bodies at once, try again later");
        if (req->state == HTTP_REQUEST_REPLIED) {
                /* libmicrohttpd takes the answer only behind the body, which may have no end. */
                req->state = HTTP_REQUEST_DISCARD;
                conn_owes(req->conn, HTTP_DEBT_REST);
                return;
        }
        req->body_charged += req->body.cap - before;
        s->body_memory += req->body.cap - before;
}

/* ---- the function ---- */

static enum MHD_Result call_function(HttpRequest *req) {
        http_deadline_clear(&req->conn->deadline);
        req->state = HTTP_REQUEST_HELD;
        req->in_handler = true;
        if (http_request_expand(req))
                req->server->config.request(req, req->server->config.userdata);
        req->in_handler = false;

        if (req->state == HTTP_REQUEST_REPLIED)
                return queue_reply(req);
        if (req->state == HTTP_REQUEST_ABORTED)
                return MHD_NO;
        http_request_suspend(req);
        if (req->gone)
                http_watch_later(req);
        return MHD_YES;
}

enum MHD_Result http_request_access(void *cls,
                                    struct MHD_Connection *mhd,
                                    const char *url,
                                    const char *method,
                                    const char *version,
                                    const char *upload,
                                    size_t *upload_size,
                                    void **request) {
        /* NULL: there was no memory for it. */
        if (!*request)
                return MHD_NO;

        HttpRequest *req = OBJ_CAST(HttpRequest, *request, HTTP_REQUEST_MAGIC);
        size_t n = *upload_size;

        *upload_size = 0;
        switch (req->state) {
        case HTTP_REQUEST_LINE:
                return take_headers(req, url, method);
        case HTTP_REQUEST_BODY:
                if (n == 0)
                        return call_function(req);
                take_body(req, upload, n);
                return MHD_YES;
        case HTTP_REQUEST_DISCARD:
                if (n > 0)
                        return MHD_YES;
                http_deadline_clear(&req->conn->deadline);
                req->state = HTTP_REQUEST_REPLIED;
                return queue_reply(req);
        case HTTP_REQUEST_REPLIED:
                return queue_reply(req);
        /* The function was called, and what waits for it is suspended. */
        case HTTP_REQUEST_HELD:
        case HTTP_REQUEST_SENDING:
        case HTTP_REQUEST_ABORTED:
                return MHD_NO;
        }
        return MHD_NO;
}

/* ---- the end ---- */

/* The server ends while the owner holds the request: it keeps an object that knows nothing any more. */
static void orphan(HttpRequest *req) {
        HttpServer *s = req->server;

        s->body_memory -= req->body_charged;
        req->body_charged = 0;
        req->server = NULL;
        req->conn = NULL;
        req->mhd = NULL;
        if (req->gone && !req->gone_told) {
                req->gone_told = true;
                req->gone(req, req->gone_userdata);
        }
}

void http_request_completed(void *cls,
                            struct MHD_Connection *mhd,
                            void **request,
                            enum MHD_RequestTerminationCode code) {
        if (!*request)
                return;

        HttpRequest *req = OBJ_CAST(HttpRequest, TAKE_PTR(*request), HTTP_REQUEST_MAGIC);
        HttpServer *s = req->server;

        if (s->parsing == req)
                s->parsing = NULL;
        http_watch_stop(req);
        list_remove(&req->link);
        req->conn->request = NULL;
        s->stats.requests_now--;
        conn_owes(req->conn, HTTP_DEBT_REQUEST_LINE);
        /* Its answer began before the draining, so it does not say that the connection will close. */
        if (s->is_draining && req->conn)
                (void) shutdown(req->conn->fd, SHUT_RD);
        if (req->response)
                MHD_destroy_response(TAKE_PTR(req->response));
        if (req->stream)
                req->is_completed = true;
        else if (req->state == HTTP_REQUEST_HELD)
                orphan(req);
        else
                request_release(req);
}

void http_request_stream_done(HttpRequest *req) {
        req->stream = NULL;
        if (req->is_completed)
                request_release(req);
}
