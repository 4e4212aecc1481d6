/* SPDX-License-Identifier: MIT */

/* Choosing what is kept: the units by falling score, each that fits what is left of the budget and
 * does not repeat one that is kept already. Similarity is the cosine of the units' terms by weight.
 * A walk over all kept ones for every candidate would be quadratic in a summary of a large part of
 * a large input; so the walk ends after a fixed number of refusals in a row, when what is left is
 * either a repeat or too large.
 *
 * Look-up terms come from what was not kept: words of kept sentences find the summary anyway, the
 * others are the way back to the messages. Identifiers are kept whether their sentence is or not,
 * as they are the part that nobody can guess: places and codes before numbers, where not all have
 * room.
 *
 * An earlier summary takes part as the oldest turns, line by line, so that summaries are replaced
 * and never nested; the pointers behind its sentences are read back. */

#include <math.h>

#include "base/id.h"
#include "base/str.h"
#include "memory/extract-internal.h"

#define REFUSALS_MAX 1024
#define REPEAT       0.85f
#define TERMS        "Terms: "
#define IDENTIFIERS  "Identifiers: "
#define POINTER      " [m:"

static ExtractOptions with_defaults(const ExtractOptions *options) {
        ExtractOptions o = options ? *options : (ExtractOptions){};

        o.share = o.share > 0 ? o.share : 0.25;
        o.bytes_max = o.bytes_max ?: 1500;
        o.terms_max = o.terms_max ?: 12;
        o.identifiers_max = o.identifiers_max ?: 32;
        return o;
}

/* Roles of an earlier summary's lines that are no sentences. */
static const char role_terms[] = "system", role_identifiers[] = "identifiers";

static bool is_left_out(const ExtractTurn *t) {
        return t->n == 0 || streq_ptr(t->role, "system");
}

/* ---- sentences ---- */

static int compare_scores(const void *a, const void *b) {
        const ExtractUnit *x = *(ExtractUnit *const *) a, *y = *(ExtractUnit *const *) b;

        if (x->score > y->score || x->score < y->score)
                return x->score > y->score ? -1 : 1;
        return x < y ? -1 : x > y;
}

/* Marks the terms of a with number, for common(). */
static void mark(ExtractUnits *u, const ExtractUnit *a, uint32_t number) {
        for (size_t i = 0; i < a->n_terms; i++)
                u->terms[u->unit_terms[a->first_term + i]].last_unit = number;
}

static float common(const ExtractUnits *u, const ExtractUnit *b, uint32_t number) {
        float dot = 0;

        for (size_t i = 0; i < b->n_terms; i++) {
                const ExtractTerm *t = &u->terms[u->unit_terms[b->first_term + i]];
                if (t->last_unit != number)
                        continue;
                float w = extract_term_weight(u, t);
                dot += w * w;
        }
        return dot;
}

static bool repeats(ExtractUnits *u,
                    const ExtractUnit *a,
                    ExtractUnit *const *kept,
                    size_t n_kept,
                    uint32_t number) {
        mark(u, a, number);
        for (size_t i = 0; i < n_kept; i++) {
                float lengths = sqrtf(a->weight2 * kept[i]->weight2);
                if (lengths <= 0 ? a->n == kept[i]->n && memcmp(a->text, kept[i]->text, a->n) == 0
                                 : common(u, kept[i], number) > REPEAT * lengths)
                        return true;
        }
        return false;
}

/* order holds all units by score; the kept ones come to its front. Returns their number. */
static size_t keep_best(ExtractUnits *u, ExtractUnit **order, const ExtractOptions *o) {
        double share = (double) u->n_bytes * MIN(o->share, 1.0);
        size_t left = MIN((size_t) share, o->bytes_max), n_kept = 0;
        unsigned refusals = 0;

        for (size_t i = 0; i < u->n_units && refusals < REFUSALS_MAX; i++) {
                ExtractUnit *unit = order[i];

                if (i == 0) {
                        unit->n = (uint32_t) text_cut_well(unit->text, unit->n, o->bytes_max);
                        left = MAX(left, (size_t) unit->n);
                }
                refusals++;
                /* numbers above those of units: marks of counting are not ours */
                if (unit->n > left || unit->n == 0 ||
                    repeats(u, unit, order, n_kept, (uint32_t) (u->n_units + 1 + i)))
                        continue;
                refusals = 0;
                unit->is_kept = true;
                left -= unit->n;
                order[n_kept++] = unit;
        }
        return n_kept;
}

static int choose_sentences(ExtractUnits *u, const ExtractOptions *o, Extract *e) {
        _cleanup_free_ ExtractUnit **order = NULL;

        if (u->n_units == 0)
                return 0;
        order = calloc(u->n_units, sizeof(ExtractUnit *));
        if (!order)
                return -ENOMEM;
        for (size_t i = 0; i < u->n_units; i++)
                order[i] = &u->units[i];
        qsort(order, u->n_units, sizeof(ExtractUnit *), compare_scores);
        size_t n = keep_best(u, order, o);
        e->sentences = calloc(MAX(n, (size_t) 1), sizeof(*e->sentences));
        if (!e->sentences)
                return -ENOMEM;
        for (size_t i = 0; i < u->n_units; i++) {
                const ExtractUnit *unit = &u->units[i];
                if (unit->is_kept)
                        e->sentences[e->n_sentences++] =
                                (ExtractSentence){ unit->id, unit->text, unit->n,
                                                   (double) unit->score };
        }
        return 0;
}

