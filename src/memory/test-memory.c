/* SPDX-License-Identifier: MIT */

/* What long-term memory promises, on a real database. */

#include <stdio.h>

#include "base/str.h"
#include "base/test.h"
#include "memory/memory.h"
#include "store/schema-memory.h"

#define NAMESPACE 1

typedef struct Fixture {
        char folder[64];
        char path[96];
        Store *store;
        MemoryManager *memory;
        int result;
        unsigned n_done;
        Buf text;
} Fixture;

static void open_memory(Fixture *f) {
        assert_int_equal(store_open(&f->store, NULL, f->path, &memory_schema, NULL, NULL), 0);
        assert_int_equal(memory_manager_new(&f->memory, NULL, f->store), 0);
}

static void close_memory(Fixture *f) {
        f->memory = memory_manager_free(f->memory);
        f->store = store_free(f->store);
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        (void) snprintf(f->folder, sizeof(f->folder), "/tmp/test-memory-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        (void) snprintf(f->path, sizeof(f->path), "%s/memory.db", f->folder);
        f->text = BUF_INIT(1U << 24);
        open_memory(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };

        close_memory(f);
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                char path[128];
                (void) snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
                (void) unlink(path);
        }
        assert_int_equal(rmdir(f->folder), 0);
        buf_done(&f->text);
        free(f);
        return 0;
}

static void on_done(int r, void *userdata) {
        Fixture *f = userdata;

        f->result = r;
        f->n_done++;
}

static int wait_done(Fixture *f, int r) {
        if (r != 0)
                return r;
        unsigned before = f->n_done;
        assert_int_equal(store_flush(f->store), 0);
        assert_int_equal(f->n_done, before + 1);
        return f->result;
}

static void set(Fixture *f, uint64_t namespace_id, const char *key, const char *value) {
        JsonSpan v = { value, strlen(value) };

        assert_int_equal(wait_done(f, memory_set(f->memory, namespace_id, key, v, 7, 9, on_done, f)),
                         0);
}

static int take_entry(const MemoryEntry *e, void *userdata) {
        Fixture *f = userdata;

        buf_clear(&f->text);
        return buf_printf(&f->text, "%s=%.*s v%llu n%llu s%llu r%llu", e->key, (int) e->value.n,
                          e->value.p, (unsigned long long) e->version,
                          (unsigned long long) e->access_count, (unsigned long long) e->session,
                          (unsigned long long) e->run);
}

static void assert_entry(Fixture *f, uint64_t namespace_id, const char *key, const char *expected) {
        assert_int_equal(memory_get(f->memory, namespace_id, key, take_entry, f), 0);
        assert_string_equal(f->text.data, expected);
}

static int take_key(const MemoryEntry *e, void *userdata) {
        Fixture *f = userdata;

        assert_null(e->value.p);
        return buf_printf(&f->text, "%s ", e->key);
}

static void assert_keys(
        Fixture *f, const char *prefix, const char *after, size_t limit, const char *expected) {
        buf_clear(&f->text);
        (void) buf_puts(&f->text, "");
        assert_int_equal(memory_list(f->memory, NAMESPACE, prefix, after, limit, false, take_key, f),
                         0);
        assert_string_equal(f->text.data, expected);
}

static void test_values_come_back_as_written_also_after_a_restart(void **state) {
        Fixture *f = *state;
        static const char *const values[] = {
                "1.0",
                "123456789012345678901234567890",
                "{\"b\" : [ 1e5 ],\"a\":\"\\ud800\\u0000\"}",
                "null",
                "\"\xc3\xa4 \xf0\x9f\x98\x80\"",
                "false",
        };

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                char key[16];
                (void) snprintf(key, sizeof(key), "k%zu", i);
                set(f, NAMESPACE, key, values[i]);
        }
        close_memory(f);
        open_memory(f);
        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                char key[16], expected[128];
                (void) snprintf(key, sizeof(key), "k%zu", i);
                (void) snprintf(expected, sizeof(expected), "%s=%s v1 n1 s7 r9", key, values[i]);
                assert_entry(f, NAMESPACE, key, expected);
        }
}

static void test_nothing_is_said_before_the_commit(void **state) {
        Fixture *f = *state;

        assert_int_equal(memory_set(f->memory, NAMESPACE, "k", JSON_LITERAL("1"), 0, 0, on_done, f),
                         0);
        assert_int_equal(f->n_done, 0);
        assert_int_equal(store_flush(f->store), 0);
        assert_int_equal(f->n_done, 1);
        assert_entry(f, NAMESPACE, "k", "k=1 v1 n1 s0 r0");
}

static void test_overwriting_makes_the_next_version(void **state) {
        Fixture *f = *state;

        set(f, NAMESPACE, "k", "1");
        set(f, NAMESPACE, "k", "[2]");
        assert_entry(f, NAMESPACE, "k", "k=[2] v2 n1 s7 r9");
        assert_int_equal(memory_count(f->memory, NAMESPACE), 1);
}

