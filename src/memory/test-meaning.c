/* SPDX-License-Identifier: MIT */

/* Vectors of entries: what is near is found, from the index as from the rows, and an index that is
 * lost, behind or empty changes nothing but the time it takes. */

#include <dirent.h>
#include <stdio.h>

#include "base/str.h"
#include "base/test.h"
#include "memory/search.h"
#include "store/schema-memory.h"

typedef struct Fixture {
        char *folder;
        char *vectors;
        sd_event *event;
        Store *store;
        MemoryManager *memory;
        MemoryScope scope;
        bool is_done;
        char found[1024]; /* the keys, each followed by a space */
        double score;     /* of the first */
        SearchMode mode;
} Fixture;

static void begin(Fixture *f) {
        const MemoryLimits limits = { 10, USEC_INFINITY, 4096 };
        _cleanup_free_ char *path = path_join(f->folder, "memory.db");

        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(store_open(&f->store, f->event, path, &memory_schema, NULL, NULL), 0);
        assert_int_equal(memory_manager_new(&f->memory, f->event, f->store, &limits, f->vectors), 0);
}

static void end(Fixture *f) {
        f->memory = memory_manager_free(f->memory);
        f->store = store_free(f->store);
        f->event = sd_event_unref(f->event);
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        f->folder = test_folder();
        f->vectors = path_join(f->folder, "vectors");
        f->scope = memory_namespace_scope(1);
        begin(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        end(f);
        free(f->vectors);
        test_folder_done(&f->folder);
        free(f);
        return 0;
}

/* A vector of three numbers; text as a JSON string. */
static void put(Fixture *f, const char *key, const char *text, const float *v) {
        MemorySet s = {
                .scope = f->scope,
                .key = key,
                .value = { text, strlen(text) },
                .importance = -1,
                .embedding = v,
                .n_embedding = v ? 3 : 0,
                .model = "given",
                .metadata = JSON_LITERAL("{\"a\": 1}"),
        };

        assert_int_equal(memory_set(f->memory, &s, NULL, NULL, NULL), 0);
        assert_int_equal(store_flush(f->store), 0);
}
#define PUT(f, key, text, ...) put((f), (key), (text), (const float[]){ __VA_ARGS__ })

static void on_found(int r, const SearchResult *result, void *userdata) {
        Fixture *f = userdata;

        assert_int_equal(r, 0);
        f->is_done = true;
        f->found[0] = '\0';
        f->mode = result->mode;
        f->score = result->n > 0 ? result->hits[0].score : 0;
        for (size_t i = 0; i < result->n; i++) {
                size_t n = strlen(f->found);
                (void) snprintf(f->found + n, sizeof(f->found) - n, "%s ", result->hits[i].entry.key);
        }
}

static const char *run(Fixture *f, MemorySearch *s) {
        f->is_done = false;
        s->scopes[0] = f->scope;
        s->n_scopes = 1;
        s->limit = s->limit ?: 10;
        s->model = "given";
        s->n_vector = s->n_vector ?: 3;
        assert_int_equal(memory_search(f->memory, s, on_found, f), 0);
        while (!f->is_done)
                assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) >= 0);
        return f->found;
}

static const char *near_(Fixture *f, const float *v) {
        return run(f, &(MemorySearch){ .vector = v, .min_score = -1 });
}
#define NEAR(f, ...) near_((f), (const float[]){ __VA_ARGS__ })

static void put_three(Fixture *f) {
        PUT(f, "x", "\"one\"", 1, 0, 0);
        PUT(f, "xy", "\"two\"", 5, 5, 0);
        PUT(f, "z", "\"three\"", 0, 0, 0.1F);
        put(f, "none", "\"four\"", NULL);
}

static void test_the_nearest_come_first_with_their_cosine(void **state) {
        Fixture *f = *state;
        const float short_one[] = { 1, 0 };
        MemorySearch other = { .scopes = { f->scope },
                               .n_scopes = 1,
                               .vector = short_one,
                               .n_vector = 2,
                               .model = "given",
                               .limit = 1 };

        assert_int_equal(memory_search(f->memory, &other, on_found, f), MEMORY_E_MODEL);
        put_three(f);
        assert_string_equal(NEAR(f, 9, 1, 0), "x xy z ");
        assert_int_equal(f->mode, SEARCH_VECTOR);
        assert_string_equal(NEAR(f, 0, 0, -1), "x xy z ");
        assert_string_equal(NEAR(f, 1, 1, 0), "xy x z ");
        assert_true(f->score > 0.999 && f->score < 1.001);
        assert_string_equal(
                run(f, &(MemorySearch){ .vector = (const float[]){ 0, 0, 1 }, .min_score = 0.5 }),
                "z ");
        assert_int_equal(memory_search(f->memory, &other, on_found, f), MEMORY_E_MODEL);
}

