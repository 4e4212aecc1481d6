/* SPDX-License-Identifier: MIT */

/* What the extractive summary promises: it keeps what is worth keeping better than the obvious ways, never
 * parts a character, repeats nothing, keeps identifiers to the letter, and takes any input. */

#include <stdio.h>

#include "base/clock.h"
#include "base/test.h"
#include "memory/extract-internal.h"

/* ---- a conversation with known evidence ---- */

#define TURNS_MAX 400

typedef struct Dialogue {
        Buf text;
        size_t at[TURNS_MAX + 1];
        ExtractTurn turns[TURNS_MAX];
        bool is_evidence[TURNS_MAX];
        size_t n;
        uint64_t seed;
} Dialogue;

static unsigned below(Dialogue *d, unsigned n) {
        d->seed = d->seed * 6364136223846793005u + 1442695040888963407u;
        return (unsigned) (d->seed >> 33) % n;
}

#define PICK(d, list) ((list)[below(d, (unsigned) ELEMENTSOF(list))])

static const char *const fillers[] = {
        "things", "stuff", "life", "work",   "the usual", "weather",
        "coffee", "music", "food", "people", "home",      "family",
};
static const char *const talk[] = {
        "Haha yeah, I know exactly what you mean about %s, it is always like that with %s.",
        "That sounds really nice, I am so happy to hear that about %s and %s!",
        "Oh wow, no way! I love %s too, we really should talk more about %s some time.",
        "I have been busy with %s lately, you know how it is, and then there is %s.",
        "Good to see you again! It has been too long, I was just thinking about %s and %s.",
        "Honestly I think %s is the best part of the day, together with %s of course.",
        "Sounds good, thanks a lot for telling me about %s, and take care of %s!",
        "My Tuesday was full of %s again, but Anna and I had 2 nice hours with %s!",
        "I always want more of %s, Tom says I should never decide anything without %s.",
        "Remember last year? Anna, Tom and 3 of us, all about %s and %s, every single Friday!",
        "Yeah, %s can be a lot, but hang in there, it gets better, just like %s.",
};
static const char *const questions[] = {
        "So how is it going with %s and with %s these days?",
        "What about you, anything new with %s or with %s?",
        "By the way, what did you decide in the end about %s and %s?",
};
static const char *const syllables[] = {
        "ka", "lu", "mer", "tin", "vos", "ral", "den", "qui", "sho", "bel", "nar", "zed",
};

static void name(Dialogue *d, char *ret, size_t size) {
        (void) snprintf(ret, size, "%s%s%s", PICK(d, syllables), PICK(d, syllables),
                        PICK(d, syllables));
        ret[0] = (char) (ret[0] - 32);
}

static void end_turn(Dialogue *d, bool is_evidence) {
        d->is_evidence[d->n] = is_evidence;
        d->at[++d->n] = d->text.len;
}

static void add_talk(Dialogue *d, const char *const *list, unsigned n) {
        const char *p = list[below(d, n)];

        for (; *p; p++)
                if (p[0] == '%') {
                        assert_int_equal(buf_puts(&d->text, PICK(d, fillers)), 0);
                        p++;
                } else
                        assert_int_equal(buf_putc(&d->text, *p), 0);
        end_turn(d, false);
}

static void add_fact(Dialogue *d) {
        unsigned number = 2 + below(d, 900);
        char a[32], b[32];

        name(d, a, sizeof(a));
        name(d, b, sizeof(b));
        switch (below(d, 5)) {
        case 0:
                (void) buf_printf(&d->text,
                                  "My sister %s moved to %s three years ago and rents a flat there.",
                                  a, b);
                break;
        case 1:
                (void) buf_printf(&d->text,
                                  "We decided to name the boat %s, it has its berth at pier %u in %s.",
                                  a, number, b);
                break;
        case 2:
                (void) buf_printf(
                        &d->text,
                        "the spare key hangs behind the oven at %s's, she lives in %s street.", a, b);
                break;
        case 3:
                (void) buf_printf(&d->text,
                                  "I prefer the trains of %s because the ticket costs only %u crowns.",
                                  a, number);
                break;
        default:
                (void) buf_printf(&d->text,
                                  "The dentist, Doctor %s, gave me an appointment on October %u.",
                                  a, 1 + number % 31);
                break;
        }
        end_turn(d, true);
}

static void make(Dialogue *d, uint64_t seed) {
        *d = (Dialogue){ .text = BUF_INIT(1u << 20), .seed = seed };
        while (d->n + 2 < 300)
                switch (below(d, 8)) {
                case 0:
                        add_talk(d, questions, ELEMENTSOF(questions));
                        if (below(d, 2) == 0)
                                add_fact(d);
                        else
                                add_talk(d, talk, ELEMENTSOF(talk));
                        break;
                case 1:
                        add_fact(d);
                        break;
                default:
                        add_talk(d, talk, ELEMENTSOF(talk));
                }
        for (size_t i = 0; i < d->n; i++)
                d->turns[i] = (ExtractTurn){
                        .id = i + 1,
                        .role = i % 2 ? "assistant" : "user",
                        .text = d->text.data + d->at[i],
                        .n = d->at[i + 1] - d->at[i],
                };
}

