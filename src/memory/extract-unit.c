/* SPDX-License-Identifier: MIT */

/* Parting turns into units and scoring them. A turn of a few sentences is one unit, as in the
 * measurements that the weights come from: its sentences lean on each other ("It is at five.").
 * Longer turns are parted at the ends of sentences and at line ends, and what is longer still at
 * white space, so that one endless sentence cannot eat the budget.
 *
 * The score, with z() meaning distance from the mean in standard deviations:
 *     z(features) + z(sum of the terms' weights / (characters + 20)) + 0.8 if it answers a question
 *     features = min(words, 40)/40 + .5 min(numbers, 2)/2 + .6 min(names, 3)/3 + .3 first person
 *                + .6 min(cues, 3)/3 - .5 question - .6 (fewer than 6 words)
 * Names are capitalised words inside of a sentence. A tool's output gets a malus of one: it is full
 * of rare terms and numbers, and what of it mattered is said by the assistant.
 *
 * Terms are found by a keyed hash of 64 bits, and two that share it would count as one: that cannot
 * be brought about without the key, and would cost a little weight. All is linear in the input. */

#include <math.h>
#include <sodium.h>

#include "memory/extract-internal.h"

#define ANSWER_BONUS 0.8f
#define TOOL_MALUS   1.0f
#define ANSWER_UNITS 3 /* of a long answer, that many get the bonus */
#define WORDS_FULL   40
#define WORDS_FEW    6

/* Makes room for one more element. */
static int grow(void *array, size_t *cap, size_t n, size_t element) {
        void **a = array;

        if (n < *cap)
                return 0;
        size_t wanted = MAX(*cap * 2, (size_t) 64);
        void *grown = reallocarray(*a, wanted, element);
        if (!grown)
                return -ENOMEM;
        *a = grown;
        *cap = wanted;
        return 0;
}

int extract_units_init(ExtractUnits *u) {
        *u = (ExtractUnits){};
        u->by_hash = map_new();
        randombytes_buf(u->hash_key, sizeof(u->hash_key));
        return u->by_hash ? 0 : -ENOMEM;
}

void extract_units_done(ExtractUnits *u) {
        free(TAKE_PTR(u->units));
        free(TAKE_PTR(u->terms));
        free(TAKE_PTR(u->unit_terms));
        u->by_hash = map_free(u->by_hash);
}

/* ---- terms ---- */

static int find_term(ExtractUnits *u, const TextWord *w, ExtractTerm **ret) {
        uint64_t hash;

        (void) crypto_shorthash((uint8_t *) &hash, (const uint8_t *) w->term, w->n_term, u->hash_key);
        hash += hash == 0;
        uintptr_t at = (uintptr_t) map_get(u->by_hash, hash);
        if (at > 0) {
                *ret = &u->terms[at - 1];
                return 0;
        }
        int r = grow(&u->terms, &u->cap_terms, u->n_terms, sizeof(*u->terms));
        if (r >= 0)
                /* not a pointer, a number: the map does not look at it */
                r = map_put(u->by_hash, hash, (void *) (uintptr_t) (u->n_terms + 1));
        if (r < 0)
                return r;
        *ret = &u->terms[u->n_terms++];
        **ret = (ExtractTerm){
                .text = w->p,
                .n = (uint32_t) w->n,
                .is_stop = extract_word_kinds(w->term) & EXTRACT_WORD_STOP,
        };
        return 0;
}

static int count_term(ExtractUnits *u, ExtractUnit *unit, const TextWord *w, bool is_name) {
        uint32_t number = (uint32_t) u->n_units + 1;
        ExtractTerm *t;

        int r = find_term(u, w, &t);
        if (r < 0)
                return r;
        t->n_all++;
        t->is_name |= is_name;
        if (t->last_unit == number)
                return 0;
        r = grow(&u->unit_terms, &u->cap_unit_terms, u->n_unit_terms, sizeof(*u->unit_terms));
        if (r < 0)
                return r;
        t->last_unit = number;
        t->n_units++;
        u->unit_terms[u->n_unit_terms++] = (uint32_t) (t - u->terms);
        unit->n_terms++;
        return 0;
}

