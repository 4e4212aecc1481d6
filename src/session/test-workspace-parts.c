/* SPDX-License-Identifier: MIT */

/* The parts below the operations: when a cache may be believed, and what is refused although it
 * lies in our own repository. */

#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"
#include "session/test-workspace-tools.h"
#include "session/workspace-internal.h"

#define MANIFEST "agentd-workspace 1\nusual 0644 0755 0755\n"

typedef struct Parts {
        Place *place;
        int root_fd;
        const WorkspaceModule *module;
        WorkspaceStore *store;
        WorkspaceReader reader;
} Parts;

static int parts_setup(void **state) {
        Parts *x = calloc(1, sizeof(Parts));
        char error[256];

        assert_non_null(x);
        assert_int_equal(place_setup((void **) &x->place), 0);
        _cleanup_free_ char *repository = path_join(x->place->root, "repository");
        assert_int_equal(workspace_module_load(NULL, &x->module, error, sizeof(error)), 0);
        assert_int_equal(x->module->start(), 0);
        assert_int_equal(x->module->open(&x->store, repository), 0);
        x->root_fd = open(x->place->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        x->reader = (WorkspaceReader){
                .module = x->module,
                .store = x->store,
                .root_fd = x->root_fd,
                .file_size_max = 1 << 20,
        };
        *state = x;
        return 0;
}

static int parts_teardown(void **state) {
        Parts *x = *state;

        (void) x->module->close(x->store);
        x->module->stop();
        (void) fd_close(x->root_fd);
        assert_int_equal(place_teardown((void **) &x->place), 0);
        free(x);
        return 0;
}

static const WorkspaceEntry *find(const WorkspaceList *l, const char *path) {
        const WorkspaceEntry *e = workspace_list_find(l, path);

        assert_non_null(e);
        return e;
}

/* ---- the cache ---- */

static void test_a_file_just_written_is_racy_and_becomes_steady(void **state) {
        Parts *x = *state;
        bool racy = false, steady = false;

        /* the read may come late once, not a thousand times */
        for (unsigned i = 0; i < 1000 && !racy; i++) {
                put(x->place, "file", "text");
                _cleanup_(workspace_list_done) WorkspaceList l = {};
                assert_int_equal(workspace_scan(&x->reader, &l), 0);
                racy = find(&l, "file")->racy;
        }
        assert_true(racy);
        while (!steady) {
                _cleanup_(workspace_list_done) WorkspaceList l = {};
                assert_int_equal(workspace_scan(&x->reader, &l), 0);
                steady = !find(&l, "file")->racy;
        }
}

static void test_only_steady_entries_of_the_cache_are_believed(void **state) {
        Parts *x = *state;
        _cleanup_(workspace_list_done) WorkspaceList cache = {}, racy = {}, steady = {};

        put(x->place, "a", "one");
        put(x->place, "b", "two");
        assert_int_equal(workspace_scan(&x->reader, &cache), 0);
        WorkspaceEntry *a = workspace_list_find(&cache, "a");
        const WorkspaceEntry *b = find(&cache, "b");
        uint8_t right[WORKSPACE_OID_SIZE];
        memcpy(right, a->oid, sizeof(right));
        memcpy(a->oid, b->oid, sizeof(right));

        x->reader.cache = &cache;
        a->racy = true;
        assert_int_equal(workspace_scan(&x->reader, &racy), 0);
        assert_memory_equal(find(&racy, "a")->oid, right, sizeof(right));
        a->racy = false;
        assert_int_equal(workspace_scan(&x->reader, &steady), 0);
        assert_memory_equal(find(&steady, "a")->oid, b->oid, sizeof(right));
}

static void test_a_damaged_cache_is_an_empty_one(void **state) {
        Parts *x = *state;
        _cleanup_(workspace_list_done) WorkspaceList list = {}, back = {};
        _cleanup_free_ char *path = path_join(x->place->root, "cache"), *data = NULL;
        size_t n;

        put(x->place, "a", "one");
        put(x->place, "b/c", "two");
        assert_int_equal(workspace_scan(&x->reader, &list), 0);
        assert_int_equal(workspace_cache_save(path, &list), 0);
        workspace_cache_load(path, &back);
        assert_int_equal(back.n, 2);
        assert_true(workspace_entry_same_stat(find(&back, "b/c"), find(&list, "b/c")));

        assert_int_equal(fs_read_file(AT_FDCWD, path, 1 << 20, &data, &n), 0);
        for (size_t i = 0; i < n; i++) {
                _cleanup_(workspace_list_done) WorkspaceList damaged = {};
                data[i] ^= 1;
                assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, data, i % 2 ? n : i, 0600), 0);
                data[i] ^= 1;
                workspace_cache_load(path, &damaged);
                assert_int_equal(damaged.n, 0);
        }
}

/* ---- trees ---- */

static void append_entry(Buf *b, const char *mode, const char *name, const uint8_t *oid) {
        (void) buf_printf(b, "%s %s", mode, name);
        (void) buf_putc(b, '\0');
        (void) buf_append(b, oid, WORKSPACE_OID_SIZE);
}

