/* SPDX-License-Identifier: MIT */

/* What a snapshot records and what a restore brings back, on real folders with the real module. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

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

static void make_many(const Place *p, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                _cleanup_free_ char *path = str_printf("d%u/s%u/f%u", i % 10, i / 10 % 10, i);
                _cleanup_free_ char *text = str_printf("file %u\n", i);
                put(p, path, text);
        }
}

static void test_an_unchanged_folder_writes_no_object_and_has_the_same_tree(void **state) {
        Place *p = *state;

        make_many(p, 5000);
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

        make_many(p, 200);
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

        make_many(p, 100);
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

        make_many(p, 100);
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
                TEST(test_git_folders_are_neither_recorded_nor_touched),
                TEST(test_ignored_files_are_left_alone_by_a_restore),
                TEST(test_an_ignored_file_that_a_restore_overwrites_is_recorded_first),
                TEST(test_large_and_special_files_are_skipped_named_and_left_alone),
                TEST(test_a_restore_reports_what_stands_in_its_way),
                TEST(test_the_daemons_own_folder_is_left_out),
                TEST(test_links_never_lead_outside),
                TEST(test_folders_deeper_than_the_limit_are_skipped_and_named),
                TEST(test_missing_folders_and_trees_are_named_errors),
                TEST(test_a_missing_module_is_an_error_that_says_so),
                TEST(test_freeing_the_manager_finishes_what_was_asked),
                TEST(test_collecting_removes_what_no_tree_reaches_and_nothing_else),
                TEST(test_collecting_with_a_missing_tree_removes_nothing),
                TEST(test_operations_asked_for_while_collecting_wait_for_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
