/* SPDX-License-Identifier: MIT */

/* What of an entry can be found. */

#include "base/test.h"
#include "memory/words.h"

static void assert_words(JsonSpan value, bool names, size_t max, const char *expected) {
        _cleanup_buf_ Buf b = BUF_INIT(SIZE_MAX);

        words_of_value(&b, value, names, max);
        assert_string_equal(b.data ? b.data : "", expected);
}

static void test_strings_and_numbers_of_a_value_are_its_text(void **state) {
        JsonSpan v =
                JSON_LITERAL("{\"na\\\"me\" : [\"a b\", -1.5e3, {\"in\":\"x\\u00e9\"}, true, null]}");

        assert_words(v, false, SIZE_MAX, "a b\n-1.5e3\nx\xc3\xa9\n");
        assert_words(v, true, SIZE_MAX, "na\"me\nin\n");
        assert_words(JSON_LITERAL("\"only\""), false, SIZE_MAX, "only\n");
        assert_words(JSON_LITERAL("{}"), false, SIZE_MAX, "");
        assert_words(JSON_LITERAL("\"a\\u0000b\\ud800\""), false, SIZE_MAX, "a b\n");
}

static void test_the_text_has_an_end(void **state) {
        assert_words(JSON_LITERAL("[\"abcdef\",\"ghi\"]"), false, 3, "abc\n");
        assert_words(JSON_LITERAL("[\"a\xc3\xa9\xc3\xa9\"]"), false, 2, "a\xc3\xa9\n");
}

static void assert_separated(const char *text, const char *expected) {
        _cleanup_buf_ Buf b = BUF_INIT(SIZE_MAX);

        words_append(&b, text, strlen(text), SIZE_MAX);
        assert_string_equal(b.data, expected);
}

static void test_words_without_spaces_are_parted(void **state) {
        assert_separated("favouriteColour HTTPServer x2Y", "favourite Colour HTTPServer x2Y");
        assert_separated("ab\xe4\xb8\xad\xe6\x96\x87 c", "ab \xe4\xb8\xad  \xe6\x96\x87  c");
        assert_separated("\xf0\x9f\x98\x80 \xc3\xa4", "\xf0\x9f\x98\x80 \xc3\xa4");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_strings_and_numbers_of_a_value_are_its_text),
                cmocka_unit_test(test_the_text_has_an_end),
                cmocka_unit_test(test_words_without_spaces_are_parted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
