/* SPDX-License-Identifier: MIT */

/* One contiguous block, doubled when full: writers of replies append millions of small pieces and
 * hand one block to a socket or to SQLite. A list of chunks was rejected because every consumer
 * (libmicrohttpd, sqlite3_bind, write) wants one pointer.
 *
 * The maximum is checked before the allocation and is a number of bytes of content; the NUL behind
 * the content is not counted. A failed buffer keeps what it had, so that its owner can still log or
 * free it. */

#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#define BUF_FIRST_CAPACITY 64

void buf_done(Buf *b) {
        free(b->data);
        b->data = NULL;
        b->len = b->cap = 0;
        b->error = 0;
}

void buf_clear(Buf *b) {
        b->len = 0;
        b->error = 0;
        if (b->data)
                b->data[0] = '\0';
}

char *buf_take(Buf *b, size_t *ret_len) {
        if (!b->data)
                (void) buf_reserve(b, 0);
        if (b->error < 0) {
                buf_done(b);
                return NULL;
        }
        b->data[b->len] = '\0';
        if (ret_len)
                *ret_len = b->len;

        char *data = TAKE_PTR(b->data);
        buf_done(b);
        return data;
}

static char *buf_fail(Buf *b, int error) {
        b->error = error;
        return NULL;
}

static bool buf_grow(Buf *b, size_t need) {
        size_t cap = MAX(b->cap, (size_t) BUF_FIRST_CAPACITY);

        while (cap < need)
                cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        if (b->max < SIZE_MAX && cap > b->max + 1)
                cap = b->max + 1;

        char *data = realloc(b->data, cap);
        if (!data)
                return false;
        b->data = data;
        b->cap = cap;
        return true;
}

char *buf_reserve(Buf *b, size_t n) {
        if (b->error < 0)
                return NULL;
        if (b->len > b->max || n > b->max - b->len)
                return buf_fail(b, -E2BIG);

        size_t need;
        if (__builtin_add_overflow(b->len + 1, n, &need))
                return buf_fail(b, -E2BIG);
        if (need > b->cap && !buf_grow(b, need))
                return buf_fail(b, -ENOMEM);
        assert(b->data);

        b->data[b->len] = '\0';
        b->data[b->len + n] = '\0';
        return b->data + b->len;
}

int buf_append(Buf *b, const void *data, size_t n) {
        /* cap is never above max + 1, so what fits the memory fits the maximum */
        bool fits = b->error == 0 && n < b->cap - b->len;

        if (!fits && !buf_reserve(b, n))
                return b->error;
        if (n > 0)
                memcpy(b->data + b->len, data, n);
        b->len += n;
        b->data[b->len] = '\0';
        return 0;
}

int buf_puts(Buf *b, const char *s) {
        return buf_append(b, s, strlen(s));
}

int buf_putc(Buf *b, char c) {
        return buf_append(b, &c, 1);
}

static _printf_(2, 0) int buf_vprintf(Buf *b, const char *format, va_list ap) {
        char small[256];
        va_list again;

        va_copy(again, ap);
        int n = vsnprintf(small, sizeof(small), format, ap);
        if (n < 0) {
                (void) buf_fail(b, -ENOMEM);
        } else if ((size_t) n < sizeof(small)) {
                (void) buf_append(b, small, (size_t) n);
        } else {
                char *p = buf_reserve(b, (size_t) n);
                if (p) {
                        (void) vsnprintf(p, (size_t) n + 1, format, again);
                        b->len += (size_t) n;
                }
        }
        va_end(again);
        return b->error;
}

int buf_printf(Buf *b, const char *format, ...) {
        va_list ap;

        if (b->error < 0)
                return b->error;
        va_start(ap, format);
        int r = buf_vprintf(b, format, ap);
        va_end(ap);
        return r;
}

void buf_consume(Buf *b, size_t n) {
        assert(n <= b->len);
        if (n == 0)
                return;
        b->len -= n;
        memmove(b->data, b->data + n, b->len);
        b->data[b->len] = '\0';
}
