/* SPDX-License-Identifier: MIT */

/* What the writer promises: order, one commit for many, all or nothing for each. */

#include <sqlite3.h>

#include "store/test-items.h"

static void test_completions_come_in_the_order_of_submission(void **state) {
        Store *s = open_items(*state, NULL);
        Results results = {};

        /* Every third one conflicts: failing must not overtake. */
        for (int i = 1; i <= 300; i++)
                assert_int_equal(insert(s, i, i % 3 ? i : -1, on_result, &results), 0);
        assert_int_equal(results.n, 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(results.n, 300);
        for (int i = 1; i <= 300; i++)
                assert_int_equal(results.r[i - 1], i % 3 || i == 3 ? 0 : STORE_E_CONFLICT);
        store_free(s);
}

static void test_completions_come_through_the_event_loop(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        const Folder *f = *state;
        Results results = {};
        Store *s = NULL;

        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(store_open(&s, event, f->db, &items_schema, NULL, NULL), 0);
        assert_int_equal(insert(s, 1, 1, on_result, &results), 0);
        assert_int_equal(insert(s, 2, 2, on_result, &results), 0);
        while (results.n < 2)
                assert_true(sd_event_run(event, UINT64_MAX) >= 0);
        assert_int_equal(results.r[1], 0);
        store_free(s);
}

typedef struct Client {
        Store *store;
        int64_t next, last;
} Client;

static void client_goes_on(int r, uint64_t commit, void *userdata) {
        Client *c = userdata;

        assert_int_equal(r, 0);
        if (c->next > c->last)
                return;
        c->next++;
        assert_int_equal(insert(c->store, c->next - 1, c->next - 1, client_goes_on, c), 0);
}

static void test_64_clients_share_syncs(void **state) {
        Store *s = open_items(*state, NULL);
        Client clients[64];
        StoreStats stats;

        for (int i = 0; i < 64; i++) {
                clients[i] = (Client){ s, 1 + i * 1000, i * 1000 + 50 };
                client_goes_on(0, 0, &clients[i]);
        }
        assert_int_equal(store_flush(s), 0);
        store_stats(s, &stats);
        assert_int_equal(stats.transactions, 64 * 50);
        assert_int_equal(stats.queued, 0);
        assert_true(stats.commits < stats.transactions / 4);
        store_free(s);
}

static void test_group_max_limits_a_group(void **state) {
        Store *s = open_items(*state, &(StoreOptions){ .group_max = 1 });
        Results results = {};
        StoreStats stats;

        for (int i = 1; i <= 20; i++)
                assert_int_equal(insert(s, i, i, on_result, &results), 0);
        assert_int_equal(store_flush(s), 0);
        store_stats(s, &stats);
        assert_int_equal(stats.commits, 20);
        for (size_t i = 1; i < 20; i++)
                assert_int_equal(results.commit[i], results.commit[i - 1] + 1);
        store_free(s);
}

/* Three transactions that wait behind a lock held by somebody else; the middle one fails at its
 * second statement. */
static void submit_three(const Folder *f, Store *s, int64_t base, Results *results) {
        sqlite3 *other = NULL;
        StoreTxn *t;

        assert_int_equal(sqlite3_open(f->db, &other), SQLITE_OK);
        assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(insert(s, base, base, NULL, NULL), 0);
        for (int i = 1; i <= 3; i++) {
                int64_t id = base + 10 * i;

                t = store_txn_new(s);
                STORE_ADD(t, ITEM_INSERT, STORE_INT(id), STORE_INT(id), STORE_TEXT("a"));
                STORE_ADD(t, ITEM_UPDATE, STORE_INT(i == 2 ? -1 : id), STORE_TEXT("b"));
                STORE_ADD(t, ITEM_INSERT, STORE_INT(id + 1), STORE_INT(id + 1), STORE_TEXT("c"));
                assert_int_equal(store_submit(s, t, on_result, results), 0);
        }
        assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(other), SQLITE_OK);
        assert_int_equal(store_flush(s), 0);
}

static void test_a_conflict_undoes_only_its_transaction_of_the_group(void **state) {
        Store *s = open_items(*state, NULL);
        bool were_together = false;

        /* When the thread looks at its queue is not ours to say: until all three were in one group. */
        for (int i = 0; i < 200 && !were_together; i++) {
                int64_t before = query_int(store_reader(s), ITEM_COUNT);
                Results results = {};

                submit_three(*state, s, 1 + i * 100, &results);
                assert_int_equal(results.n, 3);
                assert_int_equal(results.r[0], 0);
                assert_int_equal(results.r[1], STORE_E_CONFLICT);
                assert_int_equal(results.commit[1], 0);
                assert_int_equal(results.r[2], 0);
                assert_int_equal(query_int(store_reader(s), ITEM_COUNT), before + 5);
                were_together = results.commit[0] == results.commit[2];
        }
        assert_true(were_together);
        store_free(s);
}

