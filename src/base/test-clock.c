/* SPDX-License-Identifier: MIT */

/* Dates against the C library; spans in the syntax of systemd.time(7). */

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/test.h"

static void assert_format(usec_t t, const char *expected) {
        char buf[CLOCK_RFC3339_SIZE];

        assert_string_equal(clock_format_rfc3339(t, buf), expected);
}

static void assert_parse(const char *s, usec_t expected) {
        usec_t t = 1;

        if (clock_parse_rfc3339(s, &t) != 0)
                fail_msg("not parsed: %s", s);
        assert_int_equal(t, expected);
}

static void assert_refused(const char *s) {
        usec_t t = 42;

        if (clock_parse_rfc3339(s, &t) != -EINVAL || t != 42)
                fail_msg("not refused: %s", s);
}

static void test_times_are_written_in_utc_with_microseconds(void **state) {
        assert_format(0, "1970-01-01T00:00:00.000000Z");
        assert_format(UINT64_C(1795334016123456), "2026-11-22T07:53:36.123456Z");
        assert_format(UINT64_C(951782400000000), "2000-02-29T00:00:00.000000Z");
        assert_format(UINT64_C(4107542399999999), "2100-02-28T23:59:59.999999Z");
}

static void test_times_beyond_9999_are_clamped(void **state) {
        assert_format(USEC_INFINITY, "9999-12-31T23:59:59.999999Z");
}

static void test_dates_agree_with_the_c_library_for_every_day(void **state) {
        for (time_t day = 0; day < 60000; day++) {
                char buf[CLOCK_RFC3339_SIZE], expected[CLOCK_RFC3339_SIZE];
                time_t seconds = day * 86400 + day % 86400;
                struct tm tm;
                usec_t back;

                assert_non_null(gmtime_r(&seconds, &tm));
                assert_true(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000000Z", &tm) >
                            0);
                clock_format_rfc3339((usec_t) seconds * USEC_PER_SEC, buf);
                assert_string_equal(buf, expected);
                assert_int_equal(clock_parse_rfc3339(buf, &back), 0);
                assert_int_equal(back, (usec_t) seconds * USEC_PER_SEC);
        }
}

static void test_rfc3339_is_read_with_zone_offset_and_fraction(void **state) {
        usec_t t = UINT64_C(1795334016) * USEC_PER_SEC;

        assert_parse("2026-11-22T07:53:36Z", t);
        assert_parse("2026-11-22t07:53:36z", t);
        assert_parse("2026-11-22T09:53:36+02:00", t);
        assert_parse("2026-11-22T02:23:36-05:30", t);
        assert_parse("2026-11-22T07:53:36.5Z", t + 500000);
        assert_parse("2026-11-22T07:53:36.123456789Z", t + 123456);
        assert_parse("2016-12-31T23:59:60Z", UINT64_C(1483228800) * USEC_PER_SEC);
}

static void test_database_times_without_zone_are_utc(void **state) {
        usec_t t = UINT64_C(1795334016) * USEC_PER_SEC;

        assert_parse("2026-11-22 07:53:36", t);
        assert_parse("2026-11-22 07:53:36.123456", t + 123456);
}

static void test_wrong_times_are_refused_and_leave_the_result_alone(void **state) {
        static const char *const wrong[] = {
                "",
                "2026",
                "2026-11-22",
                "2026-11-22T07:53:36",
                "2026-11-22T07:53Z",
                "2026-13-01T00:00:00Z",
                "2026-02-29T00:00:00Z",
                "2026-00-10T00:00:00Z",
                "2026-01-00T00:00:00Z",
                "2026-11-22T24:00:00Z",
                "2026-11-22T07:60:36Z",
                "2026-11-22T07:53:61Z",
                "2026-11-22T07:53:36.Z",
                "2026-11-22T07:53:36+0200",
                "2026-11-22T07:53:36Zx",
                "2026-11-22T07:53:36+24:00",
                "1969-12-31T23:59:59Z",
                "1970-01-01T00:00:00+01:00",
                " 2026-11-22T07:53:36Z",
        };

        ARRAY_FOREACH(s, wrong)
                assert_refused(*s);
}

