/* SPDX-License-Identifier: MIT */

/* gzip because everything speaks it (zlib is what the packages already loaded for us use), zstd
 * because it takes a fifth of the time. Both at their fastest level: the loop thread waits for it,
 * and what is sent is JSON, of which the first level takes nearly all there is to take.
 *
 * Expanding writes piece by piece into a buffer that has a maximum, so a few bytes that stand for
 * gigabytes cost that maximum and no more; zstd's window is limited as well. Rejected: brotli (no
 * program that talks to an API asks for it alone), deflate (nobody agrees on what it is). */

#include "net/encoding.h"

#include <strings.h>
#include <zlib.h>
#include <zstd.h>

#include "base/str.h"

#define GZIP_WINDOW     (15 + 16) /* zlib: with gzip's header */
#define ZSTD_LEVEL      1
#define ZSTD_WINDOW_LOG 23 /* 8 MiB: what RFC 8878 asks of everybody */
#define EXPAND_BYTES    ((size_t) 64 * 1024)

/* ---- words ---- */

static const char *const words[_ENCODING_MAX] = {
        [ENCODING_IDENTITY] = "identity",
        [ENCODING_GZIP] = "gzip",
        [ENCODING_ZSTD] = "zstd",
};

const char *encoding_to_string(Encoding e) {
        assert(e >= 0 && e < _ENCODING_MAX);
        return words[e];
}

static Encoding from_word(const char *s, size_t n) {
        for (int i = 0; i < _ENCODING_MAX; i++)
                if (strlen(words[i]) == n && strncasecmp(words[i], s, n) == 0)
                        return (Encoding) i;
        return n == 6 && strncasecmp(s, "x-gzip", n) == 0 ? ENCODING_GZIP : _ENCODING_INVALID;
}

Encoding encoding_from_string(const char *s) {
        s += strspn(s, " \t");
        return from_word(s, strcspn(s, " \t"));
}

/* ---- Accept-Encoding ---- */

/* ";q=0.5" in thousandths; 1000 without one. */
static int quality(const char *s, size_t n) {
        int q = 0, digit = 1000;
        const char *end = s + n, *p = memchr(s, '=', n);

        if (!p)
                return 1000;
        for (p++; p < end && digit >= 1; p++) {
                if (*p == '.')
                        continue;
                if (*p < '0' || *p > '9')
                        break;
                q += (*p - '0') * digit;
                digit /= 10;
        }
        return MIN(q, 1000);
}

/* Quality of each; -1: not named. `*` stands for those that are not. */
static void qualities(const char *accept, int q[static _ENCODING_MAX], int *ret_rest) {
        for (const char *p = accept; *p;) {
                p += strspn(p, " \t,");
                size_t item = strcspn(p, ","), word = strcspn(p, " \t,;");
                Encoding e = from_word(p, word);

                if (e >= 0)
                        q[e] = quality(p + word, item - word);
                else if (word == 1 && *p == '*')
                        *ret_rest = quality(p + word, item - word);
                p += item;
        }
}

Encoding encoding_choose(const char *accept) {
        int q[_ENCODING_MAX] = { -1, -1, -1 }, rest = -1;
        Encoding best = ENCODING_IDENTITY;

        if (!accept)
                return best;
        qualities(accept, q, &rest);
        /* As it is goes always, unless it is refused; named or not, others win at the same quality. */
        int best_q = q[ENCODING_IDENTITY] >= 0 ? q[ENCODING_IDENTITY] : 0;
        for (int e = ENCODING_ZSTD; e > ENCODING_IDENTITY; e--) {
                int mine = q[e] >= 0 ? q[e] : rest;
                if (mine > best_q || (mine == best_q && mine > 0 && best == ENCODING_IDENTITY)) {
                        best = (Encoding) e;
                        best_q = mine;
                }
        }
        return best;
}

/* ---- to ---- */

static int gzip(const void *data, size_t n, Buf *out) {
        z_stream z = {};

        if (n > UINT32_MAX / 2)
                return -E2BIG;
        if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
                return -ENOMEM;
        size_t bound = deflateBound(&z, n);
        char *to = buf_reserve(out, bound);
        if (!to) {
                (void) deflateEnd(&z);
                return buf_error(out);
        }
        /* zlib only reads it; its type has no const. */
        z.next_in = (Bytef *) (uintptr_t) data;
        z.avail_in = (uInt) n;
        z.next_out = (Bytef *) to;
        z.avail_out = (uInt) bound;
        int r = deflate(&z, Z_FINISH);
        (void) deflateEnd(&z);
        if (r != Z_STREAM_END)
                return -EIO;
        out->len += bound - z.avail_out;
        return 0;
}

