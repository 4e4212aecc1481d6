/* SPDX-License-Identifier: MIT */

/* Where codings meet requests and answers. A body is expanded when it is whole: its limit and its
 * share of the memory of all bodies are those of what comes out, so whoever sends a bomb gets 413
 * after one body's worth of work. An answer is compressed when it is given, on the loop thread, and
 * so only up to a size that takes some milliseconds; more goes out as it is.
 *
 * Streams are left alone: an event that sits in a compressor is late, and a followed log of one
 * line compresses to more than the line. */

#include "net/encoding.h"
#include "net/http-internal.h"

#define COMPRESS_MIN ((size_t) 1024)

static void charge(HttpRequest *req, size_t bytes) {
        req->server->body_memory += bytes - req->body_charged;
        req->body_charged = bytes;
}

static void refuse(HttpRequest *req, int r) {
        if (r == ENCODING_E_TOO_LARGE)
                http_head_refuse_size(req);
        else if (r == ENCODING_E_DAMAGED)
                http_reply_error(req, MHD_HTTP_BAD_REQUEST, "bad_encoding",
                                 "The request body is not what Content-Encoding says");
        else
                http_reply_error(req, MHD_HTTP_SERVICE_UNAVAILABLE, "busy",
                                 "Too many request bodies at once, try again later");
}

bool http_request_expand(HttpRequest *req) {
        const HttpConfig *config = &req->server->config;
        const char *name = http_header(req, "Content-Encoding");
        Encoding e = name && req->body.len > 0 ? encoding_from_string(name) : ENCODING_IDENTITY;

        if (e == ENCODING_IDENTITY)
                return true;
        if (e < 0) {
                http_reply_header(req, "Accept-Encoding", "gzip, zstd");
                http_reply_error(req, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding",
                                 "The Content-Encoding is not supported");
                return false;
        }
        size_t used = req->server->body_memory - req->body_charged;
        size_t left = config->body_memory_max - MIN(used, config->body_memory_max);
        Buf out = BUF_INIT(MIN(config->body_max, left));
        int r = encoding_expand(e, req->body.data, req->body.len, &out);
        if (r == ENCODING_E_TOO_LARGE && left < config->body_max)
                r = -EBUSY;
        if (r != 0) {
                buf_done(&out);
                refuse(req, r);
                return false;
        }
        buf_done(&req->body);
        req->body = out;
        charge(req, out.cap);
        return true;
}

static bool is_compressible(const char *content_type) {
        return content_type && (str_startswith(content_type, "application/json") ||
                                str_startswith(content_type, "application/x-ndjson") ||
                                str_startswith(content_type, "text/"));
}

bool http_reply_compress(
        HttpRequest *req, const char *content_type, const void *data, size_t n, Buf *ret) {
        if (n < COMPRESS_MIN || n > req->server->config.compress_max || req->gone_told ||
            !is_compressible(content_type) || http_reply_has_header(req, "Content-Encoding"))
                return false;
        http_reply_header(req, "Vary", "Accept-Encoding");
        Encoding e = encoding_choose(http_header(req, "Accept-Encoding"));
        if (e == ENCODING_IDENTITY)
                return false;

        Buf out = BUF_INIT(2 * n + COMPRESS_MIN);
        if (encoding_compress(e, data, n, &out) < 0 || out.len >= n) {
                buf_done(&out);
                return false;
        }
        http_reply_header(req, "Content-Encoding", encoding_to_string(e));
        *ret = out;
        return true;
}
