/* SPDX-License-Identifier: MIT */

/* On the machine's real cgroup v2; skipped, with the reason, where none is writable. */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/wait.h>

#include "base/id.h"
#include "sup/cgroup-internal.h"
#include "sup/proc-internal.h"
#include "sup/test-rig.h"

static Cgroups *cgroups;
static char *folder;

static int set_up(void **state) {
        const char *why = "";
        folder = test_folder();
        return cgroups_open(&cgroups, NULL, folder, &why);
}

static int tear_down(void **state) {
        _cleanup_free_ char *root = strdup(cgroups->path);
        cgroups = cgroups_free(cgroups);
        test_folder_done(&folder);
        return access(root, F_OK) < 0 ? 0 : -1; /* an empty root is tidied away */
}

/* A child in the cgroup that runs fn; it has joined when this returns. */
static pid_t fork_into(const char *path, void (*fn)(void)) {
        int joined[2];
        char byte;

        assert_int_equal(pipe2(joined, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                _cleanup_free_ char *procs = path_join(path, "cgroup.procs");
                if (fs_write_attribute(AT_FDCWD, procs, "0") < 0)
                        _exit(126);
                (void) close(joined[0]);
                (void) close(joined[1]);
                fn();
                _exit(0);
        }
        (void) close(joined[1]);
        assert_int_equal(read(joined[0], &byte, 1), 0);
        (void) close(joined[0]);
        return pid;
}

static _Noreturn void wait_for_ever(void) {
        for (;;)
                (void) pause();
}

/* Each generation leaves its session and its parent behind. */
static _Noreturn void run_away(void) {
        for (;;) {
                if (fork() > 0)
                        _exit(0);
                (void) setsid();
        }
}

/* Until cgroup.events says so. */
static void wait_event(const char *path, int (*get)(const char *path), int value) {
        _cleanup_free_ char *events = path_join(path, "cgroup.events");
        _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC);
        char buffer[4096];

        assert_true(inotify_add_watch(fd, events, IN_MODIFY) >= 0);
        while (get(path) != value)
                assert_true(read(fd, buffer, sizeof(buffer)) > 0);
}

static char *fresh(uint64_t *ret_run) {
        uint64_t id, again;
        *ret_run = id_new();
        char *path = cgroup_run_path(cgroups, *ret_run);
        assert_int_equal(cgroup_create(path, &id), 0);
        assert_int_equal(cgroup_id(path, &again), 0);
        assert_int_equal(id, again);
        return path;
}

static void test_roots_of_two_runtime_folders_differ(void **state) {
        _cleanup_(cgroups_freep) Cgroups *other = NULL, *same = NULL;
        _cleanup_folder_ char *second = test_folder();
        const char *why = "";

        assert_int_equal(cgroups_open(&other, NULL, second, &why), 0);
        assert_int_equal(cgroups_open(&same, NULL, folder, &why), 0);
        assert_string_not_equal(other->path, cgroups->path);
        assert_string_equal(same->path, cgroups->path);
}

static void test_a_fresh_cgroup_is_empty_and_made_once(void **state) {
        uint64_t run, id;
        _cleanup_free_ char *path = fresh(&run);
        assert_int_equal(cgroup_populated(path), 0);
        assert_int_equal(cgroup_create(path, &id), -EEXIST);
        assert_int_equal(cgroup_run_of_path(path), run);
        assert_int_equal(cgroup_remove(path), 0);
        assert_int_equal(cgroup_remove(path), 0);
        assert_int_equal(cgroup_populated(path), 0);
        assert_int_equal(cgroup_kill(path), 0);
        assert_int_equal(cgroup_id(path, &id), -ENOENT);
}

static void test_freezing_and_thawing_are_confirmed(void **state) {
        uint64_t run;
        _cleanup_free_ char *path = fresh(&run);
        pid_t pid = fork_into(path, wait_for_ever);

        assert_true(cgroups->can_freeze);
        assert_int_equal(cgroup_frozen(path), 0);
        assert_int_equal(cgroup_freeze(path, true), 0);
        wait_event(path, cgroup_frozen, 1);
        assert_int_equal(cgroup_freeze(path, false), 0);
        wait_event(path, cgroup_frozen, 0);
        assert_int_equal(cgroup_freeze(path, true), 0);
        assert_int_equal(cgroup_kill(path), 0); /* reaches the frozen too */
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        wait_event(path, cgroup_populated, 0);
        assert_int_equal(cgroup_remove(path), 0);
}

static void test_nothing_outruns_the_kill(void **state) {
        for (unsigned i = 0; i < 20; i++) {
                uint64_t run;
                _cleanup_free_ char *path = fresh(&run);
                pid_t pid = fork_into(path, run_away);
                assert_int_equal(waitpid(pid, NULL, 0), pid); /* its children go on */
                assert_int_equal(cgroup_kill(path), 0);
                wait_event(path, cgroup_populated, 0);
                assert_int_equal(cgroup_remove(path), 0);
        }
}

