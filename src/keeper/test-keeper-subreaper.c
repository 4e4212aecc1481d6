/* SPDX-License-Identifier: MIT */

/* Runs without a cgroup: agentd-exec as the run's own subreaper. The leader is agentd-exec then,
 * and its end means that the whole tree is dead. */

#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "keeper/test-rig.h"

/* The number behind a word that a script of ours wrote to a file. */
static int pidfd_of(const char *path, const char *word) {
        _cleanup_free_ char *text = wait_text(path, word);
        int pidfd = pidfd_open((pid_t) number_after(text, word), 0);

        assert_true(pidfd >= 0);
        return pidfd;
}

static void let_go(const Agent *a) {
        _cleanup_free_ char *go = agent_path(a, "go");
        int fd = open(go, O_WRONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, "\n", 1), 1);
        (void) close(fd);
}

static bool is_gone(int pidfd) {
        return pidfd_send_signal(pidfd, 0, NULL, 0) < 0 && errno == ESRCH;
}

/* In the agent's folder there is a FIFO "go" for scripts that wait for us. */
static void spawn(Rig *rig, Agent *a, const char *script) {
        _cleanup_free_ char *go = NULL;

        rig_adopt(rig);
        agent_init(rig, a, script);
        go = agent_path(a, "go");
        assert_int_equal(mkfifo(go, 0600), 0);
        a->job.subreaper = true;
        agent_spawn(rig, a);
}

static void test_exit_status_passes_through(void **state) {
        Rig *rig = *state;
        Agent a;

        spawn(rig, &a, "exit 37");
        KeeperSlot slot = rig_expect(rig, KEEPER_EXITED, a.run).slot;
        assert_int_equal(slot.exit_code, 37);
        assert_int_equal(slot.exit_signal, 0);
        agent_done(&a);
}

static void test_fatal_signal_passes_through(void **state) {
        Rig *rig = *state;
        Agent a;

        spawn(rig, &a, "kill -ABRT $$");
        KeeperSlot slot = rig_expect(rig, KEEPER_EXITED, a.run).slot;
        assert_int_equal(slot.exit_code, -1);
        assert_int_equal(slot.exit_signal, SIGABRT);
        agent_done(&a);
}

static void test_signals_are_passed_on(void **state) {
        static const struct {
                int signo;
                const char *name;
        } passed[] = { { SIGHUP, "HUP" },   { SIGINT, "INT" },   { SIGQUIT, "QUIT" },
                       { SIGUSR1, "USR1" }, { SIGUSR2, "USR2" }, { SIGTERM, "TERM" } };
        Rig *rig = *state;
        Agent a;

        spawn(rig, &a,
              "for s in HUP INT QUIT USR1 USR2; do trap \"echo got $s\" $s; done;"
              "trap 'echo got TERM; exit 6' TERM; echo ready; while :; do sleep 0.01; done");
        agent_wait_output(&a, "ready\n");
        for (size_t i = 0; i < ELEMENTSOF(passed); i++) {
                _cleanup_free_ char *line = str_printf("got %s\n", passed[i].name);

                agent_signal(rig, &a, passed[i].signo);
                agent_wait_output(&a, line);
        }
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, a.run).slot.exit_code, 6);
        agent_done(&a);
}

static void test_setsid_grandchild_is_ended_before_the_end_is_reported(void **state) {
        Rig *rig = *state;
        Agent a;

        spawn(rig, &a,
              "setsid sh -c 'echo one $$ >> pids; (setsid sh -c \"echo two \\$\\$ >> pids; exec sleep 1000\" &) ;"
              "exec sleep 1000' & read x < go; exit 4");
        _cleanup_free_ char *pids = agent_path(&a, "pids");
        int one = pidfd_of(pids, "one "), two = pidfd_of(pids, "two ");
        let_go(&a);
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, a.run).slot.exit_code, 4);
        assert_true(is_gone(one));
        assert_true(is_gone(two));
        (void) fd_close(one);
        (void) fd_close(two);
        agent_done(&a);
}

static void test_leftover_that_ignores_term_is_killed(void **state) {
        Rig *rig = *state;
        Agent a;

        spawn(rig, &a,
              "(trap '' TERM; setsid sh -c 'echo deaf $$ >> pids; while :; do sleep 0.1; done' &);"
              "until test -s pids; do sleep 0.01; done; exit 8");
        _cleanup_free_ char *pids = agent_path(&a, "pids");
        int deaf = pidfd_of(pids, "deaf ");
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, a.run).slot.exit_code, 8);
        assert_true(is_gone(deaf));
        (void) fd_close(deaf);
        agent_done(&a);
}

static void test_tree_is_killed_on_request(void **state) {
        Rig *rig = *state;
        Agent a;

        spawn(rig, &a,
              "trap '' TERM; (setsid sh -c 'echo deaf $$ >> pids; while :; do sleep 0.1; done' &);"
              "while :; do sleep 0.1; done");
        _cleanup_free_ char *pids = agent_path(&a, "pids");
        int deaf = pidfd_of(pids, "deaf ");
        agent_signal(rig, &a, EXEC_SIGNAL_KILL_TREE);
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, a.run).slot.exit_signal, SIGKILL);
        assert_true(is_gone(deaf));
        (void) fd_close(deaf);
        agent_done(&a);
}

static void test_nobody_elses_process_is_ended(void **state) {
        Rig *rig = *state;
        Agent a, other;

        spawn(rig, &a, "read x < go; exit 0");
        agent_init(rig, &other, "exec sleep 1000");
        agent_spawn(rig, &other);
        let_go(&a);
        (void) rig_expect(rig, KEEPER_EXITED, a.run);
        assert_int_equal(pidfd_send_signal(other.pidfd, 0, NULL, 0), 0);
        agent_done(&a);
        agent_done(&other);
}

static void test_agent_dies_with_its_leader(void **state) {
        Rig *rig = *state;
        Agent a;

        spawn(rig, &a, "echo agent $$ >> pids; exec sleep 1000");
        _cleanup_free_ char *pids = agent_path(&a, "pids");
        int agent = pidfd_of(pids, "agent ");
        agent_signal(rig, &a, SIGKILL);
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, a.run).slot.exit_signal, SIGKILL);
        wait_gone(agent);
        (void) fd_close(agent);
        agent_done(&a);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_exit_status_passes_through),
                TEST(test_fatal_signal_passes_through),
                TEST(test_signals_are_passed_on),
                TEST(test_setsid_grandchild_is_ended_before_the_end_is_reported),
                TEST(test_leftover_that_ignores_term_is_killed),
                TEST(test_tree_is_killed_on_request),
                TEST(test_nobody_elses_process_is_ended),
                TEST(test_agent_dies_with_its_leader),
        };

        return cmocka_run_group_tests_name("keeper-subreaper", tests, NULL, NULL);
}
