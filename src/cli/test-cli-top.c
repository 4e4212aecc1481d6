/* SPDX-License-Identifier: MIT */

/* Keys, and the rows of `agentd top`, without a terminal and without a daemon. */

#include "base/test.h"
#include "cli/screen.h"
#include "cli/table.h"
#include "cli/top.h"

static void assert_keys(const char *bytes, size_t n, const int *expected) {
        for (; *expected != KEY_NONE; expected++) {
                size_t step = 0;

                assert_true(n > 0);
                assert_int_equal(key_decode(bytes, n, true, &step), *expected);
                assert_in_range(step, 1, n);
                bytes += step;
                n -= step;
        }
        assert_int_equal(n, 0);
}

#define assert_typed(bytes, ...) \
        assert_keys(bytes, sizeof(bytes) - 1, (const int[]){ __VA_ARGS__, KEY_NONE })

static void test_keys_are_told_apart(void **state) {
        assert_typed("a\xc3\xb6\xe5\x90\x8d", 'a', 0xf6, 0x540d);
        assert_typed("\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[4~", KEY_UP, KEY_DOWN, KEY_PAGE_UP,
                     KEY_PAGE_DOWN, KEY_HOME, KEY_END);
        assert_typed("\r\n\b\x7f", KEY_ENTER, KEY_ENTER, KEY_BACKSPACE, KEY_BACKSPACE);
        assert_typed("\x1b\x1bq", KEY_ESCAPE, KEY_ESCAPE, 'q');
}

static void test_an_unknown_sequence_is_one_key(void **state) {
        assert_typed("\x1b[1;5Dq", KEY_UNKNOWN, 'q');
        assert_typed("\x1b[<0;12;7Mq", KEY_UNKNOWN, 'q');
        assert_typed("\xff\xc3q", KEY_UNKNOWN, KEY_UNKNOWN, 'q');
        assert_typed("\x1b[12", KEY_UNKNOWN);
}

static void test_the_begin_of_a_key_waits_for_the_rest(void **state) {
        static const char *const begins[] = { "\x1b", "\x1b[", "\x1b[5", "\x1bO", "\xe5\x90" };
        size_t n = 77;

        for (size_t i = 0; i < ELEMENTSOF(begins); i++) {
                assert_int_equal(key_decode(begins[i], strlen(begins[i]), false, &n), KEY_NONE);
                assert_int_equal(n, 0);
        }
}

static JsonSpan json(const char *text) {
        JsonSpan v;

        assert_int_equal(json_check(text, strlen(text), JSON_DEPTH_MAX, &v, NULL), 0);
        return v;
}

#define SESSION(id, name, status, run)                                                         \
        "{\"session_id\":\"" id "\",\"name\":\"" name "\",\"status\":\"" status                \
        "\",\"substate\":\"active\",\"run\":\"" run "\",\"restarts\":0,\"message_count\":0,\"" \
        "messages\":[],\"created_at\":\"2026-01-01T00:00:00Z\"}"
#define RUN(id, cpu) \
        "{\"run_id\":\"" id "\",\"started_at\":\"2026-01-01T00:00:00Z\",\"cpu_usec\":" cpu "}"

static void test_cpu_is_the_difference_over_the_time_between(void **state) {
        Cli c = {};
        TopRows t;

        top_rows_init(&t);
        top_rows_session(&t, &c,
                         json(SESSION("0000000000000001", "a", "running", "00000000000000aa")));
        TopRow *row = map_get(t.by_id, 1);
        clock_fake(UINT64_C(1767225600) * USEC_PER_SEC + 10 * USEC_PER_SEC, USEC_PER_SEC);
        top_row_run(row, &c, json(RUN("00000000000000aa", "1000000")), USEC_PER_SEC);
        /* One sample: the average of its life of ten seconds. */
        assert_true(row->cpu_percent > 9.99 && row->cpu_percent < 10.01);
        top_row_run(row, &c, json(RUN("00000000000000aa", "2500000")), 2 * USEC_PER_SEC);
        assert_true(row->cpu_percent > 149.9 && row->cpu_percent < 150.1);
        /* Too close to say anything. */
        top_row_run(row, &c, json(RUN("00000000000000aa", "2600000")), 2 * USEC_PER_SEC + 1000);
        assert_true(row->cpu_percent > 149.9 && row->cpu_percent < 150.1);
        /* Of a run that is no longer the current one: nothing. */
        top_row_run(row, &c, json(RUN("00000000000000bb", "9")), 9 * USEC_PER_SEC);
        assert_true(row->cpu_percent > 149.9);
        top_rows_session(&t, &c,
                         json(SESSION("0000000000000001", "a", "running", "00000000000000bb")));
        assert_true(row->cpu_percent < 0);
        clock_fake(USEC_INFINITY, USEC_INFINITY);
        top_rows_done(&t);
        cli_release(&c, 0);
        free(c.kept);
}

static void test_a_list_removes_what_is_not_in_it(void **state) {
        Cli c = {};
        TopRows t;

        top_rows_init(&t);
        top_rows_list(&t, &c,
                      json("[" SESSION("0000000000000001", "B", "running", "00000000000000aa") "," //
                           SESSION("0000000000000002", "a", "stopped", "00000000000000ab") "]"));
        top_rows_sort(&t, TOP_BY_NAME, "");
        assert_int_equal(t.n_shown, 2);
        assert_string_equal(t.shown[0]->name, "a");
        top_rows_sort(&t, TOP_BY_CPU, "");
        assert_string_equal(t.shown[0]->name, "B"); /* the living first */
        top_rows_sort(&t, TOP_BY_NAME, "STOP");
        assert_int_equal(t.n_shown, 1);
        top_rows_list(&t, &c,
                      json("[" SESSION("0000000000000002", "a", "stopped", "00000000000000ab") "]"));
        assert_int_equal(map_size(t.by_id), 1);
        top_rows_done(&t);
        cli_release(&c, 0);
        free(c.kept);
}

static void test_text_is_cut_between_characters(void **state) {
        static const struct {
                const char *text;
                size_t width, used;
                const char *expected;
        } cases[] = {
                { "agent", 5, 5, "agent" },
                { "agents", 5, 5, "agen…" },
                { "名前名前", 5, 5, "名前…" },
                { "名前名前", 4, 3, "名…" },
                { "ab", 0, 0, "" },
                { "ab", 1, 1, "…" },
                { "e\xcc\x81x", 2, 2, "e\xcc\x81x" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(1000);

                assert_int_equal(text_cut(cases[i].text, cases[i].width, &b), cases[i].used);
                assert_string_equal(b.data ? b.data : "", cases[i].expected);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_keys_are_told_apart),
                cmocka_unit_test(test_an_unknown_sequence_is_one_key),
                cmocka_unit_test(test_the_begin_of_a_key_waits_for_the_rest),
                cmocka_unit_test(test_cpu_is_the_difference_over_the_time_between),
                cmocka_unit_test(test_a_list_removes_what_is_not_in_it),
                cmocka_unit_test(test_text_is_cut_between_characters),
        };
        return cmocka_run_group_tests_name("top", tests, NULL, NULL);
}
