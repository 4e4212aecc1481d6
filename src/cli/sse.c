/* SPDX-License-Identifier: MIT */

/* Server-sent events: lines of `field: value`, an empty line ends an event. Bytes may come in any
 * pieces; an event is given out only when it is complete, and only then does its id count, so that
 * whoever begins again behind that id neither misses nor repeats one.
 *
 * curl's own event parsing does not exist, and a general line reader with callbacks per field would
 * be longer than this. */

#include "cli/sse.h"

#include <stdio.h>

#include "base/str.h"

#define SSE_BYTES_MAX ((size_t) 64 * 1024 * 1024)

void sse_init(Sse *s) {
        *s = (Sse){ .line = BUF_INIT(SSE_BYTES_MAX), .data = BUF_INIT(SSE_BYTES_MAX) };
}

void sse_done(Sse *s) {
        buf_done(&s->line);
        buf_done(&s->data);
}

void sse_reset(Sse *s) {
        buf_clear(&s->line);
        buf_clear(&s->data);
        s->event[0] = '\0';
        memcpy(s->next_id, s->id, sizeof(s->next_id));
        s->skip_lf = false;
}

static int dispatch(Sse *s, SseFn fn, void *userdata) {
        int r = 0;

        memcpy(s->id, s->next_id, sizeof(s->id));
        if (s->data.len > 0) {
                s->data.data[--s->data.len] = '\0'; /* the last newline is no part of it */
                SseEvent e = {
                        .id = s->id,
                        .event = s->event[0] ? s->event : "message",
                        .data = s->data.data,
                        .n = s->data.len,
                };
                r = fn(&e, userdata);
        }
        buf_clear(&s->data);
        s->event[0] = '\0';
        return r;
}

static void field(Sse *s, char *line, size_t n) {
        char *colon = memchr(line, ':', n);
        const char *value = colon ? colon + 1 : line + n;

        if (colon)
                *colon = '\0';
        if (*value == ' ')
                value++;
        size_t length = n - (size_t) (value - line);
        if (streq(line, "data")) {
                (void) buf_append(&s->data, value, length);
                (void) buf_putc(&s->data, '\n');
        } else if (streq(line, "event"))
                (void) snprintf(s->event, sizeof(s->event), "%s", value);
        else if (streq(line, "id") && length <= SSE_ID_MAX && !memchr(value, '\0', length))
                (void) snprintf(s->next_id, sizeof(s->next_id), "%s", value);
}

static int end_of_line(Sse *s, SseFn fn, void *userdata) {
        int r = 0;

        if (s->line.len == 0)
                r = dispatch(s, fn, userdata);
        else if (s->line.data[0] != ':')
                field(s, s->line.data, s->line.len);
        buf_clear(&s->line);
        return r;
}

int sse_feed(Sse *s, const char *p, size_t n, SseFn fn, void *userdata) {
        while (n > 0) {
                if (s->skip_lf && *p == '\n') {
                        p++;
                        n--;
                }
                s->skip_lf = false;
                size_t length = 0;
                while (length < n && p[length] != '\n' && p[length] != '\r')
                        length++;
                int r = buf_append(&s->line, p, length);
                if (r < 0)
                        return r;
                p += length;
                n -= length;
                if (n == 0)
                        break;
                s->skip_lf = *p == '\r';
                p++;
                n--;
                r = end_of_line(s, fn, userdata);
                if (r == 0)
                        r = buf_error(&s->data);
                if (r != 0)
                        return r;
        }
        return 0;
}
