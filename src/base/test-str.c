/* SPDX-License-Identifier: MIT */

/* Edges of UTF-8 and of numbers; quoting there and back. */

#include "base/str.h"
#include "base/test.h"

static void test_utf8_accepts_every_length_and_the_edges(void **state) {
        static const char *const valid[] = {
                "",
                "plain ascii that is longer than one word",
                "\xc2\x80",
                "\xdf\xbf",
                "\xe0\xa0\x80",
                "\xed\x9f\xbf",
                "\xee\x80\x80",
                "\xf0\x90\x80\x80",
                "\xf4\x8f\xbf\xbf",
                "1234567\xc3\xa4 8 \xe2\x82\xac \xf0\x9f\x98\x80",
        };

        ARRAY_FOREACH(s, valid)
                if (!utf8_is_valid(*s, strlen(*s)))
                        fail_msg("refused: %s", *s);
        assert_true(utf8_is_valid("a\0b", 3));
}

static void test_utf8_refuses_overlong_surrogate_cut_and_stray_bytes(void **state) {
        static const char *const wrong[] = {
                "\x80",
                "\xbf",
                "\xc0\x80",
                "\xc1\xbf",
                "\xc3",
                "\xc3(",
                "\xe0\x9f\xbf",
                "\xed\xa0\x80",
                "\xe2\x82",
                "\xf0\x8f\xbf\xbf",
                "\xf4\x90\x80\x80",
                "\xf5\x80\x80\x80",
                "\xff",
                "12345678\xe2\x82",
        };

        ARRAY_FOREACH(s, wrong)
                if (utf8_is_valid(*s, strlen(*s)))
                        fail_msg("accepted: %s", *s);
}

static void test_control_characters_are_found(void **state) {
        assert_true(str_has_control("a\nb", 3));
        assert_true(str_has_control("\0", 1));
        assert_true(str_has_control("\x7f", 1));
        assert_true(str_has_control("\xc2\x9f", 2));
        assert_false(str_has_control("\xc2\xa0", 2));
        assert_false(str_has_control("\xe2\x82\x80", 3));
        assert_false(str_has_control("", 0));
}

static void test_file_names_are_of_the_safe_alphabet(void **state) {
        char longest[257];

        memset(longest, 'a', 256);
        longest[256] = '\0';
        assert_false(str_is_filename_safe(longest));
        longest[255] = '\0';
        assert_true(str_is_filename_safe(longest));
        assert_true(str_is_filename_safe("coder@issue-42.agent"));
        assert_true(str_is_filename_safe("..."));
        assert_false(str_is_filename_safe(""));
        assert_false(str_is_filename_safe("."));
        assert_false(str_is_filename_safe(".."));
        assert_false(str_is_filename_safe("a/b"));
        assert_false(str_is_filename_safe("a b"));
        assert_false(str_is_filename_safe("\xc3\xa4"));
}

static void test_unsigned_numbers_are_digits_only(void **state) {
        static const char *const wrong[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1.0", "1e3", "a" };
        uint64_t v = 7;

        ARRAY_FOREACH(s, wrong)
                assert_int_equal(str_to_u64(*s, &v), -EINVAL);
        assert_int_equal(str_to_u64("18446744073709551616", &v), -ERANGE);
        assert_int_equal(v, 7);
        assert_int_equal(str_to_u64("18446744073709551615", &v), 0);
        assert_true(v == UINT64_MAX);
        assert_int_equal(str_to_u64("99999999999999999999x", &v), -EINVAL);
}

static void test_signed_numbers_reach_both_ends(void **state) {
        int64_t v = 7;

        assert_int_equal(str_to_i64("-9223372036854775809", &v), -ERANGE);
        assert_int_equal(str_to_i64("9223372036854775808", &v), -ERANGE);
        assert_int_equal(str_to_i64("--1", &v), -EINVAL);
        assert_int_equal(str_to_i64("-", &v), -EINVAL);
        assert_int_equal(v, 7);
        assert_int_equal(str_to_i64("-9223372036854775808", &v), 0);
        assert_true(v == INT64_MIN);
        assert_int_equal(str_to_i64("9223372036854775807", &v), 0);
        assert_true(v == INT64_MAX);
        assert_int_equal(str_to_i64("-0", &v), 0);
        assert_int_equal(v, 0);
}

static void test_sizes_take_binary_suffixes(void **state) {
        uint64_t v = 7;

        assert_int_equal(str_to_size("K", &v), -EINVAL);
        assert_int_equal(str_to_size("1KB", &v), -EINVAL);
        assert_int_equal(str_to_size("1k", &v), -EINVAL);
        assert_int_equal(str_to_size("16777216T", &v), -ERANGE);
        assert_int_equal(v, 7);
        assert_int_equal(str_to_size("0", &v), 0);
        assert_int_equal(v, 0);
        assert_int_equal(str_to_size("512", &v), 0);
        assert_int_equal(v, 512);
        assert_int_equal(str_to_size("3K", &v), 0);
        assert_int_equal(v, 3072);
        assert_int_equal(str_to_size("64M", &v), 0);
        assert_int_equal(v, 64 << 20);
        assert_int_equal(str_to_size("2G", &v), 0);
        assert_int_equal(v, UINT64_C(2) << 30);
        assert_int_equal(str_to_size("1T", &v), 0);
        assert_int_equal(v, UINT64_C(1) << 40);
}

static void test_booleans_have_four_spellings_each(void **state) {
        static const char *const yes[] = { "1", "yes", "true", "on" };
        static const char *const no[] = { "0", "no", "false", "off" };
        bool b = false;

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                assert_int_equal(str_to_bool(yes[i], &b), 0);
                assert_true(b);
                assert_int_equal(str_to_bool(no[i], &b), 0);
                assert_false(b);
        }
        assert_int_equal(str_to_bool("TRUE", &b), -EINVAL);
        assert_int_equal(str_to_bool("", &b), -EINVAL);
}

