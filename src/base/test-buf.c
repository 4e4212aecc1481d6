/* SPDX-License-Identifier: MIT */

/* Growth, the exact maximum and errors that stick. */

#include "base/buf.h"
#include "base/test.h"

static void test_appends_add_up_and_stay_terminated(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);

        assert_int_equal(buf_puts(&b, "ab"), 0);
        assert_int_equal(buf_putc(&b, 'c'), 0);
        assert_int_equal(buf_append(&b, "d\0e", 3), 0);
        assert_int_equal(buf_printf(&b, "%d-%s", 42, "x"), 0);
        assert_int_equal(b.len, 10);
        assert_memory_equal(b.data, "abcd\0e42-x", 11);
}

static void test_the_maximum_is_exact_and_the_error_sticks(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(4);

        assert_int_equal(buf_puts(&b, "abcd"), 0);
        assert_int_equal(buf_append(&b, "", 0), 0);
        assert_int_equal(buf_putc(&b, 'e'), -E2BIG);
        assert_int_equal(buf_append(&b, "", 0), -E2BIG);
        assert_int_equal(buf_printf(&b, "x"), -E2BIG);
        assert_null(buf_reserve(&b, 0));
        assert_int_equal(buf_error(&b), -E2BIG);
        assert_string_equal(b.data, "abcd");
}

static void test_clear_forgets_the_error_and_keeps_the_memory(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(4);

        assert_int_equal(buf_puts(&b, "abcde"), -E2BIG);
        buf_clear(&b);
        assert_int_equal(buf_puts(&b, "abcd"), 0);

        const char *data = b.data;
        buf_clear(&b);
        assert_int_equal(buf_puts(&b, "xy"), 0);
        assert_ptr_equal(b.data, data);
        assert_string_equal(b.data, "xy");
}

static void test_take_hands_over_and_empties(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(100);
        size_t n = 99;

        assert_int_equal(buf_puts(&b, "abc"), 0);
        _cleanup_free_ char *s = buf_take(&b, &n);
        assert_string_equal(s, "abc");
        assert_int_equal(n, 3);
        assert_null(b.data);
        assert_int_equal(b.len, 0);
        assert_int_equal(buf_puts(&b, "again"), 0);
        assert_string_equal(b.data, "again");
}

static void test_take_of_an_empty_buffer_is_an_empty_string(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(0);
        _cleanup_free_ char *s = buf_take(&b, NULL);

        assert_string_equal(s, "");
}

static void test_take_of_a_failed_buffer_is_null(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1);

        assert_int_equal(buf_puts(&b, "ab"), -E2BIG);
        assert_null(buf_take(&b, NULL));
}

static void test_long_prints_are_complete(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(10000);

        assert_int_equal(buf_printf(&b, "%0*d", 5000, 7), 0);
        assert_int_equal(b.len, 5000);
        assert_int_equal(strlen(b.data), 5000);
        assert_int_equal(b.data[4999], '7');
        assert_int_equal(buf_printf(&b, "%0*d", 5001, 7), -E2BIG);
}

static void test_reserve_gives_room_that_is_written_directly(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(100000);

        for (size_t i = 0; i < 100; i++) {
                char *p = buf_reserve(&b, 1000);
                assert_non_null(p);
                memset(p, 'x', 1000);
                b.len += 1000;
        }
        assert_int_equal(strlen(b.data), 100000);
        assert_null(buf_reserve(&b, 1));
}

static void test_reserve_cannot_be_tricked_by_huge_sizes(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(SIZE_MAX);

        assert_int_equal(buf_putc(&b, 'x'), 0);
        assert_null(buf_reserve(&b, SIZE_MAX - 1));
        assert_int_equal(buf_error(&b), -E2BIG);
}

static void test_consume_drops_the_first_bytes(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(100);

        assert_int_equal(buf_puts(&b, "hello world"), 0);
        buf_consume(&b, 6);
        assert_string_equal(b.data, "world");
        buf_consume(&b, 0);
        buf_consume(&b, 5);
        assert_string_equal(b.data, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_appends_add_up_and_stay_terminated),
                cmocka_unit_test(test_the_maximum_is_exact_and_the_error_sticks),
                cmocka_unit_test(test_clear_forgets_the_error_and_keeps_the_memory),
                cmocka_unit_test(test_take_hands_over_and_empties),
                cmocka_unit_test(test_take_of_an_empty_buffer_is_an_empty_string),
                cmocka_unit_test(test_take_of_a_failed_buffer_is_null),
                cmocka_unit_test(test_long_prints_are_complete),
                cmocka_unit_test(test_reserve_gives_room_that_is_written_directly),
                cmocka_unit_test(test_reserve_cannot_be_tricked_by_huge_sizes),
                cmocka_unit_test(test_consume_drops_the_first_bytes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
