/* SPDX-License-Identifier: MIT */

/* The keeper as the daemon's parent: restarts, listening sockets, stopping, the control socket, the lock. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/str.h"
#include "keeper/keeper-internal.h"
#include "keeper/test-rig.h"

static void begin(Rig *rig, int n_listen) {
        rig_serve(rig, n_listen);
        rig_enter(rig);
        assert_int_equal(rig_expect(rig, KEEPER_HELLO, 0).hello.pid, rig->keeper);
        (void) rig_expect(rig, KEEPER_SLOTS_END, 0);
}

static int connect_to(const Rig *rig, const char *name, int type) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", rig->dir, name);
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
                return fd;
        (void) close(fd);
        return errno_neg();
}

static void test_killed_daemon_is_started_again_and_told_everything(void **state) {
        Rig *rig = *state;
        Agent alive, exited, failed;

        begin(rig, 0);
        agent_init(rig, &alive, "exec sleep 1000");
        agent_spawn(rig, &alive);
        agent_init(rig, &exited, "exit 12");
        agent_spawn(rig, &exited);
        (void) rig_expect(rig, KEEPER_EXITED, exited.run);
        agent_init_argv(rig, &failed, (const char *[]){ "no-such-program", NULL });
        agent_send_spawn(rig, &failed);
        (void) rig_expect(rig, KEEPER_FAILED, failed.run);

        for (unsigned i = 0; i < 3; i++) { /* until FREE, each new one is told */
                rig_kill_stub(rig);
                rig_enter(rig);
                assert_int_equal(rig_expect(rig, KEEPER_HELLO, 0).hello.n_slots, 3);
                for (unsigned j = 0; j < 3; j++) {
                        KeeperSlot slot = rig_expect(rig, KEEPER_SLOT, 0).slot;

                        if (slot.run == alive.run) {
                                assert_int_equal(slot.state, KEEPER_RUN_ALIVE);
                                assert_int_equal(slot.pid, alive.slot.pid);
                                assert_int_equal(slot.pidfd_id, alive.slot.pidfd_id);
                                assert_int_equal(slot.start_time, alive.slot.start_time);
                        } else if (slot.run == exited.run) {
                                assert_int_equal(slot.state, KEEPER_RUN_EXITED);
                                assert_int_equal(slot.exit_code, 12);
                        } else {
                                assert_int_equal(slot.run, failed.run);
                                assert_int_equal(slot.state, KEEPER_RUN_FAILED);
                        }
                }
                (void) rig_expect(rig, KEEPER_SLOTS_END, 0);
                KeeperMsg msg = rig_expect(rig, KEEPER_FAILED, failed.run);
                assert_int_equal(msg.failed.step, EXEC_STEP_PROGRAM);
                assert_int_equal(msg.failed.error, ENOENT);
        }

        agent_release(rig, &exited);
        agent_release(rig, &failed);
        agent_signal(rig, &alive, SIGTERM);
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, alive.run).slot.exit_signal, SIGTERM);
        rig_kill_stub(rig);
        rig_enter(rig);
        assert_int_equal(rig_expect(rig, KEEPER_HELLO, 0).hello.n_slots, 1);
        assert_int_equal(rig_expect(rig, KEEPER_SLOT, alive.run).slot.exit_signal, SIGTERM);
        agent_done(&alive);
        agent_done(&exited);
        agent_done(&failed);
}

static void test_exit_while_no_daemon_runs_is_told_to_the_next(void **state) {
        Rig *rig = *state;
        Agent a;

        begin(rig, 0);
        agent_init(rig, &a, "exec sleep 1000");
        agent_spawn(rig, &a);
        rig_kill_stub(rig);
        assert_int_equal(kill(a.slot.pid, SIGINT), 0);
        wait_gone(a.pidfd);
        rig_enter(rig);
        (void) rig_expect(rig, KEEPER_HELLO, 0);
        KeeperSlot slot = rig_expect(rig, KEEPER_SLOT, a.run).slot;
        (void) rig_expect(rig, KEEPER_SLOTS_END, 0);
        if (slot.state != KEEPER_RUN_EXITED) /* the restart was faster than the exit */
                slot = rig_expect(rig, KEEPER_EXITED, a.run).slot;
        assert_int_equal(slot.exit_signal, SIGINT);
        assert_int_equal(slot.exit_source, KEEPER_EXIT_REAPED);
        agent_done(&a);
}