static void test_hex_goes_both_ways_and_refuses_the_rest(void **state) {
        static const uint8_t bytes[] = { 0x00, 0x7f, 0xab, 0xff };
        uint8_t back[4] = { 1, 1, 1, 1 };
        char text[9];

        hex_encode(bytes, sizeof(bytes), text);
        assert_string_equal(text, "007fabff");
        assert_int_equal(hex_decode("00", 1, back), -EINVAL);
        assert_int_equal(hex_decode("007fabfg", 8, back), -EINVAL);
        assert_int_equal(back[0], 1);
        assert_int_equal(hex_decode("007FabFF", 8, back), 0);
        assert_memory_equal(back, bytes, sizeof(bytes));
}

static void test_vectors_grow_copy_and_find(void **state) {
        _cleanup_strv_ char **v = NULL, **copy = NULL;

        assert_int_equal(strv_length(NULL), 0);
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(strv_extendf(&v, "word-%u", i), 0);
        assert_int_equal(strv_extend(&v, "last"), 0);
        assert_int_equal(strv_length(v), 101);
        assert_true(strv_contains(v, "word-99") && strv_contains(v, "last"));
        assert_false(strv_contains(v, "word") || strv_contains(NULL, "word"));

        copy = strv_copy(v);
        assert_non_null(copy);
        assert_int_equal(strv_length(copy), 101);
        assert_string_equal(copy[42], "word-42");
        assert_ptr_not_equal(copy[42], v[42]);

        /* a copy has exactly the room it needs; appending to it must still be right */
        assert_int_equal(strv_extend(&copy, "more"), 0);
        assert_string_equal(copy[101], "more");
        assert_null(copy[102]);
}

static void test_environment_replaces_only_the_same_name(void **state) {
        _cleanup_strv_ char **env = NULL;

        assert_int_equal(strv_env_set(&env, "PATH", "/bin"), 0);
        assert_int_equal(strv_env_set(&env, "PATHS", "a=b"), 0);
        assert_int_equal(strv_env_set(&env, "PATH", "/usr/bin"), 0);
        assert_int_equal(strv_length(env), 2);
        assert_string_equal(strv_env_get(env, "PATH"), "/usr/bin");
        assert_string_equal(strv_env_get(env, "PATHS"), "a=b");
        assert_null(strv_env_get(env, "PAT"));
        assert_null(strv_env_get(NULL, "PATH"));
}

static void assert_split(const char *line, const char *const *expected) {
        _cleanup_strv_ char **words = NULL;
        size_t i = 0;

        if (str_split_quoted(line, &words) != 0)
                fail_msg("not split: %s", line);
        for (; expected[i]; i++) {
                assert_non_null(words[i]);
                assert_string_equal(words[i], expected[i]);
        }
        assert_null(words[i]);
}

