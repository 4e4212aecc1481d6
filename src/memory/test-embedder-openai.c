/* SPDX-License-Identifier: MIT */

/* The client of an embeddings endpoint against a server that is told how to behave
 * (tests/lib/embeddings.py): every text comes back with its own vector or with a reason, nothing is
 * asked for twice without need, and what a server may do wrong is said so that somebody can put it
 * right. */

#include <stdio.h>

#include "base/json.h"
#include "base/test-program.h"
#include "memory/test-embedder.h"

typedef struct Fixture {
        TestEmbed t;
        char url[96], base[64];
        EmbedderOptions options;
        Buf report;
        unsigned n_answers;
} Fixture;

static TestProgram server;

/* ---- telling the server, and asking it ---- */

static void on_control(const FetchAnswer *a, void *userdata) {
        Fixture *f = userdata;

        assert_int_equal(a->r, 0);
        assert_int_equal(a->status, 200);
        buf_clear(&f->report);
        assert_int_equal(buf_append(&f->report, a->body, a->body_size), 0);
        f->n_answers++;
}

static void control(Fixture *f, const char *method, const char *body) {
        _cleanup_free_ char *url = str_printf("%s/control", f->base);
        const FetchRequest q = {
                .method = method, .url = url, .body = body, .body_size = body ? strlen(body) : 0
        };
        unsigned n = f->n_answers;

        assert_int_equal(fetch_start(f->t.fetcher, &q, on_control, f, NULL), 0);
        while (f->n_answers == n)
                assert_true(sd_event_run(f->t.event, 20 * USEC_PER_SEC) > 0);
}

static void tell(Fixture *f, const char *message) {
        control(f, "POST", message);
}

static JsonSpan seen(Fixture *f, const char *what) {
        JsonSpan v;

        control(f, "GET", NULL);
        assert_int_equal(json_check(f->report.data, f->report.len, JSON_DEPTH_MAX, &v, NULL), 0);
        return json_get(v, what);
}

static int64_t n_requests(Fixture *f) {
        int64_t n = -1;

        assert_int_equal(json_int(seen(f, "requests"), &n), 0);
        return n;
}

static int begin(void **state) {
        test_program_begin(&server, getenv("AGENTD_EMBEDDING_SERVER"));
        return 0;
}

static int end(void **state) {
        test_program_end(&server);
        return 0;
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        uint64_t port;

        test_embed_setup(&f->t);
        server.line[strcspn(server.line, "\n")] = '\0';
        assert_int_equal(str_to_u64(server.line, &port), 0);
        (void) snprintf(f->base, sizeof(f->base), "http://127.0.0.1:%u", (unsigned) port);
        (void) snprintf(f->url, sizeof(f->url), "%s/v1", f->base);
        f->report = BUF_INIT(SIZE_MAX);
        f->options = (EmbedderOptions){
                .kind = EMBEDDER_OPENAI,
                .url = f->url,
                .model = "toy",
                .retry_usec = 2 * USEC_PER_MSEC,
        };
        tell(f, "{\"reset\":true}");
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        test_embed_teardown(&f->t);
        buf_done(&f->report);
        free(f);
        return 0;
}

static void use(Fixture *f) {
        assert_int_equal(test_embed_new(&f->t, &f->options), 0);
}

static void all_well(const Fixture *f) {
        assert_int_equal(f->t.r, 0);
        for (size_t i = 0; i < f->t.n; i++)
                assert_non_null(f->t.vectors[i]);
}

static const char *const three[] = { "the car is red", "an automobile is red", "green tea leaves" };

/* ---- good answers ---- */

static void texts_come_back_with_their_own_vectors(void **state) {
        static const char *const scripts[] = {
                "{}",
                "{\"script\":[{\"base64\":true}]}",
                "{\"script\":[{\"shuffle\":true}]}",
                "{\"script\":[{\"base64\":true,\"shuffle\":true}]}",
        };
        Fixture *f = *state;
        float first[64];

        use(f);
        assert_string_equal(embedder_model(f->t.embedder), "openai:toy");
        assert_true(embedder_is_semantic(f->t.embedder));
        assert_int_equal(embedder_dimensions(f->t.embedder), 0);
        tell(f, "{\"settings\":{\"synonyms\":[[\"car\",\"automobile\"]]}}");
        ARRAY_FOREACH(script, scripts) {
                tell(f, *script);
                test_embed(&f->t, three, 3);
                all_well(f);
                assert_int_equal(f->t.dimensions, 64);
                assert_int_equal(embedder_dimensions(f->t.embedder), 64);
                assert_true(test_embed_cosine(&f->t, 0, 1) > 0.6);
                assert_true(test_embed_cosine(&f->t, 0, 2) < 0.4);
                if (script == scripts)
                        memcpy(first, f->t.vectors[0], sizeof(first));
                for (unsigned i = 0; i < 64; i++)
                        assert_true(f->t.vectors[0][i] - first[i] < 1e-5f &&
                                    first[i] - f->t.vectors[0][i] < 1e-5f);
        }
}

