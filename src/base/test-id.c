/* SPDX-License-Identifier: MIT */

/* Order under a clock that stands, jumps and goes backwards, and under threads. */

#include <pthread.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/test.h"

#define EPOCH           (UINT64_C(1577836800) * USEC_PER_SEC)
#define PER_MILLISECOND (UINT64_C(1) << 22)

/* The order below matters: ids only ever ascend within a process. */

static void test_ids_hold_the_millisecond_and_a_counter(void **state) {
        clock_fake(EPOCH + 5 * USEC_PER_MSEC + 999, 0);
        assert_int_equal(id_new(), 5 * PER_MILLISECOND);
        assert_int_equal(id_new(), 5 * PER_MILLISECOND + 1);
        clock_fake(EPOCH + 7 * USEC_PER_MSEC, 0);
        assert_int_equal(id_new(), 7 * PER_MILLISECOND);
}

static void test_a_clock_that_goes_backwards_does_not_break_the_order(void **state) {
        clock_fake(EPOCH + 6 * USEC_PER_MSEC, 0);
        assert_int_equal(id_new(), 7 * PER_MILLISECOND + 1);
        clock_fake(1, 0);
        assert_int_equal(id_new(), 7 * PER_MILLISECOND + 2);
}

static void test_nothing_at_or_below_the_floor_is_given_out(void **state) {
        id_set_floor(100 * PER_MILLISECOND);
        assert_int_equal(id_new(), 100 * PER_MILLISECOND + 1);
        id_set_floor(3);
        assert_int_equal(id_new(), 100 * PER_MILLISECOND + 2);
}

static void test_real_ids_are_positive_and_ascend(void **state) {
        uint64_t last = 0;

        clock_fake(USEC_INFINITY, USEC_INFINITY);
        for (size_t i = 0; i < 10000; i++) {
                uint64_t id = id_new();
                assert_true(id > last && id <= INT64_MAX);
                last = id;
        }
}

#define N_THREADS 4
#define N_IDS     20000

static uint64_t drawn[N_THREADS][N_IDS];

static void *draw(void *userdata) {
        uint64_t *ids = userdata;

        for (size_t i = 0; i < N_IDS; i++)
                ids[i] = id_new();
        return NULL;
}

static int compare(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;
        return *x < *y ? -1 : *x > *y;
}

static void test_threads_never_draw_the_same_id(void **state) {
        pthread_t threads[N_THREADS];
        uint64_t *all = drawn[0];

        for (size_t i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, draw, drawn[i]), 0);
        for (size_t i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (size_t t = 0; t < N_THREADS; t++)
                for (size_t i = 1; i < N_IDS; i++)
                        assert_true(drawn[t][i] > drawn[t][i - 1]);
        qsort(all, N_THREADS * N_IDS, sizeof(uint64_t), compare);
        for (size_t i = 1; i < N_THREADS * N_IDS; i++)
                assert_true(all[i] != all[i - 1]);
}

static void test_text_is_sixteen_hex_digits_both_ways(void **state) {
        char buf[ID_STRING_SIZE];
        uint64_t id = 7;

        assert_string_equal(id_format(UINT64_C(0x0123456789abcdef), buf), "0123456789abcdef");
        assert_int_equal(id_parse("0123456789ABCDEF", &id), 0);
        assert_true(id == UINT64_C(0x0123456789abcdef));
        assert_int_equal(id_parse("0000000000000000", &id), 0);
        assert_int_equal(id, 0);
}

static void test_other_texts_are_no_ids(void **state) {
        static const char *const wrong[] = {
                "",
                "1",
                "0123456789abcde",
                "0123456789abcdef0",
                "0123456789abcdeg",
                " 123456789abcdef",
                "0x23456789abcdef",
        };
        uint64_t id = 7;

        ARRAY_FOREACH(s, wrong)
                assert_int_equal(id_parse(*s, &id), -EINVAL);
        assert_int_equal(id, 7);
}

static void test_an_alias_is_what_people_see_and_say(void **state) {
        const IdAlias list[] = { { 7, UINT64_C(0xfedcba9876543210) }, { 9, 3 } };
        char text[ID_STRING_SIZE];
        uint64_t id;

        assert_int_equal(id_aliases_set(list, ELEMENTSOF(list)), 0);
        assert_string_equal(id_format(7, text), "fedcba9876543210");
        assert_int_equal(id_parse("FEDCBA9876543210", &id), 0);
        assert_int_equal(id, 7);
        assert_int_equal(id_parse("0000000000000003", &id), 0);
        assert_int_equal(id, 9);
        assert_int_equal(id_parse("0000000000000004", &id), 0);
        assert_int_equal(id, 4);
        assert_int_equal(id_aliases_set(NULL, 0), 0);
        assert_string_equal(id_format(7, text), "0000000000000007");
}

static void test_an_alias_is_never_given_out_as_an_id(void **state) {
        uint64_t last = id_new();
        const IdAlias list[] = { { 1, last + 1 }, { 2, last + 2 } };

        clock_fake(1, 0);
        assert_int_equal(id_aliases_set(list, ELEMENTSOF(list)), 0);
        assert_int_equal(id_new(), last + 3);
        assert_int_equal(id_aliases_set(NULL, 0), 0);
        clock_fake(USEC_INFINITY, USEC_INFINITY);
}

static void test_ambiguous_aliases_are_refused(void **state) {
        const IdAlias same_id[] = { { 1, 5 }, { 1, 6 } }, same_name[] = { { 1, 5 }, { 2, 5 } };
        const IdAlias none[] = { { 1, 0 } };

        assert_int_equal(id_aliases_set(same_id, 2), -EEXIST);
        assert_int_equal(id_aliases_set(same_name, 2), -EEXIST);
        assert_int_equal(id_aliases_set(none, 1), -EEXIST);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ids_hold_the_millisecond_and_a_counter),
                cmocka_unit_test(test_a_clock_that_goes_backwards_does_not_break_the_order),
                cmocka_unit_test(test_nothing_at_or_below_the_floor_is_given_out),
                cmocka_unit_test(test_real_ids_are_positive_and_ascend),
                cmocka_unit_test(test_threads_never_draw_the_same_id),
                cmocka_unit_test(test_text_is_sixteen_hex_digits_both_ways),
                cmocka_unit_test(test_other_texts_are_no_ids),
                cmocka_unit_test(test_an_alias_is_what_people_see_and_say),
                cmocka_unit_test(test_an_alias_is_never_given_out_as_an_id),
                cmocka_unit_test(test_ambiguous_aliases_are_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