static void test_listening_sockets_outlive_the_daemon(void **state) {
        Rig *rig = *state;
        int client;

        begin(rig, 2);
        assert_int_equal(rig->n_listening, 2);
        rig_kill_stub(rig);
        client = connect_to(rig, "listen-1", SOCK_STREAM); /* waits in the backlog */
        assert_true(client >= 0);
        rig_enter(rig);
        assert_int_equal(rig->n_listening, 2);
        wait_readable(rig->listening[1]);
        int served = accept4(rig->listening[1], NULL, NULL, SOCK_CLOEXEC);
        assert_true(served >= 0);
        (void) fd_close(served);
        (void) fd_close(client);
}

static void test_quit_leaves_when_the_last_run_has_ended(void **state) {
        Rig *rig = *state;
        Agent a;

        begin(rig, 1);
        agent_init(rig, &a, "exec sleep 1000");
        agent_spawn(rig, &a);
        rig_send(rig, (KeeperMsg){ .type = KEEPER_QUIT, .quit = { .keep_runs = 1 } });
        rig_kill_stub(rig);
        rig->link = fd_close(rig->link);
        assert_true(process_exists(rig->keeper));
        assert_int_equal(pidfd_send_signal(a.pidfd, SIGTERM, NULL, 0), 0);
        assert_int_equal(rig_wait_keeper(rig), 0);
        agent_done(&a);
}

static void test_quit_without_runs_leaves_when_the_daemon_has(void **state) {
        Rig *rig = *state;

        begin(rig, 1);
        rig_send(rig, (KeeperMsg){ .type = KEEPER_QUIT });
        rig_kill_stub(rig);
        assert_int_equal(rig_wait_keeper(rig), 0);
        assert_true(connect_to(rig, "keeper.sock", SOCK_SEQPACKET) < 0);
        for (int i = 0; i < rig->n_listening; i++) /* ours; the keeper's are closed with it */
                rig->listening[i] = fd_close(rig->listening[i]);
        rig->n_listening = 0;
        assert_int_equal(connect_to(rig, "listen-0", SOCK_STREAM), -ECONNREFUSED);
}

static void test_sigterm_asks_the_daemon(void **state) {
        Rig *rig = *state;

        begin(rig, 0);
        assert_int_equal(kill(rig->keeper, SIGTERM), 0);
        (void) rig_expect(rig, KEEPER_TERMINATE, 0);
        rig_send(rig, (KeeperMsg){ .type = KEEPER_QUIT });
        rig_kill_stub(rig);
        assert_int_equal(rig_wait_keeper(rig), 0);
}

static KeeperMsgType control_start(const Rig *rig, const int *fds, size_t n_fds) {
        KeeperMsg msg = { .type = KEEPER_START };
        int fd = connect_to(rig, "keeper.sock", SOCK_SEQPACKET);
        size_t n = 0;

        assert_true(fd >= 0);
        assert_int_equal(keeper_msg_send(fd, &msg, fds, n_fds), 0);
        wait_readable(fd);
        assert_int_equal(keeper_msg_recv(fd, &msg, NULL, 0, &n), 1);
        (void) close(fd);
        return msg.type;
}

static void test_start_brings_a_daemon_back_to_living_runs(void **state) {
        Rig *rig = *state;
        int pair[2];
        Agent a;

        begin(rig, 0);
        assert_int_equal(control_start(rig, NULL, 0), KEEPER_CONTROL_BUSY);
        agent_init(rig, &a, "exec sleep 1000");
        agent_spawn(rig, &a);
        rig_send(rig, (KeeperMsg){ .type = KEEPER_QUIT, .quit = { .keep_runs = 1 } });
        rig_kill_stub(rig);
        rig->link = fd_close(rig->link);

        /* Any socket does for a listening one here. */
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        KeeperMsgType answer;
        do /* its daemon is dead, but perhaps it has not noticed yet */
                answer = control_start(rig, pair, 1);
        while (answer == KEEPER_CONTROL_BUSY);
        assert_int_equal(answer, KEEPER_CONTROL_OK);
        (void) close(pair[0]);
        (void) close(pair[1]);
        rig_enter(rig);
        assert_int_equal(rig->n_listening, 1);
        (void) rig_expect(rig, KEEPER_HELLO, 0);
        assert_int_equal(rig_expect(rig, KEEPER_SLOT, a.run).slot.state, KEEPER_RUN_ALIVE);
        (void) rig_expect(rig, KEEPER_SLOTS_END, 0);
        assert_int_equal(control_start(rig, NULL, 0), KEEPER_CONTROL_BUSY);
        agent_done(&a);
}

