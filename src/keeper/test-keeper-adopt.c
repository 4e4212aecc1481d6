/* SPDX-License-Identifier: MIT */

/* What survives a keeper's death, and how exits are known afterwards. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/str.h"
#include "keeper/keeper-internal.h"
#include "keeper/test-rig.h"

static void replace_keeper(Rig *rig) {
        rig_kill_keeper(rig);
        rig_adopt(rig);
}

static void test_agent_lives_on_and_its_exit_is_known(void **state) {
        Rig *rig = *state;
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a,
                   "echo first; trap 'echo last; exit 37' USR1; while :; do sleep 0.01; done");
        agent_spawn(rig, &a);
        agent_wait_output(&a, "first");
        replace_keeper(rig);
        agent_adopt(rig, &a);
        agent_signal(rig, &a, SIGUSR1);
        /* It is our child now, as it would be init's. Not reaped yet, its zombie tells. */
        KeeperSlot slot = rig_expect(rig, KEEPER_EXITED, a.run).slot;
        assert_int_equal(slot.exit_code, 37);
        assert_int_equal(slot.exit_source, KEEPER_EXIT_ZOMBIE);
        assert_int_equal(slot.pid, a.slot.pid);
        _cleanup_free_ char *out = agent_log(&a, 0, NULL);
        assert_string_equal(out, "first\nlast\n");
        agent_done(&a);
}

static bool kernel_tells_exits(void) {
        pid_t pid = fork();
        KeeperExit how;

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(3);
        int pidfd = pidfd_open(pid, 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(keeper_exit_of(pidfd, pid, 0, true, &how), 0);
        (void) fd_close(pidfd);
        return how.source == KEEPER_EXIT_PIDFD;
}

static void test_exit_between_two_keepers_is_known(void **state) {
        Rig *rig = *state;
        Agent a, b;

        if (!kernel_tells_exits()) {
                print_message("skipped: PIDFD_GET_INFO of this kernel knows no exits\n");
                skip();
        }
        rig_adopt(rig);
        agent_init(rig, &a, "echo in the pipe; exec sleep 1000");
        agent_spawn(rig, &a);
        agent_init(rig, &b, "read x < go; echo while nobody listened; exit 99");
        _cleanup_free_ char *go = agent_path(&b, "go");
        assert_int_equal(mkfifo(go, 0600), 0);
        agent_spawn(rig, &b);
        rig_kill_keeper(rig);

        assert_int_equal(kill(a.slot.pid, SIGTERM), 0);
        int fd = open(go, O_WRONLY | O_CLOEXEC);
        assert_int_equal(write(fd, "\n", 1), 1);
        (void) close(fd);
        assert_int_equal(waitpid(a.slot.pid, NULL, 0), a.slot.pid);
        assert_int_equal(waitpid(b.slot.pid, NULL, 0), b.slot.pid);

        rig_adopt(rig);
        agent_adopt(rig, &a);
        KeeperSlot slot = rig_expect(rig, KEEPER_EXITED, a.run).slot;
        assert_int_equal(slot.exit_source, KEEPER_EXIT_PIDFD);
        assert_int_equal(slot.exit_signal, SIGTERM);
        agent_adopt(rig, &b);
        slot = rig_expect(rig, KEEPER_EXITED, b.run).slot;
        assert_int_equal(slot.exit_source, KEEPER_EXIT_PIDFD);
        assert_int_equal(slot.exit_code, 99);
        _cleanup_free_ char *out = agent_log(&b, 0, NULL);
        assert_string_equal(out, "while nobody listened\n");
        agent_done(&a);
        agent_done(&b);
}

static void test_wrong_process_is_neither_adopted_nor_signalled(void **state) {
        Rig *rig = *state;
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a, "exec sleep 1000");
        agent_spawn(rig, &a);
        replace_keeper(rig);
        a.slot.pidfd_id++;
        agent_adopt(rig, &a);
        KeeperSlot slot = rig_expect(rig, KEEPER_EXITED, a.run).slot;
        assert_int_equal(slot.exit_source, KEEPER_EXIT_UNKNOWN);
        assert_int_equal(slot.exit_code, -1);
        agent_signal(rig, &a, SIGKILL);
        agent_release(rig, &a);
        a.slot.pidfd_id--;
        a.slot.start_time++;
        a.run++;
        agent_adopt(rig, &a);
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, a.run).slot.exit_source, KEEPER_EXIT_UNKNOWN);
        agent_signal(rig, &a, SIGKILL);
        agent_release(rig, &a);

        /* A message with an answer, so that the signals had their time; and it lives. */
        a.slot.start_time--;
        a.run++;
        agent_adopt(rig, &a);
        agent_signal(rig, &a, SIGUSR1);
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, a.run).slot.exit_signal, SIGUSR1);
        agent_done(&a);
}

