/* SPDX-License-Identifier: MIT */

/* Text and tables: what people see must be aligned, and must not be able to move their cursor. */

#include "base/str.h"
#include "base/test.h"
#include "cli/table.h"

static char *sanitized(const char *s, size_t n, unsigned flags) {
        Buf b = BUF_INIT(1 << 16);

        (void) str_put_clean(&b, s, n, flags);
        return buf_take(&b, NULL);
}

#define assert_sanitized(text, flags, expected)                                     \
        do {                                                                        \
                _cleanup_free_ char *_s = sanitized(text, sizeof(text) - 1, flags); \
                assert_string_equal(_s, expected);                                  \
        } while (0)

static void test_width_counts_columns_not_bytes(void **state) {
        assert_int_equal(text_width(""), 0);
        assert_int_equal(text_width("agent"), 5);
        assert_int_equal(text_width("größe"), 5);
        assert_int_equal(text_width("名前"), 4);
        assert_int_equal(text_width("e\xcc\x81"), 1);
        assert_int_equal(text_width("\xf0\x9f\x98\x80"), 2);
        assert_int_equal(text_width("\xff\xfe"), 2);
}

static void test_escape_sequences_are_shown_and_not_sent(void **state) {
        assert_sanitized("a\x1b]0;title\x07", 0, "a\\x1b]0;title\\x07");
        assert_sanitized("\x1b[31mred\x1b[0m", 0, "\\x1b[31mred\\x1b[0m");
        assert_sanitized("\xc2\x9b", 0, "\\xc2\\x9b");
        assert_sanitized("\x7f", 0, "\\x7f");
        assert_sanitized("a\0b", 0, "a\\x00b");
}

static void test_colours_stay_only_where_they_are_wanted(void **state) {
        assert_sanitized("\x1b[1;31mred\x1b[0m", STR_CLEAN_COLOUR, "\x1b[1;31mred\x1b[0m");
        assert_sanitized("\x1b[2J", STR_CLEAN_COLOUR, "\\x1b[2J");
        assert_sanitized("\x1b[", STR_CLEAN_COLOUR, "\\x1b[");
}

static void test_newlines_and_tabs_stay_only_in_lines(void **state) {
        assert_sanitized("a\n\tb", 0, "a\\x0a b");
        assert_sanitized("a\n\tb\r", STR_CLEAN_LINES | STR_CLEAN_TABS, "a\n\tb\\x0d");
}

static void test_invalid_utf8_and_direction_overrides_are_shown(void **state) {
        assert_sanitized("\xff ok", 0, "\\xff ok");
        assert_sanitized("\xe2\x80\xae", 0, "\\u202e");
        assert_sanitized("h\xc3\xb6", 0, "h\xc3\xb6");
        assert_sanitized("\xc3", 0, "\\xc3");
}

static void test_spans_have_one_unit(void **state) {
        char s[32];

        assert_string_equal(text_span(0, s, sizeof(s)), "0s");
        assert_string_equal(text_span(59 * USEC_PER_SEC, s, sizeof(s)), "59s");
        assert_string_equal(text_span(60 * USEC_PER_SEC, s, sizeof(s)), "1min");
        assert_string_equal(text_span(47 * USEC_PER_HOUR, s, sizeof(s)), "47h");
        assert_string_equal(text_span(48 * USEC_PER_HOUR, s, sizeof(s)), "2d");
}

static void test_sizes_are_short(void **state) {
        char s[32];

        assert_string_equal(text_size(0, s, sizeof(s)), "0B");
        assert_string_equal(text_size(1023, s, sizeof(s)), "1023B");
        assert_string_equal(text_size(1536, s, sizeof(s)), "1.5K");
        assert_string_equal(text_size(200ULL << 20, s, sizeof(s)), "200M");
        assert_string_equal(text_size(UINT64_MAX, s, sizeof(s)), "15.9E");
}

/* ---- tables ---- */

static char *formatted(const Table *t, size_t width) {
        Buf b = BUF_INIT(1 << 20);

        table_format(t, width, &b);
        return buf_take(&b, NULL);
}

static void fill(Table *t, Cli *c) {
        table_init(t, c, "ID|NAME|>N");
        table_add(t, "01", NULL);
        table_add(t, "größe", NULL);
        table_add_number(t, 7);
        table_add(t, "02", NULL);
        table_add(t, "a\x1b[2Jb", NULL);
        table_add_number(t, 1234);
}

static void test_columns_are_aligned_and_safe(void **state) {
        Cli c = {};
        Table t;

        fill(&t, &c);
        _cleanup_free_ char *s = formatted(&t, 0);
        assert_string_equal(s, "ID  NAME          N\n"
                               "01  größe         7\n"
                               "02  a\\x1b[2Jb  1234\n");
        table_done(&t);
}

static void test_a_narrow_terminal_cuts_the_widest_column_and_never_the_first(void **state) {
        Cli c = {};
        Table t;

        table_init(&t, &c, "ID|NAME|>N");
        table_add(&t, "0197f1c2b3a40001", NULL);
        table_add(&t, "a name that is rather long", NULL);
        table_add_number(&t, 3);
        _cleanup_free_ char *s = formatted(&t, 32);
        assert_string_equal(s, "ID                NAME         N\n"
                               "0197f1c2b3a40001  a name tha…  3\n");
        table_done(&t);
}

static void test_empty_last_cells_leave_no_spaces(void **state) {
        Cli c = {};
        Table t;

        table_init(&t, &c, "ID|LABEL");
        table_add(&t, "1", NULL);
        table_add(&t, "", NULL);
        _cleanup_free_ char *s = formatted(&t, 0);
        assert_string_equal(s, "ID  LABEL\n1\n");
        table_done(&t);
}

static void test_colour_changes_no_alignment(void **state) {
        Cli c = { .colour = true };
        Table t;

        table_init(&t, &c, "A|B");
        table_add(&t, "x", "32");
        table_add(&t, "y", NULL);
        _cleanup_free_ char *s = formatted(&t, 0);
        assert_string_equal(s, "\x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m\n\x1b[32mx\x1b[0m  y\n");
        table_done(&t);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_width_counts_columns_not_bytes),
                cmocka_unit_test(test_escape_sequences_are_shown_and_not_sent),
                cmocka_unit_test(test_colours_stay_only_where_they_are_wanted),
                cmocka_unit_test(test_newlines_and_tabs_stay_only_in_lines),
                cmocka_unit_test(test_invalid_utf8_and_direction_overrides_are_shown),
                cmocka_unit_test(test_spans_have_one_unit),
                cmocka_unit_test(test_sizes_are_short),
                cmocka_unit_test(test_columns_are_aligned_and_safe),
                cmocka_unit_test(test_a_narrow_terminal_cuts_the_widest_column_and_never_the_first),
                cmocka_unit_test(test_empty_last_cells_leave_no_spaces),
                cmocka_unit_test(test_colour_changes_no_alignment),
        };

        return cmocka_run_group_tests_name("cli-text", tests, NULL, NULL);
}
