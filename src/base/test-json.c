/* SPDX-License-Identifier: MIT */

/* RFC 8259 case by case, with the place of every error; then reading what was accepted. */

#include "base/json.h"
#include "base/test.h"

static JsonSpan check(const char *text) {
        JsonSpan v = {};
        JsonError e = {};

        if (json_check(text, strlen(text), JSON_DEPTH_MAX, &v, &e) != 0)
                fail_msg("refused: %s: at %zu: %s", text, e.offset, e.reason);
        return v;
}

static void assert_span(JsonSpan v, const char *expected) {
        assert_non_null(v.p);
        assert_int_equal(v.n, strlen(expected));
        assert_memory_equal(v.p, expected, v.n);
}

static void assert_refused_n(const char *text, size_t n, size_t offset) {
        /* a copy of exactly this size lets ASan see a read behind the end */
        _cleanup_free_ char *copy = malloc(n > 0 ? n : 1);
        JsonSpan v = { "x", 1 };
        JsonError e = {};

        assert_non_null(copy);
        memcpy(copy, text, n);
        if (json_check(copy, n, JSON_DEPTH_MAX, &v, &e) != -EINVAL)
                fail_msg("not refused: %s", text);
        if (e.offset != offset)
                fail_msg("%s: offset %zu (%s), not %zu", text, e.offset, e.reason, offset);
        assert_non_null(e.reason);
        assert_string_equal(v.p, "x");
}

static void assert_refused(const char *text, size_t offset) {
        assert_refused_n(text, strlen(text), offset);
}

static void test_every_kind_is_accepted_without_its_surrounding_space(void **state) {
        static const struct {
                const char *text, *value;
                JsonKind kind;
        } cases[] = {
                { " null\n", "null", JSON_KIND_NULL },
                { "true", "true", JSON_KIND_BOOL },
                { "\tfalse ", "false", JSON_KIND_BOOL },
                { "0", "0", JSON_KIND_NUMBER },
                { "-0.5e+10", "-0.5e+10", JSON_KIND_NUMBER },
                { "1E9", "1E9", JSON_KIND_NUMBER },
                { "123456789012345678901234567890", "123456789012345678901234567890",
                  JSON_KIND_NUMBER },
                { " \"a\" ", "\"a\"", JSON_KIND_STRING },
                { " [ ] ", "[ ]", JSON_KIND_ARRAY },
                { " { } ", "{ }", JSON_KIND_OBJECT },
                { "[1 , [ ] ,{\"a\" : [ true ] } ]", "[1 , [ ] ,{\"a\" : [ true ] } ]",
                  JSON_KIND_ARRAY },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                JsonSpan v = check(cases[i].text);
                assert_span(v, cases[i].value);
                assert_int_equal(json_kind(v), cases[i].kind);
        }
        assert_int_equal(json_kind((JsonSpan){}), _JSON_KIND_INVALID);
}

static void test_strings_of_every_length_end_where_they_end(void **state) {
        char text[80];

        for (size_t n = 0; n < 40; n++) {
                text[0] = '"';
                memset(text + 1, 'x', n);
                text[n + 1] = '"';
                text[n + 2] = '\0';
                assert_span(check(text), text);
                assert_refused_n(text, n + 1, n + 1);
        }
}

static void test_a_special_byte_is_found_at_every_position(void **state) {
        char text[40];

        for (size_t at = 1; at < 32; at++) {
                memset(text, 'x', sizeof(text));
                text[0] = text[33] = '"';
                text[at] = '\x1f';
                assert_refused_n(text, 34, at);
                text[at] = '\x80';
                assert_refused_n(text, 34, at);
                text[at] = '"';
                assert_refused_n(text, 34, at + 1);
                text[at] = '\x7f';
                assert_int_equal(json_check(text, 34, 1, NULL, NULL), 0);
                text[at] = ' ';
                assert_int_equal(json_check(text, 34, 1, NULL, NULL), 0);
        }
}

