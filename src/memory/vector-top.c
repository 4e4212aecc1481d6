/* SPDX-License-Identifier: MIT */

/* The best of a stream. Candidates are collected in twice the room, and when that is full the
 * better half is kept: each costs a comparison with the threshold and, if it passes, a place and
 * now and then its share of a selection. A heap costs a logarithm for each.
 *
 * An id lies in cold memory and is looked at between equal scores only.
 *
 * The order is total (equal scores by ascending id), so what is kept does not depend on the order
 * of coming: a scan split over threads finds what one thread finds. */

#include <math.h>

#include "memory/vector-scan-internal.h"

static bool is_better(const VectorCandidate *a, const VectorCandidate *b) {
        if (a->score > b->score || a->score < b->score)
                return a->score > b->score;
        return vector_candidate_id(a) < vector_candidate_id(b);
}

int vector_top_init(VectorTop *t, size_t keep) {
        *t = (VectorTop){ .keep = MAX(keep, (size_t) 1), .threshold = -INFINITY };
        t->items = malloc(2 * t->keep * sizeof(*t->items));
        return t->items ? 0 : -ENOMEM;
}

void vector_top_done(VectorTop *t) {
        free(t->items);
        t->items = NULL;
}

static void swap(VectorCandidate *a, VectorCandidate *b) {
        VectorCandidate x = *a;

        *a = *b;
        *b = x;
}

/* Brings the middle one of three to the front. */
static void choose_pivot(VectorCandidate *items, size_t n) {
        VectorCandidate *a = items, *b = items + n / 2, *c = items + n - 1;
        VectorCandidate *middle = is_better(a, b) == is_better(b, c)   ? b
                                  : is_better(b, a) == is_better(a, c) ? a
                                                                       : c;
        swap(a, middle);
}

/* The best `keep` of n come first. */
static void select_best(VectorCandidate *items, size_t n, size_t keep) {
        while (n > 1 && keep > 0 && keep < n) {
                size_t better = 0;

                choose_pivot(items, n);
                for (size_t i = 1; i < n; i++)
                        if (is_better(&items[i], &items[0]))
                                swap(&items[++better], &items[i]);
                swap(&items[0], &items[better]);
                /* items[better] is at its place */
                if (better >= keep) {
                        n = better;
                } else {
                        items += better + 1;
                        n -= better + 1;
                        keep -= better + 1;
                }
        }
}

static void shrink(VectorTop *t) {
        if (t->n <= t->keep)
                return;
        select_best(t->items, t->n, t->keep);
        t->n = t->keep;
        t->threshold = INFINITY;
        for (size_t i = 0; i < t->n; i++)
                t->threshold = MIN(t->threshold, t->items[i].score);
}

void vector_top_push(VectorTop *t, const VectorCandidate *c) {
        if (!(c->score >= t->threshold))
                return;
        t->items[t->n++] = *c;
        if (t->n == 2 * t->keep)
                shrink(t);
}

void vector_top_merge(VectorTop *t, const VectorTop *from) {
        for (size_t i = 0; i < from->n; i++)
                vector_top_push(t, &from->items[i]);
}

static int compare(const void *a, const void *b) {
        return is_better(a, b) ? -1 : is_better(b, a) ? 1 : 0;
}

void vector_top_finish(VectorTop *t) {
        shrink(t);
        qsort(t->items, t->n, sizeof(*t->items), compare);
}