/* Reads a tree with one entry and a manifest. */
static int read_made(Parts *x, const char *mode, const char *name, const char *manifest) {
        uint8_t blob[WORKSPACE_OID_SIZE], tree[WORKSPACE_OID_SIZE], text[WORKSPACE_OID_SIZE],
                wrapper[WORKSPACE_OID_SIZE];
        _cleanup_buf_ Buf inner = BUF_INIT(4096), outer = BUF_INIT(4096);
        _cleanup_(workspace_list_done) WorkspaceList l = {};

        assert_int_equal(x->module->write(x->store, WORKSPACE_OBJECT_BLOB, "x", 1, blob), 0);
        append_entry(&inner, mode, name, blob);
        assert_int_equal(
                x->module->write(x->store, WORKSPACE_OBJECT_TREE, inner.data, inner.len, tree), 0);
        assert_int_equal(
                x->module->write(x->store, WORKSPACE_OBJECT_BLOB, manifest, strlen(manifest), text),
                0);
        append_entry(&outer, "40000", "files", tree);
        append_entry(&outer, "100644", "manifest", text);
        assert_int_equal(
                x->module->write(x->store, WORKSPACE_OBJECT_TREE, outer.data, outer.len, wrapper), 0);
        return workspace_tree_read(x->module, x->store, wrapper, &l);
}

static void test_trees_with_names_that_lead_elsewhere_are_refused(void **state) {
        static const char *const bad[] = { "..", ".", "", "a/b", "/etc", ".git" };
        Parts *x = *state;

        assert_int_equal(read_made(x, "100644", "file", MANIFEST), 0);
        ARRAY_FOREACH(name, bad)
                assert_int_equal(read_made(x, "100644", *name, MANIFEST), -EBADMSG);
        assert_int_equal(read_made(x, "160000", "submodule", MANIFEST), -EBADMSG);
}

static void test_a_manifest_names_only_what_is_unusual_under_any_umask(void **state) {
        Parts *x = *state;
        mode_t before = umask(077);

        for (unsigned i = 0; i < 50; i++) {
                _cleanup_free_ char *path = str_printf("d%u/f%u", i % 5, i),
                                    *full = at(x->place, path);
                put(x->place, path, "x");
                assert_int_equal(chmod(full, i == 7 ? 0666 : 0600), 0);
                *strrchr(full, '/') = '\0';
                assert_int_equal(chmod(full, 0700), 0);
        }
        (void) umask(before);
        _cleanup_(workspace_list_done) WorkspaceList l = {};
        _cleanup_buf_ Buf text = BUF_INIT(1 << 20);
        assert_int_equal(workspace_scan(&x->reader, &l), 0);
        assert_int_equal(workspace_manifest_write(&l, &text), 0);
        assert_string_equal(text.data, "agentd-workspace 1\nusual 0600 0755 0700\nfolder 0755 - .\n"
                                       "file 0666 - d2/f7\n");
}

static void test_manifests_that_make_no_sense_are_refused(void **state) {
        static const char *const good[] = {
                "folder 0700 - empty", "file 0600 - file",      "file 0755 1000:100 file",
                "skip size - big",     "skip socket - a b%0Ac", "folder 0750 0:0 .",
        };
        static const char *const bad[] = {
                "folder 0700 - ../up", "folder 0700 - /etc",   "folder 0700 - a//b",
                "folder 0700 - .git",  "folder 0700 - a/.git", "folder 0700 - %2e%2e",
                "folder 0700 - file",  "file 0600 - missing",  "file 07777 - file",
                "skip reason - x",     "thing 0600 - file",    "file 0600 -",
                "file 0600 1000 file", "file 0600 - %0",       "file 0600 - a%00b",
        };
        Parts *x = *state;

        assert_int_equal(read_made(x, "100644", "file", "agentd-workspace 2\n"), -EBADMSG);
        assert_int_equal(read_made(x, "100644", "file", "agentd-workspace 1\n"), -EBADMSG);
        ARRAY_FOREACH(line, good) {
                _cleanup_free_ char *text = str_printf(MANIFEST "%s\n", *line);
                if (read_made(x, "100644", "file", text) != 0)
                        fail_msg("%s", *line);
        }
        ARRAY_FOREACH(line, bad) {
                _cleanup_free_ char *text = str_printf(MANIFEST "%s\n", *line);
                if (read_made(x, "100644", "file", text) != -EBADMSG)
                        fail_msg("%s", *line);
        }
}

static void test_folders_sort_before_what_is_in_them_and_that_before_the_rest(void **state) {
        static const char *const sorted[] = { "",       "a",   "a/b",   "a/b/c", "a/b.c",
                                              "a\x01b", "a b", "a.txt", "ab",    "\xff" };

        for (size_t i = 0; i < ELEMENTSOF(sorted); i++)
                for (size_t k = 0; k < ELEMENTSOF(sorted); k++) {
                        int c = workspace_path_compare(sorted[i], sorted[k]);
                        assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
                }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, parts_setup, parts_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_a_file_just_written_is_racy_and_becomes_steady),
                TEST(test_only_steady_entries_of_the_cache_are_believed),
                TEST(test_a_damaged_cache_is_an_empty_one),
                TEST(test_trees_with_names_that_lead_elsewhere_are_refused),
                TEST(test_a_manifest_names_only_what_is_unusual_under_any_umask),
                TEST(test_manifests_that_make_no_sense_are_refused),
                cmocka_unit_test(test_folders_sort_before_what_is_in_them_and_that_before_the_rest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
