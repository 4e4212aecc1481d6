/* SPDX-License-Identifier: MIT */

/* What a snapshot leaves out, and what no folder, however hostile, can make a restore do. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/str.h"
#include "session/test-workspace-tools.h"

/* ---- what is left out ---- */

static void test_git_folders_are_neither_recorded_nor_touched(void **state) {
        Place *p = *state;

        put(p, ".git/HEAD", "ref: refs/heads/main\n");
        put(p, "sub/.git/HEAD", "ref: refs/heads/sub\n");
        put(p, "sub/file", "in a nested repository\n");
        put(p, "worktree/.git", "gitdir: elsewhere\n");
        Tree t = take(p);
        assert_int_equal(p->result.files, 1);

        put(p, ".git/HEAD", "moved\n");
        put(p, "sub/.git/index", "new\n");
        assert_trees_equal(take(p), t);
        drop(p, "sub/file");
        restore(p, &t);
        assert_text(p, "sub/file", "in a nested repository\n");
        assert_text(p, ".git/HEAD", "moved\n");
        assert_text(p, "sub/.git/index", "new\n");

        _cleanup_free_ char *other = path_join(p->root, "other");
        _cleanup_free_ char *git = path_join(other, "sub/.git");
        assert_int_equal(materialize_r(p, other, &t), 0);
        assert_int_equal(access(git, F_OK), -1);
}

static void test_ignored_files_are_left_alone_by_a_restore(void **state) {
        Place *p = *state;

        put(p, "main.c", "one\n");
        Tree plain = take(p);
        put(p, ".gitignore", "*.o\n/build/\n");
        put(p, "main.o", "object\n");
        put(p, "build/deep/out", "output\n");
        put(p, "main.c", "two\n");
        Tree ignoring = take(p);
        assert_int_equal(p->result.files, 2);
        assert_int_equal(p->result.skipped, 0);

        /* the rules go, what they protected stays: it is in no tree */
        restore(p, &plain);
        assert_false(exists(p, ".gitignore"));
        assert_text(p, "main.o", "object\n");
        assert_text(p, "build/deep/out", "output\n");
        restore(p, &ignoring);
        assert_text(p, "main.c", "two\n");
        assert_text(p, "main.o", "object\n");
        assert_text(p, "build/deep/out", "output\n");
}

static void test_an_ignored_file_that_a_restore_overwrites_is_recorded_first(void **state) {
        Place *p = *state;
        Tree before;

        put(p, "notes/a.log", "version one\n");
        Tree t = take(p);
        put(p, ".gitignore", "*.log\nnotes/\n");
        put(p, "notes/a.log", "version two\n");
        put(p, "notes/b.log", "never recorded\n");
        (void) take(p);
        restore(p, &t);
        assert_text(p, "notes/a.log", "version one\n");
        assert_text(p, "notes/b.log", "never recorded\n");
        memcpy(before.id, p->result.tree, sizeof(before.id));
        restore(p, &before);
        assert_text(p, "notes/a.log", "version two\n");
        assert_text(p, "notes/b.log", "never recorded\n");
}

static void test_large_and_special_files_are_skipped_named_and_left_alone(void **state) {
        Place *p = *state;
        _cleanup_free_ char *fifo = at(p, "pipe"), *sock = at(p, "sock");
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        place_restart(p, 100);
        put(p, "small", "fits\n");
        put_bytes(p, "big", (char[101]){}, 101);
        assert_int_equal(mkfifo(fifo, 0600), 0);
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(strlen(sock) < sizeof(address.sun_path));
        memcpy(address.sun_path, sock, strlen(sock) + 1);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);

        Tree t = take(p);
        assert_int_equal(p->result.files, 1);
        assert_int_equal(p->result.skipped, 3);
        assert_non_null(strstr(p->result.message, "big (size)"));
        assert_non_null(strstr(p->result.message, "pipe (fifo)"));
        assert_non_null(strstr(p->result.message, "sock (socket)"));

        put(p, "small", "other\n");
        restore(p, &t);
        assert_text(p, "small", "fits\n");
        assert_true(exists(p, "big") && exists(p, "pipe") && exists(p, "sock"));
        assert_int_equal(p->result.skipped, 3);
}