static void test_a_vector_stays_while_what_it_is_of_stays(void **state) {
        Fixture *f = *state;

        PUT(f, "k", "\"one\"", 1, 0, 0);
        put(f, "k", "\"one\"", NULL);
        assert_string_equal(NEAR(f, 1, 0, 0), "k ");
        put(f, "k", "\"two\"", NULL);
        assert_string_equal(NEAR(f, 1, 0, 0), "");
        PUT(f, "k", "\"two\"", 0, 1, 0);
        PUT(f, "k", "\"two\"", 0, 0, 1);
        assert_string_equal(NEAR(f, 0, 0, 1), "k ");
        assert_true(f->score > 0.999);
        assert_int_equal(memory_delete(f->memory, f->scope, "k", 0, NULL, NULL, NULL), 0);
        assert_int_equal(store_flush(f->store), 0);
        assert_string_equal(NEAR(f, 0, 0, 1), "");
}

static void test_words_and_vectors_are_fused_by_rank(void **state) {
        Fixture *f = *state;
        const float v[] = { 1, 0, 0 };

        PUT(f, "both", "\"the marmot sleeps\"", 0.9F, 0.1F, 0);
        PUT(f, "near", "\"something else\"", 1, 0, 0);
        PUT(f, "word", "\"a marmot, a marmot\"", 0, 0, 1);
        PUT(f, "far", "\"something else\"", 0.5F, 0.5F, 0);
        PUT(f, "farther", "\"something else\"", 0.5F, 0.6F, 0);
        assert_string_equal(run(f, &(MemorySearch){ .text = "marmot", .vector = v, .min_score = -1 }),
                            "both word near far farther ");
        assert_int_equal(f->mode, SEARCH_HYBRID);
        assert_true(f->score < 1);
        assert_string_equal(run(f, &(MemorySearch){ .text = "marmot" }), "word both ");
}

static void test_filters_and_walls_hold_for_vectors(void **state) {
        Fixture *f = *state;
        char key[8], message[FILTER_MESSAGE_SIZE];
        const float v[] = { 1, 0, 0 };
        MemorySearch s = { .vector = v, .min_score = -1, .limit = 2, .has_filter = true };

        for (unsigned i = 0; i < 50; i++) {
                (void) snprintf(key, sizeof(key), "k%02u", i);
                PUT(f, key, "1", 1, (float) i, 0);
        }
        assert_int_equal(filter_parse(JSON_LITERAL("{\"prefix\":\"k4\"}"), &s.filter, message), 0);
        assert_string_equal(run(f, &s), "k40 k41 ");
        assert_int_equal(filter_parse(JSON_LITERAL("{\"metadata\":{\"a\":2}}"), &s.filter, message),
                         0);
        assert_string_equal(run(f, &s), "");
        f->scope = memory_agent_scope(1, "coder");
        assert_string_equal(NEAR(f, 1, 0, 0), "");
        PUT(f, "mine", "1", 0, 1, 0);
        assert_string_equal(NEAR(f, 1, 0, 0), "mine ");
        assert_int_equal(memory_scope_delete(f->memory, f->scope, NULL, NULL), 0);
        assert_int_equal(store_flush(f->store), 0);
        assert_string_equal(NEAR(f, 1, 0, 0), "");
        f->scope = memory_namespace_scope(1);
        assert_string_equal(run(f, &(MemorySearch){ .vector = v, .limit = 1 }), "k00 ");
}

static void test_the_past_is_found_by_its_vectors(void **state) {
        Fixture *f = *state;
        const usec_t birth = 1700000000 * USEC_PER_SEC;
        const float v[] = { 1, 0, 0 };
        MemorySearch s = { .vector = v, .min_score = 0.5, .as_of = birth };

        clock_fake(birth, 0);
        PUT(f, "k", "\"old\"", 1, 0, 0);
        clock_fake(birth + USEC_PER_SEC, 0);
        PUT(f, "k", "\"new\"", 0, 1, 0);
        PUT(f, "later", "\"new\"", 1, 0, 0);
        clock_fake(USEC_INFINITY, USEC_INFINITY);
        assert_string_equal(run(f, &s), "k ");
        s.as_of = 0;
        assert_string_equal(run(f, &s), "later ");
}

