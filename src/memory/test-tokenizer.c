/* SPDX-License-Identifier: MIT */

/* Tokens come as the vocabulary says; files that are none are refused with a reason. */

#include <stdio.h>

#include "base/test.h"
#include "memory/tokenizer-internal.h"

#define WORDPIECE                                                                                               \
        "{\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"       \
        "\"strip_accents\":null,\"lowercase\":true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\"," \
        "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":12,\"vocab\":{\"[UNK]\":0,\"un\":1," \
        "\"##aff\":2,\"##able\":3,\"cafe\":4,\",\":5,\"水\":6,\"車\":7,\"runn\":8,\"##ing\":9,\"the\":10,\"\\u20ac\":11}}}"

#define UNIGRAM                                                                                             \
        "{\"normalizer\":{\"type\":\"Precompiled\"},\"pre_tokenizer\":{\"type\":\"Metaspace\"},\"model\":{" \
        "\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"\\u2581he\",-3.5],[\"\\u2581\",-2]," \
        "[\"llo\",-4],[\"\\u2581hello\",-6],[\"\\u2581wor\",-5],[\"ld\",-3],[\"l\",-9],[\"d\",-9],[\"ä\",-5]]}}"

static void check(const char *json, const char *text, const char *expected) {
        _cleanup_(tokenizer_freep) Tokenizer *t = NULL;
        _cleanup_buf_ Buf got = BUF_INIT(4096);
        const char *message = NULL;
        uint32_t ids[16];
        size_t n;

        assert_int_equal(tokenizer_new(&t, json, strlen(json), &message), 0);
        assert_int_equal(tokenizer_run(t, text, strlen(text), ids, ELEMENTSOF(ids), &n), 0);
        for (size_t i = 0; i < n; i++) {
                assert_true(ids[i] < tokenizer_size(t));
                assert_int_equal(buf_printf(&got, "%u ", ids[i]), 0);
        }
        assert_string_equal(got.data ? got.data : "", expected);
}

static void wordpiece_takes_the_longest_pieces(void **state) {
        check(WORDPIECE, "unaffable", "1 2 3 ");
        check(WORDPIECE, "The running", "10 8 9 ");
        /* what has a rest that is no piece is unknown as a whole, and left out */
        check(WORDPIECE, "unaffablex the", "10 ");
        check(WORDPIECE, "[UNK] the", "10 ");
        check(WORDPIECE, "", "");
        check(WORDPIECE, " \n\t ", "");
}

static void case_accents_punctuation_and_ideographs_are_as_bert_has_them(void **state) {
        check(WORDPIECE, "CAFÉ,café cafe\xCC\x81", "4 5 4 4 ");
        check(WORDPIECE, "水車", "6 7 ");
        check(WORDPIECE, "the\xE2\x80\x8B the\x01", "10 10 ");
        check(WORDPIECE, "the€", "10 11 ");
}

static void words_that_are_too_long_are_unknown(void **state) {
        check(WORDPIECE, "unaffaffaffaff the", "10 ");
}

static void unigram_takes_the_best_way(void **state) {
        /* one token of -6 is better than -3.5 - 4 */
        check(UNIGRAM, "hello world", "4 5 6 ");
        check(UNIGRAM, "hello  hello", "4 4 ");
        /* characters that are in no token are left out */
        check(UNIGRAM, "heX", "1 ");
        check(UNIGRAM, "ä", "2 9 ");
        check(UNIGRAM, "漢", "2 ");
}

static void only_so_many_tokens_are_given(void **state) {
        check(UNIGRAM,
              "hello hello hello hello hello hello hello hello hello hello hello hello hello hello hello hello hello "
              "hello hello",
              "4 4 4 4 4 4 4 4 4 4 4 4 4 4 4 4 ");
}

static void bytes_that_are_no_text_do_no_harm(void **state) {
        check(WORDPIECE, "\xff\xfe the \xe4\xb8", "10 ");
        check(UNIGRAM, "\xff hello \xe4\xb8", "2 4 2 ");
}

static void endless_words_are_parted(void **state) {
        _cleanup_(tokenizer_freep) Tokenizer *t = NULL;
        const char *message = NULL;
        uint32_t ids[512];
        size_t n, size = 1u << 20;
        char *text = malloc(size);

        for (size_t i = 0; i < size; i++)
                text[i] = i % 2 ? 'l' : 'd';
        assert_int_equal(tokenizer_new(&t, UNIGRAM, strlen(UNIGRAM), &message), 0);
        assert_int_equal(tokenizer_run(t, text, size, ids, ELEMENTSOF(ids), &n), 0);
        assert_int_equal(n, 512);
        free(text);
}

static void what_is_no_tokenizer_is_refused(void **state) {
        static const struct {
                const char *json, *word;
        } cases[] = {
                { "", "JSON" },
                { "[]", "JSON" },
                { "{}", "model" },
                { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1}}}",
                  "neither WordPiece nor Unigram" },
                { "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", "empty" },
                { "{\"model\":{\"type\":\"WordPiece\",\"vocab\":7}}", "object" },
                { "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":-1}}}", "number" },
                { "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":4194304}}}", "number" },
                { "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":\"b\"}}}", "number" },
                { "{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "list" },
                { "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[1,2]]}}", "list" },
                { "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", "list" },
        };

        ARRAY_FOREACH(c, cases) {
                Tokenizer *t = NULL;
                const char *message = NULL;
                assert_int_equal(tokenizer_new(&t, c->json, strlen(c->json), &message), -EUCLEAN);
                assert_non_null(strstr(message, c->word));
                assert_null(t);
        }
}

static void letters_lose_their_accents(void **state) {
        static const uint32_t pairs[][2] = { { 0xE9, 'e' },    { 0xC5, 'A' },
                                             { 0x1EBF, 'e' },  { 0x439, 0x438 },
                                             { 0x3AC, 0x3B1 }, { 0x304C, 0x304B },
                                             { 'x', 'x' },     { 0x6F22, 0x6F22 } };

        ARRAY_FOREACH(p, pairs)
                assert_int_equal(tokenizer_base_letter((*p)[0]), (*p)[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(wordpiece_takes_the_longest_pieces),
                cmocka_unit_test(case_accents_punctuation_and_ideographs_are_as_bert_has_them),
                cmocka_unit_test(words_that_are_too_long_are_unknown),
                cmocka_unit_test(unigram_takes_the_best_way),
                cmocka_unit_test(only_so_many_tokens_are_given),
                cmocka_unit_test(bytes_that_are_no_text_do_no_harm),
                cmocka_unit_test(endless_words_are_parted),
                cmocka_unit_test(what_is_no_tokenizer_is_refused),
                cmocka_unit_test(letters_lose_their_accents),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