static void what_is_sent_is_what_the_contract_says(void **state) {
        static const char *const texts[] = { "a \"quoted\"\n text", "bad \xff utf-8", "  \t" };
        Fixture *f = *state;

        f->options.dimensions = 16;
        f->options.api_key = " sk-secret\n";
        tell(f, "{\"settings\":{\"key\":\"sk-secret\",\"model\":\"toy\"}}");
        use(f);
        assert_string_equal(embedder_model(f->t.embedder), "openai:toy:16");
        test_embed(&f->t, texts, 3);
        assert_int_equal(f->t.dimensions, 16);
        assert_non_null(f->t.vectors[0]);
        assert_non_null(f->t.vectors[1]);
        assert_string_equal(f->t.messages[2], "the text is empty");
        JsonSpan bodies = seen(f, "bodies");
        assert_int_equal(json_count(bodies), 1);
        static const char expected[] =
                "[{\"model\": \"toy\", \"input\": [\"a \\\"quoted\\\"\\n text\", \"bad \\ufffd utf-8\"], "
                "\"encoding_format\": \"float\", \"dimensions\": 16}]";
        assert_int_equal(bodies.n, strlen(expected));
        assert_memory_equal(bodies.p, expected, bodies.n);
}

static void nothing_to_embed_makes_no_request(void **state) {
        static const char *const texts[] = { "", "\n" };
        Fixture *f = *state;

        use(f);
        test_embed(&f->t, texts, 2);
        assert_int_equal(f->t.r, 0);
        test_embed(&f->t, NULL, 0);
        assert_int_equal(n_requests(f), 0);
}

static void many_texts_go_in_batches(void **state) {
        char *texts[TEST_TEXTS_MAX];
        Fixture *f = *state;

        for (unsigned i = 0; i < TEST_TEXTS_MAX; i++)
                texts[i] = str_printf("word%u word%u", i, i + 1);
        use(f);
        test_embed(&f->t, (const char *const *) texts, TEST_TEXTS_MAX);
        all_well(f);
        assert_int_equal(n_requests(f), (TEST_TEXTS_MAX + 127) / 128);
        for (unsigned i = 1; i < TEST_TEXTS_MAX; i++)
                assert_in_range((int) (100 * test_embed_cosine(&f->t, i - 1, i)), 5, 95);
        for (unsigned i = 0; i < TEST_TEXTS_MAX; i++)
                free(texts[i]);
}

/* ---- long texts ---- */

static void long_texts_are_parted_without_breaking_characters(void **state) {
        _cleanup_buf_ Buf text = BUF_INIT(1u << 20), wide = BUF_INIT(1u << 20);
        Fixture *f = *state;
        size_t n = 0;

        while (text.len < 5000)
                assert_int_equal(buf_puts(&text, "Tea is grown on hills. "), 0);
        while (wide.len < 5000)
                assert_int_equal(buf_puts(&wide, "漢ä😀"), 0);
        const char *texts[] = { text.data, wide.data, "tea is grown on hills" };
        tell(f, "{\"settings\":{\"text_max\":1350}}");
        use(f);
        test_embed(&f->t, texts, 3);
        all_well(f);
        assert_int_equal(n_requests(f), 1);
        assert_true(test_embed_cosine(&f->t, 0, 2) > 0.99);
        JsonSpan inputs = seen(f, "inputs"), input;
        JsonIter it = json_iter(inputs);
        for (; json_next(&it, NULL, &input); n++)
                assert_null(memmem(input.p, input.n, "\\ufffd", 6));
        assert_int_equal(n, 4 + 4 + 1);
}

static void too_large_for_the_server_is_halved_until_it_fits(void **state) {
        _cleanup_buf_ Buf text = BUF_INIT(1u << 20);
        Fixture *f = *state;

        while (text.len < 1200)
                assert_int_equal(buf_puts(&text, "tea from hills "), 0);
        const char *texts[] = { "one", "two", text.data, "three", "four" };
        tell(f, "{\"settings\":{\"text_max\":200}}");
        use(f);
        test_embed(&f->t, texts, 5);
        all_well(f);
        assert_true(n_requests(f) < 30);
        /* and batches that are too large */
        tell(f, "{\"reset\":true,\"settings\":{\"batch_max\":1}}");
        test_embed(&f->t, three, 3);
        all_well(f);
        assert_int_equal(n_requests(f), 5);
}

