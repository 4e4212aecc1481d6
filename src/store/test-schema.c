/* SPDX-License-Identifier: MIT */

/* The two schemas and their statement lists, against a real database. */

#include <sqlite3.h>

#include "base/str.h"
#include "store/schema-memory.h"
#include "store/schema-state.h"
#include "store/test-items.h"

static const StoreSchema *const schemas[] = { &state_schema, &memory_schema };

static Store *open_memory(const StoreSchema *schema) {
        _cleanup_free_ char *message = NULL;
        Store *s = NULL;

        if (store_open(&s, NULL, "memory:", schema, NULL, &message) < 0)
                fail_msg("%s", message);
        return s;
}

/* A database without the store around it, to ask SQLite about the statements. */
static sqlite3 *raw(const StoreSchema *schema) {
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
        for (size_t i = 0; i < schema->n_migrations; i++)
                assert_int_equal(sqlite3_exec(db, schema->migrations[i].sql, NULL, NULL, NULL),
                                 SQLITE_OK);
        return db;
}

static void test_every_statement_can_be_prepared_and_has_its_parameters(void **state) {
        ARRAY_FOREACH(schema, schemas) {
                sqlite3 *db = raw(*schema);

                for (size_t i = 0; i < (*schema)->n_statements; i++) {
                        const StoreStatement *k = &(*schema)->statements[i];
                        sqlite3_stmt *stmt = NULL;

                        if (sqlite3_prepare_v2(db, k->sql, -1, &stmt, NULL) != SQLITE_OK)
                                fail_msg("%s: %s", k->name, sqlite3_errmsg(db));
                        if (sqlite3_bind_parameter_count(stmt) != (int) k->n_params)
                                fail_msg("%s says %u parameters, its text has %d", k->name,
                                         k->n_params, sqlite3_bind_parameter_count(stmt));
                        (void) sqlite3_finalize(stmt);
                }
                assert_int_equal(sqlite3_close(db), SQLITE_OK);
        }
}

static void check_plan(sqlite3 *db, const StoreStatement *k) {
        _cleanup_free_ char *sql = str_printf("EXPLAIN QUERY PLAN %s", k->sql);
        sqlite3_stmt *stmt = NULL;

        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
        while (sqlite3_step(stmt) == SQLITE_ROW) {
                const char *step = (const char *) sqlite3_column_text(stmt, 3);

                /* What matches words has no order of its own: ranking it is sorting it. */
                bool may_sort = strstr(k->sql, " MATCH ") && strstr(step, "FOR ORDER BY");
                if (!may_sort && (strstr(step, "TEMP B-TREE") || strstr(step, "AUTOMATIC")))
                        fail_msg("%s: %s", k->name, step);
        }
        (void) sqlite3_finalize(stmt);
}

static void test_no_statement_sorts_or_builds_an_index(void **state) {
        ARRAY_FOREACH(schema, schemas) {
                sqlite3 *db = raw(*schema);

                for (size_t i = 0; i < (*schema)->n_statements; i++)
                        check_plan(db, &(*schema)->statements[i]);
                assert_int_equal(sqlite3_close(db), SQLITE_OK);
        }
}

