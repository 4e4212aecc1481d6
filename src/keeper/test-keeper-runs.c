/* SPDX-License-Identifier: MIT */

/* What the keeper and agentd-exec promise about one run, tried with the real programs. */

#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/str.h"
#include "keeper/test-rig.h"

static void test_exit_status_is_reported(void **state) {
        Rig *rig = *state;
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a, "exit 37");
        agent_spawn(rig, &a);
        KeeperSlot slot = rig_expect(rig, KEEPER_EXITED, a.run).slot;
        assert_int_equal(slot.exit_code, 37);
        assert_int_equal(slot.exit_signal, 0);
        assert_int_equal(slot.exit_source, KEEPER_EXIT_REAPED);
        assert_int_equal(slot.state, KEEPER_RUN_EXITED);
        assert_int_equal(slot.pid, a.slot.pid);
        assert_true(slot.time_usec >= a.slot.time_usec);
        agent_done(&a);
}

static void test_fatal_signal_is_reported(void **state) {
        Rig *rig = *state;
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a, "ulimit -c 0; kill -SEGV $$");
        agent_spawn(rig, &a);
        KeeperSlot slot = rig_expect(rig, KEEPER_EXITED, a.run).slot;
        assert_int_equal(slot.exit_code, -1);
        assert_int_equal(slot.exit_signal, SIGSEGV);
        assert_int_equal(slot.core_dumped, 0);
        agent_done(&a);
}

static void test_signal_reaches_the_leader(void **state) {
        Rig *rig = *state;
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a,
                   "trap 'echo got it; exit 5' USR1; echo ready; while :; do sleep 0.01; done");
        agent_spawn(rig, &a);
        agent_wait_output(&a, "ready");
        agent_signal(rig, &a, SIGUSR1);
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, a.run).slot.exit_code, 5);
        agent_wait_output(&a, "got it");
        agent_done(&a);
}

static void expect_failure(Rig *rig, Agent *a, ExecStep step, int error) {
        agent_send_spawn(rig, a);
        KeeperMsg msg = rig_expect(rig, KEEPER_FAILED, a->run);
        assert_int_equal(msg.failed.step, step);
        assert_int_equal(msg.failed.error, error);
        agent_done(a);
}

static void test_failed_step_is_named_with_its_error(void **state) {
        Rig *rig = *state;

        rig_adopt(rig);
        for (int subreaper = 0; subreaper < 2; subreaper++) {
                Agent a;

                agent_init_argv(rig, &a, (const char *[]){ "no-such-program", NULL });
                a.job.subreaper = subreaper;
                expect_failure(rig, &a, EXEC_STEP_PROGRAM, ENOENT);

                agent_init_argv(rig, &a, (const char *[]){ "/etc/passwd", NULL });
                a.job.subreaper = subreaper;
                expect_failure(rig, &a, EXEC_STEP_PROGRAM, EACCES);

                agent_init(rig, &a, "exit 0");
                a.job.subreaper = subreaper;
                free(a.job.folder);
                a.job.folder = strdup("/no/such/folder");
                expect_failure(rig, &a, EXEC_STEP_FOLDER, ENOENT);

                agent_init(rig, &a, "exit 0");
                a.job.subreaper = subreaper;
                a.job.cgroup = strdup("/no/such/cgroup");
                expect_failure(rig, &a, EXEC_STEP_CGROUP, ENOENT);

                agent_init(rig, &a, "exit 0");
                a.job.subreaper = subreaper;
                free(a.job.stdout_path);
                a.job.stdout_path = strdup("/no/such/fifo");
                expect_failure(rig, &a, EXEC_STEP_OUTPUT, ENOENT);
        }
}

