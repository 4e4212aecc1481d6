/* SPDX-License-Identifier: MIT */

/* The room with the real keeper, the real helper and real processes. This program is the daemon:
 * the keeper is started by the manager, as after a keeper's death. */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "sup/proc-internal.h"
#include "sup/test-rig.h"

static Rig rig;
static const char *cgroup_root; /* NULL or "none" */

static int set_up(void **state) {
        rig_open(&rig, cgroup_root, true);
        return 0;
}

static int tear_down(void **state) {
        rig_close(&rig);
        return 0;
}

/* Waits until the run has written this. */
static void wait_log(RigRun *r, const char *text) {
        for (;;) {
                _cleanup_free_ char *log = rig_log(&rig, r);
                if (strstr(log, text))
                        return;
                (void) sd_event_run(rig.event,
                                    10 * USEC_PER_MSEC); /* the keeper writes, unseen by our loop */
        }
}

static void test_exit_statuses_of_a_hundred_runs_each(void **state) {
        for (unsigned i = 0; i < 100; i++) {
                (void) rig_start(&rig, "{\"exec\":\"/bin/true\"}");
                (void) rig_start(&rig, "{\"exec\":[\"sh\",\"-c\",\"exit 37\"]}");
        }
        rig_wait(&rig, rig.n_ended == 200);
        for (unsigned i = 0; i < 200; i++) {
                RigRun *r = &rig.runs[i];
                assert_int_equal(r->n_started, 1);
                assert_int_equal(r->n_ended, 1);
                assert_int_equal(r->exit.result, i % 2 ? SUP_RESULT_EXIT_CODE : SUP_RESULT_SUCCESS);
                assert_int_equal(r->exit.exit_code, i % 2 ? 37 : 0);
                assert_int_equal(r->exit.leftovers, 0);
                assert_true(r->identity.pid > 0 && r->identity.start_time > 0);
                assert_int_equal(r->identity.cgroup_id != 0, sup_manager_has_cgroups(rig.manager));
        }
        assert_int_equal(sup_manager_n_alive(rig.manager), 0);
}

static void test_output_is_in_the_log_when_the_end_is_told(void **state) {
        for (unsigned i = 0; i < 20; i++) {
                RigRun *r = rig_start(&rig, "{\"exec\":[\"sh\",\"-c\",\"echo to out; echo to err >&2; "
                                            "printf 'no newline'\"]}");
                rig_wait(&rig, r->n_ended == 1);
                _cleanup_free_ char *log = rig_log(&rig, r);
                assert_non_null(strstr(log, "to out|"));
                assert_non_null(strstr(log, "to err|"));
                assert_non_null(strstr(log, "no newline|"));
        }
}

static void test_the_environment_is_clean_and_the_unit_wins(void **state) {
        assert_int_equal(setenv("ANTHROPIC_API_KEY", "secret", 1), 0);
        assert_int_equal(setenv("LC_TEST", "passed", 1), 0);
        RigRun *r = rig_start(
                &rig, "{\"exec\":\"env\",\"environment\":{\"MINE\":\"x y\",\"TERM\":\"vt100\"}}");
        rig_wait(&rig, r->n_ended == 1);
        _cleanup_free_ char *log = rig_log(&rig, r);
        assert_null(strstr(log, "secret"));
        assert_null(strstr(log, "AGENTD_KEEPER"));
        assert_non_null(strstr(log, "LC_TEST=passed|"));
        assert_non_null(strstr(log, "MINE=x y|"));
        assert_non_null(strstr(log, "TERM=vt100|"));
        assert_non_null(strstr(log, "PATH="));
        assert_non_null(strstr(log, "HOME="));
}

static void test_a_program_that_is_not_there_fails_with_its_name(void **state) {
        RigRun *r = rig_start(&rig, "{\"exec\":\"no-such-program-at-all\"}");
        rig_wait(&rig, r->n_ended == 1);
        assert_int_equal(r->n_started, 0);
        assert_int_equal(r->exit.result, SUP_RESULT_EXEC);
        assert_non_null(strstr(r->exit.reason, "no-such-program-at-all: No such file or directory"));
}

