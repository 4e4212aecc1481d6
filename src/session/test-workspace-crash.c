/* SPDX-License-Identifier: MIT */

/* Restores that are killed at any moment: a child restores, its parent kills it after a random
 * time, and the next manager finishes. Also an agent that swaps folders for links while the daemon
 * works. */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "session/test-workspace-tools.h"

#define N_FILES 150
#define ROUNDS  60
/* A fast disk makes them rare: so many at least, or the test has shown nothing. */
#define INTERRUPTED_MIN 3

static void make_state(const Place *p, char letter) {
        for (unsigned i = 0; i < N_FILES; i++) {
                _cleanup_free_ char *path =
                        str_printf("d%u/%c%u", i % 7, i % 3 == 0 ? letter : 'x', i);
                _cleanup_free_ char *text = str_printf("%c%u\n", letter, i);
                put(p, path, text);
        }
        _cleanup_free_ char *kind = str_printf("only-%c/empty", letter);
        put_folder(p, kind);
        /* a file in one state, a folder in the other */
        put(p, letter == 'a' ? "turn" : "turn/inside", "x");
        put(p, ".gitignore", letter == 'a' ? "*.keep\n" : "nothing\n");
}

static void clear_state(const Place *p, char letter) {
        for (unsigned i = 0; i < N_FILES; i += 3) {
                _cleanup_free_ char *path = str_printf("d%u/%c%u", i % 7, letter, i);
                drop(p, path);
        }
        _cleanup_free_ char *kind = str_printf("only-%c", letter);
        drop(p, kind);
        drop(p, "turn");
}

/* In state a it is ignored, and a restore has to leave it alone whatever the rules are then. */
#define KEPT "d1/mine.keep"

/* The folder but KEPT, which must be there. */
static char *describe_state(const Place *p) {
        char *text = describe(p->folder), *line = strstr(text, "/" KEPT);

        assert_non_null(line);
        char *end = strchr(line, '\n');
        while (line > text && line[-1] != '\n')
                line--;
        memmove(line, end + 1, strlen(end + 1) + 1);
        return text;
}

typedef struct Two {
        Tree tree[2];
        char *text[2];
} Two;

static Two make_two(Place *p) {
        Two two;

        make_state(p, 'a');
        put(p, KEPT, "never recorded in a\n");
        two.tree[0] = take(p);
        two.text[0] = describe_state(p);
        clear_state(p, 'a');
        make_state(p, 'b');
        two.text[1] = describe_state(p);
        drop(p, KEPT);
        two.tree[1] = take(p);
        restore(p, &two.tree[0]);
        put(p, KEPT, "never recorded in a\n");
        return two;
}

/* This program again, as one that restores (folder NULL) or materializes; it exits with 0 unless killed. */
static pid_t start_restore(const Place *p, const char *folder, const Tree *t) {
        char hex[2 * WORKSPACE_TREE_SIZE + 1];
        const char *argv[] = { "restore",
                               p->data,
                               folder ? folder : p->folder,
                               hex,
                               folder ? "materialize" : "restore",
                               NULL };
        pid_t pid;

        hex_encode(t->id, sizeof(t->id), hex);
        assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, (char **) (uintptr_t) argv,
                                     environ),
                         0);
        return pid;
}

static int be_the_child(char **argv) {
        Place p = { .data = argv[1], .folder = argv[2] };
        Tree t;

        if (hex_decode(argv[3], 2 * sizeof(t.id), t.id) < 0)
                return 1;
        place_restart(&p, 0);
        int r = streq(argv[4], "restore") ? restore_r(&p, &t) : materialize_r(&p, p.folder, &t);
        p.manager = workspace_manager_free(p.manager);
        p.event = sd_event_unref(p.event);
        return r < 0 ? 1 : 0;
}

/* True if it was killed. */
static bool kill_after(pid_t pid, usec_t span) {
        struct timespec t = { .tv_sec = (time_t) (span / USEC_PER_SEC),
                              .tv_nsec = (long) (span % USEC_PER_SEC * NSEC_PER_USEC) };
        int status;

        (void) nanosleep(&t, NULL);
        (void) kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status))
                assert_int_equal(WEXITSTATUS(status), 0);
        return WIFSIGNALED(status);
}

