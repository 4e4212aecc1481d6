/* SPDX-License-Identifier: MIT */

/* What the extractive summary promises, case by case: it never parts a character, repeats nothing,
 * keeps identifiers to the letter, and takes any input. */

#include <stdio.h>

#include "base/clock.h"
#include "base/test.h"
#include "memory/extract-internal.h"

#define TURN(i, r, t) ((ExtractTurn){ .id = (i), .role = (r), .text = (t), .n = strlen(t) })

static char *summary(const ExtractTurn *turns, size_t n, const char *previous, const ExtractOptions *o) {
        _cleanup_extract_ Extract e = {};
        _cleanup_buf_ Buf b = BUF_INIT(1u << 24);

        assert_int_equal(extract_turns(turns, n, previous, o, &e), 0);
        assert_int_equal(extract_write(&e, &b), 0);
        return b.data ? buf_take(&b, NULL) : strdup("");
}

static void nothing_gives_nothing(void **state) {
        const ExtractTurn turns[] = {
                TURN(1, "user", ""),
                TURN(2, "user", " \n\t "),
                TURN(3, "user", "... !?"),
                { .id = 4 },
                TURN(5, "system", "You are a helpful assistant at https://example.com/x1."),
        };
        _cleanup_free_ char *none = summary(NULL, 0, NULL, NULL),
                            *blank = summary(turns, 5, "", NULL);

        assert_string_equal(none, "");
        assert_string_equal(blank, "");
}

static void one_short_turn_is_kept_whole(void **state) {
        const ExtractTurn turn = TURN(0x1a, "user", "My name is\n Ada.");
        _cleanup_free_ char *s = summary(&turn, 1, NULL, NULL);

        assert_string_equal(s, "My name is Ada. [m:000000000000001a]\n");
}

static void an_answer_is_kept_before_the_question(void **state) {
        const ExtractTurn turns[] = {
                TURN(1, "user",
                     "Well hello there my friend, what a lovely day it is again, is it not so?"),
                TURN(2, "assistant",
                     "It is indeed very lovely again, what a lovely thing to say my friend."),
                TURN(3, "user", "Which colour did the customer want for the fence around the garden?"),
                TURN(4, "assistant", "A dark green, matte, and two coats of it on the southern side."),
        };
        const ExtractOptions o = { .bytes_max = 80, .terms_max = 1 };
        _cleanup_extract_ Extract e = {};

        assert_int_equal(extract_turns(turns, 4, NULL, &o, &e), 0);
        assert_int_equal(e.n_sentences, 1);
        assert_int_equal(e.sentences[0].id, 4);
}

static void repeats_are_dropped(void **state) {
        ExtractTurn turns[40];
        const ExtractOptions o = { .share = 1 };
        _cleanup_extract_ Extract e = {};

        for (unsigned i = 0; i < ELEMENTSOF(turns); i++)
                turns[i] = i % 2 ? TURN(i + 1, "user",
                                        "The deadline for the Kestrel project is the 5th of May.")
                                 : TURN(i + 1, "user",
                                        "the deadline for the Kestrel project is the 5th of May!");
        assert_int_equal(extract_turns(turns, ELEMENTSOF(turns), NULL, &o, &e), 0);
        assert_int_equal(e.n_sentences, 1);
}

static void identifiers_are_kept_to_the_letter(void **state) {
        const ExtractTurn turns[] = {
                TURN(1, "user",
                     "See (https://example.com/a_(b)?q=1&r=%20#x), and /var/log/app.log; or C:\\Temp\\x."),
                TURN(2, "tool",
                     "commit 9f3c2ab, id=`550e8400-e29b-41d4-a716-446655440000` v1.2.3-rc1, E0425"),
                TURN(3, "assistant",
                     "Mail ada@example.org about \"src/main.c\", foo_bar() and Foo::bar; and/or 1,250.50 €."),
                TURN(4, "user",
                     "発送番号はAB-12345です。 See https://example.com/a_(b)?q=1&r=%20#x again, 7 times."),
        };
        static const char *const expected[] = {
                "https://example.com/a_(b)?q=1&r=%20#x",
                "/var/log/app.log",
                "C:\\Temp\\x",
                "9f3c2ab",
                "id=`550e8400-e29b-41d4-a716-446655440000",
                "v1.2.3-rc1",
                "E0425",
                "ada@example.org",
                "src/main.c",
                "foo_bar()",
                "Foo::bar",
                "1,250.50",
                "AB-12345",
        };
        _cleanup_extract_ Extract e = {};

        assert_int_equal(extract_turns(turns, ELEMENTSOF(turns), NULL, NULL, &e), 0);
        ARRAY_FOREACH(x, expected)
                assert_string_equal(e.identifiers[x - expected], *x);
        assert_null(e.identifiers[ELEMENTSOF(expected)]);
}