static void test_a_folder_that_is_not_there_fails_with_its_path(void **state) {
        RigRun *r = rig_add(&rig, "{\"exec\":\"/bin/true\",\"workspace\":\"/no/such/folder\"}");
        SupRunParams params = { .run = r->id, .session = 7, .spec = r->spec, .userdata = r };
        assert_int_equal(sup_run_start(rig.manager, &params, &r->run), 0);
        rig_wait(&rig, r->n_ended == 1);
        assert_int_equal(r->exit.result, SUP_RESULT_EXEC);
        assert_non_null(strstr(r->exit.reason, "/no/such/folder: No such file or directory"));
}

static void test_a_resumed_run_uses_the_resume_command(void **state) {
        RigRun *r = rig_add(&rig, "{\"exec\":\"false\",\"exec_resume\":\"echo resumed\"}");
        SupRunParams params = {
                .run = r->id, .session = 7, .spec = r->spec, .resume = true, .userdata = r
        };
        assert_int_equal(sup_run_start(rig.manager, &params, &r->run), 0);
        rig_wait(&rig, r->n_ended == 1);
        _cleanup_free_ char *log = rig_log(&rig, r);
        assert_string_equal(log, "resumed|");
        assert_int_equal(r->exit.result, SUP_RESULT_SUCCESS);
}

/* ---- stopping ---- */

static void test_a_stop_sends_the_units_signal(void **state) {
        RigRun *r = rig_start(
                &rig, "{\"exec\":[\"sh\",\"-c\",\"trap 'echo int; exit 4' INT; echo up; while :; do "
                      "sleep 0.01; done\"],\"kill_signal\":\"SIGINT\"}");
        wait_log(r, "up|");
        assert_int_equal(sup_run_stop(r->run), 0);
        assert_int_equal(sup_run_stop(r->run), 0);
        rig_wait(&rig, r->n_ended == 1);
        assert_int_equal(r->exit.result, SUP_RESULT_SUCCESS);
        assert_int_equal(r->exit.exit_code, 4);
        assert_true(r->exit.stop_was_asked);
        assert_false(r->exit.killed_after_timeout);
        wait_log(r, "int|");
}

static void test_an_agent_that_ignores_the_signal_is_killed_after_the_timeout(void **state) {
        RigRun *r = rig_start(
                &rig, "{\"exec\":[\"sh\",\"-c\",\"trap '' TERM; echo up; while :; do sleep 0.01; "
                      "done\"],\"timeout_stop_sec\":0.2}");
        wait_log(r, "up|");
        usec_t before = clock_monotonic();
        assert_int_equal(sup_run_stop(r->run), 0);
        rig_wait(&rig, r->n_ended == 1);
        assert_true(clock_monotonic() - before >= 200 * USEC_PER_MSEC);
        assert_true(r->exit.stop_was_asked);
        assert_true(r->exit.killed_after_timeout);
        assert_string_equal(r->exit.reason, "did not stop within 200ms and was killed");
        assert_int_equal(r->exit.result, SUP_RESULT_SUCCESS);
}

static void test_a_stop_right_after_the_start_ends_the_run(void **state) {
        for (unsigned i = 0; i < 50; i++) {
                RigRun *r = rig_start(&rig, "{\"exec\":\"sleep 1000\"}");
                rig_wait(&rig, sup_run_state(r->run) != SUP_RUN_QUEUED);
                assert_int_equal(sup_run_stop(r->run), 0);
                rig_wait(&rig, r->n_ended == 1);
                assert_true(r->exit.stop_was_asked);
                assert_false(r->exit.killed_after_timeout);
                assert_int_equal(r->exit.result, SUP_RESULT_SUCCESS);
        }
}

