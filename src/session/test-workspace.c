/* SPDX-License-Identifier: MIT */

/* What a snapshot records and what a restore brings back, on real folders with the real module. */

#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"
#include "session/test-workspace-tools.h"

/* ---- round trips ---- */

static void test_restore_brings_back_changed_removed_and_new_files(void **state) {
        Place *p = *state;

        put(p, "a.txt", "one\n");
        put(p, "deep/er/b.txt", "two\n");
        put(p, "deep/c.txt", "three\n");
        Tree first = take(p);
        _cleanup_free_ char *before = describe(p->folder);

        put(p, "a.txt", "changed\n");
        put(p, "new/file.txt", "new\n");
        drop(p, "deep");
        Tree second = take(p);
        _cleanup_free_ char *after = describe(p->folder);
        assert_trees_differ(first, second);

        restore(p, &first);
        _cleanup_free_ char *restored = describe(p->folder);
        assert_string_equal(restored, before);
        assert_memory_equal(p->result.tree, second.id, WORKSPACE_TREE_SIZE);
        assert_trees_equal(take(p), first);

        restore(p, &second);
        _cleanup_free_ char *again = describe(p->folder);
        assert_string_equal(again, after);
}

static void test_restore_reports_the_state_it_replaced_even_if_never_recorded(void **state) {
        Place *p = *state;
        Tree unrecorded;

        put(p, "a.txt", "one\n");
        Tree first = take(p);
        put(p, "a.txt", "precious\n");
        put(p, "b.txt", "also precious\n");
        restore(p, &first);
        memcpy(unrecorded.id, p->result.tree, sizeof(unrecorded.id));
        assert_text(p, "a.txt", "one\n");
        assert_false(exists(p, "b.txt"));
        restore(p, &unrecorded);
        assert_text(p, "a.txt", "precious\n");
        assert_text(p, "b.txt", "also precious\n");
}

static void test_names_of_any_bytes_survive(void **state) {
        static const char *const names[] = {
                "with space",    " leading", "trailing ", "new\nline",    "\xff\xfe\x80 not utf-8",
                "100% \\ \"x\"", "-rf",      "*",         "tab\tand\x7f", "\xc3\xa4\xc3\xb6",
                ".GIT",          "git~1",    "manifest",  "files",        "a.b",
        };
        Place *p = *state;

        ARRAY_FOREACH(name, names) {
                _cleanup_free_ char *inside = str_printf("%s.d/%s", *name, *name);
                put(p, *name, *name);
                put(p, inside, "inside");
        }
        put(p, "a/x", "sorts between a and a.b");
        _cleanup_free_ char *before = describe(p->folder);
        Tree t = take(p);
        assert_int_equal(p->result.files, 2 * ELEMENTSOF(names) + 1);
        assert_int_equal(p->result.skipped, 0);

        ARRAY_FOREACH(name, names)
                drop(p, *name);
        restore(p, &t);
        _cleanup_free_ char *after = describe(p->folder);
        assert_string_equal(after, before);

        _cleanup_free_ char *other = path_join(p->root, "other");
        assert_int_equal(materialize_r(p, other, &t), 0);
        _cleanup_free_ char *copy = describe(other);
        assert_string_equal(copy, before);
}

static void test_modes_links_and_empty_folders_survive(void **state) {
        static const struct {
                const char *path;
                mode_t mode;
        } modes[] = {
                { "script", 0755 },    { "secret", 0600 }, { "odd", 0640 },
                { "read-only", 0444 }, { "d/x", 0711 },    { "empty/bottom", 0700 },
                { "d", 0750 },         { "locked", 0555 },
        };
        static const char *const files[] = { "script",    "secret", "odd",
                                             "read-only", "d/x",    "locked/inside" };
        static const char *const altered[] = { "script", "secret", "odd", "d" };
        Place *p = *state;
        _cleanup_free_ char *link = at(p, "link"), *dangling = at(p, "dangling"),
                            *absolute = at(p, "d/absolute");

        ARRAY_FOREACH(file, files)
                put(p, *file, *file);
        put_folder(p, "empty/bottom");
        put_folder(p, "hollow");
        assert_int_equal(symlink("d/x", link), 0);
        assert_int_equal(symlink("no\nwhere", dangling), 0);
        assert_int_equal(symlink("/etc/passwd", absolute), 0);
        ARRAY_FOREACH(m, modes) {
                _cleanup_free_ char *path = at(p, m->path);
                assert_int_equal(chmod(path, m->mode), 0);
        }
        _cleanup_free_ char *before = describe(p->folder);
        Tree t = take(p);

        drop(p, "empty");
        drop(p, "hollow");
        drop(p, "link");
        drop(p, "locked");
        ARRAY_FOREACH(file, altered) {
                _cleanup_free_ char *path = at(p, *file);
                assert_int_equal(chmod(path, 0777), 0);
        }
        restore(p, &t);
        _cleanup_free_ char *after = describe(p->folder);
        assert_string_equal(after, before);
        assert_trees_equal(take(p), t);

        _cleanup_free_ char *other = path_join(p->root, "made/other");
        assert_int_equal(materialize_r(p, other, &t), 0);
        _cleanup_free_ char *copy = describe(other);
        assert_string_equal(copy, before);
}