static void test_agent_waits_for_room_without_a_keeper_and_nothing_is_lost(void **state) {
        enum { LINES = 100000 };
        Rig *rig = *state;
        size_t n, expected = 0;
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a, "read x < go; seq 1 100000; exit 0");
        _cleanup_free_ char *go = agent_path(&a, "go");
        assert_int_equal(mkfifo(go, 0600), 0);
        agent_spawn(rig, &a);
        rig_kill_keeper(rig);
        int fd = open(go, O_WRONLY | O_CLOEXEC);
        assert_int_equal(write(fd, "\n", 1), 1);
        (void) close(fd);
        /* Something is in the pipe, and more than it holds is to come. */
        wait_readable(a.fifo[0]);
        rig_adopt(rig);
        agent_adopt(rig, &a);
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, a.run).slot.exit_code, 0);

        _cleanup_free_ char *out = agent_log(&a, 0, &n);
        for (unsigned i = 1; i <= LINES; i++) {
                char line[16];

                expected += (size_t) snprintf(line, sizeof(line), "%u\n", i);
                assert_true(expected <= n &&
                            memcmp(out + expected - strlen(line), line, strlen(line)) == 0);
        }
        assert_int_equal(n, expected);
        agent_done(&a);
}

static void test_run_whose_start_nobody_saw_does_not_begin(void **state) {
        Rig *rig = *state;
        char text[8];
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a, "echo began > began");
        /* A FIFO for its first step to wait in. */
        a.job.cgroup = agent_path(&a, "cgroup");
        assert_int_equal(mkdir(a.job.cgroup, 0700), 0);
        _cleanup_free_ char *procs = agent_path(&a, "cgroup/cgroup.procs");
        _cleanup_free_ char *began = agent_path(&a, "began");
        assert_int_equal(mkfifo(procs, 0600), 0);
        agent_send_spawn(rig, &a);
        pid_t pid = rig_only_child(rig);
        rig_kill_keeper(rig);

        int fd = open(procs, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        wait_readable(fd);
        assert_int_equal(read(fd, text, sizeof(text)), 1);
        (void) close(fd);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 127);
        assert_int_equal(access(began, F_OK), -1);
        agent_done(&a);
}

static void test_index_covers_all_bytes_after_adoption(void **state) {
        Rig *rig = *state;
        KeeperIndexRecord last;
        size_t n, n_out;
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a, "echo text; exec sleep 1000");
        agent_spawn(rig, &a);
        agent_wait_output(&a, "text");
        rig_kill_keeper(rig);
        /* As if it had been killed before its record, and in the middle of another. */
        _cleanup_free_ char *idx = agent_path(&a, "idx.log");
        assert_int_equal(truncate(idx, 5), 0);
        rig_adopt(rig);
        agent_adopt(rig, &a);
        agent_signal(rig, &a, SIGKILL);
        (void) rig_expect(rig, KEEPER_EXITED, a.run);
        _cleanup_free_ char *index = agent_log(&a, 2, &n);
        free(agent_log(&a, 0, &n_out));
        assert_true(n >= sizeof(last) && n % sizeof(last) == 0);
        memcpy(&last, index + n - sizeof(last), sizeof(last));
        assert_int_equal(last.end, n_out);
        agent_done(&a);
}

static void test_new_keeper_waits_for_the_lock_of_the_old(void **state) {
        Rig *rig = *state;
        int link;

        rig_adopt(rig);
        pid_t old = rig->keeper;
        link = rig->link;
        rig_adopt_only(rig); /* while the first still lives */
        assert_int_equal(kill(old, SIGKILL), 0);
        assert_int_equal(waitpid(old, NULL, 0), old);
        (void) fd_close(link);
        assert_int_equal(rig_expect(rig, KEEPER_HELLO, 0).hello.pid, rig->keeper);
        (void) rig_expect(rig, KEEPER_SLOTS_END, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_agent_lives_on_and_its_exit_is_known),
                TEST(test_exit_between_two_keepers_is_known),
                TEST(test_wrong_process_is_neither_adopted_nor_signalled),
                TEST(test_agent_waits_for_room_without_a_keeper_and_nothing_is_lost),
                TEST(test_run_whose_start_nobody_saw_does_not_begin),
                TEST(test_index_covers_all_bytes_after_adoption),
                TEST(test_new_keeper_waits_for_the_lock_of_the_old),
        };

        return cmocka_run_group_tests_name("keeper-adopt", tests, NULL, NULL);
}
