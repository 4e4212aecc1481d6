/* SPDX-License-Identifier: MIT */

/* The lexical vector: texts that share words are near, others are not, and it is the same in every process. */

#include "memory/test-embedder.h"

static const EmbedderOptions hash = { .kind = EMBEDDER_HASH };

static int setup(void **state) {
        TestEmbed *t = calloc(1, sizeof(*t));

        test_embed_setup(t);
        *state = t;
        return 0;
}

static int teardown(void **state) {
        test_embed_teardown(*state);
        free(*state);
        return 0;
}

static void texts_that_share_words_are_near(void **state) {
        static const char *const texts[] = {
                "The red bicycle of my sister",
                "my sister's red bicycle",
                "RED BICYCLES, SISTER!",
                "Quarterly tax reports are due",
                "我喜欢喝绿茶",
                "她也喜欢喝绿茶",
                "!!! ???",
                "😀",
                "ж",
        };
        TestEmbed *t = *state;

        assert_int_equal(test_embed_new(t, &hash), 0);
        assert_string_equal(embedder_model(t->embedder), "hash:1024");
        assert_int_equal(embedder_dimensions(t->embedder), 1024);
        assert_false(embedder_is_semantic(t->embedder));
        test_embed(t, texts, ELEMENTSOF(texts));
        assert_int_equal(t->r, 0);
        assert_int_equal(t->dimensions, 1024);
        assert_true(test_embed_cosine(t, 0, 1) > 0.7);
        assert_true(test_embed_cosine(t, 0, 2) > 0.5);
        assert_true(test_embed_cosine(t, 0, 3) < 0.2);
        assert_true(test_embed_cosine(t, 4, 5) > 0.5);
        for (size_t i = 6; i < ELEMENTSOF(texts); i++)
                assert_non_null(t->vectors[i]);
}

static void the_vector_of_a_text_never_changes(void **state) {
        static const char *const text[] = { "agentd" };
        static const EmbedderOptions few = { .kind = EMBEDDER_HASH, .dimensions = 8 };
        TestEmbed *t = *state;

        assert_int_equal(test_embed_new(t, &few), 0);
        assert_string_equal(embedder_model(t->embedder), "hash:8");
        test_embed(t, text, 1);
        /* stored vectors would be worth nothing if these changed */
        static const float expected[] = { 0.00000f, 0.00000f,  0.00000f,  0.00000f,
                                          0.00000f, -0.89443f, -0.44721f, 0.00000f };
        for (unsigned i = 0; i < ELEMENTSOF(expected); i++)
                assert_true(t->vectors[0][i] > expected[i] - 1e-4f &&
                            t->vectors[0][i] < expected[i] + 1e-4f);
}

static void many_large_and_empty_texts_come_back_in_order(void **state) {
        const char *texts[TEST_TEXTS_MAX];
        char *large = malloc(3u << 20);
        TestEmbed *t = *state;

        memset(large, 'x', (3u << 20) - 1);
        large[(3u << 20) - 1] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                texts[i] = i % 3 == 0   ? " \n"
                           : i % 3 == 1 ? "one text"
                                        : "another text of more words";
        texts[4] = large;
        assert_int_equal(test_embed_new(t, &hash), 0);
        test_embed(t, texts, ELEMENTSOF(texts));
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (i % 3 == 0)
                        assert_string_equal(t->messages[i], "the text is empty");
                else if (i != 4)
                        assert_true(test_embed_cosine(t, i, i % 3) > 0.999);
        test_embed(t, NULL, 0);
        assert_int_equal(t->r, 0);
        free(large);
}

static void it_may_be_freed_while_the_pool_works(void **state) {
        static const char *const texts[] = { "some text", "and another" };
        TestEmbed *t = *state;

        for (unsigned turns = 0; turns < 4; turns++) {
                assert_int_equal(test_embed_new(t, &hash), 0);
                for (unsigned i = 0; i < 10; i++)
                        assert_int_equal(test_embed_start(t, texts, 2), 0);
                for (unsigned i = 0; i < turns; i++)
                        assert_true(sd_event_run(t->event, 0) >= 0);
                t->embedder = embedder_free(t->embedder);
        }
}

static void free_it(TestEmbed *t) {
        t->embedder = embedder_free(t->embedder);
}

static void done_may_free_it_with_others_waiting(void **state) {
        static const char *const texts[] = { "some text" };
        TestEmbed *t = *state;

        assert_int_equal(test_embed_new(t, &hash), 0);
        t->also = free_it;
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(test_embed_start(t, texts, 1), 0);
        test_embed_wait(t, 1);
        assert_null(t->embedder);
}

static void too_many_waiting_is_said(void **state) {
        static const char *const texts[] = { "x" };
        TestEmbed *t = *state;
        unsigned n = 0;
        int r;

        assert_int_equal(test_embed_new(t, &hash), 0);
        while ((r = test_embed_start(t, texts, 1)) == 0)
                n++;
        assert_int_equal(r, -EAGAIN);
        assert_true(n >= 100);
}

static void what_is_no_embedder_is_refused(void **state) {
        static const EmbedderOptions large = { .kind = EMBEDDER_HASH, .dimensions = 4097 }, none = {};
        TestEmbed *t = *state;

        assert_int_equal(test_embed_new(t, &large), -EINVAL);
        assert_non_null(strstr(t->error, "4097"));
        assert_int_equal(test_embed_new(t, &none), -EINVAL);
        assert_non_null(t->error);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(texts_that_share_words_are_near),
                TEST(the_vector_of_a_text_never_changes),
                TEST(many_large_and_empty_texts_come_back_in_order),
                TEST(it_may_be_freed_while_the_pool_works),
                TEST(done_may_free_it_with_others_waiting),
                TEST(too_many_waiting_is_said),
                TEST(what_is_no_embedder_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