static void test_files_become_folders_and_back(void **state) {
        Place *p = *state;
        _cleanup_free_ char *link = at(p, "c");

        put(p, "a", "file");
        put(p, "b/inside", "in folder");
        put(p, "c/inside", "in folder");
        Tree first = take(p);
        _cleanup_free_ char *before = describe(p->folder);
        drop(p, "a");
        drop(p, "b");
        drop(p, "c");
        put(p, "a/b/c", "now a folder");
        put(p, "b", "now a file");
        assert_int_equal(symlink("a", link), 0);
        Tree second = take(p);
        _cleanup_free_ char *changed = describe(p->folder);

        restore(p, &first);
        _cleanup_free_ char *after = describe(p->folder);
        assert_string_equal(after, before);
        restore(p, &second);
        _cleanup_free_ char *again = describe(p->folder);
        assert_string_equal(again, changed);
}

static void test_large_and_empty_files_survive(void **state) {
        Place *p = *state;
        size_t n = ((size_t) 5 << 20) + 7;
        _cleanup_free_ char *data = malloc(n);
        uint32_t x = 1;

        assert_non_null(data);
        for (size_t i = 0; i < n; i++)
                data[i] = (char) ((x = x * 1664525 + 1013904223) >> 24);
        put_bytes(p, "large", data, n);
        put_bytes(p, "middle", data, (size_t) 700 << 10);
        put_bytes(p, "empty", "", 0);
        _cleanup_free_ char *before = describe(p->folder);
        Tree t = take(p);
        assert_int_equal(p->result.bytes, n + ((size_t) 700 << 10));
        drop(p, "large");
        drop(p, "middle");
        drop(p, "empty");
        restore(p, &t);
        _cleanup_free_ char *after = describe(p->folder);
        assert_string_equal(after, before);
}

/* ---- cost ---- */

static void test_an_unchanged_folder_writes_no_object_and_has_the_same_tree(void **state) {
        Place *p = *state;

        put_many(p, 5000);
        Tree first = take(p);
        assert_int_equal(p->result.files, 5000);
        assert_int_equal(p->result.changed, 5000);
        uint64_t size = repository_bytes(p);

        assert_trees_equal(take(p), first);
        assert_int_equal(p->result.changed, 0);
        place_restart(p, 0);
        assert_trees_equal(take(p), first);
        assert_int_equal(p->result.changed, 0);
        assert_int_equal(repository_bytes(p), size);

        put(p, "d3/s3/f33", "another\n");
        assert_trees_differ(take(p), first);
        assert_int_equal(p->result.changed, 1);
        assert_true(repository_bytes(p) - size < 65536);
}

static void test_a_change_in_the_same_clock_tick_with_the_same_size_is_seen(void **state) {
        Place *p = *state;
        _cleanup_free_ char *path = at(p, "file");
        struct timespec times[2];
        struct stat st;

        for (unsigned round = 0; round < 20; round++) {
                char text[16];
                (void) snprintf(text, sizeof(text), "round %03u", round);
                put(p, "file", text);
                if (round > 0) {
                        /* as tar and cp -p do */
                        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
                }
                assert_int_equal(stat(path, &st), 0);
                times[0] = st.st_atim;
                times[1] = st.st_mtim;
                Tree t = take(p);
                put(p, "file", "something else");
                restore(p, &t);
                assert_text(p, "file", text);
        }
}

static void test_a_lost_repository_is_no_reason_to_believe_the_cache(void **state) {
        Place *p = *state;
        _cleanup_free_ char *repository = str_printf("%s/workspaces/%016x.git", p->data, 1U);

        put(p, "file", "text");
        Tree first = take(p);
        assert_int_equal(fs_remove_tree(AT_FDCWD, repository), 0);
        assert_trees_equal(take(p), first);
        put(p, "file", "other");
        restore(p, &first);
        assert_text(p, "file", "text");
}

static void test_many_snapshots_do_not_leave_many_packs(void **state) {
        Place *p = *state;
        _cleanup_free_ char *packs = str_printf("%s/workspaces/%016x.git/objects/pack", p->data, 1U);
        Tree trees[100];

        for (unsigned i = 0; i < ELEMENTSOF(trees); i++) {
                char text[32];
                (void) snprintf(text, sizeof(text), "version %u\n", i);
                put(p, "file", text);
                put(p, "folder/file", text);
                trees[i] = take(p);
                assert_in_range(count_names(packs), 2, 2 * 22);
        }
        for (unsigned i = 0; i < ELEMENTSOF(trees); i += 9) {
                char text[32];
                (void) snprintf(text, sizeof(text), "version %u\n", i);
                restore(p, &trees[i]);
                assert_text(p, "file", text);
                assert_text(p, "folder/file", text);
        }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_restore_brings_back_changed_removed_and_new_files),
                TEST(test_restore_reports_the_state_it_replaced_even_if_never_recorded),
                TEST(test_names_of_any_bytes_survive),
                TEST(test_modes_links_and_empty_folders_survive),
                TEST(test_files_become_folders_and_back),
                TEST(test_large_and_empty_files_survive),
                TEST(test_an_unchanged_folder_writes_no_object_and_has_the_same_tree),
                TEST(test_a_change_in_the_same_clock_tick_with_the_same_size_is_seen),
                TEST(test_a_lost_repository_is_no_reason_to_believe_the_cache),
                TEST(test_many_snapshots_do_not_leave_many_packs),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
