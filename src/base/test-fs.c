/* SPDX-License-Identifier: MIT */

/* Real files in a temporary folder; trees as hostile agents would leave them. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/test.h"

static void put_file(const char *folder, const char *name, const char *text) {
        _cleanup_free_ char *path = path_join(folder, name);

        assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, text, strlen(text), 0644), 0);
}

static size_t count_entries(const char *folder) {
        _cleanup_(dir_closep) DIR *dir = opendir(folder);
        size_t n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        return n - 2;
}

static void test_mkdir_p_creates_parents_and_accepts_existing(void **state) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *deep = path_join(folder, "a/b//c/"), *file = path_join(folder, "f/x");
        struct stat st;

        assert_int_equal(fs_mkdir_p(deep, 0700), 0);
        assert_int_equal(fs_mkdir_p(deep, 0700), 0);
        assert_int_equal(stat(deep, &st), 0);
        assert_true(S_ISDIR(st.st_mode));
        put_file(folder, "f", "");
        assert_int_equal(fs_mkdir_p(file, 0700), -ENOTDIR);
        assert_int_equal(fs_mkdir_p("", 0700), -EINVAL);
}

/* Only root may give files away. */
static void test_a_tree_is_given_without_following_links(void **state) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *tree = path_join(folder, "tree"), *deep = path_join(folder, "tree/a/b");
        struct stat st;

        if (geteuid() != 0)
                skip();
        assert_int_equal(fs_mkdir_p(deep, 0700), 0);
        put_file(folder, "outside", "x");
        put_file(deep, "file", "x");
        _cleanup_close_ int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(symlinkat("../outside", fd, "link"), 0);
        assert_int_equal(symlinkat("..", fd, "up"), 0);
        assert_int_equal(fs_chown_tree(fd, 12345, 23456), 0);

        static const char *const given[] = { ".", "a", "a/b", "a/b/file", "link", "up" };
        ARRAY_FOREACH(name, given) {
                assert_int_equal(fstatat(fd, *name, &st, AT_SYMLINK_NOFOLLOW), 0);
                assert_int_equal(st.st_uid, 12345);
                assert_int_equal(st.st_gid, 23456);
        }
        assert_int_equal(fstatat(fd, "../outside", &st, 0), 0);
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(fstatat(fd, "..", &st, 0), 0);
        assert_int_equal(st.st_uid, 0);
}

static void test_files_are_read_whole_or_refused_as_too_long(void **state) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "file"), *big = malloc(100000), *data = NULL;
        size_t n = 0;

        assert_non_null(big);
        memset(big, 'x', 100000);
        assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, big, 100000, 0600), 0);
        assert_int_equal(fs_read_file(AT_FDCWD, path, 99999, &data, &n), -E2BIG);
        assert_null(data);
        assert_int_equal(fs_read_file(AT_FDCWD, path, 100000, &data, &n), 0);
        assert_int_equal(n, 100000);
        assert_int_equal(strlen(data), 100000);
        free(TAKE_PTR(data));
        assert_int_equal(fs_read_file(AT_FDCWD, path, SIZE_MAX, &data, NULL), 0);
        assert_int_equal(strlen(data), 100000);
        free(TAKE_PTR(data));
        assert_int_equal(fs_read_file(AT_FDCWD, "/nowhere/at/all", 10, &data, &n), -ENOENT);
}

static void test_files_without_a_size_are_read(void **state) {
        _cleanup_free_ char *data = NULL;
        size_t n = 0;

        assert_int_equal(fs_read_file(AT_FDCWD, "/proc/self/status", 1 << 20, &data, &n), 0);
        assert_non_null(str_startswith(data, "Name:"));
        assert_int_equal(n, strlen(data));
}

static void test_an_empty_file_is_an_empty_string(void **state) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "file"), *data = NULL;

        put_file(folder, "file", "");
        assert_int_equal(fs_read_file(AT_FDCWD, path, 0, &data, NULL), 0);
        assert_string_equal(data, "");
}

