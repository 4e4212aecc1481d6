/* SPDX-License-Identifier: MIT */

/* Text as memory looks at it: nothing parts a code point, words are the same whatever their case,
 * and bytes that are no text do no harm. */

#include "base/test.h"
#include "memory/text.h"

static size_t terms(const char *s, size_t n, char *out, size_t size) {
        TextWords words = text_words(s, n);
        size_t count = 0, at = 0;
        TextWord w;

        out[0] = '\0';
        for (; text_words_next(&words, &w); count++) {
                assert_true(w.p >= s && w.n > 0 && w.p + w.n <= s + n);
                assert_true(at + w.n_term + 2 < size);
                memcpy(out + at, w.term, w.n_term);
                at += w.n_term;
                out[at++] = '|';
                out[at] = '\0';
        }
        return count;
}

static void check_terms(const char *s, const char *expected) {
        char out[1024];

        (void) terms(s, strlen(s), out, sizeof(out));
        assert_string_equal(out, expected);
}

static void words_are_lower_case_terms_of_any_script(void **state) {
        check_terms("Don't STOP, O’Neil: it's 42 o'clock!", "don't|stop|o'neil|it's|42|o'clock|");
        check_terms("ÄRGER in Łódź, Ωmega ЁЛКА Ӂ", "ärger|in|łódź|ωmega|ёлка|ӂ|");
        check_terms("snake_case foo.bar e-mail", "snake|case|foo|bar|e|mail|");
        check_terms("'quoted' rock 'n' roll'", "quoted|rock|n|roll|");
        check_terms("한국어 문장", "한국어|문장|");
        check_terms("", "");
        check_terms(" \t.,;", "");
}

static void scripts_without_spaces_come_as_pairs(void **state) {
        check_terms("我喜欢茶。", "我喜|喜欢|欢茶|");
        check_terms("用C語言", "用|c|語言|");
        check_terms("水", "水|");
        check_terms("東京、大阪", "東京|大阪|");
}

static void bytes_that_are_no_text_end_words_and_nothing_more(void **state) {
        static const char odd[] = "ab\xff\xfe"
                                  "cd\xe4\xb8"
                                  "ef\xf0\x9f\x98"
                                  "gh\xc0\x80"
                                  "ij\xed\xa0\x80";
        char out[256];

        (void) terms(odd, sizeof(odd) - 1, out, sizeof(out));
        assert_string_equal(out, "ab|cd|ef|gh|ij|");
}

static void endless_words_come_in_pieces(void **state) {
        char word[1000], out[2048];

        memset(word, 'x', sizeof(word));
        assert_true(terms(word, sizeof(word), out, sizeof(out)) > sizeof(word) / TEXT_WORD_MAX);
}

static void cuts_part_no_code_point(void **state) {
        static const char s[] = "aä漢😀z";

        for (size_t max = 0; max <= sizeof(s); max++) {
                size_t cut = text_cut(s, sizeof(s) - 1, max);
                assert_true(cut <= max);
                assert_true(utf8_is_valid(s, cut) && utf8_is_valid(s + cut, sizeof(s) - 1 - cut));
                assert_true(max < 4 || cut > max - 4);
        }
        /* what is no text is cut anywhere */
        assert_int_equal(text_cut("\x80\x80\x80\x80\x80\x80", 6, 5), 5);
}

static void good_cuts_are_at_sentences_then_at_spaces(void **state) {
        static const char s[] = "One two three. Four five six seven eight";

        assert_int_equal(text_cut_well(s, strlen(s), 20), strlen("One two three. "));
        assert_int_equal(text_cut_well(s, strlen(s), 35),
                         strlen("One two three. Four five six seven "));
        assert_int_equal(text_cut_well(s, strlen(s), 100), strlen(s));
        assert_int_equal(text_cut_well("aaaaaaaaaa", 10, 4), 4);
        /* larger than what is asked for: whole, or there would be no end */
        assert_int_equal(text_cut_well("漢漢", 6, 1), 3);
        assert_int_equal(text_cut_well("漢漢", 6, 0), 0);
}

static void encoding_is_the_inverse_of_decoding(void **state) {
        for (uint32_t c = 1; c < 0x110000; c += c < 0x3000 ? 1 : 97) {
                char s[4];
                uint32_t back;

                if (c >= 0xD800 && c <= 0xDFFF)
                        continue;
                size_t n = text_encode(c, s);
                assert_int_equal(text_decode(s, n, &back), n);
                assert_int_equal(back, c);
                assert_int_equal(text_lower(text_lower(c)), text_lower(c));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(words_are_lower_case_terms_of_any_script),
                cmocka_unit_test(scripts_without_spaces_come_as_pairs),
                cmocka_unit_test(bytes_that_are_no_text_end_words_and_nothing_more),
                cmocka_unit_test(endless_words_come_in_pieces),
                cmocka_unit_test(cuts_part_no_code_point),
                cmocka_unit_test(good_cuts_are_at_sentences_then_at_spaces),
                cmocka_unit_test(encoding_is_the_inverse_of_decoding),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