static void submit(Store *s, StoreTxn *t, int expected) {
        Results results = {};

        assert_int_equal(store_submit(s, t, on_result, &results), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(results.r[0], expected);
}

static void add_session(StoreTxn *t, uint64_t id, int64_t epoch) {
        STORE_ADD(t, STATE_SESSION_INSERT, STORE_ID(id), STORE_INT(1), STORE_TEXT("name"),
                  STORE_INT(0), STORE_INT(0), STORE_TEXT(NULL), STORE_INT(10), STORE_INT(10),
                  STORE_ID(1), STORE_ID(1), STORE_ID(0), STORE_ID(0), STORE_INT(0), STORE_INT(0),
                  STORE_ID(0), STORE_ID(0), STORE_INT(0), STORE_ID(0), STORE_ID(0), STORE_ID(0),
                  STORE_TEXT(NULL), STORE_TEXT(NULL), STORE_TEXT("host"), STORE_INT(epoch),
                  STORE_ID(0));
}

static void test_a_session_of_another_lease_is_not_written(void **state) {
        Store *s = open_memory(&state_schema);
        StoreCursor *c = NULL;
        StoreTxn *t = store_txn_new(s);

        add_session(t, 7, 3);
        submit(s, t, 0);
        t = store_txn_new(s);
        STORE_ADD(t, STATE_SESSION_TOUCH, STORE_ID(7), STORE_INT(2), STORE_INT(99));
        submit(s, t, STORE_E_CONFLICT);
        t = store_txn_new(s);
        STORE_ADD(t, STATE_SESSION_TOUCH, STORE_ID(7), STORE_INT(3), STORE_INT(20));
        submit(s, t, 0);
        assert_int_equal(STORE_QUERY(store_reader(s), &c, STATE_SESSION_ONE, STORE_ID(7)), 0);
        assert_int_equal(store_next(c), 1);
        assert_int_equal(store_int(c, 7), 20);
        assert_string_equal(store_text(c, 22, NULL), "host");
        store_cursor_free(c);
        t = store_txn_new(s);
        STORE_ADD(t, STATE_SESSION_DELETE, STORE_ID(7), STORE_INT(2));
        submit(s, t, STORE_E_CONFLICT);
        store_free(s);
}

static void add_node(StoreTxn *t, uint64_t id, uint64_t parent) {
        STORE_ADD(t, STATE_NODE_INSERT, STORE_ID(id), STORE_ID(7), STORE_ID(parent), STORE_ID(0),
                  STORE_INT((int64_t) id), STORE_INT(0), STORE_ID(0), STORE_INT(1),
                  STORE_TEXT("user"), STORE_INT(0), STORE_TEXT("\"hello\""), STORE_BLOB(NULL, 0));
}

static size_t count_chain(Store *s, unsigned statement, uint64_t head, int64_t limit) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        size_t n = 0;

        assert_int_equal(
                STORE_QUERY(store_reader(s), &c, statement, STORE_ID(head), STORE_INT(limit)), 0);
        while (store_next(c) == 1)
                assert_int_equal(store_id(c, 0), head - n++);
        return n;
}

static void test_a_chain_walks_from_the_head_to_the_root(void **state) {
        static const unsigned statements[] = { STATE_NODE_CHAIN, STATE_NODE_CHAIN_LIGHT };
        Store *s = open_memory(&state_schema);
        StoreTxn *t = store_txn_new(s);

        for (uint64_t id = 1; id <= 2000; id++)
                add_node(t, id, id - 1);
        submit(s, t, 0);
        ARRAY_FOREACH(k, statements) {
                assert_int_equal(count_chain(s, *k, 2000, 50), 50);
                assert_int_equal(count_chain(s, *k, 2000, -1), 2000);
                assert_int_equal(count_chain(s, *k, 3, 50), 3);
                assert_int_equal(count_chain(s, *k, 2000, 1), 1);
                assert_int_equal(count_chain(s, *k, 2000, 0), 0);
                assert_int_equal(count_chain(s, *k, 0, 10), 0);
        }
        store_free(s);
}

static void test_variables_are_read_back_to_the_snapshot(void **state) {
        Store *s = open_memory(&state_schema);
        StoreCursor *c = NULL;
        StoreTxn *t = store_txn_new(s);

        for (uint64_t id = 1; id <= 10; id++)
                STORE_ADD(t, STATE_VARS_INSERT, STORE_ID(id), STORE_ID(7), STORE_ID(id - 1),
                          STORE_INT(0), STORE_INT(0), STORE_TEXT("name"), STORE_TEXT("1.0"),
                          STORE_TEXT(id == 4 ? "{}" : NULL));
        submit(s, t, 0);
        assert_int_equal(STORE_QUERY(store_reader(s), &c, STATE_VARS_CHAIN, STORE_ID(9)), 0);
        for (uint64_t id = 9; id >= 4; id--) {
                assert_int_equal(store_next(c), 1);
                assert_int_equal(store_id(c, 0), id);
                assert_int_equal(store_is_null(c, 7), id != 4);
        }
        assert_int_equal(store_next(c), 0);
        store_cursor_free(c);
        store_free(s);
}