static void a_text_that_never_fits_fails_alone(void **state) {
        static const char *const texts[] = {
                "short", "this text is longer than what the server takes at all: so be it"
        };
        Fixture *f = *state;

        tell(f, "{\"settings\":{\"text_max\":8}}");
        use(f);
        test_embed(&f->t, texts, 2);
        assert_int_equal(f->t.r, 0);
        assert_non_null(f->t.vectors[0]);
        assert_null(f->t.vectors[1]);
        assert_non_null(strstr(f->t.messages[1], "too large"));
}

static void only_so_many_parts_of_a_text_are_asked_for(void **state) {
        _cleanup_buf_ Buf text = BUF_INIT(1u << 20);
        Fixture *f = *state;

        while (text.len < 100000)
                assert_int_equal(buf_puts(&text, "tea from hills "), 0);
        f->options.parts_max = 3;
        use(f);
        const char *one = text.data;
        test_embed(&f->t, &one, 1);
        all_well(f);
        assert_int_equal(json_count(seen(f, "inputs")), 3);
}

/* ---- trouble that passes ---- */

static void overload_and_cuts_are_tried_again(void **state) {
        static const char *const scripts[] = {
                "{\"script\":[{\"status\":429},{\"status\":503},{\"status\":500}]}",
                "{\"script\":[{\"cut\":true},{\"hang_up\":true}]}",
                "{\"script\":[{\"status\":502,\"body\":\"<html>Bad Gateway</html>\"}]}",
        };
        static const int64_t requests[] = { 4, 3, 2 };
        Fixture *f = *state;

        use(f);
        for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
                tell(f, "{\"reset\":true}");
                tell(f, scripts[i]);
                test_embed(&f->t, three, 3);
                all_well(f);
                assert_int_equal(n_requests(f), requests[i]);
        }
}

static void retry_after_is_waited_for(void **state) {
        Fixture *f = *state;

        use(f);
        tell(f, "{\"script\":[{\"status\":429,\"retry_after\":1}]}");
        usec_t from = clock_monotonic();
        test_embed(&f->t, three, 3);
        all_well(f);
        assert_true(clock_monotonic() - from >= USEC_PER_SEC);
        /* one that is too long to wait for ends it, with its reason */
        tell(f,
             "{\"script\":[{\"status\":429,\"retry_after\":3600,\"body\":{\"error\":{\"message\":\"no quota\"}}}]}");
        test_embed(&f->t, three, 3);
        assert_int_equal(f->t.r, -EAGAIN);
        assert_non_null(strstr(f->t.message, "it answered 429: no quota"));
}

static void tries_come_to_an_end(void **state) {
        Fixture *f = *state;

        f->options.tries_max = 3;
        use(f);
        tell(f, "{\"script\":[{\"status\":503,\"times\":0}]}");
        test_embed(&f->t, three, 3);
        assert_int_equal(f->t.r, -EAGAIN);
        assert_int_equal(n_requests(f), 3);
}

static void stalls_time_out(void **state) {
        static const char *const scripts[] = { "{\"script\":[{\"stall\":true,\"times\":2}]}",
                                               "{\"script\":[{\"stall\":\"body\",\"times\":2}]}" };
        Fixture *f = *state;

        f->options.timeout_usec = 100 * USEC_PER_MSEC;
        f->options.tries_max = 2;
        use(f);
        ARRAY_FOREACH(script, scripts) {
                tell(f, *script);
                test_embed(&f->t, three, 3);
                assert_int_equal(f->t.r, -ETIMEDOUT);
                test_embed(&f->t, three, 1);
                all_well(f);
        }
}

static void nobody_there_is_said_at_once(void **state) {
        Fixture *f = *state;

        f->options.url = "http://127.0.0.1:1/v1/";
        f->options.api_key = "sk-secret";
        use(f);
        test_embed(&f->t, three, 3);
        assert_int_equal(f->t.r, -ECONNREFUSED);
        assert_non_null(
                str_startswith(f->t.message, "http://127.0.0.1:1/v1/embeddings, model \"toy\": "));
        assert_string_equal(f->t.messages[2], f->t.message);
}

/* ---- trouble that somebody must end ---- */

