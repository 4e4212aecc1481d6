/* SPDX-License-Identifier: MIT */

/* Dates are converted with the days-from-civil arithmetic (proleptic Gregorian calendar, eras of
 * 400 years) instead of timegm() and strptime(): those read the locale and the time zone files,
 * take locks and are not safe in a process that has just forked. The arithmetic is exact for the
 * years 1970 to 9999, which is all that an unsigned count of microseconds and the fixed output
 * width can carry; later times are clamped to the last microsecond of 9999.
 *
 * The fake clock is one pair of atomics. A function pointer per clock was rejected: every caller
 * would have to carry it, for the sake of tests only. */

#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

#define RFC3339_LAST (UINT64_C(253402300800) * USEC_PER_SEC - 1)

static _Atomic usec_t fake_realtime = USEC_INFINITY;
static _Atomic usec_t fake_monotonic = USEC_INFINITY;

static usec_t clock_now(clockid_t id) {
        struct timespec ts;
        int r = clock_gettime(id, &ts);

        assert(r == 0);
        return (usec_t) ts.tv_sec * USEC_PER_SEC + (usec_t) ts.tv_nsec / NSEC_PER_USEC;
}

usec_t clock_realtime(void) {
        usec_t t = atomic_load_explicit(&fake_realtime, memory_order_relaxed);
        return t != USEC_INFINITY ? t : clock_now(CLOCK_REALTIME);
}

usec_t clock_monotonic(void) {
        usec_t t = atomic_load_explicit(&fake_monotonic, memory_order_relaxed);
        return t != USEC_INFINITY ? t : clock_now(CLOCK_MONOTONIC);
}

void clock_fake(usec_t realtime_usec, usec_t monotonic_usec) {
        atomic_store(&fake_realtime, realtime_usec);
        atomic_store(&fake_monotonic, monotonic_usec);
}

typedef struct CivilDate {
        unsigned year, month, day;
} CivilDate;

/* Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"; years start in March here. */
static CivilDate civil_from_days(uint64_t days_since_1970) {
        uint64_t z = days_since_1970 + 719468;
        uint64_t era = z / 146097, doe = z % 146097;
        uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
        uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        uint64_t mp = (5 * doy + 2) / 153;
        unsigned month = (unsigned) (mp < 10 ? mp + 3 : mp - 9);

        return (CivilDate){
                .year = (unsigned) (yoe + era * 400 + (month <= 2)),
                .month = month,
                .day = (unsigned) (doy - (153 * mp + 2) / 5 + 1),
        };
}

static int64_t days_from_civil(CivilDate d) {
        int64_t y = (int64_t) d.year - (d.month <= 2);
        int64_t era = y / 400, yoe = y % 400;
        int64_t mp = d.month > 2 ? d.month - 3 : d.month + 9;
        int64_t doy = (153 * mp + 2) / 5 + d.day - 1;
        int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

        return era * 146097 + doe - 719468;
}

static char *put_digits(char *p, unsigned value, size_t width) {
        for (size_t i = width; i > 0; i--) {
                p[i - 1] = (char) ('0' + value % 10);
                value /= 10;
        }
        return p + width;
}

