/* SPDX-License-Identifier: MIT */

/* The measure of vector search: nothing but float64 and sorting, so that it cannot share a fault
 * with what it measures. */

#include <math.h>

#include "memory/test-vectors.h"

#define CLOSE 1e-5F
/* What codes cannot tell apart: one of a hundred vectors that nearly equal each other is as good as another. */
#define AS_GOOD 1e-4F

void world_init(World *w, unsigned dimensions, const char *path) {
        uint64_t sequence;

        *w = (World){ .dimensions = dimensions, .random = 42 };
        assert_int_equal(vector_index_open(&w->index, path, dimensions, &sequence), 0);
        assert_int_equal(sequence, 0);
}

void world_done(World *w) {
        for (size_t i = 0; i < w->n; i++)
                free(w->known[i].numbers);
        free(w->known);
        w->index = vector_index_free(w->index);
}

uint64_t world_random(World *w) {
        w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return w->random >> 33;
}

float world_float(World *w) {
        return (float) world_random(w) / (float) (UINT32_C(1) << 30) - 1;
}

void world_normal(World *w, float *numbers) {
        for (unsigned i = 0; i < w->dimensions; i++) {
                numbers[i] = 0;
                for (int j = 0; j < 6; j++)
                        numbers[i] += world_float(w);
        }
}

static Known *find(World *w, uint64_t id) {
        for (size_t i = 0; i < w->n; i++)
                if (w->known[i].id == id)
                        return &w->known[i];
        return NULL;
}

void world_put(World *w, uint64_t scope, uint64_t id, const float *numbers) {
        Known *k = find(w, id);

        assert_int_equal(vector_index_put(w->index, scope, id, numbers), 0);
        if (!k) {
                if (w->n == w->capacity) {
                        w->capacity = MAX(w->capacity * 2, (size_t) 64);
                        w->known = reallocarray(w->known, w->capacity, sizeof(*w->known));
                        assert_non_null(w->known);
                }
                k = &w->known[w->n++];
                *k = (Known){ .id = id, .numbers = malloc(w->dimensions * sizeof(float)) };
                assert_non_null(k->numbers);
        }
        k->scope = scope;
        memcpy(k->numbers, numbers, w->dimensions * sizeof(float));
}

void world_put_normal(World *w, uint64_t scope, uint64_t id) {
        float numbers[VECTOR_DIMENSIONS_MAX];

        world_normal(w, numbers);
        world_put(w, scope, id, numbers);
}

static void forget(World *w, Known *k) {
        free(k->numbers);
        *k = w->known[--w->n];
}

bool world_erase(World *w, uint64_t id) {
        Known *k = find(w, id);
        bool is_erased = vector_index_erase(w->index, id);

        assert_int_equal(is_erased, k != NULL);
        if (k)
                forget(w, k);
        return is_erased;
}

void world_erase_scope(World *w, uint64_t scope) {
        vector_index_erase_scope(w->index, scope);
        for (size_t i = w->n; i > 0; i--)
                if (w->known[i - 1].scope == scope)
                        forget(w, &w->known[i - 1]);
}

void world_put_clusters(World *w, uint64_t scope, uint64_t first, size_t n, size_t n_clusters) {
        float centre[VECTOR_DIMENSIONS_MAX] = {}, numbers[VECTOR_DIMENSIONS_MAX];

        for (size_t i = 0; i < n; i++) {
                if (i % (n / n_clusters + 1) == 0)
                        world_normal(w, centre);
                for (unsigned d = 0; d < w->dimensions; d++)
                        numbers[d] = centre[d] + world_float(w) * 0.5F;
                world_put(w, scope, first + i, numbers);
        }
}

static bool has(const uint64_t *list, size_t n, uint64_t x) {
        for (size_t i = 0; i < n; i++)
                if (list[i] == x)
                        return true;
        return false;
}

static double length(const float *a, size_t n) {
        double sum = 0;

        for (size_t i = 0; i < n; i++)
                sum += (double) a[i] * (double) a[i];
        return sqrt(sum);
}

static double cosine(const float *a, const float *b, size_t n) {
        double sum = 0, la = length(a, n), lb = length(b, n);

        for (size_t i = 0; i < n; i++)
                sum += (double) a[i] / la * ((double) b[i] / lb);
        return sum;
}

static int compare(const void *a, const void *b) {
        const VectorHit *x = a, *y = b;

        if (x->score > y->score || x->score < y->score)
                return x->score > y->score ? -1 : 1;
        return x->id < y->id ? -1 : 1;
}

size_t world_search(const World *w, const VectorQuery *q, VectorHit *ret) {
        _cleanup_free_ VectorHit *all = calloc(MAX(w->n, (size_t) 1), sizeof(*all));
        size_t n = 0;

        assert_non_null(all);
        for (size_t i = 0; i < w->n; i++) {
                const Known *k = &w->known[i];

                if (!has(q->scopes, q->n_scopes, k->scope) ||
                    (q->only && !has(q->only, q->n_only, k->id)))
                        continue;
                float score = (float) cosine(k->numbers, q->vector, w->dimensions);
                if (score >= q->min_score)
                        all[n++] = (VectorHit){ .id = k->id, .score = score };
        }
        qsort(all, n, sizeof(*all), compare);
        n = MIN(n, q->limit);
        memcpy(ret, all, n * sizeof(*ret));
        return n;
}

static float score_of(World *w, const VectorQuery *q, uint64_t id) {
        const Known *k = find(w, id);

        assert_non_null(k);
        assert_true(has(q->scopes, q->n_scopes, k->scope));
        assert_true(!q->only || has(q->only, q->n_only, id));
        return (float) cosine(k->numbers, q->vector, w->dimensions);
}

void world_check(World *w, const VectorQuery *q) {
        _cleanup_free_ VectorHit *want = calloc(q->limit, sizeof(*want));
        _cleanup_free_ VectorHit *got = calloc(q->limit, sizeof(*got));
        size_t n_want = world_search(w, q, want), n_got;

        assert_int_equal(vector_index_search(w->index, q, got, &n_got, NULL), 0);
        assert_int_equal(n_got, n_want);
        for (size_t i = 0; i < n_got; i++) {
                assert_true(fabsf(got[i].score - want[i].score) < CLOSE);
                assert_true(fabsf(got[i].score - score_of(w, q, got[i].id)) < CLOSE);
                assert_true(i == 0 || compare(&got[i - 1], &got[i]) < 0);
                /* alone at its score: then it must be this one */
                bool is_alone = (i == 0 || want[i - 1].score - want[i].score > CLOSE) &&
                                (i == n_want - 1 ? n_want < q->limit
                                                 : want[i].score - want[i + 1].score > CLOSE);
                if (is_alone)
                        assert_int_equal(got[i].id, want[i].id);
        }
}

double world_recall(World *w, const VectorQuery *q) {
        _cleanup_free_ VectorHit *want = calloc(q->limit, sizeof(*want));
        _cleanup_free_ VectorHit *got = calloc(q->limit, sizeof(*got));
        size_t n_want = world_search(w, q, want), n_got, n_found = 0;

        assert_int_equal(vector_index_search(w->index, q, got, &n_got, NULL), 0);
        assert_int_equal(n_got, n_want);
        for (size_t i = 0; i < n_got; i++)
                n_found += got[i].score >= want[n_want - 1].score - AS_GOOD;
        return (double) n_found / (double) MAX(n_want, (size_t) 1);
}
