/* SPDX-License-Identifier: MIT */

/* The manager against a keeper that the test plays: orders of packets that a real one produces once
 * in a million runs. */

#include <signal.h>
#include <sys/wait.h>

#include "exec/job.h"
#include "keeper/message.h"
#include "sup/sup-internal.h"
#include "sup/test-rig.h"

static Rig rig;

static int set_up(void **state) {
        rig_open(&rig, "none", false);
        return 0;
}

static int tear_down(void **state) {
        rig_close(&rig);
        return 0;
}

static void ready(unsigned max_runs) {
        rig_hello(&rig, max_runs);
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_SLOTS_END });
        rig_wait(&rig, rig.n_ready == 1);
}

/* A process of ours that the played keeper says is the agent. */
static pid_t fork_agent(void) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                for (;;)
                        (void) pause();
        }
        return pid;
}

static KeeperSlot slot_of(const RigRun *r, pid_t pid, KeeperRunState run_state) {
        KeeperSlot slot = { .run = r->id, .pid = pid, .state = run_state, .exit_code = -1 };
        int fd;
        if (pid > 0) {
                assert_int_equal(proc_open(pid, &fd, &slot.pidfd_id, &slot.start_time), 0);
                (void) close(fd);
        }
        return slot;
}

static void say_started(const RigRun *r, pid_t pid) {
        rig_send(&rig,
                 &(KeeperMsg){ .type = KEEPER_STARTED, .slot = slot_of(r, pid, KEEPER_RUN_ALIVE) });
}

static void say_exited(const RigRun *r, int code, int signo, KeeperExitSource source) {
        KeeperSlot slot = { .run = r->id,
                            .pid = 1,
                            .state = KEEPER_RUN_EXITED,
                            .exit_code = code,
                            .exit_signal = signo,
                            .exit_source = source };
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_EXITED, .slot = slot });
}

static void end_agent(pid_t pid) {
        (void) kill(pid, SIGKILL); /* our own child, not reaped yet */
        (void) waitpid(pid, NULL, 0);
}

/* ---- the table ---- */

static void test_only_transitions_of_the_table_are_allowed(void **state) {
        /* Rows: from, columns: to, in the order of SupRunState. */
        static const char *const table[_SUP_RUN_STATE_MAX] = {
                [SUP_RUN_QUEUED] = ".S...KE",   [SUP_RUN_SPAWNING] = "..A.TKE",
                [SUP_RUN_ALIVE] = "...FTKE",    [SUP_RUN_FROZEN] = "..A.TKE",
                [SUP_RUN_STOPPING] = ".....KE", [SUP_RUN_KILLING] = "......E",
                [SUP_RUN_ENDED] = ".......",
        };
        for (int from = 0; from < _SUP_RUN_STATE_MAX; from++) {
                assert_int_equal(strlen(table[from]), _SUP_RUN_STATE_MAX);
                for (int to = 0; to < _SUP_RUN_STATE_MAX; to++)
                        assert_int_equal(sup_run_may_become((SupRunState) from, (SupRunState) to),
                                         table[from][to] != '.');
        }
}

static void test_every_state_and_result_has_a_name(void **state) {
        for (int s = 0; s < _SUP_RUN_STATE_MAX; s++)
                assert_non_null(sup_run_state_to_string((SupRunState) s));
        for (int r = 0; r < _SUP_RESULT_MAX; r++)
                assert_non_null(sup_result_to_string((SupResult) r));
}

/* ---- starts ---- */

static void test_nothing_starts_before_the_keeper_has_listed_its_slots(void **state) {
        RigRun *r = rig_start(&rig, "{\"exec\":\"/bin/true\"}");
        rig_hello(&rig, 10);
        rig_wait(&rig, sup_manager_keeper_pid(rig.manager) != 0);
        while (sd_event_run(rig.event, 0) > 0)
                ;
        assert_false(rig_pending(&rig));
        assert_int_equal(sup_run_state(r->run), SUP_RUN_QUEUED);
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_SLOTS_END });
        assert_int_equal(rig_expect(&rig, KEEPER_SPAWN).run.run, r->id);
}