float extract_term_weight(const ExtractUnits *u, const ExtractTerm *t) {
        double n = (double) u->n_units, df = t->n_units;

        return t->is_stop ? 0 : (float) log(1 + (n - df + 0.5) / (df + 0.5));
}

/* ---- features ---- */

typedef struct Counts {
        unsigned words, pairs, numbers, names, cues;
        bool first_person;
} Counts;

/* Does a sentence begin here? Its first word's capital says nothing. */
static bool begins_sentence(const char *text, const char *at) {
        while (at > text && strchr(" \t\"'([*-", at[-1]))
                at--;
        return at == text || strchr(".!?:\n", at[-1]) != NULL;
}

static int count_words(ExtractUnits *u, ExtractUnit *unit, Counts *ret) {
        TextWords words = text_words(unit->text, unit->n);
        TextWord w;

        while (text_words_next(&words, &w)) {
                unsigned kinds = extract_word_kinds(w.term);
                bool is_name = w.is_upper && !(kinds & (EXTRACT_WORD_FIRST | EXTRACT_WORD_STOP)) &&
                               !begins_sentence(unit->text, w.p);
                int r = count_term(u, unit, &w, is_name);
                if (r < 0)
                        return r;
                ret->words += !w.is_pair;
                ret->pairs += w.is_pair;
                ret->numbers += w.has_digit;
                ret->names += is_name;
                ret->cues += (kinds & EXTRACT_WORD_CUE) != 0;
                ret->first_person |=
                        (kinds & EXTRACT_WORD_FIRST) != 0 ||
                        (w.is_pair && (memcmp(w.p, "我", 3) == 0 || memcmp(w.p, "私", 3) == 0));
        }
        return 0;
}

/* True when the last character that is neither white space, quote nor bracket asks. */
static bool is_question(const char *s, size_t n) {
        while (n > 0 && strchr(" \t\r\n\"')]*_", s[n - 1]))
                n--;
        return (n >= 1 && s[n - 1] == '?') || (n >= 3 && memcmp(s + n - 3, "？", 3) == 0) ||
               (n >= 2 && memcmp(s + n - 2, "؟", 2) == 0);
}

static float features(const ExtractUnit *unit, const Counts *c) {
        unsigned words = c->words + c->pairs / 2;
        float f = (float) MIN(words, (unsigned) WORDS_FULL) / WORDS_FULL;

        f += 0.5f * (float) MIN(c->numbers, 2u) / 2;
        f += 0.6f * (float) MIN(c->names, 3u) / 3;
        f += 0.6f * (float) MIN(c->cues, 3u) / 3;
        f += c->first_person ? 0.3f : 0;
        f -= is_question(unit->text, unit->n) ? 0.5f : 0;
        f -= words < WORDS_FEW ? 0.6f : 0;
        return f;
}

/* Characters, those of scripts without spaces twice: they say about as much as two letters. */
static unsigned width(const char *s, size_t n) {
        unsigned w = 0;

        for (size_t i = 0; i < n;) {
                uint32_t c;
                i += text_decode(s + i, n - i, &c);
                w += text_is_unspaced(c) ? 2 : 1;
        }
        return w;
}

/* ---- parting ---- */

static bool is_abbreviation(const char *text, const char *dot) {
        static const char *const known[] = { "Dr",  "Mr",  "Mrs", "Ms",  "St", "Prof", "vs",
                                             "etc", "e.g", "i.e", "z.B", "No", "Nr",   "ca" };
        const char *begin = dot;

        while (begin > text && dot - begin < 8 && !strchr(" \t\n(", begin[-1]))
                begin--;
        size_t n = (size_t) (dot - begin);
        ARRAY_FOREACH(k, known)
                if (strlen(*k) == n && memcmp(*k, begin, n) == 0)
                        return true;
        return n == 1 && *begin >= 'A' && *begin <= 'Z';
}

/* The number of bytes of a sentence's end that begins at p, or 0. */
static size_t sentence_end(const char *text, const char *p, const char *end) {
        static const char *const full[] = { "。", "！", "？", "।", "؟", "…" };
        size_t left = (size_t) (end - p), n = 0;

        ARRAY_FOREACH(f, full)
                if (left >= strlen(*f) && memcmp(p, *f, strlen(*f)) == 0)
                        return strlen(*f);
        if (*p == '\n')
                return 1;
        while (n < left && strchr(".!?", p[n]) && p[n] != '\0')
                n++;
        if (n == 0 || (n == 1 && *p == '.' && is_abbreviation(text, p)))
                return 0;
        while (n < left && strchr("\"')]*", p[n]) && p[n] != '\0')
                n++;
        return n == left || strchr(" \t\r\n", p[n]) ? n : 0;
}

