/* SPDX-License-Identifier: MIT */

/* Every rule of the format, each by the list of entries that a text yields. */

#include "base/ini.h"
#include "base/str.h"
#include "base/test.h"

typedef struct Seen {
        Buf text; /* "LINE [section] key|value;" per entry */
        unsigned stop_at, n;
} Seen;

static int collect(const IniEntry *e, void *userdata) {
        Seen *s = userdata;

        if (e->key)
                (void) buf_printf(&s->text, "%u:%s.%s=%s;", e->line, e->section, e->key, e->value);
        else
                (void) buf_printf(&s->text, "%u:[%s];", e->line, e->section);
        return ++s->n == s->stop_at ? 7 : 0;
}

static char *entries(const char *text) {
        Seen s = { .text = BUF_INIT(65536) };
        IniError error;

        (void) buf_puts(&s.text, "");
        assert_int_equal(ini_parse(text, strlen(text), collect, &s, &error), 0);
        assert_null(error.reason);
        return buf_take(&s.text, NULL);
}

static void expect(const char *text, const char *expected) {
        _cleanup_free_ char *found = entries(text);

        assert_string_equal(found, expected);
}

static void test_sections_keys_and_values_come_in_order_with_their_lines(void **state) {
        expect("", "");
        expect("\n\n", "");
        expect("[A]\nK=v\n\n[B]\nK = w x \n", "1:[A];2:A.K=v;4:[B];5:B.K=w x;");
        expect("K=v", "1:.K=v;");
        expect("[A]\nK=a=b\nK=c\nK=\n", "1:[A];2:A.K=a=b;3:A.K=c;4:A.K=;");
        expect(" [A b] \n\tK\t=\tv\t\n", "1:[A b];2:A b.K=v;");
}

static void test_comments_are_left_out_but_not_behind_a_value(void **state) {
        expect("# one\n; two\n  # three\nK=v # four\n", "4:.K=v # four;");
}

static void test_a_backslash_at_the_end_continues_the_line(void **state) {
        expect("K=a \\\n  b\\\nc\nL=d\n", "1:.K=a    b c;4:.L=d;");
        expect("K=a\\\n# in between\nb\n", "1:.K=a b;");
        expect("K=a\\\\\nL=b\n", "1:.K=a\\\\;2:.L=b;");
        expect("K=a\\", "1:.K=a;");
        expect("\n\nK=\\\nv", "3:.K=v;");
}

static void test_other_editors_files_are_read(void **state) {
        expect("\xef\xbb\xbf[A]\r\nK=v\r\n", "1:[A];2:A.K=v;");
        expect("K=\xc3\xa4\xe2\x82\xac\n", "1:.K=\xc3\xa4\xe2\x82\xac;");
}

static void test_what_is_wrong_is_named_with_its_line(void **state) {
        static const struct {
                const char *text;
                unsigned line;
                const char *reason;
        } rows[] = {
                { "[A]\nnothing\n", 2, "neither Key=Value" },
                { "[A]\n\n= v\n", 3, "no key" },
                { "[A\n", 1, "needs a ]" },
                { "[]\n", 1, "name in brackets" },
                { "[\n", 1, "needs a ]" },
                { "[a]]\n", 1, "name in brackets" },
                { "K=\xff\n", 1, "no UTF-8" },
                { "A=1\n\xef\xbb\xbfK=v\n", 2, "byte order mark" },
                { "K=a\nL=\x01\n", 2, "control characters" },
                { "K=a\\\nb\\\n\x7f\n", 3, "control characters" },
        };

        ARRAY_FOREACH(row, rows) {
                Seen s = { .text = BUF_INIT(65536) };
                IniError error = {};

                assert_int_equal(ini_parse(row->text, strlen(row->text), collect, &s, &error),
                                 -EINVAL);
                assert_int_equal(error.line, row->line);
                assert_non_null(strstr(error.reason, row->reason));
                buf_done(&s.text);
        }
        assert_int_equal(ini_parse("K=\0v", 4, collect, NULL, NULL), -EINVAL);
}

static void test_the_reader_may_end_it(void **state) {
        Seen s = { .text = BUF_INIT(65536), .stop_at = 2 };
        static const char text[] = "a=1\nb=2\nc=3\n";

        assert_int_equal(ini_parse(text, strlen(text), collect, &s, NULL), 7);
        assert_string_equal(s.text.data, "1:.a=1;2:.b=2;");
        buf_done(&s.text);
}

static void test_a_line_has_a_maximum(void **state) {
        _cleanup_free_ char *text = malloc(INI_LINE_MAX + 8);
        Seen s = { .text = BUF_INIT(100) };
        IniError error = {};

        assert_non_null(text);
        memset(text, 'k', INI_LINE_MAX + 8);
        memcpy(text, "a=1\n", 4); /* NOLINT(bugprone-not-null-terminated-result): a line goes on */
        assert_int_equal(ini_parse(text, INI_LINE_MAX + 8, collect, &s, &error), -EINVAL);
        buf_done(&s.text);
        assert_int_equal(error.line, 2);
        assert_non_null(strstr(error.reason, "longer than"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sections_keys_and_values_come_in_order_with_their_lines),
                cmocka_unit_test(test_comments_are_left_out_but_not_behind_a_value),
                cmocka_unit_test(test_a_backslash_at_the_end_continues_the_line),
                cmocka_unit_test(test_other_editors_files_are_read),
                cmocka_unit_test(test_what_is_wrong_is_named_with_its_line),
                cmocka_unit_test(test_the_reader_may_end_it),
                cmocka_unit_test(test_a_line_has_a_maximum),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