static void test_a_full_keeper_leaves_runs_in_the_queue(void **state) {
        RigRun *r[3];

        ready(2);
        for (unsigned i = 0; i < 3; i++)
                r[i] = rig_start(&rig, "{\"exec\":\"/bin/true\"}");
        (void) rig_expect(&rig, KEEPER_SPAWN);
        (void) rig_expect(&rig, KEEPER_SPAWN);
        while (sd_event_run(rig.event, 0) > 0)
                ;
        assert_int_equal(sup_run_state(r[2]->run), SUP_RUN_QUEUED);
        assert_false(rig_pending(&rig));
        say_exited(r[0], 0, 0, KEEPER_EXIT_REAPED);
        assert_int_equal(rig_expect(&rig, KEEPER_FREE).run.run, r[0]->id);
        assert_int_equal(rig_expect(&rig, KEEPER_SPAWN).run.run, r[2]->id);
}

static void test_a_start_that_takes_too_long_is_ended_as_timeout(void **state) {
        ready(10);
        RigRun *r = rig_start(&rig, "{\"exec\":\"/bin/true\",\"timeout_start_sec\":0.05}");
        (void) rig_expect(&rig, KEEPER_SPAWN);
        KeeperMsg msg = rig_expect(&rig, KEEPER_SIGNAL);
        assert_int_equal(msg.signal.run, r->id);
        assert_int_equal(r->n_ended, 0);
        say_exited(r, -1, SIGKILL, KEEPER_EXIT_REAPED);
        rig_wait(&rig, r->n_ended == 1);
        assert_int_equal(r->exit.result, SUP_RESULT_TIMEOUT);
        assert_string_equal(r->exit.reason, "did not start within 50ms");
}

static void test_a_failed_step_is_told_with_its_path_and_error(void **state) {
        ready(10);
        RigRun *r = rig_start(&rig, "{\"exec\":\"/no/such/program\"}");
        (void) rig_expect(&rig, KEEPER_SPAWN);
        rig_send(&rig,
                 &(KeeperMsg){
                         .type = KEEPER_FAILED,
                         .failed = { .run = r->id, .step = EXEC_STEP_PROGRAM, .error = ENOENT } });
        assert_int_equal(rig_expect(&rig, KEEPER_FREE).run.run, r->id);
        assert_int_equal(r->n_ended, 1);
        assert_int_equal(r->n_started, 0);
        assert_int_equal(r->exit.result, SUP_RESULT_EXEC);
        assert_non_null(strstr(r->exit.reason, "/no/such/program: No such file or directory"));
}

static void test_a_queued_run_that_is_stopped_ends_from_the_loop(void **state) {
        RigRun *r = rig_start(&rig, "{\"exec\":\"/bin/true\"}");
        assert_int_equal(sup_run_stop(r->run), 0);
        assert_int_equal(sup_run_stop(r->run), 0);
        assert_int_equal(r->n_ended, 0);
        rig_wait(&rig, r->n_ended > 0);
        while (sd_event_run(rig.event, 0) > 0)
                ;
        assert_int_equal(r->n_ended, 1);
        assert_int_equal(r->n_started, 0);
        assert_int_equal(r->exit.result, SUP_RESULT_SUCCESS);
        assert_true(r->exit.stop_was_asked);
}

static void test_a_run_exists_once(void **state) {
        RigRun *r = rig_start(&rig, "{\"exec\":\"/bin/true\"}");
        SupRunParams params = { .run = r->id, .session = 1, .spec = r->spec };
        SupRun *second = NULL;
        assert_int_equal(sup_run_start(rig.manager, &params, &second), -EEXIST);
        assert_null(second);
        assert_ptr_equal(sup_run_find(rig.manager, r->id), r->run);
        assert_null(sup_run_find(rig.manager, r->id + 1));
}

/* ---- the course of a run ---- */