char *clock_format_rfc3339(usec_t t, char buf[static CLOCK_RFC3339_SIZE]) {
        if (t > RFC3339_LAST)
                t = RFC3339_LAST;

        CivilDate d = civil_from_days(t / USEC_PER_DAY);
        unsigned second = (unsigned) (t % USEC_PER_DAY / USEC_PER_SEC);
        char *p = put_digits(buf, d.year, 4);

        *p++ = '-';
        p = put_digits(p, d.month, 2);
        *p++ = '-';
        p = put_digits(p, d.day, 2);
        *p++ = 'T';
        p = put_digits(p, second / 3600, 2);
        *p++ = ':';
        p = put_digits(p, second / 60 % 60, 2);
        *p++ = ':';
        p = put_digits(p, second % 60, 2);
        *p++ = '.';
        p = put_digits(p, (unsigned) (t % USEC_PER_SEC), 6);
        *p++ = 'Z';
        *p = '\0';
        return buf;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Exactly width digits within [min, max]; moves *s behind them. */
static bool take_digits(const char **s, size_t width, unsigned min, unsigned max, unsigned *ret) {
        unsigned v = 0;

        for (size_t i = 0; i < width; i++) {
                if (!is_digit((*s)[i]))
                        return false;
                v = v * 10 + (unsigned) ((*s)[i] - '0');
        }
        if (v < min || v > max)
                return false;
        *s += width;
        *ret = v;
        return true;
}

static bool take_char(const char **s, char c) {
        if (**s != c)
                return false;
        (*s)++;
        return true;
}

static unsigned days_of_month(unsigned year, unsigned month) {
        static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        return days[month - 1] + (month == 2 && leap ? 1U : 0U);
}

static bool take_date(const char **s, int64_t *ret_days) {
        CivilDate d;

        if (!take_digits(s, 4, 0, 9999, &d.year) || !take_char(s, '-') ||
            !take_digits(s, 2, 1, 12, &d.month) || !take_char(s, '-') ||
            !take_digits(s, 2, 1, days_of_month(d.year, d.month), &d.day))
                return false;
        *ret_days = days_from_civil(d);
        return true;
}

/* `.digits`; what is finer than a microsecond is cut. */
static bool take_fraction(const char **s, int64_t *ret_usec) {
        int64_t usec = 0, scale = 100000;

        if (!is_digit(**s))
                return false;
        for (; is_digit(**s); (*s)++) {
                usec += (**s - '0') * scale;
                scale /= 10;
        }
        *ret_usec = usec;
        return true;
}

static bool take_time(const char **s, int64_t *ret_usec) {
        unsigned h, m, sec;
        int64_t usec = 0;

        /* 60 is a leap second and reads as the second after it */
        if (!take_digits(s, 2, 0, 23, &h) || !take_char(s, ':') || !take_digits(s, 2, 0, 59, &m) ||
            !take_char(s, ':') || !take_digits(s, 2, 0, 60, &sec))
                return false;
        if (take_char(s, '.') && !take_fraction(s, &usec))
                return false;
        *ret_usec = (int64_t) (h * 3600 + m * 60 + sec) * (int64_t) USEC_PER_SEC + usec;
        return true;
}

static bool take_zone(const char **s, bool may_lack, int64_t *ret_offset_usec) {
        unsigned h, m;
        bool east;

        if (may_lack && **s == '\0') {
                *ret_offset_usec = 0;
                return true;
        }
        if (take_char(s, 'Z') || take_char(s, 'z')) {
                *ret_offset_usec = 0;
                return true;
        }
        east = take_char(s, '+');
        if (!east && !take_char(s, '-'))
                return false;
        if (!take_digits(s, 2, 0, 23, &h) || !take_char(s, ':') || !take_digits(s, 2, 0, 59, &m))
                return false;

        int64_t offset = (int64_t) (h * 60 + m) * (int64_t) USEC_PER_MINUTE;
        *ret_offset_usec = east ? offset : -offset;
        return true;
}

int clock_parse_rfc3339(const char *s, usec_t *ret) {
        int64_t days, usec, offset;

        if (!take_date(&s, &days))
                return -EINVAL;
        bool space = take_char(&s, ' ');
        if (!space && !take_char(&s, 'T') && !take_char(&s, 't'))
                return -EINVAL;
        if (!take_time(&s, &usec) || !take_zone(&s, space, &offset) || *s != '\0')
                return -EINVAL;

        int64_t t = days * (int64_t) USEC_PER_DAY + usec - offset;
        if (t < 0)
                return -EINVAL;
        *ret = (usec_t) t;
        return 0;
}
