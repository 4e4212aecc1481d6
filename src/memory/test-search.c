/* SPDX-License-Identifier: MIT */

/* Finding entries by words: what is found, in which order, and what never is. */

#include <stdio.h>

#include "base/str.h"
#include "base/test.h"
#include "memory/query.h"
#include "memory/search.h"
#include "store/schema-memory.h"

typedef struct Fixture {
        char *folder;
        sd_event *event;
        Store *store;
        MemoryManager *memory;
        MemoryScope scope;
        bool is_done;
        char found[512]; /* the keys, each followed by a space */
        double score;    /* of the first */
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        const MemoryLimits limits = { 10, USEC_INFINITY, 4096 };
        _cleanup_free_ char *path = NULL;

        f->folder = test_folder();
        path = path_join(f->folder, "memory.db");
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(store_open(&f->store, f->event, path, &memory_schema, NULL, NULL), 0);
        assert_int_equal(memory_manager_new(&f->memory, f->event, f->store, &limits, NULL), 0);
        f->scope = memory_namespace_scope(1);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        memory_manager_free(f->memory);
        store_free(f->store);
        sd_event_unref(f->event);
        test_folder_done(&f->folder);
        free(f);
        return 0;
}

static void put(Fixture *f, const char *key, const char *value) {
        MemorySet s = {
                .scope = f->scope, .key = key, .value = { value, strlen(value) }, .importance = -1
        };

        assert_int_equal(memory_set(f->memory, &s, NULL, NULL, NULL), 0);
        assert_int_equal(store_flush(f->store), 0);
}

static void on_found(int r, const SearchResult *result, void *userdata) {
        Fixture *f = userdata;

        assert_int_equal(r, 0);
        f->is_done = true;
        f->found[0] = '\0';
        f->score = result->n > 0 ? result->hits[0].score : 0;
        for (size_t i = 0; i < result->n; i++) {
                size_t n = strlen(f->found);
                (void) snprintf(f->found + n, sizeof(f->found) - n, "%s ", result->hits[i].entry.key);
        }
}

static const char *run(Fixture *f, const MemorySearch *s) {
        f->is_done = false;
        assert_int_equal(memory_search(f->memory, s, on_found, f), 0);
        while (!f->is_done)
                assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) >= 0);
        return f->found;
}

static const char *find(Fixture *f, const char *text) {
        MemorySearch s = {
                .scopes = { f->scope }, .n_scopes = 1, .text = text, .limit = 10, .min_score = -1
        };

        return run(f, &s);
}

static void test_what_has_more_and_rarer_words_comes_first(void **state) {
        Fixture *f = *state;

        put(f, "a", "\"The server listens on port 5432.\"");
        put(f, "b", "\"The server is in the cellar.\"");
        put(f, "c", "\"Nothing to do with it.\"");
        assert_string_equal(find(f, "which port does the server listen on?"), "a b ");
        assert_in_range((int) (f->score * 1000), 1, 999);
        assert_string_equal(find(f, "xyzzy"), "");
        assert_string_equal(find(f, "5432"), "a ");
        assert_string_equal(find(f, "to do"), "c "); /* stop words, when there is nothing else */
}

static void test_keys_names_tags_and_context_are_found_behind_the_text(void **state) {
        Fixture *f = *state;
        MemorySet s = {
                .scope = f->scope,
                .key = "z",
                .value = JSON_LITERAL("1"),
                .text = "only this",
                .context = "they spoke of llamas",
                .tags = JSON_LITERAL("[\"zoology\"]"),
                .importance = -1,
        };

        put(f, "user.favouriteColour", "\"blue\"");
        put(f, "x", "{\"city\": \"Ulm\"}");
        put(f, "y", "\"a city of glass\"");
        assert_int_equal(memory_set(f->memory, &s, NULL, NULL, NULL), 0);
        assert_int_equal(store_flush(f->store), 0);
        assert_string_equal(find(f, "favourite colour"), "user.favouriteColour ");
        assert_string_equal(find(f, "city"), "y x ");
        assert_string_equal(find(f, "llama"), "z ");
        assert_string_equal(find(f, "zoology"), "z ");
        assert_string_equal(find(f, "1"), ""); /* the text that was given stands for the value */
}

