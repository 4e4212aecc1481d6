/* SPDX-License-Identifier: MIT */

/* The header-only part of the room: macro.h, list.h, obj.h. */

#include <fcntl.h>

#include "base/list.h"
#include "base/obj.h"
#include "base/test.h"

static void test_take_ptr_leaves_null_behind(void **state) {
        char *a = strdup("x");
        _cleanup_free_ char *b = TAKE_PTR(a);

        assert_null(a);
        assert_string_equal(b, "x");
}

static void test_take_fd_leaves_an_invalid_number_behind(void **state) {
        int fd = 5;

        assert_int_equal(TAKE_FD(fd), 5);
        assert_int_equal(fd, -EBADF);
}

static void test_fd_close_keeps_errno_and_returns_no_descriptor(void **state) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), number = fd;

        assert_true(fd >= 0);
        errno = ENXIO;
        fd = fd_close(fd);
        assert_int_equal(fd, -EBADF);
        assert_int_equal(errno, ENXIO);
        assert_int_equal(fcntl(number, F_GETFD), -1);
        assert_int_equal(fd_close(-1), -EBADF);
}

static void test_min_and_max_evaluate_once(void **state) {
        int i = 0;

        assert_int_equal(MIN(++i, 10), 1);
        assert_int_equal(MAX(i++, 0), 1);
        assert_int_equal(i, 2);
        assert_int_equal(MIN(MAX(1, 2), 3), 2);
}

static void test_str_startswith_returns_the_rest(void **state) {
        assert_string_equal(str_startswith("http://x", "http://"), "x");
        assert_string_equal(str_startswith("ab", "ab"), "");
        assert_null(str_startswith("a", "ab"));
        assert_true(str_isempty(NULL) && str_isempty("") && !str_isempty(" "));
        assert_true(streq_ptr(NULL, NULL) && !streq_ptr(NULL, "") && streq_ptr("a", "a"));
}

static void test_errno_neg_is_never_zero(void **state) {
        errno = ENOENT;
        assert_int_equal(errno_neg(), -ENOENT);
        errno = 0;
        assert_int_equal(errno_neg(), -EIO);
}

typedef struct Thing {
        uint32_t magic;
        int number;
        ListLink link;
} Thing;

static void test_list_keeps_order_and_survives_removal_while_walking(void **state) {
        Thing things[4] = { { .number = 1 }, { .number = 2 }, { .number = 3 }, { .number = 4 } };
        ListLink head;
        int sum = 0;

        list_init(&head);
        assert_true(list_is_empty(&head));
        ARRAY_FOREACH(t, things)
                list_append(&head, &t->link);
        LIST_FOREACH(l, &head) {
                Thing *t = LIST_ENTRY(l, Thing, link);
                sum = sum * 10 + t->number;
                if (t->number % 2 == 0)
                        list_remove(l);
        }
        assert_int_equal(sum, 1234);
        assert_false(list_is_linked(&things[1].link));
        list_remove(&things[1].link);

        sum = 0;
        LIST_FOREACH(l, &head)
                sum = sum * 10 + LIST_ENTRY(l, Thing, link)->number;
        assert_int_equal(sum, 13);
}

static void test_list_that_was_never_initialised_reads_as_empty(void **state) {
        ListLink head = {};
        size_t n = 0;

        assert_true(list_is_empty(&head));
        LIST_FOREACH(l, &head)
                n++;
        assert_int_equal(n, 0);
}

static void test_obj_cast_returns_the_object_with_its_word(void **state) {
        Thing t = { .magic = 0x74686e67, .number = 7 };
        void *userdata = &t;

        assert_int_equal(OBJ_CAST(Thing, userdata, 0x74686e67)->number, 7);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_take_ptr_leaves_null_behind),
                cmocka_unit_test(test_take_fd_leaves_an_invalid_number_behind),
                cmocka_unit_test(test_fd_close_keeps_errno_and_returns_no_descriptor),
                cmocka_unit_test(test_min_and_max_evaluate_once),
                cmocka_unit_test(test_str_startswith_returns_the_rest),
                cmocka_unit_test(test_errno_neg_is_never_zero),
                cmocka_unit_test(test_list_keeps_order_and_survives_removal_while_walking),
                cmocka_unit_test(test_list_that_was_never_initialised_reads_as_empty),
                cmocka_unit_test(test_obj_cast_returns_the_object_with_its_word),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