static void places_come_before_numbers_where_room_is_short(void **state) {
        const ExtractTurn turn = TURN(1, "user", "10 20 30 40 /etc/hosts 50 ab12 60");
        const ExtractOptions o = { .identifiers_max = 3 };
        _cleanup_extract_ Extract e = {};

        assert_int_equal(extract_turns(&turn, 1, NULL, &o, &e), 0);
        assert_string_equal(e.identifiers[0], "10");
        assert_string_equal(e.identifiers[1], "/etc/hosts");
        assert_string_equal(e.identifiers[2], "ab12");
        assert_null(e.identifiers[3]);
}

static void look_up_terms_lead_to_what_was_left_out(void **state) {
        const ExtractTurn turns[] = {
                TURN(1, "user",
                     "We decided on 12 March 2024 to sell the Falkenberg house to Mr Oduya for 310000."),
                TURN(2, "assistant", "okay that is nice"),
                TURN(3, "user", "there was also Zanzibar, remember"),
        };
        const ExtractOptions o = { .bytes_max = 90 };
        _cleanup_extract_ Extract e = {};

        assert_int_equal(extract_turns(turns, 3, NULL, &o, &e), 0);
        assert_int_equal(e.n_sentences, 1);
        assert_string_equal(e.terms[0], "Zanzibar");
        for (char **t = e.terms; *t; t++)
                assert_string_not_equal(*t, "Falkenberg");
}

static void an_earlier_summary_keeps_its_pointers_and_is_not_nested(void **state) {
        static const char previous[] = "Ada wants the report by Friday 17:00. [m:00000000000000aa]\n"
                                       "A line without pointer about the Quennell bridge.\n"
                                       "Terms: Rosebud, Xanadu\n"
                                       "Identifiers: /srv/old/path PO-7781\n";
        const ExtractTurn turn =
                TURN(0xbb, "user", "The report is at /srv/new/report.pdf since Tuesday.");
        const ExtractOptions o = { .share = 1 };
        _cleanup_free_ char *s = summary(&turn, 1, previous, &o);

        assert_string_equal(s, "Ada wants the report by Friday 17:00. [m:00000000000000aa]\n"
                               "A line without pointer about the Quennell bridge.\n"
                               "The report is at /srv/new/report.pdf since Tuesday. [m:00000000000000bb]\n"
                               "Identifiers: 17:00 /srv/old/path PO-7781 /srv/new/report.pdf\n");
        /* and as the next consolidations do: identifiers in sentences come first now, then nothing changes */
        _cleanup_free_ char *again = summary(NULL, 0, s, &o);
        assert_non_null(
                strstr(again, "Identifiers: 17:00 /srv/new/report.pdf /srv/old/path PO-7781\n"));
        _cleanup_free_ char *once_more = summary(NULL, 0, again, &o);
        assert_string_equal(once_more, again);
}

static void endless_sentences_are_cut_between_characters(void **state) {
        static const char *const pieces[] = { "word ", "漢", "ä", "x", "😀", "\xff" };

        ARRAY_FOREACH(piece, pieces) {
                _cleanup_buf_ Buf text = BUF_INIT(1u << 22);
                _cleanup_extract_ Extract e = {};

                while (text.len < 100000)
                        assert_int_equal(buf_puts(&text, *piece), 0);
                const ExtractTurn turn = { .id = 1, .text = text.data, .n = text.len };
                assert_int_equal(extract_turns(&turn, 1, NULL, NULL, &e), 0);
                for (size_t i = 0; i < e.n_sentences; i++) {
                        assert_true(e.sentences[i].n <= EXTRACT_SENTENCE_BYTES);
                        assert_true(**piece == '\xff' ||
                                    utf8_is_valid(e.sentences[i].text, e.sentences[i].n));
                }
                assert_true(e.n_sentences == 1 || **piece == '\xff' || **piece == '\xf0');
        }
}

