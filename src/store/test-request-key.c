/* SPDX-License-Identifier: MIT */

/* Rows of Idempotency-Key on a real database: one effect for a key, its age, its removal. */

#include "base/id.h"
#include "store/schema-memory.h"
#include "store/schema-state.h"
#include "store/test-items.h"

static int result_of_last;

static void on_done(int r, uint64_t commit, void *userdata) {
        result_of_last = r;
}

static int commit(Store *s, StoreTxn *t) {
        result_of_last = -EINPROGRESS;
        assert_int_equal(store_submit(s, t, on_done, NULL), 0);
        assert_int_equal(store_flush(s), 0);
        return result_of_last;
}

static RequestKey key_of(unsigned n, usec_t expired_before) {
        RequestKey k = { .status = 201, .expired_before = expired_before };

        memcpy(k.key, &n, sizeof(n));
        memcpy(k.request, &n, sizeof(n));
        return k;
}

static int add(Store *s, const RequestKey *k, uint64_t id) {
        StoreTxn *t = store_txn_new(s);

        request_key_add(t, &state_request_keys, k, id);
        return commit(s, t);
}

static int find(Store *s, const RequestKey *k, RequestKeyRow *ret) {
        return request_key_find(store_reader(s), &state_request_keys, k, ret);
}

static Store *open_state(void) {
        Store *s = NULL;

        assert_int_equal(store_open(&s, NULL, "memory:", &state_schema, NULL, NULL), 0);
        return s;
}

static void write_text(uint64_t id, Buf *out, void *userdata) {
        (void) buf_printf(out, "%s %llu", (const char *) userdata, (unsigned long long) id);
}

static void test_a_key_is_found_with_its_answer(void **state) {
        _cleanup_(store_freep) Store *s = open_state();
        char text[] = "made";
        RequestKey k = key_of(1, 0), other = key_of(2, 0);
        RequestKeyRow row;

        k.answer = write_text;
        k.userdata = text;
        assert_int_equal(find(s, &k, &row), 0);
        assert_int_equal(add(s, &k, 77), 0);
        assert_int_equal(find(s, &k, &row), 1);
        assert_int_equal(row.result, 77);
        assert_int_equal(row.status, 201);
        assert_string_equal(row.answer.data, "made 77");
        assert_memory_equal(row.request, k.request, sizeof(k.request));
        buf_done(&row.answer);
        assert_int_equal(find(s, &other, &row), 0);
}

static void test_a_transaction_with_a_key_that_is_taken_does_nothing(void **state) {
        _cleanup_(store_freep) Store *s = open_state();
        RequestKey k = key_of(1, 0);
        RequestKeyRow row;

        assert_int_equal(add(s, &k, 1), 0);
        assert_int_equal(add(s, &k, 2), STORE_E_CONFLICT);
        assert_int_equal(find(s, &k, &row), 1);
        assert_int_equal(row.result, 1);
        assert_int_equal(row.answer.len, 0);
}

static void test_an_answer_comes_later_and_keeps_what_it_is_about(void **state) {
        _cleanup_(store_freep) Store *s = open_state();
        _cleanup_buf_ Buf answer = BUF_INIT(100);
        RequestKey k = key_of(1, 0), new = key_of(2, 0);
        RequestKeyRow row;

        (void) buf_puts(&answer, "said");
        assert_int_equal(add(s, &k, 5), 0);
        StoreTxn *t = store_txn_new(s);
        request_key_answer(t, &state_request_keys, &k, 409, &answer);
        request_key_answer(t, &state_request_keys, &new, 200, &answer);
        assert_int_equal(commit(s, t), 0);
        assert_int_equal(find(s, &k, &row), 1);
        assert_int_equal(row.status, 409);
        assert_int_equal(row.result, 5);
        assert_string_equal(row.answer.data, "said");
        buf_done(&row.answer);
        assert_int_equal(find(s, &new, &row), 1);
        assert_int_equal(row.result, 0);
        buf_done(&row.answer);
}

/* A moment behind everything that was written so far. */
static usec_t later(void) {
        usec_t now = clock_realtime() + 1;

        while (clock_realtime() <= now)
                ;
        return now;
}

static void test_an_expired_key_is_new_again(void **state) {
        _cleanup_(store_freep) Store *s = open_state();
        RequestKey k = key_of(1, 0);
        RequestKeyRow row;

        assert_int_equal(add(s, &k, 1), 0);
        k.expired_before = later();
        assert_int_equal(find(s, &k, &row), 0);
        assert_int_equal(add(s, &k, 2), 0);
        assert_int_equal(find(s, &k, &row), 1);
        assert_int_equal(row.result, 2);
        assert_int_equal(add(s, &k, 3), STORE_E_CONFLICT);
}

static int64_t count(Store *s) {
        RequestKeyRow row;
        int64_t n = 0;

        for (unsigned i = 0; i < 100; i++) {
                RequestKey k = key_of(i, 0);
                n += find(s, &k, &row);
        }
        return n;
}

static void test_expired_keys_leave_in_small_batches(void **state) {
        _cleanup_(store_freep) Store *s = open_state();

        for (unsigned i = 0; i < 50; i++) {
                RequestKey k = key_of(i, 0);
                assert_int_equal(add(s, &k, 1), 0);
        }
        RequestKey young = key_of(90, 0);
        assert_int_equal(count(s), 50);
        usec_t now = later();
        young.expired_before = now;
        assert_int_equal(add(s, &young, 1), 0);
        assert_int_equal(count(s), 50 - 16 + 1);
        for (unsigned i = 91; i < 99; i++) {
                RequestKey k = key_of(i, now);
                assert_int_equal(add(s, &k, 1), 0);
        }
        assert_int_equal(count(s), 9);
}

static void test_both_databases_have_the_table(void **state) {
        _cleanup_(store_freep) Store *s = NULL;
        RequestKey k = key_of(1, 0);
        RequestKeyRow row;

        assert_int_equal(store_open(&s, NULL, "memory:", &memory_schema, NULL, NULL), 0);
        StoreTxn *t = store_txn_new(s);
        request_key_add(t, &memory_request_keys, &k, 3);
        assert_int_equal(commit(s, t), 0);
        assert_int_equal(request_key_find(store_reader(s), &memory_request_keys, &k, &row), 1);
        assert_int_equal(row.result, 3);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_key_is_found_with_its_answer),
                cmocka_unit_test(test_a_transaction_with_a_key_that_is_taken_does_nothing),
                cmocka_unit_test(test_an_answer_comes_later_and_keeps_what_it_is_about),
                cmocka_unit_test(test_an_expired_key_is_new_again),
                cmocka_unit_test(test_expired_keys_leave_in_small_batches),
                cmocka_unit_test(test_both_databases_have_the_table),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
