/* SPDX-License-Identifier: MIT */

/* Bytes that may not stand as they are. */

#include "base/str.h"
#include "base/test.h"

static char *percent(const char *s, bool (*is_plain)(char c)) {
        Buf b = BUF_INIT(1 << 16);

        (void) buf_puts(&b, "");
        assert_int_equal(str_put_percent(&b, s, is_plain), 0);
        return buf_take(&b, NULL);
}

static char *clean(const char *s, size_t n, unsigned flags, bool has_colour) {
        Buf b = BUF_INIT(1 << 16);

        (void) buf_puts(&b, "");
        assert_int_equal(str_put_clean(&b, s, n, flags), has_colour);
        return buf_take(&b, NULL);
}

static void expect_clean(const char *s, unsigned flags, bool has_colour, const char *expected) {
        _cleanup_free_ char *found = clean(s, strlen(s), flags, has_colour);

        assert_string_equal(found, expected);
}

static bool is_letter(char c) {
        return c >= 'a' && c <= 'z';
}

static void test_percent_keeps_what_is_plain_and_nothing_else(void **state) {
        _cleanup_free_ char *all = percent("aZ0-._~ /%\n\xff\xc3\xb6", uri_is_unreserved);
        _cleanup_free_ char *letters = percent("a-b", is_letter), *none = percent("", is_letter);

        assert_string_equal(all, "aZ0-._~%20%2F%25%0A%FF%C3%B6");
        assert_string_equal(letters, "a%2Db");
        assert_string_equal(none, "");
}

static void test_what_a_terminal_acts_upon_is_shown_by_its_bytes(void **state) {
        _cleanup_free_ char *nul = clean("a\0b", 3, 0, false);

        assert_string_equal(nul, "a\\x00b");
        expect_clean("\x1b]0;t\x07", 0, false, "\\x1b]0;t\\x07");
        expect_clean("\xc2\x9b", 0, false, "\\xc2\\x9b");
        expect_clean("\xff\xc3", 0, false, "\\xff\\xc3");
        expect_clean("\xe2\x80\xae", 0, false, "\\u202e");
        expect_clean("gr\xc3\xb6\xc3\x9f"
                     "e \xf0\x9f\x98\x80",
                     0, false,
                     "gr\xc3\xb6\xc3\x9f"
                     "e \xf0\x9f\x98\x80");
}

static void test_lines_tabs_and_colours_stay_where_they_are_wanted(void **state) {
        expect_clean("a\n\tb", 0, false, "a\\x0a b");
        expect_clean("a\n\tb", STR_CLEAN_LINES, false, "a\n b");
        expect_clean("a\n\tb", STR_CLEAN_TABS, false, "a\\x0a\tb");
        expect_clean("\x1b[1;31mx\x1b[0m", STR_CLEAN_COLOUR, true, "\x1b[1;31mx\x1b[0m");
        expect_clean("\x1b[31mx", 0, false, "\\x1b[31mx");
        expect_clean("\x1b[2J\x1b[", STR_CLEAN_COLOUR, false, "\\x1b[2J\\x1b[");
}

static void test_code_points_are_decoded_or_refused(void **state) {
        static const struct {
                const char *s;
                size_t n, length;
                uint32_t ch;
        } all[] = {
                { "a", 1, 1, 'a' },
                { "\xc3\xb6", 2, 2, 0xf6 },
                { "\xe2\x82\xac", 3, 3, 0x20ac },
                { "\xf0\x9f\x98\x80", 4, 4, 0x1f600 },
                { "\xc3", 1, 0, 0 },
                { "\x80", 1, 0, 0 },
                { "\xed\xa0\x80", 3, 0, 0 },
                { "\xc0\x80", 2, 0, 0 },
                { "\0", 1, 1, 0 },
        };

        ARRAY_FOREACH(x, all) {
                uint32_t ch = 0;
                assert_int_equal(utf8_decode(x->s, x->n, &ch), x->length);
                assert_int_equal(ch, x->ch);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_percent_keeps_what_is_plain_and_nothing_else),
                cmocka_unit_test(test_what_a_terminal_acts_upon_is_shown_by_its_bytes),
                cmocka_unit_test(test_lines_tabs_and_colours_stay_where_they_are_wanted),
                cmocka_unit_test(test_code_points_are_decoded_or_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
