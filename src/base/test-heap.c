/* SPDX-License-Identifier: MIT */

/* Random use against a search through all items. */

#include "base/heap.h"
#include "base/test.h"

static void test_the_earliest_comes_first(void **state) {
        _cleanup_(heap_done) Heap h = {};
        HeapItem a = {}, b = {}, c = {};

        assert_null(heap_peek(&h));
        assert_int_equal(heap_set(&h, &a, 30), 0);
        assert_int_equal(heap_set(&h, &b, 10), 0);
        assert_int_equal(heap_set(&h, &c, 20), 0);
        assert_ptr_equal(heap_peek(&h), &b);
        assert_int_equal(heap_set(&h, &b, 40), 0);
        assert_ptr_equal(heap_peek(&h), &c);
        assert_int_equal(heap_set(&h, &a, 5), 0);
        assert_ptr_equal(heap_peek(&h), &a);
        heap_remove(&h, &a);
        heap_remove(&h, &a);
        assert_ptr_equal(heap_peek(&h), &c);
        assert_int_equal(a.index, 0);
        assert_int_equal(h.n, 2);
}

static void test_random_use_always_yields_the_smallest(void **state) {
        _cleanup_(heap_done) Heap h = {};
        HeapItem items[300] = {};
        uint32_t random = 1;

        for (size_t step = 0; step < 20000; step++) {
                random = random * 1664525 + 1013904223;
                HeapItem *item = &items[(random >> 8) % ELEMENTSOF(items)];
                if (random >> 30 == 0)
                        heap_remove(&h, item);
                else
                        assert_int_equal(heap_set(&h, item, random >> 4), 0);

                usec_t smallest = USEC_INFINITY;
                size_t n = 0;
                ARRAY_FOREACH(i, items)
                        if (i->index > 0) {
                                smallest = MIN(smallest, i->deadline);
                                n++;
                        }
                assert_int_equal(h.n, n);
                assert_int_equal(heap_peek(&h) ? heap_peek(&h)->deadline : USEC_INFINITY, smallest);
        }
        while (heap_peek(&h)) {
                usec_t earliest = heap_peek(&h)->deadline;
                heap_remove(&h, heap_peek(&h));
                assert_true(!heap_peek(&h) || heap_peek(&h)->deadline >= earliest);
        }
}

static void test_done_leaves_items_that_can_be_used_again(void **state) {
        Heap h = {};
        HeapItem a = {};

        assert_int_equal(heap_set(&h, &a, 1), 0);
        heap_done(&h);
        assert_int_equal(a.index, 0);
        assert_int_equal(heap_set(&h, &a, 2), 0);
        assert_ptr_equal(heap_peek(&h), &a);
        heap_done(&h);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_earliest_comes_first),
                cmocka_unit_test(test_random_use_always_yields_the_smallest),
                cmocka_unit_test(test_done_leaves_items_that_can_be_used_again),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