static void test_malformed_job_is_refused(void **state) {
        Rig *rig = *state;
        KeeperMsg msg = { .type = KEEPER_SPAWN, .run = { .run = 7 } };
        Agent a;
        int fds[_KEEPER_FD_MAX];

        rig_adopt(rig);
        agent_init(rig, &a, "exit 0");
        for (int i = 0; i < _KEEPER_FD_MAX; i++)
                fds[i] = open(a.dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        fds[KEEPER_FD_OUT] = fcntl(a.fifo[0], F_DUPFD_CLOEXEC, 3);
        fds[KEEPER_FD_ERR] = fcntl(a.fifo[1], F_DUPFD_CLOEXEC, 3);
        assert_int_equal(write(fds[KEEPER_FD_JOB], "rubbish", 7), 7);
        assert_int_equal(keeper_msg_send(rig->link, &msg, fds, _KEEPER_FD_MAX), 0);
        keeper_fds_close(fds, _KEEPER_FD_MAX);
        msg = rig_expect(rig, KEEPER_FAILED, 7);
        assert_int_equal(msg.failed.step, EXEC_STEP_JOB);
        assert_int_equal(msg.failed.error, EBADMSG);
        agent_done(&a);
}

static void test_output_and_its_order_are_recorded(void **state) {
        Rig *rig = *state;
        Agent a;
        size_t n, n_out, n_err;

        rig_adopt(rig);
        agent_init(rig, &a, "echo one; echo two >&2; echo three");
        agent_spawn(rig, &a);
        (void) rig_expect(rig, KEEPER_EXITED, a.run);
        /* What the leader wrote is there when its end is known. */
        _cleanup_free_ char *out = agent_log(&a, 0, &n_out), *err = agent_log(&a, 1, &n_err);
        assert_string_equal(out, "one\nthree\n");
        assert_string_equal(err, "two\n");

        _cleanup_free_ char *bytes = agent_log(&a, 2, &n);
        KeeperIndexRecord *index = (void *) bytes;
        uint64_t end[2] = {};
        assert_true(n > 0 && n % sizeof(*index) == 0);
        for (size_t i = 0; i < n / sizeof(*index); i++) {
                unsigned stream = index[i].end & KEEPER_INDEX_STREAM_ERR ? 1 : 0;
                uint64_t e = index[i].end & ~KEEPER_INDEX_STREAM_ERR;

                assert_true(e > end[stream]);
                assert_true(i == 0 || index[i].time_usec >= index[i - 1].time_usec);
                end[stream] = e;
        }
        assert_int_equal(end[0], n_out);
        assert_int_equal(end[1], n_err);
        agent_done(&a);
}

static void test_tree_that_outlives_the_leader_is_still_recorded(void **state) {
        Rig *rig = *state;
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a, "(read line < go; echo afterwards) & echo leader; exit 0");
        _cleanup_free_ char *go = agent_path(&a, "go");
        assert_int_equal(mkfifo(go, 0600), 0);
        agent_spawn(rig, &a);
        (void) rig_expect(rig, KEEPER_EXITED, a.run);
        int fd = open(go, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "\n", 1), 1);
        (void) close(fd);
        agent_wait_output(&a, "leader\nafterwards\n");
        agent_done(&a);
}

static void test_agent_gets_a_clean_slate(void **state) {
        static const char script[] =
                "ls /proc/self/fd | tr '\\n' ' '; echo; env | sort | tr '\\n' ' '; echo; "
                "grep -E 'SigBlk|SigIgn' /proc/self/status | tr -d '\\n\\t '; echo; "
                "umask; ulimit -n; nice; cat /proc/self/oom_score_adj; pwd; "
                "ps -o sid= -p $$ | tr -d ' '; echo $$ ";
        Rig *rig = *state;
        struct rlimit limit;
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a, script);
        a.job.has_nice = a.job.has_umask = a.job.has_nofile = true;
        a.job.nice = 3;
        a.job.umask = 027;
        a.job.nofile = 77;
        agent_spawn(rig, &a);
        (void) rig_expect(rig, KEEPER_EXITED, a.run);

        _cleanup_free_ char *out = agent_log(&a, 0, NULL), *oom = NULL, *expected = NULL;
        assert_true(fs_read_file(AT_FDCWD, "/proc/self/oom_score_adj", 32, &oom, NULL) >= 0);
        expected = str_printf("0 1 2 3 \n" /* 3 is the folder that ls reads */
                              "PATH=/usr/bin:/bin PWD=%s \n"
                              "SigBlk:0000000000000000SigIgn:0000000000000000\n"
                              "0027\n77\n3\n%s%s\n%d\n%d\n",
                              a.dir, oom, a.dir, (int) a.slot.pid, (int) a.slot.pid);
        assert_string_equal(out, expected);
        agent_done(&a);

        /* Unless its job says otherwise, it has the limit that the keeper was started with. */
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        agent_init(rig, &a, "ulimit -n");
        agent_spawn(rig, &a);
        (void) rig_expect(rig, KEEPER_EXITED, a.run);
        _cleanup_free_ char *text = agent_log(&a, 0, NULL), *number = NULL;
        number = str_printf("%lu\n", (unsigned long) limit.rlim_cur);
        assert_string_equal(text, number);
        agent_done(&a);
}