static void test_syntax_errors_name_the_first_wrong_byte(void **state) {
        assert_refused("", 0);
        assert_refused("  ", 2);
        assert_refused("nul", 0);
        assert_refused("nulll", 4);
        assert_refused("True", 0);
        assert_refused("NaN", 0);
        assert_refused("Infinity", 0);
        assert_refused("-Infinity", 1);
        assert_refused("01", 1);
        assert_refused("-", 1);
        assert_refused("+1", 0);
        assert_refused("1.", 2);
        assert_refused("1.e5", 2);
        assert_refused("1e", 2);
        assert_refused("1e+", 3);
        assert_refused(".5", 0);
        assert_refused("0x10", 1);
        assert_refused("1 2", 2);
        assert_refused("[1,]", 3);
        assert_refused("[,1]", 1);
        assert_refused("[1 2]", 3);
        assert_refused("[1", 2);
        assert_refused("[", 1);
        assert_refused("]", 0);
        assert_refused("[1}", 2);
        assert_refused("{\"a\":1,}", 7);
        assert_refused("{\"a\" 1}", 5);
        assert_refused("{\"a\":}", 5);
        assert_refused("{a:1}", 1);
        assert_refused("{\"a\"}", 4);
        assert_refused("{1:2}", 1);
        assert_refused("{\"a\":1]", 6);
        assert_refused("{", 1);
        assert_refused("'a'", 0);
        assert_refused("// x\n1", 0);
        assert_refused("\xef\xbb\xbf[]", 0);
}

static void test_string_errors_name_the_first_wrong_byte(void **state) {
        assert_refused("\"a\nb\"", 2);
        assert_refused("\"a", 2);
        assert_refused("\"\\", 1);
        assert_refused("\"\\a\"", 1);
        assert_refused("\"\\u12\"", 1);
        assert_refused("\"\\u12g4\"", 1);
        assert_refused("\"\xc3(\"", 1);
        assert_refused("\"ab\xed\xa0\x80\"", 3);
        assert_refused("\"\xe2\x82", 1);
        assert_refused_n("\"a\0b\"", 5, 2);
        assert_refused_n("[\"\\\0\"]", 6, 2);
        assert_refused_n("1\0", 2, 1);
}

static void nested(char *text, size_t depth, char open, char close) {
        memset(text, open, depth);
        memset(text + depth, close, depth);
        text[2 * depth] = '\0';
}

static void test_depth_is_limited_exactly(void **state) {
        char text[2 * (JSON_DEPTH_MAX + 1) + 1];
        JsonSpan v;
        JsonError e;

        nested(text, JSON_DEPTH_MAX, '[', ']');
        check(text);
        nested(text, JSON_DEPTH_MAX + 1, '[', ']');
        assert_int_equal(json_check(text, strlen(text), 1000, &v, &e), -E2BIG);
        assert_int_equal(e.offset, JSON_DEPTH_MAX);
        nested(text, 3, '[', ']');
        assert_int_equal(json_check(text, strlen(text), 3, &v, &e), 0);
        assert_int_equal(json_check(text, strlen(text), 2, &v, &e), -E2BIG);
        assert_int_equal(json_check("1", 1, 0, &v, &e), 0);
        assert_int_equal(json_check("[]", 2, 0, &v, &e), -E2BIG);
}

static void test_mixed_nesting_remembers_each_level(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(10000);

        for (size_t i = 0; i < 64; i++)
                assert_int_equal(buf_puts(&b, "[{\"a\":"), 0);
        assert_int_equal(buf_puts(&b, "1"), 0);
        for (size_t i = 0; i < 64; i++)
                assert_int_equal(buf_puts(&b, "}]"), 0);
        check(b.data);
        b.data[b.len - 1] = '}';
        assert_refused(b.data, b.len - 1);
}