static void test_what_changes_is_found_as_it_is(void **state) {
        Fixture *f = *state;

        put(f, "k", "\"apple\"");
        put(f, "k", "\"pear\"");
        assert_string_equal(find(f, "apple"), "");
        assert_string_equal(find(f, "pear"), "k ");
        assert_int_equal(memory_delete(f->memory, f->scope, "k", 0, NULL, NULL, NULL), 0);
        assert_int_equal(store_flush(f->store), 0);
        assert_string_equal(find(f, "pear"), "");
}

static void test_the_past_is_found_as_it_was(void **state) {
        Fixture *f = *state;
        MemorySearch s = { .scopes = { f->scope },
                           .n_scopes = 1,
                           .text = "apple pear",
                           .limit = 10,
                           .min_score = -1 };
        const usec_t birth = 1700000000 * USEC_PER_SEC;

        clock_fake(birth, 0);
        put(f, "k", "\"apple\"");
        clock_fake(birth + USEC_PER_SEC, 0);
        put(f, "k", "\"pear\"");
        put(f, "m", "\"pear and apple\"");
        clock_fake(USEC_INFINITY, USEC_INFINITY);
        s.as_of = birth;
        assert_string_equal(run(f, &s), "k ");
        s.text = "pear";
        assert_string_equal(run(f, &s), "");
        s.as_of = birth + USEC_PER_SEC;
        assert_string_equal(run(f, &s), "k m ");
}

static void test_nothing_is_found_through_a_wall(void **state) {
        Fixture *f = *state;
        const MemoryScope scopes[] = {
                memory_namespace_scope(1),      memory_namespace_scope(2),
                memory_agent_scope(1, "a"),     memory_agent_scope(2, "a"),
                { .namespace_id = 1, .id = 7 }, { .namespace_id = 1, .id = 71 },
        };
        char key[] = "k0";

        for (size_t i = 0; i < ELEMENTSOF(scopes); i++) {
                f->scope = scopes[i];
                key[1] = (char) ('0' + i);
                put(f, key, "\"secret l1 o1 scope l7\"");
        }
        for (size_t i = 0; i < ELEMENTSOF(scopes); i++) {
                f->scope = scopes[i];
                key[1] = (char) ('0' + i);
                const char *found = find(f, "secret l1 l7 l71 scope:l1 \") OR scope : (l1");
                assert_memory_equal(found, key, 2);
                assert_string_equal(found + 2, " ");
        }
}

static void test_a_filter_comes_before_the_ranking(void **state) {
        Fixture *f = *state;
        char message[FILTER_MESSAGE_SIZE], key[8];
        MemorySearch s = {
                .scopes = { f->scope }, .n_scopes = 1, .text = "apple", .limit = 2, .min_score = -1
        };

        for (unsigned i = 0; i < 100; i++) {
                (void) snprintf(key, sizeof(key), "k%02u", i);
                put(f, key,
                    i % 40 == 39 ? "\"apple and many other words that make it weak\"" : "\"apple\"");
        }
        s.has_filter = true;
        assert_int_equal(filter_parse(JSON_LITERAL("{\"prefix\":\"k79\"}"), &s.filter, message), 0);
        assert_string_equal(run(f, &s), "k79 ");
        assert_int_equal(filter_parse(JSON_LITERAL("{\"prefix\":\"k3\"}"), &s.filter, message), 0);
        assert_string_equal(run(f, &s), "k30 k31 ");
        s.has_filter = false;
        s.min_score = 0.99;
        assert_string_equal(run(f, &s), "");
}

static void assert_match(const char *text, const char *expected) {
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        const MemoryScope scopes[] = { memory_namespace_scope(5), { .namespace_id = 5, .id = 9 } };

        assert_int_equal(query_match(&b, text, scopes, 2, false), expected != NULL);
        if (expected)
                assert_string_equal(b.data, expected);
}

static void test_a_query_is_words_and_nothing_else(void **state) {
        assert_match("What's \"up\" NEAR(x*)?",
                     "scope : (l5 OR l9) AND {text context} : (\"up\" OR \"NEAR\" OR \"x\")");
        assert_match("the", "scope : (l5 OR l9) AND {text context} : (\"the\")");
        assert_match("?! --", NULL);
        assert_match("", NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_what_has_more_and_rarer_words_comes_first,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_keys_names_tags_and_context_are_found_behind_the_text, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_changes_is_found_as_it_is, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_past_is_found_as_it_was, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nothing_is_found_through_a_wall, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_filter_comes_before_the_ranking, setup,
                                                teardown),
                cmocka_unit_test(test_a_query_is_words_and_nothing_else),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
