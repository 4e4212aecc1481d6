/* SPDX-License-Identifier: MIT */

/* A loop, a pool and one embedder at a time. Vectors are copied when they come, as whoever stores them does. */

#include <math.h>

#include "memory/test-embedder.h"

void test_embed_setup(TestEmbed *t) {
        assert_int_equal(sd_event_new(&t->event), 0);
        assert_int_equal(pool_new(&t->pool, t->event, 2, 64), 0);
        assert_int_equal(fetcher_new(&t->fetcher, t->event), 0);
        if (getenv("AGENTD_FETCH_MODULE"))
                assert_int_equal(fetcher_set_module(t->fetcher, getenv("AGENTD_FETCH_MODULE")), 0);
}

void test_embed_clear(TestEmbed *t) {
        for (size_t i = 0; i < TEST_TEXTS_MAX; i++) {
                free(TAKE_PTR(t->vectors[i]));
                free(TAKE_PTR(t->messages[i]));
        }
        free(TAKE_PTR(t->message));
}

void test_embed_teardown(TestEmbed *t) {
        t->embedder = embedder_free(t->embedder);
        t->pool = pool_free(t->pool);
        t->fetcher = fetcher_free(t->fetcher);
        t->event = sd_event_unref(t->event);
        test_embed_clear(t);
        free(TAKE_PTR(t->error));
}

int test_embed_new(TestEmbed *t, const EmbedderOptions *options) {
        t->embedder = embedder_free(t->embedder);
        free(TAKE_PTR(t->error));
        return embedder_new(&t->embedder, t->event, t->pool, t->fetcher, options, &t->error);
}

static void on_done(int r,
                    const char *message,
                    const EmbedResult *results,
                    size_t n,
                    unsigned dimensions,
                    void *userdata) {
        TestEmbed *t = userdata;

        test_embed_clear(t);
        t->n_done++;
        t->r = r;
        t->n = n;
        t->dimensions = dimensions;
        assert_int_equal(message != NULL, r < 0);
        t->message = message ? strdup(message) : NULL;
        for (size_t i = 0; i < n; i++) {
                assert_true((results[i].vector != NULL) != (results[i].message != NULL));
                if (results[i].message)
                        t->messages[i] = strdup(results[i].message);
                if (!results[i].vector)
                        continue;
                t->vectors[i] = calloc(dimensions, sizeof(float));
                memcpy(t->vectors[i], results[i].vector, dimensions * sizeof(float));
        }
        if (t->also)
                t->also(t);
}

int test_embed_start(TestEmbed *t, const char *const *texts, size_t n) {
        size_t sizes[TEST_TEXTS_MAX];

        assert_true(n <= TEST_TEXTS_MAX);
        for (size_t i = 0; i < n; i++)
                sizes[i] = strlen(texts[i]);
        return embedder_embed(t->embedder, texts, sizes, n, on_done, t);
}

void test_embed_wait(TestEmbed *t, unsigned n_done) {
        while (t->n_done < n_done)
                assert_true(sd_event_run(t->event, 20 * USEC_PER_SEC) > 0);
}

void test_embed(TestEmbed *t, const char *const *texts, size_t n) {
        unsigned before = t->n_done;

        assert_int_equal(test_embed_start(t, texts, n), 0);
        assert_int_equal(t->n_done, before);
        test_embed_wait(t, before + 1);
        assert_int_equal(t->n, n);
        test_embed_check(t);
}

double test_embed_cosine(const TestEmbed *t, size_t a, size_t b) {
        double sum = 0;

        assert_non_null(t->vectors[a]);
        assert_non_null(t->vectors[b]);
        for (unsigned i = 0; i < t->dimensions; i++)
                sum += (double) t->vectors[a][i] * (double) t->vectors[b][i];
        return sum;
}

void test_embed_check(const TestEmbed *t) {
        for (size_t i = 0; i < t->n; i++)
                if (t->vectors[i])
                        assert_true(fabs(test_embed_cosine(t, i, i) - 1) < 1e-4);
}
