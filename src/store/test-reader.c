/* SPDX-License-Identifier: MIT */

/* What readers promise: committed snapshots, values as they were written, nothing but reading. */

#include <pthread.h>
#include <stdio.h>

#include "store/test-items.h"

static void test_what_was_acknowledged_is_read(void **state) {
        Store *s = open_items(*state, NULL);

        for (int i = 1; i <= 50; i++) {
                assert_int_equal(insert(s, i, i, NULL, NULL), 0);
                assert_int_equal(store_flush(s), 0);
                assert_int_equal(query_int(store_reader(s), ITEM_COUNT), i);
        }
        store_free(s);
}

static void test_a_snapshot_does_not_move(void **state) {
        Store *s = open_items(*state, NULL);
        StoreReader *r = store_reader(s);

        assert_int_equal(insert(s, 1, 1, NULL, NULL), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(store_read_begin(r), 0);
        assert_int_equal(insert(s, 2, 2, NULL, NULL), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(query_int(r, ITEM_COUNT), 1);
        assert_int_equal(store_read_begin(r), 0);
        assert_int_equal(query_int(r, ITEM_COUNT), 1);
        store_read_end(r);
        assert_int_equal(query_int(r, ITEM_COUNT), 1);
        store_read_end(r);
        assert_int_equal(query_int(r, ITEM_COUNT), 2);
        store_free(s);
}

static void test_an_open_cursor_does_not_hold_up_the_writer(void **state) {
        Store *s = open_items(*state, NULL);
        StoreCursor *c = NULL;

        for (int i = 1; i <= 100; i++)
                assert_int_equal(insert(s, i, i, NULL, NULL), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(STORE_QUERY(store_reader(s), &c, ITEM_GET, STORE_INT(1)), 0);
        store_cursor_free(c);
        assert_int_equal(store_query(store_reader(s), &c, ITEM_LIST, NULL, 0), 0);
        for (int i = 1; i <= 100; i++) {
                assert_int_equal(store_next(c), 1);
                assert_int_equal(store_int(c, 0), i);
                assert_int_equal(insert(s, 1000 + i, 1000 + i, NULL, NULL), 0);
                assert_int_equal(store_flush(s), 0);
        }
        assert_int_equal(store_next(c), 0);
        assert_int_equal(store_next(c), 0);
        store_cursor_free(c);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 200);
        store_free(s);
}

static void test_a_statement_can_be_nested_in_itself(void **state) {
        Store *s = open_items(*state, NULL);
        StoreCursor *outer = NULL, *inner = NULL;
        int n = 0;

        for (int i = 1; i <= 5; i++)
                assert_int_equal(insert(s, i, i, NULL, NULL), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(store_query(store_reader(s), &outer, ITEM_LIST, NULL, 0), 0);
        while (store_next(outer) == 1) {
                assert_int_equal(store_query(store_reader(s), &inner, ITEM_LIST, NULL, 0), 0);
                while (store_next(inner) == 1)
                        n++;
                store_cursor_free(inner);
        }
        store_cursor_free(outer);
        assert_int_equal(n, 25);
        store_free(s);
}

static void put(Store *s, int64_t id, StoreValue v) {
        StoreTxn *t = store_txn_new(s);

        STORE_ADD(t, ITEM_INSERT, STORE_INT(id), STORE_INT(id), v);
        assert_int_equal(store_submit(s, t, NULL, NULL), 0);
}

static void test_values_come_back_as_they_were_written(void **state) {
        static const char bytes[] = "a\0b\377";
        Store *s = open_items(*state, NULL);
        StoreCursor *c = NULL;
        size_t n;

        put(s, 1, STORE_BLOB(bytes, 5));
        put(s, 2, STORE_BLOB("", 0));
        put(s, 3, STORE_TEXT(""));
        put(s, 4, STORE_TEXT_N("x\0y", 3));
        put(s, 5, STORE_TEXT(NULL));
        put(s, 6, STORE_INT(INT64_MIN));
        put(s, 7, STORE_ID(0));
        put(s, 8, STORE_ID(INT64_MAX));
        put(s, 9, STORE_SPAN(JSON_LITERAL("1.0")));
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(store_query(store_reader(s), &c, ITEM_LIST, NULL, 0), 0);

        assert_int_equal(store_next(c), 1);
        assert_memory_equal(store_blob(c, 1, &n), bytes, 5);
        assert_int_equal(n, 5);
        assert_int_equal(store_next(c), 1);
        assert_non_null(store_blob(c, 1, &n));
        assert_int_equal(n, 0);
        assert_int_equal(store_next(c), 1);
        assert_string_equal(store_text(c, 1, &n), "");
        assert_false(store_is_null(c, 1));
        assert_int_equal(store_next(c), 1);
        assert_memory_equal(store_text(c, 1, &n), "x\0y", 4);
        assert_int_equal(n, 3);
        assert_int_equal(store_next(c), 1);
        assert_null(store_text(c, 1, NULL));
        assert_true(store_is_null(c, 1));
        assert_int_equal(store_next(c), 1);
        assert_true(store_int(c, 1) == INT64_MIN);
        assert_int_equal(store_next(c), 1);
        assert_true(store_is_null(c, 1));
        assert_int_equal(store_id(c, 1), 0);
        assert_int_equal(store_next(c), 1);
        assert_true(store_id(c, 1) == INT64_MAX);
        assert_int_equal(store_next(c), 1);
        assert_int_equal(store_span(c, 1).n, 3);
        assert_memory_equal(store_span(c, 1).p, "1.0", 3);
        store_cursor_free(c);
        store_free(s);
}

static void test_a_large_value_comes_back_whole(void **state) {
        Store *s = open_items(*state, NULL);
        size_t size = (size_t) 5 << 20, n;
        char *bytes = malloc(size);
        StoreCursor *c = NULL;

        assert_non_null(bytes);
        for (size_t i = 0; i < size; i++)
                bytes[i] = (char) (i * 31 >> 3);
        put(s, 1, STORE_BLOB(bytes, size));
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(STORE_QUERY(store_reader(s), &c, ITEM_GET, STORE_INT(1)), 0);
        assert_int_equal(store_next(c), 1);
        assert_memory_equal(store_blob(c, 0, &n), bytes, size);
        assert_int_equal(n, size);
        store_cursor_free(c);
        free(bytes);
        store_free(s);
}

static void test_a_reader_cannot_write(void **state) {
        Store *s = open_items(*state, NULL);
        StoreCursor *c = NULL;

        assert_int_equal(STORE_QUERY(store_reader(s), &c, ITEM_INSERT, STORE_INT(1), STORE_INT(1),
                                     STORE_TEXT("v")),
                         0);
        assert_int_equal(store_next(c), -EROFS);
        store_cursor_free(c);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 0);
        store_free(s);
}

static void test_a_backup_is_a_database_of_its_own(void **state) {
        const Folder *f = *state;
        Folder copy = *f;
        Store *s = open_items(f, NULL);
        StoreReader *reader = NULL;

        (void) snprintf(copy.db, sizeof(copy.db), "%s/copy", f->path);
        assert_int_equal(store_reader_open(&reader, s), 0);
        for (int i = 1; i <= 50; i++)
                assert_int_equal(insert(s, i, i, NULL, NULL), 0);
        assert_int_equal(store_flush(s), 0);
        for (int round = 0; round < 2; round++)
                assert_int_equal(store_backup(reader, copy.db), 0);
        assert_int_equal(insert(s, 51, 51, NULL, NULL), 0);
        store_reader_free(reader);
        store_free(s);
        s = open_items(&copy, NULL);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 50);
        assert_int_equal(insert(s, 51, 51, NULL, NULL), 0);
        store_free(s);
}

typedef struct Pool {
        Store *store;
        _Atomic bool stop;
        _Atomic int n_rounds;
        const char *_Atomic problem;
} Pool;

static void *report(Pool *p, const char *problem) {
        p->problem = problem;
        return NULL;
}

/* Each transaction inserts k and -k: in every snapshot the sum is 0. */
static void *sum_in_a_thread(void *userdata) {
        Pool *p = userdata;
        StoreReader *reader = NULL;
        StoreCursor *c = NULL;

        if (store_reader_open(&reader, p->store) < 0)
                return report(p, "cannot open a reader");
        while (!p->stop) {
                if (store_query(reader, &c, ITEM_SUM, NULL, 0) < 0 || store_next(c) != 1)
                        return report(p, "cannot read");
                if (store_int(c, 0) != 0)
                        return report(p, "half a transaction was seen");
                store_cursor_free(c);
                p->n_rounds++;
        }
        store_reader_free(reader);
        return NULL;
}

static void test_threads_see_whole_transactions(void **state) {
        Store *s = open_items(*state, &(StoreOptions){ .wal_max_bytes = 64 << 10 });
        Pool pool = { .store = s };
        pthread_t threads[2];
        int k = 1;

        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, sum_in_a_thread, &pool), 0);
        for (; k <= 300 || (pool.n_rounds < 50 && k < 100000); k++) {
                StoreTxn *t = store_txn_new(s);

                STORE_ADD(t, ITEM_INSERT, STORE_INT(2 * k), STORE_INT(k), STORE_TEXT("plus"));
                STORE_ADD(t, ITEM_INSERT, STORE_INT(2 * k + 1), STORE_INT(-k), STORE_TEXT("minus"));
                assert_int_equal(store_submit(s, t, NULL, NULL), 0);
                assert_int_equal(store_flush(s), 0);
        }
        pool.stop = true;
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (pool.problem)
                fail_msg("%s", pool.problem);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 2 * (k - 1));
        store_free(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_what_was_acknowledged_is_read),
                TEST(test_a_snapshot_does_not_move),
                TEST(test_an_open_cursor_does_not_hold_up_the_writer),
                TEST(test_a_statement_can_be_nested_in_itself),
                TEST(test_values_come_back_as_they_were_written),
                TEST(test_a_large_value_comes_back_whole),
                TEST(test_a_reader_cannot_write),
                TEST(test_a_backup_is_a_database_of_its_own),
                TEST(test_threads_see_whole_transactions),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
