/* SPDX-License-Identifier: MIT */

/* What a handler may ask of a request. Everything points into libmicrohttpd's memory of the
 * connection, which holds until the answer is sent, except for decoded path values: those are
 * decoded once, before the request function, into one block of the request object, so that asking
 * cannot fail and the function never sees a value that is not text.
 *
 * A request that outlived its server knows nothing: every question gets the empty answer. */

#include "net/http-internal.h"
#include "net/uri.h"

static const Peer nobody = { .kind = PEER_REMOTE, .address = "gone" };

static size_t decode_room(const HttpRequest *req, bool path_is_plain) {
        size_t n = path_is_plain ? 0 : strlen(req->path) + 1;

        for (size_t i = 0; i < req->match.n_values; i++)
                n += req->match.values[i].raw_n + 1;
        return n;
}

static const char *decode_into(Buf *text, const char *s, size_t n, bool *ok) {
        char *to = text->data + text->len;
        size_t decoded = uri_decode(s, n, to);

        *ok = *ok && uri_text_is_safe(to, decoded);
        text->len += decoded + 1;
        return to;
}

int http_request_decode(HttpRequest *req) {
        bool ok = true, path_is_plain = !strchr(req->path, '%');
        size_t room = decode_room(req, path_is_plain);

        /* All room at once: values point into the block. */
        if (room > 0 && !buf_reserve(&req->text, room))
                return -ENOMEM;
        req->decoded_path = path_is_plain
                                    ? req->path
                                    : decode_into(&req->text, req->path, strlen(req->path), &ok);
        for (size_t i = 0; i < req->match.n_values; i++)
                req->values[i] = decode_into(&req->text, req->match.values[i].raw,
                                             req->match.values[i].raw_n, &ok);
        return ok ? 0 : -EINVAL;
}

const void *http_route_data(const HttpRequest *req) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        return req->match.data;
}

HttpMethod http_method(const HttpRequest *req) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        return req->method;
}

const char *http_path(const HttpRequest *req) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        return req->mhd ? req->decoded_path : "";
}

const char *http_path_value(const HttpRequest *req, const char *name) {
        size_t n = strlen(name);

        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        for (size_t i = 0; i < req->match.n_values; i++) {
                const HttpPathValue *v = &req->match.values[i];

                if (v->name_n == n && memcmp(v->name, name, n) == 0)
                        return req->values[i];
        }
        return NULL;
}

const char *http_query_value(const HttpRequest *req, const char *name) {
        const char *value = NULL;

        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        if (!req->mhd || MHD_lookup_connection_value_n(req->mhd, MHD_GET_ARGUMENT_KIND, name,
                                                       strlen(name), &value, NULL) != MHD_YES)
                return NULL;
        /* "?follow" without a value is there, and empty. */
        return value ?: "";
}

const char *http_header(const HttpRequest *req, const char *name) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        return req->mhd ? MHD_lookup_connection_value(req->mhd, MHD_HEADER_KIND, name) : NULL;
}

typedef struct QueryEach {
        void (*fn)(const char *key, const char *value, void *u);
        void *u;
} QueryEach;

static enum MHD_Result query_each(void *cls,
                                  enum MHD_ValueKind kind,
                                  const char *key,
                                  const char *value) {
        const QueryEach *each = cls;

        each->fn(key, value ?: "", each->u);
        return MHD_YES;
}

void http_query_foreach(const HttpRequest *req,
                        void (*fn)(const char *key, const char *value, void *u),
                        void *u) {
        QueryEach each = { fn, u };

        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        if (req->mhd)
                (void) MHD_get_connection_values(req->mhd, MHD_GET_ARGUMENT_KIND, query_each, &each);
}

JsonSpan http_body(const HttpRequest *req) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        return (JsonSpan){ req->body.data ?: "", req->body.len };
}

const Peer *http_peer(const HttpRequest *req) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        return req->conn ? &req->conn->peer : &nobody;
}

uint64_t http_request_number(const HttpRequest *req) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        return req->number;
}

void http_request_set_data(HttpRequest *req, void *data, void (*destroy)(void *)) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        if (req->data_destroy)
                req->data_destroy(req->data);
        req->data = data;
        req->data_destroy = destroy;
}

void *http_request_data(const HttpRequest *req) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        return req->data;
}

void http_request_on_gone(HttpRequest *req,
                          void (*gone)(HttpRequest *req, void *userdata),
                          void *userdata) {
        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        req->gone = gone;
        req->gone_userdata = userdata;
        if (gone && req->suspended)
                http_watch_later(req);
}
