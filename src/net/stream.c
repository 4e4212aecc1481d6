/* SPDX-License-Identifier: MIT */

/* Replies without a known end: lists that do not fit into memory, logs that are followed, events.
 *
 * The client's speed drives: libmicrohttpd asks for bytes when the socket takes them, and we ask the
 * owner's pull(). So a slow reader holds back its own stream and nobody else's, and what is buffered
 * here is one pull. When pull() has nothing the connection is suspended until http_stream_wake().
 *
 * A push interface (write into the stream, with a high-water mark) was rejected: every owner would
 * need its own answer to a full buffer, and "too slow" would be decided in many places. */

#include "base/log.h"
#include "net/http-internal.h"

/* Asked for at a time by an HTTP/1.0 client; with chunks libmicrohttpd offers what its pool has left. */
#define STREAM_BLOCK_BYTES 4096
#define STREAM_PULL_MAX    ((size_t) 4 * 1024 * 1024)

struct HttpStream {
        uint32_t magic;
        HttpRequest *req;
        const HttpStreamOps *ops;
        void *userdata;
        Buf buf;
        size_t sent; /* of buf */
        bool woken;  /* since the last pull */
        bool is_dead;
        int end; /* what pull() ended with; 0: not yet */
};

static ssize_t stream_end(const HttpStream *stream) {
        return stream->end == HTTP_STREAM_END ? MHD_CONTENT_READER_END_OF_STREAM
                                              : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Nothing to send now. */
static void stream_wait(HttpStream *stream) {
        buf_done(&stream->buf);
        http_request_suspend(stream->req);
        http_watch_later(stream->req);
}

/* Asks the owner. True if there are bytes, or the end is known. */
static bool stream_refill(HttpStream *stream, size_t max) {
        buf_clear(&stream->buf);
        stream->sent = 0;
        stream->woken = false;

        int r = stream->ops->pull(stream, &stream->buf, max, stream->userdata);
        if (buf_error(&stream->buf) < 0)
                stream->end = buf_error(&stream->buf);
        else if (r < 0 || r == HTTP_STREAM_END)
                stream->end = r;
        if (stream->end != 0 || stream->buf.len > 0)
                return true;
        /* After 1 without bytes libmicrohttpd asks again in its next run. */
        if (r == 0 && !stream->woken)
                stream_wait(stream);
        return false;
}

static ssize_t on_pull(void *cls, uint64_t position, char *to, size_t max) {
        HttpStream *stream = OBJ_CAST(HttpStream, cls, HTTP_STREAM_MAGIC);

        if (stream->is_dead)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        if (stream->sent == stream->buf.len) {
                if (stream->end != 0)
                        return stream_end(stream);
                if (!stream_refill(stream, max))
                        return 0;
        }

        size_t n = MIN(max, stream->buf.len - stream->sent);
        if (n == 0)
                return stream_end(stream);
        memcpy(to, stream->buf.data + stream->sent, n);
        stream->sent += n;
        return (ssize_t) n;
}

static void stream_free(HttpStream *stream) {
        buf_done(&stream->buf);
        stream->magic = 0;
        free(stream);
}

static void on_free(void *cls) {
        HttpStream *stream = OBJ_CAST(HttpStream, cls, HTTP_STREAM_MAGIC);
        HttpRequest *req = stream->req;

        stream->ops->done(stream, stream->userdata);
        stream_free(stream);
        http_request_stream_done(req);
}

static HttpStream *stream_new(HttpRequest *req, const HttpStreamOps *ops, void *userdata) {
        HttpStream *stream = calloc(1, sizeof(*stream));

        if (!stream)
                return NULL;
        stream->magic = HTTP_STREAM_MAGIC;
        stream->req = req;
        stream->ops = ops;
        stream->userdata = userdata;
        stream->buf = BUF_INIT(STREAM_PULL_MAX);
        return stream;
}

static void add_stream_headers(HttpRequest *req, const char *content_type) {
        /* For nginx in front of us. */
        http_reply_header(req, "X-Accel-Buffering", "no");
        if (content_type && str_startswith(content_type, "text/event-stream") &&
            !http_reply_has_header(req, "Cache-Control"))
                http_reply_header(req, "Cache-Control", "no-store");
}

/* Nobody will read. */
static void reply_without_stream(HttpRequest *req, unsigned status, const char *content_type) {
        if (!req->server) {
                http_request_free_orphan(req);
                return;
        }
        /* libmicrohttpd would send the last chunk to HEAD, too, and spoil the connection. */
        bool is_head = req->method == HTTP_HEAD;
        http_reply_with(req, status, content_type, is_head ? http_response_static("", 0) : NULL);
}

HttpStream *http_reply_stream(HttpRequest *req,
                              unsigned status,
                              const char *content_type,
                              const HttpStreamOps *ops,
                              void *userdata) {
        struct MHD_Response *response = NULL;
        HttpStream *stream = NULL;

        OBJ_CHECK(req, HTTP_REQUEST_MAGIC);
        if (req->server)
                add_stream_headers(req, content_type);
        if (req->server && !req->gone_told && req->method != HTTP_HEAD)
                stream = stream_new(req, ops, userdata);
        if (stream)
                response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES,
                                                             on_pull, stream, on_free);
        if (response) {
                req->stream = stream;
                http_reply_with(req, status, content_type, response);
                return stream;
        }

        ops->done(stream, userdata);
        if (stream)
                stream_free(stream);
        reply_without_stream(req, status, content_type);
        return NULL;
}

void http_stream_wake(HttpStream *stream) {
        OBJ_CHECK(stream, HTTP_STREAM_MAGIC);
        stream->woken = true;
        if (stream->req->suspended)
                http_request_resume(stream->req);
}

void http_stream_hangup(HttpStream *stream) {
        log_debug("http: request %llu: the stream's reader left",
                  (unsigned long long) stream->req->number);
        stream->is_dead = true;
        if (stream->req->suspended)
                http_request_resume(stream->req);
}
