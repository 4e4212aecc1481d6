/* SPDX-License-Identifier: MIT */

/* Vector search beside a plain float64 scan, for all kinds of vectors, and while it changes. */

#include "memory/test-vectors.h"

#include <math.h>
#include <stdio.h>

static const uint64_t one_scope[] = { 1 };

static VectorQuery query(const float *numbers, size_t n, size_t limit) {
        return (VectorQuery){
                .vector = numbers,
                .n = n,
                .scopes = one_scope,
                .n_scopes = 1,
                .limit = limit,
                .min_score = -1,
                .threads = 1,
        };
}

static void what_cannot_be_compared_is_refused(void **unused) {
        float x[4] = { 1, 2, 3, 4 };
        size_t at = 0;

        assert_int_equal(vector_check(x, 4, &at), 0);
        assert_int_equal(vector_check(x, 0, &at), VECTOR_E_DIMENSION);
        assert_int_equal(vector_check(x, VECTOR_DIMENSIONS_MAX + 1, &at), VECTOR_E_DIMENSION);
        x[2] = NAN;
        assert_int_equal(vector_check(x, 4, &at), VECTOR_E_NOT_FINITE);
        assert_int_equal(at, 2);
        x[1] = -INFINITY;
        assert_int_equal(vector_check(x, 4, &at), VECTOR_E_NOT_FINITE);
        assert_int_equal(at, 1);
        memset(x, 0, sizeof(x));
        assert_int_equal(vector_check(x, 4, &at), VECTOR_E_ZERO);
        x[0] = -0.0F;
        assert_int_equal(vector_check(x, 4, &at), VECTOR_E_ZERO);
        x[3] = 1e-45F;
        assert_int_equal(vector_check(x, 4, &at), 0);
}

static void any_size_is_normalised(void **unused) {
        const float sizes[] = { 1e-45F, 1e-30F, 1, 1e30F, 3e38F };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                float x[3] = { sizes[i], 0, -sizes[i] };
                vector_normalise(x, 3);
                assert_true(fabsf(x[0] - (float) M_SQRT1_2) < 1e-6F);
                assert_true(fabsf(x[1]) < 1e-6F);
                assert_true(fabsf(x[2] + (float) M_SQRT1_2) < 1e-6F);
        }
}

static void a_wrong_put_or_search_changes_nothing(void **unused) {
        _cleanup_(world_done) World w;
        VectorIndexStats stats;
        VectorHit hit;
        size_t n = 77;
        float x[3] = { 1, 2, 3 }, zero[3] = {};

        world_init(&w, 3, NULL);
        assert_int_equal(vector_index_put(w.index, 0, 1, x), -EINVAL);
        assert_int_equal(vector_index_put(w.index, 1, 0, x), -EINVAL);
        assert_int_equal(vector_index_put(w.index, 1, 1, zero), -EINVAL);
        assert_false(vector_index_erase(w.index, 1));
        vector_index_erase_scope(w.index, 1);
        assert_false(vector_index_get(w.index, 1, x));
        VectorQuery q = query(x, 2, 1);
        assert_int_equal(vector_index_search(w.index, &q, &hit, &n, NULL), -EINVAL);
        q.n = 3;
        q.vector = zero;
        assert_int_equal(vector_index_search(w.index, &q, &hit, &n, NULL), -EINVAL);
        assert_int_equal(n, 77);
        q.vector = x;
        assert_int_equal(vector_index_search(w.index, &q, &hit, &n, NULL), 0);
        assert_int_equal(n, 0);
        vector_index_stats(w.index, &stats);
        assert_int_equal(stats.n, 0);
        assert_int_equal(stats.n_scopes, 0);

        VectorIndex *none = NULL;
        uint64_t sequence = 5;
        assert_int_equal(vector_index_open(&none, NULL, 0, &sequence), -EINVAL);
        assert_int_equal(vector_index_open(&none, NULL, VECTOR_DIMENSIONS_MAX + 1, &sequence),
                         -EINVAL);
        assert_null(none);
        assert_int_equal(sequence, 5);
}

