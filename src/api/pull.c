/* SPDX-License-Identifier: MIT */

/* Large answers in bounded memory. Whatever makes an answer makes it in pieces; if the first piece
 * is the whole, it is sent with its length, else it becomes the beginning of a stream and the rest
 * follows at the pace of the reader. So a short list costs nothing more than before, and a list of
 * any length never more than a piece (and one item, which can be larger).
 *
 * Errors before the first byte are answered as such; behind it the connection ends without the
 * stream's end, which clients see. */

#include "api/api-internal.h"

static ApiPull *pull_free(ApiPull *p) {
        buf_done(&p->staged);
        return p->destroy(p);
}

/* Makes the next piece. */
static void fill(ApiPull *p) {
        buf_clear(&p->staged);
        p->sent = 0;
        p->state = p->next(p, &p->staged);
        if (p->state >= 0 && buf_error(&p->staged) < 0)
                p->state = buf_error(&p->staged);
}

static int stream_pull(HttpStream *stream, Buf *out, size_t max, void *userdata) {
        ApiPull *p = userdata;

        if (p->sent == p->staged.len && p->state > 0)
                fill(p);
        size_t n = MIN(max, p->staged.len - p->sent);
        (void) buf_append(out, p->staged.data + p->sent, n);
        p->sent += n;
        if (p->sent < p->staged.len)
                return 1;
        if (p->state < 0)
                return p->state;
        return p->state == API_PULL_END ? HTTP_STREAM_END : p->state == API_PULL_WAIT ? 0 : 1;
}

static void stream_done(HttpStream *stream, void *userdata) {
        pull_free(userdata);
}

void api_pull_wake(ApiPull *p) {
        p->state = API_PULL_MORE;
        if (p->stream)
                http_stream_wake(p->stream);
}

void api_reply_pull(ApiCall *c, ApiPull *p, const char *content_type) {
        static const HttpStreamOps ops = { .pull = stream_pull, .done = stream_done };

        p->staged = BUF_INIT(API_REPLY_MAX);
        p->call = c;
        fill(p);
        p->call = NULL;
        if (p->state < 0) {
                int r = p->state;
                pull_free(p);
                api_fail_result(c, r);
                return;
        }
        if (p->state == API_PULL_END) {
                api_send(c, c->route->status, content_type, &p->staged);
                pull_free(p);
                return;
        }
        /* NULL: the client is gone, and so is p. */
        HttpStream *stream = http_reply_stream(c->req, c->route->status, content_type, &ops, p);
        if (stream)
                p->stream = stream;
}