/* ---- look-up terms ---- */

static void mark_kept_terms(ExtractUnits *u) {
        for (size_t i = 0; i < u->n_units; i++)
                for (size_t k = 0; u->units[i].is_kept && k < u->units[i].n_terms; k++)
                        u->terms[u->unit_terms[u->units[i].first_term + k]].is_kept = true;
}

/* Rare, a name, and said more than once. 0: of no use for looking up. */
static float term_value(const ExtractUnits *u, const ExtractTerm *t) {
        uint32_t first;

        if (t->is_kept || t->is_stop || t->n < 3 || text_decode(t->text, t->n, &first) == 0 ||
            (first >= '0' && first <= '9'))
                return 0;
        return extract_term_weight(u, t) * (t->is_name ? 1.5f : 1) * (t->n_all > 1 ? 1.2f : 1);
}

typedef struct Valued {
        float value;
        uint32_t at;
} Valued;

static int compare_values(const void *a, const void *b) {
        const Valued *x = a, *y = b;

        if (x->value > y->value || x->value < y->value)
                return x->value > y->value ? -1 : 1;
        return x->at < y->at ? -1 : x->at > y->at;
}

static int add_string(char ***v, const char *p, size_t n) {
        _cleanup_free_ char *s = strndup(p, n);

        return s ? strv_extend(v, s) : -ENOMEM;
}