/* Searches by random vectors and by some that are there, both ways. */
static void check_searches(World *w, size_t n_searches) {
        float numbers[VECTOR_DIMENSIONS_MAX];

        for (size_t i = 0; i < n_searches; i++) {
                world_normal(w, numbers);
                if (i % 2 && w->n > 0)
                        memcpy(numbers, w->known[world_random(w) % w->n].numbers,
                               w->dimensions * sizeof(float));
                VectorQuery q = query(numbers, w->dimensions, i % 3 ? 10 : 1);
                q.exact = true;
                world_check(w, &q);
                q.exact = false;
                assert_true(world_recall(w, &q) > 0.999);
        }
}

static void the_best_are_found_in_every_dimension(void **unused) {
        static const unsigned dimensions[] = { 1, 2, 3, 63, 64, 65, 100, 384, 385, 768, 1536, 4096 };

        for (size_t i = 0; i < ELEMENTSOF(dimensions); i++) {
                _cleanup_(world_done) World w;

                world_init(&w, dimensions[i], NULL);
                for (uint64_t id = 1; id <= 150; id++)
                        world_put_normal(&w, 1, id);
                check_searches(&w, 6);
        }
}

/* One-hot, huge in a dimension, tiny, huge, equal, opposite, nearly equal. */
static void strange_vector(World *w, float *x, unsigned kind) {
        world_normal(w, x);
        unsigned at = (unsigned) (world_random(w) % w->dimensions);

        switch (kind % 7) {
        case 0:
                memset(x, 0, w->dimensions * sizeof(float));
                x[at] = kind % 2 ? 1 : -1;
                break;
        case 1:
                x[7 % w->dimensions] = 1000;
                break;
        case 2:
                for (unsigned i = 0; i < w->dimensions; i++)
                        x[i] *= 1e-30F;
                break;
        case 3:
                for (unsigned i = 0; i < w->dimensions; i++)
                        x[i] *= 1e30F;
                break;
        case 4:
                for (unsigned i = 0; i < w->dimensions; i++)
                        x[i] = 1;
                break;
        case 5:
                for (unsigned i = 0; i < w->dimensions; i++)
                        x[i] = -1;
                break;
        default:
                for (unsigned i = 0; i < w->dimensions; i++)
                        x[i] = 1 + x[i] * 1e-4F;
        }
}

static void strange_vectors_are_found_like_any(void **unused) {
        static const unsigned dimensions[] = { 3, 64, 384, 385 };

        for (size_t i = 0; i < ELEMENTSOF(dimensions); i++) {
                _cleanup_(world_done) World w;
                float x[VECTOR_DIMENSIONS_MAX];

                world_init(&w, dimensions[i], NULL);
                for (unsigned id = 1; id <= 700; id++) {
                        strange_vector(&w, x, id);
                        world_put(&w, 1, id, x);
                }
                for (unsigned kind = 0; kind < 14; kind++) {
                        strange_vector(&w, x, kind);
                        VectorQuery q = query(x, w.dimensions, 10);
                        q.exact = true;
                        world_check(&w, &q);
                        q.exact = false;
                        assert_true(world_recall(&w, &q) > 0.999);
                }
        }
}

static void equal_scores_come_by_ascending_id(void **unused) {
        _cleanup_(world_done) World w;
        float x[384];
        VectorHit hits[20];
        size_t n;

        world_init(&w, 384, NULL);
        world_normal(&w, x);
        for (uint64_t id = 500; id > 0; id--)
                world_put(&w, 1, id * 3, x);
        for (int exact = 0; exact < 2; exact++) {
                VectorQuery q = query(x, 384, 20);
                q.exact = exact;
                assert_int_equal(vector_index_search(w.index, &q, hits, &n, NULL), 0);
                assert_int_equal(n, 20);
                for (size_t i = 0; i < n; i++)
                        assert_int_equal(hits[i].id, (i + 1) * 3);
        }
}