static void test_full_table_refuses_and_freed_slot_is_used_again(void **state) {
        Rig *rig = *state;
        Agent a, b, c;

        rig->max_runs = 2;
        rig_adopt(rig);
        agent_init(rig, &a, "exec sleep 1000");
        agent_spawn(rig, &a);
        agent_init(rig, &b, "exit 1");
        agent_spawn(rig, &b);
        (void) rig_expect(rig, KEEPER_EXITED, b.run);
        /* Ended, but the daemon has not said that it knows. */
        agent_init(rig, &c, "exit 2");
        agent_send_spawn(rig, &c);
        KeeperMsg msg = rig_expect(rig, KEEPER_FAILED, c.run);
        assert_int_equal(msg.failed.error, ENOBUFS);

        agent_release(rig, &b);
        agent_spawn(rig, &c);
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, c.run).slot.exit_code, 2);
        agent_done(&a);
        agent_done(&b);
        agent_done(&c);
}

static void test_living_run_is_not_freed(void **state) {
        Rig *rig = *state;
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a, "exec sleep 1000");
        agent_spawn(rig, &a);
        agent_release(rig, &a);
        agent_signal(rig, &a, SIGTERM);
        assert_int_equal(rig_expect(rig, KEEPER_EXITED, a.run).slot.exit_signal, SIGTERM);
        agent_done(&a);
}

static void test_same_run_is_not_started_twice(void **state) {
        Rig *rig = *state;
        Agent a;

        rig_adopt(rig);
        agent_init(rig, &a, "echo once; exec sleep 1000");
        agent_spawn(rig, &a);
        agent_wait_output(&a, "once");
        agent_send_spawn(rig, &a);
        assert_int_equal(rig_expect(rig, KEEPER_STARTED, a.run).slot.pid, a.slot.pid);
        agent_signal(rig, &a, SIGKILL);
        (void) rig_expect(rig, KEEPER_EXITED, a.run);
        _cleanup_free_ char *out = agent_log(&a, 0, NULL);
        assert_string_equal(out, "once\n");
        agent_done(&a);
}

static void test_daemon_that_does_not_read_loses_no_report(void **state) {
        enum { RUNS = 400 };
        Rig *rig = *state;
        static Agent agents[RUNS];
        static uint8_t seen[RUNS];

        rig->max_runs = RUNS;
        rig_adopt(rig);
        memset(seen, 0, sizeof(seen));
        for (unsigned i = 0; i < RUNS; i++) {
                agent_init_argv(rig, &agents[i], (const char *[]){ "true", NULL });
                agent_send_spawn(rig, &agents[i]);
                keeper_fds_close(agents[i].fifo, 2);
        }
        for (unsigned i = 0; i < 2 * RUNS; i++) {
                KeeperMsg msg = rig_recv(rig);
                uint64_t n = msg.slot.run - agents[0].run;

                assert_true(n < RUNS);
                assert_int_equal(msg.type, seen[n] == 0 ? KEEPER_STARTED : KEEPER_EXITED);
                assert_true(seen[n]++ < 2);
        }
        for (unsigned i = 0; i < RUNS; i++) {
                assert_int_equal(seen[i], 2);
                agent_done(&agents[i]);
        }
}

static size_t count_fds(pid_t pid) {
        _cleanup_free_ char *path = str_printf("/proc/%d/fd", (int) pid);

        return count_names(path);
}

static void test_freed_runs_leave_no_descriptor_behind(void **state) {
        Rig *rig = *state;
        size_t before;
        Agent a;

        rig_adopt(rig);
        before = count_fds(rig->keeper);
        for (unsigned i = 0; i < 20; i++) {
                agent_init(rig, &a, "echo text; exit 3");
                if (i % 2)
                        agent_send_spawn(rig, &a);
                else {
                        free(a.job.folder);
                        a.job.folder = strdup("/no/such/folder");
                        agent_send_spawn(rig, &a);
                }
                while (rig_recv(rig).type == KEEPER_STARTED)
                        ;
                agent_release(rig, &a);
                agent_done(&a);
        }
        /* FREE has no answer: that of a later message shows that it was done. */
        agent_init(rig, &a, "exit 0");
        a.job.cgroup = strdup("/no/such/cgroup");
        expect_failure(rig, &a, EXEC_STEP_CGROUP, ENOENT);
        assert_int_equal(count_fds(rig->keeper), before + 6);
}

static void wait_orphan(const char *path, unsigned i) {
        _cleanup_free_ char *marker = str_printf("orphan-%u ", i), *text = NULL;
        int pidfd;

        text = wait_text(path, marker);
        pidfd = pidfd_open((pid_t) number_after(text, marker), 0);
        if (pidfd >= 0)
                wait_gone(pidfd);
        (void) fd_close(pidfd);
}