static void test_a_lone_transaction_that_conflicts_leaves_nothing(void **state) {
        Store *s = open_items(*state, NULL);
        Results results = {};
        StoreStats stats;
        StoreTxn *t = store_txn_new(s);

        STORE_ADD(t, ITEM_INSERT, STORE_INT(1), STORE_INT(1), STORE_TEXT("a"));
        STORE_ADD(t, ITEM_INSERT, STORE_INT(2), STORE_INT(1), STORE_TEXT("b"));
        assert_int_equal(store_submit(s, t, on_result, &results), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(results.r[0], STORE_E_CONFLICT);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 0);
        store_stats(s, &stats);
        assert_int_equal(stats.commits, 0);
        assert_int_equal(stats.failures, 0);
        store_free(s);
}

static void test_a_barrier_comes_last_and_costs_no_commit(void **state) {
        Store *s = open_items(*state, NULL);
        Results results = {};
        StoreStats stats;

        assert_int_equal(store_barrier(s, on_result, &results), 0);
        assert_int_equal(store_flush(s), 0);
        store_stats(s, &stats);
        assert_int_equal(stats.commits, 0);
        assert_int_equal(insert(s, 1, 1, on_result, &results), 0);
        assert_int_equal(store_barrier(s, on_result, &results), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(results.n, 3);
        assert_int_equal(results.commit[2], results.commit[1]);
        store_stats(s, &stats);
        assert_int_equal(stats.commits, 1);
        store_free(s);
}

static void test_commit_numbers_go_up_across_restarts(void **state) {
        uint64_t last = 0;

        for (int life = 0; life < 3; life++) {
                Store *s = open_items(*state, NULL);
                Results results = {};

                assert_true(store_last_commit(s) >= last);
                for (int i = 1; i <= 3; i++) {
                        int64_t id = life * 10 + i;

                        assert_int_equal(insert(s, id, id, on_result, &results), 0);
                        assert_int_equal(store_flush(s), 0);
                        assert_true(results.commit[i - 1] > last);
                        last = results.commit[i - 1];
                        assert_int_equal(store_last_commit(s), last);
                }
                assert_int_equal(results.commit[2], results.commit[0] + 2);
                store_free(s);
        }
}

static void test_closing_commits_and_delivers_what_is_queued(void **state) {
        Store *s = open_items(*state, NULL);
        Results results = {};

        for (int i = 1; i <= 500; i++)
                assert_int_equal(insert(s, i, i, on_result, &results), 0);
        store_free(s);
        assert_int_equal(results.n, 500);
        s = open_items(*state, NULL);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 500);
        store_free(s);
}

static void test_a_full_queue_refuses(void **state) {
        Store *s = open_items(*state, &(StoreOptions){ .queue_max = 2, .queue_max_bytes = 100000 });
        Results results = {};

        /* One that is alone may be of any size. */
        assert_int_equal(insert_bytes(s, 1, 1000000, on_result, &results), 0);
        assert_int_equal(insert_bytes(s, 2, 1, on_result, &results), -EAGAIN);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(insert(s, 3, 3, on_result, &results), 0);
        assert_int_equal(insert(s, 4, 4, on_result, &results), 0);
        assert_int_equal(insert(s, 5, 5, on_result, &results), -EAGAIN);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(results.n, 3);
        assert_int_equal(insert(s, 5, 5, on_result, &results), 0);
        store_free(s);
        assert_int_equal(results.n, 4);
}

static void test_the_wal_is_kept_short(void **state) {
        Store *s = open_items(*state, &(StoreOptions){ .wal_max_bytes = 256 << 10 });
        StoreStats stats;

        for (int i = 1; i <= 200; i++) {
                assert_int_equal(insert_bytes(s, i, 40000, NULL, NULL), 0);
                assert_int_equal(store_flush(s), 0);
        }
        store_stats(s, &stats);
        assert_true(stats.wal_bytes < (1 << 20));
        assert_true(stats.db_bytes > 7 * (1 << 20));
        store_free(s);
}

static void test_the_wal_shrinks_after_an_old_snapshot(void **state) {
        Store *s = open_items(*state, &(StoreOptions){ .wal_max_bytes = 256 << 10 });
        StoreStats stats;

        assert_int_equal(store_read_begin(store_reader(s)), 0);
        for (int i = 1; i <= 100; i++)
                assert_int_equal(insert_bytes(s, i, 40000, NULL, NULL), 0);
        assert_int_equal(store_flush(s), 0);
        store_stats(s, &stats);
        assert_true(stats.wal_bytes > 2 * (1 << 20));
        store_read_end(store_reader(s));
        for (int i = 101; i <= 150; i++) {
                assert_int_equal(insert_bytes(s, i, 40000, NULL, NULL), 0);
                assert_int_equal(store_flush(s), 0);
        }
        store_stats(s, &stats);
        assert_true(stats.wal_bytes < (1 << 20));
        store_free(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_completions_come_in_the_order_of_submission),
                TEST(test_completions_come_through_the_event_loop),
                TEST(test_64_clients_share_syncs),
                TEST(test_group_max_limits_a_group),
                TEST(test_a_conflict_undoes_only_its_transaction_of_the_group),
                TEST(test_a_lone_transaction_that_conflicts_leaves_nothing),
                TEST(test_a_barrier_comes_last_and_costs_no_commit),
                TEST(test_commit_numbers_go_up_across_restarts),
                TEST(test_closing_commits_and_delivers_what_is_queued),
                TEST(test_a_full_queue_refuses),
                TEST(test_the_wal_is_kept_short),
                TEST(test_the_wal_shrinks_after_an_old_snapshot),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