static void a_search_touches_its_scopes_only(void **unused) {
        _cleanup_(world_done) World w;
        const uint64_t scopes[] = { 3, 9, 777 };
        VectorSearchStats stats;
        VectorHit hits[100];
        size_t n;
        float x[64];

        world_init(&w, 64, NULL);
        for (uint64_t id = 1; id <= 1000; id++)
                world_put_normal(&w, 1 + id % 10, id);
        world_normal(&w, x);
        VectorQuery q = query(x, 64, 100);
        q.scopes = scopes;
        q.n_scopes = ELEMENTSOF(scopes);
        world_check(&w, &q);
        assert_int_equal(vector_index_search(w.index, &q, hits, &n, &stats), 0);
        assert_int_equal(stats.scanned, 200);
        assert_string_equal(stats.tier, "int8");
        q.exact = true;
        world_check(&w, &q);
        q.n_scopes = 0;
        assert_int_equal(vector_index_search(w.index, &q, hits, &n, NULL), 0);
        assert_int_equal(n, 0);
}

static void filters_and_the_least_score_come_before_ranking(void **unused) {
        _cleanup_(world_done) World w;
        uint64_t few[20], many[600];
        float x[64];

        world_init(&w, 64, NULL);
        for (uint64_t id = 1; id <= 1000; id++)
                world_put_normal(&w, 1 + id % 2, id);
        for (size_t i = 0; i < ELEMENTSOF(few); i++)
                few[i] = i * 61 + 1; /* some are of another scope, some are not there */
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = i * 2 + 1;
        world_normal(&w, x);
        for (int exact = 0; exact < 2; exact++) {
                VectorQuery q = query(x, 64, 15);
                q.exact = exact;
                q.only = few;
                q.n_only = ELEMENTSOF(few);
                world_check(&w, &q);
                q.only = many;
                q.n_only = ELEMENTSOF(many);
                world_check(&w, &q);
                q.n_only = 0;
                world_check(&w, &q);
                q.only = NULL;
                q.min_score = 0.2F;
                world_check(&w, &q);
                q.min_score = 0.99F;
                world_check(&w, &q);
        }
}

static void a_vector_can_be_got_back(void **unused) {
        _cleanup_(world_done) World w;
        float x[100], got[100];

        world_init(&w, 100, NULL);
        world_normal(&w, x);
        world_put(&w, 1, 5, x);
        assert_true(vector_index_get(w.index, 5, got));
        vector_normalise(x, 100);
        assert_memory_equal(x, got, sizeof(x));
        assert_false(vector_index_get(w.index, 6, got));
}

/* Random changes; what is found is what a plain list has. */
static void play(World *w, size_t n_steps, uint64_t n_ids, uint64_t n_scopes) {
        float x[VECTOR_DIMENSIONS_MAX];

        for (size_t i = 0; i < n_steps; i++) {
                uint64_t id = 1 + world_random(w) % n_ids, kind = world_random(w) % 100;

                if (kind < 60)
                        world_put_normal(w, 1 + world_random(w) % n_scopes, id);
                else if (kind < 99)
                        (void) world_erase(w, id);
                else if (world_random(w) % 8 == 0)
                        world_erase_scope(w, 1 + world_random(w) % n_scopes);
                if (i % 50 != 0)
                        continue;
                world_normal(w, x);
                VectorQuery q = query(x, w->dimensions, 10);
                q.exact = i % 100 == 0;
                world_check(w, &q);
        }
}

static void check_stats(World *w) {
        VectorIndexStats stats;

        vector_index_stats(w->index, &stats);
        assert_int_equal(stats.n, w->n);
        assert_int_equal(stats.dimensions, w->dimensions);
        assert_string_equal(stats.simd, vector_kernels()->name);
        assert_true(stats.n == 0 || stats.hot_bytes >= stats.n * w->dimensions / 8);
}

