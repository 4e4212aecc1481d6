/* SPDX-License-Identifier: MIT */
#pragma once

/* A growable byte buffer with a maximum from birth. Errors stick: after a failed append every later
 * one is refused and buf_error() says why, so that a writer of many pieces checks once, at its end.
 * data is always NUL-terminated behind len once anything was reserved. */

#include "base/macro.h"

typedef struct Buf {
        char *data;
        size_t len;
        size_t cap;
        size_t max; /* largest len; exceeding it is -E2BIG */
        int error;  /* 0, -ENOMEM or -E2BIG */
} Buf;

#define BUF_INIT(max_bytes) ((Buf){ .max = (max_bytes) })

void buf_done(Buf *b);
/* len = 0 and no error; keeps the memory. */
void buf_clear(Buf *b);
/* Hands the NUL-terminated bytes over; NULL if the buffer failed. The buffer is empty afterwards.
 */
char *buf_take(Buf *b, size_t *ret_len);

/* Makes room for n more bytes and returns where to write them (then add to len), or NULL. Who
 * writes fewer than n sets the NUL behind them, or leaves that to the next append or buf_take(). */
char *buf_reserve(Buf *b, size_t n);
int buf_append(Buf *b, const void *data, size_t n);
int buf_puts(Buf *b, const char *s);
int buf_putc(Buf *b, char c);
int buf_printf(Buf *b, const char *format, ...) _printf_(2, 3);
/* Drops the first n bytes. */
void buf_consume(Buf *b, size_t n);

static inline int buf_error(const Buf *b) {
        return b->error;
}

#define _cleanup_buf_ _cleanup_(buf_done)