static void test_atomic_write_replaces_and_leaves_nothing_beside(void **state) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_close_ int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *data = NULL;
        struct stat st;
        mode_t old = umask(077);

        assert_int_equal(fs_write_file_atomic(dir, "f", "one", 3, 0600), 0);
        assert_int_equal(fs_write_file_atomic(dir, "f", "two", 3, 0644), 0);
        (void) umask(old);
        assert_int_equal(fs_read_file(dir, "f", 100, &data, NULL), 0);
        assert_string_equal(data, "two");
        assert_int_equal(fstatat(dir, "f", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
        assert_int_equal(count_entries(folder), 1);
}

static void test_a_failed_atomic_write_leaves_nothing_beside(void **state) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *target = path_join(folder, "d/x");

        assert_int_equal(fs_write_file_atomic(AT_FDCWD, target, "x", 1, 0600), -ENOENT);
        assert_int_equal(fs_mkdir_p(target, 0700), 0);
        assert_int_equal(fs_write_file_atomic(AT_FDCWD, target, "x", 1, 0600), -EISDIR);
        *strrchr(target, '/') = '\0';
        assert_int_equal(count_entries(target), 1);
}

static void test_attributes_are_written_to_existing_files_only(void **state) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_close_ int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *data = NULL;

        assert_int_equal(fs_write_attribute(dir, "pids.max", "10"), -ENOENT);
        put_file(folder, "pids.max", "");
        assert_int_equal(fs_write_attribute(dir, "pids.max", "10"), 0);
        assert_int_equal(fs_read_file(dir, "pids.max", 100, &data, NULL), 0);
        assert_string_equal(data, "10");
}

static void test_read_exact_says_when_the_end_comes_first(void **state) {
        char data[4] = {};
        int pipe_fds[2];

        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        _cleanup_close_ int reader = pipe_fds[0], writer = pipe_fds[1];
        assert_int_equal(fd_write_all(writer, "abcdef", 6), 0);
        writer = fd_close(writer);
        assert_int_equal(fd_read_exact(reader, data, 4), 0);
        assert_memory_equal(data, "abcd", 4);
        assert_int_equal(fd_read_exact(reader, data, 4), -ENODATA);
        assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
}

static void test_nonblock_is_switched_both_ways(void **state) {
        char c;
        int pipe_fds[2];

        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        _cleanup_close_ int reader = pipe_fds[0], writer = pipe_fds[1];
        assert_int_equal(fd_set_nonblock(reader, true), 0);
        assert_int_equal(fd_read_exact(reader, &c, 1), -EAGAIN);
        assert_true(fcntl(reader, F_GETFL) & O_NONBLOCK);
        assert_int_equal(fd_set_nonblock(reader, false), 0);
        assert_false(fcntl(reader, F_GETFL) & O_NONBLOCK);
        assert_int_equal(fd_set_nonblock(writer, false), 0);
}

static void test_removing_a_tree_does_not_follow_links(void **state) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *kept = path_join(folder, "kept"), *tree = path_join(folder, "tree");
        _cleanup_free_ char *inner = path_join(tree, "a/b"), *link = path_join(inner, "link");

        assert_int_equal(fs_mkdir_p(kept, 0700), 0);
        put_file(kept, "precious", "x");
        assert_int_equal(fs_mkdir_p(inner, 0700), 0);
        put_file(inner, "file", "x");
        assert_int_equal(symlink(kept, link), 0);
        assert_int_equal(fs_remove_tree(AT_FDCWD, link), -ENOTDIR);
        assert_int_equal(fs_remove_tree(AT_FDCWD, tree), 0);
        assert_int_equal(access(tree, F_OK), -1);
        assert_int_equal(count_entries(kept), 1);
        assert_int_equal(fs_remove_tree(AT_FDCWD, tree), 0);
}

static void test_removing_a_tree_copes_with_any_depth_and_missing_permissions(void **state) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        /* deeper than PATH_MAX allows to name and than there are descriptors */
        for (size_t i = 0; i < 3000; i++) {
                assert_int_equal(mkdirat(fd, "deep", 0700), 0);
                int next = openat(fd, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(next >= 0);
                fd_close(fd);
                fd = next;
        }
        assert_int_equal(mkdirat(fd, "closed", 0700), 0);
        assert_int_equal(mkdirat(fd, "closed/inside", 0700), 0);
        assert_int_equal(fchmodat(fd, "closed", 0, 0), 0);

        _cleanup_free_ char *top = path_join(folder, "deep");
        assert_int_equal(fs_remove_tree(AT_FDCWD, top), 0);
        assert_int_equal(count_entries(folder), 0);
}