static usec_t span_of_restore(Place *p, const char *folder, const Tree *t) {
        usec_t start = clock_monotonic();
        pid_t pid = start_restore(p, folder, t);
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        return clock_monotonic() - start;
}

static bool goes_on(unsigned round, unsigned rounds, unsigned n_recovered) {
        return round < rounds || (n_recovered < INTERRUPTED_MIN && round < 50 * rounds);
}

static unsigned recover(Place *p) {
        unsigned n;

        place_restart(p, 0);
        assert_int_equal(workspace_recover(p->manager, NULL, NULL, &n), 0);
        return n;
}

static void test_a_killed_restore_is_finished_by_recovery(void **state) {
        Place *p = *state;
        Two two = make_two(p);
        unsigned n_recovered = 0, now = 0;
        usec_t span = span_of_restore(p, NULL, &two.tree[1]);

        restore(p, &two.tree[0]);
        for (unsigned round = 0; goes_on(round, ROUNDS, n_recovered); round++) {
                unsigned wanted = !now;
                pid_t pid = start_restore(p, NULL, &two.tree[wanted]);
                bool killed = kill_after(pid, span * (round % 20) / 20);
                unsigned n = recover(p);

                _cleanup_free_ char *text = describe_state(p);
                n_recovered += n;
                /* without a note it had not begun, or was through */
                if (n > 0 || !killed || streq(text, two.text[wanted]))
                        now = wanted;
                assert_string_equal(text, two.text[now]);
                assert_int_equal(recover(p), 0);
        }
        print_message("%u restores were interrupted\n", n_recovered);
        assert_true(n_recovered >= INTERRUPTED_MIN);
        restore(p, &two.tree[0]);
        assert_trees_equal(take(p), two.tree[0]);
        free(two.text[0]);
        free(two.text[1]);
}

static void test_a_killed_materialize_leaves_an_empty_folder_or_a_whole_one(void **state) {
        Place *p = *state;
        _cleanup_free_ char *other = path_join(p->root, "other");
        unsigned n_recovered = 0;

        make_state(p, 'a');
        _cleanup_free_ char *whole = describe(p->folder);
        Tree t = take(p);
        usec_t span = span_of_restore(p, other, &t);
        for (unsigned round = 0; goes_on(round, ROUNDS / 2, n_recovered); round++) {
                assert_int_equal(fs_remove_tree(AT_FDCWD, other), 0);
                pid_t pid = start_restore(p, other, &t);
                bool killed = kill_after(pid, span * (round % 20) / 20);
                unsigned n = recover(p);

                n_recovered += n;
                if (killed && access(other, F_OK) < 0)
                        continue;
                _cleanup_free_ char *text = describe(other);
                assert_string_equal(text, n > 0 || (killed && *text == '\0') ? "" : whole);
        }
        print_message("%u were interrupted\n", n_recovered);
        assert_true(n_recovered >= INTERRUPTED_MIN);
}

/* ---- a full disk ---- */

static void test_a_restore_that_fails_leaves_the_folder_as_it_was(void **state) {
        Place *p = *state;
        struct rlimit unlimited, limited;
        uint32_t x = 1;
        size_t n = (size_t) 400 << 10;
        _cleanup_free_ char *data = malloc(n);

        for (size_t i = 0; i < n; i++)
                data[i] = (char) ((x = x * 1664525 + 1013904223) >> 24);
        put(p, "a", "one\n");
        put(p, "b", "only here\n");
        put_bytes(p, "large", data, n);
        put(p, "z/last", "one\n");
        Tree t = take(p);
        put(p, "a", "two\n");
        drop(p, "b");
        drop(p, "large");
        drop(p, "z");
        put(p, "new", "new\n");
        Tree now = take(p);
        _cleanup_free_ char *before = describe(p->folder);

        /* a file larger than the limit fails in the middle of the restore, with EFBIG */
        assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
        limited = (struct rlimit){ n / 2, unlimited.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limited), 0);
        int r = restore_r(p, &t);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
        assert_int_equal(r, -EFBIG);
        assert_non_null(strstr(p->result.message, "File too large"));
        _cleanup_free_ char *after = describe(p->folder);
        assert_string_equal(after, before);
        assert_trees_equal(take(p), now);
        assert_int_equal(recover(p), 0);
}

