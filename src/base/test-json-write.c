/* SPDX-License-Identifier: MIT */

/* What is written is JSON, and reads back as what went in. */

#include <float.h>
#include <math.h>

#include "base/json.h"
#include "base/test.h"

static void assert_written(const Buf *b, const char *expected) {
        JsonError e = {};

        assert_int_equal(buf_error(b), 0);
        assert_string_equal(b->data, expected);
        if (json_check(b->data, b->len, JSON_DEPTH_MAX, NULL, &e) < 0)
                fail_msg("not JSON: %s at %zu: %s", e.reason, e.offset, b->data);
}

static void test_commas_stand_between_members_only(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);
        JsonWriter w = JSON_WRITER(&b);

        json_w_object_begin(&w);
        json_w_kv_int(&w, "a", -1);
        json_w_key(&w, "b");
        json_w_array_begin(&w);
        json_w_array_begin(&w);
        json_w_array_end(&w);
        json_w_object_begin(&w);
        json_w_object_end(&w);
        json_w_int(&w, -2);
        json_w_uint(&w, 3);
        json_w_array_end(&w);
        json_w_kv_string(&w, "c", NULL);
        json_w_kv_raw(&w, "d", JSON_LITERAL("{\"x\":1.0}"));
        json_w_kv_raw(&w, "e", (JsonSpan){});
        json_w_kv_bool(&w, "f", true);
        json_w_object_end(&w);
        assert_written(
                &b,
                "{\"a\":-1,\"b\":[[],{},-2,3],\"c\":null,\"d\":{\"x\":1.0},\"e\":null,\"f\":true}");
}

static void test_ids_and_times_have_their_public_form(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);
        JsonWriter w = JSON_WRITER(&b);

        json_w_object_begin(&w);
        json_w_kv_id(&w, "i", 0xabc);
        json_w_kv_id_or_null(&w, "n", 0);
        json_w_kv_id_or_null(&w, "o", 1);
        json_w_kv_time(&w, "t", UINT64_C(1795334016123456));
        json_w_kv_time(&w, "u", 0);
        json_w_object_end(&w);
        assert_written(&b, "{\"i\":\"0000000000000abc\",\"n\":null,\"o\":\"0000000000000001\","
                           "\"t\":\"2026-11-22T07:53:36.123456Z\",\"u\":null}");
}

static void test_integers_reach_both_ends(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);
        JsonWriter w = JSON_WRITER(&b);

        json_w_array_begin(&w);
        json_w_int(&w, INT64_MIN);
        json_w_int(&w, INT64_MAX);
        json_w_uint(&w, UINT64_MAX);
        json_w_int(&w, 0);
        json_w_array_end(&w);
        assert_written(&b, "[-9223372036854775808,9223372036854775807,18446744073709551615,0]");
}

static void test_reals_are_shortest_and_never_infinite(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);
        JsonWriter w = JSON_WRITER(&b);

        json_w_array_begin(&w);
        json_w_real(&w, 0.1);
        json_w_real(&w, 1);
        json_w_real(&w, -2.5e-8);
        json_w_real(&w, 1e300);
        json_w_real(&w, NAN);
        json_w_real(&w, INFINITY);
        json_w_array_end(&w);
        assert_written(&b, "[0.1,1.0,-2.5e-08,1e+300,null,null]");
}

static void test_reals_read_back_as_the_same_number(void **state) {
        static const double numbers[] = {
                1.0 / 3,          DBL_MAX,   DBL_MIN,
                5e-324,           0.1 + 0.2, -0.0,
                999999999.999999, 0.0001,    123456789.123456789,
        };

        ARRAY_FOREACH(d, numbers) {
                _cleanup_buf_ Buf b = BUF_INIT(100);
                JsonWriter w = JSON_WRITER(&b);
                double back = 7;

                json_w_real(&w, *d);
                assert_int_equal(json_real((JsonSpan){ b.data, b.len }, &back), 0);
                assert_memory_equal(&back, d, sizeof(back));
        }
}

static void test_times_in_seconds_keep_their_microseconds(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);
        JsonWriter w = JSON_WRITER(&b);

        json_w_array_begin(&w);
        json_w_real(&w, 12.000001);
        json_w_real(&w, 1.5);
        json_w_real(&w, 60);
        json_w_real(&w, 0.05);
        json_w_real(&w, 0.0001);
        json_w_real(&w, 0.00001);
        json_w_real(&w, 999999999.999999);
        json_w_real(&w, 1e9);
        json_w_array_end(&w);
        assert_written(&b, "[12.000001,1.5,60.0,0.05,0.0001,1e-05,999999999.999999,1000000000.0]");
}

static void test_strings_escape_what_must_be_and_no_more(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);
        JsonWriter w = JSON_WRITER(&b);

        json_w_array_begin(&w);
        json_w_string(&w, "q\" b\\ n\n t\t r\r b\b f\f c\x01 d\x7f /");
        json_w_string_n(&w, "a\0b", 3);
        json_w_string(&w, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
        json_w_string(&w, "");
        json_w_array_end(&w);
        assert_written(&b, "[\"q\\\" b\\\\ n\\n t\\t r\\r b\\b f\\f c\\u0001 d\x7f /\",\"a\\u0000b\","
                           "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\",\"\"]");
}

static void test_broken_utf8_becomes_the_replacement_character(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);
        JsonWriter w = JSON_WRITER(&b);

        json_w_string(&w, "a\xff z\xc3(\xe2\x82");
        assert_written(&b, "\"a\xef\xbf\xbd z\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void test_any_bytes_survive_a_round_trip(void **state) {
        uint32_t random = 12345;

        for (size_t round = 0; round < 2000; round++) {
                _cleanup_buf_ Buf b = BUF_INIT(1000), back = BUF_INIT(1000);
                JsonWriter w = JSON_WRITER(&b);
                char bytes[40];
                JsonSpan v;

                for (size_t i = 0; i < sizeof(bytes); i++) {
                        random = random * 1664525 + 1013904223;
                        bytes[i] = (char) (random >> 25);
                }
                json_w_string_n(&w, bytes, round % sizeof(bytes));
                assert_int_equal(json_check(b.data, b.len, 0, &v, NULL), 0);
                assert_int_equal(json_string_decode(v, &back), 0);
                assert_int_equal(back.len, round % sizeof(bytes));
                if (back.len > 0)
                        assert_memory_equal(back.data, bytes, back.len);
        }
}

static void test_a_full_buffer_is_reported_once_at_the_end(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(10);
        JsonWriter w = JSON_WRITER(&b);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "name", "far too long for this");
        json_w_kv_real(&w, "x", 1.5);
        json_w_object_end(&w);
        assert_int_equal(buf_error(&b), -E2BIG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_commas_stand_between_members_only),
                cmocka_unit_test(test_ids_and_times_have_their_public_form),
                cmocka_unit_test(test_integers_reach_both_ends),
                cmocka_unit_test(test_reals_are_shortest_and_never_infinite),
                cmocka_unit_test(test_reals_read_back_as_the_same_number),
                cmocka_unit_test(test_times_in_seconds_keep_their_microseconds),
                cmocka_unit_test(test_strings_escape_what_must_be_and_no_more),
                cmocka_unit_test(test_broken_utf8_becomes_the_replacement_character),
                cmocka_unit_test(test_any_bytes_survive_a_round_trip),
                cmocka_unit_test(test_a_full_buffer_is_reported_once_at_the_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