static void test_a_kill_right_after_the_start_ends_the_run(void **state) {
        for (unsigned i = 0; i < 50; i++) {
                RigRun *r = rig_start(&rig, "{\"exec\":\"sleep 1000\"}");
                rig_wait(&rig, sup_run_state(r->run) != SUP_RUN_QUEUED);
                assert_int_equal(sup_run_kill_tree(r->run), 0);
                rig_wait(&rig, r->n_ended == 1);
                assert_false(r->exit.stop_was_asked);
        }
}

static void test_signals_reach_the_leader(void **state) {
        RigRun *r = rig_start(
                &rig, "{\"exec\":[\"sh\",\"-c\",\"trap 'echo usr1; exit 9' USR1; echo up; while :; do "
                      "sleep 0.01; done\"]}");
        wait_log(r, "up|");
        rig_wait(&rig, r->n_started == 1); /* the news may come behind the output */
        assert_int_equal(sup_run_signal(r->run, SIGUSR1), 0);
        rig_wait(&rig, r->n_ended == 1);
        assert_int_equal(r->exit.exit_code, 9);
        assert_int_equal(r->exit.result, SUP_RESULT_EXIT_CODE);
}

/* The pid that a run wrote; a pidfd of it. */
static int open_written_pid(RigRun *r) {
        _cleanup_free_ char *log = rig_log(&rig, r);
        uint64_t pid;
        log[strcspn(log, "|")] = '\0';
        assert_int_equal(str_to_u64(log, &pid), 0);
        int fd = pidfd_open((pid_t) pid, 0);
        assert_true(fd >= 0);
        return fd;
}

static void test_what_outlives_its_leader_is_ended_and_counted_before_the_end_is_told(void **state) {
        RigRun *r = rig_start(&rig,
                              "{\"exec\":[\"sh\",\"-c\",\"setsid sh -c 'echo $$; exec sleep 1000' & "
                              "sleep 0.3; exit 3\"]}");
        wait_log(r, "|");
        _cleanup_close_ int pidfd = open_written_pid(r);
        rig_wait(&rig, r->n_ended == 1);
        assert_true(pidfd_has_exited(pidfd));
        assert_int_equal(r->exit.exit_code, 3);
        assert_false(r->exit.killed_after_timeout);
        if (!sup_manager_has_cgroups(rig.manager))
                return; /* there the helper ends them before it leaves */
        assert_int_equal(r->exit.leftovers, 1);
        assert_string_equal(r->exit.reason, "exit status 3; ended 1 left-over process: sleep");
}

static void test_the_rest_of_a_stopped_tree_has_until_the_timeout(void **state) {
        if (!sup_manager_has_cgroups(rig.manager))
                return;
        RigRun *r = rig_start(
                &rig,
                "{\"exec\":[\"sh\",\"-c\",\"sh -c \\\"trap '' TERM; echo up; exec sleep 1000\\\" & "
                "wait\"],\"timeout_stop_sec\":0.3}");
        wait_log(r, "up|");
        usec_t before = clock_monotonic();
        assert_int_equal(sup_run_stop(r->run), 0);
        rig_wait(&rig, r->n_ended == 1);
        assert_true(clock_monotonic() - before >= 300 * USEC_PER_MSEC);
        assert_true(r->exit.killed_after_timeout);
        assert_int_equal(r->exit.leftovers, 1);
}

static void test_a_run_that_runs_away_is_killed(void **state) {
        if (!sup_manager_has_cgroups(rig.manager))
                return;
        RigRun *r = rig_start(
                &rig,
                "{\"exec\":[\"sh\",\"-c\",\"echo up; f() { setsid sh -c \\\"$1\\\" x \\\"$1\\\" & }; f 'setsid "
                "sh -c \\\"$1\\\" x \\\"$1\\\" & exit'; sleep 1000\"]}");
        wait_log(r, "up|");
        assert_int_equal(sup_run_kill_tree(r->run), 0);
        rig_wait(&rig, r->n_ended == 1);
        assert_int_equal(r->exit.exit_signal, SIGKILL);
        assert_int_equal(r->exit.result, SUP_RESULT_SIGNAL);
}

/* ---- freezing ---- */

