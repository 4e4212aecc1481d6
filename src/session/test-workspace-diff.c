/* SPDX-License-Identifier: MIT */

/* Comparing trees: what is counted, listed and shown of two states of a folder. */

#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "session/test-workspace-tools.h"

static void on_compared(int r, const WorkspaceResult *result, void *userdata) {
        Place *p = userdata;

        p->r = r;
        p->result = *result;
        p->finished = true;
}

static int compare_r(Place *p, const Tree *from, const Tree *to, WorkspaceDiff *d) {
        p->finished = false;
        memcpy(d->from, from->id, sizeof(d->from));
        memcpy(d->to, to->id, sizeof(d->to));
        assert_int_equal(workspace_diff(p->manager, 1, d, on_compared, p), 0);
        while (!p->finished)
                assert_true(sd_event_run(p->event, UINT64_MAX) >= 0);
        return p->r;
}

static const WorkspaceChange *change_of(const WorkspaceDiff *d, const char *path) {
        for (size_t i = 0; i < d->n_changes; i++)
                if (streq(d->changes[i].path, path))
                        return &d->changes[i];
        return NULL;
}

static void test_added_removed_and_modified_files_have_their_sizes(void **state) {
        _cleanup_(workspace_diff_done) WorkspaceDiff d = { .limit = 100 };
        Place *p = *state;

        put(p, "same", "same\n");
        put(p, "gone/file", "12345");
        put(p, "changed", "old");
        put(p, "mode", "#!/bin/sh\n");
        Tree from = take(p);
        drop(p, "gone/file");
        put(p, "changed", "newer");
        put(p, "folder/added", "123456789");
        _cleanup_free_ char *mode = at(p, "mode");
        assert_int_equal(chmod(mode, 0755), 0);
        Tree to = take(p);

        assert_int_equal(compare_r(p, &from, &to, &d), 0);
        assert_int_equal(d.added, 1);
        assert_int_equal(d.removed, 1);
        assert_int_equal(d.modified, 2);
        assert_int_equal(d.unknown, 0);
        assert_int_equal(d.n_changes, 4);
        const WorkspaceChange *c = change_of(&d, "gone/file");
        assert_true(c && c->kind == WORKSPACE_REMOVED && c->from.exists && !c->to.exists);
        assert_int_equal(c->from.size_bytes, 5);
        c = change_of(&d, "folder/added");
        assert_true(c && c->kind == WORKSPACE_ADDED && c->to.size_bytes == 9);
        c = change_of(&d, "changed");
        assert_true(c && c->kind == WORKSPACE_MODIFIED);
        assert_int_equal(c->from.size_bytes, 3);
        assert_int_equal(c->to.size_bytes, 5);
        assert_null(c->patch);
        c = change_of(&d, "mode");
        assert_true(c && c->to.mode == 0755 && c->from.mode != 0755);
}

static void test_equal_trees_do_not_differ(void **state) {
        _cleanup_(workspace_diff_done) WorkspaceDiff d = { .limit = 100, .with_patches = true };
        Place *p = *state;

        put(p, "file", "text\n");
        Tree t = take(p);
        assert_int_equal(compare_r(p, &t, &t, &d), 0);
        assert_int_equal(d.added + d.removed + d.modified + d.unknown + d.n_changes, 0);
}

static void test_patches_are_of_small_texts_only(void **state) {
        _cleanup_(workspace_diff_done) WorkspaceDiff d = { .limit = 100, .with_patches = true };
        size_t n = (size_t) 300 << 10;
        _cleanup_free_ char *large = malloc(n + 1);
        Place *p = *state;

        assert_non_null(large);
        memset(large, 'x', n);
        large[n] = '\0';
        put(p, "text", "one\ntwo\nthree\n");
        put(p, "empty", "");
        Tree from = take(p);
        put(p, "text", "one\n2\nthree\n");
        put(p, "large", large);
        put_bytes(p, "binary", "a\0b", 3);
        put_bytes(p, "latin1", "\xe9t\xe9\n", 4);
        put(p, "empty", "not any more\n");
        Tree to = take(p);

        assert_int_equal(compare_r(p, &from, &to, &d), 0);
        const WorkspaceChange *c = change_of(&d, "text");
        assert_non_null(c);
        assert_non_null(c->patch);
        assert_non_null(strstr(c->patch,
                               "--- a/text\n+++ b/text\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"));
        c = change_of(&d, "empty");
        assert_non_null(c->patch);
        assert_non_null(strstr(c->patch, "+not any more\n"));
        static const char *const without[] = { "large", "binary", "latin1" };
        ARRAY_FOREACH(path, without) {
                c = change_of(&d, *path);
                assert_non_null(c);
                assert_null(c->patch);
        }
}

static void test_a_part_of_the_list_comes_with_the_whole_counts(void **state) {
        char names[3][16] = {};
        Place *p = *state;

        put(p, "z", "");
        Tree from = take(p);
        for (unsigned i = 0; i < 10; i++) {
                char path[16];
                (void) snprintf(path, sizeof(path), "f%u", i);
                put(p, path, path);
        }
        Tree to = take(p);
        for (unsigned skip = 0; skip < 3; skip++) {
                _cleanup_(workspace_diff_done)
                        WorkspaceDiff d = { .limit = 4, .skip = 4 * (size_t) skip };
                assert_int_equal(compare_r(p, &from, &to, &d), 0);
                assert_int_equal(d.added, 10);
                assert_int_equal(d.n_changes, skip == 2 ? 2 : 4);
                (void) snprintf(names[skip], sizeof(names[skip]), "%s", d.changes[0].path);
        }
        assert_string_equal(names[0], "f0");
        assert_string_equal(names[1], "f4");
        assert_string_equal(names[2], "f8");
}

static void test_what_one_side_left_out_is_neither_added_nor_removed(void **state) {
        _cleanup_(workspace_diff_done) WorkspaceDiff d = { .limit = 100 };
        Place *p = *state;

        put(p, "data", "12345678");
        Tree from = take(p);
        place_restart(p, 4);
        put(p, "data", "123456789");
        Tree to = take(p);
        assert_int_equal(compare_r(p, &from, &to, &d), 0);
        assert_int_equal(d.unknown, 1);
        assert_int_equal(d.added + d.removed + d.modified, 0);
}

static void test_an_unknown_tree_is_an_error(void **state) {
        _cleanup_(workspace_diff_done) WorkspaceDiff d = { .limit = 100 };
        Tree unknown = { .id = { 1, 2, 3 } };
        Place *p = *state;

        put(p, "file", "text\n");
        Tree t = take(p);
        assert_int_equal(compare_r(p, &t, &unknown, &d), -ENOENT);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_added_removed_and_modified_files_have_their_sizes),
                TEST(test_equal_trees_do_not_differ),
                TEST(test_patches_are_of_small_texts_only),
                TEST(test_a_part_of_the_list_comes_with_the_whole_counts),
                TEST(test_what_one_side_left_out_is_neither_added_nor_removed),
                TEST(test_an_unknown_tree_is_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