static void chinese_and_japanese_are_parted_and_weighed(void **state) {
        Buf text = BUF_INIT(1u << 20);
        const ExtractOptions o = { .bytes_max = 130 };
        _cleanup_extract_ Extract e = {};

        for (int i = 0; i < 30; i++) {
                assert_int_equal(buf_puts(&text, "是的，今天天气真的很好，我们都觉得很好。"), 0);
                if (i == 17)
                        assert_int_equal(
                                buf_puts(&text, "王小明决定明年三月搬到杭州，门牌号是B-204。"), 0);
        }
        const ExtractTurn turn = { .id = 9, .text = text.data, .n = text.len };
        assert_int_equal(extract_turns(&turn, 1, NULL, &o, &e), 0);
        assert_int_equal(e.n_sentences, 2);
        assert_non_null(memmem(e.sentences[1].text, e.sentences[1].n, "王小明", 9));
        assert_string_equal(e.identifiers[0], "B-204");
        buf_done(&text);
}

static void endless_brackets_and_endless_lines_are_no_trap(void **state) {
        static const char *const pieces[] = { ")", "(", "1", "/", "a.", "?", "I like it. ", "é" };

        ARRAY_FOREACH(piece, pieces) {
                _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX);
                _cleanup_extract_ Extract e = {};

                while (text.len < 1u << 19)
                        assert_int_equal(buf_puts(&text, *piece), 0);
                const ExtractTurn turn = { .id = 1, .text = text.data, .n = text.len };
                usec_t begin = clock_monotonic();
                assert_int_equal(extract_turns(&turn, 1, NULL, NULL, &e), 0);
                assert_true(clock_monotonic() - begin < 60 * USEC_PER_SEC);
        }
}

static void what_a_model_wrote_is_checked_against_the_source(void **state) {
        const ExtractTurn turns[] = {
                TURN(1, "user", "Order 1427 goes to /srv/a/b, cost $3,500."),
                TURN(2, "tool", "ok: https://example.com/x"),
        };

        assert_true(extract_identifiers_occur("Order 1427: 3,500 for https://example.com/x.", turns,
                                              2, 1));
        assert_true(extract_identifiers_occur("No such thing is in here.", turns, 2, 1));
        assert_true(extract_identifiers_occur("", NULL, 0, 1));
        /* a part of a number is another number */
        assert_false(extract_identifiers_occur("Order 142", turns, 2, 0.8));
        assert_false(extract_identifiers_occur("1427 and 99", turns, 2, 0.8));
        assert_true(extract_identifiers_occur("1427 and 99", turns, 2, 0.5));
        assert_true(extract_identifiers_occur("1427 3,500 /srv/a/b $3,500 and 99", turns, 2, 0.8));
}

static void the_words_stand_in_the_order_that_they_are_searched_in(void **state) {
        assert_true(extract_words_are_sorted());
        assert_int_equal(extract_word_kinds("my"), EXTRACT_WORD_FIRST);
        assert_int_equal(extract_word_kinds("deadline"), EXTRACT_WORD_CUE);
        assert_int_equal(extract_word_kinds("a"), EXTRACT_WORD_STOP);
        assert_int_equal(extract_word_kinds("鉄道"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_gives_nothing),
                cmocka_unit_test(one_short_turn_is_kept_whole),
                cmocka_unit_test(an_answer_is_kept_before_the_question),
                cmocka_unit_test(repeats_are_dropped),
                cmocka_unit_test(identifiers_are_kept_to_the_letter),
                cmocka_unit_test(places_come_before_numbers_where_room_is_short),
                cmocka_unit_test(look_up_terms_lead_to_what_was_left_out),
                cmocka_unit_test(an_earlier_summary_keeps_its_pointers_and_is_not_nested),
                cmocka_unit_test(endless_sentences_are_cut_between_characters),
                cmocka_unit_test(chinese_and_japanese_are_parted_and_weighed),
                cmocka_unit_test(endless_brackets_and_endless_lines_are_no_trap),
                cmocka_unit_test(what_a_model_wrote_is_checked_against_the_source),
                cmocka_unit_test(the_words_stand_in_the_order_that_they_are_searched_in),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
