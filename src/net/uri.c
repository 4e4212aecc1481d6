/* SPDX-License-Identifier: MIT */

/* Paths are matched as the client wrote them and only the values are decoded, because decoding
 * first would let "%2F" inside a name make two segments out of one: a variable "a%2Fb" would turn
 * into another route. A broken escape is kept literally, as browsers do, instead of being an error:
 * it can only name something that does not exist.
 *
 * libmicrohttpd's own unescaping was rejected: it works on the whole path at once and stops at a
 * decoded NUL, so that "x%00y" would silently be "x". */

#include "net/uri.h"

#include "base/str.h"

/* One decoded byte; *used is set to how many encoded bytes it took. */
static char decode_one(const char *s, size_t n, size_t *used) {
        if (s[0] == '%' && n >= 3) {
                int high = hex_digit(s[1]), low = hex_digit(s[2]);

                if (high >= 0 && low >= 0) {
                        *used = 3;
                        return (char) (unsigned char) (high * 16 + low);
                }
        }
        *used = 1;
        return s[0];
}

size_t uri_decode(const char *s, size_t n, char *ret) {
        size_t out = 0, used;

        for (size_t i = 0; i < n; i += used)
                ret[out++] = decode_one(s + i, n - i, &used);
        ret[out] = '\0';
        return out;
}

bool uri_equals(const char *s, size_t n, const char *decoded, size_t decoded_n) {
        if (n == decoded_n && memcmp(s, decoded, n) == 0)
                return true;
        if (n <= decoded_n || !memchr(s, '%', n))
                return false;

        size_t at = 0, used;
        for (size_t i = 0; i < n; i += used)
                if (at == decoded_n || decode_one(s + i, n - i, &used) != decoded[at++])
                        return false;
        return at == decoded_n;
}

bool uri_text_is_safe(const char *s, size_t n) {
        return !memchr(s, '\0', n) && utf8_is_valid(s, n);
}
