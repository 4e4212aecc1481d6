/* SPDX-License-Identifier: MIT */
#pragma once

/* One UTF-8 sequence at a time, for the loops of str.c and of the JSON files. */

#include "base/macro.h"

static inline bool utf8_is_tail(uint8_t c) {
        return (c & 0xC0) == 0x80;
}

/* Length (1 to 4) of the well-formed sequence at p of n > 0 bytes, or 0. The ranges of the second
 * byte are those of Unicode's table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
static inline size_t utf8_sequence(const uint8_t *p, size_t n) {
        uint8_t c = p[0];

        if (c < 0x80)
                return 1;
        if (c < 0xC2)
                return 0;
        if (c < 0xE0)
                return n >= 2 && utf8_is_tail(p[1]) ? 2 : 0;
        if (c < 0xF0) {
                if (n < 3 || !utf8_is_tail(p[1]) || !utf8_is_tail(p[2]))
                        return 0;
                return (c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) ? 0 : 3;
        }
        if (c > 0xF4 || n < 4 || !utf8_is_tail(p[1]) || !utf8_is_tail(p[2]) || !utf8_is_tail(p[3]))
                return 0;
        return (c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F) ? 0 : 4;
}
