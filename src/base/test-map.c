/* SPDX-License-Identifier: MIT */

/* Random use against a plain array; keys that collide on purpose. */

#include "base/map.h"
#include "base/str.h"
#include "base/test.h"

static int values[4096];

static void test_put_get_replace_and_remove(void **state) {
        _cleanup_(map_freep) Map *m = map_new();

        assert_non_null(m);
        assert_null(map_get(m, 5));
        assert_null(map_remove(m, 5));
        assert_int_equal(map_put(m, 5, &values[0]), 0);
        assert_int_equal(map_put(m, 5, &values[1]), 1);
        assert_int_equal(map_size(m), 1);
        assert_ptr_equal(map_get(m, 5), &values[1]);
        assert_ptr_equal(map_remove(m, 5), &values[1]);
        assert_null(map_get(m, 5));
        assert_int_equal(map_size(m), 0);
        assert_null(map_get(m, 0));
        assert_null(map_remove(m, 0));
}

/* Against a plain array as the model, with keys that share their low bits and few slots free. */
static void test_random_use_agrees_with_a_model(void **state) {
        _cleanup_(map_freep) Map *m = map_new();
        void *model[512] = {};
        uint32_t random = 1;
        size_t n = 0;

        for (size_t step = 0; step < 200000; step++) {
                random = random * 1664525 + 1013904223;
                size_t i = random >> 23;
                uint64_t key = ((uint64_t) i + 1) << 22;
                if (random & 0x10000) {
                        void *value = &values[step % ELEMENTSOF(values)];
                        assert_int_equal(map_put(m, key, value), model[i] ? 1 : 0);
                        n += model[i] ? 0 : 1;
                        model[i] = value;
                } else {
                        assert_ptr_equal(map_remove(m, key), model[i]);
                        n -= model[i] ? 1 : 0;
                        model[i] = NULL;
                }
                assert_int_equal(map_size(m), n);
        }
        for (size_t i = 0; i < ELEMENTSOF(model); i++)
                assert_ptr_equal(map_get(m, ((uint64_t) i + 1) << 22), model[i]);
}

static void test_walking_meets_every_entry_once(void **state) {
        _cleanup_(map_freep) Map *m = map_new();
        bool seen[1001] = {};
        size_t cursor = 0, n = 0;
        uint64_t key;
        void *value;

        assert_false(map_next(m, &cursor, &key, &value));
        for (uint64_t i = 1; i <= 1000; i++)
                assert_int_equal(map_put(m, i, &values[i]), 0);
        for (cursor = 0; map_next(m, &cursor, &key, &value); n++) {
                assert_ptr_equal(value, &values[key]);
                assert_false(seen[key]);
                seen[key] = true;
        }
        assert_int_equal(n, 1000);
}

static void test_strings_are_compared_by_content(void **state) {
        _cleanup_(strmap_freep) StrMap *m = strmap_new();
        char first[] = "name", second[] = "name";
        const char *key;
        size_t cursor = 0;

        assert_non_null(m);
        assert_int_equal(strmap_put(m, first, &values[0]), 0);
        assert_ptr_equal(strmap_get(m, "name"), &values[0]);
        assert_null(strmap_get(m, ""));
        assert_int_equal(strmap_put(m, second, &values[1]), 1);

        /* the old key's memory may go with the old value */
        first[0] = 'X';
        assert_ptr_equal(strmap_get(m, "name"), &values[1]);
        assert_true(strmap_next(m, &cursor, &key, NULL));
        assert_ptr_equal(key, second);
        assert_false(strmap_next(m, &cursor, &key, NULL));
        assert_ptr_equal(strmap_remove(m, "name"), &values[1]);
        assert_null(strmap_remove(m, "name"));
        assert_int_equal(strmap_size(m), 0);
}

static void test_many_strings_are_all_found(void **state) {
        _cleanup_(strmap_freep) StrMap *m = strmap_new();
        _cleanup_strv_ char **names = NULL;

        for (unsigned i = 0; i < 2000; i++)
                assert_int_equal(strv_extendf(&names, "session-%u", i), 0);
        for (unsigned i = 0; i < 2000; i++)
                assert_int_equal(strmap_put(m, names[i], &values[i]), 0);
        for (unsigned i = 0; i < 2000; i += 2)
                assert_ptr_equal(strmap_remove(m, names[i]), &values[i]);
        assert_int_equal(strmap_size(m), 1000);
        for (unsigned i = 0; i < 2000; i++)
                assert_ptr_equal(strmap_get(m, names[i]), i % 2 ? &values[i] : NULL);
}

static void test_destructors_take_null(void **state) {
        assert_null(map_free(NULL));
        assert_null(strmap_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_put_get_replace_and_remove),
                cmocka_unit_test(test_random_use_agrees_with_a_model),
                cmocka_unit_test(test_walking_meets_every_entry_once),
                cmocka_unit_test(test_strings_are_compared_by_content),
                cmocka_unit_test(test_many_strings_are_all_found),
                cmocka_unit_test(test_destructors_take_null),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