static void on_frozen(SupRun *run, int error, void *userdata) {
        RigRun *r = sup_run_userdata(run);
        assert_false(r->freeze_answered);
        r->freeze_answered = true;
        r->freeze_error = error;
}

static RigRun *start_frozen(void) {
        RigRun *r = rig_start(
                &rig, "{\"exec\":[\"sh\",\"-c\",\"echo up; while :; do sleep 0.01; done\"]}");
        wait_log(r, "up|"); /* may be there before the keeper's word that it runs */
        rig_wait(&rig, sup_run_state(r->run) == SUP_RUN_ALIVE);
        assert_int_equal(sup_run_freeze(r->run, on_frozen, NULL), 0);
        assert_false(r->freeze_answered);
        rig_wait(&rig, r->freeze_answered);
        assert_int_equal(r->freeze_error, 0);
        assert_int_equal(sup_run_state(r->run), SUP_RUN_FROZEN);
        return r;
}

static void test_a_frozen_run_is_thawed_and_stopped(void **state) {
        if (!sup_manager_has_cgroups(rig.manager))
                return;
        RigRun *r = start_frozen();
        assert_int_equal(sup_run_thaw(r->run), 0);
        assert_int_equal(sup_run_state(r->run), SUP_RUN_ALIVE);
        r->freeze_answered = false;
        assert_int_equal(sup_run_freeze(r->run, on_frozen, NULL), 0);
        rig_wait(&rig, r->freeze_answered);
        assert_int_equal(sup_run_stop(r->run), 0);
        rig_wait(&rig, r->n_ended == 1);
        assert_int_equal(r->exit.exit_signal, SIGTERM);
        assert_false(r->exit.killed_after_timeout);
}

static void test_a_frozen_run_can_be_killed(void **state) {
        if (!sup_manager_has_cgroups(rig.manager))
                return;
        RigRun *r = start_frozen();
        assert_int_equal(sup_run_kill_tree(r->run), 0);
        rig_wait(&rig, r->n_ended == 1);
        assert_int_equal(r->exit.exit_signal, SIGKILL);
}

static void test_a_freeze_is_answered_even_if_the_run_ends(void **state) {
        if (!sup_manager_has_cgroups(rig.manager))
                return;
        RigRun *r = rig_start(&rig, "{\"exec\":[\"sh\",\"-c\",\"echo up; exec sleep 1000\"]}");
        wait_log(r, "up|"); /* may be there before the keeper's word that it runs */
        rig_wait(&rig, sup_run_state(r->run) == SUP_RUN_ALIVE);
        assert_int_equal(sup_run_freeze(r->run, on_frozen, NULL), 0);
        if (sup_run_state(r->run) != SUP_RUN_FROZEN)
                assert_int_equal(sup_run_freeze(r->run, on_frozen, NULL), -EALREADY);
        assert_int_equal(sup_run_kill_tree(r->run), 0);
        rig_wait(&rig, r->n_ended == 1);
        assert_true(r->freeze_answered);
        assert_true(r->freeze_error == 0 || r->freeze_error == -ECANCELED);
}

static void test_without_cgroups_freezing_is_refused(void **state) {
        if (sup_manager_has_cgroups(rig.manager))
                return;
        RigRun *r = rig_start(&rig, "{\"exec\":\"sleep 1000\"}");
        rig_wait(&rig, r->n_started == 1);
        assert_int_equal(sup_run_freeze(r->run, on_frozen, NULL), -EOPNOTSUPP);
}

/* ---- figures ---- */

static void test_usage_counts_the_whole_tree(void **state) {
        RigRun *r = rig_start(
                &rig, "{\"exec\":[\"sh\",\"-c\",\"sleep 1000 & sleep 1000 & echo up; wait\"]}");
        SupUsage usage;

        wait_log(r, "up|"); /* may be there before the keeper's word that it runs */
        rig_wait(&rig, sup_run_state(r->run) == SUP_RUN_ALIVE);
        assert_int_equal(sup_run_usage(r->run, &usage), 0);
        assert_in_range(usage.tasks, 3, 4); /* without cgroups the helper counts too */
        assert_true(usage.memory_bytes > 100000);
        assert_true(usage.cpu_usec < 60 * USEC_PER_SEC);
}