static void test_command_lines_are_split_as_systemd_does(void **state) {
        assert_split("", (const char *const[]){ NULL });
        assert_split(" \t\n", (const char *const[]){ NULL });
        assert_split("a  b\tc", (const char *const[]){ "a", "b", "c", NULL });
        assert_split("a 'b c' \"d e\"", (const char *const[]){ "a", "b c", "d e", NULL });
        assert_split("--x=\"a b\"'c'd", (const char *const[]){ "--x=a bcd", NULL });
        assert_split("'' \"\"", (const char *const[]){ "", "", NULL });
        assert_split("\"\\n\\t\\\\\\\"\\'\\x41\\s\"", (const char *const[]){ "\n\t\\\"'A ", NULL });
        assert_split("'a\\n'", (const char *const[]){ "a\\n", NULL });
        assert_split("a\\sb", (const char *const[]){ "a b", NULL });
        assert_split("\"it's\" 'say \"x\"'", (const char *const[]){ "it's", "say \"x\"", NULL });
}

static void test_open_quotes_and_bad_escapes_are_refused(void **state) {
        static const char *const wrong[] = {
                "'a",   "\"a",   "a\"b",  "\\",   "a\\",     "\\q",
                "\\x4", "\\xg0", "\\x00", "\"\\", "\"a\\\"",
        };
        char **words = NULL;

        ARRAY_FOREACH(s, wrong) {
                if (str_split_quoted(*s, &words) != -EINVAL)
                        fail_msg("not refused: %s", *s);
                assert_null(words);
        }
}

static void test_joined_words_split_into_themselves(void **state) {
        char *words[] = { (char[]){ "plain" },        (char[]){ "" },
                          (char[]){ "two words" },    (char[]){ "quote\"'\\" },
                          (char[]){ "\n\t\x01\x7f" }, (char[]){ "\xc3\xa4\xe2\x82\xac" },
                          (char[]){ "$HOME;*" },      NULL };
        _cleanup_free_ char *line = strv_join_quoted(words), *none = strv_join_quoted(NULL);

        assert_string_equal(none, "");
        assert_non_null(line);
        assert_null(strchr(line, '\n'));
        assert_split(line, (const char *const *) words);
}

static void test_distance_counts_edits(void **state) {
        char longest[65];

        memset(longest, 'a', 64);
        longest[64] = '\0';
        assert_int_equal(str_distance("", ""), 0);
        assert_int_equal(str_distance("kitten", "sitting"), 3);
        assert_int_equal(str_distance("abc", ""), 3);
        assert_int_equal(str_distance("", "abc"), 3);
        assert_int_equal(str_distance("restart", "retsart"), 1);
        assert_int_equal(str_distance("ab", "ba"), 1);
        assert_int_equal(str_distance("stauts", "start"), 2);
        assert_true(str_distance(longest, "a") == SIZE_MAX);
        assert_true(str_distance("a", longest) == SIZE_MAX);
        longest[63] = '\0';
        assert_int_equal(str_distance(longest, "a"), 62);
}

static void test_near_misses_are_suggested_and_strangers_are_not(void **state) {
        static const char *const names[] = { "start", "stop", "status", "checkpoint" };

        assert_string_equal(str_nearest("strat", names, ELEMENTSOF(names)), "start");
        assert_string_equal(str_nearest("stauts", names, ELEMENTSOF(names)), "status");
        assert_string_equal(str_nearest("statsu", names, ELEMENTSOF(names)), "status");
        assert_string_equal(str_nearest("chekpiont", names, ELEMENTSOF(names)), "checkpoint");
        assert_null(str_nearest("quux", names, ELEMENTSOF(names)));
        assert_null(str_nearest("x", names, ELEMENTSOF(names)));
        assert_null(str_nearest("", names, ELEMENTSOF(names)));
        assert_null(str_nearest("start", names, 0));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_utf8_accepts_every_length_and_the_edges),
                cmocka_unit_test(test_utf8_refuses_overlong_surrogate_cut_and_stray_bytes),
                cmocka_unit_test(test_control_characters_are_found),
                cmocka_unit_test(test_file_names_are_of_the_safe_alphabet),
                cmocka_unit_test(test_unsigned_numbers_are_digits_only),
                cmocka_unit_test(test_signed_numbers_reach_both_ends),
                cmocka_unit_test(test_sizes_take_binary_suffixes),
                cmocka_unit_test(test_booleans_have_four_spellings_each),
                cmocka_unit_test(test_hex_goes_both_ways_and_refuses_the_rest),
                cmocka_unit_test(test_vectors_grow_copy_and_find),
                cmocka_unit_test(test_environment_replaces_only_the_same_name),
                cmocka_unit_test(test_command_lines_are_split_as_systemd_does),
                cmocka_unit_test(test_open_quotes_and_bad_escapes_are_refused),
                cmocka_unit_test(test_joined_words_split_into_themselves),
                cmocka_unit_test(test_distance_counts_edits),
                cmocka_unit_test(test_near_misses_are_suggested_and_strangers_are_not),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