static void test_the_end_is_told_once_whatever_comes_twice(void **state) {
        ready(10);
        RigRun *r = rig_start(&rig, "{\"exec\":\"/bin/true\"}");
        pid_t pid = fork_agent();

        r->keep = true;
        (void) rig_expect(&rig, KEEPER_SPAWN);
        say_started(r, pid);
        say_started(r, pid);
        say_exited(r, 37, 0, KEEPER_EXIT_REAPED);
        say_exited(r, 1, 0, KEEPER_EXIT_REAPED);
        rig_wait(&rig, r->n_ended > 0);
        while (sd_event_run(rig.event, 0) > 0)
                ;
        assert_int_equal(r->n_started, 1);
        assert_int_equal(r->n_ended, 1);
        assert_int_equal(r->exit.result, SUP_RESULT_EXIT_CODE);
        assert_int_equal(r->exit.exit_code, 37);
        assert_string_equal(r->exit.reason, "exit status 37");
        assert_false(rig_pending(&rig)); /* FREE only after the commit */
        sup_run_release(TAKE_PTR(r->run));
        assert_int_equal(rig_expect(&rig, KEEPER_FREE).run.run, r->id);
        end_agent(pid);
}

static void test_a_status_that_the_keeper_missed_is_read_by_our_own_pidfd(void **state) {
        ready(10);
        RigRun *r = rig_start(&rig, "{\"exec\":\"/bin/true\"}");
        pid_t pid = fork_agent();

        (void) rig_expect(&rig, KEEPER_SPAWN);
        say_started(r, pid);
        rig_wait(&rig, r->n_started == 1);
        assert_int_equal(sup_run_pid(r->run), pid);
        assert_int_equal(sup_run_signal(r->run, SIGUSR1), 0); /* kills it: nobody handles it */
        (void) waitpid(pid, NULL, 0);
        assert_int_equal(sup_run_signal(r->run, SIGUSR1), -ESRCH);
        say_exited(r, -1, 0, KEEPER_EXIT_UNKNOWN);
        rig_wait(&rig, r->n_ended == 1);
        if (r->exit.result == SUP_RESULT_UNKNOWN)
                return; /* a kernel before 6.15: not known, and not guessed */
        assert_int_equal(r->exit.result, SUP_RESULT_SIGNAL);
        assert_int_equal(r->exit.exit_signal, SIGUSR1);
}

static void test_a_wrong_identity_is_never_signalled(void **state) {
        ready(10);
        RigRun *r = rig_start(&rig, "{\"exec\":\"/bin/true\"}");
        pid_t pid = fork_agent();
        KeeperSlot slot = slot_of(r, pid, KEEPER_RUN_ALIVE);

        slot.start_time++; /* the same number, another process */
        (void) rig_expect(&rig, KEEPER_SPAWN);
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_STARTED, .slot = slot });
        rig_wait(&rig, r->n_started == 1);
        assert_int_equal(sup_run_stop(r->run), 0);
        assert_int_equal(rig_expect(&rig, KEEPER_SIGNAL).signal.signo, SIGTERM);
        assert_int_equal(rig_expect(&rig, KEEPER_SIGNAL).signal.signo, SIGCONT);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        end_agent(pid);
}

static void test_exit_statuses_become_results(void **state) {
        static const struct {
                const char *json;
                int code, signo;
                KeeperExitSource source;
                SupResult result;
        } cases[] = {
                { "{\"exec\":\"x\"}", 0, 0, KEEPER_EXIT_REAPED, SUP_RESULT_SUCCESS },
                { "{\"exec\":\"x\"}", 1, 0, KEEPER_EXIT_PIDFD, SUP_RESULT_EXIT_CODE },
                { "{\"exec\":\"x\"}", -1, SIGSEGV, KEEPER_EXIT_ZOMBIE, SUP_RESULT_SIGNAL },
                { "{\"exec\":\"x\"}", -1, 0, KEEPER_EXIT_UNKNOWN, SUP_RESULT_UNKNOWN },
                { "{\"exec\":\"x\",\"success_exit_status\":3}", 3, 0, KEEPER_EXIT_REAPED,
                  SUP_RESULT_SUCCESS },
                { "{\"exec\":\"x\",\"success_exit_status\":\"SIGHUP\"}", -1, SIGHUP,
                  KEEPER_EXIT_REAPED, SUP_RESULT_SUCCESS },
        };
        ready(10);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RigRun *r = rig_start(&rig, cases[i].json);
                (void) rig_expect(&rig, KEEPER_SPAWN);
                say_exited(r, cases[i].code, cases[i].signo, cases[i].source);
                rig_wait(&rig, r->n_ended == 1);
                assert_int_equal(r->exit.result, cases[i].result);
                assert_int_equal(r->exit.exit_signal, cases[i].signo);
                (void) rig_expect(&rig, KEEPER_FREE);
        }
}