static void test_a_cgroup_names_its_run(void **state) {
        if (!sup_manager_has_cgroups(rig.manager))
                return;
        RigRun *r = rig_start(&rig, "{\"exec\":\"sleep 1000\"}");
        rig_wait(&rig, r->n_started == 1);
        uint64_t id = r->identity.cgroup_id;
        assert_true(sup_manager_run_of_cgroup(rig.manager, id) == r->id);
        assert_int_equal(sup_manager_run_of_cgroup(rig.manager, id + 1000000), 0);
        assert_int_equal(sup_manager_run_of_cgroup(rig.manager, 0), 0);
        assert_int_equal(sup_run_kill_tree(r->run), 0);
        rig_wait(&rig, r->n_ended == 1);
        assert_int_equal(sup_manager_run_of_cgroup(rig.manager, id), 0);
}

/* ---- the keeper dies ---- */

static void kill_keeper(void) {
        pid_t pid = sup_manager_keeper_pid(rig.manager);
        assert_true(pid > 0);
        assert_int_equal(kill(pid, SIGKILL),
                         0); /* our child, reaped by the manager only from the loop */
}

static void test_runs_live_on_when_the_keeper_dies_and_their_statuses_are_right(void **state) {
        RigRun *r[10];
        unsigned ready = rig.n_ready;
        char json[256];

        for (unsigned i = 0; i < 10; i++) {
                (void) snprintf(
                        json, sizeof(json),
                        "{\"exec\":[\"sh\",\"-c\",\"trap 'echo bye; exit %u' TERM; echo up; while :; do "
                        "sleep 0.01; done\"]}",
                        20 + i);
                r[i] = rig_start(&rig, json);
        }
        for (unsigned i = 0; i < 10; i++)
                wait_log(r[i], "up|");
        for (unsigned round = 1; round <= 3; round++) {
                kill_keeper();
                rig_wait(&rig, rig.n_ready == ready + round);
        }
        assert_int_equal(rig.n_ended, 0);
        assert_int_equal(sup_manager_n_alive(rig.manager), 10);
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(sup_run_stop(r[i]->run), 0);
        rig_wait(&rig, rig.n_ended == 10);
        for (unsigned i = 0; i < 10; i++) {
                _cleanup_free_ char *log = rig_log(&rig, r[i]);
                assert_int_equal(r[i]->n_started, 1);
                assert_int_equal(r[i]->n_ended, 1);
                assert_int_equal(r[i]->exit.exit_code, 20 + i);
                assert_string_equal(log, "up|bye|");
        }
        RigRun *after = rig_start(&rig, "{\"exec\":\"/bin/true\"}");
        rig_wait(&rig, after->n_ended == 1);
        assert_int_equal(after->exit.result, SUP_RESULT_SUCCESS);
}

static void test_an_end_without_a_keeper_is_known_and_its_output_is_kept(void **state) {
        RigRun *r = rig_start(
                &rig,
                "{\"exec\":[\"sh\",\"-c\",\"trap 'echo last words; exit 33' USR1; echo up; while :; do "
                "sleep 0.01; done\"]}");
        unsigned ready = rig.n_ready;

        wait_log(r, "up|");
        _cleanup_close_ int pidfd = pidfd_open(r->identity.pid, 0);
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        kill_keeper();
        assert_int_equal(pidfd_send_signal(pidfd, SIGUSR1, NULL, 0), 0);
        assert_int_equal(poll(&p, 1, 30000), 1); /* it is gone before our loop has noticed anything */
        rig_wait(&rig, rig.n_ready == ready + 1 && r->n_ended == 1);
        assert_int_equal(r->exit.exit_code, 33);
        assert_int_equal(r->exit.result, SUP_RESULT_EXIT_CODE);
        _cleanup_free_ char *log = rig_log(&rig, r);
        assert_string_equal(log, "up|last words|");
}

