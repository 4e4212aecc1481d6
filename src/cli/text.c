/* SPDX-License-Identifier: MIT */

/* Text on a terminal: how wide it is. What is dangerous in it: base/str-escape.c.
 *
 * Own width tables instead of wcwidth(): that one follows the locale, and in the C locale
 * (services, containers, CI) it knows no character above 127, while our output is UTF-8 everywhere.
 * The ranges are the coarse blocks of Unicode's East Asian Width and of combining marks; a rare
 * character that is wrong by a column shifts the rest of its line and harms nothing. */

#include <stdio.h>

#include "base/str.h"
#include "cli/table.h"

typedef struct Range {
        uint32_t first, last;
} Range;

static const Range narrow[] = {
        { 0x0300, 0x036f }, { 0x0483, 0x0489 },   { 0x0591, 0x05bd }, { 0x0610, 0x061a },
        { 0x064b, 0x065f }, { 0x1ab0, 0x1aff },   { 0x1dc0, 0x1dff }, { 0x200b, 0x200f },
        { 0x2060, 0x2064 }, { 0x20d0, 0x20ff },   { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
        { 0xfeff, 0xfeff }, { 0xe0100, 0xe01ef },
};
static const Range wide[] = {
        { 0x1100, 0x115f },   { 0x231a, 0x231b },   { 0x2e80, 0x303e },   { 0x3041, 0xa4cf },
        { 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },
        { 0xffe0, 0xffe6 },   { 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff }, { 0x1f900, 0x1f9ff },
        { 0x20000, 0x3fffd },
};

static bool is_in(const Range *ranges, size_t n, uint32_t ch) {
        for (size_t i = 0; i < n; i++)
                if (ch >= ranges[i].first && ch <= ranges[i].last)
                        return true;
        return false;
}

static size_t width_of(uint32_t ch) {
        if (is_in(narrow, ELEMENTSOF(narrow), ch))
                return 0;
        return is_in(wide, ELEMENTSOF(wide), ch) ? 2 : 1;
}

size_t text_prefix(const char *s, size_t width, size_t *ret_width) {
        size_t n = strlen(s), at = 0, used = 0;

        while (at < n) {
                uint32_t ch = 0;
                size_t step = utf8_decode(s + at, n - at, &ch), w = width_of(ch);

                if (w > width - used)
                        break;
                used += w;
                at += step ? step : 1;
        }
        *ret_width = used;
        return at;
}

size_t text_width(const char *s) {
        size_t width;

        (void) text_prefix(s, SIZE_MAX, &width);
        return width;
}

size_t text_cut(const char *s, size_t width, Buf *out) {
        size_t used, n = text_prefix(s, width, &used);

        if (s[n] != '\0' && width > 0)
                n = text_prefix(s, width - 1, &used);
        (void) buf_append(out, s, n);
        if (s[n] == '\0' || width == 0)
                return used;
        (void) buf_puts(out, "…");
        return used + 1;
}

char *text_span(usec_t span, char *buf, size_t size) {
        static const struct {
                usec_t from, unit;
                const char *name;
        } units[] = {
                { 2 * USEC_PER_DAY, USEC_PER_DAY, "d" },
                { USEC_PER_HOUR, USEC_PER_HOUR, "h" },
                { USEC_PER_MINUTE, USEC_PER_MINUTE, "min" },
                { 0, USEC_PER_SEC, "s" },
        };

        ARRAY_FOREACH(u, units) {
                if (span < u->from)
                        continue;
                (void) snprintf(buf, size, "%llu%s", (unsigned long long) (span / u->unit), u->name);
                break;
        }
        return buf;
}

char *text_size(uint64_t bytes, char *buf, size_t size) {
        static const char units[] = "BKMGTPE";
        size_t unit = 0;
        uint64_t whole = bytes, tenth = 0;

        while (whole >= 1024 && units[unit + 1]) {
                tenth = (whole % 1024) * 10 / 1024;
                whole /= 1024;
                unit++;
        }
        if (unit > 0 && whole < 100)
                (void) snprintf(buf, size, "%llu.%llu%c", (unsigned long long) whole,
                                (unsigned long long) tenth, units[unit]);
        else
                (void) snprintf(buf, size, "%llu%c", (unsigned long long) whole, units[unit]);
        return buf;
}