static void refusals_end_at_once_and_show_no_key(void **state) {
        Fixture *f = *state;

        f->options.api_key = "sk-wrong";
        use(f);
        tell(f, "{\"settings\":{\"key\":\"sk-right\"}}");
        test_embed(&f->t, three, 3);
        assert_int_equal(f->t.r, -EACCES);
        assert_non_null(strstr(f->t.message, "Incorrect API key"));
        assert_null(strstr(f->t.message, "sk-wrong"));
        tell(f, "{\"settings\":{\"key\":null,\"model\":\"other\"}}");
        test_embed(&f->t, three, 3);
        assert_int_equal(f->t.r, -ENOENT);
        assert_non_null(strstr(f->t.message, "The model `toy` does not exist"));
        assert_int_equal(n_requests(f), 2);
}

static void answers_that_are_none_are_said(void **state) {
        static const struct {
                const char *script, *word;
        } cases[] = {
                { "{\"script\":[{\"count\":-1,\"times\":0}]}", "number of vectors" },
                { "{\"script\":[{\"count\":1,\"times\":0}]}", "number of vectors" },
                { "{\"script\":[{\"raw\":\"<html>\",\"times\":0}]}", "no JSON" },
                { "{\"script\":[{\"raw\":\"{}\",\"times\":0}]}", "data" },
                { "{\"script\":[{\"raw\":\"{\\\"data\\\":[{\\\"index\\\":7,\\\"embedding\\\":[1]}]}\",\"times\":0}]}",
                  "number" },
                { "{\"script\":[{\"status\":400,\"times\":0,\"body\":{\"detail\":\"what?\"}}]}",
                  "it answered 400: what?" },
                { "{\"script\":[{\"status\":302,\"times\":0}]}", "it answered 302" },
        };
        Fixture *f = *state;

        use(f);
        ARRAY_FOREACH(c, cases) {
                tell(f, "{\"reset\":true}");
                tell(f, c->script);
                test_embed(&f->t, three, 3);
                assert_int_equal(f->t.r, -EPROTO);
                assert_non_null(strstr(f->t.message, c->word));
        }
}

static void another_dimension_than_before_is_said(void **state) {
        Fixture *f = *state;

        use(f);
        test_embed(&f->t, three, 3);
        tell(f, "{\"settings\":{\"dimensions\":32}}");
        test_embed(&f->t, three, 3);
        assert_int_equal(f->t.r, -EPROTO);
        assert_non_null(strstr(f->t.message, "it gives vectors of 32 numbers, where 64 are expected"));
        f->options.dimensions = 16;
        use(f);
        tell(f, "{\"script\":[{\"dimensions\":64}]}");
        test_embed(&f->t, three, 1);
        assert_int_equal(f->t.r, -EPROTO);
}

static void spoilt_vectors_fail_alone(void **state) {
        static const char *const scripts[] = {
                "{\"script\":[{\"base64\":true,\"nan\":[1]}]}",
                "{\"script\":[{\"zero\":[1]}]}",
                "{\"script\":[{\"null\":[1]}]}",
                /* NaN is no JSON: then the text is found by asking again */
                "{\"script\":[{\"nan\":[1]}]}",
        };
        Fixture *f = *state;

        use(f);
        for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
                tell(f, scripts[i]);
                test_embed(&f->t, three, 3);
                assert_int_equal(f->t.r, 0);
                assert_non_null(f->t.vectors[0]);
                assert_non_null(f->t.vectors[2]);
                assert_int_equal(f->t.vectors[1] != NULL, i == 3);
                assert_true(i == 3 || str_startswith(f->t.messages[1], f->url));
        }
}

static void a_text_that_the_server_refuses_fails_alone(void **state) {
        static const char *const texts[] = { "a", "b", "c", "d", "evil e", "f", "g" };
        Fixture *f = *state;

        use(f);
        tell(f, "{\"settings\":{\"poison\":\"evil\"}}");
        test_embed(&f->t, texts, 7);
        assert_int_equal(f->t.r, 0);
        for (size_t i = 0; i < 7; i++)
                assert_int_equal(f->t.vectors[i] != NULL, i != 4);
        assert_non_null(strstr(f->t.messages[4], "invalid input"));
}

/* ---- many at a time, and giving up ---- */

static void few_requests_are_under_way_at_a_time(void **state) {
        Fixture *f = *state;

        f->options.parallel_max = 3;
        use(f);
        tell(f, "{\"script\":[{\"stall\":true,\"times\":0}]}");
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(test_embed_start(&f->t, three, 3), 0);
        while (n_requests(f) < 3)
                ;
        assert_int_equal(n_requests(f), 3);
        assert_int_equal(f->t.n_done, 0);
}

static void is_well(TestEmbed *t) {
        assert_int_equal(t->r, 0);
        assert_int_equal(t->n, 3);
        test_embed_check(t);
        assert_non_null(t->vectors[2]);
}