static void test_orphans_are_reaped(void **state) {
        Rig *rig = *state;
        Agent a;

        rig_adopt(rig);
        agent_init(
                rig, &a,
                "for i in 0 1 2; do (sh -c \"echo orphan-$i \\$\\$ >> pids\" &); done; exec sleep 1000");
        agent_spawn(rig, &a);
        _cleanup_free_ char *path = agent_path(&a, "pids");
        for (unsigned i = 0; i < 3; i++)
                wait_orphan(path, i);

        /* None of them is left as a zombie when the keeper has had one more turn. */
        agent_signal(rig, &a, SIGKILL);
        (void) rig_expect(rig, KEEPER_EXITED, a.run);
        _cleanup_free_ char *children =
                str_printf("/proc/%d/task/%d/children", (int) rig->keeper, (int) rig->keeper);
        _cleanup_free_ char *left = NULL;
        assert_true(fs_read_file(AT_FDCWD, children, 4096, &left, NULL) >= 0);
        assert_string_equal(left, "");
        agent_done(&a);
}

static void test_output_that_its_file_can_never_take_is_dropped_and_counted(void **state) {
        struct rlimit small = { 100000, RLIM_INFINITY }, large = { RLIM_INFINITY, RLIM_INFINITY };
        Rig *rig = *state;
        size_t n, n_log;
        Agent a;

        rig_adopt(rig);
        assert_int_equal(prlimit(rig->keeper, RLIMIT_FSIZE, &small, NULL), 0);
        agent_init(rig, &a, "head -c 1000000 /dev/zero; echo filled >&2; read x < go; echo again");
        _cleanup_free_ char *go = agent_path(&a, "go"), *err = agent_path(&a, "err.log"),
                            *text = NULL;
        assert_int_equal(mkfifo(go, 0600), 0);
        agent_spawn(rig, &a);
        text = wait_text(err, "filled");
        assert_int_equal(prlimit(rig->keeper, RLIMIT_FSIZE, &large, NULL), 0);
        int fd = open(go, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "\n", 1), 1);
        (void) close(fd);
        KeeperSlot slot = rig_expect(rig, KEEPER_EXITED, a.run).slot;

        _cleanup_free_ char *log = agent_log(&a, 0, &n_log), *bytes = agent_log(&a, 2, &n);
        KeeperIndexRecord *index = (void *) bytes;
        uint64_t gap = 0;
        for (size_t i = 0; i < n / sizeof(*index); i++)
                if (index[i].end & KEEPER_INDEX_GAP) {
                        assert_int_equal(index[i].end & KEEPER_INDEX_STREAM_ERR, 0);
                        gap += index[i].end & ~KEEPER_INDEX_GAP;
                }
        assert_true(slot.dropped_bytes > 0);
        assert_int_equal(gap, slot.dropped_bytes);
        assert_int_equal(n_log + gap, 1000000 + strlen("again\n"));
        assert_string_equal(log + n_log - 6, "again\n");
        agent_done(&a);
}

static void test_keeper_stays_small(void **state) {
        Rig *rig = *state;
        unsigned long private = 0;
        char line[256];

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        skip();
#endif
        rig->max_runs = 1000;
        rig_adopt(rig);
        _cleanup_free_ char *path = str_printf("/proc/%d/smaps_rollup", (int) rig->keeper);
        FILE *f = fopen(path, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
                unsigned long kib;

                /* NOLINTNEXTLINE(cert-err34-c): the kernel wrote it */
                if (sscanf(line, "Private_%*[^:]: %lu", &kib) == 1)
                private += kib;
        }
        (void) fclose(f);
        print_message("keeper's private memory: %lu KiB\n", private);
        assert_in_range(private, 1, 1023);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_exit_status_is_reported),
                TEST(test_fatal_signal_is_reported),
                TEST(test_signal_reaches_the_leader),
                TEST(test_failed_step_is_named_with_its_error),
                TEST(test_malformed_job_is_refused),
                TEST(test_output_and_its_order_are_recorded),
                TEST(test_tree_that_outlives_the_leader_is_still_recorded),
                TEST(test_agent_gets_a_clean_slate),
                TEST(test_full_table_refuses_and_freed_slot_is_used_again),
                TEST(test_living_run_is_not_freed),
                TEST(test_same_run_is_not_started_twice),
                TEST(test_daemon_that_does_not_read_loses_no_report),
                TEST(test_freed_runs_leave_no_descriptor_behind),
                TEST(test_orphans_are_reaped),
                TEST(test_output_that_its_file_can_never_take_is_dropped_and_counted),
                TEST(test_keeper_stays_small),
        };

        return cmocka_run_group_tests_name("keeper-runs", tests, NULL, NULL);
}
