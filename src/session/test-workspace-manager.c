/* SPDX-License-Identifier: MIT */

/* Errors of the manager, and collecting garbage. */

#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"
#include "session/test-workspace-tools.h"

/* ---- errors ---- */

static void test_missing_folders_and_trees_are_named_errors(void **state) {
        Place *p = *state;
        _cleanup_free_ char *missing = path_join(p->root, "missing");
        Tree t, unknown = { .id = { 1, 2, 3 } };

        assert_int_equal(take_r(p, missing, &t), -ENOENT);
        put(p, "file", "text\n");
        assert_int_equal(restore_r(p, &unknown), -ENOENT);
        assert_text(p, "file", "text\n");
        t = take(p);
        assert_int_equal(materialize_r(p, p->folder, &t), -ENOTEMPTY);
        assert_int_equal(materialize_r(p, missing, &unknown), -ENOENT);
}

static void test_a_missing_module_is_an_error_that_says_so(void **state) {
        Place *p = *state;
        WorkspaceManager *kept = p->manager;
        Tree t;

        assert_int_equal(workspace_manager_new(&p->manager, p->event, p->data, "/nonexistent.so", 0),
                         0);
        assert_int_equal(take_r(p, p->folder, &t), -ENOENT);
        assert_string_equal(p->result.message, "/nonexistent.so is not installed");
        (void) workspace_manager_free(p->manager);
        p->manager = kept;
}

static void on_counted(int r, const WorkspaceResult *result, void *userdata) {
        unsigned *n = userdata;

        assert_int_equal(r, 0);
        (*n)++;
}

static void test_freeing_the_manager_finishes_what_was_asked(void **state) {
        Place *p = *state;
        unsigned n = 0;

        put_many(p, 200);
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(
                        workspace_snapshot(p->manager, i % 2 + 1, p->folder, on_counted, &n), 0);
        p->manager = workspace_manager_free(p->manager);
        assert_int_equal(n, 5);
}

/* ---- collecting garbage ---- */

static void on_collected(int r, const WorkspaceResult *result, void *userdata) {
        Place *p = userdata;

        p->r = r;
        p->result = *result;
        p->finished = true;
}

static int collect_r(Place *p, const Tree *trees, size_t n) {
        p->finished = false;
        assert_int_equal(workspace_collect(p->manager, 1, &trees->id, n, on_collected, p), 0);
        while (!p->finished)
                assert_true(sd_event_run(p->event, UINT64_MAX) >= 0);
        return p->r;
}

static void test_collecting_removes_what_no_tree_reaches_and_nothing_else(void **state) {
        Place *p = *state;
        size_t n = (size_t) 600 << 10;
        _cleanup_free_ char *large = calloc(1, n);
        Tree kept[2], gone[3];

        put_many(p, 100);
        kept[0] = take(p);
        for (unsigned i = 0; i < ELEMENTSOF(gone); i++) {
                char text[32];
                (void) snprintf(text, sizeof(text), "only in %u\n", i);
                put(p, "only", text);
                memset(large, (int) i + 1, n);
                put_bytes(p, "large", large, n);
                gone[i] = take(p);
        }
        drop(p, "large");
        put(p, "d1/new", "also kept\n");
        kept[1] = take(p);
        uint64_t size = repository_bytes(p);

        assert_int_equal(collect_r(p, kept, 2), 0);
        /* at least a file, a large file, a tree and a wrapper each; `only` of the last one is kept */
        assert_in_range(p->result.changed, 3 * 4 - 1, 3 * 6);
        assert_true(repository_bytes(p) < size);
        assert_int_equal(collect_r(p, kept, 2), 0);
        assert_int_equal(p->result.changed, 0);
        for (unsigned i = 0; i < ELEMENTSOF(gone); i++)
                assert_int_equal(restore_r(p, &gone[i]), -ENOENT);
        restore(p, &kept[0]);
        assert_trees_equal(take(p), kept[0]);
        restore(p, &kept[1]);
        assert_text(p, "d1/new", "also kept\n");
        assert_trees_equal(take(p), kept[1]);

        /* what was collected can be recorded again, whatever the cache says */
        put_bytes(p, "large", large, n);
        Tree again = take(p);
        drop(p, "large");
        restore(p, &again);
        assert_true(exists(p, "large"));
}

static void test_collecting_with_a_missing_tree_removes_nothing(void **state) {
        Place *p = *state;
        Tree trees[2];

        put(p, "file", "one\n");
        trees[0] = take(p);
        memset(trees[1].id, 7, sizeof(trees[1].id));
        put(p, "file", "two\n");
        Tree other = take(p);
        assert_int_equal(collect_r(p, trees, 2), -ENOENT);
        restore(p, &other);
        restore(p, &trees[0]);
        assert_text(p, "file", "one\n");
}

static void test_operations_asked_for_while_collecting_wait_for_it(void **state) {
        Place *p = *state;
        unsigned n = 0;
        Tree t;

        put_many(p, 100);
        t = take(p);
        put(p, "d1/garbage", "x");
        Tree garbage = take(p);
        drop(p, "d1/garbage");
        p->finished = false;
        assert_int_equal(workspace_collect(p->manager, 1, &t.id, 1, on_collected, p), 0);
        assert_int_equal(workspace_collect(p->manager, 1, &t.id, 1, on_collected, p), -EBUSY);
        /* would find the garbage in the store if it did not wait */
        put(p, "d1/garbage", "x");
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(workspace_snapshot(p->manager, 1, p->folder, on_counted, &n), 0);
        while (n < 3) {
                assert_true(sd_event_run(p->event, UINT64_MAX) >= 0);
                assert_true(n == 0 || p->finished);
        }
        drop(p, "d1/garbage");
        restore(p, &garbage);
        assert_text(p, "d1/garbage", "x");
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_missing_folders_and_trees_are_named_errors),
                TEST(test_a_missing_module_is_an_error_that_says_so),
                TEST(test_freeing_the_manager_finishes_what_was_asked),
                TEST(test_collecting_removes_what_no_tree_reaches_and_nothing_else),
                TEST(test_collecting_with_a_missing_tree_removes_nothing),
                TEST(test_operations_asked_for_while_collecting_wait_for_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