static void jobs_all_come_back(void **state) {
        Fixture *f = *state;

        use(f);
        f->t.also = is_well;
        tell(f, "{\"script\":[{\"status\":429},{},{\"cut\":true},{},{\"status\":503}]}");
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(test_embed_start(&f->t, three, 3), 0);
        test_embed_wait(&f->t, 20);
        assert_int_equal(n_requests(f), 23);
}

static void free_it(TestEmbed *t) {
        t->embedder = embedder_free(t->embedder);
}

static void it_may_be_freed_at_any_time(void **state) {
        static const char *const scripts[] = { "{}", "{\"script\":[{\"stall\":true}]}",
                                               "{\"script\":[{\"status\":429}]}" };
        Fixture *f = *state;

        f->options.retry_usec = USEC_PER_SEC;
        for (unsigned i = 0; i < 24; i++) {
                tell(f, scripts[i % ELEMENTSOF(scripts)]);
                use(f);
                for (unsigned k = 0; k < 4; k++)
                        assert_int_equal(test_embed_start(&f->t, three, 3), 0);
                for (unsigned k = 0; k < i; k++)
                        assert_true(sd_event_run(f->t.event, USEC_PER_MSEC) >= 0);
                free_it(&f->t);
                tell(f, "{\"reset\":true}");
                test_embed_clear(&f->t);
        }
        use(f);
        f->t.also = free_it;
        for (unsigned k = 0; k < 4; k++)
                assert_int_equal(test_embed_start(&f->t, three, 3), 0);
        test_embed_wait(&f->t, f->t.n_done + 1);
        assert_null(f->t.embedder);
}

static void bad_options_are_refused(void **state) {
        static const struct {
                EmbedderOptions options;
                const char *word;
        } cases[] = {
                { { .model = "m" }, "URL" },
                { { .url = "ftp://x/v1", .model = "m" }, "http://" },
                { { .url = "http://me:secret@x/v1", .model = "m" }, "key" },
                { { .url = "http://x/v1?key=1", .model = "m" }, "key" },
                { { .url = "http://x/v1" }, "model" },
                { { .url = "http://x/v1", .model = "a\nb" }, "model" },
                { { .url = "http://x/v1", .model = "m", .api_key = "a\r\nX: y" }, "key" },
                { { .url = "http://x/v1", .model = "m", .dimensions = 5000 }, "4096" },
        };
        Fixture *f = *state;

        ARRAY_FOREACH(c, cases) {
                EmbedderOptions o = c->options;
                o.kind = EMBEDDER_OPENAI;
                assert_int_equal(test_embed_new(&f->t, &o), -EINVAL);
                assert_non_null(strstr(f->t.error, c->word));
                assert_null(strstr(f->t.error, "secret"));
        }
}

static void a_missing_module_is_said(void **state) {
        Fixture *f = *state;

        f->t.fetcher = fetcher_free(f->t.fetcher);
        assert_int_equal(fetcher_new(&f->t.fetcher, f->t.event), 0);
        assert_int_equal(fetcher_set_module(f->t.fetcher, "/nonexistent.so"), 0);
        use(f);
        test_embed(&f->t, three, 3);
        assert_int_equal(f->t.r, -ELIBACC);
        assert_non_null(strstr(f->t.message, "/nonexistent.so is not installed"));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(texts_come_back_with_their_own_vectors),
                TEST(what_is_sent_is_what_the_contract_says),
                TEST(nothing_to_embed_makes_no_request),
                TEST(many_texts_go_in_batches),
                TEST(long_texts_are_parted_without_breaking_characters),
                TEST(too_large_for_the_server_is_halved_until_it_fits),
                TEST(a_text_that_never_fits_fails_alone),
                TEST(only_so_many_parts_of_a_text_are_asked_for),
                TEST(overload_and_cuts_are_tried_again),
                TEST(retry_after_is_waited_for),
                TEST(tries_come_to_an_end),
                TEST(stalls_time_out),
                TEST(nobody_there_is_said_at_once),
                TEST(refusals_end_at_once_and_show_no_key),
                TEST(answers_that_are_none_are_said),
                TEST(another_dimension_than_before_is_said),
                TEST(spoilt_vectors_fail_alone),
                TEST(a_text_that_the_server_refuses_fails_alone),
                TEST(few_requests_are_under_way_at_a_time),
                TEST(jobs_all_come_back),
                TEST(it_may_be_freed_at_any_time),
                TEST(bad_options_are_refused),
                TEST(a_missing_module_is_said),
        };

        (void) unsetenv("http_proxy");
        (void) unsetenv("all_proxy");
        return cmocka_run_group_tests(tests, begin, end);
}