/* ---- an agent at work ---- */

typedef struct Agent {
        const Place *place;
        atomic_bool stop;
} Agent;

/* Swaps a folder and a link to the outside, again and again. */
static void *swap_links(void *userdata) {
        Agent *a = userdata;
        _cleanup_free_ char *folder = at(a->place, "sub"), *aside = at(a->place, "aside"),
                            *outside = path_join(a->place->root, "outside");

        while (!atomic_load(&a->stop)) {
                (void) rename(folder, aside);
                (void) !symlink(outside, folder);
                (void) unlink(folder);
                (void) rename(aside, folder);
        }
        return NULL;
}

static void test_swapping_folders_for_links_does_not_lead_a_restore_outside(void **state) {
        Place *p = *state;
        _cleanup_free_ char *outside = path_join(p->root, "outside"),
                            *victim = path_join(outside, "file0"), *text = NULL;
        Agent agent = { .place = p };
        Tree trees[2], last;
        pthread_t thread;

        assert_int_equal(mkdir(outside, 0755), 0);
        assert_int_equal(
                fs_write_file_atomic(AT_FDCWD, victim, "untouched\n", strlen("untouched\n"), 0644),
                0);
        for (unsigned i = 0; i < 2; i++) {
                for (unsigned k = 0; k < 30; k++) {
                        _cleanup_free_ char *path = str_printf("sub/file%u", k);
                        put(p, path, i == 0 ? "zero" : "one");
                }
                trees[i] = take(p);
        }
        assert_int_equal(pthread_create(&thread, NULL, swap_links, &agent), 0);
        for (unsigned round = 0; round < 40; round++) {
                (void) restore_r(p, &trees[round % 2]);
                (void) take_r(p, p->folder, &last);
        }
        atomic_store(&agent.stop, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(fs_read_file(AT_FDCWD, victim, 100, &text, NULL), 0);
        assert_string_equal(text, "untouched\n");
        assert_int_equal(count_names(outside), 1);
}

/* Appends to one file, makes and removes others. */
static void *write_files(void *userdata) {
        Agent *a = userdata;
        _cleanup_free_ char *log = at(a->place, "log"), *folder = at(a->place, "busy"),
                            *file = at(a->place, "busy/file");

        while (!atomic_load(&a->stop)) {
                _cleanup_close_ int fd = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
                assert(fd >= 0 && write(fd, "line\n", 5) == 5);
                (void) mkdir(folder, 0755);
                _cleanup_close_ int other =
                        open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
                assert(other >= 0);
                (void) unlink(file);
                (void) rmdir(folder);
        }
        return NULL;
}

static void test_a_busy_folder_can_be_recorded(void **state) {
        Place *p = *state;
        Agent agent = { .place = p };
        pthread_t thread;

        make_state(p, 'a');
        assert_int_equal(pthread_create(&thread, NULL, write_files, &agent), 0);
        for (unsigned round = 0; round < 40; round++) {
                (void) take(p);
                assert_in_range(p->result.files, N_FILES + 2, N_FILES + 4);
        }
        atomic_store(&agent.stop, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        (void) take(p);
        Tree t = take(p);
        _cleanup_free_ char *before = describe(p->folder);
        put(p, "log", "other\n");
        restore(p, &t);
        _cleanup_free_ char *after = describe(p->folder);
        assert_string_equal(after, before);
}

int main(int argc, char **argv) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_a_killed_restore_is_finished_by_recovery),
                TEST(test_a_killed_materialize_leaves_an_empty_folder_or_a_whole_one),
                TEST(test_a_restore_that_fails_leaves_the_folder_as_it_was),
                TEST(test_swapping_folders_for_links_does_not_lead_a_restore_outside),
                TEST(test_a_busy_folder_can_be_recorded),
        };

        if (argc == 5)
                return be_the_child(argv);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
