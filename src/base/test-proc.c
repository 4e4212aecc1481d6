/* SPDX-License-Identifier: MIT */

/* /proc and pidfds: texts as the kernel writes them, this process, and a child that ends. What only
 * newer kernels know may be unknown here, but never wrong. */

#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/pidfd.h"
#include "base/proc.h"
#include "base/test.h"

#define FIELDS_4_TO_34 \
        "2 3 4 5 6 7 8 9 10 11 100 50 14 15 16 17 6 18 4711 20 21 22 23 24 25 26 27 28 29 30 31"
#define FIELDS_36_TO_51 "34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49"

static void test_stat_line_is_parsed_whatever_the_name(void **state) {
        static const char *const names[] = { "sleep", "a b", ") Z 1 (", "((", "" };
        ProcStat stat;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *line = str_printf(
                        "77 (%s) Z " FIELDS_4_TO_34 " 1 " FIELDS_36_TO_51 " 9472\n", names[i]);

                assert_int_equal(proc_stat_parse(line, &stat), 0);
                assert_int_equal(stat.state, 'Z');
                assert_int_equal(stat.ppid, 2);
                assert_int_equal(stat.threads, 6);
                assert_int_equal(stat.start_time, 4711);
                assert_int_equal(stat.cpu_usec, 150 * USEC_PER_SEC / (uint64_t) sysconf(_SC_CLK_TCK));
                assert_int_equal(stat.wait_status, 9472);
                assert_true(stat.status_known);
        }
        assert_int_equal(proc_stat_parse("", &stat), -EBADMSG);
        assert_int_equal(proc_stat_parse("1 (x", &stat), -EBADMSG);
        assert_int_equal(proc_stat_parse("1 (x)", &stat), -EBADMSG);
        assert_int_equal(proc_stat_parse("1 (x) S 1 2 3", &stat), -EBADMSG);
}

static void test_a_hidden_status_is_not_taken_for_success(void **state) {
        ProcStat stat;

        assert_int_equal(
                proc_stat_parse("7 (x) Z " FIELDS_4_TO_34 " 0 " FIELDS_36_TO_51 " 0\n", &stat), 0);
        assert_false(stat.status_known);
        assert_int_equal(
                proc_stat_parse("7 (x) Z " FIELDS_4_TO_34 " 1 " FIELDS_36_TO_51 " 0\n", &stat), 0);
        assert_true(stat.status_known);
        assert_int_equal(stat.wait_status, 0);
}

static void test_this_process_is_found_and_none_is_not(void **state) {
        ProcStat stat;

        assert_int_equal(proc_stat(getpid(), &stat), 0);
        assert_int_equal(stat.state, 'R');
        assert_int_equal(stat.ppid, getppid());
        assert_in_range(stat.threads, 1, 100);
        assert_true(stat.start_time > 0);
        assert_int_equal(proc_stat(INT32_MAX, &stat), -ESRCH);
}

static void test_the_unified_cgroup_is_found_among_others(void **state) {
        static const struct {
                const char *text, *path;
        } rows[] = {
                { "0::/\n", "/" },
                { "0::/a b/c", "/a b/c" },
                { "1:name=systemd:/x\n0::/user.slice\n", "/user.slice" },
                { "12:cpu,cpuacct:/0::/y\n0::/z\n", "/z" },
                { "\n\n0::/behind\n1:cpu:/\n", "/behind" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *path = NULL;

                assert_int_equal(proc_cgroup_parse(rows[i].text, &path), 0);
                assert_string_equal(path, rows[i].path);
        }
        char *none = NULL;
        assert_int_equal(proc_cgroup_parse("", &none), -ENOENT);
        assert_int_equal(proc_cgroup_parse("1:cpu:/0::/\n", &none), -ENOENT);
        assert_int_equal(proc_cgroup(INT32_MAX, &none), -ESRCH);
        assert_null(none);
}

static void test_the_boot_has_a_name_that_stays(void **state) {
        char a[PROC_BOOT_ID_SIZE], b[PROC_BOOT_ID_SIZE];

        assert_int_equal(proc_boot_id(a), 0);
        assert_int_equal(proc_boot_id(b), 0);
        assert_int_equal(strlen(a), PROC_BOOT_ID_SIZE - 1);
        assert_string_equal(a, b);
}

/* A child that waits for the other end of a pipe to close and exits with 3. */
static pid_t start_child(int *ret_pipe) {
        int fds[2];
        char c;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) close(fds[1]);
                _exit(read(fds[0], &c, 1) == 0 ? 3 : 4);
        }
        (void) close(fds[0]);
        *ret_pipe = fds[1];
        return pid;
}

static void test_the_end_of_a_child_is_seen_and_its_status_never_guessed(void **state) {
        int pipe_fd, status = -1;
        uint64_t cgroup = 0;
        ProcStat stat;
        siginfo_t si;

        pid_t pid = start_child(&pipe_fd);
        _cleanup_close_ int fd = pidfd_open(pid, 0);
        assert_true(fd >= 0);
        assert_false(pidfd_has_exited(fd));
        assert_int_equal(pidfd_wait_status(fd, &status), -ENODATA);
        assert_int_equal(status, -1);
        if (pidfd_cgroup_id(fd, &cgroup) >= 0)
                assert_true(cgroup > 0);

        (void) close(pipe_fd);
        assert_int_equal(waitid(P_PID, (id_t) pid, &si, WEXITED | WNOWAIT), 0);
        assert_true(pidfd_has_exited(fd));
        assert_int_equal(proc_stat(pid, &stat), 0);
        assert_int_equal(stat.state, 'Z');
        if (stat.status_known)
                assert_int_equal(stat.wait_status, 3 << 8);

        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_true(pidfd_has_exited(fd));
        if (pidfd_wait_status(fd, &status) >= 0)
                assert_int_equal(status, 3 << 8);
        else
                assert_int_equal(status, -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stat_line_is_parsed_whatever_the_name),
                cmocka_unit_test(test_a_hidden_status_is_not_taken_for_success),
                cmocka_unit_test(test_this_process_is_found_and_none_is_not),
                cmocka_unit_test(test_the_unified_cgroup_is_found_among_others),
                cmocka_unit_test(test_the_boot_has_a_name_that_stays),
                cmocka_unit_test(test_the_end_of_a_child_is_seen_and_its_status_never_guessed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