static void test_terminate_is_passed_on(void **state) {
        ready(10);
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_TERMINATE });
        rig_wait(&rig, rig.n_terminate == 1);
}

static void test_a_keeper_of_another_version_ends_the_daemon(void **state) {
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_HELLO, .hello.version = 99 });
        assert_int_equal(sd_event_loop(rig.event), -EPROTONOSUPPORT);
}

/* ---- what is expected and what is not ---- */

static RigRun *expect_run(pid_t pid, bool stop_asked) {
        RigRun *r = rig_add(&rig, "{\"exec\":\"/bin/true\"}");
        SupRunParams params = { .run = r->id, .session = 7, .spec = r->spec, .userdata = r };
        SupIdentity id = {};

        if (pid > 0) {
                KeeperSlot slot = slot_of(r, pid, KEEPER_RUN_ALIVE);
                id = (SupIdentity){ .pid = pid,
                                    .pidfd_id = slot.pidfd_id,
                                    .start_time = slot.start_time };
                assert_int_equal(proc_boot_id(id.boot_id), 0);
        }
        assert_int_equal(sup_run_expect(rig.manager, &params, &id, stop_asked, false, &r->run), 0);
        return r;
}

static void test_an_exit_that_the_last_daemon_missed_is_told(void **state) {
        pid_t pid = fork_agent();
        RigRun *known = expect_run(pid, false), *fresh = expect_run(0, false);

        rig_hello(&rig, 10);
        KeeperSlot slot = { .run = known->id, .pid = pid, .state = KEEPER_RUN_EXITED, .exit_code = 5 };
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_SLOT, .slot = slot });
        slot.run = fresh->id;
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_SLOT, .slot = slot });
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_SLOTS_END });
        rig_wait(&rig, rig.n_ended == 2);
        assert_int_equal(known->n_started, 0); /* was told to the daemon before */
        assert_int_equal(fresh->n_started, 1);
        assert_int_equal(known->exit.exit_code, 5);
        assert_int_equal(fresh->exit.exit_code, 5);
        end_agent(pid);
}

static void test_a_living_slot_is_adopted(void **state) {
        pid_t pid = fork_agent();
        RigRun *r = expect_run(pid, false);

        rig_hello(&rig, 10);
        rig_send(&rig,
                 &(KeeperMsg){ .type = KEEPER_SLOT, .slot = slot_of(r, pid, KEEPER_RUN_ALIVE) });
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_SLOTS_END });
        rig_wait(&rig, rig.n_ready == 1);
        assert_int_equal(sup_run_state(r->run), SUP_RUN_ALIVE);
        assert_int_equal(r->n_started, 0);
        assert_int_equal(sup_manager_n_alive(rig.manager), 1);
        end_agent(pid);
}

static void test_a_stop_that_was_under_way_goes_on(void **state) {
        pid_t pid = fork_agent();
        RigRun *r = expect_run(pid, true);
        int status;

        rig_hello(&rig, 10);
        rig_send(&rig,
                 &(KeeperMsg){ .type = KEEPER_SLOT, .slot = slot_of(r, pid, KEEPER_RUN_ALIVE) });
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_SLOTS_END });
        rig_wait(&rig, rig.n_ready == 1);
        assert_int_equal(sup_run_state(r->run), SUP_RUN_STOPPING);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WTERMSIG(status), SIGTERM);
}

static void test_a_living_run_without_a_slot_is_given_to_the_keeper(void **state) {
        pid_t pid = fork_agent();
        RigRun *r = expect_run(pid, false);

        ready(10);
        KeeperMsg msg = rig_expect(&rig, KEEPER_ADOPT);
        assert_int_equal(msg.adopt.run, r->id);
        assert_int_equal(msg.adopt.pid, pid);
        assert_int_equal(sup_run_state(r->run), SUP_RUN_ALIVE);
        assert_int_equal(r->n_started, 0);
        end_agent(pid);
}

