/* SPDX-License-Identifier: MIT */

/* Checks and conversions of single strings. Numbers are parsed by hand: the C library's strtoull()
 * skips white space, takes a sign for unsigned numbers, reads `0x` and the locale, and reports
 * errors through errno; what a client sends must be nothing but digits.
 *
 * UTF-8 checks skip eight ASCII bytes at a time and fall back to one sequence at a time, see
 * str-internal.h. A table-driven automaton (Hoehrmann) was rejected: it is slower on ASCII, which
 * is most of what arrives. */

#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/str-internal.h"

bool utf8_is_valid(const char *s, size_t n) {
        const uint8_t *p = (const uint8_t *) s;

        while (n > 0) {
                uint64_t word;
                if (n >= sizeof(word)) {
                        memcpy(&word, p, sizeof(word));
                        if ((word & UINT64_C(0x8080808080808080)) == 0) {
                                p += sizeof(word);
                                n -= sizeof(word);
                                continue;
                        }
                }
                size_t k = utf8_sequence(p, n);
                if (k == 0)
                        return false;
                p += k;
                n -= k;
        }
        return true;
}

bool str_has_control(const char *s, size_t n) {
        const uint8_t *p = (const uint8_t *) s;

        for (size_t i = 0; i < n; i++) {
                if (p[i] < 0x20 || p[i] == 0x7F)
                        return true;
                if (p[i] == 0xC2 && i + 1 < n && p[i + 1] < 0xA0)
                        return true;
        }
        return false;
}

bool str_is_filename_safe(const char *s) {
        static const char alphabet[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.@-";
        size_t n = strspn(s, alphabet);

        return n > 0 && n <= 255 && s[n] == '\0' && !streq(s, ".") && !streq(s, "..");
}

char *str_printf(const char *format, ...) {
        char *s = NULL;
        va_list ap;

        va_start(ap, format);
        int r = vasprintf(&s, format, ap);
        va_end(ap);
        return r < 0 ? NULL : s;
}

/* Digits up to a byte that is none; at least one. */
static int take_u64(const char **s, uint64_t *ret) {
        const char *p = *s;
        uint64_t v = 0;
        bool overflow = false;

        if (*p < '0' || *p > '9')
                return -EINVAL;
        for (; *p >= '0' && *p <= '9'; p++)
                overflow = overflow || __builtin_mul_overflow(v, (uint64_t) 10, &v) ||
                           __builtin_add_overflow(v, (uint64_t) (*p - '0'), &v);
        *s = p;
        *ret = v;
        return overflow ? -ERANGE : 0;
}

int str_to_u64(const char *s, uint64_t *ret) {
        uint64_t v = 0;
        int r = take_u64(&s, &v);

        if (r == -EINVAL || *s != '\0')
                return -EINVAL;
        if (r < 0)
                return r;
        *ret = v;
        return 0;
}

int str_to_i64(const char *s, int64_t *ret) {
        bool negative = s[0] == '-';
        uint64_t v;
        int r = str_to_u64(negative ? s + 1 : s, &v);

        if (r < 0)
                return r;
        if (v > (uint64_t) INT64_MAX + negative)
                return -ERANGE;
        *ret = negative ? (int64_t) (0 - v) : (int64_t) v;
        return 0;
}

int str_to_size(const char *s, uint64_t *ret) {
        static const char suffixes[] = "KMGT";
        uint64_t v = 0;
        int r = take_u64(&s, &v);

        if (r == -EINVAL)
                return r;
        if (*s != '\0') {
                const char *suffix = strchr(suffixes, *s);
                if (!suffix || s[1] != '\0')
                        return -EINVAL;
                if (r == 0 &&
                    __builtin_mul_overflow(v, UINT64_C(1) << (10 * (suffix - suffixes + 1)), &v))
                        return -ERANGE;
        }
        if (r < 0)
                return r;
        *ret = v;
        return 0;
}

int str_to_bool(const char *s, bool *ret) {
        static const char *const yes[] = { "1", "yes", "true", "on" };
        static const char *const no[] = { "0", "no", "false", "off" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                if (streq(s, yes[i]) || streq(s, no[i])) {
                        *ret = streq(s, yes[i]);
                        return 0;
                }
        }
        return -EINVAL;
}

void hex_encode(const void *data, size_t n, char *ret) {
        static const char digits[] = "0123456789abcdef";
        const uint8_t *p = data;

        for (size_t i = 0; i < n; i++) {
                ret[2 * i] = digits[p[i] >> 4];
                ret[2 * i + 1] = digits[p[i] & 15];
        }
        ret[2 * n] = '\0';
}

int hex_decode(const char *s, size_t n, uint8_t *ret) {
        if (n % 2 != 0)
                return -EINVAL;
        for (size_t i = 0; i < n; i++)
                if (hex_digit(s[i]) < 0)
                        return -EINVAL;
        for (size_t i = 0; i < n / 2; i++)
                ret[i] = (uint8_t) ((unsigned) hex_digit(s[2 * i]) << 4 |
                                    (unsigned) hex_digit(s[2 * i + 1]));
        return 0;
}