static void changes_are_seen_at_once(void **unused) {
        _cleanup_(world_done) World w;

        world_init(&w, 32, NULL);
        play(&w, 6000, 500, 4);
        check_stats(&w);
        for (uint64_t id = 1; id <= 500; id++)
                (void) world_erase(&w, id);
        assert_int_equal(w.n, 0);
        check_stats(&w);
        play(&w, 1000, 300, 1);
}

static void changes_are_seen_among_1_bit_codes(void **unused) {
        _cleanup_(world_done) World w;

        world_init(&w, 32, NULL);
        w.index->large_from = 64;
        play(&w, 6000, 500, 3);
        check_stats(&w);
}

static void holes_are_closed_up(void **unused) {
        _cleanup_(world_done) World w;
        VectorIndexStats stats;

        world_init(&w, 64, NULL);
        w.index->large_from = 256;
        for (uint64_t id = 1; id <= 2000; id++)
                world_put_normal(&w, 1, id);
        for (uint64_t id = 1; id <= 2000; id++)
                if (id % 5 != 0)
                        (void) world_erase(&w, id);
        vector_index_stats(w.index, &stats);
        assert_int_equal(stats.n, 400);
        assert_true(stats.n_holes < 200);
        check_searches(&w, 10);
}

static void space_is_used_again_after_a_save(void **unused) {
        _cleanup_(world_done) World w;
        VectorIndexStats before, after;

        world_init(&w, 64, NULL);
        for (uint64_t round = 0; round < 10; round++) {
                for (uint64_t id = 1; id <= 500; id++)
                        world_put_normal(&w, 1, id);
                assert_int_equal(vector_index_save(w.index, round), 0);
                if (round == 0)
                        vector_index_stats(w.index, &before);
        }
        vector_index_stats(w.index, &after);
        assert_true(after.file_bytes < before.file_bytes * 5 / 2);
        check_searches(&w, 4);
}

static double mean_recall(World *w, size_t n_queries, VectorSearchStats *ret_stats) {
        _cleanup_free_ float *x = calloc(w->dimensions, sizeof(float));
        double sum = 0;
        VectorHit hits[10];
        size_t n;

        for (size_t i = 0; i < n_queries; i++) {
                const Known *k = &w->known[world_random(w) % w->n];
                for (unsigned d = 0; d < w->dimensions; d++)
                        x[d] = k->numbers[d] + world_float(w) * 0.5F;
                VectorQuery q = query(x, w->dimensions, 10);
                sum += world_recall(w, &q);
                assert_int_equal(vector_index_search(w->index, &q, hits, &n, ret_stats), 0);
        }
        return sum / (double) n_queries;
}

static void each_tier_finds_what_there_is(void **unused) {
        VectorSearchStats stats;

        for (int clustered = 0; clustered < 2; clustered++)
                for (int bits = 0; bits < 2; bits++) {
                        _cleanup_(world_done) World w;

                        world_init(&w, 384, NULL);
                        w.index->large_from = bits ? 64 : SIZE_MAX;
                        if (clustered)
                                world_put_clusters(&w, 1, 1, 6000, 60);
                        for (uint64_t id = 1; !clustered && id <= 6000; id++)
                                world_put_normal(&w, 1, id);
                        assert_int_equal(vector_index_save(w.index, 0), 0);
                        double recall = mean_recall(&w, 40, &stats);
                        print_message("%s, %s: recall@10 %.4f, %zu candidates\n",
                                      clustered ? "clusters" : "random", stats.tier, recall,
                                      stats.candidates);
                        assert_string_equal(stats.tier, bits ? "1-bit" : "int8");
                        assert_true(recall >= (bits ? 0.995 : 0.9999));
                }
}

static void threads_find_what_one_finds(void **unused) {
        _cleanup_(world_done) World w;
        float x[384];

        world_init(&w, 384, NULL);
        for (uint64_t id = 1; id <= 6000; id++)
                world_put_normal(&w, 1, id);
        for (int i = 0; i < 20; i++) {
                VectorHit one[50], more[50];
                size_t n_one, n_more;

                world_normal(&w, x);
                VectorQuery q = query(x, 384, 50);
                q.exact = i % 2;
                assert_int_equal(vector_index_search(w.index, &q, one, &n_one, NULL), 0);
                q.threads = 4;
                assert_int_equal(vector_index_search(w.index, &q, more, &n_more, NULL), 0);
                assert_int_equal(n_one, n_more);
                assert_memory_equal(one, more, n_one * sizeof(one[0]));
        }
}