static void test_walking_an_object_yields_raw_keys_and_values(void **state) {
        JsonIter it =
                json_iter(check("{ \"a\" : 1.0 , \"b\\n\":[1,{\"x\":\"]}\"}] ,\"\":\"\\\"\\\\\"}"));
        JsonSpan k, v;

        assert_true(json_next(&it, &k, &v));
        assert_span(k, "\"a\"");
        assert_span(v, "1.0");
        assert_true(json_next(&it, &k, &v));
        assert_span(k, "\"b\\n\"");
        assert_span(v, "[1,{\"x\":\"]}\"}]");
        assert_true(json_next(&it, &k, &v));
        assert_span(k, "\"\"");
        assert_span(v, "\"\\\"\\\\\"");
        assert_false(json_next(&it, &k, &v));
        assert_false(json_next(&it, &k, &v));
}

static void test_walking_an_array_yields_values_without_keys(void **state) {
        JsonIter it = json_iter(check("[1,\n\"a,b\", [[]],null ]"));
        JsonSpan k, v;

        assert_true(json_next(&it, &k, &v));
        assert_null(k.p);
        assert_span(v, "1");
        assert_true(json_next(&it, NULL, &v));
        assert_span(v, "\"a,b\"");
        assert_true(json_next(&it, NULL, &v));
        assert_span(v, "[[]]");
        assert_true(json_next(&it, NULL, &v));
        assert_span(v, "null");
        assert_false(json_next(&it, NULL, NULL));
}

static void test_walking_anything_else_yields_nothing(void **state) {
        JsonIter it = json_iter(check("\"[1]\""));

        assert_false(json_next(&it, NULL, NULL));
        it = json_iter((JsonSpan){});
        assert_false(json_next(&it, NULL, NULL));
        it = json_iter(check("[ ]"));
        assert_false(json_next(&it, NULL, NULL));
        it = json_iter(check("{}"));
        assert_false(json_next(&it, NULL, NULL));
}

static void test_get_finds_the_last_of_equal_names(void **state) {
        JsonSpan o = check("{\"a\":1,\"b\":{\"a\":2},\"\\u0061\":3}");

        assert_span(json_get(o, "a"), "3");
        assert_span(json_get(o, "b"), "{\"a\":2}");
        assert_null(json_get(o, "c").p);
        assert_null(json_get(check("[1]"), "a").p);
        assert_null(json_get((JsonSpan){}, "a").p);
        assert_int_equal(json_count(o), 3);
        assert_int_equal(json_count(check("[1,[2,3],4]")), 3);
        assert_int_equal(json_count(check("1")), 0);
}

static void test_string_equality_is_of_decoded_bytes(void **state) {
        assert_true(json_string_equals(check("\"abc\""), "abc"));
        assert_true(json_string_equals(check("\"\""), ""));
        assert_true(json_string_equals(check("\"a\\u0062\\n\""), "ab\n"));
        assert_true(json_string_equals(check("\"\\ud83d\\ude00\""), "\xf0\x9f\x98\x80"));
        assert_false(json_string_equals(check("\"abc\""), "ab"));
        assert_false(json_string_equals(check("\"abc\""), "abcd"));
        assert_false(json_string_equals(check("\"a\\n\""), "a\\n"));
        assert_false(json_string_equals(check("\"\\ud83d\""), "?"));
        assert_false(json_string_equals(check("\"a\\u0000\""), "a"));
        assert_false(json_string_equals(check("1"), "1"));
}

static void assert_decodes(const char *text, const char *expected, size_t n) {
        _cleanup_free_ char *s = NULL;
        size_t len = 0;

        assert_int_equal(json_string_dup(check(text), &s, &len), 0);
        assert_int_equal(len, n);
        assert_memory_equal(s, expected, n + 1);
}