static int zstd(const void *data, size_t n, Buf *out) {
        size_t bound = ZSTD_compressBound(n);
        char *to = buf_reserve(out, bound);

        if (!to)
                return buf_error(out);
        size_t made = ZSTD_compress(to, bound, data, n, ZSTD_LEVEL);
        if (ZSTD_isError(made))
                return -ENOMEM;
        out->len += made;
        return 0;
}

int encoding_compress(Encoding e, const void *data, size_t n, Buf *out) {
        return e == ENCODING_GZIP   ? gzip(data, n, out)
               : e == ENCODING_ZSTD ? zstd(data, n, out)
                                    : buf_append(out, data, n);
}

/* ---- from ---- */

/* Room for the next piece, one byte more than may come so that too much is seen. NULL: no memory. */
static char *piece(Buf *out, size_t *ret_n) {
        *ret_n = MIN(EXPAND_BYTES, out->max - out->len);
        return buf_reserve(out, *ret_n);
}

static int gunzip_all(z_stream *z, Buf *out) {
        for (;;) {
                char extra;
                size_t n;
                char *to = piece(out, &n);

                if (!to)
                        return -ENOMEM;
                z->next_out = n > 0 ? (Bytef *) to : (Bytef *) &extra;
                z->avail_out = n > 0 ? (uInt) n : 1;
                int r = inflate(z, Z_NO_FLUSH);
                bool is_full = n == 0 && z->avail_out == 0;
                if (n > 0)
                        out->len += n - z->avail_out;
                if (is_full)
                        return ENCODING_E_TOO_LARGE;
                if (r == Z_STREAM_END)
                        return z->avail_in == 0 ? 0 : ENCODING_E_DAMAGED;
                if (r == Z_MEM_ERROR)
                        return -ENOMEM;
                if (r != Z_OK || (z->avail_in == 0 && z->avail_out > 0))
                        return ENCODING_E_DAMAGED;
        }
}

static int gunzip(const void *data, size_t n, Buf *out) {
        z_stream z = { .next_in = (Bytef *) (uintptr_t) data, .avail_in = (uInt) n };

        if (n > UINT32_MAX)
                return ENCODING_E_TOO_LARGE;
        if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
                return -ENOMEM;
        int r = gunzip_all(&z, out);
        (void) inflateEnd(&z);
        return r;
}

static int unzstd_all(ZSTD_DStream *z, ZSTD_inBuffer *in, Buf *out) {
        for (;;) {
                char extra;
                size_t n;
                char *to = piece(out, &n);

                if (!to)
                        return -ENOMEM;
                ZSTD_outBuffer o = { .dst = n > 0 ? to : &extra, .size = n > 0 ? n : 1 };
                size_t r = ZSTD_decompressStream(z, &o, in);
                if (n > 0)
                        out->len += o.pos;
                else if (o.pos > 0)
                        return ENCODING_E_TOO_LARGE;
                if (ZSTD_isError(r))
                        return ENCODING_E_DAMAGED;
                if (r == 0)
                        return in->pos == in->size ? 0 : ENCODING_E_DAMAGED;
                if (in->pos == in->size && o.pos < o.size)
                        return ENCODING_E_DAMAGED;
        }
}

static int unzstd(const void *data, size_t n, Buf *out) {
        ZSTD_DStream *z = ZSTD_createDStream();
        ZSTD_inBuffer in = { .src = data, .size = n };

        if (!z)
                return -ENOMEM;
        (void) ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
        int r = unzstd_all(z, &in, out);
        (void) ZSTD_freeDStream(z);
        return r;
}

int encoding_expand(Encoding e, const void *data, size_t n, Buf *out) {
        if (e == ENCODING_GZIP)
                return gunzip(data, n, out);
        if (e == ENCODING_ZSTD)
                return unzstd(data, n, out);
        return buf_append(out, data, n) == -E2BIG ? ENCODING_E_TOO_LARGE : buf_error(out);
}
