/* SPDX-License-Identifier: MIT */

/* What the extractive summary is for: of generated conversations with small talk and known facts in
 * them it keeps more of the facts than the obvious ways do, the same ones every time, and in linear
 * time. Half of the small talk has names and numbers too. */

#include <stdio.h>

#include "base/clock.h"
#include "base/test.h"
#include "memory/extract.h"

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
        char who[32], where[32];

        /* names alone must not be what tells evidence from talk */
        name(d, who, sizeof(who));
        name(d, where, sizeof(where));
        if (below(d, 2) == 0)
                assert_int_equal(buf_printf(&d->text, "Greetings from %s in %s, number %u. ", who,
                                            where, below(d, 1000)),
                                 0);
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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(more_evidence_is_kept_than_by_the_beginning_or_by_chance),
                cmocka_unit_test(the_same_input_gives_the_same_summary),
                cmocka_unit_test(ten_mebibytes_take_linear_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
