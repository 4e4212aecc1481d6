/* SPDX-License-Identifier: MIT */

/* Time spans for people; declared in base/clock.h. They are parsed with integers only: a fraction
 * is scaled digit by digit, so that `0.1s` is exactly 100000 and nothing depends on rounding modes.
 * Unit names are those of systemd.time(7), where `m` is a minute and `M` a month. */

#include <stdio.h>

#include "base/clock.h"

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

typedef struct SpanUnit {
        const char *name;
        usec_t usec;
} SpanUnit;

#define USEC_PER_MONTH ((usec_t) 2629800 * USEC_PER_SEC)
#define USEC_PER_YEAR  ((usec_t) 31557600 * USEC_PER_SEC)

static const SpanUnit span_units[] = {
        { "usec", 1 },
        { "us", 1 },
        { "\xc2\xb5s", 1 }, /* U+00B5 micro sign */
        { "\xce\xbcs", 1 }, /* U+03BC mu */
        { "msec", USEC_PER_MSEC },
        { "ms", USEC_PER_MSEC },
        { "seconds", USEC_PER_SEC },
        { "second", USEC_PER_SEC },
        { "sec", USEC_PER_SEC },
        { "s", USEC_PER_SEC },
        { "minutes", USEC_PER_MINUTE },
        { "minute", USEC_PER_MINUTE },
        { "min", USEC_PER_MINUTE },
        { "m", USEC_PER_MINUTE },
        { "hours", USEC_PER_HOUR },
        { "hour", USEC_PER_HOUR },
        { "hr", USEC_PER_HOUR },
        { "h", USEC_PER_HOUR },
        { "days", USEC_PER_DAY },
        { "day", USEC_PER_DAY },
        { "d", USEC_PER_DAY },
        { "weeks", 7 * USEC_PER_DAY },
        { "week", 7 * USEC_PER_DAY },
        { "w", 7 * USEC_PER_DAY },
        { "months", USEC_PER_MONTH },
        { "month", USEC_PER_MONTH },
        { "M", USEC_PER_MONTH },
        { "years", USEC_PER_YEAR },
        { "year", USEC_PER_YEAR },
        { "y", USEC_PER_YEAR },
};

static bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *s) {
        while (is_space(*s))
                s++;
        return s;
}

/* The unit at s, ended by white space, a digit or the end; NULL if there is no such unit. */
static const SpanUnit *take_unit(const char **s) {
        size_t n = strcspn(*s, " \t\n\r0123456789");

        for (size_t i = 0; i < ELEMENTSOF(span_units); i++)
                if (strlen(span_units[i].name) == n && memcmp(*s, span_units[i].name, n) == 0) {
                        *s += n;
                        return &span_units[i];
                }
        return NULL;
}

/* Digits of a fraction in units of `unit`; the rest below a microsecond is cut. */
static usec_t scale_fraction(const char *digits, const char *end, usec_t unit) {
        usec_t sum = 0, rest = unit;

        for (; digits < end && rest > 0; digits++) {
                usec_t digit = (usec_t) (*digits - '0');
                sum += rest / 10 * digit + rest % 10 * digit / 10;
                rest /= 10;
        }
        return sum;
}

/* One `number[.fraction][ ]unit`; a number without unit is seconds, but only as the whole text. */
static int take_span_part(const char **s, bool first, usec_t *sum) {
        const char *p = *s, *fraction = NULL, *fraction_end = NULL;
        usec_t number = 0, part;

        if (!is_digit(*p))
                return -EINVAL;
        for (; is_digit(*p); p++)
                if (__builtin_mul_overflow(number, (usec_t) 10, &number) ||
                    __builtin_add_overflow(number, (usec_t) (*p - '0'), &number))
                        return -ERANGE;
        if (*p == '.') {
                fraction = ++p;
                while (is_digit(*p))
                        p++;
                fraction_end = p;
                if (fraction == fraction_end)
                        return -EINVAL;
        }
        p = skip_space(p);

        usec_t unit = USEC_PER_SEC;
        if (*p != '\0' || !first) {
                const SpanUnit *u = take_unit(&p);
                if (!u)
                        return -EINVAL;
                unit = u->usec;
        }
        if (__builtin_mul_overflow(number, unit, &part) ||
            __builtin_add_overflow(part, scale_fraction(fraction, fraction_end, unit), &part) ||
            __builtin_add_overflow(*sum, part, sum) || *sum == USEC_INFINITY)
                return -ERANGE;
        *s = p;
        return 0;
}

int clock_parse_span(const char *s, usec_t *ret) {
        usec_t sum = 0;

        s = skip_space(s);
        const char *rest = str_startswith(s, "infinity");
        if (rest && *skip_space(rest) == '\0') {
                *ret = USEC_INFINITY;
                return 0;
        }
        if (*s == '\0')
                return -EINVAL;

        for (bool first = true; *s != '\0'; first = false, s = skip_space(s)) {
                int r = take_span_part(&s, first, &sum);
                if (r < 0)
                        return r;
        }
        *ret = sum;
        return 0;
}

char *clock_format_span(usec_t span, char *buf, size_t size) {
        static const SpanUnit units[] = {
                { "d", USEC_PER_DAY }, { "h", USEC_PER_HOUR },  { "min", USEC_PER_MINUTE },
                { "s", USEC_PER_SEC }, { "ms", USEC_PER_MSEC }, { "us", 1 },
        };
        unsigned written = 0;
        size_t used = 0;

        assert(size > 0);
        if (span == USEC_INFINITY || span == 0) {
                (void) snprintf(buf, size, "%s", span == 0 ? "0" : "infinity");
                return buf;
        }
        for (size_t i = 0; i < ELEMENTSOF(units) && written < 2 && used < size; i++) {
                usec_t count = span / units[i].usec;
                if (count == 0)
                        continue;
                int n = snprintf(buf + used, size - used, "%s%llu%s", written > 0 ? " " : "",
                                 (unsigned long long) count, units[i].name);
                used += (size_t) n;
                span %= units[i].usec;
                written++;
        }
        return buf;
}