static void test_a_restore_reports_what_stands_in_its_way(void **state) {
        Place *p = *state;

        put(p, "out", "a file\n");
        put(p, "other", "one\n");
        Tree t = take(p);
        drop(p, "out");
        put(p, ".gitignore", "out/keep\n");
        put(p, "out/keep", "ignored, so not ours\n");
        put(p, "other", "two\n");
        restore(p, &t);
        assert_text(p, "other", "one\n");
        assert_text(p, "out/keep", "ignored, so not ours\n");
        assert_int_equal(p->result.skipped, 1);
        assert_non_null(strstr(p->result.message, "1 could not be brought back: out"));
}

static void test_the_daemons_own_folder_is_left_out(void **state) {
        Place *p = *state;
        _cleanup_free_ char *secret = path_join(p->data, "state.db"), *text = NULL;
        Tree t;

        /* the workspace is the folder above both */
        free(p->folder);
        p->folder = strdup(p->root);
        put(p, "folder/file", "one\n");
        put(p, "data/state.db", "not yours\n");
        t = take(p);
        assert_int_equal(p->result.files, 1);
        assert_non_null(strstr(p->result.message, "data (agentd)"));
        put(p, "folder/file", "two\n");
        put(p, "data/state.db", "changed\n");
        restore(p, &t);
        assert_text(p, "folder/file", "one\n");
        assert_int_equal(fs_read_file(AT_FDCWD, secret, 100, &text, NULL), 0);
        assert_string_equal(text, "changed\n");
        assert_int_equal(take_r(p, p->data, &t), -EINVAL);
}

/* ---- hostile folders ---- */

static void test_links_never_lead_outside(void **state) {
        Place *p = *state;
        _cleanup_free_ char *outside = path_join(p->root, "outside"), *link = at(p, "sub"),
                            *victim = path_join(outside, "file");

        put(p, "sub/file", "recorded\n");
        put(p, "sub/more", "recorded\n");
        Tree with = take(p);
        drop(p, "sub");
        put(p, "plain", "x");
        Tree without = take(p);

        assert_int_equal(mkdir(outside, 0755), 0);
        assert_int_equal(symlink(outside, link), 0);
        _cleanup_close_ int fd = open(victim, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(fd_write_all(fd, "untouched\n", 10), 0);

        Tree t = take(p);
        assert_int_equal(p->result.files, 2);
        restore(p, &with);
        restore(p, &t);
        restore(p, &without);
        _cleanup_free_ char *text = NULL;
        assert_int_equal(fs_read_file(AT_FDCWD, victim, 100, &text, NULL), 0);
        assert_string_equal(text, "untouched\n");
        assert_int_equal(count_names(outside), 1);
}

static void test_folders_deeper_than_the_limit_are_skipped_and_named(void **state) {
        Place *p = *state;
        int fd = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        for (unsigned i = 0; i < 300; i++) {
                assert_int_equal(mkdirat(fd, "d", 0755), 0);
                int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                int file = openat(next, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
                assert_true(file >= 0);
                (void) fd_close(file);
                (void) fd_close(fd);
                fd = next;
        }
        (void) fd_close(fd);
        _cleanup_free_ char *before = describe(p->folder);
        Tree t = take(p);
        assert_int_equal(p->result.files, 256);
        assert_int_equal(p->result.skipped, 1);
        assert_non_null(strstr(p->result.message, "not recorded"));
        drop(p, "d/f");
        drop(p, "d/d/d/f");
        restore(p, &t);
        _cleanup_free_ char *after = describe(p->folder);
        assert_string_equal(after, before);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_git_folders_are_neither_recorded_nor_touched),
                TEST(test_ignored_files_are_left_alone_by_a_restore),
                TEST(test_an_ignored_file_that_a_restore_overwrites_is_recorded_first),
                TEST(test_large_and_special_files_are_skipped_named_and_left_alone),
                TEST(test_a_restore_reports_what_stands_in_its_way),
                TEST(test_the_daemons_own_folder_is_left_out),
                TEST(test_links_never_lead_outside),
                TEST(test_folders_deeper_than_the_limit_are_skipped_and_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