static void test_a_missing_key_is_not_found_and_deleting_it_too(void **state) {
        Fixture *f = *state;

        assert_int_equal(memory_get(f->memory, NAMESPACE, "k", take_entry, f), MEMORY_E_NOT_FOUND);
        assert_int_equal(wait_done(f, memory_delete(f->memory, NAMESPACE, "k", on_done, f)),
                         MEMORY_E_NOT_FOUND);
        set(f, NAMESPACE, "k", "1");
        assert_int_equal(wait_done(f, memory_delete(f->memory, NAMESPACE, "k", on_done, f)), 0);
        assert_int_equal(memory_get(f->memory, NAMESPACE, "k", take_entry, f), MEMORY_E_NOT_FOUND);
}

static void test_namespaces_do_not_see_each_other(void **state) {
        Fixture *f = *state;

        set(f, NAMESPACE, "k", "1");
        set(f, 2, "k", "2");
        assert_entry(f, 2, "k", "k=2 v1 n1 s7 r9");
        assert_int_equal(wait_done(f, memory_delete(f->memory, 2, "k", on_done, f)), 0);
        assert_entry(f, NAMESPACE, "k", "k=1 v1 n1 s7 r9");
        assert_int_equal(memory_count(f->memory, 2), 0);
        assert_keys(f, NULL, NULL, SIZE_MAX, "k ");
}

static void test_keys_are_listed_in_order_by_prefix_and_page(void **state) {
        Fixture *f = *state;
        static const char *const keys[] = {
                "b", "a/2", "a/10", "a", "\xc3\xa4", "\303\2771", "\xf4\x8f\xbf\xbf"
        };

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                set(f, NAMESPACE, keys[i], "0");
        assert_keys(f, NULL, NULL, SIZE_MAX,
                    "a a/10 a/2 b \xc3\xa4 \xc3\xbf"
                    "1 \xf4\x8f\xbf\xbf ");
        assert_keys(f, "a/", NULL, SIZE_MAX, "a/10 a/2 ");
        assert_keys(f, "\xc3\xbf", NULL, SIZE_MAX,
                    "\xc3\xbf"
                    "1 ");
        assert_keys(f, "\xf4\x8f\xbf\xbf", NULL, SIZE_MAX, "\xf4\x8f\xbf\xbf ");
        assert_keys(f, "", "a/10", 2, "a/2 b ");
        assert_keys(f, "a", "a", 1, "a/10 ");
        assert_keys(f, "zz", NULL, SIZE_MAX, "");
}

static int stop_at_first(const MemoryEntry *e, void *userdata) {
        (void) take_entry(e, userdata);
        return -ECANCELED;
}

static void test_a_list_ends_when_its_reader_says_so(void **state) {
        Fixture *f = *state;

        set(f, NAMESPACE, "a", "1");
        set(f, NAMESPACE, "b", "2");
        assert_int_equal(
                memory_list(f->memory, NAMESPACE, NULL, NULL, SIZE_MAX, true, stop_at_first, f),
                -ECANCELED);
        assert_string_equal(f->text.data, "a=1 v1 n0 s7 r9");
}

static void test_every_read_is_counted_across_restarts(void **state) {
        Fixture *f = *state;

        set(f, NAMESPACE, "k", "1");
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(memory_get(f->memory, NAMESPACE, "k", take_entry, f), 0);
        set(f, NAMESPACE, "other", "1"); /* takes the counts along */
        assert_entry(f, NAMESPACE, "k", "k=1 v1 n6 s7 r9");
        close_memory(f);
        open_memory(f);
        assert_entry(f, NAMESPACE, "k", "k=1 v1 n7 s7 r9");
}

static void test_reading_many_entries_writes_their_counts_by_itself(void **state) {
        Fixture *f = *state;
        StoreStats before, after;

        for (unsigned i = 0; i < 1100; i++) {
                char key[16];
                (void) snprintf(key, sizeof(key), "k%u", i);
                assert_int_equal(
                        memory_set(f->memory, NAMESPACE, key, JSON_LITERAL("1"), 0, 0, NULL, NULL),
                        0);
        }
        assert_int_equal(store_flush(f->store), 0);
        store_stats(f->store, &before);
        for (unsigned i = 0; i < 1100; i++) {
                char key[16];
                (void) snprintf(key, sizeof(key), "k%u", i);
                assert_int_equal(memory_get(f->memory, NAMESPACE, key, take_entry, f), 0);
        }
        assert_int_equal(store_flush(f->store), 0);
        store_stats(f->store, &after);
        assert_int_equal(after.transactions - before.transactions, 1);
        assert_entry(f, NAMESPACE, "k3", "k3=1 v1 n2 s0 r0");
        assert_entry(f, NAMESPACE, "k1099", "k1099=1 v1 n2 s0 r0");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_values_come_back_as_written_also_after_a_restart, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nothing_is_said_before_the_commit, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_overwriting_makes_the_next_version, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_a_missing_key_is_not_found_and_deleting_it_too,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(test_namespaces_do_not_see_each_other, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_keys_are_listed_in_order_by_prefix_and_page,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_list_ends_when_its_reader_says_so, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_every_read_is_counted_across_restarts, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(
                        test_reading_many_entries_writes_their_counts_by_itself, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