static void test_a_reused_pid_is_neither_adopted_nor_signalled(void **state) {
        pid_t pid = fork_agent();
        RigRun *r[3];

        for (unsigned i = 0; i < 3; i++) {
                r[i] = expect_run(pid, true);
                if (i == 0)
                        r[i]->run->identity.start_time--;
                else if (i == 1)
                        r[i]->run->identity.pidfd_id++;
                else
                        r[i]->run->identity.boot_id[0] ^= 1;
        }
        ready(10);
        rig_wait(&rig, rig.n_ended == 3);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(r[i]->exit.exit_code, -1);
        assert_false(rig_pending(&rig)); /* no ADOPT, no SIGNAL */
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        end_agent(pid);
}

static void test_a_run_without_any_trace_is_lost(void **state) {
        RigRun *r = expect_run(0, false);
        ready(10);
        rig_wait(&rig, r->n_ended == 1);
        assert_int_equal(r->exit.result, SUP_RESULT_LOST);
        assert_int_equal(r->n_started, 0);
}

static void test_a_failed_start_is_told_to_the_next_daemon(void **state) {
        RigRun *r = expect_run(0, false);
        KeeperSlot slot = { .run = r->id, .state = KEEPER_RUN_FAILED, .exit_code = -1 };

        rig_hello(&rig, 10);
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_SLOT, .slot = slot });
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_SLOTS_END });
        rig_send(&rig,
                 &(KeeperMsg){ .type = KEEPER_FAILED,
                               .failed = { .run = r->id, .step = EXEC_STEP_NICE, .error = EPERM } });
        rig_wait(&rig, r->n_ended == 1);
        assert_int_equal(r->exit.result, SUP_RESULT_EXEC);
        assert_non_null(strstr(r->exit.reason, "Operation not permitted"));
}

static void test_a_slot_that_nobody_expects_is_killed_and_freed(void **state) {
        RigRun nobody = { .id = 4711 };
        pid_t pid = fork_agent();

        rig_hello(&rig, 10);
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_SLOT,
                                     .slot = slot_of(&nobody, pid, KEEPER_RUN_ALIVE) });
        rig_send(&rig, &(KeeperMsg){ .type = KEEPER_SLOTS_END });
        rig_wait(&rig, rig.n_ready == 1);
        assert_null(sup_run_find(rig.manager, nobody.id));
        assert_int_equal(waitpid(pid, NULL, 0),
                         pid); /* told by EXEC_SIGNAL_KILL_TREE, which it did not handle */
        say_exited(&nobody, -1, SIGKILL, KEEPER_EXIT_REAPED);
        assert_int_equal(rig_expect(&rig, KEEPER_FREE).run.run, nobody.id);
        assert_int_equal(rig.n_ended, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_only_transitions_of_the_table_are_allowed),
                cmocka_unit_test(test_every_state_and_result_has_a_name),
                TEST(test_nothing_starts_before_the_keeper_has_listed_its_slots),
                TEST(test_a_full_keeper_leaves_runs_in_the_queue),
                TEST(test_a_start_that_takes_too_long_is_ended_as_timeout),
                TEST(test_a_failed_step_is_told_with_its_path_and_error),
                TEST(test_a_queued_run_that_is_stopped_ends_from_the_loop),
                TEST(test_a_run_exists_once),
                TEST(test_the_end_is_told_once_whatever_comes_twice),
                TEST(test_a_status_that_the_keeper_missed_is_read_by_our_own_pidfd),
                TEST(test_a_wrong_identity_is_never_signalled),
                TEST(test_exit_statuses_become_results),
                TEST(test_terminate_is_passed_on),
                TEST(test_a_keeper_of_another_version_ends_the_daemon),
                TEST(test_an_exit_that_the_last_daemon_missed_is_told),
                TEST(test_a_living_slot_is_adopted),
                TEST(test_a_stop_that_was_under_way_goes_on),
                TEST(test_a_living_run_without_a_slot_is_given_to_the_keeper),
                TEST(test_a_reused_pid_is_neither_adopted_nor_signalled),
                TEST(test_a_run_without_any_trace_is_lost),
                TEST(test_a_failed_start_is_told_to_the_next_daemon),
                TEST(test_a_slot_that_nobody_expects_is_killed_and_freed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
