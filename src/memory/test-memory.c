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
        MemoryLimits limits;
        sd_event *event; /* NULL: none */
        int result;
        uint64_t version; /* of the last completion */
        unsigned n_done;
        Buf text;
} Fixture;

static void open_memory(Fixture *f) {
        assert_int_equal(store_open(&f->store, f->event, f->path, &memory_schema, NULL, NULL), 0);
        assert_int_equal(memory_manager_new(&f->memory, f->event, f->store, &f->limits, NULL), 0);
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
        f->limits = (MemoryLimits){ 3, USEC_INFINITY, 65536 };
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

static void on_done(int r, uint64_t version, void *userdata) {
        Fixture *f = userdata;

        f->result = r;
        f->version = version;
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

static MemorySet entry(uint64_t namespace_id, const char *key, const char *value) {
        return (MemorySet){
                .scope = memory_namespace_scope(namespace_id),
                .key = key,
                .value = { value, strlen(value) },
                .importance = -1,
                .session = 7,
                .run = 9,
        };
}

static int submit(Fixture *f, const MemorySet *s) {
        return memory_set(f->memory, s, on_done, f, &f->version);
}

static void set(Fixture *f, uint64_t namespace_id, const char *key, const char *value) {
        MemorySet s = entry(namespace_id, key, value);

        assert_int_equal(wait_done(f, submit(f, &s)), 0);
}

static int delete (Fixture *f, uint64_t namespace_id, const char *key) {
        return wait_done(f, memory_delete(f->memory, memory_namespace_scope(namespace_id), key, 0,
                                          on_done, f, &f->version));
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
        assert_int_equal(
                memory_get(f->memory, memory_namespace_scope(namespace_id), key, 0, take_entry, f),
                0);
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
        MemoryList list = { memory_namespace_scope(NAMESPACE), prefix, after, limit, false };
        assert_int_equal(memory_list(f->memory, &list, take_key, f), 0);
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

        MemorySet s = entry(NAMESPACE, "k", "1");

        assert_int_equal(submit(f, &s), 0);
        assert_int_equal(f->n_done, 0);
        assert_int_equal(store_flush(f->store), 0);
        assert_int_equal(f->n_done, 1);
        assert_entry(f, NAMESPACE, "k", "k=1 v1 n1 s7 r9");
}

static void test_overwriting_makes_the_next_version(void **state) {
        Fixture *f = *state;

        set(f, NAMESPACE, "k", "1");
        set(f, NAMESPACE, "k", "[2]");
        assert_entry(f, NAMESPACE, "k", "k=[2] v2 n1 s7 r9");
        assert_int_equal(memory_count(f->memory, memory_namespace_scope(NAMESPACE)), 1);
}

static void test_a_missing_key_is_not_found_and_deleting_it_too(void **state) {
        Fixture *f = *state;

        assert_int_equal(
                memory_get(f->memory, memory_namespace_scope(NAMESPACE), "k", 0, take_entry, f),
                MEMORY_E_NOT_FOUND);
        assert_int_equal(delete (f, NAMESPACE, "k"), MEMORY_E_NOT_FOUND);
        set(f, NAMESPACE, "k", "1");
        assert_int_equal(delete (f, NAMESPACE, "k"), 0);
        assert_int_equal(
                memory_get(f->memory, memory_namespace_scope(NAMESPACE), "k", 0, take_entry, f),
                MEMORY_E_NOT_FOUND);
}

static void test_namespaces_do_not_see_each_other(void **state) {
        Fixture *f = *state;

        set(f, NAMESPACE, "k", "1");
        set(f, 2, "k", "2");
        assert_entry(f, 2, "k", "k=2 v1 n1 s7 r9");
        assert_int_equal(delete (f, 2, "k"), 0);
        assert_entry(f, NAMESPACE, "k", "k=1 v1 n1 s7 r9");
        assert_int_equal(memory_count(f->memory, memory_namespace_scope(2)), 0);
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
        MemoryList list = { memory_namespace_scope(NAMESPACE), NULL, NULL, SIZE_MAX, true };
        assert_int_equal(memory_list(f->memory, &list, stop_at_first, f), -ECANCELED);
        assert_string_equal(f->text.data, "a=1 v1 n0 s7 r9");
}

static void test_every_read_is_counted_across_restarts(void **state) {
        Fixture *f = *state;

        set(f, NAMESPACE, "k", "1");
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(memory_get(f->memory, memory_namespace_scope(NAMESPACE), "k", 0,
                                            take_entry, f),
                                 0);
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
                MemorySet e = entry(NAMESPACE, key, "1");
                assert_int_equal(memory_set(f->memory, &e, NULL, NULL, NULL), 0);
        }
        assert_int_equal(store_flush(f->store), 0);
        store_stats(f->store, &before);
        for (unsigned i = 0; i < 1100; i++) {
                char key[16];
                (void) snprintf(key, sizeof(key), "k%u", i);
                assert_int_equal(memory_get(f->memory, memory_namespace_scope(NAMESPACE), key, 0,
                                            take_entry, f),
                                 0);
        }
        assert_int_equal(store_flush(f->store), 0);
        store_stats(f->store, &after);
        assert_int_equal(after.transactions - before.transactions, 1);
        assert_entry(f, NAMESPACE, "k3", "k3=1 v1 n2 s7 r9");
        assert_entry(f, NAMESPACE, "k1099", "k1099=1 v1 n2 s7 r9");
}

/* ---- versions ---- */

static void test_versions_ascend_while_writes_are_under_way(void **state) {
        Fixture *f = *state;
        MemorySet s = entry(NAMESPACE, "k", "0");

        for (unsigned i = 1; i <= 5; i++)
                assert_int_equal(submit(f, &s), 0);
        assert_int_equal(memory_delete(f->memory, s.scope, "k", 0, on_done, f, NULL), 0);
        assert_int_equal(memory_delete(f->memory, s.scope, "k", 0, on_done, f, NULL),
                         MEMORY_E_NOT_FOUND);
        assert_int_equal(submit(f, &s), 0);
        assert_int_equal(store_flush(f->store), 0);
        assert_int_equal(f->n_done, 7);
        assert_int_equal(f->result, 0);
        assert_int_equal(f->version, 6);
        assert_entry(f, NAMESPACE, "k", "k=0 v6 n1 s7 r9");
}

static void test_only_the_version_that_was_asked_for_is_replaced(void **state) {
        Fixture *f = *state;
        MemorySet s = entry(NAMESPACE, "k", "1");

        s.if_version = 1;
        assert_int_equal(submit(f, &s), MEMORY_E_VERSION);
        assert_int_equal(f->version, 0);
        s.if_version = 0;
        s.only_new = true;
        assert_int_equal(submit(f, &s), 0);
        assert_int_equal(submit(f, &s), MEMORY_E_VERSION); /* it is on its way */
        assert_int_equal(f->version, 1);
        assert_int_equal(store_flush(f->store), 0);
        assert_int_equal(submit(f, &s), MEMORY_E_VERSION);
        s.only_new = false;
        s.if_version = 1;
        assert_int_equal(wait_done(f, submit(f, &s)), 0);
        assert_int_equal(submit(f, &s), MEMORY_E_VERSION);
        assert_int_equal(f->version, 2);
        assert_int_equal(memory_delete(f->memory, s.scope, "k", 1, on_done, f, NULL),
                         MEMORY_E_VERSION);
        assert_int_equal(wait_done(f, memory_delete(f->memory, s.scope, "k", 2, on_done, f, NULL)),
                         0);
}

static int take_version(const MemoryEntry *e, void *userdata) {
        static const char words[] = "lrdx"; /* live, replaced, deleted, expired */
        Fixture *f = userdata;

        return buf_printf(&f->text, "%llu:%.*s%c ", (unsigned long long) e->version,
                          (int) e->value.n, e->value.p, words[e->ended_by]);
}

static void assert_history(Fixture *f, uint64_t before, size_t limit, const char *expected) {
        buf_clear(&f->text);
        (void) buf_puts(&f->text, "");
        assert_int_equal(memory_history(f->memory, memory_namespace_scope(NAMESPACE), "k", before,
                                        limit, take_version, f),
                         0);
        assert_string_equal(f->text.data, expected);
}

static void test_what_was_is_kept_up_to_the_limit(void **state) {
        Fixture *f = *state;

        assert_int_equal(memory_history(f->memory, memory_namespace_scope(NAMESPACE), "k", 0, 9,
                                        take_version, f),
                         MEMORY_E_NOT_FOUND);
        for (unsigned i = 1; i <= 5; i++)
                set(f, NAMESPACE, "k", i % 2 ? "1" : "2");
        assert_history(f, 0, 9, "5:1l 4:2r 3:1r 2:2r ");
        assert_history(f, 5, 2, "4:2r 3:1r ");
        assert_int_equal(delete (f, NAMESPACE, "k"), 0);
        assert_history(f, 0, 9, "5:1d 4:2r 3:1r ");
        set(f, NAMESPACE, "k", "3");
        assert_history(f, 0, 9, "6:3l 5:1d 4:2r 3:1r ");
        close_memory(f);
        open_memory(f);
        assert_history(f, 6, 9, "5:1d 4:2r 3:1r ");
}

static void test_the_past_can_be_read(void **state) {
        Fixture *f = *state;
        MemoryScope scope = memory_namespace_scope(NAMESPACE);
        static const char *const expected[] = { NULL, "1", "1", "2", NULL, "3" };
        const usec_t birth = 1800000000 * USEC_PER_SEC;

        for (unsigned i = 1; i <= 5; i++) {
                char value[2] = { (char) ('0' + i / 2 + (i == 1)), '\0' };
                clock_fake(birth + i * USEC_PER_SEC, 0);
                if (i == 4)
                        assert_int_equal(delete (f, NAMESPACE, "k"), 0);
                else if (i != 2)
                        set(f, NAMESPACE, "k", i == 5 ? "3" : i == 3 ? "2" : value);
        }
        for (unsigned i = 0; i < ELEMENTSOF(expected); i++) {
                buf_clear(&f->text);
                int r = memory_get(f->memory, scope, "k", birth + i * USEC_PER_SEC + 10,
                                   take_version, f);
                assert_int_equal(r, expected[i] ? 0 : MEMORY_E_NOT_FOUND);
                if (expected[i])
                        assert_int_equal(strchr(f->text.data, ':')[1], expected[i][0]);
        }
        clock_fake(USEC_INFINITY, USEC_INFINITY);
}

/* ---- scopes, expiry ---- */

static void test_scopes_are_walls(void **state) {
        Fixture *f = *state;
        MemorySet s = entry(NAMESPACE, "k", "1");
        MemoryScope scopes[] = {
                memory_namespace_scope(NAMESPACE),       { .namespace_id = NAMESPACE, .id = 7 },
                { .namespace_id = NAMESPACE, .id = 8 },  memory_agent_scope(NAMESPACE, "coder"),
                memory_agent_scope(NAMESPACE, "reader"), memory_agent_scope(2, "coder"),
        };

        for (size_t i = 0; i < ELEMENTSOF(scopes); i++) {
                char value[2] = { (char) ('0' + i), '\0' };
                s.scope = scopes[i];
                s.value = (JsonSpan){ value, 1 };
                assert_int_equal(wait_done(f, submit(f, &s)), 0);
                assert_int_equal(f->version, 1);
        }
        for (size_t i = 0; i < ELEMENTSOF(scopes); i++) {
                assert_int_equal(memory_count(f->memory, scopes[i]), 1);
                assert_int_equal(memory_get(f->memory, scopes[i], "k", 0, take_entry, f), 0);
                assert_int_equal(f->text.data[2], '0' + (char) i);
        }
        assert_int_equal(wait_done(f, memory_scope_delete(f->memory, scopes[1], on_done, f)), 0);
        for (size_t i = 0; i < ELEMENTSOF(scopes); i++)
                assert_int_equal(memory_count(f->memory, scopes[i]), i != 1);
}

static void test_what_has_expired_is_not_there_and_its_key_goes_on(void **state) {
        Fixture *f = *state;
        MemorySet s = entry(NAMESPACE, "k", "1");
        const usec_t birth = 1800000000 * USEC_PER_SEC;

        clock_fake(birth, 0);
        s.expires_at = birth + USEC_PER_SEC;
        assert_int_equal(wait_done(f, submit(f, &s)), 0);
        assert_entry(f, NAMESPACE, "k", "k=1 v1 n1 s7 r9");
        clock_fake(birth + 2 * USEC_PER_SEC, 0);
        assert_int_equal(memory_get(f->memory, s.scope, "k", 0, take_entry, f), MEMORY_E_NOT_FOUND);
        assert_keys(f, NULL, NULL, SIZE_MAX, "");
        assert_int_equal(delete (f, NAMESPACE, "k"), MEMORY_E_NOT_FOUND);
        assert_int_equal(memory_count(f->memory, s.scope), 0);
        s.expires_at = 0;
        s.only_new = true;
        assert_int_equal(wait_done(f, submit(f, &s)), 0);
        assert_history(f, 0, 9, "2:1l 1:1x ");
        clock_fake(USEC_INFINITY, USEC_INFINITY);
}

static void test_expired_entries_are_swept(void **state) {
        Fixture *f = *state;
        MemorySet s = entry(NAMESPACE, "k", "1");

        close_memory(f);
        assert_int_equal(sd_event_new(&f->event), 0);
        open_memory(f);
        s.expires_at = clock_realtime() + 50 * USEC_PER_MSEC;
        assert_int_equal(submit(f, &s), 0);
        /* The loop's own timer sweeps it, a second late at most. */
        for (;;) {
                buf_clear(&f->text);
                assert_int_equal(memory_history(f->memory, s.scope, "k", 0, 9, take_version, f),
                                 f->n_done ? 0 : MEMORY_E_NOT_FOUND);
                if (f->text.data && streq(f->text.data, "1:1x "))
                        break;
                assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
        }
        close_memory(f);
        f->event = sd_event_unref(f->event);
}

static void test_versions_that_are_too_old_are_swept(void **state) {
        Fixture *f = *state;
        MemoryScope scope = memory_namespace_scope(NAMESPACE);

        clock_fake(1600000000 * USEC_PER_SEC, 0);
        set(f, NAMESPACE, "k", "1");
        set(f, NAMESPACE, "k", "2");
        clock_fake(USEC_INFINITY, USEC_INFINITY);
        set(f, NAMESPACE, "k", "3");
        assert_history(f, 0, 9, "3:3l 2:2r 1:1r ");
        close_memory(f);
        assert_int_equal(sd_event_new(&f->event), 0);
        f->limits.history_age_usec = USEC_PER_DAY;
        open_memory(f);
        for (;;) {
                buf_clear(&f->text);
                assert_int_equal(memory_history(f->memory, scope, "k", 0, 9, take_version, f), 0);
                /* the second one was replaced just now */
                if (streq(f->text.data, "3:3l 2:2r "))
                        break;
                assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
        }
        close_memory(f);
        f->event = sd_event_unref(f->event);
}

static void test_a_change_that_fails_is_not_built_on(void **state) {
        Fixture *f = *state;
        MemorySet s = entry(NAMESPACE, "k", "1");
        const StoreOptions options = { .queue_max = 1 };

        close_memory(f);
        assert_int_equal(store_open(&f->store, NULL, f->path, &memory_schema, &options, NULL), 0);
        assert_int_equal(memory_manager_new(&f->memory, NULL, f->store, &f->limits, NULL), 0);
        assert_int_equal(submit(f, &s), 0);
        assert_int_equal(submit(f, &s), -EAGAIN);
        assert_int_equal(memory_delete(f->memory, s.scope, "k", 0, on_done, f, NULL), -EAGAIN);
        assert_int_equal(store_flush(f->store), 0);
        set(f, NAMESPACE, "k", "2");
        assert_entry(f, NAMESPACE, "k", "k=2 v2 n1 s7 r9");
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
                cmocka_unit_test_setup_teardown(test_versions_ascend_while_writes_are_under_way,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(test_only_the_version_that_was_asked_for_is_replaced,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_was_is_kept_up_to_the_limit, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_the_past_can_be_read, setup, teardown),
                cmocka_unit_test_setup_teardown(test_scopes_are_walls, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_has_expired_is_not_there_and_its_key_goes_on, setup, teardown),
                cmocka_unit_test_setup_teardown(test_expired_entries_are_swept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_versions_that_are_too_old_are_swept, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_a_change_that_fails_is_not_built_on, setup,
                                                teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