typedef struct Searcher {
        VectorIndex *index;
        _Atomic bool *stop;
        const float *numbers; /* of every vector in the index */
        size_t n_searches;
        const char *trouble;
} Searcher;

/* All vectors are the same few and of a known score; ids 1 to 50 are always there. */
static void *searcher_main(void *userdata) {
        Searcher *s = userdata;
        VectorHit hits[400];
        size_t n;

        while (!atomic_load(s->stop) || s->n_searches < 10) {
                VectorQuery q = query(s->numbers, 64, 400);
                q.exact = s->n_searches++ % 2;
                if (vector_index_search(s->index, &q, hits, &n, NULL) != 0)
                        s->trouble = "a search failed";
                if (n < 50)
                        s->trouble = "what was there before was not found";
                for (size_t i = 0; i < n && i < 50; i++)
                        if (hits[i].id != i + 1)
                                s->trouble = "an id twice or missing";
                for (size_t i = 0; i < n; i++)
                        if (fabsf(hits[i].score - 1) > 1e-5F)
                                s->trouble = "a vector was torn";
        }
        return NULL;
}

static void searches_go_on_while_vectors_come_and_go(void **unused) {
        _cleanup_(vector_index_freep) VectorIndex *v = NULL;
        _Atomic bool stop = false;
        pthread_t threads[2];
        Searcher searchers[2];
        float x[64];
        uint64_t sequence;

        for (unsigned i = 0; i < 64; i++)
                x[i] = (float) i - 20;
        assert_int_equal(vector_index_open(&v, NULL, 64, &sequence), 0);
        v->large_from = 100;
        for (uint64_t id = 1; id <= 50; id++)
                assert_int_equal(vector_index_put(v, 1, id, x), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++) {
                searchers[i] = (Searcher){ .index = v, .stop = &stop, .numbers = x };
                assert_int_equal(pthread_create(&threads[i], NULL, searcher_main, &searchers[i]), 0);
        }
        /* those that stay are replaced, others come and go */
        for (uint64_t i = 0; i < 20000; i++) {
                assert_int_equal(vector_index_put(v, 1, i % 7 ? 51 + i % 300 : 1 + i % 50, x), 0);
                if (i % 3)
                        (void) vector_index_erase(v, 51 + i * 7 % 300);
                if (i % 5000 == 0)
                        assert_int_equal(vector_index_save(v, i), 0);
        }
        atomic_store(&stop, true);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++) {
                assert_int_equal(pthread_join(threads[i], NULL), 0);
                if (searchers[i].trouble)
                        fail_msg("%s", searchers[i].trouble);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_cannot_be_compared_is_refused),
                cmocka_unit_test(any_size_is_normalised),
                cmocka_unit_test(a_wrong_put_or_search_changes_nothing),
                cmocka_unit_test(the_best_are_found_in_every_dimension),
                cmocka_unit_test(strange_vectors_are_found_like_any),
                cmocka_unit_test(equal_scores_come_by_ascending_id),
                cmocka_unit_test(a_search_touches_its_scopes_only),
                cmocka_unit_test(filters_and_the_least_score_come_before_ranking),
                cmocka_unit_test(a_vector_can_be_got_back),
                cmocka_unit_test(changes_are_seen_at_once),
                cmocka_unit_test(changes_are_seen_among_1_bit_codes),
                cmocka_unit_test(holes_are_closed_up),
                cmocka_unit_test(space_is_used_again_after_a_save),
                cmocka_unit_test(each_tier_finds_what_there_is),
                cmocka_unit_test(threads_find_what_one_finds),
                cmocka_unit_test(searches_go_on_while_vectors_come_and_go),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