static int choose_terms(ExtractUnits *u, const ExtractOptions *o, Extract *e) {
        _cleanup_free_ Valued *valued = calloc(MAX(u->n_terms, (size_t) 1), sizeof(*valued));
        size_t n = 0;

        if (!valued)
                return -ENOMEM;
        mark_kept_terms(u);
        for (size_t i = 0; i < u->n_terms; i++) {
                float value = term_value(u, &u->terms[i]);
                if (value > 0)
                        valued[n++] = (Valued){ value, (uint32_t) i };
        }
        qsort(valued, n, sizeof(*valued), compare_values);
        for (size_t i = 0; i < MIN(n, o->terms_max); i++) {
                const ExtractTerm *t = &u->terms[valued[i].at];
                int r = add_string(&e->terms, t->text, t->n);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- identifiers ---- */

typedef struct Identifiers {
        ExtractWord *words[EXTRACT_NUMBER + 1]; /* the first max of each kind */
        size_t n[EXTRACT_NUMBER + 1], max;
} Identifiers;

static void identifiers_done(Identifiers *ids) {
        ARRAY_FOREACH(w, ids->words)
                free(*w);
}

static bool has(const ExtractWord *words, size_t n, const ExtractWord *w) {
        for (size_t i = 0; i < n; i++)
                if (words[i].n == w->n && memcmp(words[i].p, w->p, w->n) == 0)
                        return true;
        return false;
}

static void collect(Identifiers *ids, const char *text, size_t n) {
        const char *p = text, *end = text + n;
        ExtractWord w;

        while (extract_identifier_next(&p, end, &w)) {
                size_t *k = &ids->n[w.kind];
                if (*k < ids->max && !has(ids->words[w.kind], *k, &w))
                        ids->words[w.kind][(*k)++] = w;
        }
}

/* The turns do not lie in memory in their order, so what came first is known by looking again. */
static int list_in_order(const Identifiers *ids, const ExtractTurn *turns, size_t n, Extract *e) {
        size_t room[EXTRACT_NUMBER + 1] = {}, left = ids->max, next[EXTRACT_NUMBER + 1] = {};

        for (size_t k = EXTRACT_PLACE; k <= EXTRACT_NUMBER; k++) {
                room[k] = MIN(ids->n[k], left);
                left -= room[k];
        }
        for (size_t i = 0; i < n; i++) {
                if (is_left_out(&turns[i]))
                        continue;
                const char *p = turns[i].text, *end = p + turns[i].n;
                ExtractWord w;
                while (extract_identifier_next(&p, end, &w)) {
                        size_t *at = &next[w.kind];
                        if (*at == room[w.kind] || ids->words[w.kind][*at].p != w.p)
                                continue;
                        (*at)++;
                        int r = add_string(&e->identifiers, w.p, w.n);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int choose_identifiers(const ExtractTurn *turns, size_t n, const ExtractOptions *o, Extract *e) {
        _cleanup_(identifiers_done) Identifiers ids = { .max = o->identifiers_max };

        ARRAY_FOREACH(w, ids.words) {
                *w = calloc(o->identifiers_max, sizeof(**w));
                if (!*w)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < n; i++)
                if (!is_left_out(&turns[i]))
                        collect(&ids, turns[i].text, turns[i].n);
        return list_in_order(&ids, turns, n, e);
}

/* ---- an earlier summary ---- */

/* The id behind a line's text, which is shortened by it. */
static uint64_t take_pointer(ExtractTurn *line) {
        const size_t size =
                strlen(POINTER) + ID_STRING_SIZE; /* which counts a NUL, here the bracket */
        char text[ID_STRING_SIZE];
        uint64_t id;

        if (line->n < size || line->text[line->n - 1] != ']')
                return 0;
        const char *at = line->text + line->n - size;
        memcpy(text, at + strlen(POINTER), ID_STRING_SIZE - 1);
        text[ID_STRING_SIZE - 1] = '\0';
        if (memcmp(at, POINTER, strlen(POINTER)) != 0 || id_parse(text, &id) < 0)
                return 0;
        line->n -= size;
        return id;
}

static const char *role_of_line(const char *line) {
        if (str_startswith(line, TERMS))
                return role_terms;
        return str_startswith(line, IDENTIFIERS) ? role_identifiers : NULL;
}

/* Lines of the earlier summary and then the turns, as one array. */
static int all_turns(
        const char *previous, const ExtractTurn *turns, size_t n, ExtractTurn **ret, size_t *ret_n) {
        size_t n_lines = 0, k = 0;

        for (const char *p = previous; p && *p; p++)
                n_lines += *p == '\n' || !p[1];
        ExtractTurn *all = calloc(n_lines + n + 1, sizeof(*all));
        if (!all)
                return -ENOMEM;
        while (previous && *previous) {
                size_t length = strcspn(previous, "\n");
                all[k] = (ExtractTurn){ .role = role_of_line(previous), .text = previous, .n = length };
                all[k].id = take_pointer(&all[k]);
                k += length > 0;
                previous += length + (previous[length] == '\n');
        }
        if (n > 0)
                memcpy(all + k, turns, n * sizeof(*turns));
        *ret = all;
        *ret_n = k + n;
        return 0;
}

/* ---- all of it ---- */

static int extract(
        ExtractUnits *u, const ExtractTurn *turns, size_t n, const ExtractOptions *o, Extract *e) {
        for (size_t i = 0; i < n; i++) {
                if (is_left_out(&turns[i]) || turns[i].role == role_identifiers)
                        continue;
                int r = extract_units_add(u, &turns[i]);
                if (r < 0)
                        return r;
        }
        extract_units_score(u);
        int r = choose_sentences(u, o, e);
        if (r >= 0)
                r = choose_terms(u, o, e);
        return r >= 0 ? choose_identifiers(turns, n, o, e) : r;
}

int extract_turns(const ExtractTurn *turns,
                  size_t n,
                  const char *previous,
                  const ExtractOptions *options,
                  Extract *ret) {
        _cleanup_extract_ Extract e = {
                .terms = calloc(1, sizeof(char *)),
                .identifiers = calloc(1, sizeof(char *)),
        };
        _cleanup_(extract_units_done) ExtractUnits u = {};
        _cleanup_free_ ExtractTurn *all = NULL;
        ExtractOptions o = with_defaults(options);
        size_t n_all;

        if (!e.terms || !e.identifiers)
                return -ENOMEM;
        int r = all_turns(previous, turns, n, &all, &n_all);
        if (r >= 0)
                r = extract_units_init(&u);
        if (r >= 0)
                r = extract(&u, all, n_all, &o, &e);
        if (r < 0)
                return r;
        *ret = e;
        e = (Extract){};
        return 0;
}

void extract_done(Extract *e) {
        free(TAKE_PTR(e->sentences));
        e->terms = strv_free(e->terms);
        e->identifiers = strv_free(e->identifiers);
        e->n_sentences = 0;
}

/* ---- as text ---- */

static void write_line(Buf *buf, const char *p, size_t n) {
        bool space = false;

        for (size_t i = 0; i < n;) {
                uint32_t c;
                size_t k = text_decode(p + i, n - i, &c);

                if (text_is_space(c) || c < 0x20 || c == 0x7F || (c >= 0x80 && c < 0xA0))
                        space = true;
                else {
                        if (space)
                                (void) buf_putc(buf, ' ');
                        space = false;
                        char utf8[4];
                        (void) buf_append(buf, utf8, text_encode(c, utf8));
                }
                i += k;
        }
}

static void write_list(Buf *buf, const char *head, char *const *list, const char *between) {
        if (!*list)
                return;
        (void) buf_puts(buf, head);
        for (char *const *s = list; *s; s++) {
                if (s > list)
                        (void) buf_puts(buf, between);
                write_line(buf, *s, strlen(*s));
        }
        (void) buf_putc(buf, '\n');
}

int extract_write(const Extract *e, Buf *buf) {
        for (size_t i = 0; i < e->n_sentences; i++) {
                const ExtractSentence *s = &e->sentences[i];
                char id[ID_STRING_SIZE];

                write_line(buf, s->text, s->n);
                if (s->id != 0)
                        (void) buf_printf(buf, POINTER "%s]", id_format(s->id, id));
                (void) buf_putc(buf, '\n');
        }
        write_list(buf, TERMS, e->terms, ", ");
        write_list(buf, IDENTIFIERS, e->identifiers, " ");
        return buf_error(buf);
}