static void test_a_populated_cgroup_is_not_removed(void **state) {
        uint64_t run;
        _cleanup_free_ char *path = fresh(&run);
        pid_t pid = fork_into(path, wait_for_ever);

        assert_int_equal(cgroup_populated(path), 1);
        assert_int_equal(cgroup_remove(path), -EBUSY);
        assert_int_equal(cgroup_kill(path), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        wait_event(path, cgroup_populated, 0);
        assert_int_equal(cgroup_remove(path), 0);
}

static void test_processes_below_are_found_and_zombies_are_not(void **state) {
        uint64_t run, id;
        _cleanup_free_ char *path = fresh(&run), *below = path_join(path, "own");
        pid_t pids[8];

        assert_int_equal(cgroup_create(below, &id), 0);
        pid_t a = fork_into(path, wait_for_ever), b = fork_into(below, wait_for_ever);
        assert_int_equal(cgroup_pids(path, 0, pids, 8), 2);
        assert_int_equal(cgroup_pids(path, a, pids, 8), 1);
        assert_int_equal(pids[0], b);
        assert_int_equal(cgroup_contains(path, id), 1);
        assert_int_equal(cgroup_contains(below, id), 0);
        assert_int_equal(cgroup_contains(path, 1), 0);
        assert_int_equal(cgroup_kill(path), 0);
        wait_event(path, cgroup_populated, 0);
        assert_int_equal(cgroup_pids(path, 0, pids, 8), 0); /* both are zombies of ours */
        assert_int_equal(waitpid(a, NULL, 0), a);
        assert_int_equal(waitpid(b, NULL, 0), b);
        assert_int_equal(cgroup_remove(path), 0);
}

static int note_run(uint64_t run, void *userdata) {
        *(uint64_t *) userdata += run;
        return 0;
}

static void test_runs_are_enumerated_and_other_folders_are_not(void **state) {
        uint64_t a, b, sum = 0;
        _cleanup_free_ char *first = fresh(&a), *second = fresh(&b);
        _cleanup_free_ char *other = path_join(cgroups->path, "run-nonsense");
        uint64_t id;
        unsigned n;

        assert_int_equal(cgroup_create(other, &id), 0);
        assert_int_equal(cgroups_enumerate(cgroups, note_run, &sum), 0);
        assert_true(sum == a + b);
        assert_int_equal(cgroups_count(cgroups, &n), 0);
        assert_int_equal(n, 3);
        assert_int_equal(cgroup_remove(first), 0);
        assert_int_equal(cgroup_remove(second), 0);
        assert_int_equal(cgroup_remove(other), 0);
}

static void test_a_process_tells_its_run(void **state) {
        _cleanup_free_ char *in_proc = NULL, *full = NULL;
        uint64_t run;
        _cleanup_free_ char *path = fresh(&run);
        pid_t pid = fork_into(path, wait_for_ever);

        assert_int_equal(proc_cgroup(pid, &in_proc), 0);
        assert_true(cgroup_run_of_path(in_proc) == run);
        assert_int_equal(cgroup_find_of_pid(pid, &full), 0);
        assert_string_equal(full, path);
        assert_int_equal(cgroup_kill(path), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        wait_event(path, cgroup_populated, 0);
        assert_int_equal(cgroup_remove(path), 0);
}

static void test_paths_name_runs_only_by_whole_components(void **state) {
        char path[] = "/a/run-0000000000000010/x/y", none[] = "/a/run-10/x";
        assert_int_equal(cgroup_run_of_path("/run-0000000000000010"), 16);
        assert_int_equal(cgroup_run_of_path("/run-00000000000000100"), 0);
        assert_int_equal(cgroup_run_of_path("/xrun-0000000000000010"), 0);
        assert_int_equal(cgroup_run_of_path("/run-zzzz/run-0000000000000011\n"), 17);
        assert_int_equal(cgroup_run_of_path("/"), 0);
        assert_int_equal(cgroup_cut_to_run(path), 0);
        assert_string_equal(path, "/a/run-0000000000000010");
        assert_int_equal(cgroup_cut_to_run(none), -ENOENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest anywhere[] = {
                cmocka_unit_test(test_paths_name_runs_only_by_whole_components),
        };
        const struct CMUnitTest tests[] = {
                TEST(test_roots_of_two_runtime_folders_differ),
                TEST(test_a_fresh_cgroup_is_empty_and_made_once),
                TEST(test_freezing_and_thawing_are_confirmed),
                TEST(test_nothing_outruns_the_kill),
                TEST(test_a_populated_cgroup_is_not_removed),
                TEST(test_processes_below_are_found_and_zombies_are_not),
                TEST(test_runs_are_enumerated_and_other_folders_are_not),
                TEST(test_a_process_tells_its_run),
        };
        int r = cmocka_run_group_tests(anywhere, NULL, NULL);
        if (r != 0 || !rig_has_cgroups())
                return r;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