static void assert_span(const char *s, usec_t expected) {
        usec_t t = 1;

        if (clock_parse_span(s, &t) != 0)
                fail_msg("not parsed: %s", s);
        assert_int_equal(t, expected);
}

static void test_spans_are_read_in_systemd_syntax(void **state) {
        assert_span("100ms", 100 * USEC_PER_MSEC);
        assert_span("5min 30s", 330 * USEC_PER_SEC);
        assert_span("5min30s", 330 * USEC_PER_SEC);
        assert_span("2h", 2 * USEC_PER_HOUR);
        assert_span("1.5s", 1500000);
        assert_span("0.1s", 100000);
        assert_span("2.5h", 9000 * USEC_PER_SEC);
        assert_span("  1 d  2 hr ", 26 * USEC_PER_HOUR);
        assert_span("3us", 3);
        assert_span("3\xce\xbcs", 3);
        assert_span("1w", 7 * USEC_PER_DAY);
        assert_span("0", 0);
        assert_span("30", 30 * USEC_PER_SEC);
        assert_span("0.25", 250000);
        assert_span("infinity", USEC_INFINITY);
}

static void test_wrong_spans_are_refused(void **state) {
        static const char *const wrong[] = {
                "",    " ",   "s",   "-1s",         "1x",     "1 2", "1s 2",
                "1.s", ".5s", "1s,", "infinity 1s", "1.5.5s", "1e3",
        };
        usec_t t = 42;

        ARRAY_FOREACH(s, wrong)
                if (clock_parse_span(*s, &t) != -EINVAL)
                        fail_msg("not refused: %s", *s);
        assert_int_equal(clock_parse_span("99999999999999999999s", &t), -ERANGE);
        assert_int_equal(clock_parse_span("18446744073709551615us", &t), -ERANGE);
        assert_int_equal(clock_parse_span("600000y", &t), -ERANGE);
        assert_int_equal(t, 42);
}

static void assert_span_text(usec_t span, const char *expected) {
        char buf[64];

        assert_string_equal(clock_format_span(span, buf, sizeof(buf)), expected);
}

static void test_spans_are_written_with_two_units_at_most(void **state) {
        assert_span_text(90 * USEC_PER_SEC, "1min 30s");
        assert_span_text(125 * USEC_PER_MINUTE, "2h 5min");
        assert_span_text(350 * USEC_PER_MSEC, "350ms");
        assert_span_text(USEC_PER_DAY + 2 * USEC_PER_HOUR + 1, "1d 2h");
        assert_span_text(7, "7us");
        assert_span_text(0, "0");
        assert_span_text(USEC_INFINITY, "infinity");
}

static void test_spans_are_cut_to_the_buffer(void **state) {
        char buf[4] = "zzz";

        clock_format_span(90 * USEC_PER_SEC, buf, sizeof(buf));
        assert_string_equal(buf, "1mi");
}

static void test_clocks_can_be_faked_and_given_back(void **state) {
        clock_fake(1000, 7);
        assert_int_equal(clock_realtime(), 1000);
        assert_int_equal(clock_monotonic(), 7);
        clock_fake(USEC_INFINITY, USEC_INFINITY);
        assert_true(clock_realtime() > UINT64_C(1577836800) * USEC_PER_SEC);

        usec_t before = clock_monotonic();
        assert_true(clock_monotonic() >= before);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_times_are_written_in_utc_with_microseconds),
                cmocka_unit_test(test_times_beyond_9999_are_clamped),
                cmocka_unit_test(test_dates_agree_with_the_c_library_for_every_day),
                cmocka_unit_test(test_rfc3339_is_read_with_zone_offset_and_fraction),
                cmocka_unit_test(test_database_times_without_zone_are_utc),
                cmocka_unit_test(test_wrong_times_are_refused_and_leave_the_result_alone),
                cmocka_unit_test(test_spans_are_read_in_systemd_syntax),
                cmocka_unit_test(test_wrong_spans_are_refused),
                cmocka_unit_test(test_spans_are_written_with_two_units_at_most),
                cmocka_unit_test(test_spans_are_cut_to_the_buffer),
                cmocka_unit_test(test_clocks_can_be_faked_and_given_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
