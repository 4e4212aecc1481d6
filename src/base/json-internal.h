/* SPDX-License-Identifier: MIT */
#pragma once

/* What the JSON files share: the search for the next byte of a string that is not plain ASCII text.
 */

#include "base/str-internal.h"

#define SWAR_ONES  UINT64_C(0x0101010101010101)
#define SWAR_HIGHS UINT64_C(0x8080808080808080)

static inline uint64_t swar_zero(uint64_t x) {
        return (x - SWAR_ONES) & ~x;
}

static inline bool json_is_plain(uint8_t c) {
        return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The first byte in [p, end) that is a quote, a backslash, a control character or not ASCII; or
 * end. Eight bytes at a time. A borrow can only run from a byte that matched into the ones above
 * it, so the lowest mark is exact. */
static inline const uint8_t *json_plain_run(const uint8_t *p, const uint8_t *end) {
        static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest");

        while (end - p >= 8) {
                uint64_t x;
                memcpy(&x, p, sizeof(x));
                uint64_t special = x | ((x - SWAR_ONES * 0x20) & ~x) |
                                   swar_zero(x ^ SWAR_ONES * '"') | swar_zero(x ^ SWAR_ONES * '\\');
                special &= SWAR_HIGHS;
                if (special != 0)
                        return p + (__builtin_ctzll(special) >> 3);
                p += 8;
        }
        while (p < end && json_is_plain(*p))
                p++;
        return p;
}

/* The first quote or backslash in [p, end), or end; for text that has been checked. */
static inline const uint8_t *json_checked_run(const uint8_t *p, const uint8_t *end) {
        while (end - p >= 8) {
                uint64_t x;
                memcpy(&x, p, sizeof(x));
                uint64_t special = swar_zero(x ^ SWAR_ONES * '"') | swar_zero(x ^ SWAR_ONES * '\\');
                special &= SWAR_HIGHS;
                if (special != 0)
                        return p + (__builtin_ctzll(special) >> 3);
                p += 8;
        }
        while (p < end && *p != '"' && *p != '\\')
                p++;
        return p;
}

/* Moves over well-formed sequences that are not ASCII, to the first byte that is in none. */
static inline const uint8_t *json_beyond_ascii_run(const uint8_t *p, const uint8_t *end) {
        while (p < end && *p >= 0x80) {
                size_t n = utf8_sequence(p, (size_t) (end - p));
                if (n == 0)
                        break;
                p += n;
        }
        return p;
}

static inline bool json_is_space(uint8_t c) {
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}