static void add_checkpoint(StoreTxn *t, uint64_t id, bool pinned) {
        STORE_ADD(t, STATE_CHECKPOINT_INSERT, STORE_ID(id), STORE_ID(7), STORE_ID(1), STORE_ID(0),
                  STORE_ID(0), STORE_ID(1), STORE_ID(0), STORE_BLOB(NULL, 0), STORE_ID(0),
                  STORE_INT(1), STORE_INT(pinned), STORE_TEXT("label"), STORE_INT(0), STORE_INT(0),
                  STORE_TEXT(NULL));
}

static void test_a_pinned_checkpoint_is_never_pruned(void **state) {
        Store *s = open_memory(&state_schema);
        StoreCursor *c = NULL;
        StoreTxn *t = store_txn_new(s);

        for (uint64_t id = 1; id <= 4; id++)
                add_checkpoint(t, id, id == 2);
        submit(s, t, 0);
        assert_int_equal(STORE_QUERY(store_reader(s), &c, STATE_CHECKPOINT_LIST_PRUNABLE,
                                     STORE_ID(7), STORE_INT(1), STORE_INT(2)),
                         0);
        assert_int_equal(store_next(c), 1);
        assert_int_equal(store_id(c, 0), 1);
        assert_int_equal(store_next(c), 1);
        assert_int_equal(store_id(c, 0), 3);
        assert_int_equal(store_next(c), 0);
        store_cursor_free(c);

        t = store_txn_new(s);
        STORE_ADD(t, STATE_CHECKPOINT_PRUNE, STORE_ID(1));
        STORE_ADD(t, STATE_CHECKPOINT_PRUNE, STORE_ID(2));
        submit(s, t, 0);
        assert_int_equal(STORE_QUERY(store_reader(s), &c, STATE_CHECKPOINT_COUNT, STORE_ID(7)), 0);
        assert_int_equal(store_next(c), 1);
        assert_int_equal(store_int(c, 0), 3);
        assert_int_equal(store_id(c, 1), 4);
        store_cursor_free(c);
        store_free(s);
}

static void test_the_largest_id_of_all_tables_is_known(void **state) {
        Store *s = open_memory(&state_schema);
        StoreTxn *t = store_txn_new(s);

        assert_int_equal(query_int(store_reader(s), STATE_MAX_ID), 1);
        add_node(t, 500, 0);
        add_checkpoint(t, 600, false);
        add_session(t, 400, 0);
        submit(s, t, 0);
        assert_int_equal(query_int(store_reader(s), STATE_MAX_ID), 600);
        t = store_txn_new(s);
        STORE_ADD(t, STATE_EVENT_INSERT, STORE_ID(700), STORE_INT(1), STORE_ID(0), STORE_INT(0),
                  STORE_INT(0), STORE_TEXT(NULL));
        submit(s, t, 0);
        assert_int_equal(query_int(store_reader(s), STATE_MAX_ID), 700);
        store_free(s);
}

static void test_old_events_go_in_batches(void **state) {
        Store *s = open_memory(&state_schema);
        StoreTxn *t = store_txn_new(s);

        for (uint64_t id = 1; id <= 100; id++)
                STORE_ADD(t, STATE_EVENT_INSERT, STORE_ID(id), STORE_INT(1), STORE_ID(7),
                          STORE_INT(0), STORE_INT(0), STORE_TEXT(NULL));
        STORE_ADD(t, STATE_EVENT_DELETE_BELOW, STORE_ID(91), STORE_INT(60));
        submit(s, t, 0);
        assert_int_equal(query_int(store_reader(s), STATE_EVENT_COUNT), 40);
        assert_int_equal(query_int(store_reader(s), STATE_EVENT_RANGE), 61);
        t = store_txn_new(s);
        STORE_ADD(t, STATE_EVENT_DELETE_BELOW, STORE_ID(91), STORE_INT(60));
        submit(s, t, 0);
        assert_int_equal(query_int(store_reader(s), STATE_EVENT_COUNT), 10);
        store_free(s);
}