static void test_strings_decode_every_escape(void **state) {
        assert_decodes("\"\"", "", 0);
        assert_decodes("\"plain \xc3\xa4\"", "plain \xc3\xa4", 8);
        assert_decodes("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
        assert_decodes("\"\\u0041\\u00e4\\u20AC\\uD83D\\uDE00\"",
                       "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 10);
        assert_decodes("\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf", 4);
        assert_decodes("\"a\\u0000b\"", "a\0b", 3);
}

static void test_lone_surrogates_have_no_utf8(void **state) {
        static const char *const lone[] = {
                "\"\\ud800\"",        "\"\\ud800x\"", "\"\\ud800\\n\"",
                "\"\\ud800\\u0041\"", "\"\\udc00\"",  "\"\\ud800\\ud800\"",
        };
        char *s = NULL;

        ARRAY_FOREACH(text, lone)
                assert_int_equal(json_string_dup(check(*text), &s, NULL), -EILSEQ);
        assert_null(s);
}

static void test_a_nul_needs_a_length(void **state) {
        char *s = NULL;

        assert_int_equal(json_string_dup(check("\"a\\u0000b\""), &s, NULL), -EINVAL);
        assert_null(s);
}

static void test_integers_are_exact_or_refused(void **state) {
        int64_t v = 7;

        assert_int_equal(json_int(check("9223372036854775808"), &v), -ERANGE);
        assert_int_equal(json_int(check("-9223372036854775809"), &v), -ERANGE);
        assert_int_equal(json_int(check("123456789012345678901234567890"), &v), -ERANGE);
        assert_int_equal(json_int(check("1.0"), &v), -ERANGE);
        assert_int_equal(json_int(check("1e2"), &v), -ERANGE);
        assert_int_equal(json_int(check("\"1\""), &v), -EINVAL);
        assert_int_equal(json_int((JsonSpan){}, &v), -EINVAL);
        assert_int_equal(v, 7);
        assert_int_equal(json_int(check("9223372036854775807"), &v), 0);
        assert_true(v == INT64_MAX);
        assert_int_equal(json_int(check("-9223372036854775808"), &v), 0);
        assert_true(v == INT64_MIN);
        assert_int_equal(json_int(check("-0"), &v), 0);
        assert_int_equal(v, 0);
}

static void test_reals_and_booleans_are_read(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);
        double d = 7;
        bool yes = false;

        assert_int_equal(json_real(check("1e999"), &d), -ERANGE);
        assert_int_equal(json_real(check("true"), &d), -EINVAL);
        assert_int_equal(json_real(check("-2.5e-1"), &d), 0);
        assert_true(d > -0.2500001 && d < -0.2499999);
        for (size_t i = 0; i < 200; i++)
                assert_int_equal(buf_putc(&b, i == 1 ? '.' : '3'), 0);
        assert_int_equal(json_real(check(b.data), &d), 0);
        assert_true(d > 3.3333 && d < 3.3334);

        assert_int_equal(json_bool(check("true"), &yes), 0);
        assert_true(yes);
        assert_int_equal(json_bool(check("false"), &yes), 0);
        assert_false(yes);
        assert_int_equal(json_bool(check("1"), &yes), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_kind_is_accepted_without_its_surrounding_space),
                cmocka_unit_test(test_strings_of_every_length_end_where_they_end),
                cmocka_unit_test(test_a_special_byte_is_found_at_every_position),
                cmocka_unit_test(test_syntax_errors_name_the_first_wrong_byte),
                cmocka_unit_test(test_string_errors_name_the_first_wrong_byte),
                cmocka_unit_test(test_depth_is_limited_exactly),
                cmocka_unit_test(test_mixed_nesting_remembers_each_level),
                cmocka_unit_test(test_walking_an_object_yields_raw_keys_and_values),
                cmocka_unit_test(test_walking_an_array_yields_values_without_keys),
                cmocka_unit_test(test_walking_anything_else_yields_nothing),
                cmocka_unit_test(test_get_finds_the_last_of_equal_names),
                cmocka_unit_test(test_string_equality_is_of_decoded_bytes),
                cmocka_unit_test(test_strings_decode_every_escape),
                cmocka_unit_test(test_lone_surrogates_have_no_utf8),
                cmocka_unit_test(test_a_nul_needs_a_length),
                cmocka_unit_test(test_integers_are_exact_or_refused),
                cmocka_unit_test(test_reals_and_booleans_are_read),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