static void test_idle_control_connections_do_not_keep_others_out(void **state) {
        Rig *rig = *state;
        int idle[10];

        begin(rig, 0);
        for (size_t i = 0; i < ELEMENTSOF(idle); i++) {
                idle[i] = connect_to(rig, "keeper.sock", SOCK_SEQPACKET);
                assert_true(idle[i] >= 0);
        }
        assert_int_equal(control_start(rig, NULL, 0), KEEPER_CONTROL_BUSY);
        keeper_fds_close(idle, ELEMENTSOF(idle));
}

static void test_second_keeper_names_the_first(void **state) {
        Rig *rig = *state;
        char *path = path_join(rig->programs, "agentd-keeper"), text[512];
        int out[2], status;
        ssize_t n;

        begin(rig, 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0) {
                (void) dup2(out[1], STDERR_FILENO);
                (void) execl(path, path, "--runtime", rig->dir, "--max-runs", "4", "--daemon",
                             "/bin/false", (char *) NULL);
                _exit(127);
        }
        free(path);
        (void) close(out[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        n = read(out[0], text, sizeof(text) - 1);
        (void) close(out[0]);
        assert_true(n > 0);
        text[n] = '\0';
        _cleanup_free_ char *expected =
                str_printf("keeper %d runs in %s already", (int) rig->keeper, rig->dir);
        assert_non_null(strstr(text, expected));
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
}

static int notify_socket(const Rig *rig) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", rig->dir);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
        return fd;
}

static void expect_word(int fd, const char *word) {
        char text[64];

        wait_readable(fd);
        ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
        assert_true(n > 0);
        text[n] = '\0';
        assert_string_equal(text, word);
}

static void test_service_manager_is_told(void **state) {
        Rig *rig = *state;
        int fd = notify_socket(rig);
        char text[64];

        begin(rig, 0);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        /* Not before the daemon says so. */
        assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), -1);
        rig_send(rig, (KeeperMsg){ .type = KEEPER_NOTIFY, .notify.what = KEEPER_NOTIFY_READY });
        expect_word(fd, "READY=1");
        assert_int_equal(kill(rig->keeper, SIGTERM), 0);
        expect_word(fd, "STOPPING=1");
        (void) close(fd);
}

static void test_hanging_daemon_is_replaced_before_the_watchdog_ends_the_service(void **state) {
        const KeeperMsg alive = { .type = KEEPER_NOTIFY, .notify.what = KEEPER_NOTIFY_WATCHDOG };
        Rig *rig = *state;
        int fd = notify_socket(rig);

        assert_int_equal(setenv("WATCHDOG_USEC", "400000", 1), 0);
        begin(rig, 0);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
        /* A daemon that is being started may take longer than the manager's patience. */
        for (unsigned i = 0; i < 5; i++)
                expect_word(fd, "WATCHDOG=1");
        rig_send(rig, alive);
        expect_word(fd, "WATCHDOG=1");
        int hanging = rig->stub_pidfd;
        wait_gone(hanging);
        rig_enter(rig);
        expect_word(fd, "WATCHDOG=1");
        (void) close(fd);
}