static double share_of_evidence(const Dialogue *d, const bool *kept) {
        unsigned all = 0, found = 0;

        for (size_t i = 0; i < d->n; i++) {
                all += d->is_evidence[i];
                found += d->is_evidence[i] && kept[i];
        }
        return (double) found / all;
}

static double kept_by_extract(const Dialogue *d) {
        _cleanup_extract_ Extract e = {};
        ExtractOptions o = { .share = 0.25, .bytes_max = SIZE_MAX };
        bool kept[TURNS_MAX] = {};
        size_t bytes = 0;

        assert_int_equal(extract_turns(d->turns, d->n, NULL, &o, &e), 0);
        for (size_t i = 0; i < e.n_sentences; i++) {
                assert_true(i == 0 || e.sentences[i].id > e.sentences[i - 1].id);
                kept[e.sentences[i].id - 1] = true;
                bytes += e.sentences[i].n;
        }
        assert_true(bytes <= d->text.len / 4);
        return share_of_evidence(d, kept);
}

/* The turns in the order given, as many as fit. */
static double kept_in_order(const Dialogue *d, const size_t *order) {
        bool kept[TURNS_MAX] = {};
        size_t left = d->text.len / 4;

        for (size_t i = 0; i < d->n; i++)
                if (d->turns[order[i]].n <= left) {
                        kept[order[i]] = true;
                        left -= d->turns[order[i]].n;
                }
        return share_of_evidence(d, kept);
}

static void more_evidence_is_kept_than_by_the_beginning_or_by_chance(void **state) {
        double ours = 0, lead = 0, chance = 0;
        static Dialogue d;

        for (uint64_t seed = 1; seed <= 10; seed++) {
                size_t order[TURNS_MAX];

                make(&d, seed);
                for (size_t i = 0; i < d.n; i++)
                        order[i] = i;
                ours += kept_by_extract(&d) / 10;
                lead += kept_in_order(&d, order) / 10;
                for (size_t i = d.n - 1; i > 0; i--) {
                        size_t k = below(&d, (unsigned) i + 1), x = order[i];
                        order[i] = order[k];
                        order[k] = x;
                }
                chance += kept_in_order(&d, order) / 10;
                buf_done(&d.text);
        }
        print_message("evidence kept at 25 %%: %.3f, the beginning %.3f, by chance %.3f\n", ours,
                      lead, chance);
        assert_true(ours >= 0.42);
        assert_true(ours >= lead + 0.2 && ours >= chance + 0.2);
}

static void the_same_input_gives_the_same_summary(void **state) {
        _cleanup_buf_ Buf a = BUF_INIT(1u << 20), b = BUF_INIT(1u << 20);
        static Dialogue d;

        make(&d, 5);
        Buf *bufs[] = { &a, &b };
        ARRAY_FOREACH(buf, bufs) {
                _cleanup_extract_ Extract e = {};
                assert_int_equal(extract_turns(d.turns, d.n, NULL, NULL, &e), 0);
                assert_int_equal(extract_write(&e, *buf), 0);
        }
        assert_string_equal(a.data, b.data);
        buf_done(&d.text);
}

/* ---- single cases ---- */

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

/* Time for n bytes of ordinary text as a single turn. */
static double seconds_for(size_t n) {
        _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX);
        _cleanup_extract_ Extract e = {};
        static Dialogue d;

        for (uint64_t seed = 1; text.len < n; seed++) {
                make(&d, seed);
                assert_int_equal(buf_append(&text, d.text.data, d.text.len), 0);
                buf_done(&d.text);
        }
        const ExtractTurn turn = { .id = 1, .text = text.data, .n = n };
        usec_t begin = clock_monotonic();
        assert_int_equal(extract_turns(&turn, 1, NULL, NULL, &e), 0);
        usec_t took = clock_monotonic() - begin;
        size_t bytes = 0;
        for (size_t i = 0; i < e.n_sentences; i++)
                bytes += e.sentences[i].n;
        assert_in_range(bytes, 1000, 1500);
        return (double) took / USEC_PER_SEC;
}

static void ten_mebibytes_take_linear_time(void **state) {
        double one = seconds_for(1u << 20), ten = seconds_for(10u << 20);

        print_message("1 MiB in %.3f s, 10 MiB in %.3f s\n", one, ten);
        /* quadratic would be a hundredfold; the margin is for a busy machine */
        assert_true(ten < 40 * one + 1);
}

static void ten_mebibytes_of_brackets_and_of_one_line_are_no_trap(void **state) {
        static const char *const pieces[] = { ")", "(", "1", "/", "a.", "?", "I like it. ", "é" };

        ARRAY_FOREACH(piece, pieces) {
                _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX);
                _cleanup_extract_ Extract e = {};

                while (text.len < 2u << 20)
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
                cmocka_unit_test(more_evidence_is_kept_than_by_the_beginning_or_by_chance),
                cmocka_unit_test(the_same_input_gives_the_same_summary),
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
                cmocka_unit_test(ten_mebibytes_take_linear_time),
                cmocka_unit_test(ten_mebibytes_of_brackets_and_of_one_line_are_no_trap),
                cmocka_unit_test(what_a_model_wrote_is_checked_against_the_source),
                cmocka_unit_test(the_words_stand_in_the_order_that_they_are_searched_in),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