/* The length of the first sentence of text, at most EXTRACT_SENTENCE_BYTES. */
static size_t first_sentence(const char *text, size_t n) {
        size_t look = MIN(n, (size_t) EXTRACT_SENTENCE_BYTES);

        for (size_t i = 0; i < look; i++) {
                /* most characters can end nothing */
                if (!strchr(".!?\n", text[i]) && (uint8_t) text[i] < 0xC0)
                        continue;
                size_t k = sentence_end(text, text + i, text + n);
                if (k > 0)
                        return i + k;
        }
        return text_cut_well(text, n, EXTRACT_SENTENCE_BYTES);
}

static void trim(const char **p, size_t *n) {
        while (*n > 0 && strchr(" \t\r\n", **p) && **p != '\0')
                (*p)++, (*n)--;
        while (*n > 0 && strchr(" \t\r\n", (*p)[*n - 1]) && (*p)[*n - 1] != '\0')
                (*n)--;
}

static int add_unit(ExtractUnits *u, const ExtractTurn *turn, const char *p, size_t n, bool is_answer) {
        trim(&p, &n);
        if (n == 0)
                return 0;
        int r = grow(&u->units, &u->cap_units, u->n_units, sizeof(*u->units));
        if (r < 0)
                return r;

        ExtractUnit *unit = &u->units[u->n_units];
        Counts counts = {};
        *unit = (ExtractUnit){
                .id = turn->id,
                .text = p,
                .n = (uint32_t) n,
                .first_term = u->n_unit_terms,
                .is_answer = is_answer,
        };
        r = count_words(u, unit, &counts);
        if (r < 0 || unit->n_terms == 0)
                return r;
        unit->features = features(unit, &counts) - (streq_ptr(turn->role, "tool") ? TOOL_MALUS : 0);
        u->n_units++;
        return 0;
}

int extract_units_add(ExtractUnits *u, const ExtractTurn *turn) {
        const char *p = turn->text, *end = p + turn->n;
        bool is_whole = turn->n <= EXTRACT_TURN_BYTES;

        for (unsigned i = 0; p < end; i++) {
                size_t n = is_whole ? turn->n : first_sentence(p, (size_t) (end - p));
                int r = add_unit(u, turn, p, n, u->after_question && i < ANSWER_UNITS);
                if (r < 0)
                        return r;
                p += n;
        }
        u->n_bytes += turn->n;
        u->after_question = is_question(turn->text, turn->n);
        return 0;
}

/* ---- scores ---- */

typedef struct Spread {
        double sum, squares;
} Spread;

static void spread_add(Spread *s, double v) {
        s->sum += v;
        s->squares += v * v;
}

static float z(const Spread *s, size_t n, double v) {
        double mean = s->sum / (double) n, variance = s->squares / (double) n - mean * mean;

        return variance > 1e-12 ? (float) ((v - mean) / sqrt(variance)) : 0;
}

static void weigh(const ExtractUnits *u, ExtractUnit *unit) {
        float sum = 0;

        for (size_t i = 0; i < unit->n_terms; i++) {
                float w = extract_term_weight(u, &u->terms[u->unit_terms[unit->first_term + i]]);
                sum += w;
                unit->weight2 += w * w;
        }
        unit->density = sum / (float) (width(unit->text, unit->n) + 20);
}

void extract_units_score(ExtractUnits *u) {
        Spread f = {}, d = {};

        for (size_t i = 0; i < u->n_units; i++) {
                weigh(u, &u->units[i]);
                spread_add(&f, u->units[i].features);
                spread_add(&d, u->units[i].density);
        }
        for (size_t i = 0; i < u->n_units; i++) {
                ExtractUnit *unit = &u->units[i];
                unit->score = z(&f, u->n_units, unit->features) + z(&d, u->n_units, unit->density) +
                              (unit->is_answer ? ANSWER_BONUS : 0);
        }
}