static void check_told_once(const RigRun *r) {
        assert_int_equal(r->n_ended, 1);
        assert_true(r->n_started <= 1);
        /* The status, or the truth that it is not known; never a guess. */
        if (r->exit.result == SUP_RESULT_EXIT_CODE)
                assert_int_equal(r->exit.exit_code, 5);
        else
                assert_true(r->exit.result == SUP_RESULT_LOST ||
                            r->exit.result == SUP_RESULT_UNKNOWN);
}

static void test_ends_are_told_once_when_the_keeper_dies_at_any_moment(void **state) {
        for (unsigned round = 0; round < 15; round++) {
                for (unsigned i = 0; i < 8; i++)
                        (void) rig_start(&rig, "{\"exec\":[\"sh\",\"-c\",\"exit 5\"]}");
                for (unsigned turn = 0; turn < round; turn++)
                        (void) sd_event_run(rig.event, 0);
                kill_keeper();
                rig_wait(&rig, rig.n_ended == 8 && rig.n_ready == 2);
                for (unsigned i = 0; i < rig.n_runs; i++)
                        check_told_once(&rig.runs[i]);
                rig_close(&rig); /* a keeper that dies again and again is started ever more slowly */
                rig_open(&rig, cgroup_root, true);
        }
}

static void test_a_stop_goes_on_when_the_keeper_dies(void **state) {
        RigRun *r = rig_start(
                &rig, "{\"exec\":[\"sh\",\"-c\",\"trap '' TERM; echo up; while :; do sleep 0.01; "
                      "done\"],\"timeout_stop_sec\":0.5}");
        wait_log(r, "up|");
        assert_int_equal(sup_run_stop(r->run), 0);
        kill_keeper();
        rig_wait(&rig, r->n_ended == 1);
        assert_true(r->exit.killed_after_timeout);
        assert_int_equal(r->exit.exit_signal, SIGKILL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_exit_statuses_of_a_hundred_runs_each),
                TEST(test_output_is_in_the_log_when_the_end_is_told),
                TEST(test_the_environment_is_clean_and_the_unit_wins),
                TEST(test_a_program_that_is_not_there_fails_with_its_name),
                TEST(test_a_folder_that_is_not_there_fails_with_its_path),
                TEST(test_a_resumed_run_uses_the_resume_command),
                TEST(test_a_stop_sends_the_units_signal),
                TEST(test_an_agent_that_ignores_the_signal_is_killed_after_the_timeout),
                TEST(test_a_stop_right_after_the_start_ends_the_run),
                TEST(test_a_kill_right_after_the_start_ends_the_run),
                TEST(test_signals_reach_the_leader),
                TEST(test_what_outlives_its_leader_is_ended_and_counted_before_the_end_is_told),
                TEST(test_the_rest_of_a_stopped_tree_has_until_the_timeout),
                TEST(test_a_run_that_runs_away_is_killed),
                TEST(test_a_frozen_run_is_thawed_and_stopped),
                TEST(test_a_frozen_run_can_be_killed),
                TEST(test_a_freeze_is_answered_even_if_the_run_ends),
                TEST(test_without_cgroups_freezing_is_refused),
                TEST(test_usage_counts_the_whole_tree),
                TEST(test_a_cgroup_names_its_run),
                TEST(test_runs_live_on_when_the_keeper_dies_and_their_statuses_are_right),
                TEST(test_an_end_without_a_keeper_is_known_and_its_output_is_kept),
                TEST(test_ends_are_told_once_when_the_keeper_dies_at_any_moment),
                TEST(test_a_stop_goes_on_when_the_keeper_dies),
        };
        int r = 0;
        if (rig_has_cgroups())
                r = cmocka_run_group_tests_name("with cgroups", tests, NULL, NULL);
        cgroup_root = "none";
        return r + cmocka_run_group_tests_name("without cgroups", tests, NULL, NULL);
}
