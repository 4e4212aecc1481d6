/* SPDX-License-Identifier: MIT */
#pragma once

/* Content codings (RFC 9110 section 8.4.1): which one a client wants, and to and from gzip and zstd. */

#include "base/buf.h"

typedef enum Encoding {
        ENCODING_IDENTITY,
        ENCODING_GZIP,
        ENCODING_ZSTD,
        _ENCODING_MAX,
        _ENCODING_INVALID = -EINVAL,
} Encoding;

const char *encoding_to_string(Encoding e);
/* Of a Content-Encoding header: one word in any case. */
Encoding encoding_from_string(const char *s);
/* Of an Accept-Encoding header: what has the highest quality; of equals zstd, then gzip. NULL, an
 * empty one and one that is no such list: identity. */
Encoding encoding_choose(const char *accept);

/* Appends to out, which is large enough for twice the input. 0, or a negative errno. */
int encoding_compress(Encoding e, const void *data, size_t n, Buf *out);

enum {
        ENCODING_E_DAMAGED = 1, /* not what it says, or cut off, or something behind it */
        ENCODING_E_TOO_LARGE,   /* more than out->max bytes come out */
};
/* Appends to out; stops at out->max, however much would follow. 0, a condition above, or -ENOMEM. */
int encoding_expand(Encoding e, const void *data, size_t n, Buf *out);