static void assert_three(Fixture *f) {
        assert_string_equal(NEAR(f, 9, 1, 0), "x xy z ");
        assert_string_equal(NEAR(f, 0, 0, 1), "z x xy ");
}

/* Until the background has made the index again, and then once more. */
static void assert_three_while_rebuilding(Fixture *f) {
        for (unsigned i = 0; i < 20; i++) {
                assert_three(f);
                assert_true(sd_event_run(f->event, 0) >= 0);
        }
}

static void test_vectors_are_found_after_a_restart(void **state) {
        Fixture *f = *state;

        put_three(f);
        end(f);
        begin(f);
        assert_three_while_rebuilding(f);
        PUT(f, "z2", "\"five\"", 0, 0, 1);
        assert_string_equal(NEAR(f, 0, 0, 1), "z z2 x xy ");
}

/* Copies every file of a folder into another one; text: writes that in their place. */
static void copy_files(const char *from, const char *to, const char *text) {
        DIR *d = opendir(from);
        struct dirent *entry;

        assert_non_null(d);
        assert_int_equal(fs_mkdir_p(to, 0700), 0);
        while ((entry = readdir(d))) {
                _cleanup_free_ char *source = path_join(from, entry->d_name);
                _cleanup_free_ char *target = path_join(to, entry->d_name);
                _cleanup_free_ char *data = NULL;
                size_t n = 0;
                if (entry->d_name[0] == '.')
                        continue;
                assert_int_equal(fs_read_file(AT_FDCWD, source, SIZE_MAX, &data, &n), 0);
                assert_int_equal(fs_write_file_atomic(AT_FDCWD, target, text ? text : data,
                                                      text ? strlen(text) : n, 0600),
                                 0);
        }
        (void) closedir(d);
}

static void test_lost_and_damaged_files_are_made_again(void **state) {
        Fixture *f = *state;

        put_three(f);
        end(f);
        assert_int_equal(fs_remove_tree(AT_FDCWD, f->vectors), 0);
        begin(f);
        assert_three_while_rebuilding(f);
        end(f);
        copy_files(f->vectors, f->vectors, "damaged");
        begin(f);
        assert_three_while_rebuilding(f);
}

/* The files are of an earlier time, as after a crash or from a backup. */
static void test_files_that_are_behind_catch_up(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *kept = path_join(f->folder, "kept");

        PUT(f, "x", "\"wrong\"", 0, 1, 0);
        PUT(f, "gone", "\"wrong\"", 0, 1, 1);
        end(f);
        copy_files(f->vectors, kept, NULL);
        begin(f);
        put_three(f);
        assert_int_equal(memory_delete(f->memory, f->scope, "gone", 0, NULL, NULL, NULL), 0);
        end(f);
        assert_int_equal(fs_remove_tree(AT_FDCWD, f->vectors), 0);
        copy_files(kept, f->vectors, NULL);
        begin(f);
        assert_three_while_rebuilding(f);
}

/* An earlier copy of the database, and the files of a later time beside it. */
static void test_files_of_another_time_are_not_believed(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *database = path_join(f->folder, "memory.db");
        _cleanup_free_ char *copy = NULL;
        size_t n;

        put_three(f);
        end(f);
        assert_int_equal(fs_read_file(AT_FDCWD, database, SIZE_MAX, &copy, &n), 0);
        begin(f);
        PUT(f, "x", "\"other\"", 0, 0, 1);
        PUT(f, "later", "\"later\"", 1, 0, 0);
        assert_int_equal(memory_delete(f->memory, f->scope, "z", 0, NULL, NULL, NULL), 0);
        end(f);
        assert_int_equal(fs_write_file_atomic(AT_FDCWD, database, copy, n, 0600), 0);
        begin(f);
        assert_three_while_rebuilding(f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_the_nearest_come_first_with_their_cosine,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_vector_stays_while_what_it_is_of_stays,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(test_words_and_vectors_are_fused_by_rank, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_filters_and_walls_hold_for_vectors, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_the_past_is_found_by_its_vectors, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_vectors_are_found_after_a_restart, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_lost_and_damaged_files_are_made_again, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_files_that_are_behind_catch_up, setup, teardown),
                cmocka_unit_test_setup_teardown(test_files_of_another_time_are_not_believed, setup,
                                                teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