static void test_removing_a_wide_tree_removes_everything(void **state) {
        _cleanup_folder_ char *folder = test_folder();

        for (unsigned i = 0; i < 200; i++) {
                _cleanup_free_ char *sub = str_printf("%s/t/%u", folder, i);
                assert_int_equal(fs_mkdir_p(sub, 0700), 0);
                put_file(sub, "a", "x");
                put_file(sub, "b", "x");
        }
        _cleanup_free_ char *tree = path_join(folder, "t");
        assert_int_equal(fs_remove_tree(AT_FDCWD, tree), 0);
        assert_int_equal(count_entries(folder), 0);
}

static void assert_absolute(const char *path, const char *expected) {
        _cleanup_free_ char *s = NULL;

        assert_int_equal(path_absolute(path, &s), 0);
        assert_string_equal(s, expected);
}

static void test_paths_are_cleaned_textually(void **state) {
        assert_absolute("/", "/");
        assert_absolute("//a///b/", "/a/b");
        assert_absolute("/a/./b/../c", "/a/c");
        assert_absolute("/../..", "/");
        assert_absolute("/a/..", "/");
        assert_absolute("/a/..b/...", "/a/..b/...");
}

static void test_relative_and_home_paths_become_absolute(void **state) {
        _cleanup_free_ char *cwd = getcwd(NULL, 0), *expected = path_join(cwd, "x/y");
        char *none = NULL;

        assert_absolute("x/./y", expected);
        assert_absolute(".", cwd);
        assert_int_equal(setenv("HOME", "/home/someone", 1), 0);
        assert_absolute("~", "/home/someone");
        assert_absolute("~/a", "/home/someone/a");
        _cleanup_free_ char *literal = path_join(cwd, "~a");
        assert_absolute("~a", literal);
        assert_int_equal(path_absolute("", &none), -EINVAL);
        assert_null(none);
}

static void test_join_puts_one_slash(void **state) {
        _cleanup_free_ char *a = path_join("a", "b"), *b = path_join("/", "b"),
                            *c = path_join("", "b");

        assert_string_equal(a, "a/b");
        assert_string_equal(b, "/b");
        assert_string_equal(c, "b");
}

static void test_the_program_knows_its_folder(void **state) {
        _cleanup_free_ char *dir = NULL, *self = NULL;

        assert_int_equal(path_of_program_dir(&dir), 0);
        self = path_join(dir, program_invocation_short_name);
        assert_int_equal(access(self, X_OK), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_mkdir_p_creates_parents_and_accepts_existing),
                cmocka_unit_test(test_a_tree_is_given_without_following_links),
                cmocka_unit_test(test_files_are_read_whole_or_refused_as_too_long),
                cmocka_unit_test(test_files_without_a_size_are_read),
                cmocka_unit_test(test_an_empty_file_is_an_empty_string),
                cmocka_unit_test(test_atomic_write_replaces_and_leaves_nothing_beside),
                cmocka_unit_test(test_a_failed_atomic_write_leaves_nothing_beside),
                cmocka_unit_test(test_attributes_are_written_to_existing_files_only),
                cmocka_unit_test(test_read_exact_says_when_the_end_comes_first),
                cmocka_unit_test(test_nonblock_is_switched_both_ways),
                cmocka_unit_test(test_removing_a_tree_does_not_follow_links),
                cmocka_unit_test(test_removing_a_tree_copes_with_any_depth_and_missing_permissions),
                cmocka_unit_test(test_removing_a_wide_tree_removes_everything),
                cmocka_unit_test(test_paths_are_cleaned_textually),
                cmocka_unit_test(test_relative_and_home_paths_become_absolute),
                cmocka_unit_test(test_join_puts_one_slash),
                cmocka_unit_test(test_the_program_knows_its_folder),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
