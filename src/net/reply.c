/* SPDX-License-Identifier: MIT */

/* From http_reply() to libmicrohttpd. The answer is made when it is given, with the memory of the
 * owner's buffer, and handed over in libmicrohttpd's next call of the access handler: at once if
 * the owner answers within the request function, else after the connection was resumed.
 *
 * Handler state and the request's body are freed here and not when the last byte is sent: a slow
 * reader must not hold them, and an owner that touches its request after the answer is found by the
 * first test and not by the first client that hangs up.
 *
 * Without memory for an answer the connection is closed: the client sees that there was none. */

#include <strings.h>

#include "base/log.h"
#include "net/http-internal.h"

#define ERROR_BODY_MAX ((size_t) 64 * 1024)

static void set_header(struct MHD_Response *response, const char *name, const char *value) {
        if (MHD_add_response_header(response, name, value) != MHD_YES)
                log_debug("http: reply header %s is not acceptable, left out", name);
}

void http_reply_header(HttpRequest *req, const char *name, const char *value) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        (void) buf_append(&req->headers, name, strlen(name) + 1);
        (void) buf_append(&req->headers, value, strlen(value) + 1);
}

bool http_reply_has_header(const HttpRequest *req, const char *name) {
        const char *p = req->headers.data, *end = p ? p + req->headers.len : NULL;

        for (; p < end; p += strlen(p) + 1) {
                if (strcasecmp(p, name) == 0)
                        return true;
                p += strlen(p) + 1;
        }
        return false;
}

static void set_headers(HttpRequest *req, struct MHD_Response *response, const char *content_type) {
        const char *p = req->headers.data, *end = p ? p + req->headers.len : NULL;

        if (content_type)
                set_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
        while (p < end) {
                const char *value = p + strlen(p) + 1;

                set_header(response, p, value);
                p = value + strlen(value) + 1;
        }
        if (req->server->is_draining)
                set_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
}

/* The owner is done with the request, whatever comes of the answer. */
static void hand_back(HttpRequest *req, HttpRequestState state) {
        if (!req->stream)
                http_request_drop_owned(req);
        req->state = state;
        if (req->suspended)
                http_request_resume(req);
}

void http_reply_with(HttpRequest *req,
                     unsigned status,
                     const char *content_type,
                     struct MHD_Response *response) {
        assert(req->state <= HTTP_REQUEST_HELD);

        if (!response || req->gone_told) {
                if (response)
                        MHD_destroy_response(response);
                hand_back(req, HTTP_REQUEST_ABORTED);
                return;
        }
        set_headers(req, response, content_type);
        const HttpConfig *config = &req->server->config;
        if (config->replied)
                config->replied(req->match.data, req->method, status,
                                clock_monotonic() - req->begun_at, config->userdata);
        req->status = status;
        req->response = response;
        hand_back(req, HTTP_REQUEST_REPLIED);
}

struct MHD_Response *http_response_static(const void *data, size_t n) {
        /* libmicrohttpd only reads PERSISTENT memory, but its parameter is not const. */
        union {
                const void *in;
                void *out;
        } memory = { data };

        return MHD_create_response_from_buffer(n, memory.out, MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *response_from(Buf *body) {
        size_t n;

        if (!body || body->len == 0) {
                if (body)
                        buf_done(body);
                return http_response_static("", 0);
        }

        _cleanup_free_ char *data = buf_take(body, &n);
        if (!data)
                return NULL;
        struct MHD_Response *response =
                MHD_create_response_from_buffer(n, data, MHD_RESPMEM_MUST_FREE);
        if (response)
                TAKE_PTR(data);
        return response;
}

void http_reply_error(HttpRequest *req, unsigned status, const char *code, const char *sentence) {
        _cleanup_buf_ Buf body = BUF_INIT(ERROR_BODY_MAX);
        const HttpConfig *c = &req->server->config;

        c->error_body(&body, status, code, sentence, c->userdata);
        http_reply_with(req, status, "application/json", response_from(&body));
}

static void reply_too_large(HttpRequest *req) {
        log_debug("http: request %llu: the reply is too large or there is no memory for it",
                  (unsigned long long) req->number);
        buf_clear(&req->headers);
        http_reply_error(req, MHD_HTTP_INTERNAL_SERVER_ERROR, "reply_too_large",
                         "The answer could not be put together");
}

/* body may be part of the handler's state, which is freed on the way: it is emptied first. */
void http_reply(HttpRequest *req, unsigned status, const char *content_type, Buf *body) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);

        bool failed = buf_error(&req->headers) < 0 || (body && buf_error(body) < 0);
        Buf packed;
        if (req->server && !failed && body &&
            http_reply_compress(req, content_type, body->data, body->len, &packed)) {
                buf_done(body);
                http_reply_with(req, status, content_type, response_from(&packed));
                return;
        }
        if (req->server && !failed) {
                http_reply_with(req, status, content_type, response_from(body));
                return;
        }
        if (body)
                buf_done(body);
        if (req->server)
                reply_too_large(req);
        else
                http_request_free_orphan(req);
}

void http_reply_static(
        HttpRequest *req, unsigned status, const char *content_type, const void *data, size_t n) {
        Buf packed;

        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        if (!req->server)
                http_request_free_orphan(req);
        else if (buf_error(&req->headers) < 0)
                reply_too_large(req);
        else if (http_reply_compress(req, content_type, data, n, &packed))
                http_reply_with(req, status, content_type, response_from(&packed));
        else
                http_reply_with(req, status, content_type, http_response_static(data, n));
}