static void test_ends_that_nobody_heard_of_outlive_the_keeper(void **state) {
        Rig *rig = *state;
        Agent a, b, failed;

        begin(rig, 0);
        agent_init(rig, &a, "exec sleep 1000");
        agent_spawn(rig, &a);
        agent_init(rig, &b, "exit 44");
        agent_spawn(rig, &b);
        (void) rig_expect(rig, KEEPER_EXITED, b.run);
        agent_init_argv(rig, &failed, (const char *[]){ "no-such-program", NULL });
        agent_send_spawn(rig, &failed);
        (void) rig_expect(rig, KEEPER_FAILED, failed.run);
        rig_send(rig, (KeeperMsg){ .type = KEEPER_QUIT, .quit = { .keep_runs = 1 } });
        rig_kill_stub(rig);
        rig->link = fd_close(rig->link);
        assert_int_equal(pidfd_send_signal(a.pidfd, SIGUSR2, NULL, 0), 0);
        assert_int_equal(rig_wait_keeper(rig), 0);

        for (unsigned i = 0; i < 2; i++) { /* the second time after a kill, without a FREE */
                if (rig->keeper != 0)
                        rig_kill_keeper(rig);
                rig_serve(rig, 0);
                rig_enter(rig);
                assert_int_equal(rig_expect(rig, KEEPER_HELLO, 0).hello.n_slots, 3);
                assert_int_equal(rig_expect(rig, KEEPER_SLOT, a.run).slot.exit_signal, SIGUSR2);
                assert_int_equal(rig_expect(rig, KEEPER_SLOT, b.run).slot.exit_code, 44);
                assert_int_equal(rig_expect(rig, KEEPER_SLOT, failed.run).slot.state,
                                 KEEPER_RUN_FAILED);
                (void) rig_expect(rig, KEEPER_SLOTS_END, 0);
                KeeperMsg msg = rig_expect(rig, KEEPER_FAILED, failed.run);
                assert_int_equal(msg.failed.step, EXEC_STEP_PROGRAM);
        }
        agent_release(rig, &a);
        agent_release(rig, &b);
        agent_release(rig, &failed);
        rig_send(rig, (KeeperMsg){ .type = KEEPER_QUIT });
        rig_kill_stub(rig);
        assert_int_equal(rig_wait_keeper(rig), 0);
        _cleanup_free_ char *file = path_join(rig->dir, "keeper.exits");
        assert_int_equal(access(file, F_OK), -1);
        agent_done(&a);
        agent_done(&b);
        agent_done(&failed);
}

static void test_foreign_file_of_ends_is_ignored(void **state) {
        Rig *rig = *state;
        _cleanup_free_ char *file = path_join(rig->dir, "keeper.exits");

        assert_int_equal(fs_write_file_atomic(AT_FDCWD, file, "agtexit\0rubbish", 15, 0600), 0);
        begin(rig, 0); /* expects no slots */
}

static void test_keeper_gives_up_on_a_daemon_that_cannot_run(void **state) {
        Rig *rig = *state;

        rig_serve_program(rig, "/bin/sh", (const char *[]){ "-c", "exit 78", NULL });
        assert_int_equal(rig_wait_keeper(rig), 1);
}

static void test_backoff_begins_at_once_and_ends_at_five_seconds(void **state) {
        usec_t before = 0;

        assert_int_equal(keeper_daemon_backoff(0), 0);
        assert_int_equal(keeper_daemon_backoff(1), 100 * USEC_PER_MSEC);
        assert_int_equal(keeper_daemon_backoff(2), 200 * USEC_PER_MSEC);
        for (unsigned i = 0; i < 200; i++) {
                assert_true(keeper_daemon_backoff(i) >= before);
                before = keeper_daemon_backoff(i);
        }
        assert_int_equal(before, 5 * USEC_PER_SEC);
        assert_int_equal(keeper_daemon_backoff(UINT32_MAX), 5 * USEC_PER_SEC);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_killed_daemon_is_started_again_and_told_everything),
                TEST(test_exit_while_no_daemon_runs_is_told_to_the_next),
                TEST(test_listening_sockets_outlive_the_daemon),
                TEST(test_quit_leaves_when_the_last_run_has_ended),
                TEST(test_quit_without_runs_leaves_when_the_daemon_has),
                TEST(test_sigterm_asks_the_daemon),
                TEST(test_start_brings_a_daemon_back_to_living_runs),
                TEST(test_idle_control_connections_do_not_keep_others_out),
                TEST(test_second_keeper_names_the_first),
                TEST(test_service_manager_is_told),
                TEST(test_hanging_daemon_is_replaced_before_the_watchdog_ends_the_service),
                TEST(test_ends_that_nobody_heard_of_outlive_the_keeper),
                TEST(test_foreign_file_of_ends_is_ignored),
                TEST(test_keeper_gives_up_on_a_daemon_that_cannot_run),
                cmocka_unit_test(test_backoff_begins_at_once_and_ends_at_five_seconds),
        };

        return cmocka_run_group_tests_name("keeper-daemon", tests, NULL, NULL);
}
