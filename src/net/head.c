/* SPDX-License-Identifier: MIT */

/* What the head of a request decides: may its body come in, and if not, is it worth reading?
 *
 * Framing is checked here, because libmicrohttpd takes the first Content-Length and ignores a
 * second one, takes any Transfer-Encoding for "until the end", and takes both together. In front of
 * us may be a proxy that reads them differently and lets a second request through inside the first
 * one, so all of that is refused (RFC 9112 section 6.3), as are two Host headers.
 *
 * One pass over the headers notes all that is of interest; a lookup for each would walk them again.
 * X-Request-Id is given back here and not by the owner, so that what is refused carries it as well.
 *
 * A refused body that is small is read and thrown away, because the connection is worth more; a
 * large one, or one whose client waits for "100 Continue", is answered at once. */

#include <stdio.h>
#include <strings.h>

#include "base/str.h"
#include "net/http-internal.h"

#define HEADERS_COUNT_MAX 100
#define REQUEST_ID_MAX    128
/* Cheaper to read than a new connection. */
#define DISCARD_MAX ((size_t) 64 * 1024)

typedef struct Head {
        unsigned n_headers;
        unsigned n_hosts, n_lengths, n_encodings;
        const char *length;
        const char *encoding;
        const char *request_id;
        size_t request_id_n;
        bool expects_continue;
} Head;

static bool name_is(const char *name, size_t n, const char *wanted, size_t wanted_n) {
        return n == wanted_n && strncasecmp(name, wanted, n) == 0;
}
#define NAME_IS(name, n, literal) name_is((name), (n), (literal), sizeof(literal) - 1)

static enum MHD_Result look_at_header(void *cls,
                                      enum MHD_ValueKind kind,
                                      const char *name,
                                      size_t name_n,
                                      const char *value,
                                      size_t value_n) {
        Head *head = cls;

        head->n_headers++;
        if (NAME_IS(name, name_n, "Host"))
                head->n_hosts++;
        else if (NAME_IS(name, name_n, "Content-Length")) {
                head->n_lengths++;
                head->length = value;
        } else if (NAME_IS(name, name_n, "Transfer-Encoding")) {
                head->n_encodings++;
                head->encoding = value ?: "";
        } else if (NAME_IS(name, name_n, "X-Request-Id")) {
                head->request_id = value;
                head->request_id_n = value ? value_n : 0;
        } else if (NAME_IS(name, name_n, "Expect"))
                head->expects_continue = true;
        return MHD_YES;
}

static bool framing_is_clear(const Head *head) {
        if (head->n_hosts > 1 || head->n_lengths > 1 || head->n_encodings > 1)
                return false;
        if (head->n_encodings == 1)
                return head->n_lengths == 0 && strcasecmp(head->encoding, "chunked") == 0;
        return true;
}

/* libmicrohttpd has checked that it is a number. */
static uint64_t content_length(const Head *head) {
        uint64_t n = 0;

        if (head->length && str_to_u64(head->length, &n) < 0)
                return UINT64_MAX;
        return n;
}

static HttpMethod method_parse(const char *name) {
        for (HttpMethod m = 0; m < _HTTP_METHOD_MAX; m++)
                if (streq(name, http_method_to_string(m)))
                        return m;
        return _HTTP_METHOD_INVALID;
}

/* The absolute form "http://host/path" (RFC 9112 section 3.2.2) is for proxies, but servers must take it. */
static const char *origin_form(const char *url) {
        const char *rest;

        if (url[0] == '/' || strncasecmp(url, "http://", 7) != 0)
                return url;
        rest = strchr(url + 7, '/');
        return rest ?: "/";
}

static void refuse_method(HttpRequest *req, unsigned allow) {
        char list[64] = "";

        for (HttpMethod m = 0; m < _HTTP_METHOD_MAX; m++) {
                if (!(allow & 1u << m))
                        continue;
                size_t n = strlen(list);
                (void) snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
                                http_method_to_string(m));
        }
        http_reply_header(req, "Allow", list);
        http_reply_error(req, MHD_HTTP_METHOD_NOT_ALLOWED, "method_not_allowed",
                         "Method Not Allowed");
}

/* Finds the route and decodes the path. False if the request was answered. */
static bool route(HttpRequest *req) {
        unsigned allow;

        int r = http_router_match(req->server->config.router, req->method, req->path, &req->match,
                                  &allow);
        if (r == HTTP_E_NO_ROUTE) {
                http_reply_error(req, MHD_HTTP_NOT_FOUND, "not_found", "Not Found");
                return false;
        }
        if (r == HTTP_E_NO_METHOD) {
                refuse_method(req, allow);
                return false;
        }

        r = http_request_decode(req);
        if (r == -ENOMEM) {
                http_reply_error(req, MHD_HTTP_SERVICE_UNAVAILABLE, "out_of_memory", "Out of memory");
                return false;
        }
        if (r < 0 || req->bad_query) {
                http_reply_error(req, MHD_HTTP_UNPROCESSABLE_CONTENT, "invalid_url",
                                 "Path and query must be UTF-8 text without NUL");
                return false;
        }
        return true;
}

void http_head_refuse_size(HttpRequest *req) {
        char sentence[96];

        (void) snprintf(sentence, sizeof(sentence), "The request body is larger than %zu bytes",
                        req->server->config.body_max);
        http_reply_error(req, MHD_HTTP_CONTENT_TOO_LARGE, "body_too_large", sentence);
}

static void echo_request_id(HttpRequest *req, const Head *head) {
        const char *id = head->request_id;
        size_t n = head->request_id_n;

        if (n > 0 && n <= REQUEST_ID_MAX && utf8_is_valid(id, n) && !str_has_control(id, n))
                http_reply_header(req, "X-Request-Id", id);
}

/* True if the request may go on to its body; else it was answered. */
static bool head_is_acceptable(HttpRequest *req, const Head *head) {
        if (!framing_is_clear(head)) {
                http_reply_error(req, MHD_HTTP_BAD_REQUEST, "bad_request",
                                 "Host, Content-Length or Transfer-Encoding is ambiguous");
                return false;
        }
        if (head->n_headers > HEADERS_COUNT_MAX) {
                http_reply_error(req, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE, "too_many_headers",
                                 "Too many header fields");
                return false;
        }
        if (!route(req))
                return false;
        if (content_length(head) > req->server->config.body_max) {
                http_head_refuse_size(req);
                return false;
        }
        return true;
}

/* Is what is still to come so little that reading it is cheaper than a new connection? */
static bool is_worth_discarding(const Head *head) {
        return framing_is_clear(head) && head->n_encodings == 0 && !head->expects_continue &&
               content_length(head) <= DISCARD_MAX;
}

bool http_head_accept(HttpRequest *req, const char *url, const char *method, bool *ret_rest_is_small) {
        Head head = {};

        (void) MHD_get_connection_values_n(req->mhd, MHD_HEADER_KIND, look_at_header, &head);
        req->method = method_parse(method);
        req->path = origin_form(url);
        echo_request_id(req, &head);
        if (head_is_acceptable(req, &head))
                return true;
        *ret_rest_is_small = is_worth_discarding(&head);
        return false;
}