static void put_entry(
        Store *s, uint64_t id, int64_t version, int64_t scope, const char *key, const char *value) {
        StoreTxn *t = store_txn_new(s);
        const StoreValue none = {};

        STORE_ADD(t, MEMORY_ENTRY_PUT, STORE_ID(1), STORE_INT(scope), STORE_TEXT(key), STORE_ID(id),
                  STORE_INT(version), STORE_INT((int64_t) id * 10), STORE_TEXT(value), STORE_ID(7),
                  none, none, none, none, none, none, none, none, STORE_INT(0));
        submit(s, t, 0);
}

static void test_overwriting_an_entry_keeps_its_id_and_birth(void **state) {
        Store *s = open_memory(&memory_schema);
        StoreCursor *c = NULL;
        StoreTxn *t = store_txn_new(s);

        put_entry(s, 1, 1, 0, "key", "1");
        put_entry(s, 2, 2, 0, "key", "2");
        assert_int_equal(STORE_QUERY(store_reader(s), &c, MEMORY_ENTRY_ONE, STORE_INT(1),
                                     STORE_INT(0), STORE_TEXT("key"), STORE_INT(0)),
                         0);
        assert_int_equal(store_next(c), 1);
        assert_int_equal(store_id(c, 0), 1);
        assert_string_equal(store_text(c, 2, NULL), "2");
        assert_int_equal(store_int(c, 6), 10);
        assert_int_equal(store_int(c, 7), 20);
        assert_int_equal(store_int(c, 10), 2);
        store_cursor_free(c);

        /* What is not there can neither be kept as a version nor removed. */
        STORE_ADD(t, MEMORY_VERSION_KEEP, STORE_ID(9), STORE_ID(2), STORE_INT(30), STORE_INT(1));
        submit(s, t, STORE_E_CONFLICT);
        t = store_txn_new(s);
        STORE_ADD(t, MEMORY_ENTRY_DELETE, STORE_ID(2));
        submit(s, t, STORE_E_CONFLICT);
        store_free(s);
}

static size_t count_range(Store *s, int64_t scope, const char *from, StoreValue to, const char *after) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        size_t n = 0;

        assert_int_equal(STORE_QUERY(store_reader(s), &c, MEMORY_KEY_LIST_RANGE, STORE_INT(1),
                                     STORE_INT(scope), STORE_TEXT(from), to, STORE_TEXT(after),
                                     STORE_INT(-1), STORE_INT(0)),
                         0);
        while (store_next(c) == 1)
                n++;
        return n;
}

static void test_keys_are_listed_by_prefix_and_within_their_scope(void **state) {
        static const char *const keys[] = { "a", "b", "b/1", "b/2", "b\xf4\x8f\xbf\xbf", "c" };
        Store *s = open_memory(&memory_schema);

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                put_entry(s, 1 + i, 1, 0, keys[i], "1");
                put_entry(s, 101 + i, 1, 7, keys[i], "1");
        }
        put_entry(s, 50, 1, 0, "b/3", "1");
        assert_int_equal(count_range(s, 0, "b", STORE_TEXT("c"), NULL), 5);
        assert_int_equal(count_range(s, 7, "b", STORE_TEXT("c"), NULL), 4);
        assert_int_equal(count_range(s, 0, "b", STORE_TEXT("c"), "b/1"), 3);
        assert_int_equal(count_range(s, 0, "b", STORE_BLOB("", 0), NULL), 6);
        assert_int_equal(count_range(s, 9, "", STORE_BLOB("", 0), NULL), 0);
        store_free(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_statement_can_be_prepared_and_has_its_parameters),
                cmocka_unit_test(test_no_statement_sorts_or_builds_an_index),
                cmocka_unit_test(test_a_session_of_another_lease_is_not_written),
                cmocka_unit_test(test_a_chain_walks_from_the_head_to_the_root),
                cmocka_unit_test(test_variables_are_read_back_to_the_snapshot),
                cmocka_unit_test(test_a_pinned_checkpoint_is_never_pruned),
                cmocka_unit_test(test_the_largest_id_of_all_tables_is_known),
                cmocka_unit_test(test_old_events_go_in_batches),
                cmocka_unit_test(test_overwriting_an_entry_keeps_its_id_and_birth),
                cmocka_unit_test(test_keys_are_listed_by_prefix_and_within_their_scope),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
